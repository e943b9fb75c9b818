"""kill -9 at random moments of a full study: of everything, or of one of the processes that a run has."""

from __future__ import annotations

import random
import sqlite3
import subprocess
import time
from collections.abc import Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from tests.faults.lab import STUDY, Lab, cache_of, differing, repeated, start, stored, study_of, torn, watch
from tests.faults.outcome import Outcome
from tests.workspaces import recenter

#: Who is killed, the share of the kills, and words of what the run must say of it; nobody is left to speak of the first
#: two.
VICTIMS: dict[str, tuple[int, tuple[str, ...]]] = {
    "everything": (8, ()),
    "the command": (3, ()),
    "Snakemake": (3, ("Snakemake was ended from outside", "SIGKILL", "run again")),
    "a notebook's process": (3, ("Notebook", "was ended from outside", "run again")),
    "a notebook's kernel": (3, ("Notebook", "was killed", "memory")),
}
#: Seconds that processors work for the whole study, about: the kills are spread over these.
WORK = 400.0

#: Seconds to wait for a victim, or for what is said of it.
PATIENCE = 180.0


@dataclass
class Disturbed:
    """One run of the study that is killed again and again, and whose kills they were."""

    workspace: Path
    kills: list[Outcome] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    known: dict[bytes, str] = field(default_factory=dict)
    said_twice: int = 0


def killed(lab: Lab, number: int, seed: int) -> list[Outcome]:
    """Kill runs of the study until there were so many kills; let each study end, and compare its tables.

    Where a study ends before its kill comes, the next one begins, so that all kills come in mid-run.
    """
    chance = random.Random(seed)
    outcomes = {name: Outcome(f"kill -9: {name}") for name in VICTIMS}
    order = _order(number, chance)
    known = stored(cache_of(lab.undisturbed))
    longest = max(1.5 * WORK / number, 5.0)
    at_work: Disturbed | None = None
    for place, name in enumerate(order, 1):
        with outcomes[name].timed():
            while True:
                if at_work is None:
                    at_work = Disturbed(lab.new("killed"))
                    watch(cache_of(at_work.workspace))
                if _kill(at_work, name, chance.uniform(1.0, longest), outcomes[name]):
                    break
                _finish(lab, at_work)
                at_work = None
            at_work.kills.append(outcomes[name])
            _look(lab, at_work, known)
        done = sum(path.name.count(".") == 1 for path in (study_of(at_work.workspace) / "runs").glob("*.ipynb"))
        lab.say(f"  {place} of {number}: killed {name}; {done} notebooks stand")
    if at_work:
        with outcomes[order[-1]].timed():
            _finish(lab, at_work)
    return [outcome for outcome in outcomes.values() if outcome.injected]


def _order(number: int, chance: random.Random) -> list[str]:
    shares = [name for name, (share, _) in VICTIMS.items() for _ in range(share)]
    chance.shuffle(shares)
    return [shares[place % len(shares)] for place in range(number)]


def _kill(at_work: Disturbed, name: str, moment: float, outcome: Outcome) -> bool:
    """Start the run and kill after some seconds of work; return False where it ended before that."""
    log = at_work.workspace / f"said-{len(at_work.kills)}.log"
    process = start(at_work.workspace, log=log)
    _, words = VICTIMS[name]
    try:
        _work(process, moment)
        give_up = time.monotonic() + PATIENCE
        while process.poll() is None and not (victims := _victims(process.pid, name)):
            if time.monotonic() > give_up:
                at_work.problems.append(f"no {name} within {PATIENCE:g} s: {log.read_text('utf-8')[-300:]}")
                return True
            time.sleep(0.02)
        if process.poll() is not None:
            return False
        finished = f"{_notebook(victims[0])} done "
        before = len(log.read_text("utf-8"))
        for victim in victims:
            with suppress(psutil.NoSuchProcess):
                victim.kill()
        while words and time.monotonic() < give_up and process.poll() is None:
            said = log.read_text("utf-8")[before:]
            if not outcome.heard(said, *words) or finished in said:
                break
            time.sleep(0.1)
        said = log.read_text("utf-8")[before:]
        # One that had done its work by then needs no word.
        if words and finished not in said and (problem := outcome.heard(said, *words)):
            at_work.problems.append(problem)
        return True
    finally:
        # Of the command alone the others live on, as after a closed terminal: the next run has to deal with them.
        if name != "the command":
            for member in _victims(process.pid, "everything"):
                with suppress(psutil.NoSuchProcess):
                    member.kill()
        process.kill() if process.poll() is None else None
        process.wait()


