"""Why attributes were not accepted: what is planted in the demo is found, and no answer of a model loses a case."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recenter_utils import figures
from recenter_utils.annotation import simulation
from recenter_utils.annotation.consensus import consensus
from recenter_utils.attributes import categories, checked, failure_shares, failures
from recenter_utils.attributes.categories import CANDIDATES, OTHERS, SUPPORTED, in_print, merged, normalised
from recenter_utils.errors import RecenterError
from recenter_utils.inference.engines.base import Deliver, Engine
from recenter_utils.inference.models import Model, load_models
from recenter_utils.inference.requests import Answer, Request
from recenter_utils.scales import ATTRIBUTE_QUALITY
from recenter_utils.tables import TABLES
from tests import one_process
from tests.fake_server import Asked, FakeServer, Reply, completion
from tests.workspaces import ROOT, recenter

TRUTH = ROOT / "data" / "demo" / "truth"
NAMES = [category.name for category in CANDIDATES]
SEEDS = range(4)


def table(demo: Path, name: str) -> pl.DataFrame:
    return pl.read_parquet(demo / "data" / "demo" / "tables" / f"{name}.parquet")


def judged(demo: Path, seed: int) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return consensus and judgments of the demo's merged attributes by its annotators, drawn anew."""
    merged_attributes = table(demo, "merged_attributes").rename({"attribute_id": "item_id"})
    users = table(demo, "users").select("user_id", "kind")
    items = merged_attributes.join(users, on="user_id").join(simulation.truth(TRUTH), on=["user_id", "attribute"])
    pages = {user: place for place, user in enumerate(items["user_id"].unique().sort())}
    items = items.with_columns(page=pl.col("user_id").replace_strict(pages, return_dtype=pl.Int64))
    answers = simulation.simulate(items, simulation.annotators(TRUTH), seed)
    judgments = answers.with_columns(reason=pl.lit(None, pl.String), rater_kind=pl.lit("simulated"))
    return consensus(judgments, items, ("simulated-5",)), judgments


@pytest.fixture(scope="module")
def sorted_by_seed(finished_demo: Path, tmp_path_factory: pytest.TempPathFactory) -> list[pl.DataFrame]:
    """The table `failures` of the demo for several draws of its annotators."""
    cache = tmp_path_factory.mktemp("failures") / "answers.sqlite"
    merged_attributes, extracted = table(finished_demo, "merged_attributes"), table(finished_demo, "attributes")
    found = []
    for seed in SEEDS:
        chosen = failures.flagged(*judged(finished_demo, seed), ("simulated-5",))
        cases = failures.cases(chosen, merged_attributes, extracted, table(finished_demo, "conversations"))
        sorting = failures.categorise(cases, load_models()["embedded-plain"], cache=cache, progress=False)
        found.append(sorting.failures)
    return found


@pytest.fixture(scope="module")
def planted(finished_demo: Path) -> dict[str, str]:
    """The true category of each of the demo's attributes, by its id."""
    truth = [json.loads(line) for line in (TRUTH / "attributes.jsonl").read_text("utf-8").splitlines()]
    modes = {(row["user_id"], row["attribute"]): row["failure_mode"] or SUPPORTED for row in truth}
    rows = table(finished_demo, "merged_attributes").select("attribute_id", "user_id", "attribute").iter_rows()
    return {name: modes[user, attribute] for name, user, attribute in rows}


def test_the_planted_shares_are_inside_the_corrected_intervals(
    finished_demo: Path, sorted_by_seed: list[pl.DataFrame], planted: dict[str, str]
) -> None:
    inside = []
    for seed, found in zip(SEEDS, sorted_by_seed, strict=True):
        sample = checked.simulated(TRUTH, found, table(finished_demo, "merged_attributes"), seed)
        assert len(sample) == checked.SIMULATED_SAMPLE < len(found) / 2
        shares = failure_shares.shares(found, sample, draws=2000, seed=seed).filter(group=failure_shares.ALL)
        true = Counter(planted[item] for item in found["item_id"])
        for name, low, high in shares.select("category", "corrected_low", "corrected_high").iter_rows():
            inside.append(low <= true[name] / len(found) <= high)
    assert len(inside) == len(SEEDS) * len(NAMES)
    assert sum(inside) >= 0.85 * len(inside)


