"""Calibrating a judge on few labels: another cut through its graded score, and what that does to its F1.

Requests are halved at random, again and again. Labelled pairs are drawn from one half, the judge is calibrated on them,
and its F1 is taken on the other half. Sizes, methods and judges see the same draws.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.optimize import isotonic_regression

from recenter_utils.relevance.agreement import people_word
from recenter_utils.relevance.answers import NO_JUDGE, NO_REFERENCE, Answers, Array, Flags
from recenter_utils.relevance.ceiling import others
from recenter_utils.settings import Calibration
from recenter_utils.stats.resampling import Interval, interval
from recenter_utils.tables import table
from recenter_utils.training.scoring import best_threshold

NAN = float("nan")

#: A gain in F1 below it is not worth more labels.
CLOSE = 0.02


def threshold_cut(relevant: Flags, scores: Array, around: Array) -> float | None:
    """Return the cut with the best F1 on these labels; None where they are all of one kind. around: not looked at."""
    if relevant.all() or not relevant.any():
        return None
    return best_threshold(relevant, scores, beta=1.0)[0]


def isotonic_cut(relevant: Flags, scores: Array, around: Array) -> float | None:
    """Return the cut with the best expected F1, by probabilities from isotonic regression on these labels.

    Expected over `around`: the judge's scores of pairs with and without a label. On the labelled pairs alone the cut
    would be the threshold's own, since the best cut never parts scores that isotonic regression pools; a cut where yes
    has a probability of a half makes the fewest errors, which with few relevant pairs selects too little for F1. None
    where labels are all of one kind.
    """
    if relevant.all() or not relevant.any():
        return None
    ordered = np.sort(around)[::-1]
    at, place, weights = np.unique(scores, return_inverse=True, return_counts=True)
    fitted = isotonic_regression(np.bincount(place, relevant) / weights, weights=weights).x
    probability = np.interp(ordered, at, fitted)  # as scikit-learn's IsotonicRegression, clipped outside
    expected = np.cumsum(probability) / (np.arange(1, len(ordered) + 1) + probability.sum())
    return float(ordered[expected.argmax()])


METHODS = {"threshold": threshold_cut, "isotonic": isotonic_cut}


class _Cuts:
    """F1 of every cut through one judge's scores on one set of pairs."""

    def __init__(self, relevant: Flags, scores: Array) -> None:
        answered = ~np.isnan(scores)
        order = np.argsort(scores[answered], kind="stable")
        self._scores = scores[answered][order]
        caught = np.cumsum(relevant[answered][order][::-1])[::-1]
        self._caught = np.append(caught, 0)
        self._positive = int(relevant.sum())

    def f1(self, cut: float | Array) -> Array:
        """Return F1 where pairs from `cut` on are selected; NaN where nothing is relevant."""
        place = np.searchsorted(self._scores, cut, side="left")
        if not self._positive:
            return np.full(np.shape(place), NAN)
        return 2 * self._caught[place] / (len(self._scores) - place + self._positive)

    def best(self) -> float:
        """Return the best F1 of any cut."""
        if not self._positive or not len(self._scores):
            return float(self.f1(float("inf")))
        return float(self.f1(self._scores).max())


def calibrate(pool: pl.DataFrame, found: list[Answers], rules: Calibration, seed: int = 0) -> pl.DataFrame:
    """Return the table `calibration`.

    A judge's unanswered pairs are never selected. The answers of a grading judge that lack a graded score cannot be
    cut, and are left out of all its numbers. Where the labels drawn are all of one kind, nothing can be learnt from
    them and the judge is left as it is. All are counted. Where nothing is relevant among the tested pairs, F1 is
    undefined, whatever is selected. pool, found: see `answers.referenced` and `answers.of_models`.
    """
    relevant = pool["relevant"].to_numpy()
    prompts, request = np.unique(pool["prompt_id"].to_numpy(), return_inverse=True)
    sizes = sorted(set(rules.labels))
    draws = list(_draws(request, len(prompts), rules.repeats, seed))
    rows = []
    for judge in found:
        values: dict[tuple[str, int], list[float]] = {("as it is", 0): [], ("best cut", 0): []}
        alike = dict.fromkeys(sizes, 0)
        lacking = judge.ungraded if judge.graded else np.zeros(len(pool), dtype=bool)
        for labelled, half in draws:
            tested = half[~lacking[half]]
            cuts = _Cuts(relevant[tested], judge.scores[tested])
            plain = _f1(relevant[tested], judge.yes[tested])
            values["as it is", 0].append(plain)
            if not judge.graded:
                continue
            values["best cut", 0].append(cuts.best())
            around = judge.scores[labelled]
            scored = ~np.isnan(around)
            for n in (n for n in sizes if n <= len(labelled)):
                rows_of = labelled[:n][scored[:n]]
                for name, method in METHODS.items():
                    cut = method(relevant[rows_of], judge.scores[rows_of], around[scored])
                    values.setdefault((name, n), []).append(plain if cut is None else float(cuts.f1(cut)))
                alike[n] += cut is None
        keys = [("as it is", 0), ("best cut", 0), *((name, n) for name in METHODS for n in sizes)]
        for kind, n in keys:
            taken = values.get((kind, n), [])
            reason = _reason(judge, kind, n, len(taken), alike.get(n, 0), len(draws), len(prompts))
            rows.append(_row(judge, kind, n, taken, reason))
    return table("calibration").frame(rows)


