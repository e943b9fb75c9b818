"""What a reader looks into: everything is there, is text, and stays in the study where it may not be published."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import polars as pl
import pytest

from recenter_utils import explorer, figures
from recenter_utils.browse import Browser
from recenter_utils.figures.interactive import LIBRARY
from recenter_utils.searchable import MOST, searchable_table
from recenter_utils.study import Study
from recenter_utils.tables import table
from tests.compared import comparisons_of, explicit_of, preferences_of
from tests.workspaces import ROOT

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>"
MERGED = table("merged_attributes").frame(
    [
        {"attribute_id": "a1", "user_id": "u1", "source": "chat", "attribute": HOSTILE, "confidence": 0.913,
         "members": ["a1", "a2"], "n_conversations": 2},
        {"attribute_id": "a3", "user_id": "u2", "source": "chat", "attribute": "Likes tea.", "confidence": 0.5,
         "members": ["a3"], "n_conversations": 1},
    ]
)  # fmt: skip
ATTRIBUTES = table("attributes").frame(
    [
        {"attribute_id": name, "user_id": user, "source": "chat", "conversation_id": chat, "attribute": "x",
         "reason": f"reason {name}", "confidence": 0.9, "evidence_turns": [0], "model": "m"}
        for name, user, chat in (("a1", "u1", "c1"), ("a2", "u1", "c2"), ("a3", "u2", "c3"))
    ]
)  # fmt: skip
CONVERSATIONS = table("conversations").frame(
    [
        {
            "conversation_id": chat,
            "user_id": user,
            "source": "chat",
            "turns": [{"role": "user", "content": f"Words of {chat}."}],
        }
        for chat, user in (("c1", "u1"), ("c2", "u1"), ("c3", "u2"))
    ]
)
CONSENSUS = table("consensus").frame([{"item_id": "a1", "accepted": 2, "uncertain": 1, "rejected": 0}])


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Study:
    monkeypatch.setenv("RECENTER_ROOT", str(ROOT))
    folder = tmp_path / "looked-at"
    (folder / "tables").mkdir(parents=True)
    text = "title: Looked at\npublish_text: true\nsources: [{name: chat, format: chatlog, path: chats.jsonl}]\n"
    (folder / "study.yaml").write_text(text)
    return Study.open(str(folder))


def test_every_attribute_has_its_words_its_reason_and_who_accepted_it() -> None:
    found = explorer.attributes_with_evidence(MERGED, ATTRIBUTES, CONVERSATIONS.lazy(), CONSENSUS)
    assert found["accepted_by"].to_list() == ["2 of 3", None]
    assert found["words_of_the_user"].to_list() == ["Words of c1. … Words of c2.", "Words of c3."]
    assert found["why_it_was_read"].to_list() == ["reason a1", "reason a3"]
    assert found["confidence"].to_list() == [0.91, 0.5]


def test_a_study_without_attributes_has_a_table_without_rows() -> None:
    found = explorer.attributes_with_evidence(MERGED.clear(), ATTRIBUTES, CONVERSATIONS.lazy(), CONSENSUS)
    assert found.is_empty()
    assert found.columns[:3] == ["user", "attribute", "confidence"]


def test_a_searchable_table_holds_text_as_text(study: Study) -> None:
    found = explorer.attributes_with_evidence(MERGED, ATTRIBUTES, CONVERSATIONS.lazy(), CONSENSUS)
    page = searchable_table(found, HOSTILE, study).data
    assert "<img src=x" not in page
    assert "<script>alert" not in page
    assert "Likes tea." in page
    assert 'src="http' not in page


def test_where_chats_may_not_be_published_no_row_is_shown(study: Study) -> None:
    file = study.folder / "study.yaml"
    file.write_text(file.read_text().replace("publish_text: true", "publish_text: false"))
    page = searchable_table(MERGED, "Attributes", Study.open(str(study.folder))).data
    assert "Likes tea." not in page
    assert "2 rows are not shown" in page


def test_a_table_too_large_for_a_page_says_how_much_of_it_is_there(study: Study) -> None:
    page = searchable_table(pl.DataFrame({"n": range(MOST + 1)}), "Numbers.", study).data
    assert f"The first {MOST:,} of {MOST + 1:,} rows." in page
    page = searchable_table(pl.DataFrame({"n": range(2)}), "Numbers.", study, of=1_000_000).data
    assert "The first 2 of 1,000,000 rows." in page


def kappas() -> pd.DataFrame:
    columns = ["rater_a", "rater_b", "kind_a", "kind_b", "n", "value", "low", "high", "reason"]
    return pd.DataFrame(
        [
            ("ann", "m1", "human", "llm", 1057, 0.36, 0.3, 0.41, None),
            ("ann", "m2", "human", "llm", 0, None, None, None, "no pair in common"),
            ("m1", "m2", "llm", "llm", 1057, 0.6, 0.55, 0.64, None),
        ],
        columns=columns,
    )


def test_the_matrix_tells_each_number_and_picks_a_rater_out() -> None:
    raters = pd.DataFrame({"rater": ["ann", "m1", "m2"]})
    plot = figures.kappa_explorer(kappas(), raters, {"ann": "annotator A", "m1": "m1", "m2": "m2"}, "simulated+model")
    heat, *bars = plot.figure.data
    assert heat.text[0][1] == "annotator A with m1: κ 0.36 (0.30 to 0.41), 1,057 pairs"
    assert heat.text[1][0] == "m1 with annotator A: κ 0.36 (0.30 to 0.41), 1,057 pairs"
    assert "undefined (no pair in common)" in heat.text[0][2]
    assert len(bars) == 3
    buttons = plot.figure.layout.updatemenus[0].buttons
    assert [button.label for button in buttons] == [
        "all raters",
        *(f"kappa with {n}" for n in ("annotator A", "m1", "m2")),
    ]
    assert [button.args[0]["visible"].index(True) for button in buttons] == [0, 1, 2, 3]
    bundle = plot._repr_mimebundle_()
    json.dumps(bundle["application/vnd.plotly.v1+json"])
    assert "https://cdn" not in bundle["text/html"]
    assert "origin-simulated" in bundle["text/html"]
    assert LIBRARY.is_file()


def test_a_matrix_of_nobody_is_empty() -> None:
    plot = figures.kappa_explorer(kappas().iloc[:0], pd.DataFrame({"rater": ["ann"]}), {}, "model")
    assert len(plot.figure.data) == 1


def test_browsing_goes_from_user_to_attribute_to_words(study: Study) -> None:
    for name, frame in (("merged_attributes", MERGED), ("attributes", ATTRIBUTES), ("conversations", CONVERSATIONS)):
        study.write(name, frame)
    seen = Browser(study)
    assert seen.user.options == ("u1", "u2")
    assert "Words of c1." in seen.about_attribute.value
    seen.user.value = "u2"
    assert [label for label, _ in seen.attribute.options] == ["Likes tea. (0.50)"]
    assert "Words of c3." in seen.about_attribute.value
    assert "Nobody was asked" in seen.about_attribute.value
    assert seen.request.options == ()


def test_browsing_shows_text_as_text(study: Study) -> None:
    hostile = CONVERSATIONS.with_columns(
        turns=pl.lit([{"role": "user", "content": HOSTILE}], CONVERSATIONS["turns"].dtype)
    )
    for name, frame in (("merged_attributes", MERGED), ("attributes", ATTRIBUTES), ("conversations", hostile)):
        study.write(name, frame)
    assert "<img" not in Browser(study).about_attribute.value


def test_pages_show_both_responses_and_how_they_were_rated() -> None:
    compared = comparisons_of(instances=2)
    texts = {name: condition for condition in ("generic", "personalised") for name in compared[f"{condition}_id"]}
    responses = pl.DataFrame({"response_id": list(texts), "text": [f"{one}: {name}" for name, one in texts.items()]})
    prompts = pl.DataFrame({"prompt_id": ["q000", "q001"], "text": ["A request of " + "many words " * 9, "Another"]})
    judgments = preferences_of(compared, explicit_of(compared, 0), 0)
    shown = explorer.pages_with_ratings(responses, compared, prompts, judgments, requests=1)
    assert len(shown) == compared.filter(prompt_id="q000")["page_id"].n_unique()
    first = shown.row(0, named=True)
    page = compared.filter(prompt_id="q000", generator=first["generator"])
    assert first["attributes"] == page["attribute"].to_list()
    assert first["generic"] == f"generic: {page['generic_id'][0]}"
    assert first["personalised"] == f"personalised: {page['personalised_id'][0]}"
    ratings = judgments.join(page.select(item_id="comparison_id"), on="item_id")
    means = {kind: ratings.filter(rater_kind=kind)["score"].mean() for kind in ("simulated", "llm")}
    rated = f"annotators {means['simulated']:.1f} · judges {means['llm']:.1f}"
    assert first["fold"].endswith(f"… · {page['user_id'][0]} · {first['generator']} · {rated}")


def test_pages_that_nobody_rated_say_nothing_of_ratings() -> None:
    compared = comparisons_of(instances=1)
    responses = pl.DataFrame({"response_id": [*compared["generic_id"], *compared["personalised_id"]]}).unique()
    nobody = preferences_of(compared, explicit_of(compared, 0), 0).clear()
    prompts = pl.DataFrame({"prompt_id": ["q000"], "text": ["Short"]})
    shown = explorer.pages_with_ratings(responses.with_columns(text=pl.lit("x")), compared, prompts, nobody, requests=5)
    assert shown["fold"].to_list()[0] == f"Short · {compared['user_id'][0]} · {shown['generator'][0]}"
