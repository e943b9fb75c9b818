"""The store of answers: nothing is overwritten, an answer belongs to a wording, an import is whole or not at all."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recenter_utils import provenance
from recenter_utils.annotation import assignment, raters, saving
from recenter_utils.annotation.desk import Desk
from recenter_utils.annotation.pages import Page
from recenter_utils.annotation.refusals import Refusal
from recenter_utils.annotation.store import Store
from recenter_utils.errors import RecenterError
from tests.judging import Clock, preference_pages, quality_pages, relevance_pages


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(tmp_path: Path, clock: Clock) -> Store:
    return working(Store(tmp_path / "folder" / "answers.sqlite", clock), quality_pages())


def working(store: Store, pages: list[Page], task: str = "attribute_quality", rater: str = "anna") -> Store:
    """A store in which somebody has begun."""
    store.prepare(task, pages)
    raters.invite(store, [rater])
    raters.consent(store, rater, True)
    assignment.hand_out(store, rater, assignment.Rules())
    return store


def save(store: Store, page_id: str, item: int, value: str, kind: str = "label", rater: str = "anna") -> saving.Saved:
    place = next(page.place for page in saving.progress(store, rater) if page.page_id == page_id)
    return saving.save(store, rater, place, item, saving.stamp(store, page_id), kind, value)


def rows(store: Store, sql: str = "SELECT * FROM answers ORDER BY answer") -> list[tuple[Any, ...]]:
    with store.snapshot() as db:
        return db.execute(sql).fetchall()


def only(frame: pl.DataFrame) -> dict[str, Any]:
    assert frame.height == 1
    return frame.row(0, named=True)


def test_a_correction_is_a_new_row_and_the_newest_one_holds(store: Store) -> None:
    for value in ("accepted", "rejected"):
        save(store, "user-1", 1, value)
    assert [row[5] for row in rows(store)] == ["accepted", "rejected"]
    assert only(store.answers())["label"] == "rejected"


def test_the_same_answer_sent_twice_is_one_row(store: Store) -> None:
    first, again = save(store, "user-1", 1, "accepted"), save(store, "user-1", 1, "accepted")
    assert first.number == again.number
    assert len(rows(store)) == 1
    save(store, "user-1", 1, "rejected")
    save(store, "user-1", 1, "accepted")  # back again is a correction
    assert len(rows(store)) == 3


def test_no_answer_can_be_changed_or_removed_even_by_hand(store: Store) -> None:
    save(store, "user-1", 1, "accepted")
    with sqlite3.connect(store.path) as other:
        for statement in ("UPDATE answers SET value = 'rejected'", "DELETE FROM answers"):
            with pytest.raises(sqlite3.IntegrityError, match="only ever added"):
                other.execute(statement)


def test_answers_hold_all_that_was_said_about_an_item(store: Store, clock: Clock) -> None:
    page = next(page for page in saving.progress(store, "anna") if page.page_id == "user-2")
    saving.open_page(store, "anna", page.place)
    clock.time += 7.5
    save(store, "user-2", 3, "uncertain")
    save(store, "user-2", 3, "yes", "flag")
    save(store, "user-2", 3, "line one\r\nline two", "note")
    save(store, "user-2", 1, "only a note", "note")  # without a label it is no judgment
    found = only(store.answers())
    assert found == {
        "item_id": "user-2/3",
        "page_id": "user-2",
        "version": quality_pages()[1].item_version(quality_pages()[1].items[2]),
        "current_version": found["version"],
        "rater": "anna",
        "label": "uncertain",
        "note": "line one\nline two",
        "flagged": True,
        "first_shown": None,
        "seconds": 7.5,
        "answered_at": datetime.fromtimestamp(clock.time, UTC),
        "expected": None,
        "released": False,
        "via": "app",
    }
    save(store, "user-2", 3, "no", "flag")
    save(store, "user-2", 3, "", "note")
    assert (only(store.answers())["flagged"], only(store.answers())["note"]) == (False, None)


def test_seconds_count_from_the_answer_before_or_from_opening_the_page_anew(store: Store, clock: Clock) -> None:
    page = saving.progress(store, "anna")[0]
    saving.open_page(store, "anna", page.place)
    for wait in (4, 6):
        clock.time += wait
        save(store, page.page_id, wait // 2 - 1, "accepted")
    clock.time += 3600  # lunch
    saving.open_page(store, "anna", page.place)
    clock.time += 5
    save(store, page.page_id, 3, "accepted")
    clock.time -= 100  # the clock was set back
    save(store, page.page_id, 3, "rejected")
    assert [row[7] for row in rows(store)] == [4, 6, 5, 0]


def test_a_preference_is_kept_as_shown_and_read_from_generic_to_personalised(tmp_path: Path) -> None:
    store = working(Store(tmp_path / "answers.sqlite"), preference_pages(40, 1), "preference")
    for page in preference_pages(40, 1):
        save(store, page.page_id, 1, "2")
    answers = store.answers()
    assert {row[5] for row in rows(store)} == {"2"}
    assert set(answers.select("first_shown", "label").unique().rows()) == {("generic", "2"), ("personalised", "4")}
    # A fair coin: fewer than 8 of 40 on either side come up once in 80,000 times.
    assert 8 <= answers.filter(pl.col("first_shown") == "generic").height <= 32


def test_an_answer_stays_with_its_wording_when_the_study_is_run_again(store: Store) -> None:
    save(store, "user-1", 1, "accepted")
    save(store, "user-1", 2, "accepted")
    pages = quality_pages()
    reworded = pages[0].items[0].model_copy(update={"attribute": "Another wording."})
    changed = pages[0].model_copy(update={"items": (*pages[0].items[1:], reworded)})
    assert store.prepare("attribute_quality", [changed, *pages[2:]]) == {"new": 0, "changed": 1, "gone": 1}
    answers = {row["item_id"]: row for row in store.answers().to_dicts()}
    assert answers["user-1/1"]["version"] != answers["user-1/1"]["current_version"]
    assert answers["user-1/2"]["version"] == answers["user-1/2"]["current_version"]
    here = next(page for page in saving.progress(store, "anna") if page.page_id == "user-1")
    assert (here.done, here.total) == (1, 3)
    assert [answer["label"] for answer in saving.held(store, "anna", "user-1")] == ["accepted", None, None]
    save(store, "user-1", 3, "rejected")  # the new wording, now in third place
    assert {row["label"] for row in store.answers().to_dicts() if row["item_id"] == "user-1/1"} == {"rejected"}
    store.prepare("attribute_quality", pages)  # and back to the old wording: its own answer holds again
    assert {row["label"] for row in store.answers().to_dicts() if row["item_id"] == "user-1/1"} == {"accepted"}
    (kept,) = rows(store, "SELECT content FROM former_pages WHERE page = 'user-1' AND content LIKE '%Another wording%'")
    assert json.loads(kept[0])["page_id"] == "user-1"


def test_an_item_whose_page_changed_under_an_open_screen_is_not_answered(store: Store) -> None:
    place = next(page.place for page in saving.progress(store, "anna") if page.page_id == "user-1")
    seen = saving.stamp(store, "user-1")
    pages = quality_pages()
    turned = pages[0].model_copy(update={"items": pages[0].items[::-1]})
    store.prepare("attribute_quality", [turned, *pages[1:]])
    with pytest.raises(Refusal) as refused:
        saving.save(store, "anna", place, 1, seen, "label", "accepted")
    assert (refused.value.status, refused.value.reload) == (409, True)
    assert store.answers().is_empty()


def test_the_stamp_of_a_page_does_not_tell_which_response_is_which(tmp_path: Path) -> None:
    first = working(Store(tmp_path / "1.sqlite"), preference_pages(), "preference")
    other = working(Store(tmp_path / "2.sqlite"), preference_pages(), "preference")
    assert saving.stamp(first, "comparison-1") != saving.stamp(other, "comparison-1")  # keyed: no plain hash


def test_a_store_is_of_one_task_and_says_so(store: Store) -> None:
    with pytest.raises(RecenterError, match="holds answers to 'attribute_quality', not to 'relevance'"):
        store.prepare("relevance", relevance_pages())


def test_a_damaged_store_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "answers.sqlite").write_bytes(b"not a database, whatever its name says" * 100)
    with pytest.raises(RecenterError, match=r"answers.sqlite cannot be used .* restored from a copy"):
        Store(tmp_path / "answers.sqlite")


def test_the_fingerprint_of_answers_changes_with_each_answer_and_with_nothing_else(store: Store) -> None:
    before = provenance.answers_fingerprint(store.path)
    store.prepare("attribute_quality", quality_pages())
    raters.invite(store, ["ben"])
    assert provenance.answers_fingerprint(store.path) == before
    save(store, "user-1", 1, "accepted")
    assert provenance.answers_fingerprint(store.path) != before


# -- what came together -----------------------------------------------------------------------------------


class Counting:
    """A connection that counts commits, and refuses them when told to, as a full disk does."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection
        self.commits = 0
        self.full = False

    def execute(self, statement: str, *more: Any) -> sqlite3.Cursor:
        if statement == "COMMIT":
            self.commits += 1
            if self.full:
                raise sqlite3.OperationalError("database or disk is full")
        return self.connection.execute(statement, *more)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.connection, name)


