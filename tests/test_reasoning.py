"""The page on GRPO: what a model answered before and after, and what is said where none was trained."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from recenter_utils.errors import RecenterError
from recenter_utils.figures import grpo_curves
from recenter_utils.relevance import reasoning
from recenter_utils.settings import Grpo
from recenter_utils.tables import check
from recenter_utils.training.grpo import answers, runs
from tests.grpo.tiny_runs import made


def test_a_run_without_references_says_so_and_writes_empty_tables(tmp_path: Path) -> None:
    nothing = made().head(0)
    assert reasoning.lacking(nothing, Grpo(train=True)) == "no example has a label"
    with pytest.raises(RecenterError, match="No reasoning model can be trained: no example has a label"):
        runs.trained(tmp_path / "m", nothing, Grpo(train=True, base="smoke"), 1)
    assert not (tmp_path / "m").exists()
    parts = pl.DataFrame(
        schema={"pair_id": pl.String, "prompt_id": pl.String, "split": pl.String, "relevant": pl.Boolean}
    )
    _finishes_without_a_run(parts, "no example has a label")


def test_a_study_that_does_not_train_says_what_it_takes() -> None:
    assert reasoning.lacking(made(), Grpo()) == "grpo.train is false in study.yaml"
    parts = made().select(pair_id="item_id", prompt_id="cluster", split="split", relevant="positive")
    said = _finishes_without_a_run(parts, reasoning.lacking(made(), Grpo()))
    assert "grpo.train: true" in said
    assert "80 GB" in said


def test_the_page_names_a_run_that_was_not_finished_and_its_size(tmp_path: Path) -> None:
    folder = tmp_path / "models" / "grpo"
    assert "stands in" not in reasoning.described(None, reasoning.NOT_ASKED, runs.unfinished(folder))
    left = folder.with_name(".grpo-run-abc") / "checkpoint-10"
    left.mkdir(parents=True)
    (left / "optimizer.pt").write_bytes(bytes(3 * 2**20))
    said = reasoning.described(None, reasoning.NOT_ASKED, runs.unfinished(folder))
    assert "stands in `models/.grpo-run-abc` (3 MiB)" in said
    assert "delete it where it is not wanted" in said


def _finishes_without_a_run(parts: pl.DataFrame, reason: str) -> str:
    items = pl.DataFrame(schema={"pair_id": pl.String, "prompt": pl.String, "attribute": pl.String})
    check("grpo_curve", reasoning.curve(None))
    check("grpo_judgments", reasoning.judgments(None))
    assert reasoning.how(None).is_empty()
    assert reasoning.answered(None).is_empty()
    assert reasoning.quality(None, parts, 1).is_empty()
    assert reasoning.minds(None, parts, items).is_empty()
    assert reason in reasoning.sentence(None, parts, 1, reason)
    grpo_curves(reasoning.curve(None).to_pandas())
    assert reasoning.changes(None, parts).is_empty()
    return reasoning.described(None, reason)


# -- the page ---------------------------------------------------------------------------------------------------------


def finished(folder: Path, before: list[str], after: list[str], history: list[dict[str, Any]]) -> runs.Trained:
    """Write what a finished run leaves, with answers of ours; a text that ends with … was cut off."""
    folder.mkdir()
    record = {"key": "k", "title": "tiny", "smoke": False, "went_on_at": [], "device": "cpu (none)", "history": history}
    (folder / "card.json").write_text(json.dumps(record), encoding="utf-8")
    said = {
        when: [
            {"item_id": f"i{n}", "text": text, "tokens": len(text.split()), "truncated": text.endswith("…")}
            for n, text in enumerate(texts)
        ]
        for when, texts in (("before", before), ("after", after))
    }
    (folder / answers.FILE).write_text(json.dumps(said), encoding="utf-8")
    return runs.Trained(folder)


YES, NO = "It may matter.\nAnswer: YES", "It is a fact.\nAnswer: NO"
PARTS = pl.DataFrame(
    {
        "pair_id": [f"i{n}" for n in range(6)],
        "prompt_id": ["q0", "q0", "q1", "q1", "q2", "q2"],
        "split": ["test"] * 6,
        "relevant": [False, True, False, True, False, False],
    }
)
ITEMS = PARTS.select("pair_id", prompt=pl.lit("A request?"), attribute=pl.format("Attribute of {}.", "pair_id"))


@pytest.fixture
def compared(tmp_path: Path) -> runs.Trained:
    """Six pairs: wrong to right, right to wrong, right, right, cut off to right, wrong to unparsed."""
    history = [
        {"step": n, "epoch": n / 4, "rewards/reward_label/mean": n / 10, "rewards/reward_format/mean": 0.1, "kl": 0.0}
        for n in range(1, 9)
    ]
    return finished(tmp_path / "run", [YES, YES, NO, YES, "It may…", YES], [NO, NO, NO, YES, NO, "No."], history)


def test_only_answers_with_a_final_line_are_judgments_and_the_others_are_counted(compared: runs.Trained) -> None:
    found = check("grpo_judgments", reasoning.judgments(compared))
    assert found.group_by("rater", "rater_kind").len().sort("rater").rows() == [
        ("tiny", "llm", 5),
        ("tiny + GRPO", "trained", 5),
    ]
    assert found.filter(item_id="i0")["reason"].to_list() == ["It may matter.", "It is a fact."]
    counted = reasoning.answered(compared).select("answered", "yes", "cut_off", "unparsed").rows()
    assert counted == [(5, 4, 1, 0), (5, 1, 0, 1)]


def test_changes_count_every_pair_in_both_directions(compared: runs.Trained) -> None:
    assert reasoning.changes(compared, PARTS).rows() == [
        ("right", 2, 1, 0),
        ("wrong", 1, 0, 1),
        ("no answer", 1, 0, 0),
    ]


def test_changes_for_the_worse_stand_beside_those_for_the_better(compared: runs.Trained) -> None:
    found = reasoning.minds(compared, PARTS, ITEMS)
    assert found["change"].to_list() == ["to right", "to wrong"]
    assert found["reference"].to_list() == ["no", "yes"]
    assert found["reasoning_before"].to_list() == ["It may matter."] * 2
    assert found["reasoning_after"].to_list() == ["It is a fact."] * 2


def test_the_claim_says_what_was_lost_as_well(compared: runs.Trained) -> None:
    said = reasoning.sentence(compared, PARTS, 1, "")
    assert "from 0.25 over the first quarter of the steps to 0.85 over the last" in said
    assert "2 answers became right and 1 stopped being right" in said
    assert "selects nothing" not in said


def test_a_model_that_found_out_to_say_no_is_told_so(tmp_path: Path) -> None:
    found = finished(tmp_path / "run", [YES] * 6, [NO] * 6, [])
    assert "always answering no is right for 67% of them" in reasoning.sentence(found, PARTS, 1, "")
    table = reasoning.quality(found, PARTS, 1)
    assert table["rater"].to_list() == ["tiny", "tiny + GRPO", "always no"]
    assert table["accuracy"][1] == table["accuracy"][2]


def test_an_unknown_folder_holds_no_run(tmp_path: Path) -> None:
    with pytest.raises(RecenterError, match="holds no finished GRPO run"):
        runs.Trained(tmp_path)
