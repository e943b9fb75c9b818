"""Stage 3 recomputed: what 54.6% is of, who degrades responses, judges' means and gaps, Figure 7's p, the mentions."""

from __future__ import annotations

import numpy as np
from scipy.stats import spearmanr

from recenter_utils import published
from recenter_utils.ledger.recomputed.finding import Check, Finding, Read, listed
from recenter_utils.responses.generator_judges import correlation
from recenter_utils.responses.quality import share_and_mean
from recenter_utils.responses.ratings import ALL_ANNOTATORS, ALL_GENERATORS, NEUTRAL, SCALE
from recenter_utils.stats import gaps
from recenter_utils.stats.printed import rounds_to, splits_behind, totals_behind

#: The paper's open-weight models (§3), and those whose responses it calls worse than generic ones (§6.2).
OPEN = ("Llama-3.3-70B", "Qwen3.5-27B", "Gemma-4-31B")
DEGRADING = ("Qwen3.5-27B", "Gemma-4-31B")


def no_better(read: Read) -> Finding:
    """What is no better than generic in 54.6% of cases: a rating, not a response."""
    bars = read("figure-5")
    said, mean = (published.numbers(bars, name)[ALL_GENERATORS] for name in ("no_better", "mean"))
    responses, n, below = (
        int(published.numbers(bars, name)[ALL_GENERATORS]) for name in ("n", "n_ratings", "n_no_better")
    )
    sums = published.numbers(bars, "sum")
    total = int(sum(sums.values()))
    share, rating = (float(one) for one in share_and_mean(total, below, n))
    added = " + ".join(f"{one:,.0f}" for one in sums.values())
    possible = listed([str(k) for k in totals_behind(said, n)])
    whole = "some number does" if len(totals_behind(said, responses)) else "no number does"
    return Finding(
        stage=3,
        about="No better than generic (section 6.2)",
        printed=f"{said:.1%} of the personalised responses; a mean rating of {mean:.3f} (Table 6).",
        arithmetic=f"Of {n:,} single ratings, {possible} make that share: {below} / {n:,} = {share:.2%}. Of "
        f"{responses} comparisons {whole}. The sums behind Figure 5 are {added} = "
        f"{total:,}, and {total:,} / {n:,} = {rating:.3f}.",
        follows=f"The share is of single ratings, not of responses. The mean is above {NEUTRAL:g} all the same: the "
        f"{n - below} ratings above {NEUTRAL:g} add up to {total - NEUTRAL * n:.0f} points more than those below take "
        f"away. How many of the {below} are exactly {NEUTRAL:g} is not published.",
        checks=(Check("share no better than generic", said, share), Check("annotators' mean rating", mean, rating)),
    )


def degraded(read: Read) -> Finding:
    """Which generators' responses are rated below generic ones."""
    sums, n = published.numbers(read("figure-5"), "sum"), published.numbers(read("figure-5"), "n")
    raters = published.numbers(read("text"), "n")["annotators"]
    more = {name: sums[name] - NEUTRAL * raters * n[name] for name in sums}
    worked = []
    for name in DEGRADING:
        ratings, points = raters * n[name], more[name]
        side = "above" if points > 0 else "below"
        worked.append(
            f"{sums[name]:,.0f} over {ratings:,.0f} ratings is {sums[name] / ratings:.3f}, in all {abs(points):.0f} "
            f"point{'s' * (abs(points) != 1)} {side} {NEUTRAL:g} ({name})"
        )
    below = [name for name, points in more.items() if points < 0]
    return Finding(
        stage=3,
        about="Who degrades responses (section 6.2, Figure 5)",
        printed=f"{listed(list(DEGRADING))} are named.",
        arithmetic=f"{'; '.join(worked)}.",
        follows=f"Only {listed(below)} is rated below generic responses.",
    )


def best_judge(read: Read) -> Finding:
    """Whose ratings go together with annotators' best."""
    found = published.numbers(read("table-6"), "spearman")
    order = sorted(found, key=found.__getitem__, reverse=True)
    kinds = {name: "open-weight" if name in OPEN else "proprietary" for name in order}
    return Finding(
        stage=3,
        about="Judges' Spearman correlations (section 6.2, Table 6)",
        printed="Open-weight judges are said to go with annotators hardly at all, proprietary ones more, up to 0.37.",
        arithmetic=f"In order: {listed([f'{found[name]:.3f} ({name}, {kinds[name]})' for name in order])}.",
        follows=f"The highest is that of {order[0]}, which is {kinds[order[0]]}.",
    )


