"""Options of a round of judging, kept with its answers: the same command with fewer of them goes on by the same rules.

Otherwise a restart that forgets `--checks` would take every check item away, and nobody would be told.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

from recenter_utils.annotation.store import Store

_KEY = "options"


@dataclass(frozen=True)
class Options:
    """What decides who gets which pages, and what passes; None is not given."""

    per_item: int | None = None
    overlap: int | None = None
    cap: int | None = None
    reclaim_hours: float | None = None
    checks: int | None = None
    min_passed: float | None = None

    def or_else(self, kept: Options) -> Options:
        """Return these options, with kept ones in the place of those that are not given."""
        mine = {name: value for name, value in asdict(self).items() if value is not None}
        return replace(kept, **mine)

    def __str__(self) -> str:
        given = {name: value for name, value in asdict(self).items() if value is not None}
        return " ".join(f"--{name.replace('_', '-')} {value:g}" for name, value in given.items())


def kept(path: Path) -> Options:
    """Return the options of the round whose answers are in a file; none where there is no file yet."""
    if not path.is_file():
        return Options()
    with Store(path) as store:
        found = json.loads(store.meta(_KEY) or "{}")
    known = {field.name for field in fields(Options)}
    return Options(**{name: value for name, value in found.items() if name in known})


def keep(store: Store, options: Options) -> None:
    """Keep the options of a round for its next start."""
    with store.transaction() as db:
        db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (_KEY, json.dumps(asdict(options))))
