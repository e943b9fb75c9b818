"""Pairing: draws that hang on seed and names alone, who takes part, and every step counted and shown."""

from __future__ import annotations

import json
import random
import re
from itertools import pairwise
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recenter_utils import scaffold, settings
from recenter_utils.corpora.lima import read_prompts
from recenter_utils.errors import RecenterError
from recenter_utils.figures import pairs_per_request
from recenter_utils.inference.requests import Answer, Request
from recenter_utils.relevance import pair_counts, pairing
from recenter_utils.relevance.draws import sampled
from recenter_utils.settings import Annotation, Pairing
from recenter_utils.study import Study
from recenter_utils.tables import check, table
from tests.paired import attributes, pair, requests, users_table
from tests.workspaces import add_study

SEEDS = range(8)


# --- Draws --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", SEEDS)
def test_the_same_seed_gives_the_same_pairs_whatever_the_order_of_the_rows(seed: int) -> None:
    known = pair(seed)
    shuffled = requests().sample(fraction=1, shuffle=True, seed=seed), attributes().sample(fraction=1, shuffle=True)
    again = pair(seed, *shuffled)
    assert known.prompts.equals(again.prompts)
    assert known.pairs.equals(again.pairs)
    assert known.pairing.sort("prompt_id", "user_id").equals(again.pairing.sort("prompt_id", "user_id"))


def test_another_seed_gives_other_requests_other_users_and_other_places() -> None:
    made = [pair(seed) for seed in SEEDS]
    assert len({tuple(sorted(one.prompts["prompt_id"])) for one in made}) > 4
    everything = Pairing(sample=12, prompts="q.jsonl")
    whole = [pair(seed, rules=everything) for seed in SEEDS]
    assert len({tuple(one.pairing.filter("chosen").sort("prompt_id", "user_id")["user_id"]) for one in whole}) > 4
    alone = [pair(seed, brought=attributes(1), say=lambda _: Answer('{"relevant": [1, 2]}')) for seed in SEEDS]
    orders = {tuple(one.pairs.filter(prompt_id="q03")["attribute_id"]) for one in alone} - {()}
    assert len(orders) > 2
    assert len({frozenset(order) for order in orders}) == 1


@given(st.integers(0, 10_000), st.integers(1, 11))
def test_a_further_request_in_the_file_takes_the_place_of_one_at_most(seed: int, number: int) -> None:
    before, after = (set(sampled(requests(n), number, seed)["prompt_id"]) for n in (11, 12))
    assert len(before) == number
    assert len(before - after) <= 1
    assert after - before <= {"q11"}


@pytest.mark.parametrize("seed", SEEDS)
def test_a_further_request_changes_nothing_for_those_that_are_drawn_all_the_same(seed: int) -> None:
    before, after = pair(seed, requests(11)), pair(seed, requests(12))
    shared = sorted(set(before.prompts["prompt_id"]) & set(after.prompts["prompt_id"]))
    assert len(shared) >= 7
    for request in shared:
        assert before.pairs.filter(prompt_id=request).equals(after.pairs.filter(prompt_id=request))


@pytest.mark.parametrize("seed", SEEDS)
def test_a_further_user_takes_the_place_of_one_at_most_with_each_request(seed: int) -> None:
    before, after = pair(seed, brought=attributes(8)), pair(seed, brought=attributes(9))
    changed = 0
    for request in before.prompts["prompt_id"]:
        was, now = (set(one.pairing.filter("chosen", prompt_id=request)["user_id"]) for one in (before, after))
        assert now - was <= {"chat/u8"}
        assert len(was - now) <= 1
        changed += was != now
    assert changed < len(before.prompts)


def test_pairs_are_the_attributes_of_the_drawn_users_pooled_and_shuffled() -> None:
    made = pair(3)
    assert not made.pairs.is_empty()
    chosen = made.pairing.filter("chosen").select("prompt_id", "user_id")
    assert chosen.group_by("prompt_id").len()["len"].max() == 4
    expected = chosen.join(attributes(), on="user_id").select("prompt_id", "attribute_id", "attribute")
    columns = ["prompt_id", "attribute_id"]
    assert made.pairs.select(expected.columns).sort(columns).equals(expected.sort(columns))
    assert (made.pairs["pair_id"] == made.pairs["prompt_id"] + "/" + made.pairs["attribute_id"]).all()
    for _, part in made.pairs.group_by("prompt_id"):
        assert part["place"].to_list() == list(range(len(part)))
        users = part["user_id"].to_list()
        blocks = 1 + sum(one != other for one, other in pairwise(users))
        assert part["user_id"].n_unique() == 1 or blocks > part["user_id"].n_unique()  # no user after the other


