"""A reasoning model trained with GRPO to say which attributes matter; what it answers before and after (Appendix F).

The prompt is the one that judges are asked with. A finished run is kept with a card and found again while what decides
its weights is the same; one that was interrupted goes on from its last checkpoint. What it answers to the test part,
before and after, is asked when training is done, and again when that part has other pairs.
"""

from __future__ import annotations

import gc
import hashlib
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import polars as pl
from tqdm import tqdm

from recenter_utils import processes
from recenter_utils.errors import RecenterError
from recenter_utils.inference import final_line
from recenter_utils.inference.tasks import RELEVANCE_JUDGMENT, RELEVANCE_LINE
from recenter_utils.settings import Grpo
from recenter_utils.training import bases, folders
from recenter_utils.training import examples as pairs
from recenter_utils.training.grpo import answers, card, rewards, smoke
from recenter_utils.training.grpo.prompts import prompts, reference, short_enough

#: Raised by hand when this package would train other weights from the same settings and pairs.
VERSION = 1

#: What does not decide the weights: whether there is a run, what is looked at, and how much is done at once.
#: Who runs out of memory may lower these, and go on.
IGNORED = (
    "train",
    "save_every",
    "validation_pairs",
    "validate_every",
    "vllm",
    "generated_at_once",
    "passed_at_once",
)


