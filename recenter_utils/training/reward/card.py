"""The card of a reward model: what it learned from, how, how well, and what it is not for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from recenter_utils import __version__
from recenter_utils.training import card
from recenter_utils.training.reward.ridge import GRID


def readme(record: Mapping[str, Any]) -> str:
    """Return the card in words. record: what `model.fitted` knows of the model."""
    settings = record["settings"]
    known = f"{record['n_comparisons']:,} comparisons of {record['n_requests']:,} requests"
    if "n_ratings" in record:
        known += f", {record['n_ratings']:,} ratings of {record['n_annotators']:,} annotators"
    rows = {
        "base": f"`{record['base']}`",
        "input": f"request, attribute and response; at most {settings['max_tokens']} tokens, of which the end is cut",
        "loss": "squared error of score(personalised) - score(generic) beside the mean rating less 3",
        "learned from": known,
        **(_of_head(record) if settings["tune"] == "head" else _of_backbone(record)),
        "seed": str(record["seed"]),
        "package": f"recenter {__version__}",
    }
    lines = [
        "# Reward model",
        "",
        "Reads a request, an attribute of whoever makes it, and a response; scores what the response is worth to them.",
        "Only differences between responses to the same request and attribute mean anything, in points of the",
        "five-point scale.",
        "",
        card.said_of_data(record.get("origin", ""), record.get("labels", "")),
        "",
        record.get("measured", "How well it predicts ratings was not measured."),
        "",
        "| how | |",
        "|---|---|",
        *(f"| {name} | {value} |" for name, value in rows.items()),
        "",
        "It learned what these annotators said of these generators' responses. Whether those who are personalised",
        "for would agree is not known: they were not asked. A generator that is trained to please it will find its",
        "mistakes.",
        "",
    ]
    return "\n".join(lines)


def _of_head(record: Mapping[str, Any]) -> dict[str, str]:
    return {
        "trained": "a linear head on the base's embeddings, which stay as they are: ridge regression without intercept",
        "penalty": f"{record['penalty']:.4g}, of {len(GRID)} the one that predicts requests left out best",
    }


def _of_backbone(record: Mapping[str, Any]) -> dict[str, str]:
    settings = record["settings"]
    return {
        "trained": "all weights; of a decoder adapters alone, where `lora_rank` is set",
        "optimiser": f"AdamW, {settings['epochs']} epochs of batches of {settings['batch_size']}, linear schedule, "
        f"peak learning rate {settings['learning_rate']:g}, of adapters {settings['lora_learning_rate']:g}",
        "device": record["device"],
        "time": f"{record['seconds']:,.0f} seconds",
        "memory": f"{record['peak_memory'] / 2**30:.1f} GiB at most, {record['memory_of']}",
        "versions": ", ".join(f"{name} {version}" for name, version in record["versions"].items()),
    }
