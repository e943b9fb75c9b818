"""What a Ray cluster gives is what this machine gives, row for row, and what dies there is made up for."""

from __future__ import annotations

import pickle
import socket
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.cluster.driving import driven
from tests.workspaces import copied, recenter, table_bytes

pytest.importorskip("ray", reason="Ray is not installed (the extra 'ray')")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("ray")
    driven(found, "asking", "encoding", "sifting", "dying", "unending", "ordered", "listening", "versions")
    return found


def of(folder: Path, work: str) -> dict[str, Any]:
    found: dict[str, Any] = pickle.loads((folder / f"{work}.pickle").read_bytes())
    assert "problem" not in found, found
    return found


@pytest.mark.parametrize("task", ["language_check", "attribute_extraction"])
def test_answers_are_those_of_one_machine_and_are_not_asked_again(folder: Path, task: str) -> None:
    found = of(folder, "asking")
    assert found["engine"] == "RayEngine"
    there, again, here = (found[task][where] for where in ("cluster", "again", "here"))
    pd.testing.assert_frame_equal(there, here)
    assert len(there) == 700
    assert there["error"].isna().all()
    assert again["cached"].all()
    pd.testing.assert_frame_equal(again.drop(columns="cached"), there.drop(columns="cached"))


def test_embeddings_are_those_of_one_machine_to_single_precision_and_are_stored(folder: Path) -> None:
    found = of(folder, "encoding")
    assert found["cluster"].shape == (700, 384)
    assert np.allclose(found["cluster"], found["here"], atol=2e-6)
    assert np.array_equal(found["cluster"], found["again"])
    assert found["stored"] == 700


def test_the_filters_leave_the_same_tables_in_the_same_order(folder: Path) -> None:
    found = of(folder, "sifting")
    for there, here in zip(found["cluster"], found["here"], strict=True):
        assert there.equals(here)
    assert 0 < len(found["here"][0]) < 600  # some chats are in another language


def test_a_block_whose_actor_dies_is_done_by_the_next(folder: Path) -> None:
    assert of(folder, "dying")["survived"] == sorted([b"ONCE", *(f"BLOCK {n}".encode() for n in range(6))])


def test_a_block_that_kills_every_actor_is_given_up_and_ends_nothing_else(folder: Path) -> None:
    assert of(folder, "unending")["survived"] == [b"FINE"]


def test_partitions_come_in_order_and_few_are_read_ahead(folder: Path) -> None:
    found = of(folder, "ordered")
    assert found["all"] == [2 * number for number in range(40)]
    assert found["workers"] == 2
    assert found["ahead"] <= 2 * 2 + 1


def test_a_cluster_of_one_machine_listens_on_the_loopback_alone(folder: Path) -> None:
    found = of(folder, "listening")
    assert found["ends"] > 5
    assert {address.removeprefix("::ffff:") for address in found["addresses"]} == {"127.0.0.1"}
    assert len(found["machines"]) == 3


def test_a_worker_with_another_version_says_so(folder: Path) -> None:
    assert "node-7" in of(folder, "versions")["version"]
    assert "install the same on all machines" in of(folder, "versions")["version"]


@pytest.mark.parametrize("scheme", ["", "ray://"])
def test_an_address_where_nothing_listens_is_refused_with_the_remedy(scheme: str, workspace: Path) -> None:
    with socket.socket() as free:  # bound, and not listening
        free.bind(("127.0.0.1", 0))
        where = f"{scheme}127.0.0.1:{free.getsockname()[1]}"
        done = recenter(workspace, "run", "demo", "--on", where)
    assert done.returncode == 1
    assert f"No Ray cluster answers at '{where}' ([Errno 111] Connection refused): name the head's" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_study_run_on_a_cluster_has_the_same_tables_byte_for_byte(finished_demo: Path, tmp_path: Path) -> None:
    """Users, attributes and merging; `tests/cluster/whole.py` does it for all of the demo."""
    root = copied(finished_demo, tmp_path / "workspace")
    tables = table_bytes(root)
    for name in ("tables", "runs", "cache"):
        (root / "data" / "demo" / name).rename(tmp_path / name)
    done = recenter(root, "run", "demo", "--only", "03-merging", "--on", "ray")
    assert done.returncode == 0, done.stderr
    found = table_bytes(root)
    assert {"conversations.parquet", "attributes.parquet", "merged_attributes.parquet"} <= set(found)
    assert found == {name: tables[name] for name in found}
