"""Reasoning models to train: loading one, and what it answers to prompts, decoded greedily."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from tqdm import tqdm
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig, PreTrainedTokenizerBase

from recenter_utils.errors import RecenterError
from recenter_utils.inference.embeddings import best_device
from recenter_utils.training.encoders import quiet

Messages = list[dict[str, str]]


@dataclass(frozen=True)
class Answered:
    """What a model answered: the text with its thinking, its length, and whether it was cut off."""

    text: str
    tokens: int
    truncated: bool


def load(base: str, all_weights: bool) -> tuple[PreTrainedTokenizerBase, Any]:
    """Return a model's tokenizer, which pads on the left, and the model on the best device.

    base: A folder, or a model from the hub's local cache or else from the hub. all_weights: Every weight will be
    trained, in single precision; a model that is only adapted is held in bf16 on a GPU.

    Raises RecenterError where it cannot be had or has no chat template, saying what to do.
    """
    device, _ = best_device()
    half = device == "cuda" and not all_weights
    dtype = torch.bfloat16 if half else torch.float32
    try:
        try:
            tokenizer, model = _loaded(base, dtype, local=True)
        except Exception:
            if Path(base).is_dir():
                raise
            tokenizer, model = _loaded(base, dtype, local=False)
    except Exception as problem:
        line = " ".join(str(problem).split())[:200] or type(problem).__name__
        raise RecenterError(
            f"The reasoning model '{base}' cannot be had ({line}): check 'grpo.base' and the network, or name a folder "
            "that holds it; 'smoke' is a tiny one made on the spot."
        ) from problem
    if not tokenizer.chat_template:
        raise RecenterError(
            f"The tokenizer of '{base}' has no chat template: GRPO needs a model that was made to chat."
        )
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer, model.to(device)


def _loaded(base: str, dtype: torch.dtype, local: bool) -> tuple[PreTrainedTokenizerBase, Any]:
    with quiet():
        tokenizer = AutoTokenizer.from_pretrained(
            base, padding_side="left", truncation_side="left", local_files_only=local
        )
        return tokenizer, AutoModelForCausalLM.from_pretrained(base, dtype=dtype, local_files_only=local)


def after_training(folder: Path, base: str, all_weights: bool) -> tuple[PreTrainedTokenizerBase, Any]:
    """Return the tokenizer and model that training left in a folder: whole, or adapters on the base they began from."""
    if all_weights:
        return load(str(folder), all_weights)
    tokenizer, model = load(base, all_weights)
    with quiet(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "`is_gradient_checkpointing`", FutureWarning)  # peft's use of transformers
        return tokenizer, PeftModel.from_pretrained(model, folder)


def end_tokens(tokenizer: PreTrainedTokenizerBase, model: Any) -> set[int]:
    """Return the tokens that end an answer: the tokenizer's, and all that the model declares."""
    declared = model.generation_config.eos_token_id
    several = declared if isinstance(declared, list) else [declared]
    return {token for token in (*several, tokenizer.eos_token_id) if token is not None}


def prompt_ids(tokenizer: PreTrainedTokenizerBase, prompts: Sequence[Messages]) -> list[list[int]]:
    """Return each prompt as token ids through the chat template, up to where the answer begins."""
    if not prompts:
        return []
    encoded: Any = tokenizer.apply_chat_template(list(prompts), add_generation_prompt=True, return_dict=True)
    return list(encoded["input_ids"])


def answers(
    tokenizer: PreTrainedTokenizerBase,
    model: Any,
    prompts: Sequence[Messages],
    max_tokens: int,
    at_once: int,
    bar: str = "",
) -> list[Answered]:
    """Return the model's greedy answer to each prompt, in order; prompts of like length are answered together.

    bar: What a progress bar over the prompts is called; none without a name.
    """
    ids = prompt_ids(tokenizer, prompts)
    order = sorted(range(len(ids)), key=lambda row: len(ids[row]))
    ends = end_tokens(tokenizer, model)
    config = GenerationConfig(
        max_new_tokens=max_tokens,
        do_sample=False,
        eos_token_id=sorted(ends),
        pad_token_id=tokenizer.pad_token_id,
        disable_compile=True,
    )
    found: dict[int, Answered] = {}
    training = model.training
    model.eval()
    with (
        quiet(),
        torch.inference_mode(),
        tqdm(total=len(ids), desc=bar, unit="pair", disable=not bar, file=sys.stderr) as shown,
    ):
        for start in range(0, len(order), at_once):
            rows = order[start : start + at_once]
            batch = tokenizer.pad({"input_ids": [ids[row] for row in rows]}, return_tensors="pt").to(model.device)
            said = model.generate(**batch, generation_config=config, use_cache=True)
            for row, tokens in zip(rows, said[:, batch["input_ids"].shape[1] :].tolist(), strict=True):
                length = next((place + 1 for place, token in enumerate(tokens) if token in ends), None)
                text = str(tokenizer.decode(tokens[:length], skip_special_tokens=True))
                found[row] = Answered(text, length or len(tokens), length is None)
            shown.update(len(rows))
    model.train(training)
    return [found[row] for row in range(len(ids))]
