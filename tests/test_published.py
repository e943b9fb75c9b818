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

FOLDER = ROOT / "data" / "published"
NAMES = sorted(path.stem for path in FOLDER.glob("*.csv"))
HEAD = ",".join(published.COLUMNS)
ROW = "BM25,retrieval,,,f1,0.243,0 to 1,section 5.2,printed"
FINDING = "kappa,2,Kappa,0.4,,-1 to 1,10,pairs,section 5.2,printed"
NUMBERS = ("value", "unit", "source", "tag")


def written(workspace: Path, *lines: str) -> None:
    (workspace / "data" / "published" / "made.csv").write_text("\n".join([HEAD, *lines]) + "\n", encoding="utf-8")


def test_every_number_has_a_value_a_unit_a_source_and_a_tag() -> None:
    figures = {f"figure-{number}" for number in range(2, 8)}
    assert {*figures, "table-1", "table-2", "table-3", "table-4", "table-5", "table-6", "text", "findings"} <= set(
        NAMES
    )
    for name in NAMES:
        frame = published.read(name)
        assert len(frame), name
        known = ("key", "stage", "finding") if name == published.FINDINGS else ("item", "statistic")
        assert frame.select(*known, *NUMBERS).null_count().sum_horizontal()[0] == 0, name
        assert set(frame["tag"]) <= set(published.TAGS)
        if name == published.FINDINGS:
            assert frame.columns == list(published.FINDING_COLUMNS)
            continue
        assert frame.columns == list(published.COLUMNS)
        assert set(frame["kind"].drop_nulls()) <= set(RATER_KINDS)


def test_every_number_lies_in_the_range_that_its_unit_names() -> None:
    for name in NAMES:
        for value, unit in published.read(name).select("value", "unit").iter_rows():
            if unit == "count":
                assert value == int(value) >= 0, (name, value)
            else:
                low, high = (float(end) for end in unit.split(" to "))
                assert low <= value <= high, (name, value, unit)


def test_the_readme_names_every_file_and_no_other() -> None:
    lines = (FOLDER / "README.md").read_text(encoding="utf-8").splitlines()
    assert sorted(line.split("`")[1] for line in lines if line.startswith("| `")) == [f"{name}.csv" for name in NAMES]


def test_findings_say_what_the_figures_and_tables_say() -> None:
    """Each headline number is the one in the file of its figure or table, or follows from the counts there."""
    said = {row["key"]: row["value"] for row in published.read("findings").to_dicts()}

    def numbers(name: str, statistic: str) -> dict[str, float]:
        return published.numbers(published.read(name), statistic)

    checked: dict[str, float] = {}
    distances = numbers("table-1", "inter_user")
    names = {"prefeval": "PrefEval", "cupid": "CUPID", "personalens": "PersonaLens"}
    checked |= {f"diversity_{key}": distances[name] for key, name in names.items()}
    checked["diversity_real"] = distances["WildChat, drawn uniformly"]
    checked["diversity_sampled"] = distances["WildChat, filtered and sampled for diversity"]
    n = numbers("figure-2", "n")
    problems = {kind: 1 - numbers("figure-2", "accepted")[kind] / n[kind] for kind in n}
    for kind in n:
        checked[f"problems_{kind}"] = problems[kind]
        for label in ("uncertain", "rejected"):
            checked[f"{label}_{kind}"] = numbers("figure-2", label)[kind] / n[kind]
    checked["problems_gap"] = problems["real"] - problems["synthetic"]
    checked |= {f"failure_{name}": share for name, share in numbers("table-5", "share").items() if name != "others"}
    f1 = numbers("table-2", "f1")
    checked["verifier_trained"] = f1.pop("RoBERTa")
    checked["verifier_instruction"] = max(value for name, value in f1.items() if "+" not in name)
    checked["verifier_criteria"] = max(value for name, value in f1.items() if "+" in name)
    means = published.read("figure-3").filter(statistic="mean_kappa")["value"].to_list()
    checked |= dict(zip(("kappa_people", "kappa_models", "kappa_between"), means, strict=True))
    rates = numbers("figure-4", "flag_rate")
    checked["yes_models_lowest"], checked["yes_models_highest"] = min(rates.values()), max(rates.values())
    checked["f1_bm25"] = numbers("figure-4", "f1")["BM25"]
    checked["f1_embedding"] = numbers("figure-4", "f1")["semantic similarity"]
    selectors = numbers("table-3", "f1")
    checked["f1_selector"], checked["f1_grpo"] = selectors["RoBERTa"], selectors["Qwen3-4B + GRPO"]
    checked["f1_zero_shot"] = max(selectors[name] for name in rates)
    text = numbers("text", "kappa") | {"yes": numbers("text", "yes_rate")["all annotators"]}
    checked["attribute_kappa"], checked["yes_people"] = text["all annotators"], text["yes"]
    checked["reward_spearman"] = numbers("text", "spearman")["all reward models"]
    ratings = numbers("figure-5", "mean")
    checked["rating_people"] = ratings.pop("all generators")
    checked["generator_best"], checked["generator_worst"] = max(ratings.values()), min(ratings.values())
    checked["no_better"] = numbers("figure-5", "no_better")["all generators"]
    judges = numbers("table-6", "mean")
    inflation = [mean - judges["all annotators"] for name, mean in judges.items() if name != "all annotators"]
    checked["inflation_lowest"], checked["inflation_highest"] = min(inflation), max(inflation)
    alike = numbers("table-6", "spearman").values()
    checked["judge_spearman_lowest"], checked["judge_spearman_highest"] = min(alike), max(alike)
    checked["preference_spearman"] = numbers("table-6", "spearman_pairs")["all annotators"]
    checked["preference_kappa"] = numbers("table-6", "weighted_kappa")["all annotators"]
    named, gaps = numbers("figure-7", "rate"), numbers("figure-6", "gap")
    checked["mentions_lowest"], checked["mentions_highest"] = min(named.values()), max(named.values())
    checked["mention_gap_pooled"] = gaps.pop("all annotators")
    checked["judge_gap_lowest"], checked["judge_gap_highest"] = min(gaps.values()), max(gaps.values())
    checked["generator_judge"] = numbers("figure-7", "spearman")["all models"]
    for key, value in checked.items():
        assert said[key] == pytest.approx(value, abs=0.0005), key
    # Refinement is in the text alone; the adjusted gap is recomputed (test_recomputed).
    assert set(said) - set(checked) == {"refined_before", "refined_after", "mention_gap_adjusted"}


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


