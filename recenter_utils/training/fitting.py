"""Fitting a pair classifier with the Trainer of transformers: AdamW, linear schedule, the best epoch kept (Appendix E).

bf16 on a GPU that has it, single precision elsewhere; nothing else differs.
"""

from __future__ import annotations

import os
import platform
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import psutil
import torch
import transformers
from sklearn.metrics import average_precision_score
from tqdm import tqdm
from transformers import (
    DataCollatorWithPadding,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PrinterCallback,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)

from recenter_utils.inference.embeddings import best_device
from recenter_utils.training import examples as pairs
from recenter_utils.training.encoders import Averaged, quiet, tokenizer_and_model
from recenter_utils.training.scoring import BATCH, best_threshold, predict

#: Share of the steps over which the learning rate rises to its peak, before it falls in a line to 0.
WARM_UP = 0.1
WEIGHT_DECAY = 0.01
#: How much faster a head that averages learns than its encoder.
HEAD_RATE = 10
#: What average precision counts where two epochs have the same F-beta, and only there.
TIE = 1e-6


class _WeightedTrainer(Trainer):
    """A Trainer in whose loss a positive example weighs beta squared."""

    def __init__(self, beta: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._beta = beta

    def compute_loss(
        self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        labels = inputs.pop("labels")
        outputs = model(**inputs)
        logits = outputs.logits.float()
        weight = torch.tensor([1.0, self._beta**2], device=logits.device)
        loss = torch.nn.functional.cross_entropy(logits, labels, weight=weight)
        return (loss, outputs) if return_outputs else loss


class _BestEpoch(TrainerCallback):
    """Measures each epoch on the validation part, keeps the best one's weights in memory, and says when to stop."""

    def __init__(self, tokenizer: Any, validation: pl.DataFrame, settings: Mapping[str, Any], progress: bool) -> None:
        self._tokenizer, self._validation, self._settings = tokenizer, validation, settings
        words = f"training · {Path(settings['base']).name}"
        self._bar = tqdm(total=settings["epochs"], desc=words, unit="epoch", disable=not progress, file=sys.stderr)
        self.history: list[dict[str, Any]] = []
        self.best: dict[str, Any] | None = None
        self.weights: dict[str, torch.Tensor] = {}

    def on_epoch_end(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        found = self._measured(model) | {"epoch": len(self.history) + 1}
        self.history.append(found)
        if self.best is None or _rank(found) > _rank(self.best) or not len(self._validation):
            self.best = found
            self.weights = {name: value.detach().cpu().clone() for name, value in model.state_dict().items()}
        control.should_training_stop |= found["epoch"] - self.best["epoch"] >= self._settings["patience"]
        self._bar.set_postfix_str(f"F-beta {found['f_beta']:.3f} on validation", refresh=False)
        self._bar.update()

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        if logs and "loss" in logs and self.history:
            self.history[-1]["loss"] = round(float(logs["loss"]), 6)

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._bar.close()

    def _measured(self, model: PreTrainedModel) -> dict[str, Any]:
        texts, attributes, truth = (self._validation[name] for name in ("text", "attribute", "positive"))
        scores = predict(self._tokenizer, model, texts, attributes, self._settings["max_tokens"])
        model.train()
        threshold, f_beta = best_threshold(truth.to_numpy(), scores, self._settings["beta"])
        precision = average_precision_score(truth.to_numpy(), scores) if truth.any() else float("nan")
        return {"f_beta": f_beta, "average_precision": float(precision), "threshold": threshold}


def _rank(found: Mapping[str, Any]) -> float:
    """Return what epochs are compared by; where the validation part has one class, none is better than the first."""
    return float(np.nan_to_num(found["f_beta"], nan=-1.0) + TIE * np.nan_to_num(found["average_precision"]))


def fit(
    examples: pl.DataFrame, settings: Mapping[str, Any], seed: int, progress: bool = True
) -> tuple[PreTrainedTokenizerBase, PreTrainedModel, dict[str, Any]]:
    """Return the tokenizer, the model of the best epoch, and what is to be known of it for its card.

    examples: both classes in the training part; see `classifier.fitted`. Without a validation part of both classes the
    last epoch is kept, or the first, and the threshold is .5.
    """
    part = {split: examples.filter(split=split).sort("item_id") for split in pairs.SPLITS}
    with deterministic(seed), quiet(), tempfile.TemporaryDirectory() as nowhere:
        tokenizer, model = tokenizer_and_model(settings["base"], layers=settings["layers"])
        if settings["layers"]:
            getattr(model, "encoder", model).get_input_embeddings().requires_grad_(False)
        train = part["train"]
        encoded = pairs.encode(train["text"].to_list(), train["attribute"].to_list(), tokenizer, settings["max_tokens"])
        rows: Any = [row | {"labels": int(label)} for row, label in zip(encoded, train["positive"], strict=True)]
        steps = settings["epochs"] * -(-len(rows) // settings["batch_size"])
        device, reason = best_device()
        half = device == "cuda" and torch.cuda.is_bf16_supported()
        watch = _BestEpoch(tokenizer, part["validation"], settings, progress)
        trainer = _WeightedTrainer(
            settings["beta"],
            model=model,
            args=TrainingArguments(
                output_dir=nowhere,
                num_train_epochs=settings["epochs"],
                per_device_train_batch_size=settings["batch_size"],
                per_device_eval_batch_size=BATCH,
                learning_rate=settings["learning_rate"],
                lr_scheduler_type="linear",
                warmup_steps=round(WARM_UP * steps),
                bf16=half,
                use_cpu=device == "cpu",
                seed=seed,
                data_seed=seed,
                train_sampling_strategy="group_by_length",
                remove_unused_columns=False,
                save_strategy="no",
                logging_strategy="epoch",
                report_to=[],
                disable_tqdm=True,
                dataloader_pin_memory=device == "cuda",
            ),
            train_dataset=rows,
            data_collator=DataCollatorWithPadding(tokenizer),
            callbacks=[watch],
            optimizers=(_optimizer(model, settings["learning_rate"]), None),
        )
        trainer.remove_callback(PrinterCallback)
        if device == "cuda":
            torch.cuda.reset_peak_memory_stats()
        started = time.monotonic()
        trainer.train()
        seconds = time.monotonic() - started
    assert watch.best is not None
    model.load_state_dict(watch.weights)
    found = {
        "best_epoch": watch.best["epoch"],
        "history": watch.history,
        "device": f"{device} ({reason}), {'bf16' if half else 'single precision'}",
        "seconds": round(seconds, 1),
        **peak_memory(device),
        "versions": {
            "python": platform.python_version(),
            "torch": str(torch.__version__),
            "transformers": transformers.__version__,
        },
    }
    return tokenizer, model, found


def peak_memory(device: str) -> dict[str, Any]:
    """Return the most bytes held while training, and by what; memory outside torch's own on a GPU does not count."""
    if device == "cuda":
        return {"peak_memory": torch.cuda.max_memory_allocated(), "memory_of": "by torch on the GPU"}
    try:
        import resource

        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    except ImportError:  # Windows counts it elsewhere
        most = getattr(psutil.Process().memory_info(), "peak_wset", 0)
    return {"peak_memory": most, "memory_of": "by the process since it started"}


def _optimizer(model: torch.nn.Module, rate: float) -> torch.optim.Optimizer:
    """Return AdamW; the head of an averaged encoder starts from nothing, and learns faster than what is below it."""
    if not isinstance(model, Averaged):
        return torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=WEIGHT_DECAY)
    head = [value for name, value in model.named_parameters() if not name.startswith("encoder.")]
    groups = [{"params": list(model.encoder.parameters()), "lr": rate}, {"params": head, "lr": HEAD_RATE * rate}]
    return torch.optim.AdamW(groups, weight_decay=WEIGHT_DECAY)


@contextmanager
def deterministic(seed: int) -> Iterator[None]:
    """Seed everything, and take those of torch's ways that give the same result each time."""
    before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # without it, cuBLAS may not repeat itself
    transformers.set_seed(seed)
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])
