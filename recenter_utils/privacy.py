"""What must not be in a book: text of chats that the study keeps to itself, addresses, telephone numbers, keys.

Pages only hold what notebooks chose to show. This looks at the pages themselves, whatever a notebook chose.
"""

from __future__ import annotations

import html
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import phonenumbers
import polars as pl
from numpy.typing import NDArray

from recenter_utils.errors import RecenterError

if TYPE_CHECKING:
    from recenter_utils.study import Study

#: Letters and digits, as UTF-8 bytes, that a page must share with a turn in one piece: some eight words.
WINDOW = 40
#: Files of a book that hold text.
_TEXTS = (".html", ".ipynb", ".md", ".txt", ".json", ".svg", ".js")
_NOT_ALNUM = re.compile(r"[\W_]+")
_DATA_URI = re.compile(r"data:[\w/+.-]+;base64,[\w+/=\s]+")
#: Files in which tags stand between words, and what a reader is told by the values in tags (on pointing, by a reader of
#: screens).
_MARKED = (".html", ".svg")
_TAG = re.compile(r"<[^>]{0,2000}>")
_VALUE = re.compile(rf"=\s*(?:\"([^\"]{{{WINDOW},}})\"|'([^']{{{WINDOW},}})')")

_MAIL = re.compile(r"\b[\w.+-]{1,64}@(?:[\w-]{1,63}\.){1,4}[A-Za-z]{2,24}\b")
#: Names that belong to nobody (RFC 2606).
_NOBODY_S = re.compile(r"@(?:[\w-]+\.)*(?:example(?:\.(?:com|net|org))?|invalid|test|localhost)$", re.IGNORECASE)
_KEYS = re.compile(
    r"\bsk-[\w-]{20,}|\bAKIA[0-9A-Z]{16}\b|\bgh[pousr]_\w{36,}|\bgithub_pat_\w{22,}|\bhf_[A-Za-z0-9]{30,}"
    r"|\bAIza[\w-]{35}|\bxox[abprs]-[\w-]{10,}|-----BEGIN [A-Z ]*PRIVATE KEY-----"
    r"|\beyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]{10,}"
)
_SECRET_NAME = re.compile("TOKEN|KEY|SECRET|PASSWORD", re.IGNORECASE)
#: What may be a telephone number: as people write one, and not a figure of a table.
_DIALLED = re.compile(r"(?<![\w.,])(?:\+\d|\(\d{2,4}\)|\d{3}[-. ]\d{3,4}[-. ]\d{4})[\d ().-]{0,18}(?![\w,])")
#: Numbers that nobody has: 555-0100 to 555-0199 are kept free for fiction.
_FICTION = re.compile(r"555\D?01\d\d$")


@dataclass(frozen=True)
class Finding:
    """Something that must not be published: the file it stands in, what it is, and so much as says which."""

    file: str
    what: str
    shown: str


def refuse(study: Study, book: Path) -> None:
    """Raise, naming file and remedy, where the files under `book` hold what must not be published."""
    found = list(findings(study, book))
    if not found:
        return
    lines = [f"{one.file} holds {one.what} ({one.shown})" for one in found[:5]]
    more = f"; and {len(found) - 5:,} more" if len(found) > 5 else ""
    raise RecenterError(
        f"The book of '{study.name}' is not published: {'; '.join(lines)}{more}. Take it out of what the notebook "
        "shows; where chats may be published, set publish_text: true in study.yaml. Addresses, numbers and keys must "
        "go in any case, from the chats themselves if they stand there."
    )


def findings(study: Study, book: Path) -> Iterator[Finding]:
    """Yield what must not be published, file by file.

    In any study: e-mail addresses and telephone numbers that could be somebody's, keys by their form, and the values
    of the environment's secrets. In a study with `publish_text: false`: pieces of what was said in its chats that no
    request of the study and no page of the workspace holds, at least `WINDOW` letters and digits long; every piece of
    twice that length is found.
    """
    files = {path: path.read_text("utf-8", "replace") for path in _files(book)}
    for path, text in files.items():
        yield from _secrets(path.relative_to(book).as_posix(), text)
    if not study.settings.publish_text:
        yield from _chats(study, {path.relative_to(book).as_posix(): text for path, text in files.items()})


def keys(text: str) -> list[str]:
    """Return what looks like a key of a provider or a private one, by its form, each once."""
    return list(dict.fromkeys(_KEYS.findall(text)))


def _files(book: Path) -> list[Path]:
    own = [path for path in sorted(book.rglob("*")) if path.is_file() and path.suffix in _TEXTS]
    return [path for path in own if path.relative_to(book).parts[0] != "_static"]


