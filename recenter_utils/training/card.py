"""The card of a trained classifier: what it was trained on, how, and how well it does; for readers and for programs."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recenter_utils import __version__
from recenter_utils.errors import RecenterError
from recenter_utils.stats import classification

RECORD = "card.json"

#: What the card of a classifier must say.
NEEDED = ("key", "settings", "threshold")

#: What its labels' makers mean for whoever takes the model somewhere else.
_LABELS = {
    "simulated": "The labels are SIMULATED, made up to try the tools: this model knows nothing of what people think.",
    "people": "The labels are people's.",
    "people and simulated": "The labels are made from people's answers and SIMULATED ones, which were made up.",
    "benchmark": "The labels are a benchmark's links, and no person's judgments.",
    "": "Where the labels come from was not said.",
}

#: The same for the rest of what it was trained on.
_ORIGINS = {
    "model": "The attributes were written by a model.",
    "published": "Part of the data is taken from publications.",
}


@dataclass(frozen=True)
class Purpose:
    """What a classifier is for, in words that complete its card."""

    title: str
    reads: str
    positive: str
    cluster: str


PURPOSES = {
    "verifier": Purpose(
        "Attribute verifier",
        "an excerpt of a user's chats and a statement about that user",
        "the statement is a problem, one that people would not accept",
        "user",
    ),
    "selector": Purpose(
        "Relevance selector",
        "a request and a statement about whoever makes it",
        "the statement is relevant, and should change the answer to the request",
        "request",
    ),
}


def read(folder: Path, noun: str = "trained classifier", needed: Sequence[str] = NEEDED) -> dict[str, Any]:
    """Return what a model's folder says of it; raise where it lacks something needed. noun: What should be there."""
    try:
        record: dict[str, Any] = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        for name in needed:
            record[name]
    except (OSError, ValueError, KeyError, TypeError) as problem:
        raise RecenterError(f"{folder} holds no {noun} ({problem}); delete it and run again.") from None
    return record


def stored_key(folder: Path, needed: Sequence[str] = NEEDED) -> str | None:
    """Return what the model in a folder was made from, as a hash; None where there is none, see `read`."""
    try:
        return str(read(folder, needed=needed)["key"])
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


def said_of_data(origin: str, labels: str) -> str:
    """Return in sentences who made the labels, and what else is to be known of the data.

    origin: of the tables that were read. labels: `people`, `simulated`, `people and simulated` or
    `benchmark`; else as the origin has it.
    """
    origins = origin.split("+")
    # Simulated annotators may judge what people wrote: then nothing of the labels is people's.
    guessed = "simulated" if "simulated" in origins else "people" if "human" in origins else ""
    return " ".join([_LABELS[labels or guessed], *(_ORIGINS[part] for part in origins if part in _ORIGINS)])


def write(folder: Path, record: dict[str, Any]) -> None:
    """Write the card into a classifier's folder: card.json for programs, README.md for readers."""
    store(folder, record, _readme(record))


def store(folder: Path, record: dict[str, Any], readme: str) -> None:
    """Write card.json and README.md, each whole or not at all: a model without its card is trained again."""
    text = json.dumps(record | {"package": __version__}, indent=1, sort_keys=True, allow_nan=True) + "\n"
    for name, words in ((RECORD, text), ("README.md", readme)):
        made = folder / f".{name}.partial"
        made.write_text(words, encoding="utf-8")
        made.replace(folder / name)


def _readme(record: dict[str, Any]) -> str:
    settings = record["settings"]
    purpose = PURPOSES[record["purpose"]]
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
        "base": f"`{settings['base']}`{kept_layers(settings)}",
        "input": f"{purpose.reads}; at most {settings['max_tokens']} tokens, of which only the first part is cut",
        "loss": f"cross-entropy; a positive example weighs {settings['beta'] ** 2:g}, a negative one 1 (beta "
        f"{settings['beta']:g})",
        "optimiser": f"AdamW, peak learning rate {settings['learning_rate']:g}, linear schedule, batches of "
        f"{settings['batch_size']}",
        "epochs": f"at most {settings['epochs']}, {len(record['history'])} run, epoch {record['best_epoch']} kept: "
        f"F-beta {_number(kept['f_beta'])} on the validation part",
        "threshold": f"{record['threshold']:.4f}, the best F-beta on the validation part",
        "seed": str(record["seed"]),
        "device": record["device"],
        "time": f"{record['seconds']:,.0f} seconds of training, with each epoch's validation",
        "memory": f"{record['peak_memory'] / 2**30:.1f} GiB at most, {record['memory_of']}",
        "versions": ", ".join(f"{name} {version}" for name, version in record["versions"].items())
        + f", recenter {__version__}",
    }
    lines = [
        f"# {purpose.title}",
        "",
        f"Reads {purpose.reads}, and scores from 0 to 1 how sure it is that {purpose.positive}: the positive class.",
        "",
        said_of_data(record["origin"], record["labels"]),
        "",
        f"| part | examples | {purpose.cluster}s | positive |",
        "|---|---|---|---|",
        *parts,
        "",
        f"A {purpose.cluster} stands in one part only. Nothing was chosen on the test part.",
        "",
        f"| on the test part | value | 95% interval over {purpose.cluster}s | n | note |",
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


def kept_layers(settings: Mapping[str, Any]) -> str:
    """Return in words how much of its base a classifier kept; an empty string for all of it."""
    number = settings["layers"]
    return f", at most {number} layer{'s' * (number > 1)} of it" if number else ""


def _number(value: float | None) -> str:
    return "–" if value is None or math.isnan(value) else f"{value:.3f}"