def test_the_models_own_shares_are_near_the_planted_ones(
    sorted_by_seed: list[pl.DataFrame], planted: dict[str, str]
) -> None:
    for found in sorted_by_seed:
        true = Counter(planted[item] for item in found["item_id"])
        said = Counter(found["category"])
        assert all(abs(true[name] - said[name]) < 0.1 * len(found) for name in NAMES)


def test_the_model_is_right_far_more_often_than_by_chance(
    sorted_by_seed: list[pl.DataFrame], planted: dict[str, str]
) -> None:
    """Most of all on users that the rules were not written on, told apart by a hash of their names."""
    for found in sorted_by_seed:
        rows = list(found.select("item_id", "user_id", "category").iter_rows())
        true, said = Counter(planted[item] for item, _, _ in rows), Counter(category for _, _, category in rows)
        chance = sum(true[name] * said[name] for name in NAMES) / len(rows) ** 2
        held_out = [planted[item] == category for item, user, category in rows if not written_on(user)]
        assert len(held_out) > 80
        assert np.mean(held_out) > chance + 0.25


def written_on(user: str) -> bool:
    return hashlib.blake2b(user.encode(), digest_size=4).digest()[0] % 2 == 0


def test_the_same_cases_are_sorted_in_the_same_way_again(finished_demo: Path, sorted_by_seed: list) -> None:
    chosen = failures.flagged(*judged(finished_demo, 0), ("simulated-5",))
    again = failures.cases(
        chosen[::-1].sort("item_id"),
        table(finished_demo, "merged_attributes").sample(fraction=1, shuffle=True, seed=3),
        table(finished_demo, "attributes").sample(fraction=1, shuffle=True, seed=3),
        table(finished_demo, "conversations").sample(fraction=1, shuffle=True, seed=3),
    )
    sorting = failures.categorise(again, load_models()["embedded-plain"], progress=False)
    assert sorting.failures.equals(sorted_by_seed[0])


# -- flagged ----------------------------------------------------------------------------------------------


def counted(**labels: tuple[int, int, int]) -> pl.DataFrame:
    """Return a table `consensus` from (accepted, uncertain, rejected) by item."""
    rows = [
        {"item_id": item, "user_id": "u", "source": "s", "kind": "real", "accepted": a, "uncertain": u, "rejected": r}
        | {"majority": None, "dawid_skene": "accepted", "posterior": 1.0, "problematic": False}
        for item, (a, u, r) in labels.items()
    ]
    return pl.DataFrame(rows, schema=TABLES["consensus"].columns)


def noted(*rows: tuple[str, str, str, str | None]) -> pl.DataFrame:
    frame = pl.DataFrame(rows, schema=["item_id", "rater", "label", "reason"], orient="row")
    return frame.cast({"reason": pl.String})


def test_what_not_all_accept_is_flagged_with_the_more_frequent_doubt() -> None:
    found = failures.flagged(
        counted(all_accept=(3, 0, 0), one_maybe=(2, 1, 0), more_maybe=(0, 2, 1), tie=(1, 1, 1), no=(0, 0, 2)),
        noted(("one_maybe", "a", "uncertain", None)),
    )
    judgments = dict(found.select("item_id", "judgment").iter_rows())
    assert judgments == {"more_maybe": "uncertain", "no": "rejected", "one_maybe": "uncertain", "tie": "rejected"}


def test_notes_come_from_those_who_doubted_and_count() -> None:
    judgments = noted(
        ("x", "b", "uncertain", "one trip only"),
        ("x", "a", "rejected", "her cousin, not her"),
        ("x", "c", "accepted", "fine"),
        ("x", "d", "rejected", "spam"),
        ("x", "e", "uncertain", "  "),
    )
    found = failures.flagged(counted(x=(1, 2, 2)), judgments, excluded=("d",))
    assert found["notes"].to_list() == [["her cousin, not her", "one trip only"]]


# -- batches ----------------------------------------------------------------------------------------------


class Scripted(Engine):
    """Gives a reason for each case, and sorts a batch as `say` does: from the cases to the answer's text."""

    say: Callable[[list[dict[str, Any]]], str | Answer]
    asked: list[int]

    async def ask(self, requests: Iterator[Request], deliver: Deliver) -> None:
        for request in requests:
            if request.task == "flag_reason":
                said = {"inferred_reason": f"why {request.slots['attribute']}", "evidence_assessment": "none"}
                text: str | Answer = "no words" if request.slots["attribute"] == "mute" else json.dumps(said)
            else:
                type(self).asked.append(len(request.slots["cases"]))
                text = type(self).say(request.slots["cases"])
            deliver(request, text if isinstance(text, Answer) else Answer(text))


