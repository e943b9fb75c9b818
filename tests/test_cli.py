from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from recenter_utils.declarations import declarations
from recenter_utils.scaffold import new_study
from recenter_utils.settings import load
from tests.workspaces import ROOT, recenter

CHATS = [
    {"conversation_id": "c1", "user_id": "u1", "messages": [{"role": "user", "content": "I am a nurse in Porto."}]},
    {"conversation_id": "c2", "user_id": "u2", "messages": [{"role": "user", "content": "Hello there."}]},
    {"conversation_id": "c3", "user_id": "u2", "messages": [{"role": "user", "content": None}]},
]


@pytest.fixture
def chats(tmp_path: Path) -> Path:
    path = tmp_path / "conversations.jsonl"
    path.write_text("\n".join(map(json.dumps, CHATS)))
    return path


def test_help_names_every_command_and_what_to_start_with(workspace: Path) -> None:
    said = recenter(workspace, "--help").stdout
    for command in ("new", "run", "status", "book", "doctor", "fetch"):
        assert re.search(rf"^  {command} ", said, re.MULTILINE)
    assert "recenter run demo" in said
    assert "..." not in said.split("Commands:")[1]  # a summary that is cut off says nothing


def test_a_misspelt_command_names_the_nearest(workspace: Path) -> None:
    done = recenter(workspace, "statsu", "demo")
    assert done.returncode == 2
    assert "Did you mean 'status'?" in done.stderr


def test_a_new_study_is_ready_to_run(workspace: Path, chats: Path) -> None:
    done = recenter(workspace, "new", "mine", "--chats", str(chats))
    assert done.returncode == 0, done.stderr
    assert "2 conversations of 2 users in chatlog form, 1 rows refused" in done.stdout
    status = recenter(workspace, "status", "mine")
    assert status.returncode == 0
    assert status.stdout.count("has not run") == len(declarations(ROOT))
    file = workspace / "data" / "mine" / "study.yaml"
    file.write_text(file.read_text() + "models: {extraction: embedded-brod}\n")
    status = recenter(workspace, "status", "mine")
    assert status.returncode == 1
    assert "models.extraction: there is no model 'embedded-brod'" in status.stderr


def test_a_new_study_file_holds_whatever_marks_are_taken_away(workspace: Path, chats: Path) -> None:
    file = new_study("mine", chats)[0] / "study.yaml"
    assert load(file).pairing.prompts is None
    # The marks of lines that are settings; the sentence at the top is none.
    file.write_text(re.sub(r"^# (?=  |\w+: #)", "", file.read_text(), flags=re.MULTILINE))
    settings = load(file)
    assert settings.pairing.prompts == "requests.jsonl"
    assert "\n# " not in file.read_text()
    assert (settings.responses.selector, settings.responses.sample) == ("majority", 80)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["new", "mine", "--chats", "nowhere.jsonl"], "There are no chats at"),
        (["new", "demo", "--chats", "CHATS"], "There is a study 'demo' already"),
        (["new", "../up", "--chats", "CHATS"], "cannot be a study's name"),
        (["new", "mine", "--chats", "EMPTY"], "no conversation in it could be used"),
        (["doctor", "demmo"], "Did you mean 'demo'?"),
        (["fetch", "wildcat"], "Did you mean 'wildchat'?"),
    ],
)
def test_a_mistake_is_one_sentence_and_leaves_nothing(
    workspace: Path, chats: Path, arguments: list[str], said: str
) -> None:
    empty = chats.with_name("empty.jsonl")
    empty.write_text("")
    done = recenter(workspace, *[{"CHATS": str(chats), "EMPTY": str(empty)}.get(a, a) for a in arguments])
    assert done.returncode == 1
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert sorted(path.name for path in (workspace / "data").iterdir()) == ["demo", "measured", "published"]


def test_doctor_names_keys_without_showing_them(workspace: Path) -> None:
    secret = "sk-recenter-doctor-0123456789"
    said = recenter(workspace, "doctor", "demo", OPENAI_API_KEY=secret).stdout
    assert re.search(r"key OPENAI_API_KEY +set \(for gpt-5\.4\)", said)
    assert re.search(r"key ANTHROPIC_API_KEY +missing", said)
    assert re.search(r"^gpu +\S", said, re.MULTILINE)
    assert secret not in said


def test_outside_a_workspace_the_command_says_where_to_go(tmp_path: Path) -> None:
    done = recenter(tmp_path, "status", "demo", RECENTER_ROOT="")
    # An editable install finds its own workspace from anywhere.
    assert (done.returncode == 0) == (ROOT / "notebooks" / "order.yaml").is_file()


def test_the_readme_shows_commands_that_exist(workspace: Path) -> None:
    text = (ROOT / "README.md").read_text()
    for command in set(re.findall(r"^recenter (\w+)", text, re.MULTILINE)):
        assert recenter(workspace, command, "--help").returncode == 0
    for target in set(re.findall(r"^make (\w+)", text, re.MULTILINE)):
        assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE)
