"""PersonaLens as known relevance: its links, its statements, and pairs that hold exactly what the benchmark says."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from recenter_utils.annotation.judgments import COLUMNS
from recenter_utils.corpora import personalens
from recenter_utils.errors import RecenterError
from recenter_utils.relevance import benchmark, pair_counts
from recenter_utils.relevance.consensus import consensus
from recenter_utils.relevance.pairing import Paired, pair
from recenter_utils.settings import Pairing
from recenter_utils.study import Study
from recenter_utils.tables import check
from tests.workspaces import ROOT, add_study

DEMO = ROOT / "data" / "demo" / "personalens.jsonl"


def made_of(path: Path, number: int = 41, seed: int = 1) -> Paired:
    made = Paired(*benchmark.pair(path, number, seed))
    for name in ("prompts", "pairing", "pairs"):
        check(name, getattr(made, name))
    return made


def user(name: str, affinities: dict[str, Any], *tasks: tuple[str, list[str], list[str]]) -> str:
    rows = [
        {"task_id": f"t{n}", "User Intent": text, "Relevant Domains": domains, "Relevant Affinity Types": relevant}
        for n, (text, domains, relevant) in enumerate(tasks)
    ]
    return json.dumps({"user_id": name, "affinities": affinities, "tasks": rows})


@pytest.fixture
def small(tmp_path: Path) -> Path:
    books = {"Genre": ["crime", "history"], "Favourite Authors": "Christie", "Reading Time": []}
    path = tmp_path / "small.jsonl"
    lines = [
        user(
            "ann",
            {"Books": books, "Movies": {"Genre": "comedy"}},
            ("Find a book.", ["Books"], ["Genre", "Favorite Authors"]),
            ("Find a film.", ["Movies"], ["Genre", "Seat Colour"]),
            ("Read on time.", ["Books"], ["Reading Time"]),
        ),
        user("bob", {"Books": {"Genre": "poetry"}}, ("Find a poem.", ["Books"], ["Genre"])),
    ]
    path.write_text("\n".join(lines))
    return path


@pytest.mark.parametrize(
    ("affinity", "said"),
    [
        (
            ("Restaurants", "Cuisine Preference", "Italian; Thai"),
            "For restaurants, the cuisine preference is Italian; Thai.",
        ),
        (("Books", "Favourite Authors", "A. Christie"), "For books, the favourite authors are A. Christie."),
        (("Train", "Preferred Train Class", "first."), "For train, the preferred train class is first."),
        (("Smart TV", "HDMI Inputs", "2"), "For smart TV, the HDMI inputs are 2."),
    ],
)
def test_an_affinity_reads_as_a_sentence(affinity: tuple[str, str, str], said: str) -> None:
    assert benchmark.statement(*affinity) == said


def test_a_link_holds_where_user_domain_and_name_agree_in_either_spelling(small: Path) -> None:
    made = made_of(small)
    linked = made.pairs.filter("benchmark").select("prompt_id", "attribute_id").sort("prompt_id", "attribute_id").rows()
    assert linked == [
        ("ann-t0", "ann/Books/Favourite Authors"),
        ("ann-t0", "ann/Books/Genre"),
        ("ann-t1", "ann/Movies/Genre"),  # and not the one of books
        ("bob-t0", "bob/Books/Genre"),
    ]


def test_links_that_agree_with_nothing_or_with_what_has_no_value_are_counted(small: Path) -> None:
    steps = {step: (n, note) for step, n, note in made_of(small).steps}
    agreed = "agree with one of the user's: 4 exactly, 1 in another spelling, 1 not at all"
    assert steps["links of these tasks"] == steps["links of a task to an affinity, in the file"] == (6, agreed)
    assert steps["affinities in the file"] == (5, "1 have no value and make no pair")
    assert steps["links to an affinity without a value"] == (1, "make no pair")
    assert steps["pairs that are linked"][0] == 6 - 1 - 1


def test_a_task_meets_all_affinities_of_its_own_user_and_no_others(small: Path) -> None:
    made = made_of(small)
    assert dict(made.pairs.group_by("prompt_id").len().iter_rows()) == {
        "ann-t0": 3,
        "ann-t1": 3,
        "ann-t2": 3,
        "bob-t0": 1,
    }
    assert set(made.pairs.filter(prompt_id="bob-t0")["user_id"]) == {"personalens/bob"}
    assert made.pairing.select("prompt_id", "user_id").is_unique().all()
    assert made.pairing["chosen"].all()
    assert made.pairing["n_potential"].null_count() == 4  # no filter is asked


def test_a_task_of_a_user_without_affinities_has_no_pairs_and_is_named(small: Path) -> None:
    with small.open("a") as file:
        file.write("\n" + user("cy", {}, ("Find anything.", ["Books"], ["Genre"])))
    made = made_of(small)
    assert pair_counts.without_pairs(made) == ["cy-t0"]
    assert made.pairing.filter(prompt_id="cy-t0").select("chosen", "reason").rows() == [(False, "no affinities")]
    said = pair_counts.sentence(made, Pairing(prompts="x", format="personalens"), 1)
    assert said.startswith("4 of 5 requests meet attributes of 2 users: 10 pairs")


def test_a_task_without_words_is_left_out_and_counted_and_two_of_one_name_are_refused(small: Path) -> None:
    text = small.read_text()
    small.write_text(text.replace('"Find a poem."', '""'))
    made = made_of(small)
    assert "bob-t0" not in set(made.prompts["prompt_id"])
    assert made.steps[0] == ("tasks in the file", 4, "1 say nothing and are left out")
    small.write_text(text.replace('"t1"', '"t0"'))
    with pytest.raises(RecenterError, match="two tasks of one user are called 'ann-t0'"):
        made_of(small)


def test_linked_pairs_are_counted_with_each_request_and_not_where_nobody_linked_any(small: Path) -> None:
    made = made_of(small)
    rows = pair_counts.by_request(made).select("prompt_id", "linked").sort("prompt_id").rows()
    assert rows == [("ann-t0", 2), ("ann-t1", 1), ("ann-t2", 0), ("bob-t0", 1)]
    silent = replace(made, pairs=made.pairs.with_columns(benchmark=pl.lit(None, pl.Boolean)))
    assert pair_counts.by_request(silent)["linked"].null_count() == 4


def test_draws_hang_on_the_seed(small: Path) -> None:
    assert made_of(DEMO, 5, 3).pairs.equals(made_of(DEMO, 5, 3).pairs)
    assert len({tuple(made_of(DEMO, 5, seed).prompts["prompt_id"]) for seed in range(6)}) > 3
    everything = set(made_of(DEMO).prompts["prompt_id"])
    assert set(made_of(DEMO, 5, 3).prompts["prompt_id"]) < everything


def test_without_annotators_the_links_are_the_reference(small: Path) -> None:
    made = made_of(small)
    reference = consensus(pl.DataFrame(schema=COLUMNS), made.pairs)
    yes = reference.filter(reference="yes")["pair_id"].to_list()
    assert sorted(yes) == sorted(made.pairs.filter("benchmark")["pair_id"])
    assert reference["reference_by"].unique().to_list() == ["benchmark"]


def test_a_study_of_the_benchmark_asks_no_model_and_has_its_own_origin(workspace: Path) -> None:
    text = "title: T\nsources: [{name: a, format: personalens, path: ../demo/personalens.jsonl, kind: synthetic}]\n"
    text += "pairing: {prompts: ../demo/personalens.jsonl, format: personalens, sample: 6, origin: model}\n"
    add_study(workspace, "links", text)
    study = Study.open("links")
    made = pair(study, progress=False)
    assert len(made.prompts) == 6
    assert (study.origin, made.made_by, made.unanswered) == ("model", "", 0)
    said = pair_counts.sentence(made, study.settings.pairing, 1)
    assert "The benchmark links" in said
    assert "(95% interval" in said


def test_the_real_sample_has_the_counts_that_its_authors_give(shared_data: Path) -> None:
    path = shared_data / "personalens" / "personalens_sample50.tar.gz"
    made = made_of(path, 10_000)
    steps = {step: (n, note) for step, n, note in made.steps}
    assert steps["users in the file"][0] == 50
    assert steps["affinities in the file"] == (4500, "18 have no value and make no pair")
    agreed = "agree with one of the user's: 7,913 exactly, 400 in another spelling, 0 not at all"
    assert steps["links of these tasks"] == (8313, agreed)
    assert steps["links to an affinity without a value"][0] == 51
    assert made.pairs["benchmark"].sum() == 8313 - 51
    assert len(made.prompts) == 3283
    tasks = personalens.read_tasks(path)
    others = tasks.explode("relevant").filter(pl.col("relevant").str.starts_with("Favorite "))
    assert len(others) >= 400  # what profiles spell Favourite


def test_a_real_sample_of_41_tasks_is_as_long_as_the_papers_study(shared_data: Path) -> None:
    made = made_of(shared_data / "personalens" / "personalens_sample50.tar.gz")
    sizes = made.pairs.group_by("prompt_id").len()["len"]
    assert (len(made.prompts), len(sizes)) == (41, 41)
    assert 85 <= min(sizes.to_list()) <= max(sizes.to_list()) <= 90
    assert 0.01 < made.pairs["benchmark"].sum() / len(made.pairs) < 0.06