def classified(rows: list[tuple[int, str]], new: list[tuple[str, str]] = []) -> str:  # noqa: B006
    return json.dumps(
        {
            "classifications": [{"case": case, "category": name} for case, name in rows],
            "new_categories": [{"name": name, "definition": definition} for name, definition in new],
        }
    )


@pytest.fixture
def sort(monkeypatch: pytest.MonkeyPatch) -> Callable[..., failures.Sorting]:
    """Return a function that sorts cases named by their attributes with a scripted model."""
    monkeypatch.setattr("recenter_utils.inference.run.open_engine", Scripted)
    model = Model(name="scripted", engine="openai", base_url="http://127.0.0.1:9", sampling={"temperature": 0.5})

    def run(attributes: list[str], say: Callable[[list[dict[str, Any]]], str | Answer], **more: Any) -> Any:
        Scripted.say, Scripted.asked = staticmethod(say), []
        rows = [
            {"item_id": f"i{n:03d}", "user_id": f"u{n}", "source": "s", "kind": "real", "judgment": "rejected"}
            | {"notes": [], "attribute": attribute, "reason": "r", "excerpt": []}
            for n, attribute in enumerate(attributes)
        ]
        return failures.categorise(pl.DataFrame(rows), model, progress=False, **more)

    return run


def outcome(sorting: failures.Sorting) -> list[tuple[str, str | None, str | None]]:
    return list(sorting.failures.select("item_id", "category", "error").iter_rows())


def test_cases_are_sorted_in_batches(sort: Callable) -> None:
    sorting = sort(
        [f"a{n}" for n in range(45)], lambda cases: classified([(case["case"], "missing_evidence") for case in cases])
    )
    assert Scripted.asked == [20, 20, 5]
    assert sorting.failures["category"].to_list() == ["missing_evidence"] * 45
    assert not sorting.faults


def test_a_case_left_out_or_named_twice_is_asked_again_alone(sort: Callable) -> None:
    def say(cases: list[dict[str, Any]]) -> str:
        if len(cases) == 1:
            return classified([(1, "supported")])
        rows = [(2, "missing_evidence"), (3, "missing_evidence"), (3, "not_standalone"), (9, "supported")]
        return classified([*rows, (4, "Missing evidence"), (4, "missing_evidence")])

    sorting = sort(["left out", "given", "twice", "the same twice"], say)
    assert [category for _, category, _ in outcome(sorting)] == [
        "supported", "missing_evidence", "supported", "missing_evidence",
    ]  # fmt: skip
    assert Scripted.asked == [4, 1, 1]
    assert sorting.faults == {
        "a case left out": 1, "a case given two categories": 1, "a case that was not asked": 1,
        "cases asked again alone": 2,
    }  # fmt: skip


def test_a_case_that_gets_no_category_alone_either_says_so_and_costs_no_other(sort: Callable) -> None:
    def say(cases: list[dict[str, Any]]) -> str:
        return classified([(case["case"], "supported") for case in cases if case["attribute"] != "never"])

    sorting = sort(["good", "never", "mute", "fine"], say)
    assert [(category, error) for _, category, error in outcome(sorting)] == [
        ("supported", None), (None, "unparsed"), (None, "unparsed"), ("supported", None),
    ]  # fmt: skip
    assert sorting.failures.filter(item_id="i002")["inferred_reason"].to_list() == [None]
    assert sorting.failures.filter(item_id="i001")["inferred_reason"].to_list() == ["why never"]


def test_a_batch_that_is_refused_is_asked_case_by_case(sort: Callable) -> None:
    def say(cases: list[dict[str, Any]]) -> str | Answer:
        if any(case["attribute"] == "vile" for case in cases):
            return Answer(error="refused", detail="no")
        return classified([(case["case"], "supported") for case in cases])

    sorting = sort(["fine", "vile", "good"], say)
    assert [(category, error) for _, category, error in outcome(sorting)] == [
        ("supported", None), (None, "refused"), ("supported", None),
    ]  # fmt: skip