def _secrets(name: str, text: str) -> Iterator[Finding]:
    text = _DATA_URI.sub(" ", text)
    plain = html.unescape(text)
    for mail in dict.fromkeys(_MAIL.findall(plain)):
        if not _NOBODY_S.search(mail):
            yield Finding(name, "an e-mail address", _masked(mail))
    for key in keys(plain):
        yield Finding(name, "what looks like a key", _masked(key))
    for variable, value in os.environ.items():
        if len(value) >= 8 and _SECRET_NAME.search(variable) and value in plain:
            yield Finding(name, f"the value of the environment variable {variable}", "not shown")
    words = html.unescape(_TAG.sub(" ", text)) if name.endswith(_MARKED) else plain
    for dialled in dict.fromkeys(match.group().strip() for match in _DIALLED.finditer(words)):
        if any(not _FICTION.search(number) for number in _numbers(dialled)):
            yield Finding(name, "a telephone number", _masked(dialled))


def _numbers(text: str) -> Iterator[str]:
    """Yield telephone numbers that exist by the numbering plans; one without a country is read as American."""
    for match in phonenumbers.PhoneNumberMatcher(text, "US"):
        yield str(match.number.national_number)


def _masked(text: str) -> str:
    return f"{text[:3]}…{text[-2:]}, {len(text)} characters"


def _chats(study: Study, files: dict[str, str]) -> Iterator[Finding]:
    """Yield files that hold pieces of the study's chats."""
    known = _hashes([_plain(text) for text in _public(study)], 1)
    hashes: dict[str, NDArray[np.uint64]] = {}
    for name, text in files.items():
        parts = [text]
        if name.endswith(_MARKED):
            parts = [_TAG.sub(" ", text), *(one or other for one, other in _VALUE.findall(text))]
        own = _hashes([_plain(html.unescape(part)) for part in parts], 1)
        hashes[name] = own[~_among(own, known)]
    everywhere = _distinct([*hashes.values(), np.empty(0, np.uint64)])
    if not everywhere.size or not study.table_path("conversations").is_file():
        return
    said: set[str] = set()
    turns = pl.scan_parquet(study.table_path("conversations")).select("conversation_id", "turns")
    for batch in turns.collect_batches(chunk_size=20_000):
        long = batch.explode("turns").select("conversation_id", content=pl.col("turns").struct.field("content"))
        for conversation, content in long.drop_nulls().iter_rows():
            pieces = _hashes([_plain(content)], WINDOW)
            hits = pieces[_among(pieces, everywhere)]
            for name, held in hashes.items() if hits.size else ():
                if name not in said and _among(hits, held).any():
                    said.add(name)
                    yield Finding(name, "text of a chat", f"conversation {conversation}")


def _public(study: Study) -> Iterator[str]:
    """Yield text that may be on any page: the workspace's own prose and notebooks, and the study's requests."""
    for folder in (study.root / "book", study.root / "notebooks", Path(__file__).parent / "prompts"):
        for path in sorted(folder.glob("*")):
            if path.suffix in (".md", ".ipynb", ".yaml"):
                yield path.read_text("utf-8")
    if study.table_path("prompts").is_file():
        yield from pl.read_parquet(study.table_path("prompts"), columns=["text"])["text"]


def _plain(text: str) -> bytes:
    """Return letters and digits in lower case: markup, punctuation and spaces differ between a chat and a page."""
    return _NOT_ALNUM.sub("", text).lower().encode()


def _among(some: NDArray[np.uint64], known: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """Return which of some hashes are known ones, which are sorted (numpy's isin would sort these each time)."""
    if not known.size:
        return np.zeros(some.size, dtype=bool)
    return known[np.minimum(np.searchsorted(known, some), known.size - 1)] == some


_VALUES = np.random.default_rng(0).integers(1, 2**63, 256, dtype=np.uint64)
_BASE = 0x9E3779B97F4A7C15
_INVERSE = pow(_BASE, -1, 2**64)


def _hashes(texts: Iterable[bytes], step: int) -> NDArray[np.uint64]:
    """Return hashes of the windows of each text that begin at every `step`-th byte, and of its last; sorted, each once.

    A window's hash is a polynomial in its bytes modulo 2**64, a difference of two sums from the text's beginning.
    """
    found = [np.empty(0, np.uint64)]
    for text in texts:
        held = _VALUES[np.frombuffer(text, np.uint8)]
        if held.size >= WINDOW:
            sums = np.concatenate([np.zeros(1, np.uint64), np.cumsum(held * _powers(_BASE, held.size))])
            starts = np.append(np.arange(0, held.size - WINDOW + 1, step), held.size - WINDOW)
            found.append((sums[starts + WINDOW] - sums[starts]) * _powers(_INVERSE, held.size)[starts])
    return _distinct(found)


def _distinct(parts: Sequence[NDArray[np.uint64]]) -> NDArray[np.uint64]:
    """Return numbers sorted, each once. Of millions of them numpy's unique takes eighty times as long."""
    found = np.sort(np.concatenate(parts))
    return found[np.append(True, found[1:] != found[:-1])[: found.size]]


def _powers(base: int, number: int) -> NDArray[np.uint64]:
    factors = np.full(number, base, np.uint64)
    factors[:1] = 1
    return np.cumprod(factors)
