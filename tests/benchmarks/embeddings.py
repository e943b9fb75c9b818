"""Embeddings of a column of texts, beside sentence-transformers with its defaults and the bare encoding of batches.

`python -m tests.benchmarks.embeddings [--texts 600]`

Ours stores the vectors as they come. Every text stands in two rows, as texts of pairs do in many.
"""

from __future__ import annotations

import itertools
import json
import tempfile
from functools import cache
from pathlib import Path

import numpy as np

from recenter_utils.inference.embeddings import BATCH, FIRST, MINILM, embed, encoder, packaged
from tests.benchmarks.table import alone
from tests.benchmarks.timing import Row, Way, compare
from tests.workspaces import ROOT

PART, UNIT = "embeddings", "texts"
SIZES = {"small": (16, 32, 64), "full": (60, 180, 540)}


@cache
def warm() -> None:
    """Load MiniLM, and go on to torch, which long runs use: neither is what is measured."""
    encoder().encode(["warm"])
    encoder().encode([str(number) for number in range(FIRST)])


def passages(number: int, least: int = 8, most: int = 60, seed: int = 3) -> list[str]:
    """Return different stretches of what the demo's users say, of so many words."""
    lines = (ROOT / "data" / "demo" / "chats.jsonl").read_text(encoding="utf-8").splitlines()
    said = [turn["content"] for line in lines for turn in json.loads(line)["messages"] if turn["role"] == "user"]
    words = " ".join(said).split()
    rng = np.random.default_rng(seed)
    found: dict[str, None] = {}
    while len(found) < number:
        start, length = rng.integers(len(words) - most), rng.integers(least, most + 1)
        found.setdefault(" ".join(words[start : start + length]))
    return list(found)


def measure(size: int) -> Row:
    from sentence_transformers import SentenceTransformer  # seconds, which who takes passages from here need not wait

    warm()
    distinct = passages(-(-size // 2))
    texts = (distinct + distinct[::-1])[:size]
    model = SentenceTransformer(str(packaged(MINILM)), device="cpu", local_files_only=True)
    longest = sorted(distinct, key=len, reverse=True)
    batches = [longest[start : start + BATCH] for start in range(0, len(longest), BATCH)]
    with tempfile.TemporaryDirectory() as folder:
        fresh = (Path(folder) / f"{number}.sqlite" for number in itertools.count())
        np.testing.assert_allclose(embed(texts[:32]), model.encode(texts[:32]), atol=1e-4)
        return compare(
            PART, size, UNIT, lambda: embed(texts, cache=next(fresh)),
            Way("sentence-transformers with its defaults", lambda: model.encode(texts, show_progress_bar=False)),
            Way("a bare encode of the same batches", lambda: [encoder().encode(batch) for batch in batches]),
            "8 to 60 words, each text in two rows; stored as they come; the same vectors",
        )  # fmt: skip


if __name__ == "__main__":
    alone(UNIT, SIZES, measure)
