"""The judging app: what each link opens, what it refuses, and what a browser is told."""

from __future__ import annotations

import asyncio
import json
import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.requests import Request

from recenter_utils.annotation import forms, raters
from recenter_utils.annotation.admin import overview
from recenter_utils.annotation.assignment import Rules
from recenter_utils.annotation.conduct import Codes, Conduct
from recenter_utils.annotation.desk import Desk
from recenter_utils.annotation.links import Links, signing_key
from recenter_utils.annotation.pages import Conversation, Item, Page, Turn, check
from recenter_utils.annotation.refusals import Refusal
from recenter_utils.annotation.tasks import find_task
from recenter_utils.errors import RecenterError
from tests.judging import KEY, PAGES, Clock, Judging, judging, preference_pages, quality_pages, relevance_pages

CODES = Codes("DONE1", "NO2", "FAIL3")
JSON = {"accept": "application/json"}


@pytest.fixture
def app(tmp_path: Path) -> Iterator[Judging]:
    with judging(tmp_path / "answers.sqlite") as made:
        yield made


def stored(app: Judging) -> list[tuple[Any, ...]]:
    with app.store.snapshot() as db:
        return db.execute("SELECT rater, item, kind, value FROM answers ORDER BY answer").fetchall()


def page_of(app: Judging, rater: str, place: int) -> str:
    with app.store.snapshot() as db:
        sql = "SELECT page FROM assignments WHERE rater = ? AND place = ?"
        return str(db.execute(sql, (rater, place)).fetchone()[0])


# -- the way through --------------------------------------------------------------------------------------


def test_consent_and_instructions_come_before_the_first_page(app: Judging) -> None:
    base = app.base()
    for path in ("", "/pages/1", "/instructions"):
        found = app.get(base + path)
        assert found.status_code == 303
        assert found.headers["location"] in (base, f"{base}/consent")
    assert app.get(f"{base}/pages/1/answers", headers=JSON).status_code == 403
    assert app.client.post(f"{base}/instructions").status_code == 403
    refused = app.save(base, 1, 1, stamp="x")
    assert refused.status_code == 403
    assert refused.json()["error"]
    assert app.get(f"{base}/done").status_code == 403
    assert app.get(f"{base}/consent").status_code == 200
    app.client.post(f"{base}/consent", data={"consent": "yes"})
    assert app.get(base).headers["location"] == f"{base}/instructions"
    assert app.get(f"{base}/pages/1").headers["location"] == base
    assert app.save(base, 1, 1, stamp="x").status_code == 404  # nothing is handed out yet
    assert app.get(f"{base}/instructions").status_code == 200
    app.client.post(f"{base}/instructions")
    assert app.get(base).headers["location"] == f"{base}/pages/1"
    assert not stored(app)


@pytest.mark.parametrize("task", ["attribute_quality", "relevance", "preference"])
def test_each_screen_is_worked_through_to_its_end(tmp_path: Path, task: str) -> None:
    with judging(tmp_path / "answers.sqlite", task=task) as app:
        base = app.begin()
        value = {"attribute_quality": "uncertain", "relevance": "yes", "preference": "5"}[task]
        app.answer_all(base, value)
        assert app.get(base).headers["location"] == f"{base}/done"
        assert app.get(f"{base}/done").status_code == 200
        items = sum(len(page.items) for page in PAGES[task]())
        assert {row[3] for row in stored(app)} == {value}
        assert app.store.answers().height == len(stored(app)) == items


def test_an_answer_is_saved_counted_and_shown_again(app: Judging) -> None:
    base = app.begin()
    saved = app.save(base, 2, 3, "rejected").json()
    assert saved == {
        "saved": 1,
        "kind": "label",
        "value": "rejected",
        "page": {"done": 1, "total": 3},
        "all": {"done": 1, "total": 12},
    }
    assert app.save(base, 2, 3, "yes", "flag").json()["page"] == {"done": 1, "total": 3}
    app.save(base, 2, 3, "Ünïcode ☺\u2028</script>", "note")
    nothing = {"label": None, "flagged": False, "note": ""}
    assert app.held(base, 2) == [
        nothing,
        nothing,
        {"label": "rejected", "flagged": True, "note": "Ünïcode ☺\u2028</script>"},
    ]
    assert stored(app)[0] == ("anna", f"{page_of(app, 'anna', 2)}/3", "label", "rejected")


