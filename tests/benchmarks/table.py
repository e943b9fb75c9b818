"""The table of all parts: for a terminal, as CSV for the book, and what one part prints when it is run alone."""

from __future__ import annotations

import argparse
import csv
import dataclasses
import json
import math
import os
import platform
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

from tests.benchmarks.timing import Row

#: Columns of the CSV beside those of a row: how seconds grow with size, ours and the tool's, and what it was run on.
GROWTHS = ("growth", "instead_growth")
CIRCUMSTANCES = ("machine", "load", "date")
COLUMNS = (*(field.name for field in dataclasses.fields(Row)), *GROWTHS, *CIRCUMSTANCES)

_SHOWN = ("part", "size", "seconds", "x tool", "x limit", "growth", "tool's", "MB", "instead", "limit")


def growth(sizes: Sequence[float], seconds: Sequence[float]) -> float:
    """Return the exponent with which seconds grow with size: the slope of their logarithms, by least squares.

    1 is linear, 2 quadratic. NaN with fewer than two different sizes.
    """
    if len(set(sizes)) < 2:
        return math.nan
    x, y = ([math.log(value) for value in values] for values in (sizes, seconds))
    mean_x, mean_y = sum(x) / len(x), sum(y) / len(y)
    above = sum((one - mean_x) * (other - mean_y) for one, other in zip(x, y, strict=True))
    return above / sum((one - mean_x) ** 2 for one in x)


def growths(rows: Sequence[Row]) -> dict[str, tuple[float, float]]:
    """Return for each part how seconds grow: ours, and the tool's."""
    found = {}
    for part in dict.fromkeys(row.part for row in rows):
        mine = [row for row in rows if row.part == part]
        sizes = [row.size for row in mine]
        found[part] = (
            growth(sizes, [row.seconds for row in mine]),
            growth(sizes, [row.instead_seconds for row in mine]),
        )
    return found


def machine() -> str:
    """Return what this machine is, in words that name nobody's."""
    memory = psutil.virtual_memory().total / 2**30
    return f"{os.cpu_count()} cores, {memory:.0f} GiB memory, {platform.system()}, Python {platform.python_version()}"


def circumstances() -> dict[str, str]:
    """Return the machine, what else it is doing now, and the date."""
    waiting = os.getloadavg()[0]
    busy = "shared with other work" if waiting > 0.5 else "nothing else"
    load = f"{busy}: {waiting:.1f} processes wanted its {os.cpu_count()} cores in the minute before"
    return {"machine": machine(), "load": load, "date": f"{datetime.now(UTC):%Y-%m-%d}"}


def as_text(rows: Sequence[Row]) -> str:
    """Return the table for a terminal."""
    slopes = growths(rows)
    cells: list[tuple[str, ...]] = [_SHOWN]
    for row in rows:
        ours, theirs = slopes[row.part]
        cells.append((
            row.part, f"{row.size:,} {row.unit}", brief(row.seconds), brief(row.quicker), brief(row.over_limit),
            f"{ours:.2f}", f"{theirs:.2f}", f"{row.peak_mb:,.0f}", row.instead, row.limit,
        ))  # fmt: skip
    widths = [max(len(line[place]) for line in cells) for place in range(len(_SHOWN))]
    lines = [
        "  ".join(
            cell.ljust(width) if place in (0, 8, 9) else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in cells
    ]
    noted = dict.fromkeys(f"{row.part}: {row.note}" for row in rows if row.note)
    legend = "x tool: how many times quicker than the tool. x limit: how many times the limit's time. growth: exponent."
    return "\n".join([*lines, legend, *noted])


def write(rows: Sequence[Row], path: Path, about: Mapping[str, str]) -> None:
    """Write the table as CSV. about: see `circumstances`."""
    slopes = growths(rows)
    known = (dataclasses.asdict(row) | dict(zip(GROWTHS, slopes[row.part], strict=True)) | dict(about) for row in rows)
    save([{name: row[name] for name in COLUMNS} for row in known], path)


def save(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Write rows with the same columns, one or more, as CSV with three significant digits."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        table.writeheader()
        for row in rows:
            table.writerow(rounded(row))


def rounded(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row whose fractions are texts of three significant digits."""
    return {name: brief(cell) if isinstance(cell, float) else cell for name, cell in row.items()}


def brief(number: float) -> str:
    """Return a number to three significant digits."""
    return f"{number:,.0f}".replace(",", "") if abs(number) >= 100 else f"{number:.3g}"


def alone(
    unit: str,
    sizes: Mapping[str, tuple[int, int, int]],
    measure: Callable[[int], Row],
    more: Callable[[int], Iterable[str]] | None = None,
    arguments: Sequence[str] | None = None,
) -> None:
    """Run one part from the command line: at its three sizes, or with `--<unit> N` at one.

    more: what else is worth a line at that size; asked for where a size is named.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument(f"--{unit}", type=int, dest="size", help="measure at this size alone, and say more")
    parser.add_argument("--sizes", choices=list(sizes), default="full")
    parser.add_argument("--json", action="store_true", help="a JSON object a row, as each is ready")
    given = parser.parse_args(arguments)
    rows = []
    for size in (given.size,) if given.size else sizes[given.sizes]:
        rows.append(measure(size))
        if given.json:
            print(json.dumps(dataclasses.asdict(rows[-1])), flush=True)
    if not given.json:
        print(as_text(rows))
        for line in more(given.size) if more and given.size else ():
            print(line, flush=True)
