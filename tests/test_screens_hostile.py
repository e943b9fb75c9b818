"""Whatever stands in a chat, an attribute or a response is shown as text, runs nothing, and tells no secret."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from recenter_utils.annotation.pages import Conversation, Evidence, Item, Turn
from recenter_utils.annotation.pages import Page as Questions
from recenter_utils.scales import SCALES
from tests.browser import LAPTOP, PHONE, Server, browser, serve, sit_down

__all__ = ["browser", "serve"]  # fixtures

HOSTILE = (
    "<script>window.hit = 1</script>",
    "</script><script>window.hit = 2</script>",
    "</textarea></title></style><script>window.hit = 3</script>",
    "<img src=x onerror='window.hit = 4'>",
    '"><b onmouseover="window.hit = 5" autofocus onfocus="window.hit = 6">',
    "<svg/onload=window.hit=7><iframe srcdoc='<script>parent.hit = 8</script>'></iframe>",
    "<base href='https://evil.example/'><meta http-equiv=refresh content='0;url=https://evil.example/'>",
    "<style>body { display: none }</style><link rel=stylesheet href=https://evil.example/x.css>",
    "[press](javascript:window.hit=9) [press](https://evil.example/link) <https://evil.example/auto>",
    "![seen](https://evil.example/pixel.png) ![seen](data:image/png;base64,AAAA)",
    "one\u2028two\u2029three \u202egnol sdrawkcab\u202c \x01 {{ 7 * 7 }} {% raw %} &lt;b&gt; ${window.hit=10}",
    "veryveryvery" * 60,
)
ALL = "\n\n".join(HOSTILE)
HUGE = "<script>window.hit = 11</script>" + "x" * 2_000_000

#: What a page that shows text alone has nothing of.
ACTIVE = "#judging :is(script, img, iframe, svg, base, meta, style, link, object, embed, audio, video)"


def page_of(task: str) -> Questions:
    items = tuple(
        Item(item_id=f"secret-{n}", attribute=text.strip(), reason=ALL, evidence=(Evidence(conversation=0, turn=0),))
        for n, text in enumerate(HOSTILE)
    )
    if task != "attribute_quality":
        bare = tuple(item.model_copy(update={"evidence": ()}) for item in items)
        both = {"generic": ALL, "personalised": ALL + " Indeed."} if task == "preference" else {}
        return Questions(page_id="covert", items=bare, prompt=ALL, **both)
    turns = [Turn(role="user", content=text) for text in HOSTILE]
    turns += [Turn(role="<b onclick=hit()>", content=ALL), Turn(role="assistant", content=HUGE)]
    chats = (Conversation(conversation_id="veiled", turns=tuple(turns)),)
    return Questions(page_id="covert", items=items, conversations=chats)


@pytest.fixture(scope="module", params=list(SCALES))
def server(request: pytest.FixtureRequest, serve: Callable[..., Server]) -> Server:
    return serve(request.param, [page_of(request.param)], ("laptop", "phone"))


@pytest.mark.parametrize(("name", "size"), [("laptop", LAPTOP), ("phone", PHONE)])
def test_hostile_text_is_shown_and_does_nothing(server: Server, browser: Any, name: str, size: tuple[int, int]) -> None:
    seat = sit_down(browser, size)
    page = seat.begin(server.links[name])
    shown = [text.strip() for text in page.locator(".attribute bdi").evaluate_all("all => all.map(e => e.textContent)")]
    assert shown == [text.strip() for text in HOSTILE]
    assert page.locator(".reason bdi").first.text_content() == ALL

    row = page.locator("article.item").nth(2)
    row.hover()
    row.locator(".note summary").click()
    row.locator("textarea").fill(ALL)  # what annotators write is no safer
    row.locator(".scale button").first.click()
    if server.task == "attribute_quality":
        row.locator(".evidence a").click()
        assert page.locator("#c0-t0").is_visible()
        words = "all => all.map(e => e.textContent).join('')"
        for place, text in enumerate((*HOSTILE, ALL)):
            assert page.locator(f"#c0-t{place} .words").evaluate_all(words) == text
        if size == PHONE:
            assert page.locator("#drawer").is_checked()
        page.locator(f"#c0-t{len(HOSTILE) + 1} .rest summary").click()
        assert page.locator(f"#c0-t{len(HOSTILE) + 1} .words").evaluate_all(words) == HUGE
        page.keyboard.press("Escape")
    if server.task == "preference":
        for side in "ab":
            written = page.locator(f"#response-{side} .written")
            assert HOSTILE[0] in str(written.text_content())
            assert "https://evil.example/link" in str(written.text_content())
            assert written.locator("a, button, input, form, [style]").count() == 0
            for link in written.locator(".link").all():
                link.click()
    page.keyboard.press("2")
    seat.saved()
    page.reload()
    seat.ready()
    assert row.locator("textarea").input_value() == ALL
    assert page.evaluate("window.hit") is None
    assert page.evaluate("window.violations") == []
    assert page.locator(ACTIVE).count() == 0
    assert page.evaluate("document.scripts.length") == 1
    assert page.evaluate("document.documentElement.scrollWidth") <= size[0]
    assert page.locator("#questions").evaluate("pane => pane.scrollWidth <= pane.clientWidth")
    assert not seat.problems
    seat.context.close()


def test_neither_page_nor_answers_tell_ids_or_which_response_is_which(server: Server, browser: Any) -> None:
    seat = sit_down(browser)
    page = seat.page
    page.goto(server.links["laptop"])
    seat.ready()
    told = page.content() + page.request.get(page.url).text() + page.request.get(page.url + "/answers").text()
    for secret in ("secret-", "covert", "veiled", "personalised", "generic", "first_shown", "expected"):
        assert secret not in told
    seat.context.close()


def test_the_plan_of_the_study_is_shown_to_whoever_runs_it(server: Server, browser: Any) -> None:
    seat = sit_down(browser, PHONE)
    page = seat.page
    page.goto(server.links["admin"])
    assert "Annotators" in page.inner_text("main")
    assert page.locator("th", has_text="laptop").count() >= 1
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE[0]
    assert page.evaluate("window.violations") == []
    assert not seat.problems
    seat.context.close()
