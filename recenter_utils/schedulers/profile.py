"""Profiles: how Snakemake hands notebooks to a scheduler, as a file of settings that a user fills in."""

from __future__ import annotations

import hashlib
import importlib.util
import shutil
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from recenter_utils.documents import read_yaml
from recenter_utils.errors import RecenterError, nearest
from recenter_utils.schedulers import kubernetes, slurm

#: What an executor needs on this machine, and how it is called: the module of its plugin, and the scheduler's command.
_NEEDS = {
    "slurm": ("snakemake_executor_plugin_slurm", "sbatch"),
    "cluster-generic": ("snakemake_executor_plugin_cluster_generic", None),
}


@dataclass(frozen=True)
class Profile:
    """One profile. Build it with `find`."""

    file: Path
    settings: dict[str, Any]

    @property
    def executor(self) -> str:
        """Snakemake's name for what hands in jobs."""
        return str(self.settings["executor"])

    @property
    def scheduler(self) -> ModuleType | None:
        """The module that ends jobs of this scheduler and says why they ended; None for one that is not known here."""
        if self.executor == "slurm":
            return slurm
        return kubernetes if kubernetes.__name__ in str(self.settings.get("cluster-generic-submit-cmd")) else None

    def options(self, name: str, jobs: int | None) -> list[str]:
        """Return Snakemake's options. name: what the run's jobs are called. jobs: most at once; None: the profile's."""
        options = ["--workflow-profile", str(self.file)]
        if jobs is not None or not {"jobs", "cores"} & self.settings.keys():
            options += ["--jobs", str(jobs or 20)]
        return options + (["--slurm-jobname-prefix", name] if self.executor == "slurm" else [])


def find(profile: str, root: Path) -> Profile:
    """Return a profile by its name under notebooks/profiles/, or by the path of its folder or file.

    Raises RecenterError where there is none, it is not readable, or this machine lacks what it needs.
    """
    known = root / "notebooks" / "profiles"
    place = known / profile if (known / profile).is_dir() else Path(profile).expanduser()
    file = place / "config.yaml" if place.is_dir() else place
    if not file.is_file():
        names = sorted(path.parent.name for path in known.glob("*/config.yaml"))
        raise RecenterError(
            f"There is no profile '{profile}': name one of {', '.join(names)}, or the folder of your own with its "
            f"config.yaml.{nearest(profile, names)}"
        )
    settings = read_yaml(file)
    if not isinstance(settings, dict) or "executor" not in settings:
        raise RecenterError(f"{file} names no executor: write 'executor: slurm', or leave --profile out.")
    found = Profile(file.resolve(), settings)
    module, command = _NEEDS.get(found.executor, (None, None))
    if module and importlib.util.find_spec(module) is None:
        raise RecenterError(f"{file} needs Snakemake's executor '{found.executor}': pip install 'recenter[cluster]'.")
    if command and shutil.which(command) is None:
        raise RecenterError(f"'{command}' is not on this machine: run the command where jobs are handed in.")
    return found


def name_of_jobs(folder: Path) -> str:
    """Return what the jobs of a study are called: to be told, in a queue, from those of its namesakes elsewhere."""
    readable = "".join(letter if letter.isascii() and letter.isalnum() else "-" for letter in folder.name.lower())
    return f"recenter-{readable[:24].strip('-')}-{hashlib.blake2b(str(folder).encode(), digest_size=4).hexdigest()}"