def desk_and_disk(store: Store) -> tuple[Desk, Counting]:
    disk = Counting(store._db)
    store._db = disk  # type: ignore[assignment]
    return Desk(store), disk


def answer_at_desk(desk: Desk, item: int, value: str) -> Any:
    return desk.do(lambda store: save(store, "user-1", item, value))


def test_answers_that_come_together_share_a_commit_and_a_refused_one_harms_no_other(store: Store) -> None:
    desk, disk = desk_and_disk(store)

    async def all_at_once() -> list[Any]:
        said = [(item % 3 + 1, ["accepted", "rejected", "great"][item % 3]) for item in range(60)]
        return await asyncio.gather(*(answer_at_desk(desk, *one) for one in said), return_exceptions=True)

    outcomes = asyncio.run(all_at_once())
    assert [isinstance(outcome, Refusal) for outcome in outcomes] == [False, False, True] * 20
    assert disk.commits <= 5
    with Store(store.path) as other:
        assert dict(other.answers().select("item_id", "label").rows()) == {
            "user-1/1": "accepted",
            "user-1/2": "rejected",
        }


def test_what_could_not_be_committed_is_acknowledged_to_nobody(store: Store) -> None:
    desk, disk = desk_and_disk(store)

    async def some(values: tuple[str, ...]) -> list[Any]:
        said = (answer_at_desk(desk, item, value) for item, value in enumerate(values, 1))
        return await asyncio.gather(*said, return_exceptions=True)

    disk.full = True
    refused = asyncio.run(some(("accepted", "great", "rejected")))
    assert all(isinstance(outcome, sqlite3.OperationalError) for outcome in refused)
    disk.full = False
    assert rows(store) == []
    saved = asyncio.run(some(("accepted", "rejected")))
    assert [outcome.number for outcome in saved] == [1, 2]