def test_a_server_that_fails_is_asked_again_by_the_next_run_and_not_at_once(sort: Callable) -> None:
    def say(cases: list[dict[str, Any]]) -> str | Answer:
        if cases[0]["attribute"] == "down":
            return Answer(error="server", detail="down")
        return classified([(case["case"], "supported") for case in cases])

    sorting = sort(["down", "b", "c", "d"], say, batch=2)
    assert [error for _, _, error in outcome(sorting)] == ["server", "server", None, None]
    assert Scripted.asked == [2, 2]
    assert sorting.unanswered == 1


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.lists(st.tuples(st.integers(-2, 8), st.sampled_from([*NAMES, "new kind", "", " ", "☂"])), max_size=12),
        min_size=1,
        max_size=4,
    )
)
def test_whatever_batches_answer_every_case_has_a_category_or_an_error(answers: list) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("recenter_utils.inference.run.open_engine", Scripted)
        said = iter(answers * 40)
        Scripted.say, Scripted.asked = staticmethod(lambda _: classified(next(said))), []
        model = Model(name="scripted", engine="openai", base_url="http://127.0.0.1:9", sampling={"temperature": 0.5})
        rows = [
            {"item_id": f"i{n}", "user_id": "u", "source": "s", "kind": "real", "judgment": "rejected", "notes": []}
            | {"attribute": f"a{n}", "reason": "", "excerpt": []}
            for n in range(7)
        ]
        found = failures.categorise(pl.DataFrame(rows), model, progress=False, batch=3).failures
    assert found["item_id"].to_list() == [row["item_id"] for row in rows]
    assert (found["category"].is_null() == found["error"].is_not_null()).all()


# -- merging of categories --------------------------------------------------------------------------------

OUTDATED = "The attribute was true once and is not any more."


def test_a_name_written_otherwise_is_the_candidate() -> None:
    said = ["Overgeneralization", "MISSING  evidence", "task-context-confusion", "Attribute not standalone"]
    assert list(merged(said).values()) == [
        "overgeneralization", "missing_evidence", "task_context_confusion", "not_standalone",
    ]  # fmt: skip


def test_a_new_name_for_an_old_thing_joins_it_and_a_new_thing_stays() -> None:
    said = ["insufficient evidence"] * 4 + ["out of date"] * 4 + ["outdated attribute"] * 3
    goals = merged(
        said,
        [
            ("insufficient evidence", "The excerpt does not show what the attribute says; the evidence is missing."),
            ("out of date", OUTDATED),
            ("outdated attribute", OUTDATED),
        ],
    )
    assert goals["insufficient evidence"] == "missing_evidence"
    assert goals["out of date"] == goals["outdated attribute"] == "out_of_date"


def test_what_stays_rare_goes_to_others_and_a_candidate_never_does() -> None:
    goals = merged(
        ["supported"] * 96 + ["not_standalone"] + ["out of date"] * 2 + ["none"], [("out of date", OUTDATED)]
    )
    assert goals["not_standalone"] == "not_standalone"
    assert goals["out of date"] == goals["none"] == OTHERS


@settings(max_examples=15, deadline=None)
@given(st.randoms(use_true_random=False))
def test_the_order_of_batches_does_not_matter(chance: Any) -> None:
    said = ["out of date"] * 4 + ["stale"] * 4 + ["contradicted"] * 3 + ["missing evidence"] * 5 + ["insulting"] * 3
    defined = [
        ("out of date", OUTDATED),
        ("stale", "It was true once."),
        ("stale", OUTDATED),
        ("insulting", "It hurts."),
    ]
    expected = merged(said, defined)
    chance.shuffle(said)
    chance.shuffle(defined)
    assert merged(said, defined) == expected


@given(st.text(max_size=30))
def test_a_normalised_name_is_itself_normalised(name: str) -> None:
    assert normalised(normalised(name)) == normalised(name)


def test_candidates_are_offered_once_and_known_by_name_and_title() -> None:
    known = [normalised(word) for category in CANDIDATES for word in {category.name, normalised(category.title)}]
    assert len(known) == len(set(known))
    assert set(categories.PUBLISHED) == {*NAMES, OTHERS} - {SUPPORTED}


# -- shares -----------------------------------------------------------------------------------------------