def means_and_gaps(read: Read) -> Finding:
    """Table 6's means and Figure 6's gaps, as whole ratings of the same comparisons."""
    sizes = [int(published.numbers(read("figure-6"), name)[ALL_GENERATORS]) for name in ("n_explicit", "n_other")]
    marked, other = sizes
    n, ends = marked + other, (int(SCALE[0]), int(SCALE[-1]))
    means, found = published.numbers(read("table-6"), "mean"), published.numbers(read("figure-6"), "gap")
    by_bars = published.numbers(read("text"), "mean_by_bars")
    every = np.arange(ends[0] * n, ends[1] * n + 1)
    fits, off, checks = [], [], []
    for name in (name for name in found if name != ALL_ANNOTATORS):
        totals = totals_behind(means[name], n)
        if len(splits_behind(totals, found[name], (marked, other), ends=ends)):
            fits.append(name)
            continue
        whole = splits_behind(every, found[name], (marked, other), ends=ends) / n
        nearest = float(whole[np.abs(whole - means[name]).argmin()])
        more = f", {by_bars[name]:.3f} by the bars of Figure 6" if name in by_bars else ""
        more += "" if len(totals) else f"; no {n} whole ratings have the printed mean at all"
        off.append(f"{name} ({means[name]:.3f} printed, {nearest:.3f} the nearest that fits its gap{more})")
        checks.append(Check(f"{name}'s mean as a judge (Table 6)", means[name], nearest))
    return Finding(
        stage=3,
        about="Judges' means and mention gaps (Table 6, Figure 6)",
        printed=f"A mean rating and a gap of {len(fits) + len(off)} judges, on {marked} comparisons with an explicit "
        f"mention and {other} without.",
        arithmetic=f"One whole rating of each of the {n} comparisons can give both numbers for {listed(fits)}. It "
        f"cannot for {', nor for '.join(off)}.",
        follows=f"For {len(off)} judges the two cannot be about the same {n} whole ratings: some are missing, or are "
        "not whole, or a number is misprinted.",
        checks=tuple(checks),
    )


def exact_p(read: Read) -> Finding:
    """Figure 7's p-value, from all ways to pair five rates with five gaps."""
    frame = read("figure-7")
    rates, uplifts = published.numbers(frame, "rate"), published.numbers(frame, "gap")
    (said,), (p,) = (published.numbers(frame, name).values() for name in ("spearman", "p"))
    points = [rates[name] for name in rates], [uplifts[name] for name in rates]
    row, approximate = correlation(*points), float(spearmanr(*points).pvalue)
    n, two, one = row["n_models"], row["p_two_sided"], row["p_one_sided"]
    tests = {"the exact one-sided p": one, "the approximation": approximate}
    alike = " or ".join(test for test, value in tests.items() if rounds_to(value, p, 2)) or "none of these"
    return Finding(
        stage=3,
        about="Generators and judges (Figure 7)",
        printed=f"Spearman's correlation over {n} models is {said:.2f}, p = {p:.2f}.",
        arithmetic=f"The correlation is {row['value']:.2f}. Of the {row['pairings']} ways to pair the two columns "
        f"{one * row['pairings']:.0f} give at least as much: p is {one:.3f} one-sided and {two:.3f} two-sided. The t "
        f"approximation, which is not meant for so few points, gives {approximate:.3f}.",
        follows=f"The printed p is {alike}, rounded. Two-sided, the exact p is {two:.3f}: among {n} unrelated models, "
        f"a correlation this far from 0 is not rare enough to leave out chance. No data on {n} "
        f"models can give less than {row['p_smallest']:.3f}.",
        checks=(
            Check("Spearman's correlation of Figure 7", said, row["value"], 0.01),
            Check("p of Figure 7, two-sided", p, two, 0.01),
        ),
    )


def mention_mix(read: Read) -> Finding:
    """What generators alone make of the annotators' mention gap, and what is left within them."""
    means, n = published.numbers(read("figure-5"), "mean"), published.numbers(read("figure-5"), "n")
    marked, found = published.numbers(read("figure-6"), "n_explicit"), published.numbers(read("figure-6"), "gap")
    names, pooled = [name for name in n if name != ALL_GENERATORS], found[ALL_ANNOTATORS]
    sizes, named, rated = ([column[name] for name in names] for column in (n, marked, means))
    parts = gaps.parts_of(sizes, named, rated, pooled)
    rates = {name: marked[name] / n[name] for name in names}
    most, least = max(rates, key=rates.__getitem__), min(rates, key=rates.__getitem__)
    sign = "+" if parts.mix < 0 else "-"
    return Finding(
        stage=3,
        about="What mentions are worth to annotators (Figure 6)",
        printed=f"A pooled gap of {pooled:+.3f}: hardly any.",
        arithmetic=f"Generators differ in both: {least} names the attribute in {rates[least]:.0%} of its comparisons "
        f"and is rated {means[least]:.3f}, {most} in {rates[most]:.0%} and {means[most]:.3f}. If each rating were its "
        f"generator's mean, the gap would be {parts.mix:+.3f}. Within generators it is ({pooled:.3f} {sign} "
        f"{abs(parts.mix):.3f}) / {parts.share:.3f} = {parts.within:+.3f}; {parts.share:.3f} is the part of the "
        "variance of mentions that lies within them.",
        follows="The pooled gap does not show that annotators care little for mentions. Among responses of one "
        f"generator those with a mention are rated {parts.within:.2f} points higher; how sure that is, the "
        "published numbers do not say.",
    )


FINDINGS = (no_better, degraded, best_judge, means_and_gaps, exact_p, mention_mix)
