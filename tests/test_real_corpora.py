"""Real conversations, all the way to a book. Nothing of them is kept."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from tests import one_process
from tests.workspaces import add_study, recenter

STUDY = """\
title: Real conversations
sources: [{{name: {format}, format: {format}, path: {path}, user_is: {user_is}}}]
users: {{min_conversations: {conversations}, min_user_turns: {turns}}}
models: {{extraction: embedded-broad}}
sampling: {{users: 30}}
"""


@pytest.mark.parametrize(
    ("form", "folder", "user_is", "conversations", "turns", "loaded"),
    [("oasst", "oasst1", "user", 2, 2, 570), ("wildchat", "wildchat", "conversation", 1, 3, 588)],
)
def test_a_real_corpus_goes_through_to_the_book(
    workspace: Path,
    shared_data: Path,
    form: str,
    folder: str,
    user_is: str,
    conversations: int,
    turns: int,
    loaded: int,
) -> None:
    path = shared_data / folder
    text = STUDY.format(format=form, path=path, user_is=user_is, conversations=conversations, turns=turns)
    add_study(workspace, "real", text)
    one_process.run(workspace, "real")
    users = pl.read_parquet(workspace / "data/real/tables/users.parquet")
    assert len(users) == loaded
    assert 50 < users["kept"].sum() < loaded
    attributes = pl.read_parquet(workspace / "data/real/tables/attributes.parquet")
    assert len(attributes) > 100
    done = recenter(workspace, "book", "real")
    assert done.returncode == 0, done.stderr
    page = (workspace / "book/_build/study-real/html/notebooks/02-attributes.html").read_text()
    assert "origin-human" in page
    assert "origin-simulated" not in page
    for evidence in attributes["reason"].head(50):
        assert evidence not in page
