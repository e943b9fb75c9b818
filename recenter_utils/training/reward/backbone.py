"""Backbones with one output: encoders and decoders that score a response, and how their input is laid out (§6.3)."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import MODEL_FOR_CAUSAL_LM_MAPPING, MODEL_FOR_MASKED_LM_MAPPING, PreTrainedTokenizerBase

from recenter_utils.training.encoders import quiet, tokenizer_and_model
from recenter_utils.training.reward.features import shortened

Array = NDArray[np.float64]

#: Inputs scored at once.
BATCH = 32

#: Parts of the input's length that an attribute, and that attribute and request together, take at most.
ATTRIBUTE_SHARE, CONTEXT_SHARE = 0.25, 0.5


def load(base: str, lora_rank: int | None = None) -> tuple[PreTrainedTokenizerBase, Any]:
    """Return a backbone's tokenizer, and the backbone with a head of one output on the best device.

    An encoder's head reads what its own classifiers read; a decoder's reads the last token. On a GPU, a decoder that is
    only adapted is held in bf16.

    Args:
        base: See `encoders.tokenizer_and_model`.
        lora_rank: Adds adapters of this rank to a decoder, and leaves its own weights as they are.

    Raises:
        RecenterError: It cannot be had.
    """
    tokenizer, model = tokenizer_and_model(base, outputs=1)
    tokenizer.padding_side = tokenizer.truncation_side = "right"
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    if not is_decoder(model):
        return tokenizer, model
    model.config.pad_token_id = tokenizer.pad_token_id  # by which the last token is found
    if lora_rank:
        with quiet(), _peft_warns():
            model = get_peft_model(
                model.bfloat16() if model.device.type == "cuda" else model,
                LoraConfig(r=lora_rank, lora_alpha=2 * lora_rank, target_modules="all-linear", task_type="SEQ_CLS"),
            )
        for weights in model.parameters():
            if weights.requires_grad:
                weights.data = weights.data.float()
    return tokenizer, model


@contextmanager
def _peft_warns() -> Iterator[None]:
    """Keep what peft asks of transformers in a way that will change out of notebooks."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "`is_gradient_checkpointing`", FutureWarning)
        yield


def is_decoder(model: Any) -> bool:
    """Whether a backbone reads from left to right alone, so that its last token is the one that knows all."""
    kind = type(getattr(model, "config", None))
    return kind in MODEL_FOR_CAUSAL_LM_MAPPING and kind not in MODEL_FOR_MASKED_LM_MAPPING


def encode(
    tokenizer: PreTrainedTokenizerBase,
    requests: Sequence[str],
    attributes: Sequence[str],
    responses: Sequence[str],
    max_tokens: int,
) -> list[dict[str, list[int]]]:
    """Return each input as token ids: the attribute and the request, then the response, of which the end is cut.

    Where a tokenizer has a separator it stands between the two. A request is cut where it and the attribute would take
    more than half of `max_tokens`, an attribute where it would take more than a quarter.
    """
    if not responses:
        return []
    about = shortened(attributes, tokenizer, int(ATTRIBUTE_SHARE * max_tokens))
    lengths = [len(ids) for ids in tokenizer(about, add_special_tokens=False)["input_ids"]]
    asked = [
        shortened([request], tokenizer, int(CONTEXT_SHARE * max_tokens) - length)[0]
        for request, length in zip(requests, lengths, strict=True)
    ]
    first = [f"About the user: {one}\nRequest: {other}" for one, other in zip(about, asked, strict=True)]
    if tokenizer.sep_token is not None:
        encoded = tokenizer(first, list(responses), truncation="only_second", max_length=max_tokens)
    else:
        whole = [f"{one}\nResponse: {other}" for one, other in zip(first, responses, strict=True)]
        encoded = tokenizer(whole, truncation=True, max_length=max_tokens)
    return [{name: encoded[name][row] for name in encoded} for row in range(len(responses))]


def scores(tokenizer: PreTrainedTokenizerBase, model: Any, inputs: Sequence[dict[str, list[int]]]) -> Array:
    """Return a backbone's score of each input, in order; inputs of like length are scored together."""
    order = sorted(range(len(inputs)), key=lambda row: len(inputs[row]["input_ids"]))
    found = np.full(len(inputs), np.nan)
    model.eval()
    mixed = any(weights.dtype == torch.bfloat16 for weights in model.parameters())
    with torch.inference_mode(), torch.autocast(model.device.type, torch.bfloat16, enabled=mixed):
        for start in range(0, len(order), BATCH):
            rows = order[start : start + BATCH]
            batch = tokenizer.pad([inputs[row] for row in rows], return_tensors="pt").to(model.device)
            found[rows] = model(**batch).logits[:, 0].float().cpu().numpy()
    return found


def save(tokenizer: PreTrainedTokenizerBase, model: Any, folder: Path) -> None:
    """Write a trained backbone, or its adapters alone, and the tokenizer into a folder."""
    with quiet():
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    (folder / "README.md").unlink(missing_ok=True)  # peft's, which says nothing of this model


def load_trained(folder: Path, base: str) -> tuple[PreTrainedTokenizerBase, Any]:
    """Return what `save` wrote: whole, or adapters on the base that they belong to."""
    if not (folder / "adapter_config.json").is_file():
        return load(str(folder))
    tokenizer, model = load(base)
    with quiet(), _peft_warns():
        return tokenizer, PeftModel.from_pretrained(model.bfloat16() if model.device.type == "cuda" else model, folder)