class Trained:
    """A finished run in its folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.record: dict[str, Any] = card.read(folder)
        self.answers: dict[str, Any] = answers.read(folder / answers.FILE)
        if not set(answers.SIDES) <= set(self.answers):
            raise RecenterError(f"{folder} holds no answers to the held-out pairs: run again, nothing is trained anew.")

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
    home: Path | None = None,
    origin: str = "",
    labels: str = "",
    sign: float = 1.0,
    progress: bool = True,
) -> Trained:
    """Return the run that these examples, settings and seed give: the stored one, or else trained now.

    Args:
        folder: Where it is kept, with its card (README.md). Replaced whole or not at all; checkpoints stand in a hidden
            folder beside it until the run is finished, see `unfinished`.
        examples: See `examples.SCHEMA`: `text` is the request, `positive` whether the reference is yes. The training
            part is learned from, F1 is followed on the validation part, and the test part is answered before and after.
        rules: How it is trained; `base: smoke` brings a scale of its own (`smoke.SCALE`).
        seed: The same seed gives the same run on the same machine, as far as torch can.
        home: The study's folder, from which a base that is a folder is looked for; see `bases.located`.
        origin: Where the data come from, for the card.
        labels: Who made the labels, for the card: `people`, `simulated` or `benchmark`.
        sign: See `policy.fit`.
        progress: Show bars.

    Raises:
        RecenterError: There is nothing to learn (see `examples.lacking`), the base cannot be had, the disk is full, or
            another process trains there.
    """
    pairs.check(examples)
    examples = examples.sort("item_id")
    rules = smoke.scaled(rules, len(examples.filter(split="train")))
    base = rules.base if rules.base == smoke.BASE else bases.located(rules.base, home)
    key, asked = _key(examples, rules, base, seed, sign), answers.key(examples)
    if _is_trained(folder, key, base) and answers.complete(folder, asked):
        return Trained(folder)
    if reason := pairs.lacking(examples):
        raise RecenterError(f"No reasoning model can be trained: {reason}.")
    folder.parent.mkdir(parents=True, exist_ok=True)
    about = {"key": key, "seed": seed, "origin": origin, "labels": labels}
    lock = folder.with_name(f".{folder.name}.lock")
    with (
        processes.only_run(lock, f"A reasoning model is being trained already in {folder}"),
        folders.room(folder),
        smoke.one_thread(rules),
    ):
        if not _is_trained(folder, key, base):
            _train(folder, examples, rules, base, about, sign, progress)
        gc.collect()  # what was trained would stand in memory beside what is asked
        if not answers.complete(folder, asked):
            before = _tiny(_run_folder(folder, key, base), examples, seed) if base == smoke.BASE else base
            answers.ask(folder, examples, rules, before, progress)
        shutil.rmtree(_run_folder(folder, key, base), ignore_errors=True)
    return Trained(folder)


def _train(
    folder: Path,
    examples: pl.DataFrame,
    rules: Grpo,
    base: str,
    about: dict[str, Any],
    sign: float,
    progress: bool,
) -> None:
    from recenter_utils.training.grpo import policy, reasoners  # on first use: they bring trl along

    seed = about["seed"]
    if base == smoke.BASE:
        run = _run_folder(folder, about["key"], base)
        tokenizer, model = reasoners.load(_tiny(run, examples, seed), all_weights=rules.lora_rank is None)
    else:
        tokenizer, model = reasoners.load(base, all_weights=rules.lora_rank is None)
        run = _run_folder(folder, about["key"], base)  # by the commit, which is known now
    if progress and (others := [path for path in unfinished(folder) if path != run]):
        tqdm.write(
            f"Left as it is, an unfinished run of other settings: {', '.join(map(str, others))}.", file=sys.stderr
        )
    examples, long = short_enough(examples, tokenizer, rules.max_prompt_tokens)
    if reason := pairs.lacking(examples):
        raise RecenterError(
            f"No reasoning model can be trained on prompts of {rules.max_prompt_tokens} tokens: {reason}."
        )
    run.mkdir(exist_ok=True)
    validation = examples.filter(split="validation").sample(fraction=1.0, shuffle=True, seed=seed)
    with policy.measured() as spent, bases.silent():
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
        made = folders.partial(folder)
        policy.save(tokenizer, model, made)
    record = about | {
        "title": smoke.name_of(base),
        "smoke": rules.base == smoke.BASE,
        "commit": bases.commit(base),
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
    card.write(made, record)
    folders.replace(folder, made)


def unfinished(folder: Path) -> dict[Path, int]:
    """Return the folders of runs that were not finished, or are being trained now, each with its size in bytes.

    folder: Where the finished run is kept, as in `trained`. Only whoever started a run knows whether it is still
    wanted: none is ever deleted but by its own end.
    """
    found = sorted(folder.parent.glob(f".{folder.name}-run-*"))
    return {path: folders.size(path) for path in found if path.is_dir()}


def _asked(examples: pl.DataFrame) -> list[tuple[list[dict[str, str]], str]]:
    return list(zip(prompts(examples), reference(examples), strict=True))


def _tiny(run: Path, examples: pl.DataFrame, seed: int) -> str:
    """Return the folder of the tiny model, which is made where there is none yet."""
    folder = run / smoke.NAME
    if not folder.is_dir():
        run.mkdir(exist_ok=True)
        asked = prompts(examples.filter(split="train"))
        texts = [message["content"] for messages in asked[:200] for message in messages]
        made = smoke.make(run / f"{smoke.NAME}.partial", texts, seed)
        smoke.warmed_up(made, asked, seed).replace(folder)
    return str(folder)


# -- what decides a run, and what is there of it ----------------------------------------------------------------------


def _key(examples: pl.DataFrame, rules: Grpo, base: str, seed: int, sign: float) -> str:
    """Return a hash of what decides the weights; the commit of a hub model stands beside it, where it is known."""
    unused = "learning_rate" if rules.lora_rank else "lora_learning_rate"
    return _hash(
        VERSION,
        pairs.fingerprint(examples.filter(split="train")),
        rules.model_dump(mode="json", exclude={*IGNORED, unused, "base"}),
        seed,
        sign,
        RELEVANCE_JUDGMENT.prompt.version,
        [rewards.VERSION, final_line.VERSION, RELEVANCE_LINE.lines],
        [smoke.BASE, smoke.VERSION] if base == smoke.BASE else bases.fingerprint(base),
    )


def _hash(*parts: Any) -> str:
    return hashlib.blake2b(json.dumps(parts, sort_keys=True).encode(), digest_size=12).hexdigest()


def _is_trained(folder: Path, key: str, base: str) -> bool:
    stored = card.stored(folder)
    if stored is None or stored["key"] != key:
        return False
    # A machine that has the run and not its base knows no commit, and takes the run as it is.
    return bases.commit(base) in ("", stored.get("commit", "")) or not stored.get("commit")


def _run_folder(folder: Path, key: str, base: str) -> Path:
    """Return the folder of the run while it is not finished; another setting has another."""
    return folder.with_name(f".{folder.name}-run-{_hash(key, bases.commit(base))[:12]}")
