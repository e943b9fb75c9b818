"""Who judges what: exactly as many annotators a page as asked for, however they arrive."""

from __future__ import annotations

import random
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recenter_utils.annotation import raters, saving
from recenter_utils.annotation.assignment import Rules, hand_out, has_room, slots
from recenter_utils.annotation.refusals import Refusal
from recenter_utils.annotation.store import Store
from recenter_utils.errors import RecenterError
from tests.judging import Clock, preference_pages, quality_pages
from tests.workspaces import ROOT


def people(store: Store, *names: str) -> None:
    raters.invite(store, names)
    for name in names:
        raters.consent(store, name, True)


def prepared(path: Path, pages: int = 6, names: Sequence[str] = (), clock: Clock | None = None) -> Store:
    store = Store(path / "answers.sqlite", clock or Clock())
    store.prepare("attribute_quality", quality_pages(pages))
    people(store, *names)
    return store


def holders(store: Store) -> dict[str, list[str]]:
    """Who has each page now."""
    with store.snapshot() as db:
        rows = db.execute(
            "SELECT page, rater FROM assignments WHERE released_at IS NULL ORDER BY page, rater"
        ).fetchall()
    return {page: [rater for other, rater in rows if other == page] for page, _ in rows}


def counts(store: Store) -> Counter[str]:
    return Counter({page: len(who) for page, who in holders(store).items()})


def answer_page(store: Store, rater: str, page_id: str, items: int | None = None) -> None:
    page = next(page for page in saving.progress(store, rater) if page.page_id == page_id)
    for item in range(1, (items or page.total) + 1):
        saving.save(store, rater, page.place, item, saving.stamp(store, page_id), "label", "accepted")


def test_a_burst_of_threads_gives_each_page_exactly_its_annotators(tmp_path: Path) -> None:
    names = [f"rater-{number}" for number in range(40)]
    prepared(tmp_path, pages=30, names=names).close()

    def arrive(name: str) -> None:
        with Store(tmp_path / "answers.sqlite") as own:
            hand_out(own, name, Rules(per_item=3, cap=5))

    with ThreadPoolExecutor(20) as pool:
        list(pool.map(arrive, names))
    with Store(tmp_path / "answers.sqlite") as store:
        assert set(counts(store).values()) == {3}
        assert len(counts(store)) == 30


_ARRIVE = """
import sys
from pathlib import Path
from recenter_utils.annotation.assignment import Rules, hand_out
from recenter_utils.annotation.store import Store
with Store(Path(sys.argv[1])) as store:
    print("ready", flush=True)
    sys.stdin.readline()
    for name in sys.argv[2:]:
        hand_out(store, name, Rules(per_item=2, cap=4))
"""


