"""Pages of two responses: a study's comparisons as annotators see them, blind, and answers that come back recoded."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from recenter_utils.annotation import judgments, pages, simulated_preference
from recenter_utils.annotation.imports import import_file
from recenter_utils.annotation.overview import overview
from recenter_utils.annotation.preference_pages import preference_pages, study_pages
from recenter_utils.annotation.progress import checks as passed
from recenter_utils.annotation.tasks import find_task, task_pages
from recenter_utils.errors import RecenterError
from recenter_utils.study import Study
from tests.compared import GENERATORS
from tests.judging import judging
from tests.responded import worded_of, write
from tests.workspaces import ROOT, add_study, recenter

COMPARISONS, PROMPTS, RESPONSES, _ = worded_of(6)
MADE = preference_pages(COMPARISONS, PROMPTS, RESPONSES, seed=1)


def checks_of(made: list[pages.Page]) -> list[tuple[pages.Page, pages.Item]]:
    return [(page, item) for page in made for item in page.items if item.expected is not None]


@pytest.fixture
def study(workspace: Path) -> Study:
    """A study of people with two responses to compare."""
    add_study(workspace, "mine", "title: T\nsources: [{name: chat, format: chatlog, path: chats.jsonl}]\n")
    opened = Study.open("mine")
    write(opened, COMPARISONS, PROMPTS, RESPONSES)
    return opened


# --- What is on a page ------------------------------------------------------------------------------------


def test_a_page_is_a_request_with_both_responses_and_its_attributes() -> None:
    assert {page.page_id for page in MADE} == set(COMPARISONS["page_id"])
    texts = dict(RESPONSES.select("response_id", "text").iter_rows())
    for page in MADE:
        own = COMPARISONS.filter(page_id=page.page_id)
        assert [item.item_id for item in page.items] == own["comparison_id"].to_list()
        assert [item.attribute for item in page.items] == own["attribute"].to_list()
        assert page.generic == texts[own["generic_id"][0]]
        assert page.personalised == texts[own["personalised_id"][0]]
        assert page.prompt == PROMPTS.filter(prompt_id=own["prompt_id"][0])["text"].item()
    assert pages.check(MADE, "preference", "here") == MADE


def test_the_first_pages_are_of_any_generator_and_any_request() -> None:
    comparisons, prompts, responses, _ = worded_of(20)
    first = preference_pages(comparisons, prompts, responses, seed=1)[:20]
    known = comparisons.unique("page_id").filter(pl.col("page_id").is_in([page.page_id for page in first]))
    assert set(known["generator"]) == set(GENERATORS)
    assert known["prompt_id"].n_unique() > 10
    again = preference_pages(comparisons.reverse(), prompts, responses, seed=1)[:20]
    assert [page.page_id for page in again] == [page.page_id for page in first]


def test_nothing_on_a_page_names_a_generator_a_condition_or_a_user(tmp_path: Path) -> None:
    """Neither in what is kept of pages nor in the source that a browser is sent."""
    hidden = {**dict.fromkeys(GENERATORS), **dict.fromkeys(COMPARISONS["user_id"]), "generator": None}
    kept = "".join(page.model_dump_json() for page in MADE)
    assert not [word for word in hidden if word in kept]
    with judging(tmp_path / "answers.sqlite", MADE, task="preference") as app:
        base = app.begin()
        for number in range(1, len(MADE) + 1):
            shown = app.get(f"{base}/pages/{number}").text.lower()
            assert "which of the two would serve this person better" in shown
            for word in (*hidden, "generic", "personalis", *COMPARISONS["page_id"], "expected"):
                assert word not in shown, word


# --- Check items ------------------------------------------------------------------------------------------


def test_check_items_ask_for_a_response_by_its_first_words_or_for_neither() -> None:
    made = preference_pages(COMPARISONS, PROMPTS, RESPONSES, seed=1, checks=9)
    found = checks_of(made)
    assert sorted(label for _, item in found for label in item.expected or ()) == ["1"] * 3 + ["3"] * 3 + ["5"] * 3
    for page, item in found:
        (label,) = item.expected or ()
        if label == "3":
            assert "answer No preference." in item.attribute
            continue
        wanted, other = (page.generic, page.personalised)[:: 1 if label == "1" else -1]
        quote = item.attribute.split("“")[1].split("”")[0]
        assert wanted.startswith(quote)
        assert not other.startswith(quote)


@given(st.integers(0, 500), st.integers(0, 60))
def test_checks_move_no_comparison_and_are_one_a_page_at_most(seed: int, wanted: int) -> None:
    plain = preference_pages(COMPARISONS, PROMPTS, RESPONSES, seed=seed)
    made = preference_pages(COMPARISONS, PROMPTS, RESPONSES, seed=seed, checks=wanted)
    assert len(checks_of(made)) == min(wanted, len(made))
    for before, after in zip(plain, made, strict=True):
        assert list(before.items) == [item for item in after.items if item.expected is None]
        assert before.page_id == after.page_id
        assert len(after.items) - len(before.items) <= 1
    assert pages.check(made, "preference", "here") == made


def test_responses_that_begin_alike_are_asked_for_by_neither() -> None:
    same = RESPONSES.with_columns(text=pl.concat_str(pl.lit("well " * 20), "text"))
    for _, item in checks_of(preference_pages(COMPARISONS, PROMPTS, same, seed=1, checks=9)):
        assert item.expected == ("3",)


def test_a_quotation_reads_as_the_screen_shows_it() -> None:
    marked = RESPONSES.with_columns(text=pl.concat_str(pl.lit("## **Plan:** *for* "), "text"))
    found = checks_of(preference_pages(COMPARISONS, PROMPTS, marked, seed=1, checks=2))
    assert {item.attribute.split("“")[1].split("”")[0] for _, item in found} == {"Plan: for Walk", "Plan: for Sit"}


def test_a_check_is_passed_whichever_response_stands_on_the_left(tmp_path: Path) -> None:
    made = preference_pages(COMPARISONS, PROMPTS, RESPONSES, seed=1, checks=len(MADE))
    with judging(tmp_path / "answers.sqlite", made, task="preference") as app:
        base = app.begin()
        with app.store.snapshot() as db:
            handed = db.execute("SELECT place, page, shown FROM assignments ORDER BY place").fetchall()
        assert {first for *_, first in handed} == {"generic", "personalised"}
        for place, page_id, first in handed:
            page = next(page for page in made if page.page_id == page_id)
            number, item = next((n, item) for n, item in enumerate(page.items, 1) if item.expected)
            (wanted,) = item.expected or ()
            app.save(base, place, number, {"1": "5", "3": "3", "5": "1"}[wanted] if first == "personalised" else wanted)
        assert passed(app.store, "anna") == (len(made), len(made))


def test_the_team_sees_shares_from_generic_to_personalised_and_weighted_kappas(tmp_path: Path) -> None:
    with judging(tmp_path / "answers.sqlite", MADE, task="preference") as app:
        for rater in ("anna", "ben"):
            app.answer_all(app.begin(rater), "1")
        shown = app.get(f"/admin/{app.links.of_admin()}").text
    assert "1 generic" in shown
    assert "5 personalised" in shown
    assert "Strongly prefer A" not in shown
    assert "Weighted kappa with the others" in shown


# --- A study's own pages ----------------------------------------------------------------------------------


def test_the_study_serves_its_own_comparisons_under_their_own_ids(study: Study) -> None:
    made = task_pages(study, find_task("preference"), checks=2)
    assert set(judgments.items_of(made)["item_id"]) == set(COMPARISONS["comparison_id"])
    assert len(checks_of(made)) == 2


def test_before_there_are_responses_the_command_says_what_makes_them(workspace: Path) -> None:
    said = recenter(workspace, "annotate", "demo", "preference")
    assert said.returncode == 1
    assert said.stderr == (
        "recenter: Study 'demo' has no responses to compare yet: 'recenter run demo --only responses' makes them.\n"
    )


def test_a_study_without_any_comparison_says_so(study: Study) -> None:
    study.write("comparisons", COMPARISONS.clear(), "model")
    with pytest.raises(RecenterError, match="has no two responses to compare"):
        study_pages(study)


# --- Answers come back ------------------------------------------------------------------------------------


def test_answers_on_the_screens_reach_the_table_recoded_with_their_order(study: Study) -> None:
    made = task_pages(study, find_task("preference"))
    with judging(study.answers_path("preference"), made, task="preference") as app:
        app.answer_all(app.begin(), "2")
    found = judgments.gather(study, "preference", judgments.items_of(made)).judgments
    assert len(found) == len(COMPARISONS)
    assert set(found.select("first_shown", "label", "score").rows()) == {
        ("generic", "2", 2.0),
        ("personalised", "4", 4.0),
    }
    assert found.select("rater", "rater_kind", "task").unique().rows() == [("anna", "human", "preference")]
    assert found["answered_at"].null_count() == 0


def rows(*cells: str) -> str:
    return "\n".join(["item,rater,label,left", *cells]) + "\n"


def test_a_file_with_its_order_is_recoded_and_a_second_time_adds_nothing(study: Study, tmp_path: Path) -> None:
    items = COMPARISONS["comparison_id"][:4].to_list()
    file = tmp_path / "answers.csv"
    file.write_text(
        rows(f"{items[0]},ann,1,personalised", f"{items[1]},ann,1,generic", f"{items[2]},ann,Prefer B,personalised")
    )
    said = import_file(study, "preference", file, ["first_shown=left"])
    assert said == "3 answers imported, 0 were there already."
    found = judgments.gather(study, "preference", judgments.items_of(study_pages(study))).judgments
    assert dict(found.select("item_id", "label").iter_rows()) == {items[0]: "5", items[1]: "1", items[2]: "2"}
    assert import_file(study, "preference", file, ["first_shown=left"]) == "0 answers imported, 3 were there already."


def test_words_about_a_and_b_need_the_order(study: Study, tmp_path: Path) -> None:
    """Else a preference for whatever stood first would pass for one for the generic response."""
    file = tmp_path / "answers.csv"
    file.write_text(rows(f"{COMPARISONS['comparison_id'][0]},ann,Strongly prefer A,generic"))
    with pytest.raises(RecenterError, match="no first_shown to say which response A was"):
        import_file(study, "preference", file)


def test_an_answer_to_another_text_does_not_count(study: Study, tmp_path: Path) -> None:
    file = tmp_path / "answers.csv"
    item = COMPARISONS["comparison_id"][0]
    file.write_text(rows(f"{item},ann,4,"))
    import_file(study, "preference", file)
    study.write("responses", RESPONSES.with_columns(text=pl.concat_str("text", pl.lit(" Bye."))), "model")
    found = judgments.gather(study, "preference", judgments.items_of(study_pages(study)))
    assert found.judgments.is_empty()
    assert found.left_out["n"].to_list() == [1]


# --- With simulated annotators ----------------------------------------------------------------------------


@pytest.fixture
def simulated(study: Study) -> Study:
    """The same study with the demo's annotators, for whom its generators have qualities."""
    truth = yaml.safe_load((ROOT / "data" / "demo" / "truth" / "annotators.yaml").read_text())
    truth["qualities"] = {name: one.quality for name, one in GENERATORS.items()}
    (study.folder / "truth").mkdir()
    (study.folder / "truth" / "annotators.yaml").write_text(yaml.safe_dump(truth))
    file = study.folder / "study.yaml"
    file.write_text(file.read_text() + "annotation: {simulated: truth, excluded: [simulated-5]}\n")
    return Study.open("mine")


