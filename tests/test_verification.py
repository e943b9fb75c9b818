"""Verifiers: rules that read what they are given, a split that leaks nothing, and the same items for every row."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from recenter_utils.attributes import verification
from recenter_utils.attributes.snippets import SCHEMA
from recenter_utils.inference.engines.base import Deliver, Engine
from recenter_utils.inference.models import Model, load_models
from recenter_utils.inference.requests import Answer, Request
from recenter_utils.inference.rules import RULES, Dials
from recenter_utils.settings import Verifier
from recenter_utils.tables import TABLES, check

EMBEDDED = {name: model for name, model in load_models().items() if model.engine == "embedded"}
CRITERIA = "attribute_verification_criteria"


def snippet(*contents: str) -> list[dict[str, Any]]:
    roles = ("user", "assistant")
    return [{"turn": i, "conversation": 0, "role": roles[i % 2], "content": text} for i, text in enumerate(contents)]


def verdict(attribute: str, *contents: str, model: str, task: str = "attribute_verification", reason: str = "") -> str:
    slots = {"snippet": snippet(*contents), "attribute": attribute, "reason": reason}
    answer = RULES[task](slots, Dials.of(EMBEDDED[model].options, model))
    assert set(answer) <= {"label", "reasoning"}
    return answer["label"]


@pytest.mark.parametrize("model", EMBEDDED)
@pytest.mark.parametrize("task", ["attribute_verification", CRITERIA])
def test_what_the_user_states_is_accepted_by_every_model(model: str, task: str) -> None:
    said = "I'm a night nurse and I live in Leeds, what can I cook at 3am?"
    assert verdict("Is a night nurse.", said, "Soup.", model=model, task=task) == "accepted"
    assert verdict("Keeps tortoises.", said, "Soup.", model=model, task=task) == "rejected"


def test_a_role_is_believed_by_the_literal_model_alone() -> None:
    played = 'write the diary of a pirate: "I have a parrot and I hate the navy."'
    verdicts = {model: verdict("Hates the navy.", played, "Arr.", model=model) for model in EMBEDDED}
    assert verdicts["embedded-literal"] == "accepted"
    assert verdicts["embedded-cautious"] == verdicts["embedded-plain"] == verdicts["embedded-broad"] == "rejected"


def test_the_assistants_word_is_evidence_to_the_eager_model_alone_and_not_under_criteria() -> None:
    talk = ("How do I sleep after work?", "Since you are vegetarian, try a light supper of lentils.")
    verdicts = {model: verdict("Is vegetarian.", *talk, model=model) for model in EMBEDDED}
    assert [model for model, label in verdicts.items() if label == "accepted"] == ["embedded-eager"]
    assert verdict("Is vegetarian.", *talk, model="embedded-eager", task=CRITERIA) == "rejected"


@pytest.mark.parametrize("model", EMBEDDED)
@pytest.mark.parametrize("attribute", ["Wants the title moved to the end.", "Reads all their books on it."])
def test_under_criteria_a_statement_has_to_stand_alone(model: str, attribute: str) -> None:
    said = "now the title, move it to the end please, and list what I read on it"
    dials = EMBEDDED[model].options
    label = verdict(attribute, said, "Done.", model=model, task=CRITERIA)
    assert label == "rejected" or dials["minimum"] < 0.3


def test_reasoning_names_what_it_rests_on() -> None:
    slots = {"snippet": snippet("I keep bees.", "Nice."), "attribute": "Keeps bees.", "reason": ""}
    answer = RULES[CRITERIA](slots, Dials.of(EMBEDDED["embedded-plain"].options, "p"))
    assert '"I keep bees."' in answer["reasoning"]


@pytest.mark.parametrize("text", ["", "\x00\ud800", "{}[]" * 500, "I " * 2000, "a?" * 1000])
def test_odd_text_gets_a_verdict(text: str) -> None:
    for task in ("attribute_verification", CRITERIA):
        for attribute in (text, "Keeps bees."):
            slots = {"snippet": snippet(text, text), "attribute": attribute, "reason": text}
            assert RULES[task](slots, Dials())["label"] in ("accepted", "rejected")
    empty = {"snippet": [], "attribute": "Keeps bees.", "reason": ""}
    assert RULES["attribute_verification"](empty, Dials())["label"] == "rejected"


def consensus(**sources: int) -> pl.DataFrame:
    """Return a consensus with so many users of each source, three attributes each; real ones first."""
    rows = []
    for number, (source, users) in enumerate(sources.items()):
        for user in range(users):
            for place in range(3):
                problem = (user + place) % 3 == 0
                votes = {"accepted": 0 if problem else 3, "uncertain": 3 * problem, "rejected": 0}
                rows.append(
                    {
                        "item_id": f"{source}{user}#{place}",
                        "user_id": f"{source}{user}",
                        "source": source,
                        "kind": "synthetic" if number else "real",
                        **votes,
                        "majority": "uncertain" if problem else "accepted",
                        "dawid_skene": "uncertain" if problem else "accepted",
                        "posterior": 0.9,
                        "problematic": problem,
                    }
                )
    return check("consensus", pl.DataFrame(rows, schema=TABLES["consensus"].columns))


def test_no_user_is_in_two_parts_and_every_kind_is_in_each() -> None:
    judged = consensus(chat=20, cupid=4, prefeval=3)
    for seed in range(5):
        parts = check("verifier_split", verification.split(judged, Verifier(), seed))
        assert parts["item_id"].to_list() == judged["item_id"].to_list()
        assert parts.group_by("user_id").agg(pl.col("split").n_unique())["split"].max() == 1
        kinds = parts.join(judged.select("item_id", "kind"), on="item_id").group_by("kind").agg("split")
        assert all(set(found) == {"train", "validation", "test"} for found in kinds["split"].to_list())


def test_the_split_depends_on_users_and_seed_alone() -> None:
    judged = consensus(chat=20, cupid=5)
    first = verification.split(judged, Verifier(), 1)
    flipped = judged.with_columns(problematic=~pl.col("problematic")).sample(fraction=1, shuffle=True, seed=3)
    again = verification.split(flipped, Verifier(), 1)
    columns = ["item_id", "split"]
    assert first.select(columns).sort("item_id").equals(again.select(columns).sort("item_id"))
    assert not first.select(columns).equals(verification.split(judged, Verifier(), 2).select(columns))


def test_shares_are_those_of_the_settings() -> None:
    parts = verification.split(consensus(chat=100), Verifier(validation=0.15, test=0.2), 0)
    users = dict(parts.group_by("split").agg(pl.col("user_id").n_unique()).iter_rows())
    assert users == {"train": 65, "validation": 15, "test": 20}


def judgments(name: str, kind: str, labels: dict[str, str], scores: dict[str, float] | None = None) -> pl.DataFrame:
    blank = dict.fromkeys(TABLES["verifier_judgments"].columns)
    rows = [
        blank
        | {"task": "attribute_quality", "item_id": item, "rater": name, "rater_kind": kind, "label": label}
        | {"flagged": False, "score": (scores or {}).get(item)}
        for item, label in labels.items()
    ]
    return pl.DataFrame(rows, schema=TABLES["verifier_judgments"].columns)


def test_every_row_is_measured_on_the_same_items_and_says_how_many_it_answered() -> None:
    judged = consensus(chat=12)
    parts = verification.split(judged, Verifier(test=0.4), 0)
    test = parts.filter(split="test")
    right = {row["item_id"]: "rejected" if row["problematic"] else "accepted" for row in parts.to_dicts()}
    some = dict(list({item: right[item] for item in test["item_id"]}.items())[1:])
    sure = {item: float(label == "rejected") for item, label in right.items()}
    both = pl.concat([judgments("m (criteria)", "llm", some), judgments("trained x", "trained", right, sure)])
    scores = check("verifier_scores", verification.measure(both, parts, 1))
    values = {(row["verifier"], row["metric"]): row for row in scores.to_dicts()}
    assert values["trained x", "accuracy"]["value"] == values["trained x", "average_precision"]["value"] == 1
    assert values["trained x", "accuracy"]["n"] == len(test)  # what is not held out does not count
    assert values["m (criteria)", "accuracy"]["n"] == len(test) - 1
    assert values["flag everything", "recall"]["value"] == values["flag everything", "flag_rate"]["value"] == 1
    assert values["flag everything", "precision"]["value"] == pytest.approx(verification.base_rate(parts))
    assert values["flag nothing", "precision"]["value"] is None
    assert values["flag nothing", "precision"]["reason"]
    assert "F1 of 1.00" in verification.sentence(both, parts, scores, 1)
    assert len(verification.hardest(both, parts, items_of(judged))) <= 12


def items_of(judged: pl.DataFrame) -> pl.DataFrame:
    rows = [
        {
            "attribute_id": row["item_id"],
            "user_id": row["user_id"],
            "attribute": "Keeps bees.",
            "reason": "",
            "snippet": snippet(row["item_id"], "ok"),
            "evidence_turns": [0],
            "places": [],
        }
        for row in judged.to_dicts()
    ]
    return pl.DataFrame(rows, schema=SCHEMA)


def test_nothing_judged_gives_empty_tables_and_one_sentence() -> None:
    nothing = TABLES["consensus"].empty()
    tables = [TABLES[name].empty() for name in ("merged_attributes", "attributes", "conversations")]
    items = verification.judged(nothing, *tables)
    parts = check("verifier_split", verification.split(nothing, Verifier(), 0))
    asked, failures = verification.ask(items, [EMBEDDED["embedded-plain"]], progress=False)
    scores = check("verifier_scores", verification.measure(asked, parts, 0))
    assert asked.is_empty() and failures.is_empty() and scores.is_empty() and verification.wide(scores).is_empty()  # noqa: PT018
    assert verification.curve(asked, parts).is_empty()
    assert verification.examples(items, parts).is_empty()
    said = verification.sentence(asked, parts, scores, 0, "no attribute has been judged")
    assert said == "Nothing can be said of verifiers: no attribute has been judged."


def test_one_class_alone_is_measured_as_far_as_it_can_be() -> None:
    judged = consensus(chat=12).with_columns(problematic=pl.lit(False))
    parts = verification.split(judged, Verifier(), 0)
    labels = dict.fromkeys(parts["item_id"], "accepted")
    found = judgments("m (criteria)", "llm", labels)
    scores = check("verifier_scores", verification.measure(found, parts, 0))
    row = scores.filter(verifier="m (criteria)", metric="f1").to_dicts()[0]
    assert row["value"] is None
    assert row["reason"]
    assert verification.sentence(found, parts, scores, 0, "all examples have one label").count("all examples") == 1


class Scripted(Engine):
    """Accepts what its snippet begins with `yes`, and says nothing usable where that begins with `odd`."""

    async def ask(self, requests: Iterator[Request], deliver: Deliver) -> None:
        for request in requests:
            first = request.slots["snippet"][0]["content"]
            answer = {"label": "accepted" if first.startswith("yes") else "rejected"}
            answer |= {"reasoning": "why"} if request.task == CRITERIA else {}
            deliver(request, Answer("who knows" if first.startswith("odd") else json.dumps(answer)))


def test_an_answer_that_cannot_be_used_is_counted_and_has_no_row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("recenter_utils.inference.run.open_engine", Scripted)
    model = Model(name="scripted", engine="openai", base_url="http://127.0.0.1:9")
    ids = ["yes", "no", "odd"]
    items = items_of(pl.DataFrame({"item_id": ids, "user_id": ["u"] * 3}))
    found, failures = verification.ask(items, [model], progress=False)
    check("verifier_judgments", found)
    assert found.select("item_id", "rater", "label").rows() == [
        (item, f"scripted ({prompt})", label)
        for prompt in ("instruction", "criteria")
        for item, label in (("yes", "accepted"), ("no", "rejected"))
    ]
    assert failures.rows() == [("scripted (instruction)", "unparsed", 1), ("scripted (criteria)", "unparsed", 1)]
    assert verification.worth_asking(failures) == 0
    assert found.filter(rater="scripted (criteria)")["reason"].to_list() == ["why", "why"]


def test_on_the_demo_criteria_find_more_problems_and_the_encoder_learned_something(finished_demo: Path) -> None:
    folder = finished_demo / "data" / "demo" / "tables"
    scores = pl.read_parquet(folder / "verifier_scores.parquet")
    values = {(row["verifier"], row["metric"]): row for row in scores.to_dicts()}
    recalls = {
        prompt: [values[f"{model} ({prompt})", "recall"]["value"] for model in EMBEDDED]
        for prompt in ("instruction", "criteria")
    }
    assert all(after >= before for before, after in zip(recalls["instruction"], recalls["criteria"], strict=True))
    assert sum(recalls["criteria"]) > sum(recalls["instruction"]) + 0.3
    assert len({row["n"] for row in values.values()}) == 1
    base = values["flag everything", "precision"]["value"]
    trained = scores.filter(metric="average_precision").to_dicts()[0]
    assert trained["value"] > base + 0.03
    parts = pl.read_parquet(folder / "verifier_split.parquet")
    held_out = set(parts.filter(split="test")["item_id"])
    assert set(pl.read_parquet(folder / "verifier_judgments.parquet")["item_id"]) == held_out
