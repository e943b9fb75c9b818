"""A page of the book runs the book's own files and nothing else, and does all that it did, in a real browser."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING

import pytest

from recenter_utils.content_policy import seal
from recenter_utils.errors import RecenterError
from tests.browser import LAPTOP, PHONE, browser

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

__all__ = ["browser"]  # a fixture

HEAD = '<html><head><meta charset="utf-8" />{}</head><body>{}</body></html>'
THEME = "<script>document.title = 'theme'</script><noscript><style>a {}</style></noscript>"


@pytest.fixture
def pages(tmp_path: Path) -> Path:
    """A book with the pages that show nothing of a study."""
    (tmp_path / "_static").mkdir()
    (tmp_path / "notebooks").mkdir()
    for name in ("genindex.html", "search.html"):
        (tmp_path / name).write_text(HEAD.format(THEME, ""))
    return tmp_path


def sealed(pages: Path, body: str) -> str:
    page = pages / "notebooks" / "page.html"
    page.write_text(HEAD.format(THEME, body))
    seal(pages)
    return page.read_text()


def test_the_theme_s_scripts_become_files_and_buttons_keep_their_meaning(pages: Path) -> None:
    text = sealed(pages, '<button onclick="window.print()">Print</button>')
    moved = re.findall(r'<script src="\.\./(_static/theme/\w+\.js)"></script>', text)
    assert [(pages / name).read_text() for name in moved] == ["document.title = 'theme'"]
    assert 'data-does="print"' in text
    assert "onclick" not in text


def test_the_policy_comes_before_anything_that_it_is_about(pages: Path) -> None:
    text = sealed(pages, "")
    found = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', text)
    assert found
    assert found.start() < text.index("<script")
    assert "default-src &#x27;none&#x27;" in found[1]
    assert "script-src &#x27;self&#x27;;" in found[1]
    assert "unsafe-eval" not in found[1]


@pytest.mark.parametrize(
    "script", ["alert(1)", "document.title = 'theme'; alert(1)", "DOCUMENTATION_OPTIONS.pagename = ''"]
)
@pytest.mark.parametrize(
    "tag", ["<script>", "<SCRIPT >", "<script type='module'>", '<script type="application/javascript">']
)
def test_a_page_with_a_script_of_its_own_is_refused_by_name(pages: Path, tag: str, script: str) -> None:
    with pytest.raises(RecenterError, match=r"notebooks/page\.html holds a script of its own"):
        sealed(pages, f"{tag}{script}</script>")


def test_data_of_a_page_stays_where_it_is_looked_through(pages: Path) -> None:
    data = '<div class="plot"><script type="application/json">{"data": []}</script></div>'
    text = sealed(pages, data)
    assert data in text
    assert '<script src="../_static/plotly.min.js" defer></script></head>' in text


def test_only_pages_that_show_it_load_a_library(finished_book: Path) -> None:
    with_plot = {page.name for page in finished_book.rglob("*.html") if "plotly.min.js" in page.read_text()}
    assert with_plot == {"28-explore.html"}


# -- in a browser -----------------------------------------------------------------------------------------

#: A page of each kind.
KINDS = (
    "index.html",
    "notebooks/28-explore.html",
    "notebooks/03-merging.html",
    "search.html?q=attribute",
    "reading.html",
)
_NOTE = "window.found = []; document.addEventListener('securitypolicyviolation', event => window.found.push("
_NOTE += "`${event.violatedDirective}: ${event.blockedURI} ${event.sourceFile}:${event.lineNumber} ${event.sample}`))"


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        return


@pytest.fixture(scope="module")
def site(finished_book: Path) -> Iterator[str]:
    """The book on a server of loopback."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(finished_book))) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


class Reader:
    """Somebody who reads the book; `wrong` is what the browser complained of."""

    def __init__(self, browser: Browser, base: str) -> None:
        self.base = base
        self.context = browser.new_context()
        self.context.set_default_timeout(60_000)
        self.page: Page = self.context.new_page()
        self.page.add_init_script(_NOTE)
        self.wrong: list[str] = []
        # Passages under the results of a search are fetched, which no browser does in a folder, policy or not.
        self.page.on("pageerror", lambda problem: "Failed to fetch" in str(problem) or self.wrong.append(str(problem)))
        self.page.on("console", lambda said: "Content Security" in said.text and self.wrong.append(said.text))

    def open(self, name: str) -> Page:
        self.page.goto(self.base + name, wait_until="load")
        return self.page

    def violations(self) -> list[str]:
        return self.page.evaluate("window.found") + self.wrong

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *_: object) -> None:
        self.context.close()


@pytest.fixture(params=["server", "folder"])
def base(request: pytest.FixtureRequest, site: str, finished_book: Path) -> str:
    """Where the book is read: on a server, or as files that are opened."""
    return site if request.param == "server" else f"{finished_book.as_uri()}/"


