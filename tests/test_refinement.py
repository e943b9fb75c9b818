"""Verify-and-refine: what is flagged goes back, rounds end, and withdrawing is never sold as mending."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from recenter_utils.annotation import pages as annotation_pages
from recenter_utils.annotation import simulation
from recenter_utils.annotation.judgments import items_of
from recenter_utils.annotation.refined_pages import refined_pages
from recenter_utils.attributes import acceptance, refinement
from recenter_utils.attributes.snippets import SCHEMA
from recenter_utils.inference.engines.base import Deliver, Engine
from recenter_utils.inference.models import Model, load_models
from recenter_utils.inference.requests import Answer, Request
from recenter_utils.inference.rules import RULES, Dials
from recenter_utils.inference.tasks import AttributeRefinement
from recenter_utils.study import Study
from recenter_utils.tables import TABLES, check


class Verifier:
    """Flags what has `doubtful` in it."""

    threshold = 0.5

    def scores(self, texts: list[str], attributes: list[str]) -> np.ndarray:
        return np.array([0.9 if "doubtful" in attribute else 0.1 for attribute in attributes])


class Extractor(Engine):
    """Does with an attribute what its own words say."""

    asked: list[str] = []  # noqa: RUF012

    async def ask(self, requests: Iterator[Request], deliver: Deliver) -> None:
        for request in requests:
            attribute = request.slots["attribute"]
            self.asked.append(attribute)
            assert "%" in request.slots["objection"]
            answer = {"action": "revise", "attribute": attribute, "reason": "r", "confidence": 0.7}
            answer["evidence_turns"] = [0, 1, 99]  # the assistant's turn and one that is not there are no evidence
            if "withdraw" in attribute:
                answer |= {"action": "withdraw", "attribute": "", "confidence": 0.0, "evidence_turns": []}
            elif "mend" in attribute:
                answer["attribute"] = "Mended."
            elif "slowly" in attribute:
                answer["attribute"] = attribute.replace("slowly ", "mend ")
            elif "endless" in attribute:
                answer["attribute"] = attribute + " endless"
            deliver(request, Answer("odd" if "odd" in attribute else json.dumps(answer)))


def items(*attributes: str) -> pl.DataFrame:
    turns = [
        {"turn": i, "conversation": 0, "role": role, "content": "x"} for i, role in enumerate(("user", "assistant"))
    ]
    places = [{"conversation_id": "c", "turn": 4}, {"conversation_id": "c", "turn": 5}]
    rows = [
        {"attribute_id": f"a{number}", "user_id": f"u{number % 3}", "attribute": attribute, "reason": "why"}
        | {"snippet": turns, "evidence_turns": [0], "places": places}
        for number, attribute in enumerate(attributes)
    ]
    return pl.DataFrame(rows, schema=SCHEMA)


@pytest.fixture
def extractor(monkeypatch: pytest.MonkeyPatch) -> Model:
    monkeypatch.setattr("recenter_utils.inference.run.open_engine", Extractor)
    monkeypatch.setattr(Extractor, "asked", [])
    return Model(name="extractor", engine="openai", base_url="http://127.0.0.1:9")


def refined(extractor: Model, *attributes: str, rounds: int = 2) -> tuple[pl.DataFrame, pl.DataFrame]:
    verified = refinement.scored(items(*attributes), Verifier())  # type: ignore[arg-type]
    rows, missing = refinement.refine(verified, Verifier(), extractor, rounds, progress=False)  # type: ignore[arg-type]
    assert missing == 0
    return check("refinements", rows), refinement.final(rows)


def test_each_flagged_attribute_ends_one_way_and_what_passes_is_left_alone(extractor: Model) -> None:
    rows, ended = refined(
        extractor,
        "doubtful withdraw",
        "doubtful mend",
        "doubtful slowly this",
        "doubtful keep",
        "doubtful odd",
        "doubtful endless",
        "fine",
    )
    found = {
        row["before"]: (row["action"], row["attribute"], row["flagged"], row["rounds"]) for row in ended.to_dicts()
    }
    assert found == {
        "doubtful withdraw": ("withdrawn", None, None, 1),
        "doubtful mend": ("revised", "Mended.", False, 1),
        "doubtful slowly this": ("revised", "Mended.", False, 2),
        "doubtful keep": ("kept", "doubtful keep", True, 1),
        "doubtful odd": ("error", "doubtful odd", True, 1),
        "doubtful endless": ("revised", "doubtful endless endless endless", True, 2),
    }
    assert "fine" not in Extractor.asked
    assert Extractor.asked.count("doubtful keep") == Extractor.asked.count("doubtful withdraw") == 1
    assert rows.filter(pl.col("action") == "error")["error"].to_list() == ["unparsed"]
    ids = dict(ended.select("before", "item_id").iter_rows())
    assert ids["doubtful slowly this"] == "a2@2"
    assert ids["doubtful keep"] == "a3@0"  # no word changed: one item, judged once
    counts = dict(refinement.summary(ended, 7).iter_rows())
    assert counts["flagged"] == sum(n for what, n in counts.items() if what not in ("verified", "flagged")) == 6


def test_rounds_are_at_most_those_of_the_settings(extractor: Model) -> None:
    for rounds in (1, 3):
        rows, _ = refined(extractor, "doubtful endless", rounds=rounds)
        assert rows["round"].to_list() == list(range(1, rounds + 1))
        assert rows["item_id"].to_list() == [f"a0@{number}" for number in rows["round"]]


def test_a_revision_rests_on_turns_of_the_users_own(extractor: Model) -> None:
    rows, ended = refined(extractor, "doubtful mend", "doubtful withdraw")
    assert rows["evidence"].to_list() == [[{"conversation_id": "c", "turn": 4}], []]
    assert refinement.wordings(ended, items("doubtful mend", "doubtful withdraw"))["attribute_id"].to_list() == ["a0@1"]


def test_nothing_flagged_and_no_verifier_give_empty_tables_and_one_sentence(extractor: Model) -> None:
    rows, ended = refined(extractor, "fine")
    assert rows.is_empty()
    empty = TABLES["refined_judgments"].empty()
    parts = pl.DataFrame({"item_id": ["a0"], "user_id": ["u0"]})
    long = acceptance.long(ended, empty, empty, empty, parts)
    assert acceptance.rates(long, 0).is_empty()
    assert acceptance.changes(long, 0).is_empty()
    assert "flagged none of 1" in acceptance.sentence(ended, long, 1, 0)
    without = refinement.scored(items("doubtful"), None)
    rows, _ = refinement.refine(without, None, extractor, 2)
    assert check("refinements", rows).is_empty()
    assert acceptance.sentence(ended, long, 0, 0, "no attribute has been judged") == (
        "Nothing was refined, because no attribute has been judged."
    )


def judged(labels: dict[str, bool], rater: str = "annotator-1", kind: str = "simulated") -> pl.DataFrame:
    blank = dict.fromkeys(TABLES["refined_judgments"].columns)
    rows = [
        blank
        | {"task": "attribute_quality", "item_id": item, "rater": rater, "rater_kind": kind, "flagged": False}
        | {"label": "accepted" if accepted else "rejected"}
        for item, accepted in labels.items()
    ]
    return pl.DataFrame(rows, schema=TABLES["refined_judgments"].columns)


def ended(**actions: str) -> pl.DataFrame:
    """Return ends of attributes: what became of each, by its id."""
    rows = [
        {
            "attribute_id": name,
            "user_id": f"u{number % 4}",
            "attribute": None if action == "withdrawn" else "Now.",
            "item_id": f"{name}@{int(action == 'revised')}",
            "action": action,
        }
        for number, (name, action) in enumerate(actions.items())
    ]
    return pl.DataFrame(rows)


def effects(ends: pl.DataFrame, again: pl.DataFrame, first: pl.DataFrame | None = None) -> tuple[float, float, str]:
    parts = ends.select("user_id", item_id="attribute_id")
    first = TABLES["quality_judgments"].empty() if first is None else first
    long = acceptance.long(ends, again, first, TABLES["verifier_judgments"].empty(), parts)
    judge = "simulated annotators"
    by_withdrawing = acceptance.change(long, judge, acceptance.BEFORE, acceptance.REMAINING, 0).value
    by_revising = acceptance.change(long, judge, acceptance.REMAINING, acceptance.AFTER, 0).value
    return by_withdrawing, by_revising, acceptance.sentence(ends, long, len(ends), 0)


def test_acceptance_that_rises_by_withdrawing_alone_is_called_that() -> None:
    ends = ended(a="withdrawn", b="withdrawn", c="kept", d="kept")
    again = judged({"a@0": False, "b@0": False, "c@0": True, "d@0": True})
    by_withdrawing, by_revising, said = effects(ends, again)
    assert (by_withdrawing, by_revising) == (0.5, 0.0)
    assert "50% remain" in said
    assert "simulated annotators is 50% of all that were flagged and 100% of what remains" in said


def test_acceptance_that_rises_by_mending_is_called_that() -> None:
    ends = ended(a="revised", b="revised", c="revised", d="kept")
    again = judged({"a@0": False, "b@0": False, "c@0": False, "d@0": True, "a@1": True, "b@1": True, "c@1": False})
    by_withdrawing, by_revising, _ = effects(ends, again)
    assert (by_withdrawing, by_revising) == (0.0, 0.5)


def test_looking_better_when_judged_anew_is_no_effect_of_refining() -> None:
    ends = ended(a="kept", b="kept", c="kept", d="kept")
    first = judged(dict.fromkeys("abcd", False))
    again = judged({"a@0": True, "b@0": True, "c@0": False, "d@0": False})
    by_withdrawing, by_revising, _ = effects(ends, again, first)
    assert (by_withdrawing, by_revising) == (0.0, 0.0)
    parts = ends.select("user_id", item_id="attribute_id")
    long = acceptance.long(ends, again, first, TABLES["verifier_judgments"].empty(), parts)
    assert acceptance.change(long, "simulated annotators", acceptance.FIRST, acceptance.BEFORE, 0).value == 0.5


def test_excluded_annotators_and_verdicts_on_other_items_do_not_count() -> None:
    ends = ended(a="revised")
    people = pl.concat([judged({"a@0": True}), judged({"a@0": False}, "annotator-5")])
    after = judged({"a@1": True}, "m (criteria)", "llm")
    verdicts = judged({"a": False, "elsewhere": True}, "m (criteria)", "llm")
    again = acceptance.together(people, after, verdicts, ends, ("annotator-5",))
    check("refined_judgments", again)
    assert again.select("item_id", "rater").rows() == [
        ("a@0", "annotator-1"),
        ("a@0", "m (criteria)"),
        ("a@1", "m (criteria)"),
    ]


def refine_by_rule(attribute: str, *contents: str, reason: str = "") -> AttributeRefinement:
    turns = [
        {"turn": i, "conversation": 0, "role": "assistant" if i % 2 else "user", "content": text}
        for i, text in enumerate(contents)
    ]
    slots = {"snippet": turns, "attribute": attribute, "reason": reason, "objection": "people may not accept it"}
    dials = Dials.of(load_models()["embedded-broad"].options, "embedded-broad")
    return AttributeRefinement.model_validate(RULES["attribute_refinement"](slots, dials))


def test_the_rule_keeps_what_is_stated_narrows_what_is_guessed_and_withdraws_the_rest() -> None:
    kept = refine_by_rule("Keeps bees.", "I keep bees behind the shed.", "Nice.")
    assert (kept.action, kept.attribute, kept.evidence_turns) == ("revise", "Keeps bees.", [0])
    narrowed = refine_by_rule(
        "Follows a vegan diet.",
        "I am vegetarian, so what can I order at a steakhouse?",
        "Ask.",
        reason="speaks of food",
    )
    assert (narrowed.action, narrowed.attribute) == ("revise", "Is vegetarian.")
    for attribute, said in (
        ("Is learning Portuguese.", "put this message into Portuguese, a buyer wants it: the van is ready"),
        ("Hates the navy.", 'write the diary of a pirate: "I hate the navy."'),
        ("Wants the title moved to the end.", "move the title to the end"),
        ("Has a boat.", "what is the capital of Peru?"),
    ):
        assert refine_by_rule(attribute, said, "Done.").action == "withdraw", attribute


def test_a_revision_without_words_is_no_answer() -> None:
    with pytest.raises(ValueError, match="new words"):
        AttributeRefinement(action="revise", attribute=" ", reason="", confidence=0.5, evidence_turns=[])


# -- the demo ---------------------------------------------------------------------------------------------


@pytest.fixture
def demo(finished_demo: Path, monkeypatch: pytest.MonkeyPatch) -> Study:
    monkeypatch.setenv("RECENTER_ROOT", str(finished_demo))
    return Study.open("demo")


def test_pages_show_both_wordings_and_nothing_says_which_is_which(demo: Study) -> None:
    pages = annotation_pages.check(refined_pages(demo, checks=3), "attribute_quality", "the demo")
    ends = refinement.final(demo.frame("refinements"))
    shown = {item.item_id: item for page in pages for item in page.items if item.expected is None}
    revised = ends.filter(action="revised")
    assert set(shown) == {f"{name}@0" for name in ends["attribute_id"]} | set(revised["item_id"])
    assert len(revised)
    for row in revised.to_dicts():
        before, after = shown[f"{row['attribute_id']}@0"], shown[row["item_id"]]
        assert (before.attribute, after.attribute) == (row["before"], row["attribute"])
        assert after.evidence
    assert sum(item.expected is not None for page in pages for item in page.items) == 3
    assert len(items_of(pages)) == len(shown)


def test_on_the_demo_every_flagged_attribute_is_accounted_for(demo: Study) -> None:
    rows, parts = demo.frame("refinements"), demo.frame("verifier_split")
    test = set(parts.filter(split="test")["item_id"])
    assert set(rows["attribute_id"]) <= test  # what the verifier learned from is not refined
    verdicts = demo.frame("verifier_judgments").filter(rater_kind="trained")
    flagged = set(verdicts.filter(pl.col("label") != "accepted")["item_id"])
    assert set(rows["attribute_id"]) == flagged
    again = demo.frame("refined_judgments")
    assert set(again["rater_kind"]) == {"simulated", "llm"}
    ends = refinement.final(rows)
    wordings = set(ends.filter(action="revised")["item_id"])
    assert wordings <= set(again.filter(rater_kind="llm")["item_id"])
    # Simulated annotators judge each revised wording that a truth is written for. Which ones are revised may differ
    # by machine, since the trained verifier's last digits do.
    assert demo.simulated
    known = {tuple(row) for row in simulation.truth(demo.simulated).select("user_id", "attribute").iter_rows()}
    revised = ends.filter(action="revised").select("item_id", "user_id", "attribute").iter_rows()
    with_truth = {item for item, *wording in revised if tuple(wording) in known}
    assert with_truth <= set(again.filter(rater_kind="simulated")["item_id"])


def test_the_demo_publishes_no_attribute_as_peoples(finished_demo: Path) -> None:
    from recenter_utils import provenance

    for name in ("refinements", "refined_judgments", "verifier_scores"):
        path = finished_demo / "data" / "demo" / "tables" / f"{name}.parquet"
        origin: Any = provenance.read(path).origin
        assert "simulated" in origin
        assert "human" not in origin
