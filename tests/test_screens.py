"""The screens, driven in a browser from consent to the last answer: what the store holds is what was clicked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from recenter_utils.scales import SCALES
from tests.browser import LAPTOP, PHONE, SAVED, Seat, Server, browser, questions, serve, sit_down, write

__all__ = ["browser", "serve"]  # fixtures

LABELS = {task: scale.labels for task, scale in SCALES.items()}
EVERYBODY = ("anna", "ben", "kim", "tom", "nora")


@pytest.fixture(scope="module", params=list(SCALES))
def server(request: pytest.FixtureRequest, serve: Callable[..., Server]) -> Server:
    return serve(request.param, questions(request.param), EVERYBODY)


@pytest.fixture(scope="module")
def mortal(serve: Callable[..., Server]) -> Server:
    return serve("attribute_quality", questions("attribute_quality", (4, 4)), EVERYBODY)


@pytest.fixture
def quality(mortal: Server) -> Server:
    """A server that a test may kill."""
    return mortal if mortal.runs else mortal.start()


def item_of(attribute: str) -> str:
    place, number = attribute.removeprefix("Likes thing ").removesuffix(".").split(".")
    return f"secret-{place}-{number}"


def as_stored(seat: Seat, task: str, label: str) -> str:
    """What a click means in the store: a preference there goes from generic to personalised."""
    if task == "preference" and "Fitting" in seat.page.inner_text("#response-a"):
        return str(6 - int(label))
    return label


def answer_page(seat: Seat, task: str, turn: int) -> dict[str, str]:
    """Click an answer to each open question; return what the store must hold."""
    expected = {}
    open_now = seat.page.locator("article.item:not(.answered)").evaluate_all("rows => rows.map(row => row.id)")
    for number, name in enumerate(open_now):
        row = seat.page.locator(f"#{name}")
        expected |= answer(seat, task, row, LABELS[task][(number + turn) % len(LABELS[task])])
        turn += 1
    return expected


def answer(seat: Seat, task: str, row: Any, label: str) -> dict[str, str]:
    attribute = row.locator(".attribute bdi").inner_text()
    row.locator(f".scale button[value='{label}']").click()
    return {item_of(attribute): as_stored(seat, task, label)}


def test_two_annotators_answer_pause_and_finish_and_the_store_holds_their_clicks(server: Server, browser: Any) -> None:
    expected: dict[tuple[str, str], str] = {}
    for turn, name in enumerate(("anna", "ben")):
        seat = sit_down(browser)
        page = seat.begin(server.links[name])
        first = page.locator("article.item").first
        said = answer(seat, server.task, first, LABELS[server.task][turn])
        seat.saved()
        here = page.url
        page.close()  # in the middle of a page

        seat.page = page = seat.context.new_page()
        page.goto(server.links[name])  # and comes back, to the place where they were
        seat.ready()
        assert page.url == here
        assert page.locator("article.item").nth(0).get_attribute("class") == "item answered"
        assert "current" in str(page.locator("article.item").nth(1).get_attribute("class"))
        for _ in range(3):
            said |= answer_page(seat, server.task, turn)
            seat.saved()
            here = page.url
            page.click("#onward")
            page.wait_for_url(lambda url, here=here: url != here)
            if "/pages/" in page.url:
                seat.ready()
        assert "Thank you" in page.inner_text("h1")
        assert not seat.problems
        expected |= {(name, item): label for item, label in said.items()}
        seat.context.close()
    assert len(expected) == 2 * 7
    held = {key: label for key, label in server.labels().items() if key[0] in ("anna", "ben")}
    assert held == expected


def test_the_keyboard_alone_is_enough(server: Server, browser: Any) -> None:
    seat = sit_down(browser)
    page = seat.page
    keys = page.keyboard
    page.goto(server.links["kim"])
    for place in ("consent", "instructions"):  # the first button of each is the way on
        page.wait_for_url(f"**/{place}")
        keys.press("Tab")
        keys.press("Enter")
    seat.ready()
    count = page.locator("article.item").count()
    page.keyboard.press("u")
    keys.press("m")
    keys.type("hard to say: 12?")
    keys.press("Escape")
    keys.press("j")
    keys.press("ArrowUp")
    for _ in range(count):
        keys.press("1")
    assert page.evaluate("document.activeElement.id") == "onward"
    assert page.locator("article.item.answered").count() == count
    seat.saved()
    keys.press("k")
    here = page.url
    keys.press("ArrowRight")
    page.wait_for_url(lambda url: url != here)
    seat.ready()
    keys.press("?")
    assert page.locator("#help").is_visible()
    keys.press("2")  # under the help nothing is answered
    keys.press("Escape")
    keys.press("p" if server.task != "relevance" else "ArrowLeft")
    page.wait_for_url(here)
    seat.ready()
    if server.task == "relevance":
        keys.press("n")  # NO here, and no next page
        seat.saved()
    held = server.answers().filter(rater="kim")
    assert held.height == count
    assert held["flagged"].sum() == 1
    assert held["note"].drop_nulls().to_list() == ["hard to say: 12?"]
    if server.task == "relevance":
        assert held["label"].to_list().count("no") == 1
    assert not seat.problems
    seat.context.close()


def test_two_tabs_of_one_annotator_lose_nothing(server: Server, browser: Any) -> None:
    seat = sit_down(browser)
    one = seat.begin(server.links["tom"])
    two = seat.context.new_page()
    two.goto(one.url)
    two.wait_for_selector(".alive .item.current")
    low, high = LABELS[server.task][0], LABELS[server.task][-1]
    button = "article.item >> nth={} >> .scale button[value='{}']".format

    one.click(button(0, low))
    one.wait_for_selector(SAVED)
    two.evaluate("window.dispatchEvent(new Event('focus'))")
    two.wait_for_selector(button(0, low) + "[aria-pressed=true]")
    two.click(button(1, high))
    two.click(button(0, high))  # a correction, from the other tab
    two.wait_for_selector(SAVED)
    one.evaluate("window.dispatchEvent(new Event('focus'))")
    one.wait_for_selector(button(1, high) + "[aria-pressed=true]")
    one.wait_for_selector(button(0, high) + "[aria-pressed=true]")
    wanted = {as_stored(seat, server.task, high)}
    assert {label for (rater, _), label in server.labels().items() if rater == "tom"} == wanted
    assert sum(rater == "tom" for rater, _ in server.labels()) == 2
    assert not seat.problems
    seat.context.close()


def test_a_page_works_without_script(server: Server, browser: Any) -> None:
    seat = sit_down(browser, java_script_enabled=False)
    page = seat.begin(server.links["nora"])
    label = LABELS[server.task][1]
    row = page.locator("article.item").first
    expected = answer(seat, server.task, row, label)
    assert page.url.endswith("#item-1")
    assert row.locator("[aria-pressed=true]").get_attribute("value") == label
    row.locator(".flag button").click()
    row.locator(".note summary").click()
    row.locator("textarea").fill("two\nlines")
    row.locator(".note button").click()
    [held] = server.answers().filter(rater="nora").to_dicts()
    assert {held["item_id"]: held["label"]} == expected
    assert (held["flagged"], held["note"]) == (True, "two\nlines")
    assert not seat.problems
    seat.context.close()


@pytest.mark.parametrize(("name", "size"), [("kim", LAPTOP), ("tom", PHONE)])
def test_evidence_is_marked_and_found(quality: Server, browser: Any, name: str, size: tuple[int, int]) -> None:
    seat = sit_down(browser, size)
    page = seat.begin(quality.links[name])
    assert page.locator(".turn.cited").evaluate_all("all => all.map(turn => turn.id)") == ["c0-t2", "c1-t0"]
    if size == LAPTOP:
        page.click("[data-all=close]")
        page.locator(".evidence a").nth(0).hover()
        assert page.locator("#c1-t0.pointed").count() == 1
    assert page.locator("#c1-t0").is_visible() is False
    page.locator(".evidence a").nth(0).click()  # opens the chat it is in, on a phone the drawer with the chats
    page.wait_for_selector("#c1-t0:focus")
    page.locator("#c1-t0").click()  # playwright refuses what is out of sight or behind something
    page.keyboard.press("e")
    page.wait_for_selector("#c0-t2:focus")
    page.keyboard.press("Escape")
    assert page.evaluate("document.activeElement.id") == "item-1"
    if size == PHONE:
        assert not page.locator("#drawer").is_checked()
    assert not seat.problems
    seat.context.close()


def test_clicks_on_a_dead_server_arrive_when_it_is_back(quality: Server, browser: Any) -> None:
    seat = sit_down(browser)
    page = seat.begin(quality.links["anna"])
    row = page.locator("article.item").nth
    labels = LABELS["attribute_quality"]
    expected = answer(seat, quality.task, row(0), labels[0])
    seat.saved()
    quality.kill()
    expected |= answer(seat, quality.task, row(1), labels[1])
    expected |= answer(seat, quality.task, row(0), labels[2])  # a correction, too
    page.wait_for_selector("#unsaved:not([hidden])")
    page.locator("#unsaved-words", has_text="2 answers are not saved yet").wait_for()
    assert row(1).locator(".state").get_attribute("data-state") == "waiting"
    page.keyboard.press("n")  # waits on this page
    with page.expect_event("close"):
        page.close(run_before_unload=True)  # and whoever leaves anyway is warned
    assert seat.asked_to_stay == 1

    quality.start()
    seat.page = page = seat.context.new_page()  # the clicks outlived their tab
    page.goto(quality.links["anna"])
    seat.ready()
    seat.saved()
    assert {item: label for (rater, item), label in quality.labels().items() if rater == "anna"} == expected
    assert page.locator("article.item.answered").count() == 2

    quality.kill()
    expected |= answer(seat, quality.task, page.locator("article.item").nth(2), labels[1])
    page.wait_for_selector("#unsaved:not([hidden])")
    page.keyboard.press("n")
    here = page.url
    quality.start()
    page.wait_for_url(lambda url: url != here)  # it had waited for the answer to be saved
    assert {item: label for (rater, item), label in quality.labels().items() if rater == "anna"} == expected
    assert not seat.problems
    seat.context.close()


def test_a_click_on_a_wording_that_is_gone_is_refused_and_says_so(quality: Server, browser: Any) -> None:
    seat = sit_down(browser)
    page = seat.begin(quality.links["ben"])
    quality.kill()
    pages = questions("attribute_quality", (4, 4))
    write(
        quality.pages,
        [
            page.model_copy(
                update={"items": tuple(item.model_copy(update={"reason": "Another."}) for item in page.items)}
            )
            for page in pages
        ],
    )
    quality.start()
    answer(seat, quality.task, page.locator("article.item").first, "accepted")
    page.wait_for_selector("#unsaved-reload:not([hidden])")
    assert page.locator("article.item").first.locator(".state").get_attribute("data-state") == "refused"
    assert not [rater for rater, _ in quality.labels() if rater == "ben"]
    with page.expect_navigation():
        page.click("#unsaved-reload")
    seat.ready()
    answer(seat, quality.task, page.locator("article.item").first, "accepted")
    seat.saved()
    assert [rater for rater, _ in quality.labels()].count("ben") == 1
    seat.context.close()
