"""Inputs to begin with: a sound one of every format, from which others are made by changing bytes."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
import zipfile
from typing import Any

import polars as pl

from recenter_utils.inference.models import MODELS_FILE
from tests.workspaces import ROOT

USER, REPLY = {"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Hi\u2028 <|im_end|>"}
_CHAT = {"conversation_id": "c", "user_id": "u", "language": "en", "messages": [USER, REPLY]}
_SAID = {"conversation_id": "d", "user_id": "u", "timestamp": "2026-01-02T03:04:05Z", **USER}
_WILD = {"conversation_hash": "h", "hashed_ip": "i", "language": "English", "conversation": [USER, REPLY]}
_TREE = {"message_id": "m", "user_id": "u", "role": "prompter", "text": "Hello", "lang": "en", "message_tree_id": "m"}
_ANSWER = {"message_id": "n", "parent_id": "m", "user_id": "v", "role": "assistant", "text": "Hi", "rank": 0}
_PREFERENCE = {"preference": "I like tea.", "conversation": {"1": {"user": "Hello", "assistant": "Hi"}}}
_CHOICE = {"conversation": {"query": "Q", "assistant_options": "A B", "user_selection": "A"}}
_PERSONA = {"persona_id": "p", "prior_interactions": [{"dialogue": [USER, REPLY]}]}
_TASK = {"task_id": "t", "User Intent": "To read.", "Relevant Domains": ["Books"], "dialogue": [USER, REPLY]}
_USER = {"user_id": "u", "affinities": {"Books": {"genre": ["crime"]}}, "tasks": [_TASK]}
_NODE = {"message": {"author": {"role": "user"}, "content": {"content_type": "text", "parts": ["Hello"]}}}
_EXPORT = [{"id": "x", "current_node": "b", "mapping": {"a": {"parent": None}, "b": {"parent": "a", **_NODE}}}]
_TABLE = b'conversation_id,user_id,role,content\nc,u,user,"Hello, ""you"""\nc,u,assistant,Hi\n'
_JUDGED = "item{0}rater{0}label{0}note{0}flagged{0}answered_at{0}attribute{0}first_shown\n" + (
    "a1{0}ann{0}accepted{0}a note{0}yes{0}2026-01-02T03:04:05+01:00{0}Likes tea.{0}generic\n"
    "a2{0}ann{0}2{0}{0}{0}{0}{0}\n"
)
_JUDGMENT = {"item": "a1", "rater": "ann", "label": "accepted"}


def seeds(target: str) -> list[bytes]:
    """Return a target's inputs; in those of files the first byte chooses the file's name, see `targets.FILES`."""
    made: dict[str, list[bytes]] = {
        "chatlog": [b"\0" + _lines(_CHAT, _SAID), b"\x81" + _json([_CHAT]), b"\x03" + gzip.compress(_lines(_CHAT))],
        "csv": [b"\0" + _TABLE, b"\x01" + _TABLE.replace(b",", b"\t"), b"\x82" + _TABLE.replace(b",", b";")],
        "wildchat": [b"\0" + _lines(_WILD, _WILD), b"\x01" + _parquet(_WILD)],
        "oasst": [b"\0" + _lines(_TREE, _ANSWER), b"\x01" + _parquet(_TREE | _ANSWER), b"\x02" + _json([_TREE])],
        "prefeval": [b"\0" + _json([_PREFERENCE, _CHOICE]), b"\x01" + _lines({"preference": "p"}, _CHOICE)],
        "cupid": [b"\0" + _lines(_PERSONA), b"\x01" + _parquet(_PERSONA)],
        "personalens": [b"\0" + _lines(_USER), b"\x01" + _tar(), b"\x02" + _json({}) + b"\n---\n" + _json([_TASK])],
        "chatgpt": [b"\0" + _json(_EXPORT), b"\x01" + _zip(), b"\x02" + _json(_EXPORT)],
        "prompts": [b"\0" + _lines({"prompt_id": "q", "text": "T"}), b"\x01" + _json([{"conversations": ["T", "A"]}])],
        "answers": [bytes([number]) + text for number, text in enumerate(_ANSWERS)],
        "judgments": [bytes([128 + 2 * at]) + _JUDGED.format(by).encode() for at in (0, 1) for by in ",;\t"]
        + [b"\x01" + _lines(_JUDGMENT, _JUDGMENT)],
        "study": [(ROOT / "data" / "demo" / "study.yaml").read_bytes(), _STUDY],
        "models": [
            MODELS_FILE.read_bytes(),
            b"m: {engine: openai, base_url: 'http://127.0.0.1:1', price: {input: 1}}\n",
        ],
        "slots": [b'{"a": "</s>\\u2028 {{two}}"}', b"[INST] <|im_end|>\n## user\nHello", b'["\\ud800", NaN, 1e999]'],
    }
    made["affinities"] = made["personalens"]
    return made[target]


_STUDY = b"title: T\nsources: [{name: a, format: chatlog, path: a.jsonl}]\nmodels: {verifiers: [embedded-plain]}\n"
_ANSWERS = [
    b'{"is_english": true}',
    b'<think>{</think> ```json\n{"reasoning": "r", "score": 0.5}\n```',
    b'{"attributes": [{"attribute": "a", "reason": "r", "confidence": 1, "evidence_turns": [0]}]}',
    b'{"inferred_reason": "r", "evidence_assessment": "e"}',
    b'{"classifications": [{"case": 1, "category": "c"}], "new_categories": [{"name": "n", "definition": "d"}]}',
    b'{"label": "accepted"}',
    b'{"reasoning": "r", "label": "rejected"}',
    b'{"action": "revise", "attribute": "a", "reason": "r", "confidence": 0.1, "evidence_turns": []}',
    b'{"relevant": [1, 1, 2]}',
    b"<think>x</think> because\nAnswer: YES\n",
    b"<think>never closed",
    b"thinking\n</think>\nA response.",
    b'{"reasoning": "r", "rating": 3}',
    b'{"quote": "you like tea", "explicit": true}',
]


def _json(value: Any) -> bytes:
    return json.dumps(value).encode()


def _lines(*values: Any) -> bytes:
    return b"\n".join(map(_json, values)) + b"\n"


def _parquet(row: dict[str, Any]) -> bytes:
    made = io.BytesIO()
    pl.DataFrame([row]).write_parquet(made)
    return made.getvalue()


def _zip() -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("conversations.json", json.dumps(_EXPORT))
        archive.writestr("user.json", '{"id": "me"}')
    return made.getvalue()


def _tar() -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz") as archive:
        for name, value in (("profile", {"affinities": {}}), ("tasks", {"t": _TASK})):
            about = tarfile.TarInfo(f"profile/user1/{name}.json")
            about.size = len(_json(value))
            archive.addfile(about, io.BytesIO(_json(value)))
    return made.getvalue()
