"""Folders of trained models: written beside their place, and put there whole or not at all."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import psutil


def partial(folder: Path) -> Path:
    """Return a new folder beside `folder`, and remove what killed runs left there."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    for left in folder.parent.glob(f".{folder.name}.*"):
        if not psutil.pid_exists(int(left.suffix[1:])):
            shutil.rmtree(left, ignore_errors=True)
    made = folder.with_name(f".{folder.name}.partial.{os.getpid()}")
    shutil.rmtree(made, ignore_errors=True)
    made.mkdir()
    return made


def replace(folder: Path, made: Path) -> None:
    """Put a finished folder (see `partial`) in its place."""
    # A folder cannot be replaced in one step: one that is moved away for a moment is trained again at worst.
    old = folder.with_name(f".{folder.name}.old.{os.getpid()}")
    if folder.exists():
        folder.replace(old)
    made.replace(folder)
    shutil.rmtree(old, ignore_errors=True)