def sorted_cases(n: int, users: int, seed: int = 0, weights: tuple[float, ...] = (0.5, 0.3, 0.1, 0.1)) -> pl.DataFrame:
    chance = np.random.default_rng(seed)
    user = chance.integers(users, size=n)
    rows = {
        "item_id": [f"i{i}" for i in range(n)],
        "user_id": [f"u{u}" for u in user],
        "source": [("chat", "bench")[u % 2] for u in user],
        "kind": [("real", "synthetic")[u % 2] for u in user],
        "judgment": ["rejected"] * n,
        "category": chance.choice(NAMES[:4], size=n, p=weights).tolist(),
        "model": ["m"] * n,
    }
    full = pl.DataFrame(rows).with_columns(
        pl.lit(None, pl.String).alias(name) for name in TABLES["failures"].columns.names() if name not in rows
    )
    return full.select(TABLES["failures"].columns.names())


def test_shares_of_a_group_add_up_and_fit_the_codebook() -> None:
    shares = failure_shares.shares(sorted_cases(120, 12), draws=500)
    assert TABLES["failure_shares"].schema.validate(shares) is not None
    assert set(shares["group"]) == {"all sources", "all real", "all synthetic", "chat", "bench"}
    for _, part in shares.group_by("group"):
        assert part["value"].sum() == pytest.approx(1)
        assert part["n"].sum() == part["n_attributes"][0]


def test_a_category_that_nobody_met_has_no_interval_and_says_why() -> None:
    shares = failure_shares.shares(sorted_cases(60, 6), draws=200)
    unseen = shares.filter(category=SUPPORTED, group=failure_shares.ALL).row(0, named=True)
    assert (unseen["value"], unseen["low"], unseen["high"]) == (0, None, None)
    assert "resampling cannot say" in unseen["reason"]


def test_one_user_gives_shares_without_intervals() -> None:
    shares = failure_shares.shares(sorted_cases(10, 1), draws=200)
    assert shares["low"].is_null().all()
    assert set(shares["reason"]) == {"one user has no spread between users"}


def test_a_checked_sample_puts_a_biased_model_right() -> None:
    """A model that calls half of the overgeneralised cases missing evidence, and a checker of a fifth of them."""
    covered = []
    for seed in range(30):
        found = sorted_cases(400, 40, seed)
        true = found["category"].to_list()
        chance = np.random.default_rng(seed + 1000)
        wrong = chance.random(len(true)) < 0.5
        said = [NAMES[1] if name == NAMES[0] and err else name for name, err in zip(true, wrong, strict=True)]
        sample = found.select("item_id", "category", rater=pl.lit("c")).sample(80, seed=seed)
        shares = failure_shares.shares(found.with_columns(category=pl.Series(said)), sample, draws=500, seed=seed)
        row = shares.filter(group=failure_shares.ALL, category=NAMES[0]).row(0, named=True)
        share = true.count(NAMES[0]) / len(true)
        assert row["high"] < share
        covered.append(row["corrected_low"] <= share <= row["corrected_high"])
    assert sum(covered) >= 26


def test_too_small_a_sample_corrects_nothing() -> None:
    found = sorted_cases(60, 6)
    sample = found.select("item_id", "category", rater=pl.lit("c")).head(failure_shares.FEWEST_CHECKED - 1)
    assert failure_shares.shares(found, sample, draws=200)["corrected"].is_null().all()


def test_checked_cases_are_counted_and_not_answers() -> None:
    found = sorted_cases(60, 6)
    once = found.select("item_id", "category", rater=pl.lit("a")).head(failure_shares.FEWEST_CHECKED - 10)
    twice = pl.concat([once, once.with_columns(rater=pl.lit("b"))])
    shares = failure_shares.shares(found, twice, draws=200).filter(group=failure_shares.ALL)
    assert set(shares["n_checked"]) == {len(once)}
    assert shares["corrected"].is_null().all()


def test_a_second_checker_who_agrees_on_some_cases_changes_no_corrected_share() -> None:
    found = sorted_cases(200, 20)
    once = found.select("item_id", category=pl.lit(NAMES[2]), rater=pl.lit("a"))[::4]
    more = pl.concat([once, once.with_columns(rater=pl.lit("b")).head(15)])
    first, second = (failure_shares.shares(found, sample, draws=200) for sample in (once, more))
    assert first["corrected"].to_list() == pytest.approx(second["corrected"].to_list(), nan_ok=True)


