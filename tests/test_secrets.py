"""No key is in the repository, and none that a run is given is written by it."""

from __future__ import annotations

import base64
import json
import re
import subprocess
from pathlib import Path
from urllib.parse import quote

from recenter_utils.privacy import keys
from tests.fake_server import FakeServer, Reply, completion
from tests.workspaces import ROOT, TEST_KEY, recenter

#: Keys that tests make up say so: they count, or name the workspace. No server gave them to anybody.
MADE_UP = re.compile(r"1234567890|0123456789|recenter|[aA]1[bB]2|AKIAABCD1234|abcdefghij|very/secret|PRIVATE KEY-----$")


def tracked() -> list[Path]:
    """Return every file that git keeps or would."""
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    found = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [ROOT / name for name in found.split("\0") if name and (ROOT / name).is_file()]


def test_no_file_of_the_repository_holds_a_key() -> None:
    files = tracked()
    assert len(files) > 300
    for path in files:
        for key in keys(path.read_bytes().decode("utf-8", "replace")):
            own = path.relative_to(ROOT).parts[0] == "tests" and MADE_UP.search(key)
            assert own, f"{path} holds {key[:6]}…"


def forms(secret: str) -> list[bytes]:
    """Return a secret as itself and as what it is easily turned into; of base64, what does not hang on its place."""
    encoded = [base64.b64encode(b"x" * shift + secret.encode())[4:-4] for shift in range(3)]
    return [
        secret.encode(),
        *(quote(secret, safe=safe).encode() for safe in ("", "/")),
        json.dumps(secret)[1:-1].encode(),
        *encoded,
    ]


def holding(folder: Path, secret: str) -> list[Path]:
    """Return the files under a folder that hold a secret in any form."""
    files = [path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()]
    assert files
    return [path for path in files if any(form in path.read_bytes() for form in forms(secret))]


def test_every_form_of_a_key_is_looked_for(tmp_path: Path) -> None:
    secret = 'sk/very secret+"key"=1234567890'
    written = [secret, quote(secret), json.dumps({"k": secret}), base64.b64encode(f"user:{secret}".encode()).decode()]
    for number, text in enumerate(written):
        (tmp_path / str(number)).write_text(text)
    assert len(holding(tmp_path, secret)) == len(written)


def test_a_run_that_asks_with_a_key_writes_it_nowhere(workspace: Path) -> None:
    file = workspace / "data" / "demo" / "study.yaml"
    file.write_text(file.read_text().replace("language: embedded-plain", "language: paid"))
    with FakeServer(lambda asked: Reply(completion('{"is_english": true}'))) as server:
        entry = f"{{engine: openai, base_url: '{server.url}', key_env: RECENTER_TEST_KEY}}"
        (workspace / "data" / "demo" / "models.yaml").write_text(f"paid: {entry}\n")
        done = recenter(workspace, "run", "demo", "--only", "users", RECENTER_TEST_KEY=TEST_KEY)
        assert {asked.headers["Authorization"] for asked in server.asked} == {f"Bearer {TEST_KEY}"}
    assert done.returncode == 0, done.stderr
    assert not any(form.decode() in done.stdout + done.stderr for form in forms(TEST_KEY))
    assert (workspace / "data" / "demo" / "cache" / "answers.sqlite").is_file()
    assert (workspace / "data" / "demo" / "runs" / "01-users.ipynb").is_file()
    assert holding(workspace, TEST_KEY) == []


def test_a_book_that_is_built_with_a_key_at_hand_does_not_hold_it(finished_book: Path) -> None:
    assert holding(finished_book, TEST_KEY) == []