def _draws(request: NDArray[np.int64], requests: int, repeats: int, seed: int) -> Iterator[tuple[NDArray, NDArray]]:
    """Yield the rows of one half of the requests, shuffled, and those of the other; nothing with one request."""
    rng = np.random.default_rng(seed)
    for _ in range(repeats if requests > 1 else 0):
        drawn = np.zeros(requests, dtype=bool)
        drawn[rng.permutation(requests)[: requests // 2]] = True
        half = drawn[request]
        yield rng.permutation(np.flatnonzero(half)), np.flatnonzero(~half)


def _f1(relevant: Flags, selected: Flags) -> float:
    """Return F1; NaN where nothing is relevant, as for every other way to select from the same pairs."""
    if not relevant.any():
        return NAN
    return 2 * int((relevant & selected).sum()) / int(relevant.sum() + selected.sum())


def _reason(judge: Answers, method: str, n: int, done: int, alike: int, repeats: int, requests: int) -> str | None:
    if not requests:
        return NO_REFERENCE
    if requests < 2:
        return "calibrating on some requests and testing on others takes two requests with references"
    if method != "as it is" and not judge.graded:
        return "its scores are not graded, so that there is nothing to cut"
    notes = []
    if n and done < repeats:
        notes.append(
            f"in {repeats - done} of {repeats} draws the half to calibrate on has fewer than {n} labelled pairs"
        )
    if judge.graded and (lacking := int(judge.ungraded.sum())):
        notes.append(f"{lacking} answers have no graded score, and their pairs are left out")
    if n and alike:
        notes.append(f"in {alike} of {done} draws the labels are all of one kind, and the judge is left as it is")
    return "; ".join(notes) or None


def _row(judge: Answers, method: str, n: int, values: list[float], reason: str | None) -> dict[str, object]:
    defined = np.array(values)[~np.isnan(values)] if values else np.empty(0)
    if len(values) > len(defined):
        note = f"in {len(values) - len(defined)} draws nothing is relevant among the tested pairs: F1 is undefined"
        reason = "; ".join(filter(None, [reason, note]))
    low, high = interval(defined)
    return {
        "judge": judge.name,
        "method": method,
        "n_labels": n,
        "f1": float(defined.mean()) if len(defined) else None,
        "low": low,
        "high": high,
        "n_repeats": len(defined),
        "n_unanswered": judge.n_unanswered,
        "reason": reason,
    }


def ceiling(judgments: pl.DataFrame, pairs: pl.DataFrame, excluded: tuple[str, ...] = ()) -> Interval:
    """Return the annotators' own mean F1, each against the majority of the others; low and high: the least, the most.

    judgments: the table `relevance_judgments`. pairs: pair_id and prompt_id. Pairs on which the others are divided are
    left out, and so are those that the annotator skipped (see `ceiling.others`).
    """
    held = others(judgments, pairs, excluded)
    if len(held.names) < 2:
        return Interval(NAN, NAN, NAN, "it takes two annotators")
    known = ~np.isnan(held.truths)
    values = [
        _f1(truth[kept] == 1, said[kept] == 1)
        for truth, said, kept in zip(held.truths.T, held.answers.T, known.T, strict=True)
    ]
    defined = [value for value in values if value == value]
    if not defined:
        return Interval(NAN, NAN, NAN, "the others never have a majority where an annotator answered")
    return Interval(float(np.mean(defined)), min(defined), max(defined))


def wide(found: pl.DataFrame) -> pl.DataFrame:
    """Return the table `calibration` as readers want it: a row a judge and method, mean F1 by number of labels."""
    if found.is_empty():
        return pl.DataFrame(schema={"judge": pl.String, "method": pl.String})
    fixed = found.filter(n_labels=0).pivot("method", index="judge", values="f1", maintain_order=True)
    by_size = found.filter(pl.col("n_labels") > 0).pivot(
        "n_labels", index=["judge", "method"], values="f1", maintain_order=True
    )
    joined = by_size.join(fixed, on="judge", how="left", maintain_order="left")
    sizes = by_size.columns[2:]
    return joined.select("judge", "method", "as it is", *sizes, "best cut")


def notes(found: pl.DataFrame) -> pl.DataFrame:
    """Return what to know of numbers in `calibration` or `relevance_rates`: judges and n_labels (lists), reason."""
    said = found.drop_nulls("reason").group_by("reason", maintain_order=True)
    lists = said.agg(judges=pl.col("judge"), n_labels=pl.col("n_labels"))
    unique = pl.col("judges", "n_labels").list.unique(maintain_order=True)
    return lists.with_columns(unique).select("judges", "n_labels", "reason")


def somebody(kinds: Iterable[str]) -> str:
    """Return what a page calls one of the annotators; kinds: what the raters are."""
    return "a simulated annotator" if people_word(kinds) == "simulated annotators" else "an annotator"


def sentence(found: pl.DataFrame, people: Interval, kinds: Iterable[str]) -> str:
    """Return in words how far few labels go, and who gains and loses by them.

    Only numbers of labels that every draw reaches are spoken of, so that all values are means over the same draws.

    found: the table `calibration`. people: see `ceiling`. kinds: what the raters are.
    """
    if found.is_empty():
        return f"Nothing can be said of calibration: {NO_JUDGE}."
    plain = found.filter(method="as it is").select(
        "judge", before="f1", low_before="low", high_before="high", draws="n_repeats"
    )
    able = found.filter(method="best cut").drop_nulls("f1").sort("f1", "judge", descending=[True, False])
    sizes = found.filter(pl.col("n_labels") > 0).join(plain, on="judge", maintain_order="left")
    tried = sizes.drop_nulls("f1").filter(pl.col("n_repeats") == pl.col("draws"))
    if able.is_empty() or tried.is_empty():
        why = sizes.filter(pl.col("f1").is_null() | (pl.col("n_repeats") < pl.col("draws"))).drop_nulls("reason")
        return f"No judge could be calibrated: {why['reason'][0] if len(why) else NO_REFERENCE}."
    limit = able.to_dicts()[0]
    own = tried.filter(judge=limit["judge"]).sort("n_labels", "f1", descending=[False, True])
    close = own.filter(pl.col("f1") >= limit["f1"] - CLOSE)
    chosen = close if len(close) else own.filter(pl.col("n_labels") == pl.col("n_labels").max())
    row = chosen.to_dicts()[0]
    said = (
        f"On requests that were not calibrated on, {limit['judge']}, whose scores allow the most of {len(able)} "
        f"model{'s' * (len(able) > 1)}, reaches a mean F1 of {_said(row, '_before')} as it is and {_said(row)} by "
        f"{_METHOD_WORDS[row['method']]} on {row['n_labels']} labels; the best cut would reach {limit['f1']:.2f}."
    )
    best = plain.drop_nulls("before").sort("before", "judge", descending=[True, False])
    if len(best) > 1:
        as_is = best.to_dicts()[0]
        said += (
            f" As they are, the best of {len(best)} is {as_is['judge']}, at {_said(as_is, '_before')}."
            if as_is["judge"] != limit["judge"]
            else f" It is the best of {len(best)} as they are, too."
        )
    fewest, most = min(tried["n_labels"]), max(tried["n_labels"])
    moved = "; ".join(_moved(tried.filter(n_labels=n)) for n in dict.fromkeys((fewest, most)))
    said += (
        f" {moved[0].upper()}{moved[1:]} ({CLOSE:g} or more in F1, gains by the better of the two methods, losses by "
        "the worse)."
    )
    if missed := sorted(set(sizes["n_labels"]) - set(tried["n_labels"])):
        said += f" Not every draw has {' or '.join(map(str, missed))} labels: nothing is claimed of them."
    if people.value == people.value:
        said += (
            f" {somebody(kinds).capitalize()} reaches {people.value:.2f} on average against the majority of the others."
        )
    return said


def _moved(rows: pl.DataFrame) -> str:
    """Say how many judges gain and lose at one number of labels; rows: with `before`, F1 as it is."""
    gain = pl.col("f1") - pl.col("before")
    by_judge = rows.group_by("judge").agg(better=gain.max(), worse=gain.min())
    gained, lost = (len(by_judge.filter(kept)) for kept in (pl.col("better") >= CLOSE, pl.col("worse") <= -CLOSE))
    gains = f"{gained} of {len(by_judge)} model{'s' * (len(by_judge) > 1)} gain{'s' * (gained == 1)}"
    return f"from {rows['n_labels'][0]} labels {gains} and {lost} lose{'s' * (lost == 1)}"


_METHOD_WORDS = {"threshold": "a threshold chosen", "isotonic": "isotonic calibration"}


def _said(row: Mapping[str, Any], when: str = "") -> str:
    value, low, high = (row["before" if when and name == "f1" else name + when] for name in ("f1", "low", "high"))
    return f"{value:.2f} (95% of the draws: {low:.2f} to {high:.2f})"