def test_without_script_a_form_leads_back_to_its_item(app: Judging) -> None:
    base = app.begin()
    form = {"kind": "label", "value": "accepted", "stamp": app.stamp(base)}
    found = app.client.post(f"{base}/pages/1/items/2", data=form)
    assert (found.status_code, found.headers["location"]) == (303, f"{base}/pages/1#item-2")
    refused = app.client.post(f"{base}/pages/1/items/2", data=form | {"value": "great"})
    assert refused.status_code == 400
    assert refused.headers["content-type"].startswith("text/html")
    assert "not one of the answers" in refused.text


def test_two_tabs_of_one_annotator_lose_nothing(app: Judging) -> None:
    base = app.begin()
    tabs = [app.stamp(base), app.stamp(base)]  # both are open before anything is answered
    for item in (1, 2, 3):
        for tab, value in zip(tabs, ("accepted", "rejected"), strict=True):
            assert app.save(base, 1, item, value, stamp=tab).status_code == 200
    assert [answer["label"] for answer in app.held(base)] == ["rejected"] * 3
    app.save(base, 1, 1, "uncertain", stamp=tabs[0])
    assert [answer["label"] for answer in app.held(base)] == ["uncertain", "rejected", "rejected"]
    assert len(stored(app)) == 7


def test_work_goes_on_after_a_restart_where_it_stopped(tmp_path: Path) -> None:
    with judging(tmp_path / "answers.sqlite") as app:
        base = app.begin()
        app.save(base, 1, 1)
        held, order = app.held(base), [page_of(app, "anna", place) for place in (1, 2, 3, 4)]
    with judging(tmp_path / "answers.sqlite") as app:
        assert app.base() == base
        assert app.get(base).headers["location"] == f"{base}/pages/1"
        assert app.held(base) == held
        assert [page_of(app, "anna", place) for place in (1, 2, 3, 4)] == order


# -- what is refused --------------------------------------------------------------------------------------


def test_an_edited_link_gets_nowhere(app: Judging) -> None:
    base = app.begin()
    token = app.links.of_rater("anna")
    edited = {token[:place] + ("A" if token[place] != "A" else "B") + token[place + 1 :] for place in range(len(token))}
    # The last character holds bits that base64 does not read.
    edited |= {token[:-1] + other for other in "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_="}
    edited |= {token + more for more in ("x", "é", "%00", ".", "=")} | {token.partition(".")[0], token.upper()}
    edited |= {"anna", app.links.of_admin()}
    for other in edited - {token}:
        assert app.get(f"/a/{other}/pages/1").status_code == 404, other
        assert app.client.post(f"/a/{other}/pages/1/items/1", headers=JSON).status_code == 404, other
    assert app.get(f"{base}/pages/1").status_code == 200


def test_a_link_of_another_study_task_or_key_gets_nowhere(app: Judging, tmp_path: Path) -> None:
    with judging(tmp_path / "other.sqlite") as other:
        assert app.get(other.base()).status_code == 404
        assert app.get(f"/admin/{other.links.of_admin()}").status_code == 404
    assert app.get(f"/a/{Links('another key ' * 4, app.store.meta('store') or '').of_rater('anna')}").status_code == 404
    assert app.get(f"/a/{app.links.of_rater('nobody')}").status_code == 404
    assert app.get(f"/admin/{app.links.of_rater('anna')}").status_code == 404


