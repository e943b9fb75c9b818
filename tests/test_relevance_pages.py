"""Pages of relevance: a study's pairs as annotators see them, sound check items, and answers that come back."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recenter_utils import provenance
from recenter_utils.annotation import judgments, pages
from recenter_utils.annotation.imports import import_file
from recenter_utils.annotation.relevance_pages import relevance_pages, study_pages
from recenter_utils.annotation.tasks import find_task, task_pages
from recenter_utils.errors import RecenterError
from recenter_utils.study import Study
from recenter_utils.tables import table
from tests.judging import judging
from tests.relevant import pairs_of
from tests.workspaces import add_study

PAIRS = pairs_of(prompts=5, attributes=12)


def prompts_of(pairs: pl.DataFrame) -> pl.DataFrame:
    """The requests of the pairs, from the last to the first, and one without pairs."""
    rows = [(name, "file", f"Request {name}?") for name in [*sorted(set(pairs["prompt_id"]))[::-1], "q999"]]
    return pl.DataFrame(rows, schema=table("prompts").columns, orient="row")


def checks_of(made: list[pages.Page]) -> list[tuple[str, pages.Item]]:
    return [(page.page_id, item) for page in made for item in page.items if item.expected is not None]


def study_with(
    workspace: Path, prompts: pl.DataFrame, pairs: pl.DataFrame, more: str = "pairing: {prompts: q.jsonl}\n"
) -> Study:
    """A study of people with the two tables of notebook 10."""
    add_study(workspace, "mine", f"title: T\nsources: [{{name: chat, format: chatlog, path: chats.jsonl}}]\n{more}")
    study = Study.open("mine")
    for name, frame in (("prompts", prompts), ("pairs", pairs)):
        path = study.table_path(name)
        path.parent.mkdir(exist_ok=True)
        record = provenance.Provenance(name, "simulated", None)
        frame.write_parquet(path, metadata={provenance.METADATA_KEY: record.dumps()})
    return study


def test_a_page_is_a_request_with_its_attributes_in_their_places() -> None:
    made = relevance_pages(prompts_of(PAIRS), PAIRS.reverse(), seed=1)
    assert [page.page_id for page in made] == ["q004", "q003", "q002", "q001", "q000"]  # q999 meets nobody
    first = made[0]
    assert first.prompt == "Request q004?"
    own = PAIRS.filter(prompt_id="q004").sort("place")
    assert [item.item_id for item in first.items] == own["pair_id"].to_list()
    assert [item.attribute for item in first.items] == own["attribute"].to_list()
    assert pages.check(made, "relevance", "here") == made


def test_nothing_on_a_page_says_whose_an_attribute_is() -> None:
    pairs = PAIRS.with_columns(user_id=pl.format("chat/secret{}", pl.col("place") % 3))
    assert "secret" not in "".join(page.model_dump_json() for page in relevance_pages(prompts_of(pairs), pairs, seed=1))


def test_a_check_item_asks_for_an_answer_in_words_and_any_one_answer_passes_half() -> None:
    made = relevance_pages(prompts_of(PAIRS), PAIRS, seed=2, checks=4)
    found = checks_of(made)
    assert len(found) == 4
    assert len({page for page, _ in found}) == 4  # one a page before any has two
    for _, item in found:
        (label,) = item.expected or ()
        assert item.attribute.endswith(f"answer {label.upper()}.)")
        assert item.item_id.startswith("check:")
    assert sorted(item.expected for _, item in found if item.expected) == [("no",)] * 2 + [("yes",)] * 2
    assert pages.check(made, "relevance", "here") == made


@given(st.integers(0, 500), st.integers(0, 40))
def test_checks_move_no_pair_and_are_never_more_than_one_for_ten(seed: int, wanted: int) -> None:
    plain = relevance_pages(prompts_of(PAIRS), PAIRS, seed=seed)
    made = relevance_pages(prompts_of(PAIRS), PAIRS, seed=seed, checks=wanted)
    assert len(checks_of(made)) == min(wanted, 5)
    for before, after in zip(plain, made, strict=True):
        assert list(before.items) == [item for item in after.items if item.expected is None]
        assert [before.item_version(item) for item in before.items] == [
            after.item_version(item) for item in after.items if item.expected is None
        ]


def test_long_pages_take_more_checks_and_these_stand_anywhere() -> None:
    pairs = pairs_of(prompts=2, attributes=100)
    places = set()
    for seed in range(10):
        made = relevance_pages(prompts_of(pairs), pairs, seed=seed, checks=100)
        assert len(checks_of(made)) == 20
        assert len({item.item_id for _, item in checks_of(made)}) == 20
        places |= {place for page in made for place, item in enumerate(page.items) if item.expected is not None}
    assert len(places) > 60


def test_the_study_serves_its_own_pairs_under_their_own_ids(workspace: Path) -> None:
    study = study_with(workspace, prompts_of(PAIRS), PAIRS)
    made = task_pages(study, find_task("relevance"), checks=2)
    assert set(judgments.items_of(made)["item_id"]) == set(PAIRS["pair_id"])
    assert len(checks_of(made)) == 2


def test_before_there_are_pairs_the_command_says_what_makes_them(workspace: Path) -> None:
    with pytest.raises(RecenterError, match="'recenter run demo --only pairs' makes them"):
        study_pages(Study.open("demo"))


@pytest.mark.parametrize(
    ("more", "said"), [("", "pairing.prompts"), ("pairing: {prompts: q.jsonl}\n", "no user's attributes meet one")]
)
def test_a_study_without_any_pair_says_why(workspace: Path, more: str, said: str) -> None:
    study = study_with(workspace, prompts_of(PAIRS).head(0), PAIRS.head(0), more)
    with pytest.raises(RecenterError, match=said):
        task_pages(study, find_task("relevance"))


def test_judgments_from_a_file_come_back_by_pair_id(workspace: Path, tmp_path: Path) -> None:
    study = study_with(workspace, prompts_of(PAIRS), PAIRS)
    file = tmp_path / "answers.csv"
    rows = [f"{pair},anna,{'YES' if place % 3 else 'no'}" for place, pair in enumerate(PAIRS["pair_id"])]
    file.write_text("\n".join(["item,rater,label", *rows]))
    assert import_file(study, "relevance", file).startswith("60 answers imported")
    assert import_file(study, "relevance", file).startswith("0 answers imported, 60 were there already")
    found = judgments.gather(study, "relevance", judgments.items_of(study_pages(study))).judgments
    people = found.filter(rater_kind="human")
    assert people["label"].value_counts().sort("label")["count"].to_list() == [20, 40]
    assert people["task"].unique().to_list() == ["relevance"]
    assert people["score"].mean() == pytest.approx(2 / 3)

    file.write_text("item,rater,label\nq000/none,anna,yes\n")
    with pytest.raises(RecenterError, match="unknown items"):
        import_file(study, "relevance", file)


def test_answers_on_the_screen_come_back_as_judgments_and_checks_apart(workspace: Path) -> None:
    study = study_with(workspace, prompts_of(PAIRS), PAIRS)
    made = study_pages(study, checks=4)
    study.answers_path("relevance").parent.mkdir(exist_ok=True)
    with judging(study.answers_path("relevance"), made, task="relevance", invited=("anna",)) as screen:
        screen.answer_all(screen.begin("anna"), "yes")
    found = judgments.gather(study, "relevance", judgments.items_of(study_pages(study)))
    people = found.judgments.filter(rater="anna")
    assert sorted(people["item_id"]) == sorted(PAIRS["pair_id"])
    assert found.checks["passed"].to_list().count(True) == 2
    assert len(found.checks) == 4
