"""Where a table comes from: origin, inputs, settings and code, kept in the parquet file itself.

No clock and no machine name goes in, so that the same study run twice gives byte-equal files.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from recenter_utils import __version__
from recenter_utils.errors import RecenterError

METADATA_KEY = "recenter"

#: Listed from what a reader must not miss downwards.
ORIGINS = ("simulated", "model", "published", "human")

#: Files larger than this in all are known by name, size and samples: hashing gigabytes costs more than it protects.
HASHED_BYTES = 64 * 2**20

#: Samples of a file, evenly spread, and bytes of each.
SAMPLES, SAMPLE_BYTES = 64, 4096


@dataclass(frozen=True)
class Provenance:
    """How one table was made."""

    table: str
    origin: str
    notebook: str | None
    settings: dict[str, Any] = field(default_factory=dict)
    inputs: dict[str, str] = field(default_factory=dict)
    unanswered: int = 0  # requests behind it that got no answer and are worth asking again
    package: str = __version__

    def dumps(self) -> str:
        """Return it as the JSON text that goes into parquet metadata."""
        return json.dumps(asdict(self), sort_keys=True, ensure_ascii=False)


def join(origins: Iterable[str]) -> str:
    """Return several origins as one, `simulated+model`: an origin travels into all that is made from it."""
    found = {part for origin in origins for part in origin.split("+") if part}
    if unknown := found - set(ORIGINS):
        raise RecenterError(f"'{sorted(unknown)[0]}' is no origin; these are: {', '.join(ORIGINS)}.")
    return "+".join(origin for origin in ORIGINS if origin in found)


def read(path: Path) -> Provenance:
    """Return the provenance in a table's file; raise where the file is not one of ours."""
    try:
        metadata = pq.read_metadata(path).metadata or {}
        return Provenance(**json.loads(metadata[METADATA_KEY.encode()]))
    except FileNotFoundError:
        raise RecenterError(f"There is no table file {path}.") from None
    except (KeyError, ValueError, TypeError, OSError) as problem:
        raise RecenterError(
            f"{path} is not a table of this workspace ({type(problem).__name__}); delete it and run the study again."
        ) from None


def file_hash(path: Path) -> str:
    """Return a short content hash of a file."""
    digest = hashlib.blake2b(digest_size=12)
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def sampled_hash(path: Path) -> str:
    """Return a short hash of a file's size and of samples all over it; of all of it where it is small.

    Other weights in a file of the same shape differ everywhere, and a text that grew has another size.
    """
    size = path.stat().st_size
    if size <= SAMPLES * SAMPLE_BYTES:
        return file_hash(path)
    digest = hashlib.blake2b(str(size).encode(), digest_size=12)
    with path.open("rb") as stream:
        for place in range(SAMPLES):
            stream.seek(place * (size - SAMPLE_BYTES) // (SAMPLES - 1))
            digest.update(stream.read(SAMPLE_BYTES))
    return digest.hexdigest()


def fingerprint(path: Path) -> str:
    """Return a content hash of a file or folder; of names, sizes and samples where it is large.

    A path that is not there has the fingerprint `missing`.
    """
    if not path.exists():
        return "missing"
    files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
    if sum(file.stat().st_size for file in files) <= HASHED_BYTES:
        parts = [f"{file.name}:{file_hash(file)}" for file in files]
    else:
        parts = [f"{file.name}:{file.stat().st_size}:{sampled_hash(file)}" for file in files]
    return hashlib.blake2b("\n".join(parts).encode(), digest_size=12).hexdigest()


def answers_fingerprint(path: Path) -> str:
    """Return what identifies the answers in a store of judgments: the store, and the last answer in it.

    Answers are only ever added, so these two say whether any came since. A store that is not there is `none`.
    """
    if not path.is_file():
        return "none"
    try:
        store = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=30)
        try:
            (name,) = store.execute("SELECT value FROM meta WHERE key = 'store'").fetchone()
            (last,) = store.execute("SELECT coalesce(max(answer), 0) FROM answers").fetchone()
        finally:
            store.close()
    except (sqlite3.Error, TypeError) as problem:
        raise RecenterError(f"{path} is not a store of judgments ({problem}); restore it from a copy.") from None
    return f"{name}:{last}"