def test_nobody_reads_or_writes_anothers_answers(tmp_path: Path) -> None:
    with judging(tmp_path / "answers.sqlite", quality_pages(8), rules=Rules(per_item=1, cap=4)) as app:
        anna, ben = app.begin("anna"), app.begin("ben")
        for item in (1, 2, 3):
            app.save(anna, 1, item, "rejected")
            app.save(anna, 1, item, "anna's note", "note")
        assert all(answer == {"label": None, "flagged": False, "note": ""} for answer in app.held(ben))
        assert "anna&#39;s note" in app.get(f"{anna}/pages/1").text
        assert "anna&#39;s note" not in app.get(f"{ben}/pages/1").text
        # Whatever the form says about who, which page or which item: the link alone decides.
        form = {"kind": "label", "value": "accepted", "stamp": app.stamp(ben)}
        for more in ({"rater": "anna"}, {"item": "user-1/1"}, {"page": page_of(app, "anna", 1), "token": "x"}):
            assert app.client.post(f"{ben}/pages/1/items/1", data=form | more, headers=JSON).status_code == 200
        assert {row[0] for row in stored(app) if row[3] == "accepted"} == {"ben"}
        assert [answer["label"] for answer in app.held(anna)] == ["rejected"] * 3


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/pages/5", 404),
        ("/pages/0", 404),
        ("/pages/-1", 404),
        ("/pages/user-1", 404),
        ("/pages/99999999999999999999", 404),
        ("/pages/1/items/4", 404),
        ("/pages/1/items/0", 404),
        ("/pages/²/items/1", 404),
        ("/pages/5/items/1", 404),
        ("/pages/1/items/1/x", 404),
    ],
)
def test_what_was_not_handed_out_is_refused(app: Judging, path: str, status: int) -> None:
    base = app.begin()
    form = {"kind": "label", "value": "accepted", "stamp": app.stamp(base)}
    post = path if "items" in path else f"{path}/items/1"
    assert app.client.post(base + post, data=form, headers=JSON).status_code == status
    if "items" not in path:
        assert app.get(base + path).status_code == status
        assert app.get(f"{base}{path}/answers", headers=JSON).status_code == status
    assert not stored(app)


@pytest.mark.parametrize(
    ("form", "status"),
    [
        ({"kind": "label", "value": "great"}, 400),
        ({"kind": "label", "value": "Makes sense"}, 400),
        ({"kind": "label", "value": ""}, 400),
        ({"kind": "label", "value": "yes"}, 400),
        ({"kind": "flag", "value": "maybe"}, 400),
        ({"kind": "score", "value": "5"}, 400),
        ({"value": "accepted"}, 400),
        ({"kind": "label"}, 400),
        ({"kind": "note", "value": "x" * 4001}, 400),
        ({"kind": "note", "value": "☺" * 30_000}, 413),
        ({"kind": "label", "value": "accepted", "stamp": ""}, 409),
        ({"kind": "label", "value": "accepted", "stamp": "0" * 24}, 409),
    ],
)
def test_an_answer_outside_the_scale_is_refused_with_a_sentence(
    app: Judging, form: dict[str, str], status: int
) -> None:
    base = app.begin()
    found = app.client.post(f"{base}/pages/1/items/1", data={"stamp": app.stamp(base)} | form, headers=JSON)
    assert found.status_code == status
    assert set(found.json()) == {"error", "reload"}
    assert found.json()["error"].endswith(".")
    assert not stored(app)


@pytest.mark.parametrize(
    "body",
    [
        b"kind=label&value=accepted&value=rejected&stamp=STAMP",
        b"kind=note&value=%ff%fe&stamp=STAMP",
        b"kind=note&value=\xff&stamp=STAMP",
        b"&".join(b"a%d=1" % number for number in range(50)),
        b'{"kind": "label", "value": "accepted", "stamp": "STAMP"}',
        b"",
    ],
)
def test_what_is_no_form_is_refused(app: Judging, body: bytes) -> None:
    base = app.begin()
    sent = body.replace(b"STAMP", app.stamp(base).encode())
    headers = JSON | {"content-type": "application/x-www-form-urlencoded"}
    assert app.client.post(f"{base}/pages/1/items/1", content=sent, headers=headers).status_code == 400
    assert not stored(app)


def test_the_longest_note_fits_whatever_its_characters(app: Judging) -> None:
    base = app.begin()
    note = "\U0001f600" * 4000
    assert app.save(base, 1, 1, note, "note").status_code == 200
    assert app.held(base)[0]["note"] == note


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH"])
def test_other_methods_are_refused(app: Judging, method: str) -> None:
    base = app.begin()
    assert app.client.request(method, f"{base}/pages/1/items/1", headers=JSON).status_code == 405
    assert app.get(f"{base}/pages/1/items/1").status_code == 405


