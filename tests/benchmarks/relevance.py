"""Stage 2 in seconds: `python tests/benchmarks/relevance.py`.

Two parts. Ranking pairs by BM25 and by embeddings, beside a loop in the way of rank_bm25 (a pass over all documents in
Python for every word of every query) and an encoder that is given both texts of every pair. Then all numbers of the
agreement page, with intervals over requests: kappa of every two raters, its blocks, and each model at matched
thresholds. Beside it a loop that draws requests again, gathers their rows and asks scikit-learn. That loop is timed on
a few resamples and scaled up, and the encoder on a few pairs. Judgments are generated; texts are passages of the demo's
chats.
"""

from __future__ import annotations

import argparse
import json
import math
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from typing import TypeVar

import numpy as np
import polars as pl
from sklearn.metrics import cohen_kappa_score, roc_auc_score

from recenter_utils.inference.embeddings import MINILM, embed, encoder
from recenter_utils.relevance import agreement, retrieval, thresholds
from recenter_utils.relevance.consensus import consensus
from recenter_utils.scales import PEOPLE as PEOPLE_KINDS
from recenter_utils.stats.resampling import multinomial_counts
from tests.relevant import MODELS, PEOPLE, Rater, judgments_of, pairs_of
from tests.workspaces import ROOT

T = TypeVar("T")

FIVE = MODELS | {
    "strict": Rater("llm", threshold=1.2, noise=0.6, graded=True),
    "blunt": Rater("llm", threshold=-0.4, noise=1.4, graded=True),
}


def timed(function: Callable[[], T]) -> tuple[float, T]:
    started = time.perf_counter()
    result = function()
    return time.perf_counter() - started, result


def texts(pairs: pl.DataFrame, attributes: int, seed: int = 3) -> tuple[list[str], list[str]]:
    """Return the request and the attribute of each pair: about 50 words, and 10 words of `attributes` distinct ones."""
    lines = (ROOT / "data" / "demo" / "chats.jsonl").read_text(encoding="utf-8").splitlines()
    said = [turn["content"] for line in lines for turn in json.loads(line)["messages"] if turn["role"] == "user"]
    words = np.array(" ".join(said).split())
    rng = np.random.default_rng(seed)

    def passage(length: int) -> str:
        start = rng.integers(len(words) - length)
        return " ".join(words[start : start + length])

    known = [passage(int(rng.integers(6, 15))) for _ in range(attributes)]
    asked = {name: passage(50) for name in pairs["prompt_id"].unique(maintain_order=True)}
    return [asked[name] for name in pairs["prompt_id"]], [known[n] for n in rng.integers(attributes, size=len(pairs))]


def looped_bm25(requests: list[str], attributes: list[str]) -> np.ndarray:
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


