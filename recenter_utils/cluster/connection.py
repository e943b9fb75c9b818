"""Where work runs: in this process, or on a Ray cluster that a run names or starts."""

from __future__ import annotations

import importlib.util
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import recenter_utils
from recenter_utils.errors import RecenterError

T = TypeVar("T")

#: Names the cluster for the notebooks of a run: `ray`, or a cluster's address. Absent: this process does the work.
VARIABLE = "RECENTER_ON"

LOOPBACK = "127.0.0.1"

#: What a cluster of this machine alone is told, before Ray is imported. Ray takes the loopback for "wherever others
#: can reach me" and listens on every interface; without clusters over several machines (a switch that Ray has for
#: systems with a firewall that asks), it stays on the loopback.
_ALONE = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}

#: Ray reports home and warns of what does not concern a user unless told not to.
_TOLD = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}

#: Ray gives its own processes half a minute to start, which is little on a machine that is busy.
STARTS = 5

#: Seconds that the machine of a named cluster has to answer.
KNOCK = 10.0

#: Of the driver's environment, what its workers need to do the same.
_PASSED_ON = ("RECENTER_VLLM_PYTHON", "HF_HOME", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")


def wanted() -> str | None:
    """Return the cluster that work is to go to; None: this process does it."""
    return os.environ.get(VARIABLE) or None


@contextmanager
def running_on(where: str | None) -> Iterator[None]:
    """Have what runs meanwhile, in this process and those it starts, go to a cluster; None changes nothing.

    where: `ray` (the cluster that RAY_ADDRESS names, else one of this machine, started and ended here), `host:port`
    of a cluster's head, or `ray://host:port` of its client server.
    """
    if where is None:
        yield
        return
    before = dict(os.environ)
    os.environ[VARIABLE] = where
    try:
        if where == "ray" and not os.environ.get("RAY_ADDRESS"):
            ray = connect()
            os.environ["RAY_ADDRESS"] = ray.get_runtime_context().gcs_address
        else:
            connect()
        yield
    finally:
        _ray().shutdown()
        os.environ.clear()
        os.environ.update(before)


def connect() -> Any:
    """Return the module ray, connected to the cluster that is wanted. Raises RecenterError where there is none."""
    where = wanted() or "ray"
    known = where if where != "ray" else os.environ.get("RAY_ADDRESS")
    os.environ.update({name: os.environ.get(name, value) for name, value in _TOLD.items()})
    alone = known is None or known.startswith(f"{LOOPBACK}:")
    if alone:
        os.environ.update(_ALONE)
    ray = _ray()
    if ray.is_initialized():
        return ray
    quiet: dict[str, Any] = {"log_to_driver": False, "configure_logging": False}
    try:
        if known is None:
            started(lambda: ray.init(_node_ip_address=LOOPBACK, include_dashboard=False, **quiet))
        else:
            _knock(known)
            ray.init(address=known, **({"_node_ip_address": LOOPBACK} if alone else {}), **quiet)
    except Exception as problem:
        reason = " ".join(str(problem).split())[:300]
        raise RecenterError(
            f"No Ray cluster answers at '{known or 'this machine'}' ({reason}): name the head's host:port, as "
            "'ray status' prints it there, or take 'ray' for a cluster of this machine alone."
        ) from None
    return ray


def _knock(address: str) -> None:
    """Raise OSError where nothing listens at an address. Ray would try for minutes before it says so."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if port.isdigit():
        socket.create_connection((host.strip("[]"), int(port)), KNOCK).close()


def started(start: Callable[[], T]) -> T:
    """Return what `start` returns, which starts processes of Ray; again where they took too long."""
    for left in reversed(range(STARTS)):
        try:
            return start()
        except Exception as problem:
            if not left or "timed out during startup" not in str(problem):
                raise
            _ray().shutdown()
    raise AssertionError


def workers(each: dict[str, float], most: int | None = None) -> int:
    """Return how many workers the cluster has room for. each: what one takes, such as {"GPU": 1}. At least one."""
    total = connect().cluster_resources()
    room = min(int(total.get(name, 0) // amount) for name, amount in each.items() if amount)
    return max(1, min(room, most or room))


def environment() -> dict[str, str]:
    """Return what of this process's environment its workers need."""
    return {name: os.environ[name] for name in _PASSED_ON if name in os.environ}


def same_package(version: str, place: str) -> str:
    """Return why a worker cannot do what this driver asks, where it has another version of the package; else ""."""
    if version == recenter_utils.__version__:
        return ""
    return (
        f"The worker on {place} has recenter {recenter_utils.__version__} and this process has {version}: install "
        f"the same on all machines of the cluster ({Path(recenter_utils.__file__).parent} there)."
    )


def _ray() -> Any:
    if importlib.util.find_spec("ray") is None:
        raise RecenterError("Ray is not installed: pip install 'recenter[ray]', on every machine of the cluster.")
    import ray

    return ray
