"""Stage 2 recomputed: block means, how many pairs there are and are relevant, trained rows, shares of yes."""

from __future__ import annotations

from recenter_utils import published
from recenter_utils.ledger.recomputed.finding import Check, Finding, Read, listed, metric, rows
from recenter_utils.relevance.agreement import published_blocks
from recenter_utils.stats.printed import counts_behind, rounds_to

#: How far around the printed numbers of pairs others are tried.
AROUND = 30

_PAIRS = ("pairs of a request and an attribute", "pairs of a request and an attribute, by the appendix")
_UNTRAINED = "Qwen3-4B"


def block_means(read: Read) -> Finding:
    """The means of Figure 3's printed cells, beside those of the text."""
    found = published_blocks(read("figure-3")).drop_nulls("in_the_text").to_dicts()
    said = [f"{row['in_the_text']:.3f} ({row['block']})" for row in found]
    worked = [f"{row['value']:.4f} (of {row['n_pairs']} cells)" for row in found]
    return Finding(
        stage=2,
        about="Block means (Figure 3)",
        printed=f"Mean kappas of {listed(said)}.",
        arithmetic=f"The means of the printed cells are {listed(worked)}, in that order.",
        follows="They differ in the third digit because the cells are printed with two. The text's are nearer to what "
        "was measured, and the ledger goes by those.",
        # The cells have two digits, and their means know no more.
        checks=tuple(Check(f"mean kappa, {row['block']}", row["in_the_text"], row["value"], 0.01) for row in found),
    )


def base_rate(read: Read) -> Finding:
    """How many pairs are relevant: the one number that fits the zero-shot rows."""
    n, table = _pairs(read), _zero_shot(read)
    fits = [{int(c[0] + c[2]) for c in counts_behind(row, (n, n))} for row in table.values()]
    common = sorted(set.intersection(*fits))
    everything = metric("f1", common[0], n - common[0], 0, n)
    retrieval = published.numbers(read("figure-4").filter(kind="retrieval"), "f1")
    below = [f"{name} ({value:.3f})" for name, value in retrieval.items() if value < everything]
    return Finding(
        stage=2,
        about="How many pairs are relevant (Table 3)",
        printed=f"Accuracy, precision, recall and F1 of {len(table)} models, and {n:,} pairs. How many of these are "
        "relevant is not printed.",
        arithmetic=f"Singly the rows fit {min(map(min, fits))} to {max(map(max, fits))} relevant pairs; only "
        f"{listed([str(one) for one in common])} fits all of them: {common[0] / n:.2%}.",
        follows=f"The zero-shot rows are over all pairs. Selecting everything would have an F1 of {everything:.3f}: "
        f"{listed(below) if below else 'no retrieval row'} is below that.",
    )


def number_of_pairs(read: Read) -> Finding:
    """Two numbers of pairs are printed, and a row of Table 3 fits neither."""
    text, positives = published.numbers(read("text"), "n"), _relevant(read)
    one, other = (int(text[name]) for name in _PAIRS)
    judged, raters = int(text["judgments of relevance"]), int(text["annotators"])
    sizes = range(one - AROUND, other + AROUND + 1)
    left = set(sizes)
    for row in published.counts(read("figure-4").filter(kind="llm")).to_dicts():
        accuracy, wrong = _zero_shot(read)[row["item"]]["accuracy"], (row["fp"], row["fn"])
        left &= {n for n in sizes if rounds_to(metric("accuracy", row["tp"], *wrong, n), accuracy)}
    untrained = counts_behind(rows(read("table-3"))[_UNTRAINED], (sizes[0], sizes[-1]), positives)
    alone = sorted({int(c.sum()) for c in untrained})
    both = [f"{n:,}" for n in sorted(left.intersection(alone))]
    return Finding(
        stage=2,
        about="How many pairs there are",
        printed=f"{one:,} pairs (section 5.1), {other:,} (Appendix G), and {judged:,} judgments.",
        arithmetic=f"{judged:,} = {raters} × {judged // raters:,}. With the counts that Figure 4 shows, the accuracies "
        f"of the five models fit {min(left):,} to {max(left):,} pairs. The row of {_UNTRAINED} fits {alone[0]:,} to "
        f"{alone[-1]:,} with the same {positives} relevant ones.",
        follows=f"It seems that {other:,} pairs were judged and {one:,} of them evaluated. Neither number fits all six "
        f"zero-shot rows; {listed(both)} would. Which pairs the row of {_UNTRAINED} is over is not known.",
        checks=(Check("pairs of a request and an attribute (Appendix G)", other, max(left), 1),),
    )


