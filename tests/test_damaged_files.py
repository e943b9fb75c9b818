"""What fuzzing found: files damaged or odd in one place are refused by name, and none is passed over in silence."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from recenter_utils import corpora, settings
from recenter_utils.annotation import imports
from recenter_utils.errors import RecenterError, nearest
from recenter_utils.inference.models import load_models
from recenter_utils.scales import ATTRIBUTE_QUALITY
from recenter_utils.settings import Source
from tests.fuzz.seeds import seeds

COLUMNS = {name: name for name in (*imports.NEEDED, "note", "answered_at")}


def load(path: Path, form: str) -> tuple[list[dict], list[dict]]:
    source = Source(name="s", format=form, path=path.name)
    batches = list(corpora.read(source, path.parent))
    conversations = pl.concat([batch.conversations for batch in batches])
    return conversations.to_dicts(), pl.concat([batch.problems for batch in batches]).to_dicts()


@pytest.mark.parametrize("end", [40, 200])
def test_an_archive_that_breaks_off_is_refused_wherever_it_does(tmp_path: Path, end: int) -> None:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz") as archive:
        for number in range(20):
            task = [{"task_id": f"t{number}", "dialogue": [{"role": "user", "content": "Hello"}]}]
            data = json.dumps(task).encode()
            about = tarfile.TarInfo(f"profile/user{number}/tasks.json")
            about.size = len(data)
            archive.addfile(about, io.BytesIO(data))
    path = tmp_path / "data.tar.gz"
    path.write_bytes(made.getvalue()[:end])
    with pytest.raises(RecenterError, match=r"is not a whole \.tar\.gz .* download it again"):
        load(path, "personalens")


def test_a_zip_with_a_name_that_is_no_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "export.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("né.json", "[]")
    path.write_bytes(path.read_bytes().replace("né".encode(), b"n\xc3n"))
    with pytest.raises(RecenterError, match=r"is not a whole \.zip"):
        load(path, "chatgpt")


def test_a_header_that_is_no_text_is_shown_so_that_it_can_be_printed(tmp_path: Path) -> None:
    path = tmp_path / "chats.csv"
    path.write_bytes(b"conversation_id,user_id,role,conten\xe9\x1b[2J\nc,u,user,Hello\n")
    with pytest.raises(RecenterError, match="lacks the column content") as refused:
        load(path, "csv")
    assert str(refused.value).isprintable()


@pytest.mark.parametrize("under", ["", "\n\n"])
def test_a_header_without_rows_is_a_problem(tmp_path: Path, under: str) -> None:
    path = tmp_path / "chats.csv"
    path.write_text(f"conversation_id,user_id,role,content\n{under}")
    assert [found["reason"] for found in load(path, "csv")[1]] == ["no row stands under the header"]


def test_a_reply_to_nothing_is_refused_and_not_left_out_in_silence(tmp_path: Path) -> None:
    prompt = {"message_id": "m", "user_id": "u", "role": "prompter", "text": "Hello"}
    replies = [
        {"message_id": name, "parent_id": parent, "user_id": "v", "role": "assistant", "text": "Hi"}
        for name, parent in (("a", "m"), ("b", "gone"), ("c", "a"), ("d", None))
    ]
    path = tmp_path / "trees.jsonl"
    path.write_text("\n".join(map(json.dumps, [prompt, *replies])))
    conversations, problems = load(path, "oasst")
    assert [len(conversation["turns"]) for conversation in conversations] == [2]
    assert [(found["row"], found["reason"]) for found in problems] == [
        (row, "it answers no prompt that is in the file") for row in (3, 4, 5)
    ]


def test_parquet_with_names_that_are_no_text_is_refused(tmp_path: Path) -> None:
    data = next(seed for seed in seeds("wildchat") if b"PAR1" in seed)[1:]
    assert b"element" in data
    path = tmp_path / "chats.parquet"
    path.write_bytes(data.replace(b"element", b"elem\xff\xfet"))
    with pytest.raises(RecenterError, match=r"chats\.parquet (cannot be read as parquet|of source 's' has no)"):
        load(path, "wildchat")


@pytest.mark.parametrize("form", ["oasst", "cupid"])
def test_damaged_parquet_is_a_problem(tmp_path: Path, form: str) -> None:
    data = next(seed for seed in seeds(form) if b"PAR1" in seed)[1:]
    path = tmp_path / "rows.parquet"
    path.write_bytes(data[:20] + b"\xff" * 30 + data[50:])
    assert [found["action"] for found in load(path, form)[1]] == ["refused"]


def judged(path: Path, **cells: object) -> imports.Found:
    row = {"item": "a1", "rater": "ann", "label": "accepted", "note": "", "answered_at": ""} | cells
    path.write_text(json.dumps(row))
    return imports.read(path, COLUMNS, ATTRIBUTE_QUALITY, {"a1": "Likes tea."})


def test_a_time_before_all_time_is_a_fault_of_its_row(tmp_path: Path) -> None:
    found = judged(tmp_path / "given.jsonl", answered_at="0001-01-01T00:00:00+23:59")
    assert list(found.faults) == ["answered_at is no ISO date and time"]


def test_half_a_character_in_a_note_is_replaced(tmp_path: Path) -> None:
    assert judged(tmp_path / "given.jsonl", note="a\ud800b").answers[0]["note"] == "a\ufffdb"


def test_judgments_nested_without_end_are_refused_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "given.jsonl").write_text('{"item": ' + "[" * 100_000)
    with pytest.raises(RecenterError, match="line 1: not readable JSON"):
        imports.read(tmp_path / "given.jsonl", COLUMNS, ATTRIBUTE_QUALITY, {})


def test_a_name_from_a_file_is_repeated_as_it_can_be_printed() -> None:
    assert nearest("rater", ["ra\x1bter"]) == r" Did you mean 'ra\x1bter'?"
    assert nearest("x", ["\udcff" * 2, "y" * 500]).isprintable()
    assert len(nearest("x", ["y" * 500])) < 100


def test_an_archive_inside_an_archive_is_read_once(tmp_path: Path) -> None:
    path = tmp_path / "chats.jsonl.gz"
    path.write_bytes(gzip.compress(gzip.compress(b"{}")))
    conversations, problems = load(path, "chatlog")
    assert conversations == []
    assert {found["action"] for found in problems} == {"refused"}


UNREADABLE = ["a: 2020-13-45", "a: 0b__", "a: !!timestamp x", "[" * 3000, f"a: {'9' * 5000}", "a: [", "\x00"]


@pytest.mark.parametrize("text", UNREADABLE)
@pytest.mark.parametrize("read", [settings.load, load_models])
def test_yaml_that_no_reader_takes_is_one_sentence(tmp_path: Path, read: Callable[[Path], object], text: str) -> None:
    path = tmp_path / "file.yaml"
    path.write_text(text)
    with pytest.raises(RecenterError, match=r"file\.yaml is not readable YAML: .+\.$") as refused:
        read(path)
    assert str(refused.value).isprintable()


@pytest.mark.parametrize("line", [r'"a\nb": 1', r'merging: {"a\e[2Jb": 1}', r'models: {verifiers: "a\nb"}'])
def test_a_setting_with_a_name_over_two_lines_is_refused_on_one(tmp_path: Path, line: str) -> None:
    path = tmp_path / "study.yaml"
    path.write_text(f"title: T\nsources: [{{name: a, format: csv, path: a.csv}}]\n{line}\n")
    with pytest.raises(RecenterError, match=r"study\.yaml: ") as refused:
        settings.load(path)
    assert str(refused.value).isprintable()
