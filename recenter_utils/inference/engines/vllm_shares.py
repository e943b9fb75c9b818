"""What each replica of a model gets of this machine: GPUs of its own, or processors where there are none."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass, field

from recenter_utils.errors import RecenterError
from recenter_utils.inference.models import Model

_SHOWN = "CUDA_VISIBLE_DEVICES"


@dataclass(frozen=True)
class Share:
    """A replica's part of the machine.

    gpus: how many it uses, 0 on processors. environment: variables that its process gets. processors: those that it
    keeps to; empty: all.
    """

    gpus: int = 0
    environment: dict[str, str] = field(default_factory=dict)
    processors: tuple[int, ...] = ()


def shares(model: Model, most: int | None = None) -> list[Share]:
    """Return a share for each replica of `model` on this machine.

    Replicas rather than more GPUs a model: where a model fits, GPUs that work apart need not wait for each other.
    As many as there are GPUs for, each with as many as the model is split over; on processors one, unless the entry's
    option `replicas` says otherwise. That option is the most there may be: with fewer GPUs there are fewer.

    most: the most there may be whatever the entry says.

    Raises RecenterError where `replicas` is no number of replicas.
    """
    wanted = model.options.get("replicas")
    if wanted is not None and not (type(wanted) is int and wanted >= 1):
        raise RecenterError(f"Model '{model.name}': options.replicas is {wanted!r}; give a whole number from 1.")
    gpus, each = visible_gpus(), model.gpus_each
    room = max(1, len(gpus) // each) if gpus else wanted or 1
    number = min(room, wanted or room, most or room)
    if gpus:
        parts = [gpus[place * each : (place + 1) * each] for place in range(number)]
        # A replica that is alone keeps what its user shows it.
        return [Share(each, {_SHOWN: ",".join(part)} if number > 1 else {}) for part in parts]
    own = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    if number == 1 or len(own) < number:
        return [Share()] * number
    return [Share(processors=tuple(own[place::number])) for place in range(number)]


def visible_gpus() -> list[str]:
    """Return the GPUs that this process may use, as CUDA calls them: those it is shown, or else all of the machine."""
    if (shown := os.environ.get(_SHOWN)) is not None:
        return [name.strip() for name in shown.split(",") if name.strip() not in ("", "-1")]
    try:
        listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return []
    # A GPU's parts (MIG) stand indented below it.
    found = [line for line in listed.stdout.splitlines() if line.startswith("GPU ")] if not listed.returncode else []
    return [str(place) for place in range(len(found))]
