"""A ChatGPT data export: its folder, its .zip, or the conversations.json in it."""

from __future__ import annotations

import json
import lzma
import re
import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from recenter_utils.corpora.batches import Batch
from recenter_utils.corpora.cleaning import Draft, batches, identifier
from recenter_utils.corpora.records import Fault, Record, parse, records
from recenter_utils.errors import RecenterError
from recenter_utils.settings import Source

#: Large exports come in parts (`conversations-000.json`).
CONVERSATIONS = re.compile(r"conversations([-_]\d+)?\.json(\.gz)?")
#: Kinds of content that are words of the user or the assistant; the rest is code, tool output and settings.
TEXT = ("text", "multimodal_text")

# A .zip may be cut off, damaged at any place, or locked by a password (RuntimeError).
_BROKEN = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error, RuntimeError, OSError, EOFError, ValueError)


def read(source: Source, path: Path) -> Iterator[Batch]:
    """Yield an export's conversations, each the branch that the owner last looked at.

    All belong to one user: the id in user.json where it lies beside, else `me`. Only text is taken; turns of
    tools and hidden turns are left out.
    """
    return batches(source, _drafts(path))


def _drafts(path: Path) -> Iterator[Draft | Fault]:
    user, found = _zipped(path) if zipfile.is_zipfile(path) else _unzipped(path)
    for record in found:
        if isinstance(record, Fault):
            yield record
        elif isinstance(record.value, dict):
            yield _draft(record, user)
        else:
            yield Fault(record.file, record.row, "the conversation is not a JSON object")


def _unzipped(path: Path) -> tuple[str, Iterator[Record | Fault]]:
    folder = path if path.is_dir() else path.parent
    parts = [path]
    if path.is_dir():
        parts = sorted(file for file in path.iterdir() if CONVERSATIONS.fullmatch(file.name))
        if not parts:
            raise RecenterError(f"{path} holds no conversations.json; name the folder of an unpacked ChatGPT export.")
    about = folder / "user.json"
    owner = _owner(about.read_bytes()) if about.is_file() else "me"
    return owner, (record for part in parts for record in records(part))


def _zipped(path: Path) -> tuple[str, Iterator[Record | Fault]]:
    try:
        with zipfile.ZipFile(path) as archive:
            names = {Path(name).name: name for name in sorted(archive.namelist())}
            owner = _owner(archive.read(names["user.json"])) if "user.json" in names else "me"
    except _BROKEN as problem:
        raise RecenterError(f"{path} is not a whole .zip ({problem}); ask for the export again.") from None
    if not any(CONVERSATIONS.fullmatch(name) for name in names):
        raise RecenterError(f"{path} holds no conversations.json; it is no ChatGPT export.")
    return owner, _members(path, [full for name, full in names.items() if CONVERSATIONS.fullmatch(name)])


def _members(path: Path, members: list[str]) -> Iterator[Record | Fault]:
    with zipfile.ZipFile(path) as archive:
        for member in members:
            name = f"{path.name}/{member}"
            try:
                document = parse(archive.read(member).decode("utf-8-sig", "surrogateescape"))
            except _BROKEN as problem:
                yield Fault(name, 1, str(problem))
                continue
            for row, value in enumerate(document if isinstance(document, list) else [document], 1):
                yield Record(name, row, value)


def _owner(about: bytes) -> str:
    try:
        found = json.loads(about)
    except (ValueError, RecursionError):
        return "me"
    return (identifier(found.get("id")) if isinstance(found, dict) else None) or "me"


def _draft(record: Record, user: str) -> Draft:
    value = record.value
    refused: str | None = None
    repairs: tuple[str, ...] = ()
    messages = None
    if not isinstance(nodes := value.get("mapping"), dict):
        refused = "it has no mapping of nodes"
    else:
        end = value.get("current_node")
        if not isinstance(end, str) or end not in nodes:
            end = _latest(nodes)
            repairs = ("it has no current_node: the latest message's branch was taken",)
        branch = _branch(nodes, end)
        refused = "its messages form a loop" if branch is None else None
        messages = [turn for node in branch or [] if (turn := _turn(node))]
    name = value.get("conversation_id") or value.get("id")
    return Draft(record.file, (record.row,), messages, name, user, refused=refused, repairs=repairs)


def _latest(nodes: dict[str, Any]) -> str | None:
    def created(name: str) -> float:
        message = _get(nodes[name], "message")
        when = _get(message, "create_time")
        return when if isinstance(when, (int, float)) else -1.0

    return max(nodes, key=created, default=None)


def _branch(nodes: dict[str, Any], name: Any) -> list[Any] | None:
    """Return the nodes from the root down to `name`, or None where parents go round in a circle."""
    path: dict[str, Any] = {}
    while isinstance(name, str) and name in nodes:
        if name in path:
            return None
        path[name] = nodes[name]
        name = _get(nodes[name], "parent")
    return list(path.values())[::-1]


def _turn(node: Any) -> dict[str, Any] | None:
    message = _get(node, "message")
    content = _get(message, "content")
    role = _get(_get(message, "author"), "role")
    if _get(_get(message, "metadata"), "is_visually_hidden_from_conversation") or role == "tool":
        return None
    parts = _get(content, "parts") if _get(content, "content_type") in TEXT else None
    texts = [text for part in parts if (text := _text(part))] if isinstance(parts, list) else []
    # An empty user turn (a picture alone) goes on to cleaning, which reports it; empty others are the format's own.
    if not texts and (role != "user" or parts is None):
        return None
    addressed = _get(message, "recipient") in (None, "all")
    return {"role": role, "content": "\n".join(texts)} if addressed else None


def _text(part: Any) -> str | None:
    spoken = part if isinstance(part, str) else _get(part, "text")
    return spoken if isinstance(spoken, str) and spoken.strip() else None


def _get(value: Any, key: str) -> Any:
    return value.get(key) if isinstance(value, dict) else None
