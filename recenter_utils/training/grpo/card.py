"""The card of a model trained with GRPO: on what, how, how it went, and what it is not; for readers and programs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from recenter_utils import __version__
from recenter_utils.training import card as cards
from recenter_utils.training.grpo import curves

#: What the card of a run must say.
NEEDED = ("key", "title", "history")

_SMOKE = (
    "**This is a smoke run.** A tiny model with random weights was shown made-up answers and then trained for some "
    "steps, to see that the training works. It is no language model, reads nothing, and its words mean nothing."
)


def read(folder: Path) -> dict[str, Any]:
    """Return what a run's folder says of it; raise where it says nothing readable."""
    return cards.read(folder, "finished GRPO run", NEEDED)


def stored(folder: Path) -> dict[str, Any] | None:
    """Return what the folder says of its run; None where there is none."""
    return None if cards.stored_key(folder, NEEDED) is None else read(folder)


def write(folder: Path, record: dict[str, Any]) -> None:
    """Write the card into a run's folder: card.json for programs, README.md for readers."""
    cards.store(folder, record, _readme(record))


def rows(record: dict[str, Any]) -> dict[str, str]:
    """Return how a model was trained, in words: what, and how it was."""
    settings, cut = record["settings"], record["batches"]
    lora = settings["lora_rank"]
    rate = settings["lora_learning_rate"] if lora else settings["learning_rate"]
    stops = ", ".join(f"{step:,}" for step in record["went_on_at"])
    long = sum(record["too_long"].values())
    return {
        "base": record["title"] if record["smoke"] else f"{settings['base']}{_at(record)}",
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
        cards.said_of_data(record["origin"], record["labels"]),
        "",
        "The data as they were when it was trained, and when it was asked:",
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


def _at(record: dict[str, Any]) -> str:
    return f", commit {record['commit'][:12]}" if record["commit"] else ""


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
