"""Fixtures that every test may use."""

from __future__ import annotations

import contextlib
import fcntl
import gc
import os
import signal
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from hypothesis import HealthCheck, settings
from xdist.scheduler import LoadScopeScheduling

from tests.workspaces import ROOT, TEST_KEY, copied, new_workspace, recenter

# How long an example takes says how busy the machine is. The same examples each time: what passed passes again, and
# `make fuzz` is there to look further.
settings.register_profile("tests", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("tests")

Once = Callable[[str, Callable[[Path], object]], Path]

#: Where several processes share the tests (`make test`), these files and folders begin: they take longest. After them
#: come those that use the finished demo.
FIRST = ("serving", "test_alone.py", "grpo")

#: Ends, since it measures time: by then the other processes have little left to do.
LAST = "test_annotation_load.py"

#: Seconds that a server of a test has for closing its end, in a thread of its own, once the visitor has gone.
LEAVING = 5.0


def pytest_sessionstart() -> None:
    """Let an interrupt interrupt: a shell that starts the tests in the background has them ignore it."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(wrapper=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> Iterator[None]:
    """Where several processes share the tests, begin with what takes longest."""

    def rank(item: pytest.Item) -> int:
        name = group(item.nodeid)
        if name in FIRST:
            return FIRST.index(name)
        return len(FIRST) + (2 if name == LAST else "finished_demo" not in getattr(item, "fixturenames", ()))

    if "PYTEST_XDIST_WORKER" in os.environ:
        items.sort(key=rank)
    yield


def group(node: str) -> str:
    """Return the file or folder under tests/ that a test is of: what its module or conftest.py makes is made once."""
    return node.removeprefix("tests/").partition("::")[0].partition("/")[0]


class Grouped(LoadScopeScheduling):
    """Keeps the tests of a group in one process."""

    def _split_scope(self, nodeid: str) -> str:
        return group(nodeid)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Grouped:
    """Have `make test` hand out groups. (xdist's own groups by mark are lost with pytest 9.2: its issue 1386.)"""
    return Grouped(config, log)


@pytest.fixture(scope="session")
def once(tmp_path_factory: pytest.TempPathFactory) -> Once:
    """Have a folder made once for all processes that share the tests: once(name, make). For reading only."""

    def once(name: str, make: Callable[[Path], object]) -> Path:
        base = tmp_path_factory.getbasetemp()
        if "PYTEST_XDIST_WORKER" in os.environ:
            base = base.parent
        folder, said = base / name, base / f"{name}.said"
        with (base / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not said.exists():
                said.write_text("unfinished", encoding="utf-8")
                try:
                    make(folder)
                except BaseException as problem:
                    said.write_text(f"{type(problem).__name__}: {problem}", encoding="utf-8")
                    raise
                said.write_text("", encoding="utf-8")
        if why := said.read_text(encoding="utf-8"):
            pytest.fail(f"'{name}' could not be made, in this process or another: {why}")
        return folder

    return once


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of public corpora beside the project; tests that want it are skipped without it."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("the public corpora (../shared/data) are not on this machine")
    return folder


@pytest.fixture(autouse=True)
def _no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test may find a key of whoever runs it."""
    for name in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "RECENTER_ANNOTATION_KEY", "RECENTER_ROOT"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(autouse=True)
def _no_sockets_left() -> Iterator[None]:
    """A test closes its sockets: Python would warn of one that it leaves later, within a test that knows nothing."""
    before = open_sockets()
    yield
    until = time.monotonic() + LEAVING
    while left := [file for name, file in open_sockets().items() if name not in before]:
        if time.monotonic() > until:
            break
        time.sleep(0.02)
    if left:
        ends = [f"{end.laddr} to {end.raddr}" for end in psutil.Process().net_connections() if end.fd in left]
        with warnings.catch_warnings(action="ignore", category=ResourceWarning):
            gc.collect()
        pytest.fail(f"{len(left)} sockets were left open: {', '.join(ends[:3]) or 'of an event loop'}")


@pytest.fixture(autouse=True)
def _figures_closed() -> Iterator[None]:
    """A figure that a test looks at stays in memory until somebody closes it."""
    yield
    if pyplot := sys.modules.get("matplotlib.pyplot"):
        pyplot.close("all")


def open_sockets() -> dict[str, int]:
    """Return file descriptors of this process's sockets by the sockets' names; none where the system lists none."""
    folder, found = Path("/proc/self/fd"), {}
    for file in folder.iterdir() if folder.is_dir() else ():
        with contextlib.suppress(OSError):  # the listing itself
            if (name := str(file.readlink())).startswith("socket:"):
                found[name] = int(file.name)
    return found


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A workspace of the test's own, in which nothing has run."""
    root = new_workspace(tmp_path / "workspace")
    monkeypatch.setenv("RECENTER_ROOT", str(root))
    return root


@pytest.fixture(scope="session")
def finished_demo(once: Once) -> Path:
    """A workspace in which the demo has run. For reading only; change a copy (`demo_copy`)."""

    def finish(root: Path) -> None:
        done = recenter(new_workspace(root), "run", "demo")
        assert done.returncode == 0, done.stderr + done.stdout

    return once("finished", finish)


@pytest.fixture(scope="session")
def finished_book(finished_demo: Path, once: Once) -> Path:
    """The demo's book, built with warnings as errors in a workspace of its own, by somebody with a key. For reading."""

    def build(root: Path) -> None:
        done = recenter(copied(finished_demo, root), "book", "demo", RECENTER_TEST_KEY=TEST_KEY)
        assert done.returncode == 0, done.stderr
        assert done.stdout.strip() == f"Built {root / 'book/_build/html/index.html'}"

    return once("finished-book", build) / "book" / "_build" / "html"


@pytest.fixture
def demo_copy(finished_demo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the finished demo, with its times, so that nothing in it is out of date."""
    root = copied(finished_demo, tmp_path / "workspace")
    monkeypatch.setenv("RECENTER_ROOT", str(root))
    return root
