"""Gathering judgments: what counts, what does not and why, and who is said to have answered."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from recenter_utils import tables
from recenter_utils.annotation import judgments
from recenter_utils.annotation.judgments import GONE, NO_TRUTH, REWORDED, TAKEN_BACK, gather, items_of
from recenter_utils.annotation.pages import Conversation, Item, Page, Turn
from recenter_utils.annotation.store import Store
from recenter_utils.study import Study
from tests.workspaces import ROOT, add_study, recenter

TASK = "attribute_quality"
TRUTH = ROOT / "data" / "demo" / "truth"
STUDY = "title: Own\nsources: [{name: chat, format: chatlog, path: chats.jsonl, kind: real, origin: human}]\n"
CHAT = Conversation(conversation_id="c", turns=(Turn(role="user", content="I have a dog."),))


def page(name: str, *attributes: str, check: bool = False) -> Page:
    items = [Item(item_id=f"{name}#{n}", attribute=text) for n, text in enumerate(attributes)]
    if check:
        items.append(Item(item_id=f"check:{name}", attribute="Sails.", expected=("rejected", "uncertain")))
    return Page(page_id=name, items=tuple(items), conversations=(CHAT,))


@pytest.fixture
def own(workspace: Path) -> Study:
    """A study of people in which nobody has answered."""
    add_study(workspace, "own", STUDY)
    return Study.open("own")


@pytest.fixture
def simulated(workspace: Path) -> Study:
    """The same study with the demo's simulated annotators, and a truth of two attributes."""
    folder = add_study(workspace, "own", STUDY + "annotation: {simulated: truth}\n")
    (folder / "truth").mkdir()
    (folder / "truth" / "annotators.yaml").write_bytes((TRUTH / "annotators.yaml").read_bytes())
    lines = [f'{{"user_id": "u", "attribute": "{text}", "label": "accepted"}}' for text in ("Has a dog.", "Walks.")]
    (folder / "truth" / "attributes.jsonl").write_text("\n".join(lines))
    return Study.open("own")


def answer(study: Study, pages: list[Page], *said: tuple[str, str, str]) -> None:
    """Put answers (rater, item, label) into the study's store, given to the pages as they are."""
    with Store(study.answers_path(TASK)) as store:
        store.prepare(TASK, pages)
        rows = [{"rater": rater, "item_id": item, "label": label} for rater, item, label in said]
        store.import_answers(rows, "import:test")


def why(found: judgments.Gathered) -> dict[str, tuple[int, list[str]]]:
    return {reason: (n, raters) for reason, n, raters in found.left_out.iter_rows() if n}


def test_a_study_without_answers_has_none_and_says_nothing_of_who_made_them(own: Study) -> None:
    found = gather(own, TASK, items_of([page("u", "Has a dog.")]))
    assert_frame_equal(found.judgments, tables.table("quality_judgments").empty())
    assert (found.checks.is_empty(), found.left_out.is_empty(), found.made_by) == (True, True, "")


def test_peoples_answers_are_human_and_carry_scores(own: Study) -> None:
    pages = [page("u", "Has a dog.", "Walks.")]
    answer(own, pages, ("ann", "u#0", "accepted"), ("ann", "u#1", "uncertain"), ("ben", "u#0", "rejected"))
    found = gather(own, TASK, items_of(pages))
    checked = tables.check("quality_judgments", found.judgments)
    assert checked.select("item_id", "rater", "rater_kind", "label", "score").rows() == [
        ("u#0", "ann", "human", "accepted", 2.0),
        ("u#0", "ben", "human", "rejected", 0.0),
        ("u#1", "ann", "human", "uncertain", 1.0),
    ]
    assert found.made_by == "human"


def test_answers_to_a_former_wording_or_to_what_is_gone_do_not_count(own: Study) -> None:
    before = [page("u", "Has a dog.", "Walks."), page("v", "Sings.")]
    answer(own, before, ("ann", "u#0", "accepted"), ("ann", "u#1", "accepted"), ("ben", "v#0", "accepted"))
    found = gather(own, TASK, items_of([page("u", "Has a dog.", "Walks it daily.")]))
    assert found.judgments["item_id"].to_list() == ["u#0"]
    assert why(found) == {GONE: (1, ["ben"]), REWORDED: (1, ["ann"])}


