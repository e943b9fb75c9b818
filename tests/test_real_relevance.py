"""Stage 2 on real requests, on real people's attributes, and on a benchmark that knows what is relevant."""

from __future__ import annotations

import html
from pathlib import Path

import polars as pl
import pytest

from tests import one_process
from tests.workspaces import add_study

JUDGES = ("embedded-cautious", "embedded-plain", "embedded-literal", "embedded-broad", "embedded-eager")

REAL = """\
title: Real requests, real chats
sources: [{{name: oasst, format: oasst, path: {data}/oasst1}}]
users: {{min_conversations: 2, min_user_turns: 2}}
annotation: {{real_users: 20}}
models: {{extraction: embedded-broad, pairing: embedded-eager, relevance: [{judges}]}}
pairing: {{prompts: {data}/lima/lima_prompts_1030.jsonl, sample: 20}}
"""

BENCHMARK = """\
title: PersonaLens
sources: []
models: {{relevance: [{judges}]}}
pairing:
  prompts: {data}/personalens/personalens_sample50.tar.gz
  format: personalens
  origin: model
  sample: 10
selector: {{epochs: 1, max_tokens: 32}} # to have a row of it; ten passes over longer texts take minutes
"""


def finished(workspace: Path, text: str, data: Path, *notebooks: str) -> Path:
    """Run these notebooks and what they need; return the study's folder."""
    folder = add_study(workspace, "real", text.format(data=data, judges=", ".join(JUDGES)))
    one_process.run(workspace, "real", *notebooks)
    return folder / "tables"


@pytest.mark.slow
def test_lima_requests_meet_oasst_users_and_nothing_is_claimed_without_a_reference(
    workspace: Path, shared_data: Path
) -> None:
    tables = finished(workspace, REAL, shared_data, "04", "11", "13", "16", "18")
    prompts, pairs = (pl.read_parquet(tables / f"{name}.parquet") for name in ("prompts", "pairs"))
    assert len(prompts) == 20
    assert len(pairs) > 100
    assert pairs.group_by("prompt_id").agg(pl.col("user_id").n_unique())["user_id"].max() <= 4
    judgments = pl.read_parquet(tables / "relevance_judgments.parquet")
    assert set(judgments["rater"]) == set(JUDGES)
    assert len(judgments) == len(JUDGES) * len(pairs)
    rates = dict(judgments.group_by("rater").agg((pl.col("label") == "yes").mean()).iter_rows())
    assert 0 < rates["embedded-cautious"] <= rates["embedded-plain"] < rates["embedded-eager"] < 1
    assert pl.read_parquet(tables / "retrieval_judgments.parquet").is_empty()  # nobody said what is relevant
    assert pl.read_parquet(tables / "selection_scores.parquet").is_empty()
    blocks = pl.read_parquet(tables / "relevance_blocks.parquet").filter(block="people with models")
    assert blocks["value"].null_count() == len(blocks)
    assert blocks["reason"].null_count() == 0
    page = (tables.parent / "runs" / "12-retrieval.ipynb").read_text()
    assert "Nothing can be said of retrieval: no pair has a reference" in page


@pytest.mark.slow
def test_retrieval_and_judges_are_held_against_a_benchmarks_links(workspace: Path, shared_data: Path) -> None:
    tables = finished(workspace, BENCHMARK, shared_data, "04", "11", "12", "16")
    pairs = pl.read_parquet(tables / "pairs.parquet")
    base_rate = pairs["benchmark"].mean()
    assert 0.01 < base_rate < 0.05
    scores = pl.read_parquet(tables / "selection_scores.parquet").filter(items="all")
    f1 = dict(scores.filter(metric="f1").select("selector", "value").iter_rows())
    precision = dict(scores.filter(metric="precision").select("selector", "value").iter_rows())
    recall = dict(scores.filter(metric="recall").select("selector", "value").iter_rows())
    rankers = [f"{name} ({cut})" for name in ("BM25", "all-MiniLM-L6-v2") for cut in ("over all", "within requests")]
    assert {*rankers, *JUDGES} <= set(f1)
    for ranker in rankers:  # its tasks are written around the affinities that it links to them
        assert f1[ranker] == pytest.approx(precision[ranker]) == pytest.approx(recall[ranker])
        assert f1[ranker] > 10 * base_rate
    for judge in ("embedded-literal", "embedded-broad", "embedded-eager"):
        assert precision[judge] > base_rate
    assert recall["embedded-eager"] > recall["embedded-cautious"]
    runs = tables.parent / "runs"
    assert "By the benchmark's links" in html.unescape((runs / "12-retrieval.ipynb").read_text())
    page = (runs / "16-selection-quality.ipynb").read_text()
    assert all(name in page for name in (*rankers, *JUDGES))
