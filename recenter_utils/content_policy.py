"""The Content-Security-Policy of a book: what its pages may run and load, written into each of them.

Text of chats is escaped wherever it is shown. Should that fail in one place, a page still runs nothing but the files
in its own `_static`: no script that stands in a page is run, no event handler, and nothing is loaded from elsewhere.
"""

from __future__ import annotations

import base64
import hashlib
import html
import re
from pathlib import Path

from recenter_utils.errors import RecenterError

#: What a page may do. `'self'` is the book, on a server or in a folder; `data:` are pictures in style sheets.
POLICY = {
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self'",
    "img-src": "'self' data:",
    "font-src": "'self'",
    "connect-src": "'self'",
    "form-action": "'self'",
    "base-uri": "'none'",
}

#: Pages that show nothing of a study: whatever script and style stands in them is the theme's.
_EMPTY = ("genindex.html", "search.html")
#: What a page needs of `_static` that holds a mark; no other page loads it.
_NEEDS = {
    '<div class="plot"': '<script src="{0}plotly.min.js" defer></script>',
    '<div class="searchable"': (
        '<link rel="stylesheet" href="{0}datatables.css"><script src="{0}datatables.js" defer></script>'
    ),
}
#: What the theme's buttons do when they are pressed, and the word by which book.js does it instead.
_PRESSED = {"window.print()": "print", "toggleFullScreen()": "full-screen"}

_SCRIPT = re.compile(r"<script\b(?P<attributes>[^>]*)>(?P<body>.*?)</script>", re.DOTALL | re.IGNORECASE)
_STYLE = re.compile(r"<style\b[^>]*>(.*?)</style>", re.DOTALL | re.IGNORECASE)
_IN_TAG = re.compile(r"\sstyle=(?:\"([^\"]*)\"|'([^']*)')")
#: Scripts without words of their own: from a file, or data, which no browser runs.
_QUIET = re.compile(r"\ssrc=|^ type=\"application/json\"$")
#: A page's name is asked for only where a book has several versions.
_PAGE_NAME = re.compile(r"DOCUMENTATION_OPTIONS\.pagename = '[\w/.-]+';")


def seal(book: Path) -> None:
    """Write the policy into every page under `book`, and move the theme's scripts out of the pages into files.

    A script is the theme's where it stands, word for word, in a page that shows nothing of the study.
    Raises RecenterError, naming the page, where one holds any other.
    """
    static = book / "_static"
    for left in static.glob("*.html"):  # parts of the theme's templates
        left.unlink()
    empty = "".join((book / name).read_text("utf-8") for name in _EMPTY)
    known = {found["body"] for found in _SCRIPT.finditer(empty) if not _QUIET.search(found["attributes"])}
    (static / "theme").mkdir()
    for body in known:
        (static / "theme" / _file(body)).write_text(body, "utf-8")
    styles = {"", *_STYLE.findall(empty)}  # the empty one: libraries begin with it, and add rules (see book.js)
    texts = {path: path.read_text("utf-8") for path in sorted(book.rglob("*.html"))}
    # Of all pages, for the page of results reads the others.
    in_tags = {html.unescape(one or other) for text in texts.values() for one, other in _IN_TAG.findall(text)}
    line = _line(styles, in_tags)
    for path, text in texts.items():
        path.write_text(_sealed(text, path.relative_to(book), known, line), "utf-8")


def _sealed(text: str, page: Path, known: set[str], line: str) -> str:
    root = "../" * (len(page.parts) - 1) + "_static/"

    def moved(found: re.Match[str]) -> str:
        body = found["body"]
        if _QUIET.search(found["attributes"]):
            return found[0]
        if _PAGE_NAME.fullmatch(body):
            return ""
        if body not in known:
            shown = " ".join(body.split())[:60]
            raise RecenterError(
                f"{page.as_posix()} holds a script of its own ({shown!r}), which the book does not let run: show "
                "figures with recenter_utils.figures and tables with recenter_utils.searchable, and run the notebook "
                "again."
            )
        return f'<script src="{root}theme/{_file(body)}"></script>'

    text = _SCRIPT.sub(moved, text)
    for pressed, word in _PRESSED.items():
        text = text.replace(f'onclick="{pressed}"', f'data-does="{word}"')
    needed = "".join(load.format(root) for mark, load in _NEEDS.items() if mark in text)
    meta = f'<meta http-equiv="Content-Security-Policy" content="{html.escape(line)}">'
    head, found, rest = text.partition('<meta charset="utf-8" />')
    before, end, after = rest.partition("</head>")
    if not found or not end:
        raise RecenterError(f"{page.as_posix()} has no head that the book's policy could be written into.")
    return f"{head}{found}{meta}{before}{needed}{end}{after}"


def _line(styles: set[str], in_tags: set[str]) -> str:
    """Return the policy as one line, with the styles that the book was built with: in tags, and the theme's own.

    They are allowed by what they say: one that is put into a page later is not followed.
    """
    allowed = POLICY | {
        "style-src-elem": " ".join([POLICY["style-src"], *_hashes(styles)]),
        "style-src-attr": " ".join(["'unsafe-hashes'", *_hashes(in_tags)]) if in_tags else "'none'",
    }
    return "; ".join(f"{name} {sources}" for name, sources in allowed.items())


def _hashes(styles: set[str]) -> list[str]:
    digests = (hashlib.sha256(style.encode()).digest() for style in sorted(styles))
    return [f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests]


def _file(body: str) -> str:
    return f"{hashlib.sha256(body.encode()).hexdigest()[:12]}.js"
