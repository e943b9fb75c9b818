"""Models judge relevance: what they say counts, and what they do not clearly say is counted."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from recenter_utils.annotation.judgments import CHECKS
from recenter_utils.errors import RecenterError
from recenter_utils.inference.engines.base import Deliver, Engine
from recenter_utils.inference.models import Model, load_models
from recenter_utils.inference.requests import Answer, Request
from recenter_utils.relevance import judging, pairing, raters, thresholds
from recenter_utils.relevance.consensus import consensus
from recenter_utils.tables import check, table
from tests.relevant import PEOPLE, judgments_of, pairs_of

#: What each model says, to a request about an attribute of some place.
SAID: dict[str, Any] = {
    "always-yes": lambda place: Answer("It might.\nAnswer: YES", score=0.9),
    "never-ends": lambda place: Answer("Yes, I think that it matters"),
    "fails": lambda place: Answer(error="server", detail="down"),
    "mixed": lambda place: (
        Answer("It does.\nAnswer: YES")
        if place == 0
        else Answer("It does not.\nAnswer: NO")
        if place == 1
        else Answer("Answer: MAYBE")
        if place == 2
        else Answer(error="refused", detail="no")
    ),
}


class Scripted(Engine):
    """Answers as SAID, by the attribute's place."""

    async def ask(self, requests: Iterator[Request], deliver: Deliver) -> None:
        for request in requests:
            deliver(request, SAID[self.model.name](int(request.slots["attribute"].split()[1])))


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("recenter_utils.inference.run.open_engine", Scripted)


def model(name: str) -> Model:
    return Model(name=name, engine="openai", base_url="http://127.0.0.1:9")


def worded(prompts: int = 3, attributes: int = 4) -> pl.DataFrame:
    pairs = pairs_of(prompts, attributes, users=2)
    return pairs.with_columns(prompt=pl.format("Request {}?", "prompt_id"))


@pytest.mark.usefixtures("scripted")
def test_answers_become_judgments_with_the_label_the_grade_and_the_reasoning() -> None:
    items = worded()
    found, failures = judging.ask(items, [model("always-yes"), model("mixed")], progress=False)
    check("relevance_judgments", found)
    always = found.filter(rater="always-yes")
    assert always["item_id"].to_list() == items["pair_id"].to_list()
    assert always.select("task", "rater_kind", "label", "score", "reason").unique().rows() == [
        ("relevance", "llm", "yes", 0.9, "It might.")
    ]
    mixed = found.filter(rater="mixed").join(items.select("place", item_id="pair_id"), on="item_id")
    assert set(mixed.select("place", "label", "score", "reason").rows()) == {
        (0, "yes", None, "It does."),
        (1, "no", None, "It does not."),
    }
    assert failures.rows() == [("mixed", "unparsed", 3), ("mixed", "refused", 3)]
    assert judging.worth_asking(failures) == 0


@pytest.mark.usefixtures("scripted")
def test_an_answer_without_a_grade_does_not_pass_for_the_surest_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its grades rank as people do; where it gave none it is wrong, and a label's number would undo the rank."""
    people = judgments_of(pairs_of(6, 20), seed=1, raters=PEOPLE)
    pairs = pairs_of(6, 20).with_columns(prompt=pl.lit("Plan a dinner."))
    said = dict(people.group_by("item_id").agg((pl.col("label") == "yes").mean()).iter_rows())
    relevant = {pair: said[pair] > 0.5 for pair in pairs["pair_id"]}
    asked = dict(zip(pairs["attribute"], pairs["pair_id"], strict=True))

    class Grading(Engine):
        async def ask(self, requests: Iterator[Request], deliver: Deliver) -> None:
            for request in requests:
                place = int(str(request.slots["attribute"]).split()[1])
                yes = relevant[asked[str(request.slots["attribute"])]]
                if place < 5:  # no grade, and wrong
                    deliver(request, Answer(f"So.\nAnswer: {'NO' if yes else 'YES'}"))
                else:
                    deliver(request, Answer("So.\nAnswer: YES", score=0.8 if yes else 0.6))

    monkeypatch.setattr("recenter_utils.inference.run.open_engine", Grading)
    found, _ = judging.ask(pairs, [model("partly")], progress=False)
    assert found["score"].null_count() == 6 * 5
    every = pl.concat([people, found])
    measured = thresholds.measure(every, pairs.drop("prompt"), consensus(every, pairs), draws=50)
    rows = measured.filter(reference="majority").rows_by_key("statistic", named=True, unique=True)
    assert (rows["kappa_matched"]["value"], rows["auc"]["value"]) == (1, 1)
    assert (rows["kappa_matched"]["n"], rows["kappa"]["n"]) == (90, 120)
    assert rows["auc"]["reason"].startswith("30 of 120 answers have no graded score and are left out")


