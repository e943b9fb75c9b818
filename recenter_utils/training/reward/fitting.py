"""Training a whole backbone on differences of two scores, with the Trainer of transformers (§6.3).

The loss is the squared error of score(personalised) - score(generic), held to the mean rating less 3. bf16 on a GPU
that has it, single precision elsewhere. All epochs are run: with a few hundred ratings, a part to stop on says little
and is missed in training.
"""

from __future__ import annotations

import platform
import tempfile
import time
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl
import psutil
import torch
import transformers
from numpy.typing import NDArray
from transformers import PreTrainedTokenizerBase, PrinterCallback, Trainer, TrainingArguments

from recenter_utils.inference.embeddings import best_device
from recenter_utils.training import bases
from recenter_utils.training.encoders import quiet
from recenter_utils.training.fitting import HEAD_RATE, WARM_UP, WEIGHT_DECAY, deterministic, peak_memory
from recenter_utils.training.reward import backbone

Array = NDArray[np.float64]

#: Bytes that a layer keeps for the backward pass, for each token and hidden number: in half and in single precision
#: (Korthikanti et al. 2023, section 4, without the attention matrix), and where only its input is kept.
KEPT_HALF, KEPT_SINGLE, KEPT_INPUT = 34, 68, 2
#: Bytes of a trained weight with its gradient and optimiser.
TRAINED = 16
#: Share of a machine's memory that training may take.
MEMORY = 0.5