def test_what_the_disk_refuses_is_not_acknowledged(app: Judging, monkeypatch: pytest.MonkeyPatch) -> None:
    base = app.begin()
    stamp = app.stamp(base)

    def full(self: Desk, batch: list[Any]) -> Any:
        return [(None, sqlite3.OperationalError("database or disk is full"))] * len(batch)

    with monkeypatch.context() as patched:
        patched.setattr(Desk, "_commit", full)
        refused = app.save(base, 1, 1, stamp=stamp)
    assert refused.status_code == 503
    assert "could not be saved" in refused.json()["error"]
    assert app.save(base, 1, 1, stamp=stamp).status_code == 200


# -- what a browser is told -------------------------------------------------------------------------------


def test_every_reply_tells_browsers_to_be_careful(app: Judging) -> None:
    base = app.begin()
    admin = f"/admin/{app.links.of_admin()}"
    for path in ("/", base, f"{base}/pages/1", f"{base}/pages/1/answers", f"{base}/pages/9", "/a/x", admin, "/health"):
        headers = app.get(path).headers
        assert headers["content-security-policy"] == (
            "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; font-src 'self'; "
            "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
        )
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["cache-control"] == "no-store"
        assert "set-cookie" not in headers
    assert app.get("/static/annotate.css").headers["cache-control"] == "no-cache"
    for outside in ("/static/../app.py", "/static/%2e%2e/app.py", "/static/..%2fapp.py"):
        assert app.get(outside).status_code == 404


def test_the_app_answers_only_to_its_own_names(tmp_path: Path) -> None:
    with judging(tmp_path / "answers.sqlite", hosts={"127.0.0.1", "localhost", "::1"}) as app:
        for name in ("127.0.0.1:8765", "localhost", "LOCALHOST:1", "[::1]:8765"):
            assert app.get("/health", headers={"host": name}).status_code == 200, name
        for name in (
            "evil.example",
            "127.0.0.1.evil.example",
            "localhost.evil.example:8765",
            "",
            "[::2]",
            "[",
            "a:b:c",
        ):
            found = app.get("/health", headers={"host": name})
            assert found.status_code == 421, name
            assert "content-security-policy" in found.headers


HOSTILE = (
    "<script>alert(1)</script><img src=x onerror=alert(2)>\"'><a href='javascript:alert(3)'>x</a>{{ 7*7 }}\u2028"
    "</textarea></script>"
)
ALIVE = re.compile(
    r"<script(?![^>]* src=\"/static/)|<[a-z][^<>]*\s(on\w+\s*=|href=[\"']?\s*javascript)|<img|<style", re.I
)


@pytest.mark.parametrize("task", ["attribute_quality", "relevance", "preference"])
def test_hostile_text_is_shown_as_text(tmp_path: Path, task: str) -> None:
    turns = (Turn(role=HOSTILE, content=HOSTILE), Turn(role="user", content="x"))
    page = Page(
        page_id="p",
        conversations=(Conversation(conversation_id="c", turns=turns),),
        prompt=HOSTILE,
        generic=HOSTILE,
        personalised=HOSTILE,
        items=(Item(item_id="i", attribute=HOSTILE, reason=HOSTILE),),
    )
    with judging(tmp_path / "answers.sqlite", [page], task=task) as app:
        base = app.begin()
        app.save(base, 1, 1, HOSTILE, "note")
        shown = app.get(f"{base}/pages/1").text
    assert "alert(1)" in shown
    assert not ALIVE.search(shown)
    assert "{{ 7*7 }}" in shown
    assert "49" not in re.sub(r"[0-9a-f]{24}", "", shown).replace(base, "")


def test_no_id_and_no_condition_reaches_the_browser(tmp_path: Path) -> None:
    for task, make in {"relevance": relevance_pages, "preference": preference_pages}.items():
        with judging(tmp_path / f"{task}.sqlite", make(), task=task) as app:
            base = app.begin()
            shown = app.get(f"{base}/pages/1").text.lower()
            for word in ("comparison-", "request-", "generic", "personalis", "personaliz", "expected"):
                assert word not in shown, word
    with judging(tmp_path / "quality.sqlite", quality_pages(checks=1)) as app:
        base = app.begin()
        shown = app.get(f"{base}/pages/1").text
        for word in ("user-1", "user-2", "chat-1", "chat-2", "expected"):
            assert word not in shown, word


