"""The users stage on generated WildChat-shaped rows, beside pandas with a Python loop and a bare polars scan.

`python -m tests.benchmarks.preprocessing [--folder DIR] [--rows 1000000]`

Streams the rows through `collect` without model checks. The loop applies the same filters a row at a time and keeps the
same users; beyond 1,500 rows it reads some of the files, and its time is scaled up. The limit reads the same text and
sums its length. --folder: where the rows are kept for a next time, 3 GB a million.
"""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
from collections import Counter, defaultdict
from contextlib import nullcontext
from pathlib import Path

import pandas as pd
import polars as pl
from lingua import Language, LanguageDetectorBuilder

from recenter_utils.attributes import language
from recenter_utils.attributes.users import Pool, collect
from recenter_utils.settings import Source, UserRules
from tests.benchmarks import wildchat_rows
from tests.benchmarks.table import alone
from tests.benchmarks.timing import Row, Way, compare

PART, UNIT = "preprocessing", "rows"
SIZES = {"small": (500, 1_000, 2_000), "full": (1_500, 4_500, 13_500)}

#: Rows of which the loop reads all; of more it reads so many.
LOOPED = 1_500

_NO_PROSE = re.compile(r"```.*?(?:```|$)|`[^`\n]*`|https?://\S+", re.DOTALL)
_LETTERS = re.compile(r"[^\W\d_]")
_FUNCTION_WORD = re.compile(language._FUNCTION_WORD)


def rows_in(folder: Path, size: int) -> Path:
    """Return the folder of so many generated rows, made where it is missing."""
    made = folder / str(size)
    if not made.is_dir():
        wildchat_rows.write(made.with_suffix(".part"), size)
        made.with_suffix(".part").rename(made)
    return made


def scan(folder: Path) -> int:
    """Return the bytes of text that a bare scan counts."""
    text = pl.col("conversation").explode().struct.field("content").str.len_bytes().cast(pl.UInt64).sum()
    return int(pl.scan_parquet(f"{folder}/*.parquet").select(text).collect(engine="streaming").item())


def looped(files: list[Path], rules: UserRules) -> set[str]:
    """Return the users who stay, as a loop over pandas' rows finds them."""
    known = {one.name.title(): one for one in Language.all()}
    detector = LanguageDetectorBuilder.from_languages(*(known[name] for name in language.LANGUAGES.split())).build()
    conversations, turns = Counter[str](), Counter[str]()
    said: dict[str, Counter[str]] = defaultdict(Counter)
    for file in files:
        frame = pd.read_parquet(file, columns=["hashed_ip", "language", "conversation"])
        for user, labelled, messages in zip(frame["hashed_ip"], frame["language"], frame["conversation"], strict=True):
            own = [message["content"] for message in messages if message["role"] == "user"]
            if labelled != rules.language or _foreign(own, detector):
                continue
            conversations[user] += 1
            turns[user] += len(own)
            for turn in own:
                said[user].update(_windows(turn, rules.template_window))
    left = set()
    for user, number in conversations.items():
        most = max(said[user].values(), default=0)
        often = most >= rules.template_turns and most > rules.template_coverage * turns[user]
        scripted = often or most >= rules.template_turns_absolute
        if not scripted and number >= rules.min_conversations and turns[user] >= rules.min_user_turns:
            left.add(user)
    return left


def _foreign(turns: list[str], detector: object) -> bool:
    heads = (_NO_PROSE.sub(" ", turn[: 2 * language.TURN_CHARACTERS])[: language.TURN_CHARACTERS] for turn in turns)
    text = "\n".join(heads)[: language.CHARACTERS]
    letters = "".join(_LETTERS.findall(text))
    size = len(letters.encode())
    if size < language.LEAST_BYTES:
        return False
    words = len(re.findall(r"[^\W\d_']+(?:'[^\W\d_']*)*|'+", text))
    if len(_FUNCTION_WORD.findall(text)) >= 0.25 * words and size * 0.95 <= len(letters):
        return False
    confidence = detector.compute_language_confidence(text, Language.ENGLISH)  # type: ignore[attr-defined]
    return bool(confidence < language.LEAST_CONFIDENCE)


def _windows(turn: str, window: int) -> set[str]:
    text = " ".join(re.sub(r"\d", "0", turn.lower()).split())
    return {text[at : at + window] for at in range(0, len(text) - window + 1, window // 2)}


def measure(size: int, folder: Path | None = None) -> Row:
    with nullcontext(folder) if folder else tempfile.TemporaryDirectory() as place:
        made, staging, rules = rows_in(Path(place), size), Path(place) / "staging", UserRules()
        files = sorted(made.iterdir())
        read = files[: max(len(files) * LOOPED // size, 1)]
        source = Source(name="wildchat", format="wildchat", path=str(made))

        def ours() -> Pool:
            return collect([source], rules, Path(), staging)

        if len(read) == len(files):
            kept = ours().users.filter("kept")["user_id"].str.strip_prefix("wildchat/")
            assert set(kept) == looped(files, rules)
        else:
            ours()  # the first reading warms the file cache for everybody
        return compare(
            PART, size, UNIT, ours,
            Way("pandas and a Python loop with the same filters", lambda: looped(read, rules), len(read) / len(files)),
            Way("a bare polars scan of the same text", lambda: scan(made)),
            f"{scan(made) / size / 1000:.1f} kB of text a row; no model's check",
        )  # fmt: skip


if __name__ == "__main__":
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--folder", type=Path)
    given, rest = parser.parse_known_args(sys.argv[1:])
    alone(UNIT, SIZES, lambda size: measure(size, given.folder), arguments=rest)
