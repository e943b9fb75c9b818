"""What a reasoning model answers to the test part, before and after training; kept in the finished run's folder.

The answers are apart from the training: a test part with other pairs is asked again, and nothing is trained for it.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import polars as pl

from recenter_utils.settings import Grpo
from recenter_utils.training import examples as pairs
from recenter_utils.training.grpo import card
from recenter_utils.training.grpo.prompts import prompts, short_enough

FILE = "answers.json"
SIDES = ("before", "after")


def read(path: Path) -> dict[str, Any]:
    """Return the answers in a file: `asked` (see `key`) and a list for each side; nothing where it cannot be read."""
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found


def key(examples: pl.DataFrame) -> str:
    """Return a hash of what the test part asks; its labels are compared with the answers, and decide none."""
    rows = examples.filter(split="test").sort("item_id").select("item_id", "text", "attribute").rows()
    return hashlib.blake2b(json.dumps(rows).encode(), digest_size=12).hexdigest()


def complete(folder: Path, asked: str) -> bool:
    """Whether a run's folder holds both sides' answers to what is asked; see `key`."""
    found = read(folder / FILE)
    return found.get("asked") == asked and set(SIDES) <= set(found)


def ask(folder: Path, examples: pl.DataFrame, rules: Grpo, base: str, progress: bool) -> None:
    """Ask the model before and after training of the test part; what was asked before a kill is not asked again.

    folder: Of the finished run. base: The folder or name of the model before training. The card's row of the test part
    is brought up to date.
    """
    from recenter_utils.training.grpo import reasoners

    record, asked, kept = card.read(folder), key(examples), folder / f".{FILE}"
    found = read(kept)
    said: dict[str, Any] = found if found.get("asked") == asked else {"asked": asked}
    whole = rules.lora_rank is None
    for side in (side for side in SIDES if side not in said):
        tokenizer, model = (
            reasoners.load(base, whole) if side == "before" else reasoners.after_training(folder, base, whole)
        )
        test, long = short_enough(examples.filter(split="test"), tokenizer, rules.max_prompt_tokens)
        bar = f"{side} GRPO · {record['title']}" if progress else ""
        answers = reasoners.answers(tokenizer, model, prompts(test), rules.max_tokens, rules.generated_at_once, bar)
        items = test["item_id"].to_list()
        said[side] = [{"item_id": item} | asdict(one) for item, one in zip(items, answers, strict=True)]
        _write(kept, said)
        record["parts"] = [part for part in record["parts"] if part["split"] != "test"]
        record["parts"] += [part for part in pairs.counts(test) if part["split"] == "test"]
        record["too_long"] |= {"test": long["test"]}
    card.write(folder, record)
    kept.replace(folder / FILE)


def _write(path: Path, found: dict[str, Any]) -> None:
    """Write JSON whole or not at all."""
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(found, ensure_ascii=False), encoding="utf-8")
    partial.replace(path)