def test_one_wording_of_two_users_makes_two_pairs_and_they_are_counted() -> None:
    same = (
        attributes(2).with_columns(attribute=pl.lit("Lives in Leeds."), n=pl.int_range(12)).filter(pl.col("n") % 3 == 0)
    )
    made = pair(brought=same.drop("n"), say=lambda _: Answer('{"relevant": [1, 2]}'))
    assert len(made.pairs) == 8 * 4
    steps = dict(pair_counts.funnel(made).select("step", "n").iter_rows())
    assert steps["pairs whose wording stands twice with the request"] == 8 * 4


# --- Who takes part -----------------------------------------------------------------------------------


def test_users_are_those_judged_in_stage_1_and_the_real_ones_where_there_are_any() -> None:
    users = users_table(9, 5)
    merged = users.select("user_id")
    rules = Annotation(real_users=4, synthetic_users=3)
    for seed in SEEDS:
        chosen = pairing.eligible(users, merged, rules, seed)
        assert len(chosen) == 4
        assert all(user.startswith("chat/") for user in chosen)
    benchmarks = users.filter(kind="synthetic")
    assert len(pairing.eligible(benchmarks, merged, rules, 1)) == 3
    assert len(pairing.eligible(users, merged, Annotation(real_users=0, synthetic_users=3), 1)) == 3
    assert pairing.eligible(users, merged, Annotation(real_users=0, synthetic_users=0), 1) == []


def test_attributes_of_a_user_who_was_dropped_meet_nothing_and_are_counted() -> None:
    users = users_table(5).with_columns(kept=pl.col("user_id") != "chat/u3")
    merged = attributes(5)
    chosen = pairing.eligible(users, merged, Annotation(), 1)
    assert sorted(chosen) == ["chat/u0", "chat/u1", "chat/u2", "chat/u4"]
    steps = pairing._steps(requests(), requests(), users, merged, chosen, table("pairing").empty(), Pairing())
    counted = {step: (n, note) for step, n, note in steps}
    assert counted["users with attributes"] == (
        4,
        "1 more are dropped by the filters, and their attributes meet no request",
    )


# --- Counts -------------------------------------------------------------------------------------------


@given(st.integers(0, 1000), st.integers(0, 5), st.randoms())
def test_the_counts_of_the_steps_add_up(seed: int, users: int, chance: random.Random) -> None:
    def random_answer(request: Request) -> Answer:
        if chance.random() < 0.2:
            return Answer(error="refused", detail="")
        return Answer(json.dumps({"relevant": [n for n in (1, 2, 3) if chance.random() < 0.5]}))

    made = pair(seed, brought=attributes(users, 3), say=random_answer)
    steps = dict(pair_counts.funnel(made).select("step", "n").iter_rows())
    outcomes = pair_counts.decisions(made)
    rows = pair_counts.by_request(made)
    assert steps["combinations of a request and a user"] == 8 * users == outcomes["combinations"].sum()
    assert steps["combinations that pass the filter"] == rows["passed"].sum()
    assert steps["combinations drawn"] == rows["users"].sum() <= 4 * 8
    assert steps["pairs of a request and an attribute"] == rows["pairs"].sum() == 3 * steps["combinations drawn"]
    assert steps["requests without pairs"] == len(rows.filter(pairs=0))
    assert outcomes.is_empty() or outcomes["share"].sum() == pytest.approx(1)


def test_requests_that_nobodys_attributes_meet_are_named() -> None:
    def not_for_two(request: Request) -> Answer:
        meets = request.slots["prompt"] not in ("Request 2.", "Request 7.")
        return Answer('{"relevant": [1, 2]}' if meets else '{"relevant": [1]}')

    made = pair(say=not_for_two, rules=Pairing(sample=12, prompts="q.jsonl"))
    assert pair_counts.without_pairs(made) == ["q02", "q07"]
    notes = dict(pair_counts.funnel(made).select("step", "note").iter_rows())
    assert notes["requests without pairs"] == "q02, q07"
    assert notes["requests with fewer than 4 users"] == "q02, q07"
    said = pair_counts.sentence(made, Pairing(prompts="q.jsonl"), 1)
    assert said.startswith(
        "10 of 12 requests meet attributes of 9 users: 240 pairs, 24 for the median request (24 to 24)"
    )
    assert "it lets 83.3% (95% interval" in said


@pytest.mark.parametrize("users", [0, 1])
def test_without_users_or_passes_the_page_says_so_and_has_its_figure(users: int, tmp_path: Path) -> None:
    made = pair(brought=attributes(users), say=lambda _: Answer('{"relevant": []}'))
    assert made.pairs.is_empty()
    said = pair_counts.sentence(made, Pairing(prompts="q.jsonl"), 1)
    assert ("meet nobody" in said) == (users == 0)
    assert "nan" not in said
    assert pairs_per_request(pair_counts.by_request(made).to_pandas())
    assert pairs_per_request(pair_counts.by_request(made).head(0).to_pandas(), filtered=False)
    dollars = pair_counts.by_request(made).with_columns(prompt_id=pl.lit(r"$\frac{$"))
    pairs_per_request(dollars.to_pandas()).savefig(tmp_path / "dollars.png")


