"""Stage 1 recomputed: missing judgments, the gap of problem rates, Table 2's positive class and its impossible row."""

from __future__ import annotations

from collections import Counter

from recenter_utils import published
from recenter_utils.ledger.recomputed.finding import PRINTED, Check, Finding, Read, digits, listed, metric, rows
from recenter_utils.stats.printed import counts_behind, f1_between, nearest_counts

_KINDS = {"real": "real chats", "synthetic": "synthetic ones"}
_LABELS = ("accepted", "uncertain", "rejected")

#: How many attributes a row of Table 2 may be over: more than ten times the fewest that fit, fewer than are judged.
SIZES = (20, 400)


def missing_judgments(read: Read) -> Finding:
    """Figure 2 holds fewer judgments than annotators times attributes."""
    bars, text = read("figure-2"), published.numbers(read("text"), "n")
    there, attributes = published.numbers(bars, "n"), published.numbers(bars, "n_attributes")
    raters, said, total = int(text["annotators"]), int(text["judgments of attributes"]), int(sum(there.values()))
    sums = "; ".join(
        f"{raters} × {attributes[kind]:,.0f} attributes less the {there[kind]:,.0f} judgments in the bars is "
        f"{raters * attributes[kind] - there[kind]:,.0f} on {words}"
        for kind, words in _KINDS.items()
    )
    return Finding(
        stage=1,
        about="Judgments of attributes (Figure 2)",
        printed=f"{said:,} judgments: {raters} annotators, {text['attributes judged']:,.0f} attributes.",
        arithmetic=f"{sums}. In all {total:,} are there.",
        follows=f"{said - total:,} judgments are missing; the paper does not say why. Shares here are of the others.",
        checks=(Check("judgments of attributes", said, total, 1),),
    )


def problem_gap(read: Read) -> Finding:
    """The gap of problem rates is given as that of two rounded ones."""
    bars = {label: published.numbers(read("figure-2"), label) for label in (*_LABELS, "n")}
    (said,) = published.numbers(read("text"), "difference").values()
    rates = {kind: (bars["uncertain"][kind] + bars["rejected"][kind]) / bars["n"][kind] for kind in _KINDS}
    real, synthetic = (100 * rates[kind] for kind in _KINDS)
    worked = " and ".join(
        f"({bars['uncertain'][kind]:,.0f} + {bars['rejected'][kind]:,.0f}) / {bars['n'][kind]:,.0f} = "
        f"{rates[kind]:.2%} on {words}"
        for kind, words in _KINDS.items()
    )
    rounded = f"{real:.0f} - {synthetic:.0f} = {round(real) - round(synthetic):.0f}"
    return Finding(
        stage=1,
        about="The gap of problem rates (Figure 2)",
        printed=f"{100 * said:.0f} points more problems among attributes of real chats.",
        arithmetic=f"{worked}: {real - synthetic:.1f} points. Of the rounded rates it is {rounded}.",
        follows=f"The gap is {real - synthetic:.0f} points; the printed one is taken after rounding.",
        checks=(Check("gap of problem rates", said, rates["real"] - rates["synthetic"], 0.01),),
    )


def positive_class(read: Read) -> Finding:
    """What a verifier of Table 2 has to find, and on how many attributes each row is measured."""
    table = {name: row for name, row in rows(read("table-2")).items() if name != _trained(read)}
    fits = {name: {(int(c.sum()), int(c[0] + c[2])) for c in counts_behind(row, SIZES)} for name, row in table.items()}
    (n, positives), most = Counter(size for found in fits.values() for size in found).most_common(1)[0]
    others = {name: min(found) for name, found in fits.items() if (n, positives) not in found}
    odd = listed([f"{name} ({size}, {hits} of them positive)" for name, (size, hits) in others.items()])
    bars = {label: sum(published.numbers(read("figure-2"), label).values()) for label in ("rejected", "n")}
    return Finding(
        stage=1,
        about="What a verifier has to find (Table 2)",
        printed=f"Accuracy, precision, recall and F1 of {len(table)} prompted verifiers. How many attributes these are "
        "over, and how many of them a verifier has to find, is not printed.",
        arithmetic=f"{most} of the {len(table)} rows fit {n} attributes of which {positives} are positive "
        f"({positives / n:.1%}); up to {SIZES[1]} attributes no other pair of numbers fits all of these. The others "
        f"fit fewer: {odd}. Rejections are {bars['rejected'] / bars['n']:.1%} of the judgments in Figure 2.",
        follows="So many positives cannot be rejections alone: Maybe counts as a problem as well. Rows with fewer "
        "attributes leave some out, so that not all rows are on the same ones.",
    )


def verifier_row(read: Read) -> Finding:
    """The trained verifier's row cannot be: its F1 does not follow from its precision and recall."""
    table, name = rows(read("table-2")), _trained(read)
    row, (n, positives) = table[name], _common(read)
    low, high = f1_between(row["precision"], row["recall"])
    said = []
    for keep in ((), ("f1",)):
        tp, fp, fn, _ = map(int, nearest_counts(row, n, positives, keep))
        values = {one: metric(one, tp, fp, fn, n) for one in PRINTED}
        said.append(f"{tp} hits in {tp + fp} flagged give {digits(values)}")
    best = max(other["f1"] for item, other in table.items() if item != name)
    return Finding(
        stage=1,
        about=f"The trained verifier's row ({name}, Table 2)",
        printed=f"Accuracy, precision, recall and F1 of {digits(row)}.",
        arithmetic=f"That precision and recall make an F1 of {low:.4f} to {high:.4f}. "
        f"{len(counts_behind(row, SIZES)) or 'No'} counts on up to {SIZES[1]} attributes give the row. On {n} "
        f"attributes with {positives} positives, {said[0]}, the nearest in all four; {said[1]}, the nearest with the "
        "printed F1.",
        follows="At least one of the four numbers is misprinted. Its F1 stays above the best prompted one's "
        f"({best:.3f}) either way.",
        checks=(Check("F1 of the trained verifier (Table 2)", row["f1"], high),),
    )


def categories(read: Read) -> Finding:
    """The text has one category of failure more than the table."""
    shares = published.numbers(read("table-5"), "share")
    said = int(published.numbers(read("text"), "n")["categories of failure"])
    return Finding(
        stage=1,
        about="Categories of failure (Table 5)",
        printed=f"{said} categories (Appendix D).",
        arithmetic=f"Table 5 has {len(shares)} rows, whose shares make {sum(shares.values()):.1%}.",
        follows="One category has no row of its own, or no attribute in it.",
        checks=(Check("categories of failure", said, len(shares), 1),),
    )


def _trained(read: Read) -> str:
    return str(read("table-2").filter(kind="trained")["item"][0])


def _common(read: Read) -> tuple[int, int]:
    """Return the number of attributes, and of positive ones, that most rows of Table 2 have by their counts."""
    counts = published.counts(read("table-2"))
    sizes = Counter((int(n), int(tp + fn)) for tp, fn, n in counts.select("tp", "fn", "n").iter_rows())
    return sizes.most_common(1)[0][0]


FINDINGS = (missing_judgments, problem_gap, positive_class, verifier_row, categories)
