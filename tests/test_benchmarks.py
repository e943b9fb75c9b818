"""Benchmarks: every part measures itself beside a tool and a limit, and the book shows what was measured."""

from __future__ import annotations

import csv
import importlib
import math
import subprocess
import sys
from pathlib import Path

import pytest

from recenter_utils import measured
from tests.benchmarks import __main__ as command
from tests.benchmarks import table, timing
from tests.benchmarks.timing import Row, Way, compare
from tests.workspaces import ROOT

#: Sizes that take no time; what is asserted on the way (the tool finds the same) holds at any.
TINY = {
    "preprocessing": 300, "embedded": 4, "embeddings": 6, "merging": 3, "sampling": 60, "asking": 5, "rerunning": 20,
    "annotating": 5, "agreement": 60, "relevance": 205, "retrieval": 20, "mixed": 96,
}  # fmt: skip

RATIOS = ("quicker", "over_limit")


def row(part: str, size: int, seconds: float, instead: float = 8.0) -> Row:
    return Row(
        part, size, "rows", seconds, "a tool <b>", instead, instead / seconds, "the limit", 0.5, seconds / 0.5, 210.0, 3
    )  # fmt: skip


@pytest.fixture
def once_each(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each way takes one turn."""
    monkeypatch.setattr(timing, "ROUNDS", 1)


def test_the_command_knows_every_part() -> None:
    modules = {path.stem for path in (ROOT / "tests" / "benchmarks").glob("*.py") if "measure(size" in path.read_text()}
    assert modules - {"table", "__init__"} == set(command.PARTS) == set(TINY)


@pytest.mark.parametrize("part", command.PARTS)
def test_a_part_gives_ratios_to_a_tool_and_to_a_limit(part: str, once_each: None) -> None:
    module = importlib.import_module(f"tests.benchmarks.{part}")
    assert all(len(set(sizes)) == 3 and list(sizes) == sorted(sizes) for sizes in module.SIZES.values())
    assert set(module.SIZES) == {"small", "full"}
    found = module.measure(TINY[part])
    assert (found.part, found.size, found.unit) == (module.PART, TINY[part], module.UNIT)
    for name in ("seconds", "instead_seconds", "limit_seconds", *RATIOS, "peak_mb"):
        assert 0 < getattr(found, name) < math.inf, name
    assert found.instead
    assert found.limit


def test_a_part_runs_from_the_command_line_in_a_process_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "measured" / "benchmarks.csv"
    options = ["--only", "annotating", "--sizes", "small", "--table", str(path)]
    done = subprocess.run(
        [sys.executable, "-m", "tests.benchmarks", *options], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "saving of answers" in done.stdout
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == table.COLUMNS
    assert [int(one["size"]) for one in rows] == [10, 20, 40]
    assert all(math.isfinite(float(one[name])) and float(one[name]) > 0 for one in rows for name in RATIOS)
    assert "cores" in rows[0]["machine"]
    assert str(tmp_path) not in path.read_text("utf-8")


def test_a_part_that_fails_is_named() -> None:
    with pytest.raises(subprocess.CalledProcessError, match=r"tests\.benchmarks\.nothing"):
        list(command.measured("nothing", "small"))


@pytest.mark.parametrize(("seconds", "exponent"), [([2, 6, 18], 1.0), ([1, 9, 81], 2.0), ([5, 5, 5], 0.0)])
def test_the_growth_of_known_times_is_their_exponent(seconds: list[float], exponent: float) -> None:
    assert table.growth([10, 30, 90], seconds) == pytest.approx(exponent)


def test_one_size_has_no_growth() -> None:
    assert math.isnan(table.growth([10], [1.0]))
    assert math.isnan(table.growth([10, 10], [1.0, 2.0]))


def test_a_tool_that_did_a_share_of_the_work_is_scaled_up_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    took = iter([2.0, 1.0, 0.5])  # ours, the tool, the limit
    monkeypatch.setattr(timing, "ROUNDS", 1)
    monkeypatch.setattr(timing, "seconds", lambda _: next(took))
    found = compare("p", 9, "rows", lambda: None, Way("tool", lambda: None, 0.05), Way("limit", lambda: None))
    assert (found.seconds, found.instead_seconds, found.quicker, found.over_limit) == (2.0, 20.0, 10.0, 4.0)
    assert "scaled up from 5.00%" in found.note


def test_the_page_shows_what_was_measured_and_on_what(tmp_path: Path) -> None:
    rows = [row("merging", 10, 1.0), row("merging", 100, 10.0, 800.0)]
    about = {"machine": "2 cores", "load": "nothing else", "date": "2026-01-02"}
    folder = tmp_path / "data" / "measured"
    table.write(rows, folder / "benchmarks.csv", about)
    (folder / "faults.csv").write_text(
        "fault,injected,survived,lost,asked_twice,message,seconds\nkill -9,20,20,0,0,a | b <i>,61\n"
        "server hangs,60,59,1,0,–,9\n",
        "utf-8",
    )
    corpus = {"rows": 4_700_000, "text_gb": 36.6, "users": 470_000, "kept": 9000, "seconds": 99.0}
    corpus |= {"rows_a_second": 47_000.0, "over_limit": 9.5, "before_mb": 210.0, "peak_mb": 905.0}
    table.save([corpus | about], folder / "corpora.csv")
    way = {"way": "sorted", "beside": "shuffled", "ratio": 3.9, "requests_a_second": 80.0, "computed_before": 0.82}
    way |= {"beside_requests_a_second": 20.5, "beside_computed_before": 0.12, "rounds": 3, "groups": 16}
    table.save([way | about], folder / "vllm.csv")
    page = measured.page(tmp_path)
    assert page.startswith("# Measured\n")
    for words in ("2 cores", "nothing else", "2026-01-02", *measured.COMMANDS.values()):
        assert words in page
    assert "| merging | 100 rows | 80 | 20 | 1 |" in page  # the largest size stands for the part
    assert "| merging | 10 rows |" in page
    assert "a tool &lt;b&gt;" in page
    assert "| 4,700,000 | 36.6 | 470,000 | 9,000 | 99 | 47,000 | 9.5 | 905 |" in page
    assert "| sorted | shuffled | 3.9 | 80, 20.5 | 82%, 12% | 3 |" in page
    assert "| kill -9 | 20 | 20 | 0 | 0 |" in page
    assert "20 faults of the machine and 60 faulty answers of a server 79 were survived and 1 lost" in page
    assert "a \\| b &lt;i&gt;" in page


def test_a_corpus_of_any_size_is_measured_in_a_process_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "corpora.csv"
    for size in ("--rows", "300", "--rows", "900"), ("--rows", "900"):  # the second time the rows are there
        done = subprocess.run(
            [sys.executable, "-m", "tests.benchmarks.corpora", *size, "--folder", tmp_path, "--table", path],
            cwd=ROOT, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        assert [int(row["rows"]) for row in rows] == [int(number) for number in size[1::2]]
        assert set(rows[0]) >= set(measured.COLUMNS[measured.CORPORA])
        assert all(0 < float(row["before_mb"]) < float(row["peak_mb"]) for row in rows)
        assert all(float(row["text_gb"]) > 0 and float(row["seconds"]) > 0 for row in rows)
    assert sorted(one.name for one in tmp_path.iterdir()) == ["300", "900", "corpora.csv"]


def test_a_page_without_measurements_says_how_to_measure(tmp_path: Path) -> None:
    page = measured.page(tmp_path)
    assert all(command in page for command in measured.COMMANDS.values())
    assert "|" not in page


def test_a_file_with_other_columns_is_named(tmp_path: Path) -> None:
    path = tmp_path / "data" / "measured" / "benchmarks.csv"
    path.parent.mkdir(parents=True)
    path.write_text("part,speed\nmerging,1\n", "utf-8")
    with pytest.raises(measured.RecenterError, match=r"benchmarks\.csv has no column 'size'.*make benchmarks"):
        measured.page(tmp_path)
