"""Pages of judgments: nobody's name on them, who counts, and what they say where nobody has judged."""

from __future__ import annotations

import html
import itertools
import json
from pathlib import Path

import polars as pl
import pytest

from recenter_utils.annotation import quality_pages
from recenter_utils.study import Study
from tests import one_process
from tests.test_judgments import answer
from tests.workspaces import copied


@pytest.fixture(scope="module")
def with_people(finished_demo: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo with two people beside its simulated annotators, where nothing may be published; pages 05 and 06 run."""
    root = copied(finished_demo, tmp_path_factory.mktemp("people") / "workspace")
    file = root / "data" / "demo" / "study.yaml"
    text = file.read_text().replace("publish_text: true", "publish_text: false")
    file.write_text(text.replace("[simulated-5]", "[simulated-5, simulated-55, ana@example.org]"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RECENTER_ROOT", str(root))
        demo = Study.open("demo")
        pages = quality_pages.study_pages(demo)
        said = [
            (who, item.item_id, label)
            for page, label in zip(pages, itertools.cycle(["accepted", "rejected"]))
            for item in page.items
            for who in ("anna@example.org", "5f3c0ffee")
        ]
        answer(demo, pages, *said)
        one_process.run(root, "demo", "06")
    return root / "data" / "demo"


@pytest.mark.slow
def test_no_name_of_a_person_is_on_a_page(with_people: Path) -> None:
    for name in ("05-judgments", "06-attribute-quality"):
        text = (with_people / "runs" / f"{name}.ipynb").read_text()
        assert "anna@example.org" not in text
        assert "5f3c0ffee" not in text
        assert "annotator B" in text
        assert "simulated-1" in text
    raters = pl.read_parquet(with_people / "tables" / "annotators.parquet")["rater"].to_list()
    assert raters[:3] == ["5f3c0ffee", "anna@example.org", "simulated-1"]


@pytest.mark.slow
def test_pages_say_how_many_people_and_how_many_simulated_annotators_count(with_people: Path) -> None:
    for name in ("05-judgments", "06-attribute-quality"):
        assert "2 people and 4 simulated annotators" in (with_people / "runs" / f"{name}.ipynb").read_text()


@pytest.mark.slow
def test_the_page_says_which_excluded_name_has_no_answers(with_people: Path) -> None:
    executed = json.loads((with_people / "runs" / "05-judgments.ipynb").read_text())
    # The record of the run holds the settings; the book leaves it out.
    text = html.unescape(json.dumps(executed["cells"]))
    assert "ana@example.org" not in text
    assert "In annotation.excluded, 'simulated-55' has no answers here. Did you mean simulated-5?" in text
    assert "In annotation.excluded, name 3 has no answers here. Did you mean annotator B?" in text
    assert "Krippendorff's alpha (ordinal)" in text


def test_the_pages_of_a_study_that_nobody_has_judged_run_and_say_how_to_collect(demo_copy: Path) -> None:
    file = demo_copy / "data" / "demo" / "study.yaml"
    file.write_text(file.read_text().replace("  simulated: truth\n", ""))
    one_process.run(demo_copy, "demo", "06")
    for name in ("quality_judgments", "annotators", "consensus", "attribute_quality"):
        assert pl.read_parquet(demo_copy / "data" / "demo" / "tables" / f"{name}.parquet").is_empty()
    runs = demo_copy / "data" / "demo" / "runs"
    assert "recenter annotate demo attribute-quality" in (runs / "05-judgments.ipynb").read_text()
    assert "Attribute quality is undefined here" in (runs / "06-attribute-quality.ipynb").read_text()