def test_responses_stand_in_the_order_that_was_drawn(tmp_path: Path) -> None:
    with judging(tmp_path / "answers.sqlite", task="preference") as app:
        base = app.begin()
        with app.store.snapshot() as db:
            drawn = db.execute("SELECT place, page, shown FROM assignments ORDER BY place").fetchall()
        for place, page, first in drawn:
            number = page.partition("-")[2]
            shown = app.get(f"{base}/pages/{place}").text
            generic_first = shown.index(f"Walk {number}.") < shown.index(f"Swim {number}.")
            assert generic_first == (first == "generic")
            app.save(base, place, 1, "1")  # strongly the one on the left
        answers = app.store.answers()
        assert set(answers.select("first_shown", "label").rows()) == {("generic", "1"), ("personalised", "5")}


# -- consent, completeness, codes -------------------------------------------------------------------------


def test_who_declines_is_asked_nothing_and_may_think_again(app: Judging) -> None:
    base = app.base()
    app.client.post(f"{base}/consent", data={"consent": "no"})
    assert app.get(base).status_code == 200
    assert app.client.post(f"{base}/instructions").status_code == 403
    assert app.save(base, 1, 1, stamp="x").status_code == 403
    assert app.client.post(f"{base}/consent", data={"consent": "perhaps"}).status_code == 400
    app.begin()
    assert app.save(base, 1, 1).status_code == 200


def arrive(app: Judging, pid: str = "pid1", study: str = "study1", session: str = "session1") -> Any:
    return app.get(f"/prolific?PROLIFIC_PID={pid}&STUDY_ID={study}&SESSION_ID={session}")


def begin(app: Judging, **who: str) -> str:
    base = str(arrive(app, **who).headers["location"])
    app.client.post(f"{base}/consent", data={"consent": "yes"})
    app.client.post(f"{base}/instructions")
    return base


@pytest.fixture
def prolific(tmp_path: Path) -> Iterator[Judging]:
    with judging(
        tmp_path / "answers.sqlite",
        quality_pages(4, checks=1),
        rules=Rules(per_item=3, cap=2),
        invited=(),
        prolific=True,
        codes=CODES,
        min_passed=0.6,
    ) as app:
        yield app


def test_a_participant_comes_back_to_the_same_work_and_only_with_the_same_session(prolific: Judging) -> None:
    base = begin(prolific)
    prolific.save(base, 1, 1, "rejected")
    assert arrive(prolific).headers["location"] == base
    assert prolific.get(base).headers["location"] == f"{base}/pages/1"
    for other in ({"session": "session2"}, {"study": "study2"}, {"pid": "pid2"}):
        refused = arrive(prolific, **other)
        assert refused.status_code == 403
        assert "return" in refused.text
    assert arrive(prolific, "pid2", session="session2").headers["location"] != base
    with prolific.store.snapshot() as db:
        known = db.execute("SELECT rater, prolific_pid, prolific_study, prolific_session FROM raters").fetchall()
    assert known == [
        ("participant-1", "pid1", "study1", "session1"),
        ("participant-2", "pid2", "study1", "session2"),
    ]


@pytest.mark.parametrize("pid", ["", "a b", "x" * 65, "<script>", "é"])
def test_what_is_no_participant_is_refused(prolific: Judging, pid: str) -> None:
    assert arrive(prolific, pid).status_code == 400
    assert prolific.get("/prolific").status_code == 400


def test_without_the_option_nobody_comes_in_from_prolific(app: Judging) -> None:
    assert arrive(app).status_code == 404


def test_the_code_shows_when_the_server_finds_all_answered_and_not_before(prolific: Judging) -> None:
    base = begin(prolific)
    assert prolific.get(base).headers["location"] == f"{base}/pages/1"
    for item in (1, 2, 3):
        prolific.save(base, 1, item, "rejected")
    for item in (1, 3):
        prolific.save(base, 2, item, "rejected")
    prolific.save(base, 2, 2, "yes", "flag")  # marked, but not answered
    unfinished = prolific.get(f"{base}/done?complete=yes")
    assert "DONE1" not in unfinished.text
    assert f"{base}/pages/2" in unfinished.text
    prolific.save(base, 2, 2, "accepted")
    done = prolific.get(f"{base}/done").text
    assert "https://app.prolific.com/submissions/complete?cc=DONE1" in done
    assert not re.search("NO2|FAIL3", done)


