"""How much of a disagreement is only another threshold: a judge that says yes too often, or ranks differently.

A judge with graded scores can be cut elsewhere. Cut where it says yes as often as the reference, what is left of the
disagreement is its ranking; what goes away was over-selection.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from recenter_utils.stats.cuts import Sums
from recenter_utils.stats.pairs import CONSTANT, LEAST_SHARED, Drawn, PairEstimates, estimate_pairs, mean_of_pairs
from recenter_utils.stats.ratings import Ratings, read_ratings
from recenter_utils.stats.resampling import multinomial_counts

Array = NDArray[np.float64]

#: What is said of a judge and a reference: see `thresholds`.
STATISTICS = (
    *("yes_rate", "reference_rate", "kappa", "kappa_max", "kappa_matched", "auc"),
    *("kappa_people", "threshold_share"),
)

#: What a reference is called that is the mean over people, without those who gave one answer only.
ALL_PEOPLE = "annotators"

_MEASURED = STATISTICS[:6]  # the columns of `cuts.Sums.statistics`, before kappa on the items with a score
_CUT = ("kappa_matched", "auc")  # of them those that rest on graded scores
_ONE_ANSWER = "the reference gave one answer only"
_UNGRADED = "no score says more than yes and no, so that nothing can be cut elsewhere"


def thresholds(
    answers: pd.DataFrame,
    scores: pd.DataFrame,
    people: Sequence[str],
    *,
    labels: Sequence[str] = ("no", "yes"),
    clusters: ArrayLike | None = None,
    draws: int = 10_000,
    seed: int = 0,
    level: float = 0.95,
    least_shared: int = LEAST_SHARED,
) -> pd.DataFrame:
    """Return what tells over-selection from misranking, for every judge against every reference.

    All numbers come from the same resamples of clusters, and in each of them the cut is matched anew.

    Args:
        answers: One row an item; a column for each judge and each reference; None or NaN where there is no answer.
        scores: The same rows, a column for each judge: graded, the higher the surer of yes; NaN where there is none. A
            judge whose scores only repeat its labels is not graded.
        people: Columns of `answers` that are people. What is neither a judge nor one of them, such as their majority,
            is a reference as well.
        labels: The two answers, yes last.
        clusters: What is drawn again, a name for each row, such as its request; default: single items.
        draws: Resamples; 0 for values only.
        seed: Where they start.
        level: Share of the draws inside the interval.
        least_shared: Items that a judge and a person must share to count in the mean over people.

    Returns:
        judge, reference, statistic, value, low, high, n (items that both answered) and reason. The reference
        `annotators` is the mean over people. The statistics:

        - yes_rate, reference_rate: how often judge and reference say yes on these items;
        - kappa: Cohen's, as it is;
        - kappa_max: the highest that the two rates allow;
        - kappa_matched: kappa where the judge's scores are cut so that it says yes as often as the reference; among
          items that tie at the cut, the mean over all choices. Undefined without graded scores;
        - auc: probability that an item with the reference's yes has a higher score than one without, ties as halves;
        - kappa_people: mean kappa of that person with the other people; for the mean, of all pairs of people;
        - threshold_share: (kappa_matched - kappa) / (kappa_people - kappa), the part of the gap to people's own
          agreement that matching the rate closes. Undefined where there is no gap; without an interval where the gap's
          own one reaches 0.

    Raises:
        ValueError: An answer is none of `labels`.
    """
    frame = answers.reset_index(drop=True)
    kept = (frame.notna().sum(axis=1) >= 2).to_numpy()
    within = None if clusters is None else np.asarray(clusters)[kept]
    ratings = read_ratings(frame[kept], labels, within, least=2)
    found = estimate_pairs(ratings, "kappa", draws, seed)
    known = [name for name in ratings.raters if name in people]
    rows: list[dict[str, object]] = []
    for judge in scores.columns:
        graded = scores[judge].to_numpy(dtype=float)[kept]
        against = {
            name: _against(ratings, found, str(judge), str(name), graded, draws, seed)
            for name in ratings.raters
            if name not in scores.columns
        }
        for name, one in against.items():
            own = _people_level(found, ratings, known, least_shared, name)
            numbers = _ungraded(one.numbers, [one])
            share = _share(one.scored, numbers["kappa_matched"], own, level)
            rows += _rows(judge, name, numbers | {"kappa_people": own, "threshold_share": share})
        if known:
            rows += _over_people(judge, [against[name] for name in known], found, ratings, known, least_shared, level)
    return _table(rows, level)


class _Against(NamedTuple):
    """One judge and one reference: the measured numbers; kappa on the items with a score; items in each cluster.

    lost: answers to items that both answered without a graded score; of how many. `numbers` do not speak of them.
    """

    numbers: dict[str, Drawn]
    scored: Drawn
    shared: Array
    lost: int
    asked: int


def _against(
    ratings: Ratings, found: PairEstimates, judge: str, reference: str, graded: Array, draws: int, seed: int
) -> _Against:
    places = tuple(sorted((ratings.raters.index(judge), ratings.raters.index(reference))))
    pair = ratings.pairs.index((places[0], places[1]))
    said, truth = (ratings.codes[:, ratings.raters.index(name)] for name in (judge, reference))
    both = (said >= 0) & (truth >= 0)
    repeats = not (~np.isnan(graded) & (said >= 0) & (graded != said)).any()
    there = both if repeats else both & ~np.isnan(graded)
    sums = Sums.of(truth, said, both, there, said.astype(float) if repeats else graded, ratings)
    values = sums.statistics(np.ones((1, ratings.n_clusters)))[0]
    pieces = multinomial_counts(ratings.n_clusters, draws if ratings.n_clusters else 0, seed)
    drawn = np.concatenate([np.empty((0, len(values))), *(sums.statistics(counts) for counts in pieces)])
    note = found.notes[pair]
    lost = int(both.sum() - there.sum())
    one_score = "all scores are the same: every cut draws lots" if len(sums.hits) == 1 else ""
    constant = "" if not np.isnan(values[4]) or not there.any() else _ONE_ANSWER
    notes = {
        "yes_rate": "" if both.any() else note,
        "reference_rate": "" if both.any() else note,
        "kappa": note,
        "kappa_max": note,
        "kappa_matched": _UNGRADED if repeats and both.any() else constant or one_score,
        "auc": _joined(constant, "from yes and no alone: no score says more" if repeats else ""),
        "scored": note,
    }
    if not there.any():
        notes |= dict.fromkeys(_CUT, note if not both.any() else "")
    if repeats:
        values[4] = np.nan
        drawn[:, 4] = np.nan
    values[2], drawn[:, 2] = found.values[pair], found.draws[:, pair]
    met = np.bincount(ratings.cluster[both], minlength=ratings.n_clusters).astype(float)
    counted = {name: there.sum() if name in _CUT else both.sum() for name in notes}
    numbers = {
        name: Drawn(float(values[place]), drawn[:, place], int((met > 0).sum()), int(counted[name]), notes[name])
        for place, name in enumerate((*_MEASURED, "scored"))
    }
    return _Against(numbers, numbers.pop("scored"), met, lost, int(both.sum()))


def _ungraded(numbers: dict[str, Drawn], against: Sequence[_Against]) -> dict[str, Drawn]:
    """Return the numbers; those of the cut and the ranking say how many answers have no graded score."""
    lost, asked = sum(one.lost for one in against), sum(one.asked for one in against)
    if not lost:
        return numbers
    each = "" if len(against) == 1 else ", counted once for each of the people,"
    note = f"{lost:,} of {asked:,} answers{each} have no graded score and are left out"
    return numbers | {name: numbers[name]._replace(note=_joined(numbers[name].note, note)) for name in _CUT}


def _people_level(found: PairEstimates, ratings: Ratings, known: list, least_shared: int, name: object = None) -> Drawn:
    """Return the mean kappa of a person with the other people; without a name that of all pairs of people."""
    nothing = Drawn(float("nan"), np.full(len(found.draws), np.nan), 0, 0, "there are no people to compare with")
    if not known or name not in (None, *known):
        return nothing._replace(note=f"the {name} is made of the answers of people") if known else nothing
    if len(known) < 2:
        return nothing._replace(note="agreement needs two people")
    named = [(ratings.raters[a], ratings.raters[b]) for a, b in ratings.pairs]
    members = [a in known and b in known and name in (None, a, b) for a, b in named]
    answered = ratings.codes[:, [ratings.raters.index(person) for person in known]] >= 0
    met = answered.sum(axis=1) > 1
    if name is not None:
        met &= answered[:, known.index(name)]
    return mean_of_pairs(found, np.array(members), least_shared)._replace(n=int(met.sum()))


def _share(kappa: Drawn, matched: Drawn, people: Drawn, level: float) -> Drawn:
    """Return the part of the gap to people's own agreement that matching the rate closes.

    Where the gap's own interval reaches 0 its share can be anything, and has no interval (Fieller 1954).
    """
    gap, drawn_gap = people.value - kappa.value, people.draws - kappa.draws
    with np.errstate(invalid="ignore", divide="ignore"):
        draws = np.where(drawn_gap > 0, (matched.draws - kappa.draws) / drawn_gap, np.nan)
        value = (matched.value - kappa.value) / gap if gap > 0 else float("nan")
    lacking = [one.note for one in (matched, people, kappa) if np.isnan(one.value)]
    no_gap = "" if lacking or gap > 0 else "there is no gap: people agree no more among themselves"
    note = lacking[0] if lacking else no_gap or matched.note
    clusters = min(kappa.clusters, matched.clusters, people.clusters)
    closed = int((drawn_gap <= 0).sum())
    if value == value and closed > (1 - level) / 2 * len(draws):
        note = _joined(note, f"in {closed:,} of {len(draws):,} resamples there is no gap")
        draws = draws[:0]
    return Drawn(float(value), draws, clusters, matched.n, note)


def _over_people(
    judge: object,
    against: list[_Against],
    pairs: PairEstimates,
    ratings: Ratings,
    known: list,
    least_shared: int,
    level: float,
) -> list[dict[str, object]]:
    """Return the rows of the mean over people."""
    # Who says only one thing has no matched kappa: left out of every mean, so that all are over the same people.
    varied = np.array([np.isfinite(one.numbers["auc"].value) for one in against])
    members = varied if varied.any() else np.ones(len(against), dtype=bool)
    kept = [name for name, member in zip(known, members, strict=True) if member]
    lost = f"{len(known) - len(kept)} of {len(known)} people did not give both answers on these items and are left out"
    shared = np.stack([one.shared for one in against], axis=1)
    enough = members & (shared.sum(axis=0) >= least_shared)
    in_mean = enough if enough.any() else members  # as `mean_of_pairs` has it
    judged = ratings.codes[:, ratings.raters.index(judge)] >= 0
    asked = (ratings.codes[:, [ratings.raters.index(name) for name in kept]] >= 0).any(axis=1)
    items = int((judged & asked).sum())

    def noted(found: Drawn) -> Drawn:
        return found if len(kept) == len(known) else found._replace(note=_joined(lost, found.note))

    def mean(parts: list[Drawn]) -> Drawn:
        draws = np.stack([part.draws for part in parts], axis=1)
        values = np.array([part.value for part in parts])
        estimates = PairEstimates(values, draws, shared, [part.note for part in parts])
        found = mean_of_pairs(estimates, members, least_shared)
        if np.isnan(found.value):
            return found._replace(n=items)
        times = Counter(note for note, counts in zip(estimates.notes, in_mean, strict=True) if counts and note)
        times.pop(CONSTANT, None)  # which the mean counts itself
        of = int(in_mean.sum())
        notes = [note if n == of else f"{note} (against {n} of {of} people)" for note, n in times.items()]
        return found._replace(n=items, note=_joined(*notes, found.note))

    numbers = {name: mean([one.numbers[name] for one in against]) for name in _MEASURED}
    numbers = _ungraded(numbers, [one for one, counts in zip(against, in_mean, strict=True) if counts])
    numbers["kappa_people"] = _people_level(pairs, ratings, kept, least_shared)
    share = _share(mean([one.scored for one in against]), numbers["kappa_matched"], numbers["kappa_people"], level)
    numbers["threshold_share"] = share
    return _rows(judge, ALL_PEOPLE, {name: noted(number) for name, number in numbers.items()})


def _rows(judge: object, reference: object, numbers: dict[str, Drawn]) -> list[dict[str, object]]:
    return [{"judge": judge, "reference": reference, "statistic": name, "drawn": one} for name, one in numbers.items()]


def _table(rows: list[dict], level: float) -> pd.DataFrame:
    ends = [row["drawn"].interval(level) for row in rows]
    found = {name: pd.Series([row[name] for row in rows], dtype=object) for name in ("judge", "reference", "statistic")}
    for name in ("value", "low", "high"):
        found[name] = pd.Series([getattr(end, name) for end in ends], dtype=float)
    found["n"] = pd.Series([row["drawn"].n for row in rows], dtype="int64")
    found["reason"] = pd.Series([end.reason or None for end in ends], dtype=object)
    return pd.DataFrame(found)


def _joined(*notes: str) -> str:
    return "; ".join(filter(None, notes))
