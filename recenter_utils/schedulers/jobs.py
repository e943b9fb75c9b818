"""Notebooks that run as a scheduler's jobs, seen from the run that handed them in: what they say, and why they ended.

Jobs share the study's folder with the run and nothing else: what a notebook would print goes to runs/NAME.said.
"""

from __future__ import annotations

import json
import queue
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from recenter_utils.schedulers import kubernetes, slurm
from recenter_utils.schedulers.profile import Profile

#: Seconds between looks at what jobs say.
LOOK = 1.0

_MODULES = {"slurm": slurm, "kubernetes": kubernetes}

_STAYS = "What is finished, and every answer that is stored, stays"


def begin(runs: Path, profile: Profile, name: str) -> None:
    """Remember, before anything is handed in, which scheduler holds jobs of this study, and forget what others said."""
    for file in (*runs.glob("*.said"), *runs.glob("*.log")):
        file.unlink(missing_ok=True)
    scheduler = next((key for key, module in _MODULES.items() if module is profile.scheduler), "")
    (runs / "jobs.json").write_text(json.dumps({"scheduler": scheduler, "name": name}), "utf-8")


def over(runs: Path) -> None:
    """Forget the jobs: the executor has seen each of them end, and so have their processes, wherever they were."""
    for file in (*runs.glob("*.pid"), runs / "jobs.json"):
        file.unlink(missing_ok=True)


def end(runs: Path) -> bool:
    """End the jobs of a run that did not see them end; return whether there were any that could be ended."""
    file = runs / "jobs.json"
    try:
        known = json.loads(file.read_text("utf-8"))
    except (OSError, ValueError):
        return False
    module = _MODULES.get(known["scheduler"])
    if module is not None:
        module.end(known["name"])
    file.unlink(missing_ok=True)
    return module is not None


def spoken(said: IO[str], runs: Path, prefix: str) -> Iterator[str]:
    """Yield Snakemake's lines, and between them those that jobs wrote in the meantime, each behind the prefix."""
    lines: queue.Queue[str | None] = queue.Queue()

    def pump() -> None:
        for line in said:
            lines.put(line)
        lines.put(None)

    threading.Thread(target=pump, daemon=True).start()
    read: dict[Path, int] = {}
    going = True
    while going:
        try:
            line = lines.get(timeout=LOOK)
            going = line is not None
            if line is not None:
                yield line
        except queue.Empty:
            pass
        for file in sorted(runs.glob("*.said"), key=lambda path: path.name):
            with file.open("rb") as stream:
                stream.seek(read.get(file, 0))
                whole = stream.read().rpartition(b"\n")
            read[file] = read.get(file, 0) + len(whole[0] + whole[1])
            yield from (f"{prefix}{line}\n" for line in whole[0].decode("utf-8", "replace").splitlines())


def endings(runs: Path, log: Path, profile: Profile) -> dict[str, str]:
    """Return for each notebook whose job was ended from outside a sentence with the cause and the remedy.

    log: what Snakemake said. A notebook that failed has said so itself, and is not among them.
    """
    text = log.read_text("utf-8", "replace")
    found: dict[str, str] = {}
    for part in re.split(r"(?=^Error in (?:rule|group) )", text, flags=re.MULTILINE)[1:]:
        name = part.split("\n", 1)[0].removeprefix("Error in rule ").rstrip(":")
        said = runs / f"{name}.said"
        if said.is_file() and f"Notebook {name} " in said.read_text("utf-8", "replace"):
            continue
        number = re.search(r"external_jobid: (\S+)", part)
        found[name] = _sentence(name, number[1] if number else "", part, runs, text, profile)
    return found


def _sentence(name: str, job: str, part: str, runs: Path, text: str, profile: Profile) -> str:
    scheduler = profile.scheduler
    if scheduler is None:
        return f"Notebook {name} was ended by its job's scheduler: see {runs / 'snakemake.log'}."
    log = scheduler.log_of(runs.parent, name, job)
    wrote = log.read_text("utf-8", "replace") if job and log.is_file() else ""
    kind, words = scheduler.ending(job, f"{part}\n{'' if job else text}\n{wrote}")
    change = f"'set-resources' of {profile.file}"
    which = f"Notebook {name} (job {job})" if job else f"Notebook {name}"
    match kind:
        case "time":
            return (
                f"{which} was ended at its time limit. {_STAYS}: run again, and it goes on where it stopped; or give "
                f"it more with 'runtime' (minutes) for {name} under {change}."
            )
        case "memory":
            return f"{which} was ended for using more memory than it asked for. {_more(name, change)}"
        case "cancelled":
            return f"{which} was cancelled. {_STAYS}: run again, and it goes on where it stopped."
        case "preempted" | "node":
            why = "lost its place to another job" if kind == "preempted" else "lost its machine"
            return f"{which} {why}. {_STAYS}: run again, and it goes on where it stopped."
        case "refused":
            return f"{which} was not taken by the scheduler: {words}. Correct what {profile.file} asks for."
    last = log if wrote else runs / "snakemake.log"
    return f"{which} ended without a word: {last} may say why. {_STAYS}: run again."


def _more(name: str, change: str) -> str:
    return f"Give it more with 'mem_mb' for {name} under {change}, and run again. {_STAYS}."
