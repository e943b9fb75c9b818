"""The GRPO run itself, with trl: rewards, checkpoints, and what is written down at each step (Appendix F).

What trl leaves open is set as the paper's framework (verl) has it: the loss is a mean over tokens, rewards are scaled
within each pair's answers, the KL term is added to the loss, the learning rate is constant, and each batch of answers
is used for one step.
"""

from __future__ import annotations

import importlib.util
import json
import math
import platform
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from peft import LoraConfig
from tqdm import tqdm
from transformers import PreTrainedTokenizerBase, PrinterCallback, TrainerCallback
from trl import GRPOConfig, GRPOTrainer

from recenter_utils.errors import RecenterError
from recenter_utils.inference.embeddings import best_device
from recenter_utils.settings import Grpo
from recenter_utils.stats import classification
from recenter_utils.training.encoders import quiet
from recenter_utils.training.fitting import peak_memory
from recenter_utils.training.grpo import smoke
from recenter_utils.training.grpo.reasoners import Messages, answers, end_tokens
from recenter_utils.training.grpo.rewards import label_of, reward

#: Weight decay and clipping as verl has them.
WEIGHT_DECAY, GRADIENT_NORM = 0.01, 1.0

#: Files without which a checkpoint was not written to its end; the last is written last.
_STATE = "trainer_state.json"
_WHOLE = ("optimizer.pt", "scheduler.pt", _STATE)


class _Trainer(GRPOTrainer):
    """trl's trainer without what it sends to, or fetches from, the network beside the work."""

    def _send_telemetry(self) -> None:
        return None

    def create_model_card(self, *args: Any, **kwargs: Any) -> None:
        """Write nothing: the run has a card of its own."""


