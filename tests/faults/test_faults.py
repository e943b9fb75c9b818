"""The quick ones of the fault suite; `make faults` injects them all, and kills a whole study twenty times."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import polars as pl
import psutil
import pytest
from papermill.exceptions import PapermillExecutionError

from recenter_utils import execution, processes, workflow
from recenter_utils.attributes import extraction
from recenter_utils.errors import RecenterError, disk_problem
from recenter_utils.inference import cache as cache_module
from recenter_utils.inference.cache import Cache
from recenter_utils.inference.repair import repair
from recenter_utils.inference.requests import Answer
from recenter_utils.settings import Extraction
from recenter_utils.steps import steps
from recenter_utils.study import Study
from tests.fake_server import FakeServer
from tests.faults import outcome, writers
from tests.faults.damaged import DAMAGES, harm
from tests.faults.lab import SHORT, cache_of, repeated, stored, watch
from tests.faults.memory import put
from tests.faults.outcome import Outcome
from tests.faults.served import FAULTS, Faulty, well
from tests.workspaces import recenter, table_bytes

ANSWERS = {f"{place}".encode(): f'{{"reason": "the {place}th answer"}}' for place in range(500)}


@pytest.fixture
def filled(workspace: Path) -> Study:
    """A study whose cache holds answers that were paid for."""
    study = Study.open("demo")
    with Cache(study.cache) as cache:
        for key, text in ANSWERS.items():
            cache.store("m", [(key, Answer(text, prompt_tokens=7, completion_tokens=3, score=0.5))])
        cache.store("m", [(b"bad", Answer("?", "unparsed", "no JSON"))])
        cache.remember_batch([b"handed in"], "batch-1")
    return study


# --- A damaged cache -----------------------------------------------------------------------------------------


def read_all(path: Path) -> None:
    with Cache(path) as cache:
        cache.look_up(ANSWERS)


@pytest.mark.parametrize("name", DAMAGES)
def test_what_a_damaged_page_did_not_hold_is_kept_and_nothing_else(filled: Study, name: str) -> None:
    harm(filled.cache, DAMAGES[name])
    said = repair(filled)
    assert "asked again" in said
    kept = stored(filled.cache)
    assert kept.items() <= ANSWERS.items()
    assert len(kept) > len(ANSWERS) * 0.8
    read_all(filled.cache)
    with Cache(filled.cache) as cache:
        assert cache.batches([b"handed in"]) == {b"handed in": "batch-1"}
        lost = ANSWERS.keys() - kept
        cache.store("m", [(key, Answer(ANSWERS[key])) for key in lost])
    assert stored(filled.cache) == ANSWERS
    assert list(filled.cache.parent.glob("answers.damaged-1.sqlite"))
    assert "is whole: 50" in repair(filled)


def test_a_byte_that_changed_in_an_answer_is_noticed_before_it_is_used(filled: Study) -> None:
    harm(filled.cache, DAMAGES["one byte altered"])
    with closing(sqlite3.connect(filled.cache)) as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)  # SQLite does not know
    with pytest.raises(RecenterError, match="not what was stored.*'recenter repair STUDY' keeps what can be read"):
        read_all(filled.cache)


def test_a_cache_made_before_there_were_marks_is_used_as_it_is(filled: Study) -> None:
    with closing(sqlite3.connect(filled.cache)) as database, database:
        database.execute("ALTER TABLE answers DROP COLUMN mark")
    read_all(filled.cache)
    assert "is whole: 501 answers" in repair(filled)


def test_damaged_embeddings_are_set_aside_and_whole_ones_stay(filled: Study) -> None:
    from recenter_utils.inference.vectors import VectorStore

    with VectorStore(filled.embedding_cache, "m"):
        pass
    assert f"{filled.embedding_cache} is whole" in repair(filled)
    filled.embedding_cache.write_bytes(b"no database" * 1000)
    assert "computed again" in repair(filled)
    assert not filled.embedding_cache.exists()
    assert "no stored embeddings" in repair(filled)


def test_a_file_of_which_nothing_can_be_read_is_said_to_be_one(filled: Study) -> None:
    filled.cache.write_bytes(os.urandom(50_000))
    with pytest.raises(RecenterError, match="Nothing can be read of .*move it away"):
        repair(filled)
    assert not list(filled.cache.parent.glob(".*"))


def test_the_command_repairs_and_leaves_a_sound_cache_alone(filled: Study, workspace: Path) -> None:
    before = filled.cache.read_bytes()
    done = recenter(workspace, "repair", "demo")
    assert done.returncode == 0, done.stderr
    assert "is whole: 501 answers" in done.stdout
    assert filled.cache.read_bytes() == before


# --- Servers -------------------------------------------------------------------------------------------------


def extracted(server: FakeServer, cache: Path, timeout: float = 120.0) -> tuple[pl.DataFrame, pl.DataFrame]:
    turn = pl.Struct({"role": pl.String, "content": pl.String})
    schema = {"conversation_id": pl.String, "user_id": pl.String, "turns": pl.List(turn)}
    rows = [(f"c{place}", f"u{place % 7}", [{"role": "user", "content": f"Text {place}."}]) for place in range(60)]
    conversations = pl.DataFrame(rows, schema=schema, orient="row")
    model = server.model(timeout=timeout, retries=0, concurrency=8)
    return extraction.extract(conversations, model, Extraction(), cache=cache, progress=False)


@pytest.mark.parametrize("name", FAULTS)
def test_a_servers_fault_costs_only_the_next_run(tmp_path: Path, name: str) -> None:
    fault, words = FAULTS[name]
    with FakeServer(well) as server:
        undisturbed = extracted(server, tmp_path / "undisturbed.sqlite")
    behave = Faulty(fault)
    behave.every = 5
    cache = tmp_path / "answers.sqlite"
    watch(cache)
    with FakeServer(behave) as server:
        _, requests = extracted(server, cache, timeout=2.0 if "no answer" in words else 120.0)
        failed = requests["error"].drop_nulls().to_list()
        assert set(failed) == ({"server"} if words else set())
        assert len(failed) >= (behave.injected if words else 0)  # more where this machine is too busy to answer in time
        behave.every = 0
        server.asked.clear()
        healed = extracted(server, cache)
        assert len(server.asked) == len(failed)
    assert behave.injected > 5
    assert all(made.equals(expected) for made, expected in zip(healed, undisturbed, strict=True))
    assert repeated(cache) == 0


def test_the_run_says_what_got_no_answer_and_why(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    behave = Faulty(FAULTS["answers in another model's shape"][0])
    behave.every = 3
    turn = pl.Struct({"role": pl.String, "content": pl.String})
    rows = [(f"c{place}", "u", [{"role": "user", "content": f"{place}"}]) for place in range(12)]
    schema = {"conversation_id": pl.String, "user_id": pl.String, "turns": pl.List(turn)}
    with FakeServer(behave) as server:
        extraction.extract(pl.DataFrame(rows, schema=schema, orient="row"), server.model(), Extraction())
    said = capsys.readouterr().err
    assert f"{behave.injected} of 12 requests got no answer · " in said
    assert "the answer is no chat completion" in said
    assert "the next run asks them again" in said


def test_a_slow_writer_does_not_ask_what_a_fast_one_has_stored_meanwhile(tmp_path: Path) -> None:
    assert writers.two_askers(tmp_path / "answers.sqlite", rows=150) == ("", 0)


# --- Processes, clocks, memory, disks ---------------------------------------------------------------------------


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    yield process
    process.kill()
    process.wait()


def test_an_orphan_is_ended_whatever_the_clock_did_meanwhile(
    tmp_path: Path, sleeper: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = tmp_path / "runs"
    runs.mkdir()
    processes.record(runs / "01-users.pid", sleeper.pid)
    created = psutil.Process.create_time
    monkeypatch.setattr(psutil.Process, "create_time", lambda self: created(self) + 3600)  # it follows the clock
    processes.end_orphans(runs)
    assert sleeper.poll() is not None


def test_another_process_with_an_orphans_number_is_left_alone(tmp_path: Path, sleeper: subprocess.Popen[bytes]) -> None:
    (tmp_path / "01-users.pid").write_text(f"[{sleeper.pid}, 12.0]")
    (tmp_path / "02-attributes.pid").write_text("")  # killed as it wrote
    processes.end_orphans(tmp_path)
    assert sleeper.poll() is None
    assert not list(tmp_path.glob("*.pid"))


def test_a_snakemake_that_was_never_recorded_is_ended(tmp_path: Path) -> None:
    code = "import time; time.sleep(600)"
    mine, other = (
        subprocess.Popen([sys.executable, "-c", code, "snakemake", "--directory", str(folder)])
        for folder in (tmp_path, tmp_path / "other")
    )
    runs = tmp_path / "runs"
    runs.mkdir()
    try:
        processes.end_orphans(runs)
        assert mine.poll() is not None
        assert other.poll() is None
    finally:
        for process in (mine, other):
            process.kill()
            process.wait()


def test_tables_that_killed_runs_had_half_written_are_removed(tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    (tmp_path / "tables").mkdir()
    gone, here = (tmp_path / "tables" / f".users.parquet.{pid}.partial" for pid in (2**22 + 1, os.getpid()))
    gone.touch()
    here.touch()
    processes.end_orphans(tmp_path / "runs")
    assert (gone.exists(), here.exists()) == (False, True)


def test_what_holds_of_an_answer_does_not_hang_on_the_clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = iter([2e9, 1e9, 0.0])
    monkeypatch.setattr(cache_module.time, "time", lambda: next(now))
    with Cache(tmp_path / "answers.sqlite") as cache:
        for text in ("first", "second", "third"):
            cache.store("m", [(b"a", Answer(text)), (b"b", Answer(text, "unparsed", "no JSON"))])
        found = cache.look_up([b"a", b"b"])
    assert (found[b"a"].answer.text, found[b"b"].answer.text) == ("first", "third")


def test_inputs_from_the_future_do_not_stay_newer_than_what_is_made_of_them(demo_copy: Path) -> None:
    step = next(step for step in steps(Study.open("demo")) if step.name == "03-merging")
    future = time.time() + 86400
    for path in step.inputs:
        os.utime(path, (future, future))
    execution._stamp(step, step.record())
    assert all(path.stat().st_mtime <= step.stamp.stat().st_mtime for path in step.inputs)


def test_a_notebook_that_is_killed_names_its_cell_memory_and_what_helps(demo_copy: Path) -> None:
    before = table_bytes(demo_copy)
    put(demo_copy, "import os, signal; os.kill(os.getpid(), signal.SIGKILL)")
    done = recenter(demo_copy, "run", "demo", "--only", SHORT)
    assert done.returncode == 1
    assert f"Notebook {SHORT} was killed in cell 5 (`import os, signal;" in done.stderr
    assert "memory" in done.stderr
    assert "(--jobs 1)" in done.stderr
    assert (demo_copy / "data" / "demo" / "runs" / f"{SHORT}.failed.ipynb").is_file()
    assert table_bytes(demo_copy) == before


def test_a_notebook_whose_kernel_dies_as_it_starts_is_said_to_be_killed(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import papermill

    def dies(source: str, target: str, **_: object) -> None:
        Path(target).write_bytes(Path(source).read_bytes())
        raise RuntimeError("Kernel died before replying to kernel_info")

    monkeypatch.setattr(papermill, "execute_notebook", dies)
    step = next(iter(steps(Study.open("demo"))))
    with pytest.raises(RecenterError, match="Notebook 01-users was killed before its first cell, .* memory"):
        execution.execute(step)
    assert step.failed.is_file()


def test_a_notebook_that_the_system_refuses_something_says_what_helps(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import papermill

    def refused(source: str, target: str, **_: object) -> None:
        Path(target).write_bytes(Path(source).read_bytes())
        said = "[Errno 30] Read-only file system: 'data/demo/cache'"
        raise PapermillExecutionError(
            cell_index=0, exec_count=1, source="", ename="OSError", evalue=said, traceback=[]
        )  # fmt: skip

    monkeypatch.setattr(papermill, "execute_notebook", refused)
    step = next(iter(steps(Study.open("demo"))))
    words = r"in cell 1 .*Read-only file system: 'data/demo/cache': make it writable and run again\."
    with pytest.raises(RecenterError, match=words):
        execution.execute(step)


def test_a_notebook_that_was_ended_before_it_said_a_word_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = [
        f"{workflow.PREFIX}02-attributes …",
        f"{workflow.PREFIX}Notebook 02-attributes failed in cell 3",
        "Error in rule 02-attributes:",
        "Error in rule 10-pairs:",
    ]
    command = [sys.executable, "-c", f"import sys; print({chr(10).join(said)!r}); sys.exit(1)"]
    assert not workflow._follow(command, tmp_path / "snakemake.log", tmp_path, None)
    told = capsys.readouterr().err
    assert told.count("was ended from outside") == 1
    assert "Notebook 10-pairs was ended from outside, by a kill or for want of memory: run again" in told


def test_a_disk_problem_is_a_sentence_with_what_helps(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No space") as full, Path("/dev/full").open("wb", buffering=0) as file:
        file.write(b"x")
    assert disk_problem(full.value) == "No space left on device: free some and run again."
    with pytest.raises(OSError, match="denied|directory") as other:
        (tmp_path / "none" / "file").write_text("x")
    assert str(tmp_path / "none" / "file") in disk_problem(other.value)


# --- The table ------------------------------------------------------------------------------------------------


def test_the_table_counts_what_was_lost(tmp_path: Path) -> None:
    fine, bad, absent = Outcome("kill -9"), Outcome("disk full"), Outcome("clock", problem="no clock here")
    fine.add(20)
    bad.add(2)
    bad.add(1, "tables differ", asked_twice=3)
    text = outcome.as_text([fine, bad, absent])
    assert text.splitlines()[-1] == "disk full: tables differ"
    assert "all" in text.splitlines()[-2]
    outcome.write([fine, bad, absent], tmp_path / "new" / "faults.csv")
    rows = pl.read_csv(tmp_path / "new" / "faults.csv").select("injected", "survived", "lost", "asked_twice").rows()
    assert rows == [(20, 20, 0, 0), (3, 2, 1, 3), (0, 0, 0, 0)]


def test_a_sentence_is_kept_where_it_names_the_cause() -> None:
    one = Outcome("disk full")
    assert one.heard("a line\nno space is left at /tmp/a-b/data/demo/runs\n", "no space", "left") == ""
    assert one.message == "no space is left at data/demo/runs"
    assert "'memory'" in one.heard("something else", "memory")


def test_only_answers_that_came_a_second_time_count_as_asked_twice(tmp_path: Path) -> None:
    path = cache_of(tmp_path)
    watch(path)
    with Cache(path) as cache:
        cache.store("m", [(b"a", Answer("x", "unparsed", "")), (b"a", Answer("good")), (b"b", Answer("good"))])
        assert repeated(path) == 0
        cache.store("m", [(b"a", Answer("good"))])
    assert repeated(path) == 1