def test_a_burst_of_processes_gives_each_page_exactly_its_annotators(tmp_path: Path) -> None:
    names = [f"rater-{number}" for number in range(24)]
    store = prepared(tmp_path, pages=20, names=names)
    started = [
        subprocess.Popen(
            [sys.executable, "-c", _ARRIVE, str(store.path), *names[number::4]],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        for number in range(4)
    ]
    for process in started:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
    for process in started:  # all at once
        assert process.stdin
        process.stdin.write("\n")
        process.stdin.flush()
    for process in started:
        process.communicate(timeout=60)
        assert process.returncode == 0
    assert set(counts(store).values()) == {2}
    assert len(counts(store)) == 20


@settings(max_examples=40, deadline=None)
@given(
    pages=st.integers(1, 12),
    k=st.integers(1, 4),
    overlap=st.integers(0, 3),
    cap=st.none() | st.integers(3, 8),
    annotators=st.integers(1, 9),
)
def test_no_page_has_too_many_annotators_and_no_annotator_a_page_twice(
    tmp_path_factory: pytest.TempPathFactory, pages: int, k: int, overlap: int, cap: int | None, annotators: int
) -> None:
    names = [f"rater-{number}" for number in range(annotators)]
    rules = Rules(per_item=k, overlap=min(overlap, pages), cap=cap)
    with prepared(tmp_path_factory.mktemp("store"), pages, names) as store:
        for name in names:
            hand_out(store, name, rules)
            assert hand_out(store, name, rules) == 0  # asking again brings nothing
        found = counts(store)
        shared = [f"user-{number}" for number in range(1, rules.overlap + 1)]
        rest = [found[f"user-{number}"] for number in range(rules.overlap + 1, pages + 1)]
        assert all(found[page] == annotators for page in shared)
        assert all(count <= k for count in rest)
        # Nothing is held back: either every place is taken, or everybody has as much as they may.
        limit = min(cap or pages, pages)
        mine = Counter(name for who in holders(store).values() for name in who)
        assert all(count == k for count in rest) or all(
            mine[name] == limit or all(name in holders(store)[page] for page, n in found.items() if n < k)
            for name in names
        )
        assert all(count <= limit for count in mine.values())
        # And none has much while another has little.
        assert not rest or max(rest) - min(rest) <= 1


def test_a_fair_cap_fills_every_place_whoever_comes_first(tmp_path: Path) -> None:
    names = [f"rater-{number}" for number in range(5)]
    with prepared(tmp_path, pages=10, names=names) as store:
        for name in random.Random(1).sample(names, 5):
            assert hand_out(store, name, Rules(per_item=3, cap=6)) == 6
        assert set(counts(store).values()) == {3}


def test_the_overlap_comes_first_and_everybody_has_an_order_of_their_own(tmp_path: Path) -> None:
    names = [f"rater-{number}" for number in range(6)]
    with prepared(tmp_path, pages=20, names=names) as store:
        orders = set()
        for name in names:
            hand_out(store, name, Rules(per_item=6, overlap=8))
            order = [page.page_id for page in saving.progress(store, name)]
            assert set(order[:8]) == {f"user-{number}" for number in range(1, 9)}
            orders.add(tuple(order))
        assert len(orders) == len(names)


def test_which_response_is_shown_first_is_drawn_for_each_annotator_and_page_and_stays(tmp_path: Path) -> None:
    with Store(tmp_path / "answers.sqlite") as store:
        store.prepare("preference", preference_pages(30))
        people(store, "anna", "ben")
        for name in ("anna", "ben"):
            hand_out(store, name, Rules(per_item=2))
        with store.snapshot() as db:
            shown = db.execute("SELECT rater, page, shown FROM assignments ORDER BY page").fetchall()
        anna, ben = ([order for rater, _, order in shown if rater == name] for name in ("anna", "ben"))
        assert anna != ben
        assert {*anna} == {*ben} == {"generic", "personalised"}
        hand_out(store, "anna", Rules(per_item=2))
        with store.snapshot() as db:
            assert db.execute("SELECT rater, page, shown FROM assignments ORDER BY page").fetchall() == shown


# -- reclaim ----------------------------------------------------------------------------------------------

WITH_RECLAIM = Rules(per_item=1, reclaim_hours=24)


def test_pages_left_behind_go_to_who_needs_one_and_finished_ones_do_not(tmp_path: Path) -> None:
    clock = Clock()
    with prepared(tmp_path, 3, ("anna", "ben"), clock) as store:
        assert hand_out(store, "anna", WITH_RECLAIM) == 3
        answer_page(store, "anna", "user-1")
        answer_page(store, "anna", "user-2", items=2)
        clock.time += 24 * 3600 - 1
        assert hand_out(store, "ben", WITH_RECLAIM) == 0
        assert not has_room(store, WITH_RECLAIM)
        clock.time += 1
        assert has_room(store, WITH_RECLAIM)
        assert slots(store, WITH_RECLAIM).reclaimable == 2
        assert hand_out(store, "ben", WITH_RECLAIM) == 2
        assert holders(store) == {"user-1": ["anna"], "user-2": ["ben"], "user-3": ["ben"]}
        released = dict(store.answers().select("item_id", "released").rows())
        assert released == {
            "user-1/1": False,
            "user-1/2": False,
            "user-1/3": False,
            "user-2/1": True,
            "user-2/2": True,
        }


def test_nothing_is_taken_back_unless_somebody_needs_it(tmp_path: Path) -> None:
    clock = Clock()
    with prepared(tmp_path, 3, ("anna", "ben"), clock) as store:
        hand_out(store, "anna", Rules(per_item=2, reclaim_hours=24))
        clock.time += 1000 * 3600
        assert hand_out(store, "ben", Rules(per_item=2, reclaim_hours=24)) == 3  # there are places enough
        assert all(who == ["anna", "ben"] for who in holders(store).values())


def test_who_is_at_work_keeps_the_pages_that_wait_for_their_turn(tmp_path: Path) -> None:
    clock = Clock()
    with prepared(tmp_path, 3, ("anna", "ben"), clock) as store:
        hand_out(store, "anna", WITH_RECLAIM)
        for item in (1, 2, 3):
            clock.time += 20 * 3600
            answer_page(store, "anna", "user-1", items=item)
        clock.time += 20 * 3600
        saving.open_page(store, "anna", 2)  # looking counts as well
        clock.time += 20 * 3600
        assert hand_out(store, "ben", WITH_RECLAIM) == 0


def test_who_comes_back_is_refused_on_the_page_that_went_and_gets_another(tmp_path: Path) -> None:
    clock = Clock()
    with prepared(tmp_path, 2, ("anna", "ben", "eva"), clock) as store:
        one = Rules(per_item=1, cap=1, reclaim_hours=24)
        hand_out(store, "anna", one)
        (lost,) = saving.progress(store, "anna")
        clock.time += 25 * 3600
        assert hand_out(store, "ben", one) == 1
        assert hand_out(store, "eva", one) == 1
        with pytest.raises(Refusal, match="somebody else was asked") as refused:
            saving.save(store, "anna", lost.place, 1, saving.stamp(store, lost.page_id), "label", "accepted")
        assert refused.value.status == 409
        clock.time += 1
        assert hand_out(store, "anna", one) == 0
        store.prepare("attribute_quality", quality_pages(3))
        assert hand_out(store, "anna", one) == 1
        (page,) = saving.progress(store, "anna")
        assert page.page_id != lost.page_id
        assert page.place != lost.place  # an address is never used for two pages


def test_a_page_can_come_back_to_who_lost_it_when_nobody_else_finishes_it(tmp_path: Path) -> None:
    clock = Clock()
    with prepared(tmp_path, 1, ("anna", "ben"), clock) as store:
        hand_out(store, "anna", WITH_RECLAIM)
        answer_page(store, "anna", "user-1", items=1)
        clock.time += 25 * 3600
        hand_out(store, "ben", WITH_RECLAIM)
        clock.time += 25 * 3600
        assert hand_out(store, "anna", WITH_RECLAIM) == 1
        answer_page(store, "anna", "user-1")
        assert holders(store) == {"user-1": ["anna"]}
        assert store.answers()["released"].to_list() == [False] * 3


def test_who_withdraws_gives_back_what_is_not_finished(tmp_path: Path) -> None:
    with prepared(tmp_path, 3, ("anna", "ben")) as store:
        hand_out(store, "anna", Rules(per_item=1))
        answer_page(store, "anna", "user-1")
        answer_page(store, "anna", "user-2", items=1)
        raters.consent(store, "anna", False)
        with pytest.raises(Refusal) as refused:
            answer_page(store, "anna", "user-1")
        assert refused.value.status == 403
        assert hand_out(store, "ben", Rules(per_item=1)) == 2
        assert store.answers().height == 4


def test_slots_count_places_taken_and_finished(tmp_path: Path) -> None:
    with prepared(tmp_path, 4, ("anna", "ben")) as store:
        rules = Rules(per_item=3, overlap=1, cap=3)
        hand_out(store, "anna", rules)
        for page in saving.progress(store, "anna")[:2]:
            answer_page(store, "anna", page.page_id)
        found = slots(store, rules)
        assert (found.all, found.taken, found.finished, found.open) == (9, 2, 1, 7)


@pytest.mark.parametrize(
    "given",
    [
        "0",
        "501",
        "",
        "anna,anna",
        "an na",
        "anna,,<b>",
        "anna,simulated-1",
        "participant-1",
        "anna,Participant-20",
    ],
)
def test_names_that_cannot_be_told_apart_are_refused(given: str) -> None:
    with pytest.raises(RecenterError, match="annotator"):
        raters.names(given)


def test_names_are_a_number_or_a_list() -> None:
    assert raters.names("2") == ["annotator-1", "annotator-2"]
    assert raters.names("anna, ben,") == ["anna", "ben"]
    assert raters.names("²") == ["²"]  # a digit, and no number
