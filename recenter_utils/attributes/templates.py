"""The template detector: users whose turns repeat the same stretch of text are scripts, not people (Appendix A).

A turn is normalised: lower case, each digit 0, runs of white space one space, none at its ends. It is then cut into
windows of 120 characters every 60, from its start. A last stretch that fills no window is left out, so a turn under
120 characters has none: eight turns of "thanks" are no template. A window counts once in a turn.

With a stride of half a window, a window is two neighbouring blocks. Each block is hashed once, as a row of one matrix
over the characters of many turns, and the hash depends on the characters alone: every process finds the same windows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl

#: Characters hashed at a time, so that memory does not follow the batch.
SLICE_CHARACTERS = 2_000_000
#: Files of windows, counted one after the other: a power of two, which a window's first bits number.
PARTS = 64

_SPACE = ord(" ")
_WEIGHTS, (_NEXT, _USER, _MIX) = np.split(
    np.random.default_rng(120).integers(1 << 64, size=4099, dtype=np.uint64) | 1, [4096]
)


def windows(turns: pl.Series, window: int = 120) -> pl.DataFrame:
    """Return each turn's windows, each once and in no order: `turn` (place in the series), `window` (a uint64 hash).

    An odd `window` is taken as the even number below it, since windows start every half window.
    """
    parts = [pl.DataFrame({"turn": turn, "window": hashed}) for turn, hashed in _hashes(turns, window // 2)]
    return pl.concat([pl.DataFrame(schema={"turn": pl.UInt32, "window": pl.UInt64}), *parts]).unique()


class Counted(NamedTuple):
    """Windows of turns: who said them (uint64), and a hash of both (uint64). A window counts once in a turn."""

    users: np.ndarray
    keys: np.ndarray


def counted(users: pl.Series, turns: pl.Series, window: int = 120) -> Counted:
    """Return the windows of `turns`, each said by the user (uint64) at the same place of `users`."""
    found = windows(turns, window)
    said_by = users.gather(found["turn"]).to_numpy()
    return Counted(said_by, (found["window"].to_numpy() ^ (said_by * _USER)) * _MIX)


class Repeats:
    """How many of a user's turns share a window, counted over batches.

    folder: an empty one, for the windows beyond those held in memory, 16 bytes each. held: so many of them.
    """

    def __init__(self, folder: Path, held: int = 2_000_000) -> None:
        self._folder, self._room = folder, held
        self._held: list[Counted] = []
        self._windows = 0

    def add(self, found: Counted | None) -> None:
        """Count a batch's windows; None: it has none."""
        if found:
            self._held.append(found)
            self._windows += len(found.keys)
            if self._windows > self._room:
                self._put_down()

    def most(self, least: int) -> pl.DataFrame:
        """Return `user` and `repeats`: the turns that share the user's commonest window, where `least` or more do."""
        parts = [pl.DataFrame(schema={"user": pl.UInt64, "repeats": pl.Int64})]
        if any(self._folder.iterdir()):
            self._put_down()
            found = map(self._part, range(PARTS))
        else:
            found = map(_joined, [self._held])
        for users, keys in found:
            _, first, turns = np.unique(keys, return_index=True, return_counts=True)
            often = turns >= least
            parts.append(pl.DataFrame({"user": users[first[often]], "repeats": turns[often].astype(np.int64)}))
        return pl.concat(parts).group_by("user").agg(pl.max("repeats")).sort("user")

    def _put_down(self) -> None:
        """Move what is held to files, the same window always to the same one."""
        users, keys = _joined(self._held)
        self._held, self._windows = [], 0
        part = (keys >> np.uint64(64 - PARTS.bit_length() + 1)).astype(np.uint8)
        order = np.argsort(part, kind="stable")
        rows = np.stack([users, keys], axis=1)[order]
        ends = np.cumsum(np.bincount(part, minlength=PARTS))
        for number, mine in enumerate(np.split(rows, ends[:-1])):
            with self._file(number).open("ab") as file:
                mine.tofile(file)

    def _part(self, number: int) -> Counted:
        users, keys = np.fromfile(self._file(number), np.uint64).reshape(-1, 2).T
        return Counted(users, keys)

    def _file(self, number: int) -> Path:
        return self._folder / f"{number:02}.windows"


def _joined(found: Sequence[Counted]) -> Counted:
    none = np.empty(0, np.uint64)
    users, keys = zip(Counted(none, none), *found, strict=True)
    return Counted(np.concatenate(users), np.concatenate(keys))


def _hashes(turns: pl.Series, block: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield (turn, window) arrays, slice by slice."""
    sizes = turns.str.len_chars().fill_null(0).to_numpy().astype(np.int64)
    long = np.flatnonzero(sizes >= 2 * block)  # the others have no window, and normalising makes none longer
    slices = np.cumsum(sizes[long]) // SLICE_CHARACTERS
    for mine in np.split(long, np.flatnonzero(np.diff(slices)) + 1):
        codes, starts, lengths = _normalised(turns.gather(mine).str.join("").item(), sizes[mine])
        blocks = lengths // block
        turn = np.repeat(np.arange(len(mine)), blocks)
        place = np.arange(len(turn)) - np.repeat(np.cumsum(blocks) - blocks, blocks)
        if len(turn):
            rows = np.lib.stride_tricks.sliding_window_view(codes, block)[starts[turn] + block * place]
            # Sums of products with random odd weights: a universal hash, under which two blocks that differ are
            # the same about once in 2^44, and linear, so that one multiplication joins neighbours.
            hashed = rows.astype(np.uint64) @ _WEIGHTS[:block]
            pair = np.flatnonzero(turn[1:] == turn[:-1])
            yield mine[turn[pair]].astype(np.uint32), hashed[pair] + hashed[pair + 1] * _NEXT


def _normalised(text: str, sizes: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the code points of turns joined to `text`, normalised, where each turn starts, and how long it is.

    sizes: the turns' characters. Plain ASCII keeps to one byte a character, which is what makes it fast.
    """
    if text.isascii():
        codes = _folded()[:128].astype(np.uint8)[np.frombuffer(text.encode(), np.uint8)]
    else:
        codes = _folded()[np.frombuffer(text.encode("utf-32-le"), np.dtype("<u4"))]
    ends = np.cumsum(sizes)
    space = codes == _SPACE
    extra = np.empty(len(codes), bool)
    extra[1:] = space[1:] & space[:-1]
    extra[ends - sizes] = space[ends - sizes]
    ends = ends - np.searchsorted(gone := np.flatnonzero(extra), ends)
    codes = codes[~extra] if len(gone) else codes
    lengths = np.diff(ends, prepend=0)
    trailing = lengths > 0
    trailing[trailing] = codes[ends[trailing] - 1] == _SPACE
    return codes, ends - lengths, lengths - trailing


@cache
def _folded() -> np.ndarray:
    """Return what each code point becomes: lower case (of İ, whose lower case is two, the first), 0, or a space."""
    table = np.arange(0x110000, dtype=np.uint32)
    for code in range(0x20000):  # beyond are Chinese characters, and none that has a case or is a digit or a space
        character = chr(code)
        if character.isspace():
            table[code] = _SPACE
        elif character.isdecimal():
            table[code] = ord("0")
        elif character.isupper() or character.istitle():
            table[code] = ord(character.lower()[0])
    return table
