"""The paper's own numbers: read with care, through the same code as a study's, and never mixed with them."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from recenter_utils import published, report
from recenter_utils.errors import RecenterError
from recenter_utils.scales import RATER_KINDS
from recenter_utils.stats import classification
from recenter_utils.steps import steps
from recenter_utils.study import Study
from tests.workspaces import ROOT

NAMES = sorted(path.stem for path in (ROOT / "data" / "published").glob("*.csv"))
HEAD = ",".join(published.COLUMNS)
ROW = "BM25,retrieval,,,f1,0.243,0 to 1,section 5.2,printed"


def written(workspace: Path, *lines: str) -> None:
    (workspace / "data" / "published" / "made.csv").write_text("\n".join([HEAD, *lines]) + "\n", encoding="utf-8")


def test_every_number_has_a_value_a_unit_a_source_and_a_tag() -> None:
    assert {"figure-3", "figure-4", "table-3"} <= set(NAMES)
    for name in NAMES:
        frame = published.read(name)
        assert frame.columns == list(published.COLUMNS)
        assert frame.select("item", "statistic", "value", "unit", "source", "tag").null_count().sum_horizontal()[0] == 0
        assert set(frame["kind"].drop_nulls()) <= set(RATER_KINDS)


def test_figure_3_has_every_pair_of_eight_raters_once() -> None:
    cells = published.read("figure-3").filter(statistic="kappa")
    names = list(published.kinds(cells))
    assert len(names) == 8
    assert {frozenset(pair) for pair in cells.select("item", "other").iter_rows()} == {
        frozenset((a, b)) for a in names for b in names if a < b
    }
    assert len(cells) == 28


def test_the_counts_of_table_3_give_its_printed_rows_to_the_last_digit() -> None:
    frame = published.read("table-3")
    printed = {
        (row["item"], row["statistic"]): row["value"] for row in frame.filter(tag="printed", unit="0 to 1").to_dicts()
    }
    counts = published.counts(frame)
    assert counts["item"].to_list() == [
        *("Claude-Sonnet-4.6", "Gemma-4-31B", "Qwen3.5-27B", "GPT-5.4", "Llama-3.3-70B"),
        "Qwen3-4B + GRPO",
    ]
    for row in counts.to_dicts():
        found = classification.from_counts(*(row[name] for name in published.COUNTS)).set_index("metric")
        for metric in ("accuracy", "precision", "recall", "f1"):
            assert round(found["value"][metric], 3) == printed[row["item"], metric], (row["item"], metric)
    # Two rows are printed without counts that could be recovered.
    assert {item for item, _ in printed} - set(counts["item"]) == {"RoBERTa", "Qwen3-4B"}


def test_the_counts_of_figure_4_give_its_f1_yes_rates_and_kappas() -> None:
    frame = published.read("figure-4")
    said = {(row["item"], row["statistic"]): row["value"] for row in frame.to_dicts()}
    for row in published.counts(frame).to_dicts():
        assert row["tp"] + row["fn"] == 708
        found = classification.from_counts(*(row[name] for name in published.COUNTS)).set_index("metric")["value"]
        for metric, digits in (("flag_rate", 3), ("kappa", 3), ("precision", 4), ("recall", 4), ("f1", 3)):
            if (row["item"], metric) in said:
                assert round(found[metric], digits) == said[row["item"], metric], (row["item"], metric)


def test_counts_give_what_the_predictions_behind_them_give() -> None:
    truth = [True] * 5 + [False] * 9
    predicted = [True] * 3 + [False] * 2 + [True] * 4 + [False] * 5
    one = classification.scores(truth, predicted, draws=0)
    assert classification.from_counts(3, 4, 2, 14).equals(one)
    nothing = classification.from_counts(0, 0, 0, 0)
    assert nothing["value"].isna().all()
    assert nothing["reason"].notna().all()
    with pytest.raises(ValueError, match=r"3 \+ 4 \+ 2 of 8"):
        classification.from_counts(3, 4, 2, 8)


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("BM25,retrieval,,,f1,0.243,0 to 1,section 5.2", "line 3 has 8 columns, not 9"),
        ("BM25,retrieval,,,f2,much,0 to 1,section 5.2,printed", "line 3: 'much' is no number"),
        ("BM25,retrieval,,,f2,nan,0 to 1,section 5.2,printed", "line 3: 'nan' is no number"),
        ("BM25,retrieval,,,f2,0.243,,section 5.2,printed", "line 3 has no unit"),
        ("BM25,retrieval,,,f2,0.243,0 to 1,,printed", "line 3 has no source"),
        (
            "BM25,retrieval,,,f2,0.243,0 to 1,section 5.2,guessed",
            "line 3: 'guessed' is no tag; printed, read off",
        ),
        ("BM25,robot,,,f2,0.243,0 to 1,section 5.2,printed", "line 3: 'robot' is no kind of rater"),
        (ROW, "line 3 says what line 2 says: f1 of BM25"),
    ],
)
def test_a_fault_in_a_file_is_named_with_its_line(workspace: Path, line: str, fault: str) -> None:
    written(workspace, ROW, line)
    with pytest.raises(RecenterError, match=f"made.csv: {fault}"):
        published.read("made")


def test_a_pair_that_stands_twice_in_either_order_is_a_fault(workspace: Path) -> None:
    written(workspace, "A,human,B,human,kappa,0.4,-1 to 1,x,printed", "B,human,A,human,kappa,0.5,-1 to 1,x,printed")
    with pytest.raises(RecenterError, match="line 3 says what line 2 says"):
        published.read("made")


def test_a_file_that_is_not_there_or_has_other_columns_says_which(workspace: Path) -> None:
    with pytest.raises(RecenterError, match=r"no published numbers 'figure-33' at .*Did you mean 'figure-3'\?"):
        published.read("figure-33")
    (workspace / "data" / "published" / "made.csv").write_text("item,value\nx,1\n")
    with pytest.raises(RecenterError, match=r"made.csv: the first line must name the columns item, kind"):
        published.read("made")


def test_a_notebook_may_read_only_what_it_declares(workspace: Path) -> None:
    with pytest.raises(RecenterError, match=r"'03-merging' reads the published 'figure-3', but .*under 'published'"):
        published.read("figure-3", Study.open("demo", notebook="03-merging"))
    assert len(published.read("figure-3", Study.open("demo"))) == 31


def test_published_numbers_are_marked_so_and_leave_the_study_s_origin_alone(workspace: Path) -> None:
    study = Study.open("demo", notebook="13-relevance-agreement")
    frame = published.read("figure-3", study)
    assert study.origin == ""
    shown = report.show_table(frame, "t", study, origin=published.ORIGIN).data
    assert shown.count('class="origin ') == 1
    assert "PUBLISHED" in shown
    assert "PUBLISHED" not in report.show_table(frame, "t", study).data


def test_a_changed_published_file_puts_the_notebooks_that_show_it_out_of_date_and_no_others(workspace: Path) -> None:
    def states() -> dict[str, dict]:
        return {step.name: step.state() for step in steps(Study.open("demo"))}

    before = states()
    file = workspace / "data" / "published" / "figure-3.csv"
    file.write_text(file.read_text().replace("0.41,", "0.42,", 1))
    after = states()
    changed = [name for name in before if before[name] != after[name]]
    assert "13-relevance-agreement" in changed
    assert all("figure-3" in after[name].get("published", {}) for name in changed)
    assert [part for part in after[changed[0]] if before[changed[0]][part] != after[changed[0]][part]] == ["published"]
    assert "published" not in before["03-merging"]


def test_counts_need_all_four() -> None:
    frame = published.read("table-3").filter(pl.col("statistic") != "fn")
    assert published.counts(frame).is_empty()
    assert published.counts(frame.clear()).is_empty()