def test_a_commit_is_on_the_disk_before_it_returns(store: Store) -> None:
    with store.snapshot() as db:
        assert db.execute("PRAGMA synchronous").fetchone() == (2,)  # FULL: the log is synced at every commit
        assert db.execute("PRAGMA journal_mode").fetchone() == ("wal",)


# -- imports ----------------------------------------------------------------------------------------------


def answer(item: str = "user-1/1", rater: str = "zoe", label: str = "accepted", **more: Any) -> dict[str, Any]:
    return {"item_id": item, "rater": rater, "label": label, "note": None, "flagged": False, "answered_at": None} | more


def test_importing_twice_changes_nothing(store: Store) -> None:
    at = datetime(2026, 3, 1, 12, tzinfo=UTC)
    given = [answer(note="hm", flagged=True, answered_at=at), answer("user-1/2", label="rejected"), answer(rater="yan")]
    assert store.import_answers(given, "import:1") == {"added": 3, "already": 0, "different": 0, "raters": 2}
    before, found = rows(store), store.answers()
    for via in ("import:1", "import:2"):
        assert store.import_answers(given, via) == {"added": 0, "already": 3, "different": 0, "raters": 0}
    assert rows(store) == before
    first = found.row(by_predicate=(pl.col("rater") == "zoe") & (pl.col("item_id") == "user-1/1"), named=True)
    assert (first["note"], first["flagged"], first["answered_at"], first["via"]) == ("hm", True, at, "import:1")


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (answer("user-9/1"), r"unknown items \(1\): 'user-9/1'"),
        (answer(label="great"), r"labels outside the scale \(rejected, uncertain, accepted\) \(1\): 'great'"),
        (answer(label="rejected"), r"differ .* \(1\): zoe on user-1/1 said accepted before, now rejected"),
    ],
)
def test_a_faulty_import_adds_nothing_and_names_the_rows(store: Store, wrong: dict[str, Any], message: str) -> None:
    store.import_answers([answer()], "import:1")
    before = rows(store), rows(store, "SELECT * FROM raters")
    with pytest.raises(RecenterError, match=message):
        store.import_answers([answer("user-2/1", rater="new"), wrong], "import:2")
    assert (rows(store), rows(store, "SELECT * FROM raters")) == before


