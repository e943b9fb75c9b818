"""A notebook that is killed by a limit on its memory, or meets one."""

from __future__ import annotations

from pathlib import Path

from recenter_utils import notebooks
from tests.faults.lab import SHORT, STUDY, Lab, differing
from tests.faults.outcome import Outcome
from tests.workspaces import recenter

#: What happens in the notebook, and words that the run must say of it.
ENDS: dict[str, tuple[str, tuple[str, ...]]] = {
    "the system kills it": (
        "import os, signal; os.kill(os.getpid(), signal.SIGKILL)",
        ("was killed in cell", "memory"),
    ),
    "a library gives up": ("import os; os.abort()", ("killed in cell", "memory")),
    "it is told that there is no more": (
        "import resource; resource.setrlimit(resource.RLIMIT_DATA, (2**33, 2**33)); hog = bytearray(2**34)",
        ("failed in cell", "memory is used up", "--jobs 1"),
    ),
}


def out_of_memory(lab: Lab) -> list[Outcome]:
    """End the second notebook in each of these ways, at the cell that asks its model; then let it run."""
    outcome = Outcome("notebook killed by its memory limit")
    with outcome.timed():
        for name, (code, words) in ENDS.items():
            workspace = lab.copy(lab.short, "memory")
            whole = put(workspace, code)
            done = recenter(workspace, "run", STUDY, "--only", SHORT)
            problem = outcome.heard(done.stderr, *words) if done.returncode else "the notebook did not end"
            notebook_of(workspace).write_bytes(whole)
            again = recenter(workspace, "run", STUDY, "--only", SHORT)
            problem = problem or (again.stderr[-500:] if again.returncode else differing(workspace, lab.short))
            outcome.add(1, problem)
            lab.say(f"  memory, {name}: {problem or 'survived'}")
    return [outcome]


def notebook_of(workspace: Path) -> Path:
    """Return the notebook that ends."""
    return workspace / "notebooks" / f"{SHORT}.ipynb"


def put(workspace: Path, code: str) -> bytes:
    """Put code before the cell that asks the notebook's model; return the notebook as it was."""
    path = notebook_of(workspace)
    whole = path.read_bytes()
    notebook = notebooks.read(path)
    cell = next(cell for cell in notebook["cells"] if "extraction.extract(" in cell["source"])
    cell["source"] = f"{code}\n{cell['source']}"
    notebooks.write(notebook, path)
    return whole
