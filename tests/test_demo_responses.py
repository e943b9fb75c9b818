"""The demo's generators answer the same requests, and name as many attributes as was planted."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from scipy.stats import binom

from recenter_utils.inference.models import load_models
from recenter_utils.inference.rules import Dials
from recenter_utils.settings import load
from tests.test_generation_rules import named
from tests.workspaces import ROOT

DEMO = load(ROOT / "data" / "demo" / "study.yaml")


def table(demo: Path, name: str) -> pl.DataFrame:
    return pl.read_parquet(demo / "data" / "demo" / "tables" / f"{name}.parquet")


def test_every_generator_answers_the_same_requests_of_the_same_users(finished_demo: Path) -> None:
    responses = table(finished_demo, "responses")
    asked = responses.filter(condition="personalised")
    sides = {
        name: set(asked.filter(generator=name).select("prompt_id", "user_id").iter_rows())
        for name in DEMO.models.generators
    }
    assert len({frozenset(side) for side in sides.values()}) == 1
    assert len(asked) == DEMO.responses.sample
    requests = responses.filter(condition="generic").group_by("generator").agg(pl.col("prompt_id").sort())
    assert requests["prompt_id"].list.len().n_unique() == 1


def test_every_page_is_judged_or_counted(finished_demo: Path) -> None:
    counted = table(finished_demo, "generation")
    compared = table(finished_demo, "comparisons")
    parts = counted.select("n_compared", "n_failed", "n_refused", "n_empty", "n_identical")
    assert parts.sum_horizontal().to_list() == counted["n_pages"].to_list()
    assert counted["n_compared"].sum() == compared["page_id"].n_unique()
    assert compared["page_id"].n_unique() > 0.9 * DEMO.responses.sample
    given = table(finished_demo, "responses").filter(condition="personalised").select("response_id", "attribute_ids")
    joined = compared.group_by("personalised_id").len().join(given, left_on="personalised_id", right_on="response_id")
    assert (joined["len"] == joined["attribute_ids"].list.len()).all()


@pytest.mark.parametrize("name", DEMO.models.generators)
def test_mentions_come_at_the_planted_rate(finished_demo: Path, name: str) -> None:
    texts = dict(table(finished_demo, "responses").drop_nulls("text").select("response_id", "text").iter_rows())
    own = table(finished_demo, "comparisons").filter(generator=name)
    told = [named(texts[page], words) for page, words in own.select("personalised_id", "attribute").iter_rows()]
    low, high = binom.interval(0.999, len(told), Dials.of(load_models()[name].options, name).mentions)
    assert low <= sum(told) <= high