@pytest.mark.parametrize("name", KINDS)
def test_no_page_asks_for_what_the_policy_refuses(browser: Browser, base: str, name: str) -> None:
    with Reader(browser, base) as reader:
        page = reader.open(name)
        if "explore" in name:
            page.locator(".plot svg.main-svg").first.wait_for()
            page.locator(".searchable .dt-search input").first.wait_for()
        if "merging" in name:
            page.locator("mjx-container").first.wait_for()
        if "search" in name:
            page.locator("#search-results ul.search li").first.wait_for()
        for size in (LAPTOP, PHONE):
            page.set_viewport_size({"width": size[0], "height": size[1]})
            for theme in ("light", "dark"):
                page.emulate_media(color_scheme=theme)
                page.locator(f"html[data-theme={theme}]").wait_for()
        assert reader.violations() == []


def test_figures_tell_and_tables_search_under_the_policy(browser: Browser, finished_book: Path) -> None:
    with Reader(browser, f"{finished_book.as_uri()}/") as reader:
        page = reader.open("notebooks/28-explore.html")
        page.locator(".plot .heatmaplayer image, .plot .heatmaplayer .hm").first.wait_for()
        page.locator(".plot").scroll_into_view_if_needed()
        box = page.locator(".plot .nsewdrag").first.bounding_box()
        assert box
        page.mouse.move(box["x"] + box["width"] * 0.3, box["y"] + box["height"] * 0.4)
        page.locator(".plot .hoverlayer .hovertext").first.wait_for()
        assert re.search(
            r"κ \d\.\d\d|undefined", page.locator(".plot .hoverlayer .hovertext").first.text_content() or ""
        )
        page.locator(".plot .updatemenu-header").click()
        page.locator(".plot .updatemenu-dropdown-button").nth(1).click()
        page.locator(".plot .barlayer .bars path").last.wait_for()
        table = page.locator(".searchable").first
        table.locator(".dt-search input").fill("never reads paragraphs")
        rows = table.locator("tbody tr")
        page.wait_for_timeout(300)
        assert 0 < rows.count() < 10
        assert "Never reads paragraphs." in rows.first.inner_text()
        table.locator(".dt-search input").fill("")
        heads = table.locator("thead th")
        place = [head.strip().lower() for head in heads.all_inner_texts()].index("confidence")
        heads.nth(place).locator(".dt-column-order").click()
        page.wait_for_timeout(300)
        numbers = [float(text) for text in table.locator(f"tbody td:nth-child({place + 1})").all_inner_texts()]
        assert numbers == sorted(numbers)
        assert len(numbers) == 10
        assert reader.violations() == []


def test_results_of_a_search_show_passages_under_the_policy(browser: Browser, site: str) -> None:
    with Reader(browser, site) as reader:
        page = reader.open("search.html?q=overgeneralization")
        page.locator("#search-results ul.search li .context").first.wait_for()
        assert reader.violations() == []


def test_buttons_of_the_theme_work_under_the_policy(browser: Browser, site: str) -> None:
    with Reader(browser, site) as reader:
        page = reader.open("reading.html")
        page.evaluate("() => { window.print = () => { window.printed = true; }; }")
        page.locator('[data-does="print"]').first.evaluate("button => button.click()")
        assert page.evaluate("window.printed")
        page.locator('[data-does="full-screen"]').first.click()
        page.locator("html:fullscreen, html").first.wait_for()
        assert reader.violations() == []


INJECTED = [
    "<script>document.title = 'owned'</script>",
    "<script type=module>document.title = 'owned'</script>",
    "<img src=x onerror=\"document.title = 'owned'\">",
    "<svg onload=\"document.title = 'owned'\"></svg>",
    "<iframe srcdoc=\"<script>parent.document.title = 'owned'</script>\"></iframe>",
    "<object data=\"data:text/html,<script>parent.document.title = 'owned'</script>\"></object>",
    "<script src=\"data:text/javascript,document.title = 'owned'\"></script>",
    "<base href='https://example.invalid/'>",
]


@pytest.mark.parametrize("markup", INJECTED)
def test_what_is_put_into_a_page_is_not_run(browser: Browser, finished_book: Path, base: str, markup: str) -> None:
    with Reader(browser, base) as reader:
        changed = (finished_book / "reading.html").read_text().replace("</article>", f"{markup}</article>", 1)
        assert markup in changed
        reader.page.route("**/reading.html", lambda route: route.fulfill(body=changed, content_type="text/html"))
        page = reader.open("reading.html")
        page.wait_for_timeout(100)
        assert "owned" not in page.title()
        assert page.evaluate("document.baseURI").startswith(base)
        assert reader.violations()
