"""What follows from the paper's numbers alone: the counts behind printed rows, and what cannot be."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable
from functools import cache
from itertools import pairwise, product
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from recenter_utils import figures, published, report
from recenter_utils.errors import RecenterError
from recenter_utils.ledger import page
from recenter_utils.ledger.recomputed import attributes, findings, relevance, responses
from recenter_utils.ledger.recomputed.finding import PRINTED, Check, Finding, digits, listed, metric, rows
from recenter_utils.responses.ratings import ALL_ANNOTATORS
from recenter_utils.stats import classification
from recenter_utils.stats.printed import (
    ROUNDED,
    counts_behind,
    f1_between,
    nearest_counts,
    rounds_to,
    splits_behind,
    totals_behind,
)
from recenter_utils.study import Study
from tests import planted_study
from tests.workspaces import ROOT

STAGE_3 = sorted(path for path in (ROOT / "notebooks").glob("*.ipynb") if "19" <= path.stem[:2] <= "29")

#: What a page of stage 3 quotes of the paper in its text: file, statistic and item.
QUOTED = {
    "20-preferences": [("table-6", name, ALL_ANNOTATORS) for name in ("spearman_pairs", "weighted_kappa")],
    "22-mentions": [("figure-6", "gap", ALL_ANNOTATORS)],
    "23-generators-and-judges": [("figure-7", "spearman", "all models")],
    "24-reward-models": [("text", "spearman", "all reward models")],
}


def row_of(tp: int, fp: int, fn: int, n: int, places: int = 3) -> dict[str, float]:
    return {name: round(metric(name, tp, fp, fn, n), places) for name in PRINTED}


@cache
def found(find: Callable[[Callable[[str], pl.DataFrame]], Finding]) -> Finding:
    return find(published.read)


# -- the counts behind printed numbers ------------------------------------------------------------------------


def test_metrics_of_counts_are_those_of_a_study() -> None:
    given = classification.from_counts(17, 15, 56, 206).set_index("metric")["value"]
    assert {name: metric(name, 17, 15, 56, 206) for name in PRINTED} == given[list(PRINTED)].to_dict()


@pytest.mark.parametrize("seed", range(5))
def test_the_counts_behind_a_row_are_among_those_found_and_all_give_it(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(50, 4000))
    tp, fp, fn = (int(rng.integers(1, n // 4)) for _ in range(3))
    row = row_of(tp, fp, fn, n)
    behind = counts_behind(row, (n, n))
    assert [tp, fp, fn, n - tp - fp - fn] in behind.tolist()
    assert all(row_of(int(one[0]), int(one[1]), int(one[2]), n) == pytest.approx(row, abs=0.001001) for one in behind)
    assert set(map(tuple, counts_behind(row, (n, n), tp + fn))) <= set(map(tuple, behind))
    assert [tp, fp, fn, n - tp - fp - fn] in counts_behind(row, (n - 30, n + 30)).tolist()


@pytest.mark.parametrize("case", [(3, 4, 2, 14), (1, 9, 1, 20), (6, 1, 0, 12), (2, 0, 7, 18)])
def test_counts_are_found_as_by_trying_all_of_them(case: tuple[int, int, int, int]) -> None:
    *_, n = case
    row = row_of(*case, places=2)
    tried = []
    for size in range(n - 2, n + 3):
        for tp, fp, fn in product(range(size + 1), repeat=3):
            if tp and tp + fp + fn <= size:
                values = [metric(name, tp, fp, fn, size) for name in PRINTED]
                if rounds_to(values, list(row.values()), 2).all():
                    tried.append((tp, fp, fn, size - tp - fp - fn))
    behind = counts_behind(row, (n - 2, n + 2), digits=2)
    assert sorted(map(tuple, behind.tolist())) == sorted(tried)
    assert all(a <= b for a, b in pairwise(behind.sum(axis=1)))


def test_rows_that_cannot_be_have_no_counts_and_rows_without_a_rate_are_refused() -> None:
    assert not len(counts_behind({"accuracy": 0.9, "precision": 0.5, "recall": 0.5, "f1": 0.9}, (10, 200)))
    for lacking in ("accuracy", "precision", "recall"):
        with pytest.raises(ValueError, match="accuracy, precision and recall"):
            counts_behind({name: 0.5 for name in PRINTED if name != lacking}, (10, 20))


def test_the_nearest_counts_are_nearest_among_all() -> None:
    row = {"accuracy": 0.748, "precision": 0.591, "recall": 0.926, "f1": 0.726}

    def far(tp: int, fp: int) -> float:
        return max(abs(metric(name, tp, fp, 73 - tp, 207) - row[name]) for name in PRINTED)

    tp, fp, fn, tn = map(int, nearest_counts(row, 207, 73))
    assert (fn, tn) == (73 - tp, 134 - fp)
    assert far(tp, fp) == min(far(one, other) for one in range(1, 74) for other in range(135))
    kept = nearest_counts(row, 207, 73, ["f1"])
    assert round(metric("f1", int(kept[0]), int(kept[1]), int(kept[2]), 207), 3) == 0.726
    with pytest.raises(ValueError, match="give the printed precision, f1, recall"):
        nearest_counts(row, 207, 73, ["precision", "f1", "recall"])


def test_an_f1_lies_between_those_of_the_ends_of_precision_and_recall() -> None:
    low, high = f1_between(0.591, 0.926)
    tried = [2 * p * r / (p + r) for p in (0.5905, 0.5915) for r in (0.9255, 0.9265)]
    assert (low, high) == (min(tried), max(tried))


def test_totals_and_splits_are_those_of_whole_ratings() -> None:
    assert totals_behind(3.428, 367).tolist() == [1258]
    assert totals_behind(3.487, 367).tolist() == []
    rng = np.random.default_rng(1)
    first, second = rng.integers(1, 6, 13), rng.integers(1, 6, 24)
    total, gap = int(first.sum() + second.sum()), round(float(first.mean() - second.mean()), 3)
    assert splits_behind([total], gap, (13, 24)).tolist() == [total]
    assert splits_behind([total], 4.0, (13, 24)).tolist() == []
    assert splits_behind([5 * 37, 1 * 37], 0.0, (13, 24)).tolist() == [5 * 37, 1 * 37]


# -- what the printed numbers come to -------------------------------------------------------------------------


def test_figure_2_lacks_37_judgments_all_on_real_chats() -> None:
    one = found(attributes.missing_judgments)
    assert "is 37 on real chats" in one.arithmetic
    assert "is 0 on synthetic ones" in one.arithmetic
    assert one.follows.startswith("37 judgments are missing")
    assert one.checks[0].steps == 5949 - 5912


def test_the_gap_of_problem_rates_is_21_points_and_22_after_rounding() -> None:
    one = found(attributes.problem_gap)
    assert one.printed.startswith("22 points")
    for part in ("1,324 + 85) / 3,383 = 41.65%", "500 + 15) / 2,529 = 20.36%", "21.3 points", "42 - 20 = 22"):
        assert part in one.arithmetic
    assert abs(one.checks[0].steps) > ROUNDED


def test_seven_rows_of_table_2_share_207_attributes_of_which_73_are_problems() -> None:
    one = found(attributes.positive_class)
    assert "7 of the 10 rows fit 207 attributes of which 73 are positive (35.3%)" in one.arithmetic
    for part in ("(206, 73 of them", "(204, 70 of them", "(191, 66 of them", "Rejections are 1.7%"):
        assert part in one.arithmetic


def test_the_counts_of_table_2_give_its_printed_rows_and_are_the_only_ones_on_so_many_attributes() -> None:
    frame = published.read("table-2")
    table = rows(frame)
    counts = published.counts(frame)
    assert set(table) - set(counts["item"]) == {"RoBERTa"}
    for row in counts.to_dicts():
        tp, fp, fn, n = (row[name] for name in published.COUNTS)
        assert row_of(tp, fp, fn, n) == table[row["item"]]
        only = counts_behind(table[row["item"]], (20, 209)).tolist()
        assert only == [[tp, fp, fn, n - tp - fp - fn]], row["item"]


def test_the_trained_verifier_s_row_cannot_be() -> None:
    one = found(attributes.verifier_row)
    assert "an F1 of 0.7210 to 0.7220. No counts" in one.arithmetic
    assert "68 hits in 115 flagged give 0.749 / 0.591 / 0.932 / 0.723" in one.arithmetic
    assert "69 hits in 117 flagged give 0.749 / 0.590 / 0.945 / 0.726" in one.arithmetic
    assert one.checks[0].printed == 0.726
    assert one.checks[0].steps > 3


def test_table_5_has_a_row_less_than_the_text_has_categories() -> None:
    assert "5 rows, whose shares make 100.0%" in found(attributes.categories).arithmetic


def test_the_blocks_of_figure_3_differ_from_the_text_in_the_third_digit() -> None:
    one = found(relevance.block_means)
    assert [round(check.found, 3) for check in one.checks] == [0.427, 0.598, 0.299]
    assert [check.printed for check in one.checks] == [0.426, 0.597, 0.300]
    assert all(abs(check.steps) < ROUNDED for check in one.checks)


def test_only_708_relevant_pairs_of_3969_fit_all_five_zero_shot_rows() -> None:
    one = found(relevance.base_rate)
    assert "only 708 fits all of them: 17.84%" in one.arithmetic
    assert "F1 of 0.303: BM25 (0.243) is below that" in one.follows


def test_no_printed_number_of_pairs_fits_all_six_zero_shot_rows() -> None:
    one = found(relevance.number_of_pairs)
    assert "11,919 = 3 × 3,973" in one.arithmetic
    assert "fit 3,969 to 3,972 pairs" in one.arithmetic
    assert "Qwen3-4B fits 3,971 to 3,978" in one.arithmetic
    assert "3,971 and 3,972 would" in one.follows
    assert not len(counts_behind(rows(published.read("table-3"))["Qwen3-4B"], (3969, 3969), 708))


def test_the_two_trained_rows_are_not_over_one_set_of_pairs() -> None:
    one = found(relevance.trained_rows)
    assert "955 pairs, 172 of them relevant (RoBERTa)" in one.arithmetic
    assert "499 pairs, 86 of them relevant (Qwen3-4B + GRPO)" in one.arithmetic
    assert "Neither fits all 3,969" in one.arithmetic
    assert "No numbers of pairs and of relevant ones fit both rows" in one.arithmetic


def test_one_model_s_share_of_yes_is_outside_the_printed_range() -> None:
    one = found(relevance.yes_rates)
    assert "64.2% (Llama-3.3-70B)" in one.arithmetic
    assert one.follows.startswith("Llama-3.3-70B is outside")


def test_no_better_than_generic_is_a_share_of_ratings_and_not_of_responses() -> None:
    one = found(responses.no_better)
    assert "601 / 1,101 = 54.59%. Of 367 comparisons no number does" in one.arithmetic
    assert "= 3,497, and 3,497 / 1,101 = 3.176" in one.arithmetic
    assert [abs(check.steps) < ROUNDED for check in one.checks] == [True, True]
    bars = published.read("figure-5")
    (n,), (below,) = (published.numbers(bars, name).values() for name in ("n_ratings", "n_no_better"))
    above = sum(published.numbers(bars, "sum").values()) - 3 * n
    assert above == 194
    assert (
        f"the {n - below:.0f} ratings above 3 add up to {above:.0f} points more than those below take away"
        in one.follows
    )
    assert f"How many of the {below:.0f} are exactly 3 is not published" in one.follows


def test_of_the_generators_named_as_degrading_one_is_rated_above_generic() -> None:
    one = found(responses.degraded)
    assert "1 point above 3 (Gemma-4-31B)" in one.arithmetic
    assert one.follows.startswith("Only Qwen3.5-27B is rated below")


def test_the_judge_nearest_to_annotators_is_an_open_weight_one() -> None:
    assert "Llama-3.3-70B, which is open-weight" in found(responses.best_judge).follows


def test_three_judges_have_a_mean_that_their_mention_gap_does_not_allow() -> None:
    one = found(responses.means_and_gaps)
    assert "for Claude-Sonnet-4.6 and GPT-5.4. It cannot for" in one.arithmetic
    assert [check.about.split("'")[0] for check in one.checks] == ["Llama-3.3-70B", "Gemma-4-31B", "Qwen3.5-27B"]
    assert "4.019 printed, 4.005 the nearest that fits its gap, 4.174 by the bars" in one.arithmetic
    assert "3.409 printed, 3.422 the nearest that fits its gap, 3.431 by the bars" in one.arithmetic
    # What the bars give does fit the gaps.
    for name, mean in published.numbers(published.read("text"), "mean_by_bars").items():
        gap = published.numbers(published.read("figure-6"), "gap")[name]
        assert len(splits_behind(totals_behind(mean, 367), gap, (130, 237)))


def test_figure_7_has_an_exact_two_sided_p_of_083() -> None:
    one = found(responses.exact_p)
    for part in ("is 0.90", "120 ways", "0.042 one-sided", "0.083 two-sided", "approximation", "0.037"):
        assert part in one.arithmetic
    assert one.follows.startswith("The printed p is the exact one-sided p or the approximation, rounded.")
    correlation, p = one.checks
    assert correlation.steps == pytest.approx(0, abs=1e-9)
    assert p.found == pytest.approx(10 / 120)


def test_within_generators_annotators_mention_gap_is_217() -> None:
    one = found(responses.mention_mix)
    assert "+0.033" in one.printed
    assert "would be -0.157. Within generators it is (0.033 + 0.157) / 0.874 = +0.217" in one.arithmetic
    (row,) = published.read("findings").filter(key="mention_gap_adjusted").to_dicts()
    assert f"{row['value']:+.3f}" in one.arithmetic


# -- the page -------------------------------------------------------------------------------------------------


def test_the_page_reads_what_its_notebook_declares_and_nothing_of_the_study(workspace: Path) -> None:
    study = Study.open("demo", notebook="27-recomputed")
    assert study.caller is not None
    assert not study.caller.reads
    made = findings.all_of(study)
    assert len(made) == len(findings.ALL)
    assert study.origin == ""
    study.rests_on(published.ORIGIN)
    assert study.origin == "published"
    assert "PUBLISHED" in report.claim(findings.sentence(made), study).data
    said = planted_study.run(workspace, "27-recomputed")
    assert findings.sentence(made)[:40] in html.unescape(said)
    assert "SIMULATED" not in said
    with pytest.raises(RecenterError, match="does not say so"):
        findings.all_of(Study.open("demo", notebook="26-ledger"))


def test_every_finding_says_what_is_printed_what_the_arithmetic_gives_and_what_follows() -> None:
    made = [found(find) for find in findings.ALL]
    assert len({one.about for one in made}) == len(made)
    for stage in (1, 2, 3):
        own = [one for one in made if one.stage == stage]
        shown = page.recomputed(made, stage).data
        assert len(own) >= 5
        assert shown.count("<table>") == shown.count("PUBLISHED") == len(own)
    for one in made:
        for text in (one.printed, one.arithmetic, one.follows):
            assert text.endswith("."), text
            assert "  " not in text
            assert "nan" not in text.split()
            assert ".." not in text


def test_the_claim_counts_what_differs_and_says_that_the_numbers_were_picked() -> None:
    made = [
        Finding(1, "a", "A.", "B.", "C.", (Check("x", 0.5, 0.5004), Check("y", 0.5, 0.51))),
        Finding(2, "b", "A.", "B.", "C."),
    ]
    said = findings.sentence(made)
    assert said.startswith("2 things follow")
    assert "Of the 2 printed numbers that were looked into, the arithmetic gives 1; 1 differ, some by rounding" in said
    assert "says nothing of the paper's other numbers" in said


def test_a_page_shows_text_as_text() -> None:
    shown = page.recomputed([Finding(1, "<b>a</b>", "<i>.", "&.", "C.")], 1).data
    assert "<b>" not in shown
    assert "&lt;i&gt;" in shown
    assert "&amp;." in shown


def test_the_figure_has_a_row_a_check_and_survives_none() -> None:
    made = [found(find) for find in findings.ALL]
    picture = figures.printed_and_found(findings.frame(made))
    assert len(picture.axes[0].get_yticklabels()) == len(findings.checks(made))
    assert figures.printed_and_found(findings.frame([Finding(1, "a", "A.", "B.", "C.")]))


def test_lists_and_digits_read_as_in_print() -> None:
    assert listed(["a"]) == "a"
    assert listed(["a", "b", "c"]) == "a, b and c"
    assert digits({"a": 0.5, "b": 0.25}) == "0.500 / 0.250"


def text_of(path: Path) -> str:
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")


def test_the_notebook_types_no_number_that_is_computed() -> None:
    text = (ROOT / "notebooks" / "27-recomputed.ipynb").read_text(encoding="utf-8")
    for number in ("708", "207", "0.083", "217", "601", "3,973"):
        assert number not in text


@pytest.mark.parametrize("path", STAGE_3, ids=lambda path: path.stem)
def test_the_only_decimals_that_a_page_s_text_types_are_what_it_quotes_of_the_paper(path: Path) -> None:
    text = re.sub(r"§[\d.]+|\]\([^)]*\)|`[^`]*`|[A-Za-z][\w.-]*\d[\w.]*", "", text_of(path))
    paper = [
        published.numbers(published.read(name), statistic)[item] for name, statistic, item in QUOTED.get(path.stem, ())
    ]
    for number in re.findall(r"\d*\.\d+|\d{1,3}(?:,\d{3})+", text):
        places = len(number.partition(".")[2])
        assert any(rounds_to(value, float(number.replace(",", "")), places) for value in paper), number
