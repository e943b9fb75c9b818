"""What a run that could not finish leaves, and what the next one does about it."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from recenter_utils.book import build
from recenter_utils.errors import RecenterError
from recenter_utils.steps import code_hash, steps
from recenter_utils.study import Study
from recenter_utils.workflow import unfinished
from tests import one_process
from tests.test_workflow import started
from tests.workspaces import add_study, recenter, table_bytes

NOBODY = """\
title: Nobody
sources: [{name: chat, format: chatlog, path: ../demo/chats.jsonl, origin: simulated}]
users: {min_conversations: 99}
"""


def condition(name: str) -> str:
    return next(step.condition() for step in steps(Study.open("demo")) if step.name == name)


def test_requests_without_an_answer_make_a_notebook_unfinished(demo_copy: Path) -> None:
    study = Study.open("demo", notebook="02-attributes")
    for name in ("conversations", "users"):
        study.scan(name)
    step = next(step for step in steps(Study.open("demo")) if step.name == "02-attributes")
    before = step.record()
    study.write("extractions", study.frame("extractions"), "model", unanswered=3)
    assert before["unanswered"] == 0
    assert step.record()["unanswered"] == 3


def test_a_notebook_left_unfinished_is_run_again(demo_copy: Path) -> None:
    file = demo_copy / "data" / "demo" / "runs" / "02-attributes.ipynb"
    file.write_text(file.read_text().replace('"unanswered": 0', '"unanswered": 4'))
    assert condition("02-attributes") == "unfinished: 4 requests got no answer"
    assert unfinished(Study.open("demo"), "03") == {"02-attributes": 4}
    assert unfinished(Study.open("demo"), "01") == {}
    # It writes the same tables again: what reads them is not run.
    assert started(recenter(demo_copy, "run", "demo", "--only", "merging")) == ["02-attributes"]
    assert condition("02-attributes") == "up to date"


def test_a_failure_costs_no_table_that_was_there(demo_copy: Path) -> None:
    before = table_bytes(demo_copy)
    done = recenter(demo_copy, "run", "demo", "-p", "min_confidence=7")
    assert done.returncode == 1
    assert "extraction.min_confidence" in done.stderr
    assert table_bytes(demo_copy) == before
    assert (demo_copy / "data/demo/runs/02-attributes.ipynb").is_file()
    assert started(recenter(demo_copy, "run", "demo")) == []


def test_a_book_is_refused_when_what_may_be_published_has_changed(demo_copy: Path) -> None:
    file = demo_copy / "data" / "demo" / "study.yaml"
    file.write_text(file.read_text().replace("publish_text: true", "publish_text: false"))
    with pytest.raises(RecenterError, match=r"study\.yaml of 'demo' has changed since notebook 01-users ran"):
        build(Study.open("demo"))


def test_a_changed_corpus_loader_or_rule_counts_and_an_address_does_not(demo_copy: Path) -> None:
    notebook = demo_copy / "notebooks" / "01-users.ipynb"
    assert code_hash(notebook, ["recenter_utils.corpora.cupid"]) != code_hash(notebook)
    models = demo_copy / "data" / "demo" / "models.yaml"
    entry = "embedded-broad: {{engine: embedded, options: {options}, concurrency: {n}, note: other}}\n"
    known = Study.open("demo").models["embedded-broad"].options
    models.write_text(entry.format(options=dict(known), n=7).replace("True", "true").replace("False", "false"))
    assert condition("02-attributes") == "up to date"
    models.write_text(entry.format(options="{}", n=7))
    assert condition("02-attributes") == "out of date: models changed"


def test_a_missing_corpus_does_not_break_the_status(demo_copy: Path) -> None:
    (demo_copy / "data" / "demo" / "cupid.jsonl").unlink()
    assert condition("01-users") == "out of date: corpora changed"


def test_a_study_in_which_nobody_is_left_still_has_a_book(workspace: Path) -> None:
    add_study(workspace, "nobody", NOBODY)
    one_process.run(workspace, "nobody")
    done = recenter(workspace, "book", "nobody")
    assert done.returncode == 0, done.stderr
    assert pl.read_parquet(workspace / "data/nobody/tables/users.parquet")["kept"].sum() == 0
    pages = workspace / "book/_build/study-nobody/html/notebooks"
    assert "undefined (there are no rows)" in (pages / "03-merging.html").read_text()
    for page in pages.glob("*.html"):
        for claim in page.read_text().split('class="claim"')[1:]:
            assert "nan" not in claim[:200], page