def test_resamples_without_a_checked_case_are_named_in_the_reason() -> None:
    found = sorted_cases(90, 9)
    sample = found.filter(pl.col("user_id").is_in(["u1", "u2"])).select("item_id", category=pl.lit(NAMES[1]))
    sample = sample.with_columns(rater=pl.lit("c"), category=pl.Series([NAMES[i % 3] for i in range(len(sample))]))
    extra = found.filter(user_id="u3").select("item_id", "category", rater=pl.lit("c"))
    shares = failure_shares.shares(found, pl.concat([sample, extra]), draws=500).filter(group=failure_shares.ALL)
    assert shares["corrected"].is_not_null().all()
    assert shares["reason"].str.contains(r"\d+ of 500 resamples hold no checked case and are left out").all()
    assert not failure_shares.shares(found, draws=200)["reason"].str.contains("resamples hold").any()


# -- claims -----------------------------------------------------------------------------------------------


def told(found: pl.DataFrame, sample: pl.DataFrame | None = None, draws: int = 500) -> str:
    """Return the claim of a study whose table `failures` is `found`."""
    shares = failure_shares.shares(found, sample, draws)
    return failure_shares.sentence(shares, found, sample, in_print(shares["category"], True), draws)


def by_count(*counts: int) -> pl.DataFrame:
    """Return cases of 30 users with so many of each candidate, spread evenly."""
    said = [name for name, count in zip(NAMES, counts, strict=False) for _ in range(count)]
    return sorted_cases(len(said), 30).with_columns(
        category=pl.Series(said), user_id=pl.Series([f"u{n % 30}" for n in range(len(said))])
    )


def test_a_claim_says_how_many_flagged_attributes_have_no_category() -> None:
    found = by_count(80, 40, 10, 7)
    assert "of the 137 attributes that an annotator did not accept" in told(found)
    lacking = found.with_columns(category=pl.lit(None, pl.String), item_id=pl.col("item_id") + "x")
    text = told(pl.concat([found, lacking]))
    assert "of the 137 (of 274) attributes that an annotator did not accept and the model could sort" in text


def test_a_failure_leads_only_if_the_second_is_surely_rarer() -> None:
    assert told(by_count(120, 30, 10, 10)).startswith("Overgeneralization leads, before missing evidence: ")
    assert told(by_count(10, 51, 52, 10)).startswith(
        "Task-context confusion and missing evidence are too close to tell apart: "
    )
    one_user = sorted_cases(40, 1)
    assert told(one_user).startswith("Whether overgeneralization leads or missing evidence cannot be told: ")


def test_the_lead_holds_for_as_many_samples_as_its_interval_says() -> None:
    """Two categories as frequent as each other: one of them is said to lead in few samples."""
    leads = [" leads, " in told(sorted_cases(200, 25, seed, (0.45, 0.45, 0.05, 0.05)), draws=300) for seed in range(60)]
    assert sum(leads) <= 9


def test_failures_are_ranked_by_the_corrected_share() -> None:
    """A model that takes every missing evidence for overgeneralisation, and a checker who knows better."""
    true = by_count(4, 200, 20, 20)
    found = true.with_columns(pl.col("category").replace("missing_evidence", "overgeneralization"))
    assert told(found).startswith("Overgeneralization leads")
    sample = true.select("item_id", "category", rater=pl.lit("c"))[::2]
    text = told(found, sample)
    assert text.startswith("Missing evidence leads, before ")
    assert "corrected by the 122 checked cases" in text
    first, second = "missing_evidence", "task_context_confusion"
    shares = failure_shares.shares(found, sample, 500).filter(group=failure_shares.ALL)
    corrected = dict(shares.select("category", "corrected").iter_rows())
    gap = failure_shares.gap(found, sample, first, second, 500)
    assert gap.value == pytest.approx(corrected[first] - corrected[second])
    assert gap.low < gap.value < gap.high


def test_no_failure_found_never_leads_and_others_do_not_either() -> None:
    text = told(by_count(60, 10, 10, 10, 300))
    assert text.startswith("Overgeneralization leads")
    assert "there is no failure" in text
    only = by_count(0, 0, 0, 0, 50)
    assert told(only).startswith("No failure is left of a kind of its own")
    assert told(only.with_columns(category=pl.lit(OTHERS))).startswith("No failure is left of a kind of its own")
    assert told(by_count(50)).startswith("Overgeneralization is the only failure of a kind of its own: 100.0%")


