"""The card of a trained classifier: what it was trained on, how, and how well it does; for readers and for programs."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recenter_utils import __version__
from recenter_utils.errors import RecenterError
from recenter_utils.stats import classification

RECORD = "card.json"

#: What an origin of the labels means for whoever takes the model somewhere else.
_ORIGINS = {
    "simulated": "The labels are SIMULATED, made up to try the tools: this model knows nothing of what people think.",
    "human": "The labels are people's.",
    "model": "The attributes were written by a model.",
    "published": "Part of the data is taken from publications.",
}


def read(folder: Path) -> dict[str, Any]:
    """Return what a classifier's folder says of it; raise where it says nothing readable."""
    try:
        record: dict[str, Any] = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        record["key"], record["settings"]["base"], record["threshold"]
    except (OSError, ValueError, KeyError, TypeError) as problem:
        raise RecenterError(f"{folder} holds no trained classifier ({problem}); delete it and run again.") from None
    return record


def stored_key(folder: Path) -> str | None:
    """Return what the classifier in a folder was made from, as a hash; None where there is none."""
    try:
        return str(read(folder)["key"])
    except RecenterError:
        return None


def measured(test: pl.DataFrame, scores: NDArray[np.float64], threshold: float, seed: int) -> list[dict[str, Any]]:
    """Return the metrics on the test part with their intervals over clusters, a row a metric, NaN as None."""
    truth, clusters = test["positive"].to_numpy(), test["cluster"].to_numpy()
    rows: list[dict[Any, Any]] = classification.scores(truth, scores >= threshold, clusters, seed=seed).to_dict(
        "records"
    )
    found = classification.average_precision(truth, scores, clusters, seed=seed)
    rows.append({"metric": "average_precision", "n": len(test), **found._asdict()})
    return [
        {name: None if isinstance(value, float) and math.isnan(value) else value for name, value in row.items()}
        for row in rows
    ]


def write(folder: Path, record: dict[str, Any]) -> None:
    """Write the card into a classifier's folder: card.json for programs, README.md for readers."""
    text = json.dumps(record | {"package": __version__}, indent=1, sort_keys=True, allow_nan=True)
    (folder / RECORD).write_text(text + "\n", encoding="utf-8")
    (folder / "README.md").write_text(_readme(record), encoding="utf-8")


def _readme(record: dict[str, Any]) -> str:
    settings = record["settings"]
    origin = " ".join(_ORIGINS[part] for part in record["origin"].split("+") if part in _ORIGINS)
    kept = record["history"][record["best_epoch"] - 1]
    parts = [
        f"| {part['split']} | {part['examples']:,} | {part['clusters']:,} | {part['positive']:,} |"
        for part in record["parts"]
    ]
    metrics = [
        f"| {row['metric'].replace('_', ' ')} | {_number(row['value'])} | {_number(row['low'])} to "
        f"{_number(row['high'])} | {row['n']:,} | {row['reason'] or ''} |"
        for row in record["test"]
    ]
    rows = {
        "base": f"`{settings['base']}`",
        "input": f"text, then attribute; at most {settings['max_tokens']} tokens, only the text is cut",
        "loss": f"cross-entropy; a positive example weighs {settings['beta'] ** 2:g}, a negative one 1 (beta "
        f"{settings['beta']:g})",
        "optimiser": f"AdamW, peak learning rate {settings['learning_rate']:g}, linear schedule, batches of "
        f"{settings['batch_size']}",
        "epochs": f"at most {settings['epochs']}, {len(record['history'])} run, epoch {record['best_epoch']} kept: "
        f"F-beta {_number(kept['f_beta'])} on the validation part",
        "threshold": f"{record['threshold']:.4f}, the best F-beta on the validation part",
        "seed": str(record["seed"]),
        "device": record["device"],
        "versions": ", ".join(f"{name} {version}" for name, version in record["versions"].items())
        + f", recenter {__version__}",
    }
    lines = [
        "# Attribute classifier",
        "",
        "Reads a piece of a chat and a statement about its user, and scores from 0 to 1 how sure it is that the pair "
        "belongs to the positive class.",
        "",
        f"{origin or 'Where the labels come from was not said.'}",
        "",
        "| part | examples | clusters | positive |",
        "|---|---|---|---|",
        *parts,
        "",
        "A cluster (a user, a request) stands in one part only. Nothing was chosen on the test part.",
        "",
        "| on the test part | value | 95% interval over clusters | n | note |",
        "|---|---|---|---|---|",
        *metrics,
        "",
        "| how | |",
        "|---|---|",
        *(f"| {name} | {value} |" for name, value in rows.items()),
        "",
        "It was trained and measured on one study. How it does on other people, languages or extractors is not known.",
        "",
    ]
    return "\n".join(lines)


def _number(value: float | None) -> str:
    return "–" if value is None or math.isnan(value) else f"{value:.3f}"
