"""The cache: what it is keyed by, who may use it at once, and what is said when it cannot be used."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recenter_utils.errors import RecenterError
from recenter_utils.inference.cache import Cache
from recenter_utils.inference.models import Model
from recenter_utils.inference.requests import Answer, Questions
from recenter_utils.inference.tasks import ASSISTANT_USE, LANGUAGE_CHECK, Task

MODEL: dict[str, Any] = {"name": "m", "engine": "openai", "base_url": "http://127.0.0.1:1/v1"}


def key(item: Any = "hello", task: Task = LANGUAGE_CHECK, sampling: Any = None, sample: int = 0, **entry: Any) -> bytes:
    questions = Questions.of(task, Model.model_validate(MODEL | entry), sampling, sample)
    slots = {"conversation": item, "user_turns": item}
    (found,) = questions.keys([slots])
    return found


OPERATIONAL: list[dict[str, Any]] = [
    {"base_url": "http://elsewhere/v1"},
    {"key_env": "SOME_KEY"},
    {"concurrency": 7},
    {"timeout": 1},
    {"retries": 0},
    {"price": {"input": 9, "output": 9}},
    {"context_length": 5},
    {"note": "x"},
    {"logprobs": False},
    {"options": {"batch_poll": 1}},
    {"name": "alias", "served_name": "m"},
]
DECISIVE: list[dict[str, Any]] = [
    {"item": "hello "},
    {"item": ["hello"]},
    {"task": ASSISTANT_USE},
    {"sampling": {"temperature": 0.5}},
    {"sampling": {"seed": 1}},
    {"sampling": {"temperature": None}},
    {"sample": 1},
    {"served_name": "org/m"},
    {"engine": "vllm"},
    {"options": {"extra_body": {"reasoning_effort": "low"}}},
    {"options": {"omit": ["temperature"]}},
]


@pytest.mark.parametrize("change", OPERATIONAL, ids=str)
def test_the_key_ignores_how_the_model_is_reached(change: dict[str, Any]) -> None:
    assert key(**change) == key()


def test_the_key_reacts_to_all_that_decides_the_answer() -> None:
    keys = [key(**change) for change in DECISIVE]
    assert len({key(), *keys}) == len(keys) + 1


@given(st.lists(st.tuples(st.text(), st.text()), min_size=2, max_size=6, unique=True))
def test_different_data_has_different_keys(pairs: list[tuple[str, str]]) -> None:
    turns = [[{"role": role, "content": content}] for role, content in pairs]
    assert len(set(map(key, turns))) == len(pairs)


def test_every_answer_is_kept_and_the_first_usable_one_holds(tmp_path: Path) -> None:
    with Cache(tmp_path / "new" / "answers.sqlite") as cache:
        cache.store("m", [(b"a", Answer("no", "unparsed", "x")), (b"a", Answer("nor this", "truncated", "y"))])
        cache.store("m", [(b"b", Answer("yes")), (b"b", Answer("again")), (b"c", Answer("\x00 null", None))])
        found = cache.look_up([b"a", b"b", b"c", b"d"])
    assert (found[b"a"].answer.text, found[b"a"].answer.error, found[b"a"].unusable) == ("nor this", "truncated", 2)
    assert (found[b"b"].answer.text, found[b"b"].unusable) == ("yes", 0)
    assert found[b"c"].answer.text == "\x00 null"
    assert b"d" not in found


def test_more_keys_than_one_query_takes_are_looked_up(tmp_path: Path) -> None:
    keys = [f"{i}".encode() for i in range(2345)]
    with Cache(tmp_path / "answers.sqlite") as cache:
        cache.store("m", [(key, Answer(key.decode())) for key in keys])
        found = cache.look_up(reversed(keys))
    assert {key: stored.answer.text for key, stored in found.items()} == {key: key.decode() for key in keys}


def test_many_processes_may_open_and_fill_a_new_file_at_once(tmp_path: Path) -> None:
    path = tmp_path / "answers.sqlite"
    code = (
        "import sys; from pathlib import Path\n"
        "from recenter_utils.inference.cache import Cache\nfrom recenter_utils.inference.requests import Answer\n"
        "print('ready', flush=True); sys.stdin.readline()\n"
        "with Cache(Path(sys.argv[1])) as cache:\n"
        "    for i in range(100):\n"
        "        cache.store('m', [(b'%d' % i, Answer(sys.argv[2])), (f'{sys.argv[2]}-{i}'.encode(), Answer('x'))])\n"
    )
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    writers = [subprocess.Popen([sys.executable, "-c", code, str(path), str(n)], **pipes) for n in range(5)]
    for writer in writers:
        assert writer.stdout
        assert writer.stdout.readline() == "ready\n"
    for writer in writers:
        assert writer.stdin
        writer.stdin.write("\n")
        writer.stdin.flush()
    for writer in writers:
        _, said = writer.communicate()
        assert writer.returncode == 0, said
    with sqlite3.connect(path) as db:
        assert db.execute("SELECT count(*) FROM answers").fetchone()[0] == 100 + 5 * 100


def use(path: Path) -> None:
    with Cache(path) as cache:
        cache.look_up([f"{i}".encode() for i in range(500)])
        cache.store("m", [(b"new", Answer("x"))])


def damaged(path: Path) -> None:
    with Cache(path) as cache:
        cache.store("m", [(f"{i}".encode(), Answer("x" * 500)) for i in range(500)])
    data = bytearray(path.read_bytes())
    data[4096:] = os.urandom(len(data) - 4096)
    path.write_bytes(data)


def other_tables(path: Path) -> None:
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE answers (question TEXT)")


UNUSABLE = {
    "no database": (lambda path: path.write_text("hello, this is a text and no database" * 99), "move it away"),
    "a damaged one": (damaged, "move it away"),
    "somebody else's": (other_tables, "move it away"),
    "a folder": (lambda path: path.mkdir(), "permissions"),
    "under a file": (lambda path: (path.parent.rmdir(), path.parent.write_text("x")), "permissions"),
}


@pytest.mark.parametrize("state", UNUSABLE)
def test_an_unusable_file_is_one_sentence_that_names_it(tmp_path: Path, state: str) -> None:
    path = tmp_path / "cache" / "answers.sqlite"
    path.parent.mkdir()
    make, remedy = UNUSABLE[state]
    make(path)
    with pytest.raises(RecenterError, match=remedy) as caught:
        use(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_may_not_be_written_is_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "answers.sqlite"
    code = (
        "import os, sys; from pathlib import Path\nfrom recenter_utils.inference.cache import Cache\n"
        "from recenter_utils.inference.requests import Answer\nfrom recenter_utils.errors import RecenterError\n"
        "if os.geteuid() == 0: os.setuid(65534)\n"  # root may write everywhere
        "try:\n    with Cache(Path(sys.argv[1])) as cache: cache.store('m', [(b'k', Answer('x'))])\n"
        "except RecenterError as problem: print(problem)\n"
    )
    with Cache(path):
        pass
    path.chmod(0o444)
    for folder in (tmp_path, *tmp_path.parents):
        if folder.stat().st_uid == os.geteuid() and "pytest" in folder.name:
            folder.chmod(0o755)
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    assert f"The answer cache {path} cannot be used (" in done.stdout
    assert "permissions" in done.stdout


def test_a_batch_is_remembered_by_request(tmp_path: Path) -> None:
    path = tmp_path / "answers.sqlite"
    with Cache(path) as cache:
        cache.remember_batch([b"a", b"b"], "batch-1")
        cache.remember_batch([b"c"], "batch-2")
    with Cache(path) as cache:
        assert cache.batches([b"a", b"c", b"d"]) == {b"a": "batch-1", b"c": "batch-2"}
        cache.forget_batches([b"a", b"d"])
        assert cache.batches([b"a", b"b"]) == {b"b": "batch-1"}