def looped_page(judgments: pl.DataFrame, pairs: pl.DataFrame, reference: pl.DataFrame, resamples: int) -> np.ndarray:
    """Return the intervals of all kappas from a plain loop, which also does the rest of the page, for its time."""
    wide = agreement.answers(judgments)
    requests = agreement.requests(wide, pairs)
    people = judgments.filter(pl.col("rater_kind").is_in(PEOPLE_KINDS))["rater"].unique().to_list()
    scored = judgments.pivot("rater", index="item_id", values="score").to_pandas().set_index("item_id").loc[wide.index]
    majority = dict(reference.select("pair_id", "reference").iter_rows())
    answers = (wide == "yes").to_numpy()
    columns = {name: n for n, name in enumerate(wide.columns)}
    truths = {name: answers[:, columns[name]] for name in people}
    truths["majority"] = np.array([majority[item] == "yes" for item in wide.index])
    models = {name: scored[name].to_numpy(float) for name in wide.columns if name not in people}
    rows = [np.flatnonzero(requests == name) for name in np.unique(requests)]
    draws = []
    for counts in next(multinomial_counts(len(rows), resamples, 0)).astype(int):
        chosen = np.concatenate([rows[place] for place in np.repeat(np.arange(len(rows)), counts)])
        drawn = answers[chosen]
        draws.append([cohen_kappa_score(drawn[:, a], drawn[:, b]) for a, b in combinations(range(len(columns)), 2)])
        for scores in models.values():
            for truth in truths.values():
                cut = np.quantile(scores[chosen], 1 - truth[chosen].mean())
                cohen_kappa_score(truth[chosen], scores[chosen] > cut)
                roc_auc_score(truth[chosen], scores[chosen])
    return np.quantile(draws, [0.025, 0.975], axis=0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=3_969)
    parser.add_argument("--requests", type=int, default=41)
    parser.add_argument("--attributes", type=int, default=1_140, help="distinct attributes, those of the users")
    parser.add_argument("--encoded", type=int, default=300, help="pairs whose texts are encoded for the baseline")
    parser.add_argument("--draws", type=int, default=10_000)
    parser.add_argument("--looped", type=int, default=4, help="resamples of the loop that are timed")
    options = parser.parse_args()
    pairs = pairs_of(options.requests, -(-options.pairs // options.requests)).head(options.pairs)
    requests, attributes = texts(pairs, options.attributes)
    encoder().encode(["warm"])
    print(f"{len(pairs):,} pairs of {options.requests} requests and {len(set(attributes)):,} distinct attributes")

    ours, scores = timed(lambda: retrieval.bm25(requests, attributes))
    bare, expected = timed(lambda: looped_bm25(requests, attributes))
    np.testing.assert_allclose(scores, expected, rtol=1e-9)
    print(
        f"BM25                        {ours:8.2f} s    rank_bm25-style loop {bare:8.2f} s    ratio {bare / ours:6.1f}"
    )

    with tempfile.TemporaryDirectory() as folder:
        cache = Path(folder) / "vectors.sqlite"
        ours, _ = timed(lambda: retrieval.similarity(requests, attributes, MINILM, cache))
        again, found = timed(lambda: retrieval.similarity(requests, attributes, MINILM, cache))
    model, some = encoder(), slice(0, options.encoded)
    twice = requests[some], attributes[some]
    bare, both = timed(lambda: [model.encode(part) for part in twice])
    np.testing.assert_allclose(found[some], np.einsum("ij,ij->i", *both), atol=1e-5)
    bare *= len(pairs) / len(both[0])
    print(
        f"embeddings, encode included {ours:8.2f} s    texts of every pair  {bare:8.2f} s    ratio {bare / ours:6.1f}"
    )
    vectors = embed([*requests, *attributes])
    bare, _ = timed(lambda: [float(a @ b) for a, b in zip(vectors[: len(pairs)], vectors[len(pairs) :], strict=True)])
    print(
        f"embeddings, encoded before  {again:8.2f} s    dot products alone   {bare:8.2f} s, vectors given for nothing"
    )

    judgments = judgments_of(pairs, 1, PEOPLE | FIVE)
    reference = consensus(judgments, pairs)
    same = agreement.matrix(judgments, pairs, draws=options.looped).select("low", "high").to_numpy().T
    bare, ends = timed(lambda: looped_page(judgments, pairs, reference, options.looped))
    np.testing.assert_allclose(same, ends, atol=1e-9)
    bare *= options.draws / options.looped
    parts = {
        "kappa matrix": agreement.matrix,
        "blocks": agreement.blocks,
        "matched thresholds": lambda *tables, draws: thresholds.measure(*tables, reference, draws=draws),
    }
    total = 0.0
    print(f"agreement page: {judgments['rater'].n_unique()} raters, {options.draws:,} resamples of requests")
    for name, part in parts.items():
        took, _ = timed(lambda part=part: part(judgments, pairs, draws=options.draws))
        total += took
        print(f"  {name:<25} {took:8.2f} s")
    print(f"  {'all of it':<25} {total:8.2f} s    scikit-learn loop    {bare:8,.0f} s    ratio {bare / total:6.0f}")
    print(
        f"  (scaled from {options.looped} resamples; the ends of the kappa intervals are equal where both draw so many)"
    )


if __name__ == "__main__":
    main()
