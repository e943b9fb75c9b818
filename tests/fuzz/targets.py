"""What is promised of every reader, as functions that take any bytes and raise where a promise is broken."""

from __future__ import annotations

import csv
import gzip
import io
import json
import sys
import tarfile
import tempfile
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import polars as pl

from recenter_utils import corpora, settings
from recenter_utils.annotation import imports
from recenter_utils.corpora import lima, personalens
from recenter_utils.corpora.chatlog import MESSAGES
from recenter_utils.corpora.cleaning import EMPTY, identifier
from recenter_utils.corpora.records import Fault, records
from recenter_utils.errors import RecenterError
from recenter_utils.inference import models, tasks
from recenter_utils.inference.prompts import Prompt
from recenter_utils.scales import ATTRIBUTE_QUALITY, PREFERENCE
from recenter_utils.settings import Source
from recenter_utils.tables import ROLES, table

Target = Callable[[bytes], None]

#: Names under which a format's bytes are read, and what is made of the bytes first; the first byte of an input chooses.
FILES: dict[str, tuple[tuple[str, str], ...]] = {
    "chatlog": (("chats.jsonl", ""), ("chats.json", ""), ("chats.jsonl.gz", "gzip"), ("chats.jsonl.gz", "")),
    "csv": (("chats.csv", ""), ("chats.tsv", ""), ("chats.csv.gz", "gzip")),
    "wildchat": (("chats.jsonl", ""), ("chats.parquet", "")),
    "oasst": (("trees.jsonl", ""), ("trees.parquet", ""), ("trees.json", "")),
    "prefeval": (("travel.json", ""), ("travel.jsonl", "")),
    "cupid": (("cupid.jsonl", ""), ("cupid.parquet", "")),
    "personalens": (("users.jsonl", ""), ("data.tar.gz", ""), ("data.tar", "tar")),
    "chatgpt": (("conversations.json", ""), ("export.zip", ""), ("export.zip", "zip")),
}
ITEMS = {"a1": "Likes tea.", "a2": "Has a baby."}
_TASKS = [task for task in vars(tasks).values() if isinstance(task, tasks.Task)]
_SLOTS = {"attributes": [{"number": 1, "text": "Likes tea."}], "response": "Have some tea, since you like tea."}


def sentence(problem: RecenterError) -> None:
    """A refusal can be printed, and is one line of bounded length."""
    said = str(problem)
    assert said.strip()
    assert said.encode("utf-8")
    assert len(said.splitlines()) == 1, said
    assert len(said) < 2_000, said


def corpus(form: str, data: bytes) -> None:
    """Every row of a corpus is a conversation, or part of one, or refused; text is text that any tool can take."""
    chosen, content = (data[0] if data else 0), data[1:]
    name, wrapped = FILES[form][chosen % len(FILES[form])]
    source = Source(name="s", format=form, path=name, user_is=("user", "conversation")[chosen >> 7])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(_wrapped(form, wrapped, content))
        try:
            batches = list(corpora.read(source, path.parent))
        except RecenterError as problem:
            sentence(problem)
            return
        conversations = pl.concat([batch.conversations for batch in batches])
        problems = pl.concat([batch.problems for batch in batches])
        rows = (
            _csv_rows(path)
            if form == "csv"
            else None
            if path.suffix in (".zip", ".tar")
            else list(records(path, ("",)))
        )
    # What `tables.check` would look at; it takes twenty times as long.
    assert dict(conversations.schema) == table("conversations").columns
    assert dict(problems.schema) == table("problems").columns
    assert not conversations.drop("language").null_count().sum_horizontal().item()
    assert not problems.drop("conversation_id").null_count().sum_horizontal().item()
    assert problems["action"].is_in(["refused", "repaired"]).all()
    for conversation in conversations.iter_rows(named=True):
        assert conversation["conversation_id"].startswith("s/")
        assert any(turn["role"] == "user" for turn in conversation["turns"])
        assert all(turn["role"] in ROLES and turn["content"].strip() for turn in conversation["turns"])
    assert conversations["conversation_id"].is_unique().all()
    assert (problems["row"] > 0).all()
    assert all(len(reason.splitlines()) == 1 for reason in problems["reason"])
    assert len(conversations) or len(problems)
    if rows is not None:
        _accounted(form, rows, conversations, problems)


def _wrapped(form: str, how: str, content: bytes) -> bytes:
    if how == "gzip":
        return gzip.compress(content, 1)
    made = io.BytesIO()
    if how == "zip":
        with zipfile.ZipFile(made, "w") as archive:
            archive.writestr("conversations.json", content)
        return made.getvalue()
    if how == "tar":
        with tarfile.open(fileobj=made, mode="w") as archive:
            for number, part in enumerate(content.split(b"\n---\n")):
                about = tarfile.TarInfo(
                    f"profile/user{number // 3}/{('profile', 'tasks', 'dialogues')[number % 3]}.json"
                )
                about.size = len(part)
                archive.addfile(about, io.BytesIO(part))
        return made.getvalue()
    return content


def _csv_rows(path: Path) -> list[list[str]] | None:
    """Return the rows of a file under its header; None where it breaks off."""
    data = path.read_bytes()
    if data[:2] == b"\x1f\x8b":
        try:
            data = gzip.decompress(data)
        except (EOFError, OSError, zlib.error):
            return None
    stream = io.StringIO(data.decode("utf-8-sig", "surrogateescape"), newline="")
    limit = csv.field_size_limit(sys.maxsize)
    try:
        # As a spreadsheet reads it: the header is the first line, and says what separates.
        first = io.TextIOWrapper(io.BytesIO(data), "utf-8-sig", "surrogateescape", newline="").readline()
        stream.seek(len(first))
        return [row for row in csv.reader(stream, delimiter=max(",;\t", key=first.count)) if row]
    except csv.Error:
        return None
    finally:
        csv.field_size_limit(limit)