@pytest.mark.usefixtures("scripted")
def test_a_model_without_any_grade_is_compared_as_it_answers_and_cut_nowhere() -> None:
    people = judgments_of(pairs_of(3, 4), seed=1, raters=PEOPLE)
    found, _ = judging.ask(worded(), [model("mixed")], progress=False)
    every = pl.concat([people, found])
    measured = thresholds.measure(every, pairs_of(3, 4), consensus(every, pairs_of(3, 4)), draws=50)
    assert measured.filter(statistic="kappa_matched")["value"].null_count() == len(PEOPLE) + 2
    assert (
        "nothing can be cut elsewhere" in measured.filter(statistic="kappa_matched", reference="majority")["reason"][0]
    )
    assert measured.filter(statistic="kappa", reference="majority")["n"].item() == 6


@pytest.mark.usefixtures("scripted")
def test_what_a_model_did_not_say_is_counted_and_in_no_rate() -> None:
    items = worded()
    names = ["always-yes", "mixed", "never-ends"]
    found, failures = judging.ask(items, [model(name) for name in names], progress=False)
    who = raters.summary(found, failures, CHECKS.to_frame(), items.drop("prompt"))
    check("relevance_raters", who)
    columns = ("rater", "n_pairs", "n_answered", "n_yes", "yes_rate", "n_unparsed", "n_errors", "reason")
    assert who.select(columns).rows() == [
        ("always-yes", 12, 12, 12, 1.0, 0, 0, None),
        ("mixed", 12, 6, 3, 0.5, 3, 3, None),
        ("never-ends", 12, 0, 0, None, 12, 0, "there is no usable answer"),
    ]
    assert (who["n_answered"] + who["n_unparsed"] + who["n_errors"] == who["n_pairs"]).all()
    shown = raters.for_page(who, {name: name for name in names})
    assert shown["not_asked_or_skipped"].to_list() == [0, 0, 0]


@pytest.mark.usefixtures("scripted")
def test_a_model_whose_server_answers_nothing_stops_the_work() -> None:
    with pytest.raises(RecenterError, match="'fails' answered none of 12 requests"):
        judging.ask(worded(), [model("fails")], progress=False)


def test_what_the_budget_left_over_is_worth_asking_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("recenter_utils.inference.run.open_engine", Scripted)
    monkeypatch.setitem(
        SAID, "dear", lambda place: Answer("So.\nAnswer: NO", prompt_tokens=1_000_000, completion_tokens=0)
    )
    dear = Model.model_validate(
        {
            "name": "dear",
            "engine": "openai",
            "base_url": "http://127.0.0.1:9",
            "price": {"input": 1.0, "output": 1.0},
        }
    )
    found, failures = judging.ask(worded(), [dear], max_cost=0.0, progress=False)
    assert found.is_empty()
    assert failures.rows() == [("dear", "budget", 12)]
    assert judging.worth_asking(failures) == 12


@pytest.mark.usefixtures("scripted")
def test_what_is_in_the_cache_is_not_asked_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = tmp_path / "answers.sqlite"
    first, _ = judging.ask(worded(), [model("always-yes")], cache=cache, progress=False)
    monkeypatch.setitem(SAID, "always-yes", lambda place: Answer("No.\nAnswer: NO"))
    again, _ = judging.ask(worded(), [model("always-yes")], cache=cache, progress=False)
    assert again.equals(first)


def test_without_pairs_nobody_is_asked() -> None:
    pairs, prompts = table("pairs").empty(), table("prompts").empty()
    found, failures = judging.ask(pairing.worded(pairs, prompts), [model("fails")], progress=False)
    assert found.equals(table("relevance_judgments").empty())
    assert failures.schema == {"rater": pl.String, "error": pl.String, "n": pl.Int64}
    assert failures.is_empty()


def test_embedded_models_answer_every_pair_with_a_grade() -> None:
    plain = load_models()["embedded-plain"]
    attributes = ["Avoids gluten.", "Has a cat.", "Prefers short answers.", "Is learning Polish."]
    items = worded(1).with_columns(attribute=pl.Series(attributes), prompt=pl.lit("Plan five quick dinners."))
    found, failures = judging.ask(items, [plain], progress=False)
    assert failures.is_empty()
    assert found["item_id"].to_list() == items["pair_id"].to_list()
    assert found["score"].is_between(0, 1).all()
    assert found["score"].n_unique() > 2