def test_who_fails_the_check_items_gets_the_code_for_that_and_cannot_try_until_it_fits(prolific: Judging) -> None:
    base = begin(prolific)
    prolific.answer_all(base, "accepted")
    assert "cc=FAIL3" in prolific.get(f"{base}/done").text
    prolific.answer_all(base, "rejected")
    assert "cc=FAIL3" in prolific.get(f"{base}/done").text
    assert "DONE1" not in prolific.get(f"{base}/done").text
    found = {row["rater"]: row for row in overview(prolific.store.path, conduct())["raters"]}["participant-1"]
    assert (found["state"], found["checks"], found["checks_passed"]) == ("failed checks", 2, 2)


def conduct(**more: Any) -> Conduct:
    return Conduct("A study", find_task("attribute_quality"), **more)


def test_who_declines_on_prolific_gets_that_code_and_no_way_back(prolific: Judging) -> None:
    base = str(arrive(prolific).headers["location"])
    prolific.client.post(f"{base}/consent", data={"consent": "no"})
    assert "cc=NO2" in prolific.get(base).text
    prolific.client.post(f"{base}/consent", data={"consent": "yes"})
    assert "cc=NO2" in prolific.get(base).text
    assert prolific.client.post(f"{base}/instructions").status_code == 403


def test_who_was_shown_the_code_is_asked_no_more_and_cannot_take_another(tmp_path: Path) -> None:
    path, rules = tmp_path / "answers.sqlite", Rules(per_item=2)
    with judging(path, rules=rules, prolific=True, codes=CODES) as app:
        base = begin(app)
        app.answer_all(base)
        assert "DONE1" in app.get(f"{base}/done").text
    with judging(path, quality_pages(6), rules=rules, prolific=True, codes=CODES) as app:
        assert app.get(base).headers["location"] == f"{base}/done"
        app.client.post(f"{base}/consent", data={"consent": "no"})
        assert "DONE1" in app.get(f"{base}/done").text
        assert "NO2" not in app.get(base).text


def test_when_all_places_are_taken_a_participant_is_told_kindly(prolific: Judging) -> None:
    for number in range(6):
        assert arrive(prolific, f"p{number}", session=f"s{number}").status_code == 303
    late = [begin(prolific, pid=f"p{number}", session=f"s{number}") for number in range(6)]
    assert all(prolific.get(f"{base}/pages/1").status_code == 200 for base in late)
    refused = arrive(prolific, "p7", session="s7")
    assert refused.status_code == 409
    assert "return this submission" in " ".join(refused.text.split())
    with prolific.store.snapshot() as db:
        assert db.execute("SELECT count(*) FROM raters").fetchone() == (6,)


def test_who_finds_no_page_left_is_told_and_gets_one_when_one_is_free(tmp_path: Path) -> None:
    clock = Clock()
    rules = Rules(per_item=1, reclaim_hours=24)
    with judging(tmp_path / "answers.sqlite", rules=rules, clock=clock) as app:
        app.begin("anna")
        ben = app.begin("ben")
        assert app.get(ben).headers["location"] == f"{ben}/instructions"
        refused = app.client.post(f"{ben}/instructions")
        assert (refused.status_code, "no page left" in refused.text) == (409, True)
        clock.time += 25 * 3600
        assert app.client.post(f"{ben}/instructions").status_code == 303
        # And anna, who comes back to a page that went to ben, is led to what there is.
        anna = app.base("anna")
        gone = app.get(f"{anna}/pages/1")
        assert gone.status_code == 409
        assert "somebody else was asked" in gone.text
        assert f'href="{anna}"' in gone.text
        assert app.save(anna, 1, 1, stamp="x").json()["reload"] is True


def test_a_page_that_was_taken_back_is_made_up_for(tmp_path: Path) -> None:
    clock = Clock()
    rules = Rules(per_item=1, cap=2, reclaim_hours=24)
    with judging(tmp_path / "answers.sqlite", quality_pages(2), rules=rules, clock=clock) as app:
        anna = app.begin("anna")
        clock.time += 25 * 3600
        app.begin("ben")
    with judging(tmp_path / "answers.sqlite", quality_pages(4), rules=rules, clock=clock) as app:
        assert app.get(anna).headers["location"] == f"{anna}/pages/3"
        assert "1 of 2" in app.get(f"{anna}/pages/3").text