class Fitted:
    """A trained backbone, and what is to be known of its training."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, model: Any, max_tokens: int, spent: dict[str, Any]) -> None:
        self.tokenizer, self.model, self.max_tokens, self.spent = tokenizer, model, max_tokens, spent

    def preferences(self, comparisons: pl.DataFrame) -> Array:
        """Return how far each personalised response is preferred, in points from the middle."""
        return self._scores(comparisons, "personalised") - self._scores(comparisons, "generic")

    def _scores(self, comparisons: pl.DataFrame, response: str) -> Array:
        request, attribute, said = (comparisons[name].to_list() for name in ("request", "attribute", response))
        inputs = backbone.encode(self.tokenizer, request, attribute, said, self.max_tokens)
        return backbone.scores(self.tokenizer, self.model, inputs)


class _Differences(Trainer):
    """A Trainer whose batch holds the personalised responses and then the generic ones, and is held to `targets`."""

    loss_is_scaled_for_ga = False  # a plain mean over a pass's comparisons

    def compute_loss(
        self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        targets = inputs.pop("targets")
        outputs = model(**inputs)
        better, worse = outputs.logits[:, 0].float().chunk(2)
        loss = torch.nn.functional.mse_loss(better - worse, targets)
        return (loss, outputs) if return_outputs else loss


def fit(comparisons: pl.DataFrame, targets: Array, base: str, settings: Mapping[str, Any], seed: int) -> Fitted:
    """Return a backbone trained on comparisons.

    Args:
        comparisons: See `comparisons.SCHEMA`; at least one.
        targets: Mean rating of each, less 3.
        base: See `encoders.tokenizer_and_model`.
        settings: epochs, batch_size, max_tokens, lora_rank and both learning rates, see `settings.Reward`.
        seed: The same seed gives the same model on the same machine.
    """
    with deterministic(seed), quiet(), tempfile.TemporaryDirectory() as nowhere:
        tokenizer, model = backbone.load(base, settings["lora_rank"])
        texts = {name: comparisons[name].to_list() for name in ("request", "attribute", "personalised", "generic")}
        sides = [
            backbone.encode(tokenizer, texts["request"], texts["attribute"], texts[name], settings["max_tokens"])
            for name in ("personalised", "generic")
        ]
        rows: Any = [
            {"personalised": better, "generic": worse, "target": float(target)}
            for better, worse, target in zip(*sides, targets, strict=True)
        ]

        def collate(batch: list[dict[str, Any]]) -> Any:
            inputs = [row[name] for name in ("personalised", "generic") for row in batch]
            wanted = torch.tensor([row["target"] for row in batch], dtype=torch.float32)
            return {**tokenizer.pad(inputs, return_tensors="pt"), "targets": wanted}

        device, reason = best_device()
        half = device == "cuda" and torch.cuda.is_bf16_supported()
        adapted = hasattr(model, "peft_config")
        rate = settings["lora_learning_rate"] if adapted else settings["learning_rate"]
        batch = min(settings["batch_size"], len(rows))
        most = _at_once(model, max(len(one["input_ids"]) for side in sides for one in side), device, half)
        at_once = max(number for number in range(1, min(most, batch) + 1) if batch % number == 0)
        passes = batch // at_once
        steps = settings["epochs"] * -(-len(rows) // (at_once * passes))
        trainer = _Differences(
            model=model,
            args=TrainingArguments(
                output_dir=nowhere,
                num_train_epochs=settings["epochs"],
                per_device_train_batch_size=at_once,
                gradient_accumulation_steps=passes,
                learning_rate=rate,
                lr_scheduler_type="linear",
                warmup_steps=round(WARM_UP * steps),
                bf16=half,
                activation_checkpointing=_checkpoints(model, half),
                use_cpu=device == "cpu",
                seed=seed,
                data_seed=seed,
                remove_unused_columns=False,
                save_strategy="no",
                logging_strategy="epoch",
                report_to=[],
                disable_tqdm=True,
                dataloader_pin_memory=device == "cuda",
            ),
            train_dataset=rows,
            data_collator=collate,
            optimizers=(_optimizer(model, rate, adapted), None),
        )
        trainer.remove_callback(PrinterCallback)
        if device == "cuda":
            torch.cuda.reset_peak_memory_stats()
        started = time.monotonic()
        with bases.silent(), warnings.catch_warnings():
            warnings.filterwarnings("ignore", "`is_gradient_checkpointing`", FutureWarning)  # peft's, of transformers
            trainer.train()
        spent = {
            "seconds": round(time.monotonic() - started, 1),
            "device": f"{device} ({reason}), {'bf16' if half else 'single precision'}",
            **peak_memory(device),
            "versions": {
                "python": platform.python_version(),
                "torch": str(torch.__version__),
                "transformers": transformers.__version__,
            },
            "loss": [round(entry["loss"], 6) for entry in trainer.state.log_history if "loss" in entry],
        }
    return Fitted(tokenizer, trainer.accelerator.unwrap_model(trainer.model), settings["max_tokens"], spent)


def _checkpoints(model: Any, half: bool) -> bool:
    """Whether a layer keeps its input alone, and is run again in the backward pass: decoders on a GPU."""
    return half and backbone.is_decoder(model)


def _at_once(model: Any, tokens: int, device: str, half: bool) -> int:
    """Return how many comparisons fit into memory in one pass; this decides nothing of what is learned.

    By the machine's whole memory and not by what is free now, so that the same machine rounds in the same way.
    """
    config = getattr(model, "encoder", model).config.get_text_config()
    width, layers = config.hidden_size, config.num_hidden_layers
    layer = KEPT_HALF if half else KEPT_SINGLE
    kept = layers * KEPT_INPUT + layer if _checkpoints(model, half) else layers * layer
    on_gpu = device == "cuda"
    whole = torch.cuda.get_device_properties(0).total_memory if on_gpu else psutil.virtual_memory().total
    held = sum(TRAINED * one.numel() if one.requires_grad else 2 * one.numel() for one in model.parameters())
    return max(1, int((MEMORY * whole - held) / (2 * tokens * width * kept)))


def _optimizer(model: Any, rate: float, adapted: bool) -> torch.optim.Optimizer:
    """Return AdamW; a head that starts from nothing learns faster than the pretrained weights below it."""
    trained = [(name, weights) for name, weights in model.named_parameters() if weights.requires_grad]
    below = "" if adapted else getattr(model, "base_model_prefix", "encoder")
    groups = [
        {"params": [weights for name, weights in trained if name.startswith(below)], "lr": rate},
        {"params": [weights for name, weights in trained if not name.startswith(below)], "lr": HEAD_RATE * rate},
    ]
    return torch.optim.AdamW([group for group in groups if group["params"]], weight_decay=WEIGHT_DECAY)
