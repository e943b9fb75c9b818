"""Folders of trained models: written beside their place, and put there whole or not at all."""

from __future__ import annotations

import errno
import os
import platform
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from recenter_utils.errors import RecenterError

#: How torch and safetensors report a disk that is full; the system's own error has a number.
_FULL = ("no space left on device", "disk quota exceeded", "pytorchstreamwriter failed", "inline_container.cc")


def partial(folder: Path) -> Path:
    """Return a new folder beside `folder`, and remove what killed runs of this host left there."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    for left in folder.parent.glob(f".{folder.name}.*"):
        # On a shared disk, only the host of a process can say whether it still runs.
        ours = re.fullmatch(rf"\.{re.escape(folder.name)}\.(?:partial|old)\.{re.escape(_host())}\.(\d+)", left.name)
        if ours and not psutil.pid_exists(int(ours[1])):
            shutil.rmtree(left, ignore_errors=True)
    made = _beside(folder, "partial")
    shutil.rmtree(made, ignore_errors=True)
    made.mkdir()
    return made


def replace(folder: Path, made: Path) -> None:
    """Put a finished folder (see `partial`) in its place."""
    # A folder cannot be replaced in one step: one that is moved away for a moment is trained again at worst.
    old = _beside(folder, "old")
    if folder.exists():
        folder.replace(old)
    made.replace(folder)
    shutil.rmtree(old, ignore_errors=True)


def size(folder: Path) -> int:
    """Return how many bytes the files of a folder take, in which others may write and delete meanwhile."""
    taken = 0
    for place, _, names in os.walk(folder):
        for name in names:
            with suppress(FileNotFoundError):
                taken += Path(place, name).stat().st_size
    return taken


@contextmanager
def room(folder: Path) -> Iterator[None]:
    """Raise a RecenterError that names the folder and what to do where the disk is full within this block."""
    try:
        yield
    except RecenterError:
        raise
    except Exception as problem:
        number = problem.errno if isinstance(problem, OSError) else None
        if number not in (errno.ENOSPC, errno.EDQUOT) and not any(words in str(problem).lower() for words in _FULL):
            raise
        raise RecenterError(
            f"The disk is full under {folder.parent}: make room, or move the study to a larger disk, and run again; "
            "training goes on from its last whole checkpoint."
        ) from problem


def _beside(folder: Path, what: str) -> Path:
    return folder.with_name(f".{folder.name}.{what}.{_host()}.{os.getpid()}")


def _host() -> str:
    return re.sub(r"[^\w-]", "-", platform.node()) or "unknown"
