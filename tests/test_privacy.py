"""What must not be published is found in the pages themselves, whatever a notebook chose to show."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from recenter_utils import privacy
from recenter_utils.errors import RecenterError
from recenter_utils.study import Study
from recenter_utils.tables import table
from tests.workspaces import ROOT

TURN = "My landlord in Ghent wants the flat back in March, and I have two cats and nowhere to go; what are my rights?"
SHORT = "Thanks, that helps."
REQUEST = "Give me three ideas for a birthday party in a small flat that does not cost much."


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Study:
    """A study of chats that may not be published, with one conversation and one request."""
    monkeypatch.setenv("RECENTER_ROOT", str(ROOT))
    folder = tmp_path / "kept"
    (folder / "tables").mkdir(parents=True)
    (folder / "study.yaml").write_text("title: Kept\nsources: [{name: chat, format: chatlog, path: chats.jsonl}]\n")
    opened = Study.open(str(folder))
    turns = [{"role": "user", "content": TURN}, {"role": "assistant", "content": "It depends."}]
    turns += [{"role": "user", "content": SHORT}, {"role": "user", "content": REQUEST}]
    row = dict.fromkeys(table("conversations").columns) | {"conversation_id": "chat/c1", "turns": turns}
    pl.DataFrame([row], schema=table("conversations").columns).write_parquet(opened.table_path("conversations"))
    prompts = pl.DataFrame([{"prompt_id": "q1", "source": "s", "text": REQUEST}], schema=table("prompts").columns)
    prompts.write_parquet(opened.table_path("prompts"))
    return opened


def page(folder: Path, text: str, name: str = "notebooks/page.html") -> Path:
    """Write a page of a book and return the book's folder."""
    book = folder / "book-html"
    path = book / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return book


def said(study: Study, book: Path) -> list[str]:
    return [found.what for found in privacy.findings(study, book)]


def test_a_turn_is_found_through_markup_case_and_punctuation(study: Study, tmp_path: Path) -> None:
    marked = TURN.upper().replace(" AND I", " AND <em>I</em>").replace(";", " &mdash;")
    book = page(tmp_path, f"<html><body><p>{marked}</p></body></html>")
    with pytest.raises(RecenterError, match=r"notebooks/page\.html holds text of a chat \(conversation chat/c1\)"):
        privacy.refuse(study, book)


@pytest.mark.parametrize("start", range(0, 24, 6))
def test_every_piece_of_twice_the_window_is_found_wherever_it_begins(study: Study, tmp_path: Path, start: int) -> None:
    piece = "".join(filter(str.isalnum, TURN))[start : start + 2 * privacy.WINDOW - 1]
    assert len(piece) >= 60
    assert said(study, page(tmp_path, f"<p>… {piece} …</p>")) == ["text of a chat"]


@pytest.mark.parametrize("tag", ['<p title="{}">Look</p>', "<img alt='{}'>", '<g aria-label = "{}"/>'])
@pytest.mark.parametrize("name", ["page.html", "_images/drawn.svg"])
def test_a_turn_is_found_in_what_a_tag_tells_on_pointing(study: Study, tmp_path: Path, tag: str, name: str) -> None:
    assert said(study, page(tmp_path, tag.format(TURN), name)) == ["text of a chat"]


def test_a_turn_is_found_in_a_drawing_that_breaks_it_into_lines(study: Study, tmp_path: Path) -> None:
    lines = "".join(f'<text x="0">{TURN[start : start + 25]}</text>' for start in range(0, len(TURN), 25))
    assert said(study, page(tmp_path, f"<svg>{lines}</svg>", "_images/drawn.svg")) == ["text of a chat"]


def test_a_turn_is_found_in_the_notebook_that_a_page_offers(study: Study, tmp_path: Path) -> None:
    assert said(study, page(tmp_path, f'{{"text": "{TURN}"}}', "_sources/page.ipynb")) == ["text of a chat"]


def test_short_turns_requests_and_other_words_pass(study: Study, tmp_path: Path) -> None:
    book = page(tmp_path, f"<p>{SHORT}</p><p>{REQUEST}</p><p>My landlord is kind, and the flat is large.</p>")
    assert said(study, book) == []


def test_a_study_that_publishes_its_chats_may_show_them(study: Study, tmp_path: Path) -> None:
    file = study.folder / "study.yaml"
    file.write_text(file.read_text() + "publish_text: true\n")
    assert said(Study.open(str(study.folder)), page(tmp_path, f"<p>{TURN}</p>")) == []


def test_chats_in_other_scripts_are_found(study: Study, tmp_path: Path) -> None:
    turn = "我的房东想在三月份收回公寓我有两只猫没有地方可去请问我有什么权利"
    turns = [{"role": "user", "content": turn}]
    row = dict.fromkeys(table("conversations").columns) | {"conversation_id": "chat/c2", "turns": turns}
    pl.DataFrame([row], schema=table("conversations").columns).write_parquet(study.table_path("conversations"))
    assert said(study, page(tmp_path, f"<p>{turn}</p>")) == ["text of a chat"]


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("write to jan.peeters@telenet.be", "an e-mail address"),
        ("write to jan.peeters&#64;telenet.be", "an e-mail address"),
        ("call +32 2 555 12 34 now", "a telephone number"),
        ("call (212) 736-5000 now", "a telephone number"),
        ("call 212-736-5000 now", "a telephone number"),
        ("call &lt;212-736-5000&gt; now", "a telephone number"),
        ("use sk-" + "a1B2" * 8, "what looks like a key"),
        ("use hf_" + "a1B2" * 9, "what looks like a key"),
        ("AKIA" + "ABCD1234EFGH5678", "what looks like a key"),
        ("-----BEGIN RSA PRIVATE KEY-----", "what looks like a key"),
    ],
)
@pytest.mark.parametrize("published", [False, True])
def test_addresses_numbers_and_keys_are_found_in_any_study(
    study: Study, tmp_path: Path, text: str, what: str, published: bool
) -> None:
    file = study.folder / "study.yaml"
    file.write_text(file.read_text() + f"publish_text: {str(published).lower()}\n")
    found = list(privacy.findings(Study.open(str(study.folder)), page(tmp_path, f"<p>{text}</p>")))
    assert [one.what for one in found] == [what]
    # The message does not publish it either.
    assert text not in found[0].shown
    assert len(found[0].shown) < 30


@pytest.mark.parametrize(
    "text",
    [
        "mia@example.org and bot@study.invalid",
        "call 555-0142 or (212) 555-0142",
        "0.4567 1,057 2026-11-21 12:30 .427 / .598 / .299",
        "<td>3.14</td><td>212</td><td>736</td><td>5000</td>",
        "1,101 ratings; 3,969 pairs; 95% interval 0.123 to 0.456; blake 1f0e3dad99908345",
        '<img src="data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAsk-abcdefghijklmnopqrstuvwxyz">',
    ],
)
def test_figures_and_invented_addresses_pass(study: Study, tmp_path: Path, text: str) -> None:
    assert said(study, page(tmp_path, f"<p>{text}</p>")) == []


def test_a_key_of_the_environment_is_found_whatever_its_form(
    study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_API_KEY", "correct horse battery")
    found = list(privacy.findings(study, page(tmp_path, "<p>correct horse battery staple</p>")))
    assert [one.what for one in found] == ["the value of the environment variable MY_API_KEY"]
    assert "horse" not in found[0].shown
