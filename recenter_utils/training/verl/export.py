"""What verl, the framework of the paper's GRPO, needs for the same run on a cluster: data, reward and configuration.

verl is not part of this environment; what is written here follows its documentation (*Prepare Data for Post-Training*,
*Implement Reward Function for Dataset*, *Config Explanation*).
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import polars as pl
import yaml

from recenter_utils.errors import RecenterError
from recenter_utils.settings import Grpo
from recenter_utils.training import examples as pairs
from recenter_utils.training.grpo.prompts import prompts, reference

TEMPLATE = Path(__file__).with_name("grpo.yaml")

CONFIGURATION, REWARD = "grpo.yaml", "reward.py"

#: What an export writes.
FILES = (*(f"{split}.parquet" for split in pairs.SPLITS), REWARD, CONFIGURATION)

#: How verl calls the data, and picks a reward by.
DATA_SOURCE = "recenter/relevance"

#: Where each setting stands in verl's configuration. LoRA and what concerns one GPU have no place there.
KEYS = {
    "base": "actor_rollout_ref.model.path",
    "epochs": "trainer.total_epochs",
    "learning_rate": "actor_rollout_ref.actor.optim.lr",
    "kl": "actor_rollout_ref.actor.kl_loss_coef",
    "rollouts": "actor_rollout_ref.rollout.n",
    "batch_size": "data.train_batch_size",
    "max_prompt_tokens": "data.max_prompt_length",
    "max_tokens": "data.max_response_length",
    "validate_every": "trainer.test_freq",
    "save_every": "trainer.save_freq",
}

_REWARD = '''"""The reward that verl calls for each answer: the final line is read as that of the study's judges is."""

from recenter_utils.training.grpo import rewards


def compute_score(data_source, solution_str, ground_truth, extra_info=None):
    """Return the score of an answer and its parts."""
    return rewards.compute_score(data_source, solution_str, ground_truth, extra_info, format_reward={format_reward!r})
'''


def rows(examples: pl.DataFrame) -> pl.DataFrame:
    """Return the rows of a parquet file that verl reads, one a pair, in the order of their names.

    Columns data_source, prompt (chat messages, to which verl applies the chat template), ability, reward_model (style
    and ground_truth, the reference label) and extra_info (split, index, pair_id and prompt_id).

    examples: see `training.examples.SCHEMA`.
    """
    ordered = examples.sort("item_id")
    message = pl.Struct({"role": pl.String, "content": pl.String})
    return pl.DataFrame(
        {
            "data_source": pl.Series([DATA_SOURCE] * len(ordered), dtype=pl.String),
            "prompt": pl.Series(prompts(ordered), dtype=pl.List(message)),
            "ability": pl.Series(["relevance"] * len(ordered), dtype=pl.String),
            "reward_model": pl.Series(
                [{"style": "rule", "ground_truth": label} for label in reference(ordered)],
                dtype=pl.Struct({"style": pl.String, "ground_truth": pl.String}),
            ),
            "extra_info": pl.Series(
                [
                    {"split": split, "index": index, "pair_id": pair, "prompt_id": prompt}
                    for index, (split, pair, prompt) in enumerate(ordered.select("split", "item_id", "cluster").rows())
                ],
                dtype=pl.Struct({"split": pl.String, "index": pl.Int64, "pair_id": pl.String, "prompt_id": pl.String}),
            ),
        }
    )


def config(rules: Grpo, seed: int = 2026) -> dict[str, Any]:
    """Return verl's configuration with a study's settings: those of `grpo.yaml` where it has the paper's."""
    found: dict[str, Any] = yaml.safe_load(TEMPLATE.read_text(encoding="utf-8"))
    for name, key in KEYS.items():
        _put(found, key, getattr(rules, name))
    _put(found, "actor_rollout_ref.actor.ppo_mini_batch_size", rules.batch_size)
    _put(found, "data.seed", seed)
    return found


def export(examples: pl.DataFrame, rules: Grpo, seed: int, folder: Path) -> list[Path]:
    """Write what verl needs into a folder, and return the files: a parquet a part, reward.py and grpo.yaml.

    An earlier export that stands there is replaced. Raises RecenterError where the folder holds anything else, or
    cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if foreign := _foreign(folder):
            raise RecenterError(
                f"{folder} holds '{foreign}', which no export wrote: name a new or an empty folder, or that of an "
                "earlier export."
            )
        # First, as it is what an export is known by.
        (folder / REWARD).write_text(_REWARD.format(format_reward=rules.format_reward), encoding="utf-8")
        for split in pairs.SPLITS:
            rows(examples.filter(split=split)).write_parquet(folder / f"{split}.parquet")
        head = "".join(line for line in TEMPLATE.read_text(encoding="utf-8").splitlines(True) if line.startswith("#"))
        body = yaml.safe_dump(config(rules, seed), sort_keys=False)
        (folder / CONFIGURATION).write_text(head + body, encoding="utf-8")
    except OSError as problem:
        raise RecenterError(
            f"Nothing can be exported to {folder} ({problem.strerror or problem}): name another folder."
        ) from problem
    return [folder / name for name in FILES]


def _foreign(folder: Path) -> str:
    """Return the name of something in a folder that is no export's; an empty string where there is nothing."""
    found = sorted(path.name for path in folder.iterdir())
    reward = folder / REWARD
    if reward.is_file() and reward.read_text(encoding="utf-8", errors="replace").startswith(_REWARD.split("\n")[0]):
        found = [name for name in found if name not in FILES]
    return found[0] if found else ""


def _put(found: dict[str, Any], key: str, value: Any) -> None:
    *path, last = key.split(".")
    for name in path:
        found = found[name]
    if last not in found:
        raise KeyError(key)  # a key of grpo.yaml that `KEYS` no longer names
    found[last] = math.ceil(value) if isinstance(found[last], int) else value  # verl counts whole epochs