def test_the_code_waits_for_the_pages_that_make_up_for_those_taken_back(tmp_path: Path) -> None:
    clock, rules = Clock(), Rules(per_item=1, cap=2, reclaim_hours=24)
    path, more = tmp_path / "answers.sqlite", {"clock": clock, "prolific": True, "codes": CODES, "invited": ()}
    with judging(path, quality_pages(2), rules=rules, **more) as app:
        first = begin(app)
        for item in (1, 2, 3):
            app.save(first, 1, item)
        clock.time += 25 * 3600
        begin(app, pid="pid2", session="session2")  # gets the page that waits
    with judging(path, quality_pages(4), rules=rules, **more) as app:
        done = app.get(f"{first}/done")  # and not by way of `home`
        assert "DONE1" not in done.text
        assert f"{first}/pages/3" in done.text
        for item in (1, 2, 3):
            app.save(first, 3, item)
        assert "DONE1" in app.get(f"{first}/done").text


def test_who_lost_a_page_that_nobody_can_make_up_for_is_complete(tmp_path: Path) -> None:
    clock, rules = Clock(), Rules(per_item=1, cap=2, reclaim_hours=24)
    with judging(
        tmp_path / "a.sqlite", quality_pages(2), rules=rules, clock=clock, prolific=True, codes=CODES, invited=()
    ) as app:
        base = begin(app)
        for item in (1, 2, 3):
            app.save(base, 1, item)
        clock.time += 25 * 3600
        begin(app, pid="pid2", session="session2")
        assert "DONE1" in app.get(f"{base}/done").text


def test_who_has_finished_finds_the_way_back_to_the_pages(prolific: Judging) -> None:
    base = begin(prolific)
    prolific.answer_all(base, "rejected")
    done = prolific.get(f"{base}/done").text
    assert f'href="{base}"' not in done  # which leads here again
    for place in (1, 2):
        assert f'href="{base}/pages/{place}"' in done
    assert prolific.client.post(f"{base}/instructions").headers["location"] == f"{base}/pages/1"
    assert prolific.get(f"{base}/pages/1").status_code == 200


def test_without_a_declined_code_a_participant_is_asked_to_return_the_submission(tmp_path: Path) -> None:
    with judging(tmp_path / "a.sqlite", prolific=True, codes=Codes("DONE1"), invited=()) as app:
        base = str(arrive(app).headers["location"])
        app.client.post(f"{base}/consent", data={"consent": "no"})
        assert "return your submission on Prolific" in app.get(base).text
    with judging(tmp_path / "b.sqlite") as app:
        app.client.post(f"{app.base()}/consent", data={"consent": "no"})
        assert "Prolific" not in app.get(app.base()).text


def test_the_instructions_promise_no_more_pages_than_there_are(tmp_path: Path) -> None:
    with judging(tmp_path / "a.sqlite", quality_pages(4), rules=Rules(cap=9)) as app:
        app.client.post(f"{app.base()}/consent", data={"consent": "yes"})
        assert "You have 4 pages." in app.get(f"{app.base()}/instructions").text


def test_a_link_preview_starts_no_clock(app: Judging) -> None:
    base = app.begin()
    for ask, opened in ((app.client.head, False), (app.client.get, True)):
        assert ask(f"{base}/pages/1").status_code == 200
        with app.store.snapshot() as db:
            (at,) = db.execute("SELECT opened_at FROM assignments WHERE place = 1").fetchone()
        assert (at is not None) == opened


def test_nobody_is_invited_under_a_participants_name(prolific: Judging) -> None:
    begin(prolific)
    with pytest.raises(RecenterError, match="came from Prolific"):
        raters.invite(prolific.store, ["anna", "participant-1"])
    with prolific.store.snapshot() as db:
        assert db.execute("SELECT rater FROM raters").fetchall() == [("participant-1",)]


def asked(*messages: dict[str, Any]) -> Request:
    waiting = iter(messages)

    async def receive() -> Any:
        return next(waiting, None) or await asyncio.sleep(60)

    return Request({"type": "http", "method": "POST", "headers": [], "path": "/"}, receive)


