"""What a GRPO run is found again by: what decides its weights, its base, and what its test part asks."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import huggingface_hub.constants
import polars as pl
import pytest

from recenter_utils import provenance
from recenter_utils.declarations import declaration
from recenter_utils.errors import RecenterError
from recenter_utils.inference import final_line
from recenter_utils.steps import Step
from recenter_utils.study import Study
from recenter_utils.training import bases
from recenter_utils.training.grpo import answers, policy, reasoners, rewards, runs, smoke
from tests.grpo.tiny_runs import made, rules


def key(base: Path | str, examples: pl.DataFrame | None = None, **more: Any) -> str:
    """Return what decides a run from that base."""
    settings = rules(Path(base), **more)
    return runs._key(made() if examples is None else examples, settings, bases.located(settings.base), 3, 1.0)


def flipped(split: str) -> pl.DataFrame:
    """Return the pairs with one label of a part turned around."""
    first = made().filter(split=split)["item_id"][0]
    return made().with_columns(positive=pl.col("positive") ^ (pl.col("item_id") == first))


def stored(folder: Path) -> Path:
    """Write a base of one file into a folder."""
    folder.mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(os.urandom(1 << 20))
    (folder / "config.json").write_text("{}", encoding="utf-8")
    return folder


# -- what decides a run -----------------------------------------------------------------------------------------------


def test_what_does_not_decide_the_weights_asks_for_no_other_run(tmp_path: Path) -> None:
    base = stored(tmp_path / "base")
    known = key(base)
    less = {"validation_pairs": 3, "validate_every": 2, "vllm": True, "save_every": 9, "passed_at_once": 8}
    assert key(base, **less) == known
    assert key(base, lora_learning_rate=0.5) == known  # all weights are trained
    assert key(base, flipped("test")) == known
    assert key(base, flipped("validation")) == known
    assert key(base, made().reverse().sort("item_id")) == known
    (base / "README.md").write_text("words", encoding="utf-8")
    os.utime(base / "model.safetensors", (1, 1))
    assert key(base) == known
    assert key(stored(tmp_path / "other")) != known


def test_what_decides_the_weights_asks_for_another_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    base = stored(tmp_path / "base")
    known = key(base)
    assert key(base, flipped("train")) != known
    assert key(base, learning_rate=0.5) != known
    assert key(base, format_reward=0.2) != known
    assert key(base, lora_rank=4) != known
    assert key(base, lora_rank=4) != key(base, lora_rank=4, lora_learning_rate=0.5)
    for module in (rewards, final_line, runs):
        with monkeypatch.context() as other:
            other.setattr(module, "VERSION", 99)
            assert key(base) != known
    with monkeypatch.context() as other:
        other.setattr(smoke, "VERSION", 99)
        assert key(base) == known
    weights = bytearray((base / "model.safetensors").read_bytes())
    weights[::64] = bytes(len(weights[::64]))  # the same size
    (base / "model.safetensors").write_bytes(weights)
    assert key(base) != known


def test_a_base_that_is_a_folder_is_looked_for_from_the_studys_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "study"
    base = stored(home / "models" / "own")
    monkeypatch.chdir(tmp_path)
    assert bases.located("models/own", home) == str(base)
    assert bases.located(str(base), home) == str(base)
    assert bases.located("Qwen/Qwen3-4B", home) == "Qwen/Qwen3-4B"
    stored(tmp_path / "models" / "other")
    with pytest.raises(RecenterError, match="is a folder of the working directory and not of the study's"):
        bases.located("models/other", home)


@pytest.mark.parametrize(("notebook", "section"), [("08", "verifier"), ("14", "selector"), ("15", "grpo")])
def test_a_notebook_goes_out_of_date_with_what_its_base_folder_holds(
    workspace: Path, notebook: str, section: str
) -> None:
    study = Study.open("demo")
    study.settings = study.settings.replace(**{section: {"base": "models/own"}})
    step = Step(declaration(notebook, study.root), study, {})
    base = stored(study.folder / "models" / "own")
    known = step.state()["files"]
    os.utime(base / "model.safetensors", (1, 1))
    assert step.state()["files"] == known
    (base / "model.safetensors").write_bytes(os.urandom(1 << 20))
    assert step.state()["files"] != known
    study.settings = study.settings.replace(**{section: {"base": "someone/of-the-hub"}})
    assert step.state()["files"][f"{section}.base"] == "missing"


def test_other_weights_in_a_large_file_of_the_same_size_are_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(provenance, "HASHED_BYTES", 1000)
    base = stored(tmp_path / "base")
    known = provenance.fingerprint(base)
    (base / "model.safetensors").write_bytes(os.urandom(1 << 20))
    assert provenance.fingerprint(base) != known


def test_a_hub_base_is_known_by_its_commit_in_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    assert bases.commit("someone/model") == ""
    assert bases.commit("/no/such/folder") == ""
    repository = tmp_path / "models--someone--model"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text("a" * 40, encoding="utf-8")
    snapshot = repository / "snapshots" / ("a" * 40)
    snapshot.mkdir(parents=True)
    (snapshot / "config.json").write_text("{}", encoding="utf-8")
    assert bases.commit("someone/model") == "a" * 40
    folder = tmp_path / "grpo"
    folder.mkdir()
    for commit, fits in (("a" * 40, True), ("b" * 40, False), ("", True)):
        card = {"key": "k", "title": "model", "history": [], "commit": commit}
        (folder / "card.json").write_text(json.dumps(card), encoding="utf-8")
        assert runs._is_trained(folder, "k", "someone/model") == fits
        assert runs._is_trained(folder, "k", "someone/unknown")  # a machine that has the run and not its base


# -- a finished run ---------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.usefixtures("untrainable")
def test_nothing_is_trained_again_if_nothing_changed(run: runs.Trained, warm: Path) -> None:
    settings = rules(warm, save_every=9, passed_at_once=8)
    again = runs.trained(run.folder, made().reverse(), settings, 3, progress=False)
    assert again.record == run.record
    for examples, settings, seed in (
        (flipped("train"), rules(warm), 3),
        (made(), rules(warm, format_reward=0.2), 3),
        (made(), rules(warm), 4),
    ):
        with pytest.raises(AssertionError, match="trained again"):
            runs.trained(run.folder, examples, settings, seed, progress=False)
    assert runs.Trained(run.folder).record == run.record


@pytest.mark.slow
@pytest.mark.usefixtures("untrainable")
def test_other_test_pairs_are_asked_and_nothing_is_trained(
    run: runs.Trained, warm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = runs.Trained(shutil.copytree(run.folder, tmp_path / "models" / "grpo"))
    settings, asked = rules(warm), reasoners.answers
    less = made().filter(pl.col("item_id") != made().filter(split="test")["item_id"][0])
    relabelled = runs.trained(run.folder, flipped("test"), settings, 3, progress=False)
    assert relabelled.answers == run.answers
    sides = []

    def count(*arguments: Any, **more: Any) -> list[reasoners.Answered]:
        sides.append(len(arguments[2]))
        if len(sides) == 2:
            raise KeyboardInterrupt  # what was asked before is not asked again
        return asked(*arguments, **more)

    monkeypatch.setattr(reasoners, "answers", count)
    with pytest.raises(KeyboardInterrupt):
        runs.trained(run.folder, less, settings, 3, progress=False)
    assert runs.Trained(run.folder).answers == run.answers
    found = runs.trained(run.folder, less, settings, 3, progress=False)
    assert sides == [14, 14, 14]
    assert found.answers["before"] == run.answers["before"][1:]
    assert found.answers["after"] == run.answers["after"][1:]
    assert [part["examples"] for part in found.record["parts"]] == [64, 12, 14]
    assert found.history == run.history
    monkeypatch.undo()
    monkeypatch.setattr(policy, "fit", None)
    runs.trained(run.folder, made(), settings, 3, progress=False)


def test_a_run_without_its_answers_says_what_to_do(tmp_path: Path) -> None:
    card = {"key": "k", "title": "model", "history": []}
    (tmp_path / "card.json").write_text(json.dumps(card), encoding="utf-8")
    (tmp_path / answers.FILE).write_text("{}", encoding="utf-8")
    with pytest.raises(RecenterError, match="holds no answers to the held-out pairs"):
        runs.Trained(tmp_path)