def _accounted(form: str, rows: list[Any], conversations: pl.DataFrame, problems: pl.DataFrame) -> None:
    """Rows in are conversations and refused rows; where a row is a message, turns, turns without text and refused."""
    refused = set(problems.filter(action="refused")["row"])
    if form == "csv":
        turns = conversations["turns"].list.len().sum()
        empty = problems.filter(pl.col("reason").str.ends_with(EMPTY), action="repaired")["row"].n_unique()
        refused.discard(1)  # the header, where nothing stands under it
        assert len(rows) == turns + empty + len(refused), (len(rows), turns, empty, refused)
    if form in ("wildchat", "prefeval", "chatgpt"):
        assert len(rows) == len(conversations) + len(refused)
    if form == "chatlog":
        whole, messages = 0, set()
        for record in rows:
            if record.row not in refused:
                assert not isinstance(record, Fault)
                if any(name in record.value for name in MESSAGES):
                    whole += 1
                else:
                    messages.add(identifier(record.value["conversation_id"]))
        assert len(conversations) == whole + len(messages)


def prompts(data: bytes) -> None:
    """Requests are read whole or refused in one sentence."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / ("prompts.jsonl", "prompts.json")[data[0] % 2 if data else 0]
        path.write_bytes(data[1:])
        try:
            found = lima.read_prompts(path)
            rows = list(records(path))
        except RecenterError as problem:
            sentence(problem)
            return
    assert len(found) == len(rows)
    assert found["prompt_id"].is_unique().all()
    assert found["text"].str.contains(r"\S").all()


def affinities(data: bytes) -> None:
    """The users of PersonaLens, with what is known of them, are read whole or refused in one sentence."""
    name, wrapped = FILES["personalens"][data[0] % 3 if data else 0]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(_wrapped("personalens", wrapped, data[1:]))
        try:
            personalens.read_affinities(path)
            personalens.read_tasks(path, multi_domain=True)
        except RecenterError as problem:
            sentence(problem)


def answers(data: bytes) -> None:
    """An answer is read, or is a ValueError with a reason, whatever a model wrote."""
    task = _TASKS[data[0] % len(_TASKS) if data else 0]
    text = data[1:].decode("utf-8", "surrogateescape" if data[:1] > b"\x80" else "replace")
    try:
        answer = task.output.from_text(text)
        answer.check(_SLOTS)
    except ValueError:
        return
    assert type(answer).model_validate(answer.model_dump()) == answer


def judgments(data: bytes) -> None:
    """Every row of judgments is an answer, a repeated one, one without a label, or has a fault."""
    name = ("given.csv", "given.jsonl")[data[0] % 2 if data else 0]
    scale = (ATTRIBUTE_QUALITY, PREFERENCE)[(data[0] >> 1) % 2 if data else 0]
    columns = {column: column for column in (*imports.NEEDED, *(imports.OPTIONAL if data[:1] > b"\x80" else ()))}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(data[1:])
        try:
            found = imports.read(path, columns, scale, ITEMS)
            rows = list(imports._rows(path, columns))
        except RecenterError as problem:
            sentence(problem)
            return
    faults = sum(map(len, found.faults.values()))
    known = len(found.answers) + found.repeated + faults + sum(found.unanswered.values())
    said = Counter((cells["rater"].strip(), cells["item"].strip()) for _, cells in rows)
    contradicted = sum(said.values()) - known
    assert contradicted == 0 or "two different answers of one rater to one item" in found.faults
    for answer in found.answers:
        assert answer["label"] in scale.labels
        assert answer["item_id"] in ITEMS
        assert json.dumps(answer, default=str, ensure_ascii=False).encode("utf-8")
    assert found.report(name).encode("utf-8")


def study_file(data: bytes) -> None:
    """A study file is read, or refused in one sentence."""
    _yaml(data, "study.yaml", settings.load)


def models_file(data: bytes) -> None:
    """A models file is read, or refused in one sentence."""

    def load(path: Path) -> object:
        with mock.patch.object(models, "MODELS_FILE", path):  # the package's own takes most of the time
            return models.load_models()

    _yaml(data, "models.yaml", load)


def _yaml(data: bytes, name: str, load: Callable[[Path], object]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(data)
        try:
            load(path)
        except RecenterError as problem:
            sentence(problem)


_PROMPT = Prompt("p", "", "", {}, (("system", "Say {{one}}."), ("user", "## Data\n{{two}}\n## End")))


def slots(data: bytes) -> None:
    """Whatever is put into a prompt stays in its slot: it adds no line and is read back as it was."""
    text = data.decode("utf-8", "surrogateescape")
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = text
    try:
        system, user = _PROMPT.messages({"one": text, "two": [value]})
    except RecenterError as problem:
        sentence(problem)
        return
    assert system["content"].encode("utf-8")
    assert len(system["content"].splitlines()) == 1
    assert json.dumps(json.loads(system["content"].removeprefix("Say ").removesuffix("."))) == json.dumps(text)
    lines = user["content"].splitlines()
    assert len(lines) == 3, lines
    assert "<|" not in user["content"]
    read = json.loads(lines[1])
    # Of a list of objects each stands on a line of its own. Two halves of a character beside each other are one.
    assert json.dumps(read) == json.dumps(value if isinstance(value, dict) else [value])


TARGETS: dict[str, Target] = {
    **{form: partial(corpus, form) for form in FILES},
    "prompts": prompts,
    "affinities": affinities,
    "answers": answers,
    "judgments": judgments,
    "study": study_file,
    "models": models_file,
    "slots": slots,
}
