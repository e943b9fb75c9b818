"""Ranking pairs by BM25, beside a loop in the way of rank_bm25 and bm25s alone.

`python -m tests.benchmarks.retrieval [--attributes 4000]`

The loop passes over all documents in Python for every word of every request. Texts are passages of the demo's chats.
"""

from __future__ import annotations

import math
from collections import Counter

import bm25s
import numpy as np

from recenter_utils.relevance import retrieval
from tests.benchmarks.embeddings import passages
from tests.benchmarks.table import alone
from tests.benchmarks.timing import Row, Way, compare

PART, UNIT = "retrieval", "attributes"
SIZES = {"small": (50, 100, 200), "full": (1_000, 3_000, 9_000)}

REQUESTS = 41


def looped(requests: list[str], attributes: list[str]) -> np.ndarray:
    """Return BM25 as rank_bm25 computes it, a query after another over all documents, with this project's idf."""
    documents = list(dict.fromkeys(attributes))
    place = {text: n for n, text in enumerate(documents)}
    counts = [Counter(words) for words in retrieval.words(documents)]
    lengths = np.array([words.total() for words in counts])
    frequency = Counter(word for words in counts for word in words)
    inverse = {word: math.log(1 + (len(counts) - n + 0.5) / (n + 0.5)) for word, n in frequency.items()}
    norm = retrieval.K1 * (1 - retrieval.B + retrieval.B * lengths / lengths.mean())
    found = {}
    for request in dict.fromkeys(requests):
        scores = np.zeros(len(documents))
        for word in retrieval.words([request])[0]:
            said = np.array([words.get(word) or 0 for words in counts])
            scores += inverse.get(word, 0) * said / (said + norm)
        found[request] = scores
    return np.array([found[request][place[text]] for request, text in zip(requests, attributes, strict=True)])


def indexed(requests: list[str], documents: list[str]) -> None:
    """Index the documents and score all of them for each request, as bm25s is used by itself."""
    ranker = bm25s.BM25(k1=retrieval.K1, b=retrieval.B)
    ranker.index(bm25s.tokenize(documents, stopwords="en", show_progress=False), show_progress=False)
    for said in bm25s.tokenize(requests, stopwords="en", return_ids=False, show_progress=False):
        ranker.get_scores(list(said))


def measure(size: int) -> Row:
    asked, documents = passages(REQUESTS, 50, 50, seed=4), passages(size, 6, 14)
    # Each request is paired with a stretch of the attributes, and each attribute with four requests.
    requests = [asked[(number + turn) % REQUESTS] for turn in range(4) for number in range(size)]
    attributes = documents * 4
    np.testing.assert_allclose(retrieval.bm25(requests, attributes), looped(requests, attributes), rtol=1e-9)
    return compare(
        PART, size, UNIT, lambda: retrieval.bm25(requests, attributes),
        Way("a loop in the way of rank_bm25", lambda: looped(requests, attributes)),
        Way("bm25s alone", lambda: indexed(asked, documents)),
        f"{REQUESTS} requests of 50 words, four pairs an attribute; the same scores",
    )  # fmt: skip


if __name__ == "__main__":
    alone(UNIT, SIZES, measure)
