"""A new study of one's own chat logs."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

from recenter_utils import corpora
from recenter_utils.errors import RecenterError
from recenter_utils.settings import Source
from recenter_utils.study import find_root

_TEMPLATE = """\
# The study '{name}'. Every setting and its default is on the book's page "Settings".
title: "{name}"
note: ""
publish_text: false # true only if everybody whose chats these are has agreed: pages then show passages of them
sources:
  - name: chats
    format: {format}
    path: {path}
    kind: real
    origin: human
users: # who takes part; the paper's thresholds
  min_conversations: 3
  min_user_turns: 16
  min_assistant_score: 0.6
models: # names from recenter_utils/inference/models.yaml, or from a models.yaml beside this file
  language: embedded-plain
  assistant_use: embedded-plain
  extraction: embedded-plain # rules, to try things out; name a language model here for a real study
#   pairing: embedded-plain
#   relevance: [embedded-plain] # as many as are to be compared
#   generators: [embedded-plain] # stage 3: who writes responses, with what is known of a user and without
#   preference: [embedded-plain] # who judges which is better, beside people
#   mentions: embedded-plain # who says whether a response names an attribute
# pairing: # stage 2, which attributes matter for a request: take the marks away once there are requests
#   prompts: requests.jsonl # beside this file, a line each: {{"prompt_id": "q1", "text": "Plan a weekend for me."}}
#   origin: human # who wrote them
# responses: # stage 3, whether using what matters helps: the same requests
#   selector: majority # of annotators; before any have judged relevance, a model named under `relevance`
#   sample: 80 # pages to judge, over all generators; the book's page "Planning" says how many it takes
reward: # reward models learn from people's ratings
  tune: head # seconds on a CPU; `all` trains whole backbones, for a GPU
"""


def new_study(name: str, chats: Path) -> tuple[Path, str]:
    """Make data/<name>/study.yaml for the chats at a path; return its folder and what was found in the chats."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", name):
        raise RecenterError(f"'{name}' cannot be a study's name: use letters, digits, '-' and '_'.")
    chats = chats.expanduser().resolve()
    if not chats.exists():
        raise RecenterError(f"There are no chats at {chats}.")
    folder = find_root() / "data" / name
    if (folder / "study.yaml").exists():
        raise RecenterError(f"There is a study '{name}' already: edit {folder / 'study.yaml'}, or choose another name.")
    kind = _format(chats)
    # Inside the workspace the path is relative, so that the workspace can move.
    path = os.path.relpath(chats, folder) if chats.is_relative_to(find_root()) else chats.as_posix()
    source = Source(name="chats", format=kind, path=chats.as_posix(), kind="real", origin="human")
    conversations, users, refused = 0, set(), 0
    for batch in corpora.read(source, folder):
        conversations += batch.conversations.height
        users |= set(batch.conversations["user_id"])
        refused += batch.problems.filter(action="refused").height
    if not conversations:
        raise RecenterError(
            f"{chats} was read as {kind}, and no conversation in it could be used ({refused} rows refused). "
            "The page 'Your own data' shows the forms that are understood."
        )
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "study.yaml").write_text(
        _TEMPLATE.format(name=name, format=kind, path=json.dumps(path, ensure_ascii=False)), encoding="utf-8"
    )
    counts = f"{conversations:,} conversations of {len(users):,} users in {kind} form"
    return folder, counts + (f", {refused:,} rows refused (the users page lists them)" if refused else "")


def _format(chats: Path) -> str:
    if chats.suffix == ".zip" or (chats.is_file() and '"mapping"' in _beginning(chats)):
        return "chatgpt"
    return "csv" if chats.suffix == ".csv" else "chatlog"


def _beginning(chats: Path) -> str:
    with chats.open(encoding="utf-8", errors="replace") as stream:
        return stream.read(20_000)
