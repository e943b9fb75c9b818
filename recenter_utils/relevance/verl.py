"""A study's pairs for verl, which trains a reasoning model on a cluster (Appendix F)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from recenter_utils.errors import RecenterError
from recenter_utils.relevance import pairing, selectors
from recenter_utils.settings import Grpo
from recenter_utils.training import bases, examples
from recenter_utils.training.grpo import smoke
from recenter_utils.training.verl import export

if TYPE_CHECKING:
    from recenter_utils.study import Study


def to_verl(study: Study, folder: Path) -> str:
    """Write a study's pairs, reward and settings for verl into a folder, and return what was written in words.

    The tiny model of a smoke run stays here: in its place stands the paper's. A base that is a folder is named by its
    full path.

    Raises RecenterError where there is nothing to learn, or the folder is not for an export (see `export.export`).
    """
    if study.settings.pairing.prompts is None:
        raise RecenterError(
            f"Study '{study.name}' has no requests to train a model on: name a file of requests in pairing.prompts in "
            f"{study.folder / 'study.yaml'}, and run it."
        )
    rules = study.settings.grpo
    base = Grpo().base if rules.base == smoke.BASE else bases.located(rules.base, study.folder)
    rules = rules.model_copy(update={"base": base})
    items = pairing.worded(study.frame("pairs"), study.frame("prompts"))
    pairs = selectors.examples(items, study.frame("selector_split"))
    if reason := examples.lacking(pairs):
        raise RecenterError(f"Study '{study.name}' has nothing to train a model on: {reason}.")
    there = (folder / export.REWARD).is_file()
    export.export(pairs, rules, study.settings.seed, folder)
    counts = ", ".join(f"{part['examples']:,} {part['split']}" for part in examples.counts(pairs))
    return (
        f"Wrote {counts} pairs, reward.py and grpo.yaml (base {rules.base}) to {folder}"
        f"{', over an earlier export' if there else ''}.\n"
        "With verl and this package installed, in that folder: "
        'python3 -m verl.trainer.main_ppo --config-path="$PWD" --config-name=grpo'
    )