def test_findings_have_columns_of_their_own(workspace: Path) -> None:
    path = workspace / "data" / "published" / "findings.csv"
    head = ",".join(published.FINDING_COLUMNS)
    for line, fault in (
        (FINDING, "line 3 says what line 2 says: kappa"),
        (FINDING.replace("kappa,2", "two,2").replace("0.4,,", "0.4,perhaps,"), "line 3: 'perhaps' is no qualifier"),
        (FINDING.replace("kappa,2", "two,2").replace(",10,", ",many,"), "line 3: 'many' is no whole number"),
        (FINDING.replace("kappa,2", "two,"), "line 3 has no stage"),
        (FINDING.replace("kappa,2", ",2"), "line 3 has no key"),
    ):
        path.write_text("\n".join([head, FINDING, line]) + "\n", encoding="utf-8")
        with pytest.raises(RecenterError, match=f"findings.csv: {fault}"):
            published.read("findings")
    path.write_text("\n".join([head, FINDING, "b,3,B,0.1,,0 to 1,,,Table 6,printed"]) + "\n", encoding="utf-8")
    assert published.read("findings")["n"].to_list() == [10, None]
    path.write_text(f"{HEAD}\n{ROW}\n", encoding="utf-8")
    with pytest.raises(RecenterError, match="the first line must name the columns key, stage"):
        published.read("findings")


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


def test_models_whose_samples_the_paper_does_not_give_have_no_number_of_items() -> None:
    said = {row["key"]: (row["n"], row["n_of"]) for row in published.read("findings").to_dicts()}
    trained = ("verifier_trained", "f1_selector", "f1_grpo", "reward_spearman")
    assert {said[key] for key in trained} == {(None, None)}


def test_figure_6_has_stars_for_every_rater_with_a_gap() -> None:
    frame = published.read("figure-6")
    stars = published.numbers(frame, "stars")
    assert set(stars) == set(published.numbers(frame, "gap"))
    assert {name for name, many in stars.items() if many} == {"Claude-Sonnet-4.6", "Llama-3.3-70B", "Qwen3.5-27B"}


def test_counts_need_all_four() -> None:
    frame = published.read("table-3").filter(pl.col("statistic") != "fn")
    assert published.counts(frame).is_empty()
    assert published.counts(frame.clear()).is_empty()
