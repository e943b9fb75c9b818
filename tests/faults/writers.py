"""Two writers: two runs of a study at once, and two processes that ask the same questions into one cache."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

from recenter_utils.inference import session
from recenter_utils.inference.run import run
from recenter_utils.inference.tasks import LANGUAGE_CHECK
from tests.fake_server import FakeServer, Reply, english, items
from tests.faults.lab import NEXT_NOTEBOOK, STUDY, Lab, cache_of, differing, repeated, start, study_of, watch
from tests.faults.outcome import Outcome
from tests.workspaces import ROOT, recenter

ASKER = """
import json, sys
from pathlib import Path
from recenter_utils.inference.models import Model
from recenter_utils.inference.run import run
from recenter_utils.inference.tasks import LANGUAGE_CHECK
from tests.fake_server import items
model = Model.model_validate_json(sys.argv[1])
frame = run(LANGUAGE_CHECK, items(int(sys.argv[3])), model, cache=Path(sys.argv[2]), progress=False)
print(json.dumps([frame.error.notna().sum().item(), frame.is_english.tolist()]))
"""


def two_writers(lab: Lab) -> list[Outcome]:
    """Have a second run refused while the first goes on, and let two processes ask into one cache."""
    outcome = Outcome("two writers")
    with outcome.timed():
        outcome.add(1, _two_runs(lab, outcome))
        problem, twice = two_askers(lab.path("asked") / "answers.sqlite")
        outcome.add(1, problem, twice)
    lab.say(f"  two writers: {outcome.problem or 'survived'}")
    return [outcome]


def _two_runs(lab: Lab, outcome: Outcome) -> str:
    workspace = lab.copy(lab.short, "twice")
    watch(cache_of(workspace))
    first = start(workspace, "--only", NEXT_NOTEBOOK)
    while first.poll() is None and not (study_of(workspace) / "runs" / "snakemake.pid").exists():
        time.sleep(0.02)
    second = recenter(workspace, "run", STUDY, "--only", NEXT_NOTEBOOK)
    first.wait()
    outcome.asked_twice += repeated(cache_of(workspace))
    if first.returncode:
        return f"the first run failed: {(workspace / 'said.log').read_text('utf-8')[-500:]}"
    problem = outcome.heard(second.stderr, "is being run already by process", "wait for it, or end it")
    return problem or differing(workspace, lab.short) or differing(workspace, lab.undisturbed, ["merged_attributes"])


def two_askers(cache: Path, rows: int = 400) -> tuple[str, int]:
    """Start a process that asks many questions, and when it is under way a second that asks the same.

    Return what is wrong, and how many questions were asked again although their answer was stored: they had been
    answered for much longer than it takes to store one.
    """
    with FakeServer(lambda asked: Reply(english(asked).body, after=0.02)) as server:
        # The second is slow, so that the first has long answered what the second comes to.
        commands = [
            [sys.executable, "-c", ASKER, server.model(concurrency=at_once).model_dump_json(), str(cache), str(rows)]
            for at_once in (8, 1)
        ]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "cwd": ROOT}
        first = subprocess.Popen(commands[0], **pipes)  # type: ignore[call-overload]
        while len(server.asked) < rows // 4 and first.poll() is None:
            time.sleep(0.005)
        second = subprocess.Popen(commands[1], **pipes)  # type: ignore[call-overload]
        said = [process.communicate() for process in (first, second)]
        if first.returncode or second.returncode:
            return f"a writer failed: {said}", 0
        answered: dict[str, float] = {}
        twice = 0
        for asked in sorted(server.asked, key=lambda one: one.came_at):
            known = answered.get(asked.name)
            twice += known is not None and asked.came_at - known > 10 * session.COMMIT_EVERY
            answered.setdefault(asked.name, asked.answered_at or asked.came_at)
        held = run(LANGUAGE_CHECK, items(rows), server.model(), cache=cache, progress=False)
    expected = [place % 2 == 0 for place in range(rows)]
    if not held.cached.all() or held.is_english.tolist() != expected:
        return "the cache does not hold every answer", twice
    frames = [json.loads(out.splitlines()[-1]) for out, _ in said]
    return ("" if all(frame == [0, expected] for frame in frames) else "a writer got other answers"), twice
