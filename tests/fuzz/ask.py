"""One target under atheris: `python -m tests.fuzz.ask TARGET CORPUS [libFuzzer's options]`; see `__main__`."""

from __future__ import annotations

import sys

import atheris

with atheris.instrument_imports(include=["recenter_utils"]):
    from tests.fuzz.targets import TARGETS

if __name__ == "__main__":
    target = TARGETS[sys.argv.pop(1)]
    atheris.Setup(sys.argv, target)
    atheris.Fuzz()
