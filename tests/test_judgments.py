"""Gathering judgments: what counts, what does not and why, and who is said to have answered."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from recenter_utils import tables
from recenter_utils.annotation import imports, judgments, simulation
from recenter_utils.annotation.judgments import GONE, REWORDED, TAKEN_BACK, gather, items_of
from recenter_utils.annotation.pages import Conversation, Item, Page, Turn
from recenter_utils.annotation.store import Store
from recenter_utils.scales import ATTRIBUTE_QUALITY
from recenter_utils.study import Study
from tests.workspaces import ROOT, add_study

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


def test_check_items_count_as_they_are_now_and_on_pages_that_were_kept(own: Study) -> None:
    pages = [page("u", "Has a dog.", check=True), page("v", "Sings.", check=True)]
    answer(own, pages, *((who, f"check:{name}", "accepted") for who in ("ann", "ben") for name in "uv"))
    items = items_of(pages)
    assert len(gather(own, TASK, items).checks) == 4
    with Store(own.answers_path(TASK)) as store, store.transaction() as db:
        db.execute(
            "INSERT INTO assignments (page, rater, place, assigned_at, released_at) VALUES ('u', 'ann', 1, 1, 2)"
        )
    assert gather(own, TASK, items).checks.select("rater", "item_id").rows() == [
        ("ann", "check:v"), ("ben", "check:u"), ("ben", "check:v"),
    ]  # fmt: skip
    other = pages[1].model_copy(
        update={"items": tuple(item.model_copy(update={"attribute": "Rows."}) for item in pages[1].items)}
    )
    with Store(own.answers_path(TASK)) as store:
        store.prepare(TASK, [pages[0], other])
    assert gather(own, TASK, items).checks.select("rater", "item_id").rows() == [("ben", "check:u")]
    with Store(own.answers_path(TASK)) as store:
        store.prepare(TASK, [page("u", "Has a dog."), other])
    assert gather(own, TASK, items).checks.is_empty()


def test_simulated_annotators_are_never_called_human(simulated: Study) -> None:
    pages = [page("u", "Has a dog.", "Walks.", "Sings.")]
    found = gather(simulated, TASK, items_of(pages))
    assert set(found.judgments["rater_kind"]) == {"simulated"}
    assert found.made_by == "simulated"
    assert set(found.judgments["item_id"]) == {"u#0", "u#1"}


def test_an_attribute_without_planted_truth_is_no_answer_that_was_left_out(simulated: Study) -> None:
    pages = [page("u", "Has a dog.", "Walks.", "Sings.")]
    found = gather(simulated, TASK, items_of(pages))
    assert why(found) == {}
    assert found.words == (
        "0 answers do not count; they stay where they were given. "
        "Simulated annotators skip 1 attributes for which no truth is planted."
    )
    answer(simulated, pages, ("ann", "u#0", "rejected"))
    found = gather(simulated, TASK, items_of([page("u", "Has a cat.", "Walks.")]))
    assert found.words.startswith("1 answer does not count;")


def test_people_and_simulated_annotators_stand_side_by_side(simulated: Study) -> None:
    pages = [page("u", "Has a dog.", "Walks.")]
    alone = gather(simulated, TASK, items_of(pages)).judgments
    answer(simulated, pages, ("annotator-1", "u#0", "rejected"))
    found = gather(simulated, TASK, items_of(pages))
    tables.check("quality_judgments", found.judgments)
    assert found.made_by == "simulated+human"
    assert found.judgments.filter(rater="annotator-1").select("rater_kind", "label").rows() == [("human", "rejected")]
    assert_frame_equal(found.judgments.filter(rater_kind="simulated"), alone)
    assert alone["rater"].str.starts_with(simulation.PREFIX).all()


RELEVANT = [
    '{"prompt_id": "q1", "attribute": "Has a dog.", "strength": 3}',
    '{"prompt_id": "q2", "attribute": "Walks.", "strength": 1}',
]


@pytest.fixture
def relevant(simulated: Study) -> Study:
    """The study with a truth of relevance: two requests, two attributes."""
    (simulated.folder / "truth" / "relevance.jsonl").write_text("\n".join(RELEVANT))
    return Study.open("own")


def request(name: str, *attributes: str) -> Page:
    items = tuple(Item(item_id=f"{name}/{n}", attribute=text) for n, text in enumerate(attributes))
    return Page(page_id=name, prompt=f"Request {name}?", items=items)


def test_simulated_annotators_judge_relevance_by_request_and_words(relevant: Study) -> None:
    pages = [request("q1", "Has a dog.", "Walks.", "Sings."), request("q2", "Has a dog."), request("q3", "Walks.")]
    found = gather(relevant, "relevance", items_of(pages))
    tables.check("relevance_judgments", found.judgments)
    assert set(found.judgments["item_id"]) == {"q1/0", "q1/1", "q2/0"}  # not what the truth does not know
    assert set(found.judgments["rater"]) == {f"simulated-{n}" for n in range(1, 6)}
    assert set(found.judgments["rater_kind"]) == {"simulated"}
    assert found.skipped == 2
    assert "Simulated annotators skip 2 pairs for which no truth is planted." in found.words


def test_a_truth_without_relevance_leaves_every_pair_to_people(simulated: Study) -> None:
    found = gather(simulated, "relevance", items_of([request("q1", "Has a dog.", "Walks.")]))
    assert found.judgments.is_empty()
    assert found.skipped == 2


def test_peoples_answers_on_relevance_count_as_those_of_stage_1_do(own: Study) -> None:
    before = [request("q1", "Has a dog.", "Walks.", "Sings."), request("q2", "Has a dog."), request("q3", "Walks.")]
    with Store(own.answers_path("relevance")) as store:
        store.prepare("relevance", before)
        said = [("ann", item.item_id, "yes") for page in before for item in page.items] + [("ben", "q1/0", "no")]
        store.import_answers(
            [{"rater": rater, "item_id": item, "label": label} for rater, item, label in said], "import:test"
        )
        with store.transaction() as db:
            db.execute(
                "INSERT INTO assignments (page, rater, place, assigned_at, released_at) VALUES ('q2', 'ann', 1, 1, 2)"
            )
    now = [request("q1", "Has a dog.", "Walks it daily."), request("q2", "Has a dog."), request("q3", "Walks.")]
    found = gather(own, "relevance", items_of(now))
    tables.check("relevance_judgments", found.judgments)
    assert found.judgments.select("item_id", "rater", "label", "score").rows() == [
        ("q1/0", "ann", "yes", 1.0),
        ("q1/0", "ben", "no", 0.0),
        ("q3/0", "ann", "yes", 1.0),
    ]
    # An attribute whose user was dropped since is gone.
    assert why(found) == {GONE: (1, ["ann"]), REWORDED: (1, ["ann"]), TAKEN_BACK: (1, ["ann"])}


def test_an_answer_to_a_request_in_other_words_is_an_answer_to_something_else(own: Study) -> None:
    page = request("q1", "Has a dog.")
    with Store(own.answers_path("relevance")) as store:
        store.prepare("relevance", [page])
        store.import_answers([{"rater": "ann", "item_id": "q1/0", "label": "yes"}], "import:test")
    found = gather(own, "relevance", items_of([page.model_copy(update={"prompt": "Another request?"})]))
    assert found.judgments.is_empty()
    assert why(found) == {REWORDED: (1, ["ann"])}


def test_a_file_may_not_call_a_person_as_simulated_annotators_are_called(tmp_path: Path) -> None:
    (tmp_path / "answers.csv").write_text("item,rater,label\nu#0,Simulated-1,accepted\nu#0,ann,accepted\n")
    found = imports.read(tmp_path / "answers.csv", imports.column_map([]), ATTRIBUTE_QUALITY, {"u#0": "Has a dog."})
    assert [answer["rater"] for answer in found.answers] == ["ann"]
    assert found.faults == {"people called simulated-..., as only simulated annotators are": ["row 2: 'Simulated-1'"]}


def test_progress_counts_attributes_by_their_answers() -> None:
    items = pl.DataFrame({"item_id": ["a", "b", "c", "d"], "group": ["x", "x", "x", "y"]})
    answers = pl.DataFrame({"item_id": ["a", "a", "b", "d", "d", "d"]})
    assert judgments.progress(answers, items, 2).rows() == [("x", 3, 1, 1, 1), ("y", 1, 0, 0, 1)]
