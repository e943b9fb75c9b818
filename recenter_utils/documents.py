"""YAML files that a user writes: whatever is wrong with one is a sentence that names it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from recenter_utils.errors import RecenterError, printable

#: Besides its own errors and the disk's, the library lets pass what Python says of values that look like a date or a
#: number and are none, and of what is nested too deep.
_FAULTS = (yaml.YAMLError, OSError, ValueError, OverflowError, AttributeError, TypeError, RecursionError)


def read_yaml(path: Path) -> Any:
    """Return what a YAML file holds; raise RecenterError, naming the file, where it cannot be read."""
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except _FAULTS as problem:
        reason = printable(" ".join(str(problem).split()), 500)
        raise RecenterError(f"{path} is not readable YAML: {reason.rstrip('.')}.") from None
