"""GRPO runs that were stopped: what goes on, what is never deleted, and that nothing is sent meanwhile."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import huggingface_hub.constants
import pytest

from recenter_utils import processes
from recenter_utils.errors import RecenterError
from recenter_utils.settings import Grpo
from recenter_utils.training import folders
from recenter_utils.training.grpo import curves, policy, reasoners, runs, smoke
from tests.grpo.tiny_runs import made, rules
from tests.workspaces import ROOT

# -- two runs at once -------------------------------------------------------------------------------------------------


def test_a_second_run_is_refused_with_the_folder_and_the_process(tmp_path: Path) -> None:
    folder = tmp_path / "models" / "grpo"
    folder.parent.mkdir()
    with (
        processes.only_run(folder.with_name(".grpo.lock"), "It runs"),
        pytest.raises(RecenterError, match=f"already in {folder} by process {os.getpid()}"),
    ):
        runs.trained(folder, made(), Grpo(train=True, base="smoke"), 3, progress=False)


@pytest.mark.slow
@pytest.mark.usefixtures("untrainable")
def test_other_settings_leave_an_unfinished_run_as_it_is_and_say_so(
    warm: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "models" / "grpo"
    with pytest.raises(AssertionError, match="trained again"):
        runs.trained(folder, made(), rules(warm), 3, progress=False)
    ((first, _),) = runs.unfinished(folder).items()
    (first / "checkpoint-4").mkdir()
    (first / "checkpoint-4" / "model.safetensors").write_bytes(b"hours of work")
    with pytest.raises(AssertionError, match="trained again"):
        runs.trained(folder, made(), rules(warm, kl=0.5), 3, progress=True)
    assert str(first) in capsys.readouterr().err
    found = runs.unfinished(folder)
    assert len(found) == 2
    assert found[first] == len(b"hours of work")


# -- a run that was stopped -------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("lora_rank", [None, 4])
def test_a_run_that_was_stopped_goes_on_from_its_last_checkpoint_and_says_so(
    warm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lora_rank: int | None
) -> None:
    folder, settings = tmp_path / "models" / "grpo", rules(warm, epochs=1, lora_rank=lora_rank)
    on_log = policy._Watch.on_log

    def stop(self: Any, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        if state.global_step == 6:
            raise KeyboardInterrupt
        on_log(self, args, state, control, logs=logs, **kwargs)

    monkeypatch.setattr(policy._Watch, "on_log", stop)
    with pytest.raises(KeyboardInterrupt):
        runs.trained(folder, made(), settings, 3, progress=False)
    monkeypatch.undo()
    assert not folder.exists()
    # A checkpoint that a kill cut short is newer than the last whole one.
    (left,) = runs.unfinished(folder)
    cut = left / "checkpoint-5"
    cut.mkdir()
    (cut / "optimizer.pt").write_bytes(b"half")
    # Who was stopped for want of memory may do less at once.
    less = settings.model_copy(update={"passed_at_once": 8, "generated_at_once": 16})
    found = runs.trained(folder, made(), less, 3, progress=False)
    assert found.record["went_on_at"] == [4]
    assert "went on from step 4" in (folder / "README.md").read_text(encoding="utf-8")
    steps = curves.curve(found.history).filter(measure="reward")["step"].to_list()
    assert steps == list(range(1, 9))
    assert (folder / "adapter_config.json").is_file() == bool(lora_rank)
    assert runs.unfinished(folder) == {}


@pytest.mark.slow
def test_a_run_that_was_killed_goes_on_without_a_step_missing_or_doubled(tmp_path: Path) -> None:
    folder = tmp_path / "models" / "grpo"
    words = (
        "import sys; from pathlib import Path; from recenter_utils.settings import Grpo;"
        "from recenter_utils.training.grpo import runs; from tests.grpo.tiny_runs import made;"
        "runs.trained(Path(sys.argv[1]), made(60), Grpo(train=True, base='smoke'), 3, progress=False)"
    )
    child = subprocess.Popen([sys.executable, "-c", words, str(folder)], cwd=ROOT)
    try:
        while not any(policy.last_checkpoint(left) for left in runs.unfinished(folder)):
            assert child.poll() is None, "it ended before its first checkpoint"
            time.sleep(0.05)
        child.send_signal(signal.SIGKILL)
    finally:
        with suppress(ProcessLookupError):
            child.kill()
        child.wait()
    assert child.returncode == -signal.SIGKILL
    assert not folder.exists()
    found = runs.trained(folder, made(60), Grpo(train=True, base="smoke"), 3, progress=False)
    (went_on,) = found.record["went_on_at"]
    assert went_on % smoke.SCALE["save_every"] == 0
    entries = [entry["step"] for entry in found.history if "reward" in entry]
    assert entries == list(range(1, smoke.STEPS + 1))
    looks = [entry["step"] for entry in found.history if "validation_f1" in entry]
    assert looks == [0, 4, 8, 12]
    assert sorted(path.name for path in folder.parent.iterdir()) == [".grpo.lock", "grpo"]


def checkpoint(folder: Path, step: int) -> Path:
    """Write the files of a whole checkpoint."""
    made = folder / f"checkpoint-{step}"
    made.mkdir()
    for name in ("model.safetensors", "optimizer.pt", "scheduler.pt"):
        (made / name).write_bytes(b"weights")
    (made / "trainer_state.json").write_text(json.dumps({"global_step": step}), encoding="utf-8")
    return made


@pytest.mark.parametrize(
    ("name", "left"),
    [
        ("trainer_state.json", b'{"global_st'),
        ("trainer_state.json", b""),
        ("trainer_state.json", b"[]"),
        ("model.safetensors", b""),
        ("model.safetensors", None),
        ("optimizer.pt", b""),
        ("scheduler.pt", None),
    ],
)
def test_a_torn_checkpoint_gives_way_to_the_one_before(tmp_path: Path, name: str, left: bytes | None) -> None:
    whole, torn = checkpoint(tmp_path, 5), checkpoint(tmp_path, 10)
    assert policy.last_checkpoint(tmp_path) == torn
    if left is None:
        (torn / name).unlink()
    else:
        (torn / name).write_bytes(left)
    assert policy.last_checkpoint(tmp_path) == whole


@pytest.mark.parametrize(
    "problem",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        RuntimeError("[enforce fail at inline_container.cc:664] . unexpected pos 192 vs 86"),
        RuntimeError("PytorchStreamWriter failed writing file data/0: file write failed"),
    ],
)
def test_a_full_disk_is_named_with_the_folder_and_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, problem: Exception
) -> None:
    def full(*_: Any) -> None:
        raise problem

    monkeypatch.setattr(runs, "_train", full)
    folder = tmp_path / "models" / "grpo"
    with pytest.raises(RecenterError, match=rf"disk is full under {folder.parent}: make room"):
        runs.trained(folder, made(), Grpo(train=True, base="smoke"), 3, progress=False)


def test_any_other_problem_is_not_called_a_full_disk(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="other"), folders.room(tmp_path):
        raise RuntimeError("other")


# -- what is sent -----------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_hub_is_never_asked_while_training_and_vllm_may_not_report(
    warm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.delenv("VLLM_NO_USAGE_STATS", raising=False)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    asked: list[str] = []
    load, save, seen = reasoners.load, policy.save, []

    def from_hub(base: str, all_weights: bool) -> tuple[Any, Any]:
        tokenizer, model = load(base, all_weights)
        model.config._name_or_path = model.name_or_path = "someone/some-model"
        return tokenizer, model

    def look(*arguments: Any) -> None:
        seen.append({name: os.environ.get(name) for name in ("VLLM_NO_USAGE_STATS", "DO_NOT_TRACK")})
        save(*arguments)

    def file_exists(repo_id: str, *_: Any, **__: Any) -> bool:
        asked.append(repo_id)
        return False

    monkeypatch.setattr(reasoners, "load", from_hub)
    monkeypatch.setattr(policy, "save", look)
    monkeypatch.setattr("peft.utils.other.file_exists", file_exists)
    settings = rules(warm, epochs=0.25, lora_rank=4, save_every=1)
    runs.trained(tmp_path / "m", made(), settings, 3, progress=False)
    assert asked == []
    assert seen == [{"VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1"}]
    assert "HF_HUB_OFFLINE" not in os.environ
    assert huggingface_hub.constants.HF_HUB_OFFLINE is False