class _Watch(TrainerCallback):
    """Shows how far the run is, follows F1 on validation pairs, and counts the seconds over all of its stretches."""

    def __init__(self, name: str, measure: Callable[[Any], float], every: int, progress: bool) -> None:
        self._name, self._measure, self._every, self._progress = name, measure, every, progress
        self._bar: tqdm[Any] | None = None
        self._start = self._before = 0.0
        self.went_on_at: list[int] = []

    def on_train_begin(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        self._start = time.monotonic()
        self._before = max((entry.get("seconds", 0.0) for entry in state.log_history), default=0.0)
        known = [entry["went_on_at"] for entry in state.log_history if "went_on_at" in entry]
        if state.global_step:
            known.append([*(known[-1] if known else []), state.global_step])
            state.log_history.append({"step": state.global_step, "went_on_at": known[-1]})
        self.went_on_at = known[-1] if known else []
        words = f"GRPO · {self._name}" + (f", goes on from step {state.global_step}" if state.global_step else "")
        self._bar = tqdm(
            total=state.max_steps, initial=state.global_step, desc=words, unit="step", disable=not self._progress,
            file=sys.stderr,
        )  # fmt: skip
        if not state.global_step:
            self._validate(state, model)

    def on_step_end(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        if state.global_step % self._every == 0 or state.global_step == state.max_steps:
            self._validate(state, model)

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        if not logs or "reward" not in logs or self._bar is None:
            return
        state.log_history[-1]["seconds"] = round(self._before + time.monotonic() - self._start, 2)
        self._bar.set_postfix_str(f"reward {logs['reward']:.2f}", refresh=False)
        self._bar.update(state.global_step - self._bar.n)

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self._bar is not None:
            self._bar.close()

    def _validate(self, state: Any, model: Any) -> None:
        entry = {"step": state.global_step, "epoch": state.epoch or 0.0, "validation_f1": self._measure(model)}
        state.log_history.append(entry)


def batches(rules: Grpo, pairs: int) -> dict[str, int]:
    """Return how a step is cut up: answers at once in a pass, passes a step, passes that share one drawing of answers.

    A step has the answers to `batch_size` pairs, or to all where there are fewer. trl needs every part to divide it.
    """
    answers_a_step = min(rules.batch_size, pairs) * rules.rollouts
    at_once = max(n for n in range(1, rules.passed_at_once + 1) if answers_a_step % n == 0)
    passes = answers_a_step // at_once
    fitting = [n for n in range(1, passes + 1) if passes % n == 0 and n * at_once % rules.rollouts == 0]
    small = [n for n in fitting if n * at_once <= rules.generated_at_once]
    drawn = passes if rules.vllm else max(small, default=min(fitting))
    return {"passed_at_once": at_once, "passes": passes, "passes_a_drawing": drawn}


def arguments(folder: Path, rules: Grpo, pairs: int, seed: int) -> dict[str, Any]:
    """Return the arguments of trl's GRPOConfig for a run over so many pairs, whose checkpoints go to `folder`."""
    device, _ = best_device()
    cut = batches(rules, pairs)
    return {
        "output_dir": str(folder),
        "num_train_epochs": rules.epochs,
        "per_device_train_batch_size": cut["passed_at_once"],
        "gradient_accumulation_steps": cut["passes"],
        "steps_per_generation": cut["passes_a_drawing"],
        "num_generations": rules.rollouts,
        "max_completion_length": rules.max_tokens,
        "learning_rate": rules.lora_learning_rate if rules.lora_rank else rules.learning_rate,
        "lr_scheduler_type": "constant",
        "weight_decay": WEIGHT_DECAY,
        "max_grad_norm": GRADIENT_NORM,
        "beta": rules.kl,
        "use_bias_correction_kl": False,
        "loss_type": "dapo",  # the mean over all tokens of a step
        "scale_rewards": "group",
        "temperature": 1.0,
        "bf16": device == "cuda",
        "use_cpu": device == "cpu",
        "activation_checkpointing": device == "cuda",
        "use_vllm": rules.vllm,
        "vllm_mode": "colocate",
        "vllm_max_model_length": rules.max_prompt_tokens + rules.max_tokens,
        "vllm_enable_sleep_mode": rules.vllm,
        "seed": seed,
        "data_seed": seed,
        "logging_steps": 1,
        "save_strategy": "steps",
        "save_steps": rules.save_every,
        "save_total_limit": 2,
        "report_to": [],
        "disable_tqdm": True,
        "dataloader_pin_memory": device == "cuda",
    }


def fit(
    tokenizer: PreTrainedTokenizerBase,
    model: Any,
    train: Sequence[tuple[Messages, str]],
    validation: Sequence[tuple[Messages, str]],
    rules: Grpo,
    seed: int,
    folder: Path,
    *,
    sign: float = 1.0,
    progress: bool = True,
) -> tuple[Any, list[dict[str, Any]]]:
    """Return the trained model and what was written down at each step (see `curves.curve`).

    A run that was interrupted goes on from its last whole checkpoint in `folder`.

    Args:
        tokenizer: See `reasoners.load`.
        model: Trained in place; adapted, where `rules.lora_rank` is set.
        train: Prompts and reference labels to learn from.
        validation: Prompts and labels on which F1 is followed; nothing is chosen by it.
        rules: `settings.Grpo`.
        seed: The same seed gives the same run on the same machine, as far as torch can.
        folder: Where checkpoints go.
        sign: What rewards are multiplied by when they are learned from, and not when they are written down: -1 shows
            that the run follows its reward.
        progress: Show a bar over the steps.

    Raises:
        RecenterError: vLLM is asked for and not installed.
    """
    if rules.vllm and importlib.util.find_spec("vllm") is None:
        raise RecenterError(
            "grpo.vllm is true and vLLM is not installed: pip install 'recenter[vllm]', or set it to false."
        )
    ends = end_tokens(tokenizer, model)

    def measure(current: Any) -> float:
        asked = [messages for messages, _ in validation]
        said = answers(tokenizer, current, asked, rules.max_tokens, rules.generated_at_once)
        return f1(
            [reference for _, reference in validation],
            [label_of(answer.text, answer.truncated) for answer in said],
        )

    def reward_label(completion_ids: list[list[int]], reference: list[str], **kwargs: Any) -> list[float | None]:
        return [earned(ids, wanted).label for ids, wanted in zip(completion_ids, reference, strict=True)]

    def reward_format(completion_ids: list[list[int]], reference: list[str], **kwargs: Any) -> list[float | None]:
        return [earned(ids, wanted).format for ids, wanted in zip(completion_ids, reference, strict=True)]

    def earned(ids: list[int], reference: str) -> Any:
        # Decoded here: trl takes the thinking out of an answer where a tokenizer says how.
        text = str(tokenizer.decode(ids, skip_special_tokens=True))
        truncated = not ids or ids[-1] not in ends
        return reward(text, reference, truncated=truncated, format_reward=rules.format_reward)

    watch = _Watch(smoke.name_of(rules.base), measure, rules.validate_every, progress)
    with quiet(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "`is_gradient_checkpointing`", FutureWarning)  # trl's use of transformers
        trainer = _Trainer(
            model=model,
            reward_funcs=[reward_label, reward_format],
            args=GRPOConfig(reward_weights=[sign, sign], **arguments(folder, rules, len(train), seed)),
            train_dataset=Dataset.from_list(
                [{"prompt": messages, "reference": reference} for messages, reference in train]
            ),
            processing_class=tokenizer,
            peft_config=_adapters(rules),
            callbacks=[watch],
        )
        trainer.remove_callback(PrinterCallback)
        checkpoint = last_checkpoint(folder)
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    return trainer.accelerator.unwrap_model(trainer.model), trainer.state.log_history


def last_checkpoint(folder: Path) -> Path | None:
    """Return the newest checkpoint that was written to its end; None where there is none."""
    found = [path for path in folder.glob("checkpoint-*") if _whole(path)]
    return max(found, key=lambda path: int(path.name.rpartition("-")[2]), default=None)


def _whole(checkpoint: Path) -> bool:
    """Whether all files are there and none is empty, and the state can be read: a full disk cuts them short."""
    files = {path.name: path.stat().st_size for path in checkpoint.iterdir() if path.is_file()}
    weights = any(name.endswith(".safetensors") for name in files)
    if not weights or not set(_WHOLE) <= set(files) or not all(files.values()):
        return False
    try:
        state = json.loads((checkpoint / _STATE).read_text(encoding="utf-8"))
        return f"checkpoint-{state['global_step']}" == checkpoint.name
    except (OSError, ValueError, KeyError, TypeError):
        return False


def f1(references: Sequence[str], labels: Sequence[str | None]) -> float:
    """Return F1 of the answers; one that did not come counts as not selected. NaN where nothing is positive at all."""
    truth = [reference == "yes" for reference in references]
    chosen = [label == "yes" for label in labels]
    hits = sum(a and b for a, b in zip(truth, chosen, strict=True))
    scores = classification.from_counts(hits, sum(chosen) - hits, sum(truth) - hits, len(truth))
    return float(scores.set_index("metric")["value"]["f1"])


def _adapters(rules: Grpo) -> LoraConfig | None:
    if not rules.lora_rank:
        return None
    return LoraConfig(
        r=rules.lora_rank, lora_alpha=2 * rules.lora_rank, target_modules="all-linear", task_type="CAUSAL_LM"
    )


def save(tokenizer: PreTrainedTokenizerBase, model: Any, folder: Path) -> None:
    """Write the trained weights, or the adapters alone, and the tokenizer into a folder."""
    with quiet():
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    (folder / "README.md").unlink(missing_ok=True)  # peft's, which says nothing of this run


@contextmanager
def measured() -> Iterator[dict[str, Any]]:
    """Yield what is filled at the end with the device, its peak memory, and versions, for a card."""
    device, reason = best_device()
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    found: dict[str, Any] = {"device": f"{device} ({reason}), {'bf16' if device == 'cuda' else 'single precision'}"}
    found["versions"] = {"python": platform.python_version()} | {
        name: version(name) for name in ("torch", "transformers", "trl", "peft")
    }
    yield found
    found |= peak_memory(device)


def last(history: Sequence[Mapping[str, Any]], name: str, default: Any = None) -> Any:
    """Return the newest value that was written down under a name."""
    return next((entry[name] for entry in reversed(history) if name in entry and not _nan(entry[name])), default)


def _nan(value: Any) -> bool:
    return isinstance(value, float) and math.isnan(value)