def test_worded_pairs_carry_their_request_in_their_own_order() -> None:
    made = pair()
    found = pairing.worded(made.pairs.reverse(), made.prompts)
    assert found["pair_id"].to_list() == made.pairs.reverse()["pair_id"].to_list()
    assert found["prompt"].to_list() == [f"Request {int(name[1:])}." for name in found["prompt_id"]]


def test_the_papers_size_is_planned_from_limas_real_file(shared_data: Path) -> None:
    file = read_prompts(shared_data / "lima" / "lima_prompts_1030.jsonl")
    assert len(file) == 1030
    made = pair(prompts=file, brought=attributes(47, 24), rules=Pairing(prompts="lima.jsonl"))
    assert len(made.prompts) == 41
    assert len(made.pairing) == 41 * 47
    assert len(made.pairs) == 24 * made.pairing["chosen"].sum() == 24 * 4 * 41


# --- A study ------------------------------------------------------------------------------------------

STUDY = "title: T\nsources: [{name: chat, format: chatlog, path: chats.jsonl}]\n"


def study_of(workspace: Path, more: str = "") -> Study:
    folder = add_study(workspace, "mine", STUDY + more)
    study = Study.open("mine")
    columns = table("users").columns
    lacking = [pl.lit(None, dtype).alias(name) for name, dtype in columns.items() if name not in users_table().columns]
    (folder / "tables").mkdir(exist_ok=True)
    from recenter_utils import provenance

    for name, frame in (
        ("users", users_table().with_columns(lacking).select(list(columns))),
        ("merged_attributes", attributes()),
    ):
        record = provenance.Provenance(name, "human", None)
        frame.write_parquet(study.table_path(name), metadata={provenance.METADATA_KEY: record.dumps()})
    return study


def test_a_study_without_requests_says_how_to_add_them(workspace: Path) -> None:
    made = pairing.pair(study_of(workspace), progress=False)
    for name in ("prompts", "pairing", "pairs"):
        assert check(name, getattr(made, name)).is_empty()
    assert "pairing.prompts" in pair_counts.sentence(made, Pairing(), 1)
    assert pair_counts.funnel(made).is_empty()


def test_a_file_of_requests_that_is_not_there_is_named(workspace: Path) -> None:
    study = study_of(workspace, "pairing: {prompts: none.jsonl}\n")
    with pytest.raises(RecenterError, match=re.escape(f"There are no requests at {study.folder / 'none.jsonl'}")):
        pairing.pair(study, progress=False)


def test_a_study_is_paired_by_its_settings(workspace: Path) -> None:
    study = study_of(workspace, "pairing: {prompts: q.jsonl, sample: 3, users: 2, least: 1, origin: simulated}\n")
    lines = [json.dumps({"prompt_id": f"q{n}", "text": f"Cook dish {n} for a user who likes it."}) for n in range(5)]
    (study.folder / "q.jsonl").write_text("\n".join(lines))
    made = pairing.pair(study, progress=False)
    assert len(made.prompts) == 3
    assert set(made.prompts["source"]) == {"q"}
    assert len(made.pairing) == 27
    assert made.pairing.group_by("prompt_id").agg(pl.col("chosen").sum())["chosen"].max() <= 2
    assert study.origin == "simulated+human"
    assert made.made_by == "model"


def test_the_study_file_of_a_new_study_shows_how_requests_are_named(workspace: Path) -> None:
    chats = workspace / "chats.jsonl"
    chats.write_text(json.dumps({"user_id": "u", "messages": [{"role": "user", "content": "Hello there."}]}))
    folder, _ = scaffold.new_study("mine", chats)
    text = (folder / "study.yaml").read_text()
    assert settings.load(folder / "study.yaml").pairing.prompts is None
    stage_two, mark, later = text.partition("# responses:")
    marks = r"^# (?=pairing:|  )|^#(?=   (?:pairing|relevance|prompts|origin):)"
    (folder / "study.yaml").write_text(re.sub(marks, "", stage_two, flags=re.M) + mark + later)
    loaded = settings.load(folder / "study.yaml")
    assert loaded.pairing.prompts == "requests.jsonl"
    assert loaded.models.relevance == ("embedded-plain",)
    example = re.search(r"\{\"prompt_id\".*\}", text)
    assert example
    (folder / "requests.jsonl").write_text(example[0])
    assert read_prompts(folder / "requests.jsonl")["prompt_id"].to_list() == ["q1"]
