"""A refusal in words is told from an answer by how it begins and how long it is."""

from __future__ import annotations

import time

import pytest

from recenter_utils.responses.refusals import LONGEST, is_refusal


@pytest.mark.parametrize(
    "text",
    [
        "I can't help with that.",
        "I’m sorry, but I can’t assist with that request.",
        "Sorry, I can't help with this. If you are in danger, please call somebody.",
        "I cannot and will not provide instructions for making weapons.",
        "As an AI language model, I cannot write that.",
        "I'm unable to help with that request.",
        "Unfortunately, I can't create that content. I could help you to write about safety instead.",
        "I have to decline this request.",
        "That's not something I can help with.",
        "I apologize, but I cannot fulfill this request.",
        "**I won't write this.**",
        "I'm not comfortable writing that.",
        "I'm sorry, I can't do that. Here are others you could ask:\n- a doctor\n- a lawyer",
    ],
)
def test_a_refusal_is_known_by_how_it_begins(text: str) -> None:
    assert is_refusal(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "I'm sorry to hear that you had a stressful day. Try a bath.",
        "I can't recommend just one book, so here are three: A, B and C.",
        "I can't know your situation, but a pet takes time.",
        "I cannot stress this enough: sleep matters.",
        "I can't wait to help! Here are five dinners.",
        "I will not pretend that it is easy: start small.",
        "Sorry for the delay! Here is your plan.",
        "Dear colleagues, I'm sorry that I can't help with the move on Monday.",
        "I could help you plan: start with pasta.",
        "I'm not able to see your calendar, so I assume Monday.",
        "A letter: 'I am unable to assist.'",
        "I can't help with a diagnosis. What I can say:\n- rest\n- drink\n- see a doctor",
        "I can't provide everything here. " + "But this much is certain. " * (LONGEST // 4),
    ],
)
def test_a_response_that_says_what_it_cannot_do_and_goes_on_is_none(text: str) -> None:
    assert not is_refusal(text)


@pytest.mark.parametrize("piece", ["thank you ", "no, ", "sorry ", "I am ", "I can't to be ", "as an AI ", "\n", "- "])
def test_no_text_takes_long_to_be_told(piece: str) -> None:
    started = time.perf_counter()
    is_refusal(piece * 100_000)
    is_refusal(piece * 30)
    assert time.perf_counter() - started < 1
