"""Small pairs and settings for GRPO runs of a tiny model."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import polars as pl

from recenter_utils.settings import Grpo
from recenter_utils.training import examples as pairs
from recenter_utils.training.grpo import smoke
from recenter_utils.training.grpo.prompts import prompts

WORDS = ["bees", "hive", "garden", "bread", "piano", "nurse", "night", "train", "coffee", "chess", "river", "stone"]


def made(train: int = 64, seed: int = 0) -> pl.DataFrame:
    """Return pairs of which a fifth are relevant, for no reason that their words would show."""
    draw = random.Random(seed)
    split = ["train"] * train + ["validation"] * 12 + ["test"] * 15
    rows = [
        (
            f"p{n:03}",
            f"{part}-{n % 3}",
            f"How do I {' '.join(draw.sample(WORDS, 3))}?",
            f"Likes {' '.join(draw.sample(WORDS, 2))}.",
            n % 5 == 0,
            part,
        )
        for n, part in enumerate(split)
    ]
    return pl.DataFrame(rows, schema=pairs.SCHEMA, orient="row")


def warmed_up(folder: Path) -> Path:
    """Make a tiny model that knows the form of an answer, as smoke runs start from, and return its folder."""
    asked = prompts(made())
    smoke.make(folder, [message["content"] for messages in asked for message in messages], seed=1)
    return smoke.warmed_up(folder, asked, seed=1, steps=80)


def rules(base: Path, **more: Any) -> Grpo:
    """Return the settings of a run of twelve steps over `made()`."""
    scale = smoke.SCALE | {"batch_size": 8, "epochs": 1.5, "validate_every": 6, "save_every": 4, "kl": 0.01}
    return Grpo(base=str(base), train=True, **(scale | more))
