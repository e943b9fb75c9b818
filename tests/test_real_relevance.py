"""Stage 2 on a benchmark that knows what is relevant."""

from __future__ import annotations

import html
from pathlib import Path

import polars as pl
import pytest

from tests import one_process
from tests.workspaces import add_study

JUDGES = ("embedded-cautious", "embedded-plain", "embedded-literal", "embedded-broad", "embedded-eager")

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


@pytest.mark.slow
def test_retrieval_and_judges_are_held_against_a_benchmarks_links(workspace: Path, shared_data: Path) -> None:
    study = BENCHMARK.format(data=shared_data, judges=", ".join(JUDGES))
    tables = add_study(workspace, "benchmark", study) / "tables"
    one_process.run(workspace, "benchmark", "04", "11", "12", "16")
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
