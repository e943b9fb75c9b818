"""Stage 2's pairs for other programs: what verl trains a reasoning model from (Appendix F)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from recenter_utils.errors import RecenterError
from recenter_utils.relevance import pairing, selectors
from recenter_utils.settings import Grpo
from recenter_utils.training import examples, smoke, verl

if TYPE_CHECKING:
    from recenter_utils.study import Study


def to_verl(study: Study, folder: Path) -> str:
    """Write a study's pairs, reward and settings for verl into a folder, and return what was written in words.

    The tiny model of a smoke run stays here: in its place stands the paper's.

    Raises RecenterError where there is nothing to learn.
    """
    rules = study.settings.grpo
    if rules.base == smoke.BASE:
        rules = rules.model_copy(update={"base": Grpo().base})
    items = pairing.worded(study.frame("pairs"), study.frame("prompts"))
    pairs = selectors.examples(items, study.frame("selector_split"))
    if reason := examples.lacking(pairs):
        raise RecenterError(f"Study '{study.name}' has nothing to train a model on: {reason}.")
    verl.export(pairs, rules, study.settings.seed, folder)
    counts = ", ".join(f"{part['examples']:,} {part['split']}" for part in examples.counts(pairs))
    return (
        f"Wrote {counts} pairs, reward.py and grpo.yaml (base {rules.base}) to {folder}.\n"
        "With verl and this package installed, in that folder: "
        'python3 -m verl.trainer.main_ppo --config-path="$PWD" --config-name=grpo'
    )
