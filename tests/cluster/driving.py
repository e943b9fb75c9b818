"""Starting the driver."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.workspaces import ROOT


def driven(folder: Path, *work: str, **environment: str) -> None:
    """Have the driver do some work."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.cluster.driver", str(folder), *work],
        cwd=ROOT,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=900,
    )
    assert done.returncode == 0, done.stderr[-3000:]
