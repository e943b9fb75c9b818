"""Where faults are injected: copies of workspaces, and what an undisturbed run of the same study comes to."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterable
from contextlib import closing
from functools import cached_property
from pathlib import Path

from tests.workspaces import copied, environment, new_workspace, recenter, table_bytes

STUDY = "demo"

#: The notebook up to which short studies go.
SHORT = "02-attributes"

#: The notebook after these.
NEXT_NOTEBOOK = "03-merging"


class Lab:
    """Scratch workspaces in one folder."""

    def __init__(self, folder: Path, say: Callable[[str], object] = print, undisturbed: Path | None = None) -> None:
        self.folder, self.say = folder, say
        if undisturbed:
            self.undisturbed = undisturbed

    def path(self, name: str) -> Path:
        """Return a folder that is not there yet."""
        return next(path for number in range(1000) if not (path := self.folder / f"{name}-{number}").exists())

    def new(self, name: str) -> Path:
        """Return a workspace in which nothing has run."""
        return new_workspace(self.path(name))

    @cached_property
    def undisturbed(self) -> Path:
        """A workspace in which the whole demo has run, undisturbed. For reading only."""
        self.say("An undisturbed run of the whole study, to compare with …")
        return _ran(self.new("undisturbed"))

    @cached_property
    def short(self) -> Path:
        """A workspace in which the first notebooks have run, undisturbed. For reading only."""
        return _ran(self.new("short"), "--only", SHORT)

    def copy(self, workspace: Path, name: str) -> Path:
        """Return a copy of a workspace, in which nothing is out of date that was not before."""
        target = self.path(name)
        if (workspace / "data" / STUDY / "models").is_dir():
            return copied(workspace, target)
        return shutil.copytree(workspace, target, copy_function=shutil.copy2)


def study_of(workspace: Path) -> Path:
    """Return the study's folder in a workspace."""
    return workspace / "data" / STUDY


def cache_of(workspace: Path) -> Path:
    """Return the study's file of stored answers."""
    return study_of(workspace) / "cache" / "answers.sqlite"


def _ran(workspace: Path, *more: str) -> Path:
    done = recenter(workspace, "run", STUDY, *more)
    if done.returncode:
        raise SystemExit(f"The undisturbed run failed, so that nothing can be compared with it:\n{done.stderr}")
    return workspace


def start(workspace: Path, *more: str, log: Path | None = None) -> subprocess.Popen[bytes]:
    """Start a run of the study in the background; what it says goes to a file."""
    with (log or workspace / "said.log").open("ab") as said:
        return subprocess.Popen(
            [sys.executable, "-m", "recenter_utils.cli", "run", STUDY, *more],
            cwd=workspace,
            env=environment(workspace),
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
            start_new_session=True,
        )


def differing(made: Path, undisturbed: Path, only: Iterable[str] | None = None) -> str:
    """Return which tables are not, byte for byte, those of an undisturbed run; empty where all are.

    only: the tables to look at, all of which must be there; None: those that the undisturbed run made.
    """
    expected, found = table_bytes(undisturbed), table_bytes(made)
    names = list(expected) if only is None else [f"{name}.parquet" for name in only]
    wrong = [name for name in names if found.get(name) != expected[name]]
    return f"other tables than without the fault: {', '.join(wrong)}" if wrong else ""


def torn(made: Path, undisturbed: Path) -> str:
    """Return which of the tables that there are so far are not those of an undisturbed run."""
    expected = table_bytes(undisturbed)
    wrong = [name for name, held in table_bytes(made).items() if held != expected.get(name)]
    return f"torn tables: {', '.join(wrong)}" if wrong else ""


def watch(cache: Path) -> None:
    """Have a cache note every usable answer that comes for a question which has one: it was asked twice."""
    from recenter_utils.inference.cache import Cache

    with Cache(cache):
        pass
    with closing(sqlite3.connect(cache)) as database:
        database.executescript(
            "CREATE TABLE IF NOT EXISTS repeated (key BLOB);"
            "CREATE TRIGGER IF NOT EXISTS again BEFORE INSERT ON answers WHEN NEW.error IS NULL"
            " AND EXISTS (SELECT 1 FROM answers WHERE key = NEW.key AND error IS NULL)"
            " BEGIN INSERT INTO repeated VALUES (NEW.key); END;"
        )


def repeated(cache: Path) -> int:
    """Return how many answers came for questions that had one; see `watch`."""
    with closing(sqlite3.connect(cache)) as database:
        return int(database.execute("SELECT count(*) FROM repeated").fetchone()[0])


def stored(cache: Path) -> dict[bytes, str]:
    """Return the usable answers of a cache by their keys."""
    with closing(sqlite3.connect(cache)) as database:
        return dict(database.execute("SELECT key, text FROM answers WHERE error IS NULL").fetchall())
