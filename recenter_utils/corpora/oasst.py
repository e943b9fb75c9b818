"""OpenAssistant conversations (OASST1): message trees that many people wrote, made into conversations of one user."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recenter_utils.corpora.batches import Batch
from recenter_utils.corpora.cleaning import Draft, batches
from recenter_utils.corpora.records import JSON, PARQUET, Fault, records
from recenter_utils.settings import Source


@dataclass
class _Message:
    row: int
    name: str
    parent: str | None
    tree: str
    user: str
    prompt: bool
    text: Any
    language: Any
    rank: float
    created: str


def read(source: Source, path: Path) -> Iterator[Batch]:
    """Yield the conversations in files of OASST messages, one message a row.

    A user's conversation in a tree is the path from its root to the user's deepest prompt (the earliest of equals)
    and the best-ranked reply to it. Prompts of theirs on other branches make further conversations (`…-b2`), until
    each stands in one. On a path the user's own prompts are `user`, other people's `other`, replies `assistant`.
    """
    return batches(source, _drafts(path))


def _drafts(path: Path) -> Iterator[Draft | Fault]:
    by_file: dict[str, dict[str, _Message]] = defaultdict(dict)
    for record in records(path, JSON + PARQUET):
        message = record if isinstance(record, Fault) else _message(record.row, record.value)
        if isinstance(message, str):
            yield Fault(record.file, record.row, message)
        elif isinstance(message, Fault):
            yield message
        elif message.name in by_file[record.file]:
            yield Fault(record.file, record.row, "its message_id stands already in an earlier row")
        else:
            by_file[record.file][message.name] = message
    for file, messages in by_file.items():
        yield from _conversations(file, messages)


def _message(row: int, value: Any) -> _Message | str:
    if not isinstance(value, dict):
        return "the row is not a JSON object"
    for key in ("message_id", "user_id", "role"):
        if not isinstance(value.get(key), str) or not value[key]:
            return f"the message has no {key}"
    if value["role"] not in ("prompter", "assistant"):
        return f"the message has the unknown role {value['role'][:40]!r}"
    parent, tree, rank = value.get("parent_id"), value.get("message_tree_id"), value.get("rank")
    return _Message(
        row=row,
        name=value["message_id"],
        parent=parent if isinstance(parent, str) else None,
        tree=tree if isinstance(tree, str) else value["message_id"],
        user=value["user_id"],
        prompt=value["role"] == "prompter",
        text=value.get("text"),
        language=value.get("lang"),
        rank=rank if isinstance(rank, (int, float)) else float("inf"),
        created=str(value.get("created_date") or ""),
    )


def _conversations(file: str, messages: dict[str, _Message]) -> Iterator[Draft | Fault]:
    prompts: dict[tuple[str, str], list[list[_Message]]] = defaultdict(list)
    replies: dict[str, list[_Message]] = defaultdict(list)
    for message in messages.values():
        if message.prompt:
            path = _path(messages, message)
            if path is None:
                yield Fault(file, message.row, "its parents form a loop")
            else:
                prompts[message.tree, message.user].append(path)
        elif message.parent in messages and messages[message.parent].prompt:
            replies[message.parent].append(message)
        else:
            yield Fault(file, message.row, "it answers no prompt that is in the file")
    for (tree, user), paths in prompts.items():
        for number, path in enumerate(_branches(paths), 1):
            answer = min(replies[path[-1].name], key=lambda reply: (reply.rank, reply.created), default=None)
            yield Draft(
                file,
                (path[-1].row,),
                [_turn(message, user) for message in [*path, *([answer] if answer else [])]],
                f"{tree}-{user}" + (f"-b{number}" if number > 1 else ""),
                user,
                path[-1].language,
                repairs=("it begins in mid-tree: the message before is not in the file",) if path[0].parent else (),
            )


def _path(messages: dict[str, _Message], message: _Message) -> list[_Message] | None:
    path = {message.name: message}
    while message.parent in messages:
        message = messages[message.parent]
        if message.name in path:
            return None
        path[message.name] = message
    return list(path.values())[::-1]


def _branches(paths: list[list[_Message]]) -> Iterator[list[_Message]]:
    """Yield the fewest of a user's paths that hold all their prompts, the deepest first."""
    covered: set[str] = set()
    for path in sorted(paths, key=lambda path: (-len(path), path[-1].created, path[-1].name)):
        if path[-1].name not in covered:
            covered.update(message.name for message in path)
            yield path


def _turn(message: _Message, user: str) -> dict[str, Any]:
    role = "assistant" if not message.prompt else "user" if message.user == user else "other"
    return {"role": role, "content": message.text}