def test_a_sample_that_finds_no_failure_leaves_none_to_lead() -> None:
    found = by_count(60, 40, 10, 10)
    sample = found.select("item_id", category=pl.lit(SUPPORTED), rater=pl.lit("c"))
    assert told(found, sample).startswith("No failure is left of a kind of its own in the 120 attributes")


def test_what_the_paper_printed_stands_beside_shares_of_found_failures() -> None:
    found = by_count(40, 30, 20, 10, 100)
    shares = failure_shares.shares(found, draws=200)
    beside = failure_shares.by_category(shares, in_print(shares["category"], True)).select(
        "category", "share of failures"
    )
    assert dict(beside.iter_rows()) == {
        "Overgeneralization": 0.4, "Missing evidence": 0.3, "Task-context confusion": 0.2,
        "Attribute not standalone": 0.1, "No failure found": None,
    }  # fmt: skip
    assert "Of the 100 in which the model found a failure, 40.0% are overgeneralization; the paper" in told(found)


# -- what may be shown ------------------------------------------------------------------------------------


def test_a_coined_name_is_on_no_page_of_a_study_that_does_not_publish_text(sort: Callable) -> None:
    secret = "i said i live in leeds"

    def say(cases: list[dict[str, Any]]) -> str:
        rows = [(case["case"], secret if case["attribute"] < "a5" else "overgeneralization") for case in cases]
        return classified(rows, [(secret, "Where the user lives is taken for a trait.")])

    sorting = sort([f"a{n}" for n in range(10)], say)
    found = sorting.failures
    assert sorting.proposals().rows() == [(secret, 5, secret.capitalize())]
    sample = found.select("item_id", category=pl.lit("what they wrote to me"), rater=pl.lit("c"))
    shares = failure_shares.shares(found, sample, draws=200)
    for publish in (False, True):
        titles = in_print(shares["category"], publish)
        drawn = failure_shares.drawn(shares, titles)
        tables = [sorting.counts(), failure_shares.by_category(shares, titles)]
        tables.append(checked.confusion(found, sample, titles))
        text = str([*drawn["title"], *(frame.rows() + frame.columns for frame in tables)])
        text += failure_shares.sentence(shares, found, sample, titles, 200)
        assert [words in text.lower() for words in (secret, "what they wrote to me")] == [publish] * 2
        assert ("New category 2" in text) is not publish


def test_spellings_of_a_proposed_name_are_counted_once(sort: Callable) -> None:
    names = ["Out of date", "out_of_date", "OUT OF DATE", "attribute not standalone"]
    sorting = sort(names, lambda cases: classified([(case["case"], names[case["case"] - 1]) for case in cases]))
    assert sorting.proposals().rows() == [("out of date", 3, "Out of date")]
    assert sorting.counts().rows()[-1] == ("with a category that the model proposed", 3)


def test_checkers_are_not_named_and_simulated_ones_are_told() -> None:
    found = sorted_cases(30, 6)
    raters = ["Berta", "Anna", checked.SIMULATED_CHECKER, "Anna"]
    sample = pl.concat([found.select("item_id", "category", rater=pl.lit(rater)) for rater in raters[:3]])
    shown = checked.agreement(found, sample)["rater"].unique().sort().to_list()
    assert shown == ["checker A", "checker B", checked.SIMULATED_CHECKER]
    assert checked.SIMULATED_CHECKER.startswith("simulated")
    many = [f"{n:03d}" for n in range(30)]
    sample = pl.concat([found.select("item_id", "category", rater=pl.lit(rater)).head(3) for rater in many])
    assert {"checker Z", "checker AD"} < set(checked.agreement(found, sample)["rater"])


# -- checked samples --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("c.csv", "item_id,category\ni0,Missing evidence\ni1,supported\ni0,missing_evidence\n"),
        ("c.csv", "\ufeffcategory,item_id,more\nMISSING evidence,i0,x\nNo failure found,i1,y\n"),
        ("c.jsonl", '{"item_id": "i0", "category": "missing-evidence"}\n{"item_id": "i1", "category": "supported"}\n'),
    ],
)
def test_a_checked_file_is_read_by_names_or_titles(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text, "utf-8")
    found = checked.from_file(tmp_path / name).sort("item_id")
    assert found.rows() == [("i0", "missing_evidence", "checker"), ("i1", "supported", "checker")]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("item,category\ni0,supported\n", "no column 'item_id'"),
        ("item_id,category\ni0,\n", "1 rows have no item_id or no category"),
        ("item_id,category,rater\ni0,supported,a\ni0,not_standalone,a\n", "'i0' by 'a'"),
        ("", "cannot be read"),
    ],
)
def test_a_checked_file_with_a_fault_is_refused_naming_it(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "c.csv").write_text(text, "utf-8")
    with pytest.raises(RecenterError, match=says):
        checked.from_file(tmp_path / "c.csv")


