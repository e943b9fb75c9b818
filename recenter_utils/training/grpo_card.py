"""The card of a model trained with GRPO: on what, how, how it went, and what it is not; for readers and programs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from recenter_utils import __version__
from recenter_utils.errors import RecenterError
from recenter_utils.training import curves
from recenter_utils.training.card import RECORD, said_of_data

_SMOKE = (
    "**This is a smoke run.** A tiny model with random weights was shown made-up answers and then trained for some "
    "steps, to see that the training works. It is no language model, reads nothing, and its words mean nothing."
)


def read(folder: Path) -> dict[str, Any]:
    """Return what a run's folder says of it; raise where it says nothing readable."""
    try:
        record: dict[str, Any] = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        record["key"], record["title"], record["history"]
    except (OSError, ValueError, KeyError, TypeError) as problem:
        raise RecenterError(f"{folder} holds no finished GRPO run ({problem}); delete it and run again.") from None
    return record


def stored_key(folder: Path) -> str | None:
    """Return what the run in a folder was made from, as a hash; None where there is none."""
    try:
        return str(read(folder)["key"])
    except RecenterError:
        return None


def write(folder: Path, record: dict[str, Any]) -> None:
    """Write the card into a run's folder: card.json for programs, README.md for readers."""
    text = json.dumps(record | {"package": __version__}, indent=1, sort_keys=True)
    (folder / RECORD).write_text(text + "\n", encoding="utf-8")
    (folder / "README.md").write_text(_readme(record), encoding="utf-8")


def rows(record: dict[str, Any]) -> dict[str, str]:
    """Return how a model was trained, in words: what, and how it was."""
    settings, cut = record["settings"], record["batches"]
    lora = settings["lora_rank"]
    rate = settings["lora_learning_rate"] if lora else settings["learning_rate"]
    stops = ", ".join(f"{step:,}" for step in record["went_on_at"])
    long = sum(record["too_long"].values())
    return {
        "base": record["title"] if record["smoke"] else settings["base"],
        "trained": f"LoRA of rank {lora} on every linear layer" if lora else "all weights",
        "reward": f"1 for the reference label, {settings['format_reward']:g} for the final line; nothing if cut off",
        "optimiser": f"AdamW, constant learning rate {rate:g}, KL coefficient {settings['kl']:g}",
        "a step": f"{cut['passed_at_once'] * cut['passes'] // settings['rollouts']:,} pairs with "
        f"{settings['rollouts']} answers each",
        "epochs": f"{settings['epochs']:.3g}, {curves.steps(record['history']):,} steps",
        "longest": f"prompt {settings['max_prompt_tokens']:,} tokens ({long:,} pairs were longer and are left out), "
        f"answer {settings['max_tokens']:,}",
        "interrupted": f"went on from step {stops}" if stops else "no",
        "prompt": f"relevance, version {record['prompt_version']}",
        "seed": str(record["seed"]),
        "device": record["device"],
        "time": f"{record['seconds']:,.0f} seconds of training with its looks at validation pairs; median step "
        f"{curves.seconds_a_step(record['history']):.3g} seconds",
        "memory": f"{record['peak_memory'] / 2**30:.1f} GiB at most, {record['memory_of']}",
        "versions": ", ".join(f"{name} {version}" for name, version in record["versions"].items())
        + f", recenter {__version__}",
    }


def _readme(record: dict[str, Any]) -> str:
    parts = [
        f"| {part['split']} | {part['examples']:,} | {part['clusters']:,} | {part['positive']:,} |"
        for part in record["parts"]
    ]
    went = [
        f"| {row['measure'].replace('_', ' ')} | {_number(row['first_quarter'])} | {_number(row['last_quarter'])} |"
        for row in curves.summary(curves.curve(record["history"])).to_dicts()
    ]
    use = (
        "The folder holds the adapters: load the base, then these with peft."
        if record["settings"]["lora_rank"]
        else "The folder holds the whole model."
    )
    lines = [
        f"# {record['title']} + GRPO",
        "",
        *([_SMOKE, ""] if record["smoke"] else []),
        f"Says whether a statement about whoever makes a request matters for the answer. {use}",
        "",
        said_of_data(record["origin"], record["labels"]),
        "",
        "| part | pairs | requests | relevant |",
        "|---|---|---|---|",
        *parts,
        "",
        "A request stands in one part only. Nothing was chosen on the validation or the test part.",
        "",
        "| mean over | first quarter of the steps | last quarter |",
        "|---|---|---|",
        *went,
        "",
        "| how | |",
        "|---|---|",
        *(f"| {name} | {value} |" for name, value in rows(record).items()),
        "",
        "It was optimised for this one judgment; what became of everything else that its base can do is not known.",
        "",
    ]
    return "\n".join(lines)


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