def test_a_form_that_does_not_arrive_whole_is_refused_and_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    begun = {"type": "http.request", "body": b"kind=label", "more_body": True}
    monkeypatch.setattr(forms, "PATIENCE", 0.05)
    for request in (asked(begun), asked(begun, {"type": "http.disconnect"})):
        with pytest.raises(Refusal) as refused:
            asyncio.run(forms.form(request))
        assert refused.value.status == 400


@pytest.mark.parametrize(
    ("expected", "fault"), [((), "expects no label at all"), (("perhaps",), "expects 'perhaps'"), (None, None)]
)
def test_a_check_item_expects_a_label_of_the_scale(expected: tuple[str, ...] | None, fault: str | None) -> None:
    page = relevance_pages(1)[0]
    page = page.model_copy(update={"items": (Item(item_id="i", attribute="x", expected=expected),)})
    if fault is None:
        assert check([page], "relevance", "here") == [page]
    else:
        with pytest.raises(RecenterError, match=fault):
            check([page], "relevance", "here")


# -- the whole study --------------------------------------------------------------------------------------


def test_the_admin_view_shows_how_the_work_stands(tmp_path: Path) -> None:
    names = ("anna", "ben", "eva", "zoe")
    with judging(tmp_path / "answers.sqlite", quality_pages(30, checks=1), invited=names) as app:
        for rater, value in {"anna": "accepted", "ben": "accepted", "eva": "rejected"}.items():
            app.answer_all(app.begin(rater), value)
        assert app.get("/admin/x").status_code == 404
        shown = app.get(f"/admin/{app.links.of_admin()}")
        assert shown.status_code == 200
        assert all(name in shown.text for name in names)
        found = overview(app.store.path, conduct())
    people = {row["rater"]: row for row in found["raters"]}
    assert people["anna"] | {"seconds": 0.0, "last_seen": "", "kappa": 0, "stands_apart": None} == {
        "rater": "anna",
        "state": "finished",
        "pages": 30,
        "pages_done": 30,
        "items": 90,
        "items_done": 90,
        "given_back": 0,
        "last_seen": "",
        "seconds": 0.0,
        "shares": (0.0, 0.0, 1.0),
        "flagged": 0,
        "notes": 0,
        "checks": 30,
        "checks_passed": 0,
        "kappa": 0,
        "stands_apart": None,
    }
    assert people["zoe"]["state"] == "not here yet"
    assert people["eva"]["checks_passed"] == 30
    assert "rejected to 100%" in people["eva"]["stands_apart"]
    assert found["slots"] == {"all": 90, "taken": 90, "finished": 90, "reclaimable": 0, "open": 0}
    assert found["plan"] | {"items": 90} == found["plan"]
    agreement = {row["statistic"]: row["value"] for row in found["agreement"]["overall"]}
    assert agreement["percent_agreement"] == pytest.approx(1 / 3)
    assert json.dumps(found)  # plain values all through


def test_the_admin_view_opens_before_anybody_came(app: Judging) -> None:
    assert app.get(f"/admin/{app.links.of_admin()}").status_code == 200


def test_a_name_that_is_hostile_is_shown_as_text(app: Judging) -> None:
    raters.invite(app.store, ["<script>alert(1)</script>"])
    assert "<script>alert" not in app.get(f"/admin/{app.links.of_admin()}").text


# -- keys -------------------------------------------------------------------------------------------------


def test_a_key_is_asked_for_where_links_must_last(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RECENTER_ANNOTATION_KEY", raising=False)
    drawn, other = signing_key(None), signing_key(None)
    assert drawn[1]
    assert len(drawn[0]) >= 32
    assert drawn != other
    with pytest.raises(RecenterError, match="--prolific needs a lasting key"):
        signing_key("--prolific")
    monkeypatch.setenv("RECENTER_ANNOTATION_KEY", "short")
    with pytest.raises(RecenterError, match="has 5 characters; it needs at least 32"):
        signing_key(None)
    monkeypatch.setenv("RECENTER_ANNOTATION_KEY", KEY)
    assert signing_key("--prolific") == (KEY, False)


def test_the_key_reaches_no_file(app: Judging, tmp_path: Path) -> None:
    app.begin()
    for file in tmp_path.iterdir():
        assert KEY.encode() not in file.read_bytes()
        assert app.links.of_rater("anna").encode() not in file.read_bytes()
