"""The rules that say why an attribute was not accepted: they read the excerpt, and the category follows from words."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recenter_utils.attributes.categories import CANDIDATES
from recenter_utils.inference import tasks
from recenter_utils.inference.models import load_models
from recenter_utils.inference.rules import RULES, Dials

OFFERED = [{"name": category.name, "definition": category.definition} for category in CANDIDATES]
EMBEDDED = {name: model for name, model in load_models().items() if model.engine == "embedded"}


def case(attribute: str, *contents: str, reason: str = "", judgment: str = "rejected", cited: int = 0) -> dict:
    """Return the slots of a case whose turns alternate, the user first; `cited` is the turn it is said to rest on."""
    roles = ("user", "assistant")
    excerpt = [
        {"turn": i, "conversation": 0, "role": roles[i % 2], "cited": i == cited, "content": text}
        for i, text in enumerate(contents)
    ]
    return {"judgment": judgment, "attribute": attribute, "reason": reason, "notes": [], "excerpt": excerpt}


def why(slots: dict[str, Any], model: str = "embedded-plain") -> str:
    dials = Dials.of(EMBEDDED[model].options, model)
    return tasks.FlagReason.model_validate(RULES["flag_reason"](slots, dials)).inferred_reason


def sort(*reasons: str, offered: list[dict[str, str]] = OFFERED, evidence: str = "") -> dict[str, Any]:
    cases = [
        {"case": n, "attribute": "Is tall.", "why": reason, "evidence": evidence} for n, reason in enumerate(reasons, 1)
    ]
    return RULES["flag_category"]({"categories": offered, "cases": cases}, Dials())


def category(reason: str) -> str:
    return sort(reason)["classifications"][0]["category"]


@pytest.mark.parametrize(
    ("slots", "kind"),
    [
        (case("Wants it shorter.", "who was Kepler", "...", "make it shorter", cited=2), "not_standalone"),
        (case("Is interested in the second verse.", "explain the second verse of this"), "not_standalone"),
        (case("Is a pastry chef.", 'write a letter: "I am a pastry chef and I bake"'), "task_context_confusion"),
        (case("Has a sword.", "Let's roleplay. I am a knight and I have a sword."), "task_context_confusion"),
        (case("Is looking for a job.", "my mate wants a cover letter for a job at a zoo"), "task_context_confusion"),
        (case("Is vegetarian.", "dinner tonight?", "Since you are vegetarian, try a dal."), "task_context_confusion"),
        (case("Owns a sailing boat.", "how long does rice keep in the fridge?"), "missing_evidence"),
        (
            case("Programs in Rust.", "My leeks have rust. Help?", reason="The user speaks of rust."),
            "missing_evidence",
        ),
        (
            case(
                "Is learning Polish.", "how do you say see you later in Polish?", judgment="uncertain",
                reason='The user asks: "how do you say see you later in Polish?"',
            ),
            "overgeneralization",
        ),
        (case("Prefers short answers.", "who was Kepler? shorter please", judgment="uncertain"), "overgeneralization"),
        (case("Has two cats.", "I have two cats, which litter?", judgment="uncertain"), "supported"),
        (case("Lives in Porto.", "I live in Porto and need a doctor", judgment="uncertain"), "supported"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_seen_in_the_excerpt_and_sorted_by_its_words(slots: dict[str, Any], kind: str) -> None:
    assert category(why(slots)) == kind


def test_the_reason_repeats_the_words_it_rests_on() -> None:
    said = why(case("Programs in Rust.", "My leeks have rust. Help?", reason="The user speaks of rust."))
    assert '"My leeks have rust."' in said


def test_another_excerpt_gives_another_reason_for_the_same_attribute() -> None:
    attribute = "Is a pastry chef."
    said = {
        category(why(case(attribute, text, judgment="uncertain")))
        for text in (
            "I am a pastry chef, which flour for brioche?",
            'write an advertisement: "I am a pastry chef and I never sleep"',
            "what is the boiling point of water?",
        )
    }
    assert said == {"supported", "task_context_confusion", "missing_evidence"}


def test_the_literal_model_takes_a_draft_at_its_word() -> None:
    slots = case("Is a pastry chef.", 'write a letter: "I am a pastry chef and I love mornings"', judgment="uncertain")
    assert category(why(slots, "embedded-plain")) == "task_context_confusion"
    assert category(why(slots, "embedded-literal")) != "task_context_confusion"


def test_the_eager_model_believes_the_assistant() -> None:
    slots = case("Is vegetarian.", "dinner tonight?", "Since you are vegetarian, try a dal.")
    assert category(why(slots, "embedded-eager")) != "task_context_confusion"


def test_a_judges_note_stands_in_the_reason() -> None:
    slots = case("Owns a boat.", "how long does rice keep?") | {"notes": ["", "a guess, no boat anywhere"]}
    assert "a guess, no boat anywhere" in why(slots)
    torn = case("Has a boat.", "how is my boat best stored?", judgment="uncertain")
    told = torn | {"notes": ["a character in a story, fiction, not the user; a role that is played"]}
    assert category(why(torn)) != category(why(told)) == "task_context_confusion"


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        ("This overgeneralizes from a single question about a recipe.", "overgeneralization"),
        ("The user never mentions a boat, so it is unsupported.", "missing_evidence"),
        ("The trait belongs to a fictional character in the story the user drafts.", "task_context_confusion"),
        ("It describes the current task and cannot be understood without the conversation.", "not_standalone"),
        ("The attribute is well supported by what the user says; nothing is wrong.", "supported"),
    ],
)
def test_reasons_in_other_words_are_understood(reason: str, kind: str) -> None:
    assert category(reason) == kind


def test_what_a_reason_repeats_is_not_what_it_says() -> None:
    assert category('Nothing in the excerpt shows it: "the story, a role, a draft, fiction".') == "missing_evidence"


def test_a_kind_that_nobody_offered_is_proposed_with_a_definition() -> None:
    found = sort("This is no longer true, the attribute is outdated.", "The user never says so.")
    assert [row["category"] for row in found["classifications"]] == ["out_of_date", "missing_evidence"]
    assert [new["name"] for new in found["new_categories"]] == ["out_of_date"]
    assert found["new_categories"][0]["definition"]


def test_only_what_is_offered_or_proposed_is_answered() -> None:
    offered = [{"name": "rude", "definition": "The attribute insults the user."}, OFFERED[1]]
    found = sort("It insults the user and is rude.", "No evidence is visible.", "", offered=offered)
    assert [row["category"] for row in found["classifications"]][:2] == ["rude", "missing_evidence"]
    names = {row["category"] for row in found["classifications"]}
    assert names <= {category["name"] for category in [*offered, *found["new_categories"]]}


def test_the_evidence_decides_where_the_reason_says_nothing() -> None:
    found = sort("Hm.", evidence="None of the cited turns says so; it is unsupported.")
    assert found["classifications"][0]["category"] == "missing_evidence"


@settings(max_examples=60, deadline=None)
@given(
    st.text(max_size=60), st.text(max_size=120), st.lists(st.text(st.characters(), max_size=160), max_size=4),
    st.sampled_from(["uncertain", "rejected"]), st.lists(st.text(max_size=20), max_size=2),
    st.sampled_from(sorted(EMBEDDED)),
)  # fmt: skip
def test_any_text_is_answered(
    attribute: str, reason: str, contents: list[str], judgment: str, notes: list[str], model: str
) -> None:
    slots = case(attribute, *contents, reason=reason, judgment=judgment) | {"notes": notes}
    said = tasks.FlagReason.model_validate(RULES["flag_reason"](slots, Dials.of(EMBEDDED[model].options, model)))
    found = tasks.FlagCategory.model_validate(sort(said.inferred_reason, evidence=said.evidence_assessment))
    assert [row.case for row in found.classifications] == [1]