def test_answers_on_a_page_that_was_taken_back_do_not_count(own: Study) -> None:
    pages = [page("u", "Has a dog."), page("v", "Sings.")]
    answer(own, pages, ("ann", "u#0", "accepted"), ("ann", "v#0", "accepted"), ("ben", "u#0", "accepted"))
    with Store(own.answers_path(TASK)) as store, store.transaction() as db:
        values = {"page": "u", "rater": "ann", "place": 1, "assigned_at": 1, "released_at": 2}
        db.execute(f"INSERT INTO assignments ({', '.join(values)}) VALUES (?, ?, ?, ?, ?)", tuple(values.values()))
    found = gather(own, TASK, items_of(pages))
    assert found.judgments.select("item_id", "rater").rows() == [("u#0", "ben"), ("v#0", "ann")]
    assert why(found) == {TAKEN_BACK: (1, ["ann"])}


def test_answers_to_check_items_stand_apart_and_are_scored(own: Study) -> None:
    pages = [page("u", "Has a dog.", check=True)]
    answer(own, pages, ("ann", "u#0", "accepted"), ("ann", "check:u", "accepted"), ("ben", "check:u", "uncertain"))
    items = items_of(pages)
    assert items["item_id"].to_list() == ["u#0"]
    found = gather(own, TASK, items)
    assert found.judgments.select("item_id", "rater").rows() == [("u#0", "ann")]
    assert found.checks.select("rater", "passed").rows() == [("ann", False), ("ben", True)]
    assert why(found) == {}


def test_simulated_annotators_are_never_called_human(simulated: Study) -> None:
    pages = [page("u", "Has a dog.", "Walks.", "Sings.")]
    found = gather(simulated, TASK, items_of(pages))
    assert set(found.judgments["rater_kind"]) == {"simulated"}
    assert found.made_by == "simulated"
    assert set(found.judgments["item_id"]) == {"u#0", "u#1"}
    assert why(found) == {NO_TRUTH: (1, [])}


def test_people_and_simulated_annotators_stand_side_by_side_even_under_one_name(simulated: Study) -> None:
    pages = [page("u", "Has a dog.", "Walks.")]
    alone = gather(simulated, TASK, items_of(pages)).judgments
    answer(simulated, pages, ("annotator-1", "u#0", "rejected"))
    found = gather(simulated, TASK, items_of(pages))
    tables.check("quality_judgments", found.judgments)
    assert found.made_by == "simulated+human"
    assert found.judgments.filter(rater="annotator-1").select("rater_kind", "label").rows() == [("human", "rejected")]
    renamed = found.judgments.filter(rater="annotator-1 (simulated)")
    assert renamed["label"].to_list() == alone.filter(rater="annotator-1")["label"].to_list()


def test_progress_counts_attributes_by_their_answers() -> None:
    items = pl.DataFrame({"item_id": ["a", "b", "c", "d"], "group": ["x", "x", "x", "y"]})
    answers = pl.DataFrame({"item_id": ["a", "a", "b", "d", "d", "d"]})
    assert judgments.progress(answers, items, 2).rows() == [("x", 3, 1, 1, 1), ("y", 1, 0, 0, 1)]


def test_the_pages_of_a_study_that_nobody_has_judged_run_and_say_how_to_collect(demo_copy: Path) -> None:
    file = demo_copy / "data" / "demo" / "study.yaml"
    file.write_text(file.read_text().replace("  simulated: truth\n", ""))
    done = recenter(demo_copy, "run", "demo", "--only", "06")
    assert done.returncode == 0, done.stderr + done.stdout
    for name in ("quality_judgments", "annotators", "consensus", "attribute_quality"):
        assert pl.read_parquet(demo_copy / "data" / "demo" / "tables" / f"{name}.parquet").is_empty()
    runs = demo_copy / "data" / "demo" / "runs"
    assert "recenter annotate demo attribute-quality" in (runs / "05-judgments.ipynb").read_text()
    assert "Attribute quality is undefined here" in (runs / "06-attribute-quality.ipynb").read_text()