def test_two_checkers_may_differ_and_each_is_compared_with_the_model() -> None:
    found = sorted_cases(60, 6)
    sample = pl.concat(
        [
            found.select("item_id", "category", rater=pl.lit("right")),
            found.select("item_id", category=pl.lit("a kind of their own"), rater=pl.lit("stubborn")),
        ]
    )
    agreement = checked.agreement(found, sample)
    values = {(rater, name): value for rater, name, _, value, *_ in agreement.iter_rows()}
    assert values["checker A", "kappa"] == values["checker A", "agreement"] == 1
    assert values["checker B", "agreement"] == 0
    confusion = checked.confusion(found, sample, in_print(sample["category"], True))
    assert confusion.drop("checked").sum().sum_horizontal().to_list() == [120]


# -- pages ------------------------------------------------------------------------------------------------


def test_a_study_without_judgments_has_empty_tables_and_a_sentence(finished_demo: Path) -> None:
    chosen = failures.flagged(TABLES["consensus"].empty(), TABLES["quality_judgments"].empty())
    names = ("merged_attributes", "attributes", "conversations")
    cases = failures.cases(chosen, *(table(finished_demo, name) for name in names))
    sorting = failures.categorise(cases, load_models()["embedded-plain"])
    shares = failure_shares.shares(sorting.failures)
    assert shares.schema == TABLES["failure_shares"].columns
    nothing, titles = checked.SCHEMA.to_frame(), in_print(shares["category"], True)
    assert "no failure to count" in failure_shares.sentence(shares, sorting.failures, nothing, titles)
    for frame in (failures.examples(sorting.failures, cases), failure_shares.by_category(shares, titles)):
        assert frame.is_empty()
    assert sorting.proposals().is_empty()
    assert checked.agreement(sorting.failures, nothing).is_empty()
    assert checked.confusion(sorting.failures, nothing, titles).is_empty()
    figures.failure_shares(failure_shares.drawn(shares, titles))


def test_the_page_of_a_model_that_answers_nonsense_says_so(demo_copy: Path) -> None:
    def nonsense(asked: Asked) -> Reply:
        return Reply(completion("I would rather talk about the weather."))

    demo = demo_copy / "data" / "demo"
    with FakeServer(nonsense) as server:
        entry = f"nonsense: {{engine: openai, base_url: '{server.url}'}}\n"
        (demo / "models.yaml").write_text(entry, "utf-8")
        text = (demo / "study.yaml").read_text("utf-8").replace("failures: embedded-plain", "failures: nonsense")
        (demo / "study.yaml").write_text(text, "utf-8")
        one_process.run(demo_copy, "demo", "07")
    found = table(demo_copy, "failures")
    assert len(found) > 100
    assert set(found["error"]) == {"unparsed"}
    assert table(demo_copy, "failure_shares").is_empty()
    assert "There is no failure to count" in (demo / "runs" / "07-failure-modes.ipynb").read_text("utf-8")


def test_another_checked_file_reruns_the_page_and_no_other(demo_copy: Path) -> None:
    demo = demo_copy / "data" / "demo"
    items = table(demo_copy, "failures")["item_id"].to_list()[:40]
    (demo / "checked.csv").write_text("item_id,category\n" + "".join(f"{item},supported\n" for item in items), "utf-8")
    text = (
        (demo / "study.yaml")
        .read_text("utf-8")
        .replace("annotation:\n", "annotation:\n  checked_failures: checked.csv\n")
    )
    (demo / "study.yaml").write_text(text, "utf-8")
    status = recenter(demo_copy, "status", "demo").stdout
    assert [line.split()[0] for line in status.splitlines() if "files changed" in line] == ["07-failure-modes"]


def test_scales_and_judgments_share_their_words() -> None:
    allowed = set(TABLES["failures"].schema.columns["judgment"].checks[0].statistics["allowed_values"])
    assert allowed == set(ATTRIBUTE_QUALITY.labels) - {"accepted"}
