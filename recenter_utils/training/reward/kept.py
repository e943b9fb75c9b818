"""What trained models predicted, kept on disk so that an interrupted study goes on where it was."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recenter_utils.training import folders

Array = NDArray[np.float64]

#: Raised by hand when this package would train other models from the same settings and ratings.
VERSION = 1


class Kept:
    """A folder of predictions, a file a training, each written whole or not at all.

    about: what decides all of these trainings alike.
    """

    def __init__(self, folder: Path, about: Sequence[Any]) -> None:
        self._folder, self._about = folder, [VERSION, *about]

    def key(self, rows: NDArray[np.int64], targets: Array, commit: str) -> str:
        """Return the name of the training that learns these rows' targets. commit: of a base from the hub."""
        parts = [*self._about, commit, rows.tolist(), targets.tolist()]
        return hashlib.blake2b(json.dumps(parts, sort_keys=True).encode(), digest_size=12).hexdigest()

    def read(self, key: str, rows: int) -> Array | None:
        """Return what the training predicted of so many rows; None where that is not there or not whole."""
        try:
            found = np.array(json.loads(self._path(key).read_text(encoding="utf-8")), dtype=float)
        except (OSError, ValueError):
            return None
        return found if found.shape == (rows,) else None

    def write(self, key: str, predictions: Array) -> None:
        """Keep what the training predicted."""
        path = self._path(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
        with folders.room(path):
            partial.write_text(json.dumps(predictions.tolist()), encoding="utf-8")
            partial.replace(path)

    def _path(self, key: str) -> Path:
        return self._folder / f"{key}.json"
