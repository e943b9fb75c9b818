"""SQLite files that several processes write to at once."""

from __future__ import annotations

import os
import sqlite3
import time
from pathlib import Path

#: Seconds to wait for another process's lock.
PATIENCE = 60.0

#: Set where processes on several machines share the files: a write-ahead log needs memory that they share as well.
SHARED = "RECENTER_SHARED_FILES"


def journal() -> str:
    """Return the kind of journal that keeps writers apart: on one machine, or through locks of a shared file system."""
    return "DELETE" if os.environ.get(SHARED) else "WAL"


def connect(path: Path, **more: bool) -> sqlite3.Connection:
    """Open a database with its `journal`, made where it is missing; transactions are the caller's to begin.

    more: further arguments of `sqlite3.connect`. Raises sqlite3.Error where the file is none or cannot be written.
    """
    database = sqlite3.connect(path, timeout=PATIENCE, isolation_level=None, **more)
    # Unlike every other statement this one does not wait for its lock, which two that make the file both want.
    give_up = time.monotonic() + PATIENCE
    while True:
        try:
            database.execute(f"PRAGMA journal_mode={journal()}")
            return database
        except sqlite3.OperationalError as problem:
            if "locked" not in str(problem) or time.monotonic() > give_up:
                database.close()
                raise
            time.sleep(0.01)
        except sqlite3.Error:
            database.close()
            raise
