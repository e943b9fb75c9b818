"""A reasoning model trained with GRPO to say which attributes matter; what it answers before and after (Appendix F).

The prompt is the one that judges are asked with. A finished run is kept with a card and found again while its examples,
settings, prompt and base are the same; one that was interrupted goes on from its last checkpoint.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import polars as pl

from recenter_utils.errors import RecenterError
from recenter_utils.inference.tasks import RELEVANCE_JUDGMENT
from recenter_utils.settings import Grpo
from recenter_utils.training import examples as pairs
from recenter_utils.training import folders, grpo_card, smoke

#: What does not decide the trained model: whether there is one, how often it is stored, and how much is done at once.
#: Who runs out of memory may lower these, and go on.
IGNORED = ("train", "save_every", "generated_at_once", "passed_at_once")

#: The code that decides it.
_CODE = ("grpo", "policy", "reasoners", "rewards", "smoke")

ANSWERS = "answers.json"


class Trained:
    """A finished run in its folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.record: dict[str, Any] = grpo_card.read(folder)
        self.answers: dict[str, list[dict[str, Any]]] = json.loads((folder / ANSWERS).read_text(encoding="utf-8"))

    @property
    def base(self) -> str:
        """How tables and figures call the model before training."""
        return str(self.record["title"])

    @property
    def name(self) -> str:
        """How they call it after."""
        return f"{self.base} + GRPO"

    @property
    def smoke(self) -> bool:
        """Whether it is the tiny model that shows nothing but that training works."""
        return bool(self.record["smoke"])

    @property
    def history(self) -> list[dict[str, Any]]:
        """What was written down at each step; see `curves.curve`."""
        return list(self.record["history"])


def trained(
    folder: Path,
    examples: pl.DataFrame,
    rules: Grpo,
    seed: int,
    *,
    origin: str = "",
    labels: str = "",
    sign: float = 1.0,
    progress: bool = True,
) -> Trained:
    """Return the run that these examples, settings and seed give: the stored one, or else trained now.

    Args:
        folder: Where it is kept, with its card (README.md). Replaced whole or not at all; checkpoints stand in a hidden
            folder beside it until the run is finished.
        examples: See `examples.SCHEMA`: `text` is the request, `positive` whether the reference is yes. The training
            part is learned from, F1 is followed on the validation part, and the test part is answered before and after.
        rules: How it is trained; `base: smoke` brings a scale of its own (`smoke.SCALE`).
        seed: The same seed gives the same run on the same machine, as far as torch can.
        origin: Where the data come from, for the card.
        labels: Who made the labels, for the card: `people`, `simulated` or `benchmark`.
        sign: See `policy.fit`.
        progress: Show bars.

    Raises:
        RecenterError: There is nothing to learn (see `examples.lacking`), or the base cannot be had.
    """
    pairs.check(examples)
    examples = examples.sort("item_id")
    rules = smoke.scaled(rules, len(examples.filter(split="train")))
    key = _key(examples, rules, seed, sign)
    if grpo_card.stored_key(folder) == key:
        return Trained(folder)
    if reason := pairs.lacking(examples):
        raise RecenterError(f"No reasoning model can be trained: {reason}.")
    about = {"key": key, "seed": seed, "origin": origin, "labels": labels}
    with smoke.one_thread(rules):
        _train(folder, examples, rules, about, sign, progress)
    return Trained(folder)