def _work(process: subprocess.Popen[bytes], moment: float) -> None:
    """Wait until a run's processes have worked for so many seconds in all, however busy the machine is, or it ends."""
    worked: dict[int, float] = {}
    while process.poll() is None and sum(worked.values()) < moment:
        for member in _victims(process.pid, "everything"):
            with suppress(psutil.Error):
                times = member.cpu_times()
                worked[member.pid] = times.user + times.system
        time.sleep(0.1)


def _victims(pid: int, name: str) -> Sequence[psutil.Process]:
    """Return the processes of a run that `name` stands for."""
    try:
        command = psutil.Process(pid)
        family = command.children(recursive=True)
    except psutil.NoSuchProcess:
        return []
    if name == "everything":
        return [command, *family]
    if name == "the command":
        return [command]
    module = {"Snakemake": "snakemake", "a notebook's process": "recenter_utils.execution"}.get(
        name, "ipykernel_launcher"
    )
    return [member for member in family if _module(member) == module][:1]


def _notebook(process: psutil.Process) -> str:
    """Return the notebook that a process, or its parent, runs; empty where it is of no single one."""
    with suppress(psutil.Error):
        for member in (process, process.parent()):
            if member and _module(member) == "recenter_utils.execution":
                return next(word for word in member.cmdline()[::-1] if not word.startswith("-"))
    return "no notebook"


def _module(process: psutil.Process) -> str:
    with suppress(psutil.Error, IndexError, ValueError):
        words = process.cmdline()
        return words[words.index("-m") + 1]
    return ""


def _look(lab: Lab, at_work: Disturbed, known: dict[bytes, str]) -> None:
    """Look at what a kill left: whole tables, a sound cache, and every answer that was there before."""
    if problem := torn(at_work.workspace, lab.undisturbed):
        at_work.problems.append(problem)
    cache = cache_of(at_work.workspace)
    with closing(sqlite3.connect(cache)) as database:
        if (found := database.execute("PRAGMA integrity_check").fetchone()[0]) != "ok":
            at_work.problems.append(f"the cache: {found}")
    held = stored(cache)
    if gone := [key for key in at_work.known if key not in held]:
        at_work.problems.append(f"{len(gone)} stored answers are gone")
    if other := [key for key, text in held.items() if known.get(key, text) != text]:
        at_work.problems.append(f"{len(other)} stored answers are not those of an undisturbed run")
    at_work.known = held
    _count_twice(at_work)


def _count_twice(at_work: Disturbed) -> None:
    """Put down to the last kill but one what was asked twice since then: it comes out in the run after a kill."""
    twice = repeated(cache_of(at_work.workspace))
    at_work.kills[max(len(at_work.kills) - 2, 0)].asked_twice += twice - at_work.said_twice
    at_work.said_twice = twice


def _finish(lab: Lab, at_work: Disturbed) -> None:
    """Let the study end, and compare."""
    done = recenter(at_work.workspace, "run", STUDY)
    if at_work.kills:
        _count_twice(at_work)
    if done.returncode:
        at_work.problems.append(f"the last run failed: {done.stderr[-500:]}")
    if problem := differing(at_work.workspace, lab.undisturbed):
        at_work.problems.append(problem)
    if left := _still_there(at_work.workspace):
        at_work.problems.append(f"{left} processes are left")
    for outcome in at_work.kills:
        outcome.add(1, "; ".join(at_work.problems))


def _still_there(workspace: Path) -> int:
    mine = str(workspace)
    return sum(mine in " ".join(process.info["cmdline"] or []) for process in psutil.process_iter(["cmdline"]))
