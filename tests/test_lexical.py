"""The lexical detector: a response names an attribute where a phrase to its reader holds the attribute's words."""

from __future__ import annotations

import random
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recenter_utils.inference.rules.naming import claims
from recenter_utils.responses.lexical import mentions

NAMED = [
    ("Since you live in Porto, take the tram.", "Lives in Porto."),
    ("As a vegetarian, you will like this.", "Is vegetarian."),
    ("As a vegetarian you will like this.", "Is a vegetarian."),
    ("Given your interest in machine learning, start with Python.", "Is interested in machine learning."),
    ("You're a nurse who works nights, so sleep late.", "Works as a nurse."),
    ("Because you avoid gluten, use rice.", "Avoids gluten."),
    ("Let your baby sleep.", "Has a baby."),
    ("You mentioned that you play the guitar, so use it.", "Plays the guitar."),
    ("With your love of swimming, the pool is an option.", "Swims regularly."),
    ("I know you have asthma; go slowly.", "Has asthma."),
    ("Since you like hiking, cooking, and chess, go north.", "Plays chess."),
    ("Your tight budget allows two.", "Lives on a tight budget."),
    ("Since you’re learning Polish, try this.", "Is learning Polish."),
    ("As someone who is left-handed, turn it.", "Is left-handed."),
    ("As you are left-handed, turn it.", "The user is left-handed."),
    ("Since you prefer simple explanations without jargon, here goes.", "Prefers simple explanations without jargon."),
    ("Considering your back pain, avoid it.", "Suffers from back or joint pain."),
    ("1. **Since you bake bread**, plan mornings.", "Bakes bread and cakes."),
    ("This suits you as a nurse.", "Works as a nurse."),
    ('"Well," she says, as you are a nurse, "rest."', "Works as a nurse."),
    ("As you have a husband and you have a grandchild, I kept both in mind.", "Has a husband."),
    ("As you have a husband and you have a grandchild, I kept both in mind.", "Has a grandchild."),
    ("As you run regularly, this suits you.", "Runs regularly."),
    ("Because you keep bees and you teach at a school, I kept both in mind.", "Teaches at a school."),
    ("| What | How |\n|---|---|\n| Since you program in Rust: | Put it online. |", "Programs in Rust."),
    ("## Since you live in Porto\n\nTake the tram.", "Lives in Porto."),
    ("You program in Python, so write a script.", "Programs in Python."),
    ("It is fine.\n\n- Given that you're a bio student, read on", "Is a bio student."),
]
NOT_NAMED = [
    ("You could visit Porto.", "Lives in Porto."),
    ("If you live in Porto, take the tram.", "Lives in Porto."),
    ("Porto is nice. You are ready.", "Lives in Porto."),
    ("Keep your back straight.", "Suffers from back or joint pain."),
    ("Set up your budget.", "Lives on a tight budget."),
    ("As an example, a nurse might sleep.", "Works as a nurse."),
    ("Use rice flour: it holds no gluten.", "Avoids gluten."),
    ('Write: "As a nurse, I have worked for ten years."', "Works as a nurse."),
    ("Practise the guitar for ten minutes.", "Plays the guitar."),
    ("Would you like a recipe without gluten?", "Avoids gluten."),
    ("```\n# as a nurse, you\n```", "Works as a nurse."),
    ("Since you live in Porto, try the local guitar music and food.", "Plays the guitar."),
    ("Since you live in Lisbon, take the tram.", "Lives in Porto."),
    ("As you have a husband and you have a grandchild, I kept both in mind.", "Has a husband with a grandchild."),
    ("> As a nurse, you know this.", "Works as a nurse."),
    ("", "Has asthma."),
    ("Since you are here, go.", "Is."),
    ("Since you are here, go.", ""),
]


@pytest.mark.parametrize(("text", "attribute"), NAMED)
def test_a_phrase_to_the_reader_with_the_attribute_s_words_names_it(text: str, attribute: str) -> None:
    assert mentions(text, attribute)


@pytest.mark.parametrize(("text", "attribute"), NOT_NAMED)
def test_advice_conditions_drafts_and_the_same_words_about_something_else_do_not(text: str, attribute: str) -> None:
    assert not mentions(text, attribute)


def test_it_is_found_anywhere_in_a_long_response_and_whatever_stands_around_it() -> None:
    around = "Start early. Take water with you, and keep your phone away. You could ask a friend. " * 20
    for text, attribute in NAMED:
        assert mentions(f"{around}\n\n{text}\n\n{around}", attribute), attribute
        assert not mentions(around, attribute), attribute


def test_other_words_for_the_same_thing_are_missed_as_the_page_says() -> None:
    assert not mentions("Since you do not eat meat, use tofu.", "Is vegetarian.")


def test_a_claim_keeps_its_sentence_as_it_stands_in_the_response() -> None:
    (claim,) = claims("Hello. Since you’re a nurse, sleep. Bye.")
    assert claim.sentence == "Since you're a nurse, sleep."
    assert claim.phrase == "are a nurse"


@settings(max_examples=150, deadline=None)
@given(text=st.text(max_size=400), attribute=st.text(max_size=60))
def test_any_text_has_an_answer_and_always_the_same(text: str, attribute: str) -> None:
    first = mentions(text, attribute)
    claims.cache_clear()
    assert mentions(text, attribute) is first
    assert claims(text) == claims(text)


def test_hostile_text_takes_no_longer_than_other_text() -> None:
    rng = random.Random(0)
    pieces = ["your ", "since you ", "as a ", ", and ", "-" * 50, "a, b, c, ", "word ", "'", "you are ", "(" * 20, "\n"]
    texts = ["your " * 4000, "since you a, b and " * 1500, "x" * 20_000, "a-" * 8000, ", and" * 4000]
    texts += ["".join(rng.choices(pieces, k=2500)) for _ in range(3)]
    start = time.perf_counter()
    for text in texts:
        mentions(text, "Works as a nurse.")
    assert time.perf_counter() - start < 4