def test_what_was_corrected_on_the_screen_stays_when_its_file_is_imported_again(store: Store) -> None:
    store.import_answers([answer(rater="anna", note="from the file")], "import:1")
    save(store, "user-1", 1, "rejected")
    save(store, "user-1", 1, "better so", "note")
    assert store.import_answers([answer(rater="anna", note="from the file")], "import:1")["added"] == 0
    assert only(store.answers())["label"] == "rejected"
    assert only(store.answers())["note"] == "better so"


def test_an_imported_preference_reads_as_it_was_given(tmp_path: Path) -> None:
    store = working(Store(tmp_path / "answers.sqlite"), preference_pages(), "preference")
    given = [
        answer("comparison-1/0", label="4", first_shown="personalised"),
        answer("comparison-1/1", label="4", first_shown="generic"),
        answer("comparison-2/0", label="4"),
    ]
    store.import_answers(given, "import:1")
    assert store.answers()["label"].to_list() == ["4", "4", "4"]
    assert [row[5] for row in rows(store)] == ["2", "4", "4"]
    assert store.import_answers(given, "import:1")["already"] == 3


SAID = st.lists(
    st.tuples(st.integers(1, 4), st.integers(1, 3), st.sampled_from(["rejected", "uncertain", "accepted"])), max_size=12
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(SAID)
def test_whatever_is_clicked_what_holds_is_the_last_click_on_each_item(
    tmp_path_factory: pytest.TempPathFactory, said: list[tuple[int, int, str]]
) -> None:
    with Store(tmp_path_factory.mktemp("store") / "answers.sqlite") as store:
        working(store, quality_pages())
        for page, item, value in said:
            save(store, f"user-{page}", item, value)
        last = {f"user-{page}/{item}": value for page, item, value in said}
        assert dict(store.answers().select("item_id", "label").rows()) == last
        assert sum(page.done for page in saving.progress(store, "anna")) == len(last)


def test_an_item_that_a_rerun_drops_leaves_its_page_working_and_the_other_answers_in_place(store: Store) -> None:
    for item, value in enumerate(("rejected", "uncertain", "accepted"), 1):
        save(store, "user-1", item, value)
    pages = quality_pages()
    pages[0] = pages[0].model_copy(update={"items": pages[0].items[1:]})
    store.prepare("attribute_quality", pages)
    assert [answer["label"] for answer in saving.held(store, "anna", "user-1")] == ["uncertain", "accepted"]
    save(store, "user-1", 1, "accepted")
    assert [answer["label"] for answer in saving.held(store, "anna", "user-1")] == ["accepted", "accepted"]
    assert store.answers().height == 3


def test_an_imported_preference_is_shown_and_corrected_as_the_screen_asks_it(tmp_path: Path) -> None:
    store = working(Store(tmp_path / "answers.sqlite"), preference_pages(8), "preference")
    with store.snapshot() as db:
        (page,) = db.execute("SELECT page FROM assignments WHERE shown = 'personalised'").fetchone()
    item = store.page(page).items[0].item_id
    store.import_answers([{"item_id": item, "rater": "anna", "label": "1"}], "import:x")
    assert saving.held(store, "anna", page)[0]["label"] == "5"  # A is the personalised one
    save(store, page, 1, "5")
    assert store.answers().filter(item_id=item)["via"].to_list() == ["import:x"]
    save(store, page, 1, "1")
    corrected = only(store.answers().filter(item_id=item))
    assert (corrected["label"], corrected["via"], corrected["first_shown"]) == ("5", "app", "personalised")