def trained_rows(read: Read) -> Finding:
    """The trained rows are over a part of the pairs, and not over the same one."""
    table, text, n = rows(read("table-3")), published.numbers(read("text"), "n"), _pairs(read)
    named = read("table-3").filter(kind="trained")["item"].unique(maintain_order=True).to_list()
    fits = {name: [(int(c.sum()), int(c[0] + c[2])) for c in counts_behind(table[name], (20, n))] for name in named}
    shared = set.intersection(*(set(found) for found in fits.values()))
    said = [f"{found[0][0]} pairs, {found[0][1]} of them relevant ({name})" for name, found in fits.items()]
    on_all = [name for name in named if (n, _relevant(read)) in fits[name]]
    held, requests = text["requests held out"], text["requests"]
    scores = [f"{table[name]['f1']:.3f} ({name})" for name in named]
    zero = max(row["f1"] for row in _zero_shot(read).values())
    return Finding(
        stage=2,
        about="What the trained rows are over (Table 3)",
        printed=f"F1 of {listed(scores)}, beside {zero:.3f} of the best model that is asked. "
        f"{held:.0f} of {requests:.0f} requests are held out (Appendix F).",
        arithmetic=f"The fewest pairs that give the rows are {listed(said)}. {listed(on_all) if on_all else 'Neither'} "
        f"fits all {n:,} pairs with the {_relevant(read)} relevant ones. {held:.0f} of {requests:.0f} requests are "
        f"about {n * held / requests:.0f} pairs. {len(shared) or 'No'} numbers of pairs and of relevant ones fit both "
        "rows.",
        follows="The trained rows are over a test part and the zero-shot rows over all pairs, and by their digits the "
        "two trained rows are not over one set either: no difference between them is shown on the same pairs.",
    )


def yes_rates(read: Read) -> Finding:
    """One model says yes more often than the text has it."""
    counts = published.counts(read("figure-4").filter(kind="llm")).to_dicts()
    rates = {row["item"]: metric("flag_rate", row["tp"], row["fp"], row["fn"], row["n"]) for row in counts}
    text = published.numbers(read("text"), "yes_rate")
    low, high = text["lowest of all models"], text["highest of all models"]
    outside = [name for name, rate in rates.items() if not low <= round(rate, 2) <= high]
    return Finding(
        stage=2,
        about="How often models say yes (section 5.2)",
        printed=f"In {low:.0%} to {high:.0%} of the pairs.",
        arithmetic=f"By the counts of Figure 4, {listed([f'{rate:.1%} ({name})' for name, rate in rates.items()])}.",
        follows=f"{listed(outside) if outside else 'No model'} is outside the printed range.",
        checks=(Check("models' highest share of yes", high, max(rates.values()), 0.01),),
    )


def _pairs(read: Read) -> int:
    return int(published.numbers(read("text"), "n")[_PAIRS[0]])


def _zero_shot(read: Read) -> dict[str, dict[str, float]]:
    """Return the printed rows of the models in Figure 4."""
    table = rows(read("table-3"))
    return {name: table[name] for name in read("figure-4").filter(kind="llm")["item"].unique(maintain_order=True)}


def _relevant(read: Read) -> int:
    counts = published.counts(read("figure-4").filter(kind="llm"))
    return int((counts["tp"] + counts["fn"])[0])


FINDINGS = (block_means, base_rate, number_of_pairs, trained_rows, yes_rates)
