"""Random draws that depend on a seed and on names alone: not on the order of rows, nor on who else is there."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable


def lot(seed: int, *names: str) -> bytes:
    """Return a number drawn for these names, as eight bytes to sort by."""
    text = "\0".join((str(seed), *names))
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()


def place(seed: int, *names: str) -> int:
    """Return a whole number from 0 to 2**64 - 1, drawn for these names."""
    return int.from_bytes(lot(seed, *names), "little")


def uniform(seed: int, *names: str) -> float:
    """Return a number between 0 and 1, both left out, drawn for these names."""
    return (place(seed, *names) + 0.5) / 2**64


def drawn(names: Iterable[str], number: int | None, seed: int, *purpose: str) -> list[str]:
    """Return `number` of the names, or all where there are fewer or it is None, in a random order.

    A further name takes the place of at most one that was drawn before. purpose: what is drawn, so that two draws
    among the same names differ.
    """
    return sorted(names, key=lambda name: (lot(seed, *purpose, name), name))[:number]