def items_of(study: Study) -> pl.DataFrame:
    plain = judgments.items_of(study_pages(study))
    return simulated_preference.with_truth(plain, COMPARISONS, RESPONSES)


def test_simulated_annotators_answer_what_has_a_planted_truth(simulated: Study) -> None:
    found = judgments.gather(simulated, "preference", items_of(simulated))
    counts = dict(found.judgments.group_by("rater").len().iter_rows())
    assert [counts[f"simulated-{n}"] for n in (1, 2, 3)] == [len(COMPARISONS)] * 3
    assert set(found.judgments["rater_kind"]) == {"simulated"}
    assert set(found.judgments["first_shown"]) == {"generic", "personalised"}
    assert (found.skipped, found.made_by) == (0, "simulated")
    others = COMPARISONS.with_columns(generator=pl.col("generator").replace({"plain": "unheard-of"}))
    known = simulated_preference.with_truth(judgments.items_of(study_pages(simulated)), others, RESPONSES)
    lacking = judgments.gather(simulated, "preference", known)
    assert lacking.skipped == (COMPARISONS["generator"] == "plain").sum()
    assert "comparisons for which no truth is planted" in lacking.words


def test_items_of_ones_own_are_judged_by_people_alone(simulated: Study) -> None:
    plain = judgments.items_of(study_pages(simulated))
    assert judgments.gather(simulated, "preference", plain).judgments.is_empty()


def test_the_overview_tells_of_preferences_with_weighted_kappas_and_who_stands_apart(simulated: Study) -> None:
    said = overview(simulated)
    assert f"preference: {len(COMPARISONS)} items on {len(MADE)} pages" in said
    assert "weighted kappa" in said.splitlines()[1]
    assert "mean weighted kappa 0." in said
    assert "Krippendorff's alpha (ordinal)" in said
    assert "Excluded by study.yaml, and not counted in kappa and agreement: simulated-5." in said
    assert "Look at" not in said
    file = simulated.folder / "study.yaml"
    file.write_text(file.read_text().replace(", excluded: [simulated-5]", ""))
    assert "Look at simulated-5: answers 5 to 100% of the" in overview(Study.open("mine"))


def test_people_count_before_simulated_annotators(simulated: Study, tmp_path: Path) -> None:
    file = tmp_path / "answers.csv"
    names = COMPARISONS["comparison_id"][:40]
    file.write_text(rows(*(f"{name},{who},{1 + n % 5}," for n, name in enumerate(names) for who in ("ann", "ben"))))
    import_file(simulated, "preference", file)
    assert "Agreement so far among people on 40 items: mean weighted kappa 1.00" in overview(simulated)
