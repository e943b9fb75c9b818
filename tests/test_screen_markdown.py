"""Markdown on the screens keeps its form and leads, loads and runs nothing; long turns are cut, and none is lost."""

from __future__ import annotations

import html
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recenter_utils.annotation.markdown import LONGEST, LONGEST_LINE, MOST_CELLS, render, render_ours
from recenter_utils.annotation.screens import BLOCK, CLIPPED, HEAD, PAGES, TEMPLATES, environment, pieces

TAGS = re.compile(r"<\s*/?\s*([a-zA-Z0-9]+)([^>]*)>")
HARMLESS = {
    *("p", "br", "hr", "blockquote", "ul", "ol", "li", "pre", "code", "em", "strong", "s", "span", "div"),
    *("h3", "h4", "h5", "h6", "table", "thead", "tbody", "tr", "th", "td"),
}


def test_a_response_keeps_its_form() -> None:
    shown = render("# Plan\n\n- **one**\n- *two*\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n`x < y`\n\n3. three")
    for part in ("<h3>Plan</h3>", "<strong>one</strong>", "<em>two</em>", "<td>1</td>", "x &lt; y", '<ol start="3">'):
        assert part in shown


def test_links_are_their_words_and_their_address_and_images_their_description() -> None:
    shown = render("[here](https://example.org/a?b=1) <https://example.org> ![a cat](https://example.org/cat.png)")
    assert "<a" not in shown
    assert "<img" not in shown
    plain = re.sub(r"<[^>]+>", "", shown)
    assert plain.strip() == "here (https://example.org/a?b=1) https://example.org [image: a cat]"
    assert "href" not in render("[x](javascript:alert(1)) [y](data:text/html,z) [z](//evil.example)")


@given(st.text(st.sampled_from("<>/\"'`*_[]()!&;:=|-#~ \n\t\\ascriptonhefdljv\u2028"), max_size=200))
def test_whatever_is_rendered_holds_harmless_elements_alone(text: str) -> None:
    for name, rest in TAGS.findall(str(render(text))):
        assert name in HARMLESS
        assert re.fullmatch(r'(?: (?:class="(?:link|address|image|wide|plain)"|tabindex="0"|start="\d+"))*\s*/?', rest)


@pytest.mark.parametrize("text", ["[" * LONGEST, "a" * (LONGEST_LINE + 1), "[x]: y\n" * 20_000, "> " * LONGEST])
def test_text_that_is_too_much_for_markdown_is_shown_as_it_is(text: str) -> None:
    shown = str(render(text))
    assert text.strip() in html.unescape(shown)


@pytest.mark.parametrize("newline", ["\n", "\r", "\r\n"])
@pytest.mark.parametrize("row", ["|", "|x", ""])
def test_a_small_text_cannot_ask_for_a_table_of_millions_of_cells(newline: str, row: str) -> None:
    columns = 400
    rows = [row or "x"] * 400  # 160,000 cells from some 2,500 characters
    text = newline.join(["|" * columns + "x|", "|-" * columns + "|", *rows])
    shown = str(render(text))
    assert len(shown) < 50 * len(text) + 1_000
    assert shown.count("<td>") <= MOST_CELLS


@pytest.mark.parametrize("columns", [2, 20, 100])
def test_a_table_that_fits_is_a_table(columns: int) -> None:
    rows = min(MOST_CELLS // (columns + 1) - 3, (LONGEST - 1_000) // (2 * columns + 2))
    text = "\n".join(["|a" * columns + "|", "|-" * columns + "|", *["|b" * columns + "|"] * rows])
    assert str(render(text)).count("<td>") == columns * rows


def test_the_study_teams_texts_hide_comments_and_keep_links() -> None:
    shown = render_ours("<!-- for\nthe team -->\n# Hello\n\n[write](mailto:a@example.org) [no](javascript:x) <b>")
    assert "team" not in shown
    assert 'href="mailto:a@example.org"' in shown
    assert 'rel="noopener noreferrer nofollow"' in shown
    assert "javascript:x" in shown
    assert 'href="javascript' not in shown
    assert "&lt;b&gt;" in shown


@given(st.text(st.sampled_from("ab \n"), min_size=CLIPPED - 50, max_size=CLIPPED + 3 * HEAD))
def test_a_cut_turn_is_still_the_whole_turn(text: str) -> None:
    cut = pieces(text)
    assert cut.head + "".join(cut.rest) == text
    assert cut.length == len(text)
    assert (len(text) <= CLIPPED) == (not cut.rest)


def test_no_piece_of_an_enormous_turn_is_enormous() -> None:
    for text in ("x" * 2_000_000, "word " * 400_000, "\n" * 2_000_000):
        cut = pieces(text)
        assert cut.head + "".join(cut.rest) == text
        assert len(cut.head) <= HEAD
        assert max(map(len, cut.rest)) <= BLOCK


def test_no_template_holds_script_style_or_handlers() -> None:
    for template in TEMPLATES.glob("*.html"):
        text = template.read_text(encoding="utf-8")
        assert not re.search(r"<script(?![^>]* src=)|<style|\sstyle=|\son[a-z]+=|javascript:|https?://", text), template
    for name in PAGES.values():
        assert environment().get_template(name)


def test_the_forms_that_models_answer_in_are_written_as_such() -> None:
    written = render("### Plan\n\n1. One\n\n- **Two**\n\n> Three\n\n| a | b |\n|---|---|\n| 4 | 5 |")
    for form in ("<table>", "<ol>", "<ul>", "<strong>", "<blockquote>", "<h5>"):
        assert form in written