def _train(
    folder: Path, examples: pl.DataFrame, rules: Grpo, about: dict[str, Any], sign: float, progress: bool
) -> None:
    from recenter_utils.training import policy, reasoners  # on first use: they bring trl along

    seed, run = about["seed"], _run_folder(folder, about["key"])
    base = _base(run, examples, rules, seed)
    tokenizer, model = reasoners.load(base, all_weights=rules.lora_rank is None)
    examples, long = _short_enough(examples, tokenizer, rules.max_prompt_tokens)
    if reason := pairs.lacking(examples):
        raise RecenterError(
            f"No reasoning model can be trained on prompts of {rules.max_prompt_tokens} tokens: {reason}."
        )
    test, items = examples.filter(split="test"), examples.filter(split="test")["item_id"].to_list()

    def answer(current: Any, bar: str) -> list[dict[str, Any]]:
        said = reasoners.answers(
            tokenizer, current, prompts(test), rules.max_tokens, rules.generated_at_once, bar if progress else ""
        )
        return [{"item_id": item} | asdict(one) for item, one in zip(items, said, strict=True)]

    kept = run / "before.json"
    if not kept.is_file():  # a run that goes on asks nothing twice
        _write(kept, answer(model, "before GRPO"))
    validation = examples.filter(split="validation").sample(fraction=1.0, shuffle=True, seed=seed)
    with policy.measured() as spent:
        model, history = policy.fit(
            tokenizer,
            model,
            _asked(examples.filter(split="train")),
            _asked(validation.head(rules.validation_pairs)),
            rules,
            seed,
            run,
            sign=sign,
            progress=progress,
        )
    record = about | {
        "title": reasoners.title(base),
        "smoke": rules.base == smoke.BASE,
        "settings": rules.model_dump(mode="json"),
        "parts": pairs.counts(examples),
        "too_long": long,
        "prompt_version": RELEVANCE_JUDGMENT.prompt.version,
        "batches": policy.batches(rules, len(examples.filter(split="train"))),
        "went_on_at": policy.last(history, "went_on_at", []),
        "seconds": policy.last(history, "seconds", 0.0),
        "history": history,
        **spent,
    }
    made = folders.partial(folder)
    _write(
        made / ANSWERS, {"before": json.loads(kept.read_text(encoding="utf-8")), "after": answer(model, "after GRPO")}
    )
    policy.save(tokenizer, model, made)
    grpo_card.write(made, record)
    folders.replace(folder, made)
    shutil.rmtree(run, ignore_errors=True)


def prompts(examples: pl.DataFrame) -> list[list[dict[str, str]]]:
    """Return the messages that judges are asked with, one list a pair, in order."""
    rows = examples.select("attribute", prompt="text").to_dicts()
    return [RELEVANCE_JUDGMENT.prompt.messages(row) for row in rows]


def reference(examples: pl.DataFrame) -> list[str]:
    """Return the reference labels, in order."""
    return ["yes" if positive else "no" for positive in examples["positive"]]


def _asked(examples: pl.DataFrame) -> list[tuple[list[dict[str, str]], str]]:
    return list(zip(prompts(examples), reference(examples), strict=True))


def _base(run: Path, examples: pl.DataFrame, rules: Grpo, seed: int) -> str:
    """Return the name or folder of the model to start from; the tiny one is made where there is none yet."""
    if rules.base != smoke.BASE:
        return rules.base
    folder = run / smoke.NAME
    if not folder.is_dir():
        asked = prompts(examples.filter(split="train"))
        texts = [message["content"] for messages in asked[:200] for message in messages]
        made = smoke.make(run / f"{smoke.NAME}.partial", texts, seed)
        smoke.warmed_up(made, asked, seed).replace(folder)
    return str(folder)


def _short_enough(examples: pl.DataFrame, tokenizer: Any, most: int) -> tuple[pl.DataFrame, dict[str, int]]:
    """Return the pairs whose prompts fit, and how many of each part do not."""
    from recenter_utils.training.reasoners import prompt_ids

    fits = pl.Series([len(ids) <= most for ids in prompt_ids(tokenizer, prompts(examples))], dtype=pl.Boolean)
    left = examples.filter(~fits)
    return examples.filter(fits), {split: len(left.filter(split=split)) for split in pairs.SPLITS}


def _key(examples: pl.DataFrame, rules: Grpo, seed: int, sign: float) -> str:
    base = Path(rules.base)
    code = b"".join(Path(__file__).with_name(f"{name}.py").read_bytes() for name in _CODE)
    parts = [
        pairs.fingerprint(examples),
        rules.model_dump(mode="json", exclude=set(IGNORED)),
        seed,
        sign,
        RELEVANCE_JUDGMENT.prompt.version,
        hashlib.blake2b(code, digest_size=12).hexdigest(),
        # A folder may hold another model tomorrow.
        [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in sorted(base.glob("*"))]
        if base.is_dir()
        else [],
    ]
    return hashlib.blake2b(json.dumps(parts, sort_keys=True).encode(), digest_size=12).hexdigest()


def _run_folder(folder: Path, key: str) -> Path:
    """Return the folder of an unfinished run; what another run left there is removed."""
    run = folder.with_name(f".{folder.name}-run")
    said = run / "key.txt"
    if not said.is_file() or said.read_text(encoding="utf-8") != key:
        shutil.rmtree(run, ignore_errors=True)
        run.mkdir(parents=True)
        said.write_text(key, encoding="utf-8")
    return run


def _write(path: Path, found: Sequence[Any] | dict[str, Any]) -> None:
    """Write JSON whole or not at all."""
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(found, ensure_ascii=False), encoding="utf-8")
    partial.replace(path)
