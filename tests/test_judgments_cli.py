"""`recenter import-judgments` and `recenter judgments`: a file comes in once, and what it changes is said."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from recenter_utils.annotation import raters
from recenter_utils.annotation.assignment import Rules, hand_out
from recenter_utils.annotation.imports import import_file
from recenter_utils.annotation.overview import overview
from recenter_utils.annotation.quality_pages import study_pages
from recenter_utils.annotation.store import Store
from recenter_utils.annotation.tasks import find_task, task_pages
from recenter_utils.errors import RecenterError
from recenter_utils.study import Study
from tests.workspaces import recenter

MAP = ["item=attribute_id", "rater=worker", "label=answer"]
GIVEN = ["--map", "item=attribute_id", "--map", "rater=worker", "--map", "label=answer"]


@pytest.fixture
def study(demo_copy: Path) -> Study:
    return Study.open("demo")


def answers_file(study: Study, folder: Path, **columns: object) -> Path:
    """Two workers' answers to the first forty attributes."""
    items = [item.item_id for page in study_pages(study) for item in page.items][:40]
    rows = [
        {"attribute_id": item, "worker": worker, "answer": "Maybe" if place % split == 0 else "Makes sense"}
        for worker, split in (("anna", 2), ("ben", 3))
        for place, item in enumerate(items)
    ]
    path = folder / "answers.csv"
    pl.DataFrame(rows).with_columns(**columns).write_csv(path)
    return path


def held(study: Study) -> pl.DataFrame:
    with Store(study.answers_path("attribute_quality")) as store:
        return store.answers()


def test_a_file_imported_twice_changes_nothing_the_second_time(study: Study, tmp_path: Path) -> None:
    path = answers_file(study, tmp_path)
    assert import_file(study, "attribute-quality", path, MAP) == "80 answers imported, 0 were there already."
    first = held(study)
    assert import_file(study, "attribute-quality", path, MAP) == "0 answers imported, 80 were there already."
    assert held(study).equals(first)
    assert first.group_by("label").len().sort("label")["len"].to_list() == [46, 34]


def test_a_faulty_file_leaves_no_answer_behind(study: Study, tmp_path: Path) -> None:
    path = answers_file(study, tmp_path)
    path.write_text(path.read_text() + "unheard-of,anna,Maybe\n")
    with pytest.raises(RecenterError, match=r"unknown items \(1\): row 82: 'unheard-of'"):
        import_file(study, "attribute-quality", path, MAP)
    assert not study.answers_path("attribute_quality").exists()
    said = import_file(study, "attribute-quality", path, MAP, skip_faulty=True)
    assert said == "80 answers imported, 0 were there already. Left out: 1 unknown items (row 82: 'unheard-of')."


def test_a_second_file_that_contradicts_the_first_is_refused_whole(study: Study, tmp_path: Path) -> None:
    path = answers_file(study, tmp_path)
    import_file(study, "attribute-quality", path, MAP)
    before = held(study)
    path.write_text(path.read_text().replace("anna,Maybe", "anna,Doesn't make sense"))
    with pytest.raises(RecenterError, match=r"differ from what the same rater said before \(20\)"):
        import_file(study, "attribute-quality", path, MAP)
    assert held(study).equals(before)


def test_what_differs_from_the_store_can_be_left_out_and_is_counted(study: Study, tmp_path: Path) -> None:
    path = answers_file(study, tmp_path)
    import_file(study, "attribute-quality", path, MAP)
    rows = path.read_text().replace("anna,Maybe", "anna,Doesn't make sense").splitlines()
    path.write_text("\n".join([*rows, rows[-1], rows[-1].replace("ben", "eva")]))
    said = import_file(study, "attribute-quality", path, MAP, skip_faulty=True)
    assert "1 answers imported, 60 were there already." in said
    assert "20 that differ from what the same rater said before" in said
    assert "1 rows repeat an answer" in said


def test_an_import_leaves_what_annotators_have_in_hand_as_it_is(study: Study, tmp_path: Path) -> None:
    path = answers_file(study, tmp_path)
    pages = task_pages(study, find_task("attribute-quality"), checks=20)
    with Store(study.answers_path("attribute_quality")) as store:
        store.prepare("attribute_quality", pages)
        raters.invite(store, ["eva"])
        hand_out(store, "eva", Rules(3, 0, None, None))
    import_file(study, "attribute-quality", path, MAP)
    with Store(study.answers_path("attribute_quality")) as store:
        assert store.pages() == pages  # the check items among them


def test_agreement_leaves_out_whom_the_study_excludes_and_says_so(study: Study) -> None:
    said = overview(study)
    assert "Excluded by study.yaml, and not counted in kappa and agreement: simulated-5." in said
    assert "Look at simulated-5" not in said
    text = (study.folder / "study.yaml").read_text().replace("[simulated-5]", "[simulatd-4]")
    (study.folder / "study.yaml").write_text(text)
    other = overview(Study.open("demo"))
    assert "excludes 'simulatd-4', who has no answers here. Did you mean 'simulated-4'?" in other
    assert "Look at simulated-5: answers accepted" in other
    assert other.split("mean kappa")[1][:6] != said.split("mean kappa")[1][:6]


def test_the_overview_counts_no_answer_to_a_former_wording(study: Study, tmp_path: Path) -> None:
    import_file(study, "attribute-quality", answers_file(study, tmp_path), MAP)
    merged = study.table_path("merged_attributes")
    metadata = pl.read_parquet_metadata(merged)
    frame = pl.read_parquet(merged).with_columns(attribute=pl.col("attribute") + " Really.")
    frame.write_parquet(merged, metadata={"recenter": metadata["recenter"]})
    assert "Left out: 80 answers to a former wording" in overview(Study.open("demo"))


def test_the_commands_say_what_they_did_and_what_is_now_out_of_date(demo_copy: Path, tmp_path: Path) -> None:
    path = answers_file(Study.open("demo"), tmp_path)
    done = recenter(demo_copy, "import-judgments", "demo", "attribute-quality", str(path), *GIVEN)
    assert (done.returncode, done.stdout) == (0, "80 answers imported, 0 were there already.\n"), done.stderr
    shown = recenter(demo_copy, "judgments", "demo").stdout
    assert "anna" in shown
    assert "Simulated, and no people: simulated-1" in shown
    conditions = [line.split(maxsplit=1) for line in recenter(demo_copy, "status", "demo").stdout.splitlines()]
    assert ["05-judgments", "out of date: answers changed"] in conditions
    typo = recenter(demo_copy, "import-judgments", "demo", "atribute-quality", str(path))
    assert (typo.returncode, typo.stderr) == (
        1,
        "recenter: There is no task 'atribute-quality'. Did you mean 'attribute-quality'?\n",
    )


def test_a_study_that_nobody_judged_says_how_to_begin(workspace: Path) -> None:
    with pytest.raises(RecenterError, match="recenter annotate demo attribute-quality"):
        overview(Study.open("demo"))
