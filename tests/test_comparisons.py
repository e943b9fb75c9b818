"""Only pages with two usable, different responses are judged, and every other is counted."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product
from types import SimpleNamespace
from typing import Any

import polars as pl
import pytest

from recenter_utils import figures, report
from recenter_utils.annotation.pages import Item, Page
from recenter_utils.annotation.pages import check as check_pages
from recenter_utils.responses import comparisons
from recenter_utils.tables import check, table

Said = tuple[str, str | None]  # a status and a text

FINE: tuple[Said, Said] = (("answered", "Take the train."), ("answered", "Take the slow train, and bring a book."))


def responses_of(
    said: Mapping[tuple[str, str, str], tuple[Said, Said]] | None = None,
    requests: int = 3,
    users: int = 2,
    generators: tuple[str, ...] = ("one", "two"),
    attributes: int = 2,
) -> pl.DataFrame:
    """Return the table `responses`. said: what pages (request, user, generator) hold other than `FINE`; a generic
    response is that of its request's last user."""
    rows = []
    for generator in generators:
        plain: dict[str, Said] = {}
        for request, user in product(range(requests), range(users)):
            key = (f"q{request}", f"chat/u{user}", generator)
            generic, personalised = (said or {}).get(key, FINE)
            plain[key[0]] = generic if (said or {}).get(key) or key[0] not in plain else plain[key[0]]
            rows.append(
                row(key[0], key[1], generator, personalised, [f"a{user}-{place}" for place in range(attributes)])
            )
        rows += [row(request, None, generator, generic, []) for request, generic in plain.items()]
    return table("responses").frame(rows)


def row(request: str, user: str | None, generator: str, said: Said, attributes: list[str]) -> dict[str, Any]:
    condition = "personalised" if user else "generic"
    return {
        "response_id": "/".join(filter(None, (request, user, generator, condition))),
        "prompt_id": request,
        "user_id": user,
        "generator": generator,
        "condition": condition,
        "attribute_ids": attributes,
        "status": said[0],
        "text": said[1],
        "error": "server" if said[0] == "failed" else None,
    }


def pairs_of(requests: int = 3, users: int = 2, attributes: int = 2) -> pl.DataFrame:
    rows = [
        {
            "pair_id": f"q{request}/a{user}-{place}",
            "prompt_id": f"q{request}",
            "attribute_id": f"a{user}-{place}",
            "user_id": f"chat/u{user}",
            "attribute": f"Attribute {place} of user {user}.",
            "place": place,
        }
        for request, user, place in product(range(requests), range(users), range(attributes))
    ]
    return table("pairs").frame(rows)


def judged(responses: pl.DataFrame, seed: int = 1) -> tuple[pl.DataFrame, pl.DataFrame]:
    found = comparisons.pages(responses, seed)
    return found, comparisons.comparisons(found, pairs_of())


def test_every_attribute_of_every_page_is_a_comparison() -> None:
    found, compared = judged(responses_of())
    check("comparisons", compared)
    assert len(found) == 12
    assert len(compared) == 24
    assert (compared["comparison_id"] == compared["page_id"] + "/" + compared["attribute_id"]).all()
    assert compared["attribute"][0] == f"Attribute 0 of user {compared['user_id'][0][-1]}."
    for page in compared.to_dicts():
        ends = page["prompt_id"], page["generator"]
        assert page["generic_id"] == f"{ends[0]}/{ends[1]}/generic"
        assert page["personalised_id"] == f"{ends[0]}/{page['user_id']}/{ends[1]}/personalised"


def test_every_generator_is_judged_on_the_same_requests_and_users() -> None:
    found, _ = judged(responses_of())
    sides = [set(found.filter(generator=name).select("prompt_id", "user_id").iter_rows()) for name in ("one", "two")]
    assert sides[0] == sides[1]


@pytest.mark.parametrize(
    ("generic", "personalised", "outcome"),
    [
        (("answered", "Take it."), ("answered", "Take  it.\n"), "identical"),
        (("answered", "Take it."), ("answered", "take it."), "compared"),
        (("refused", "I can't."), ("answered", "Take it."), "refused"),
        (("answered", "Take it."), ("refused", None), "refused"),
        (("refused", "I can't."), ("refused", "I can't."), "refused"),
        (("empty", None), ("answered", "Take it."), "empty"),
        (("empty", None), ("empty", None), "empty"),
        (("failed", None), ("refused", None), "failed"),
        (("refused", None), ("empty", None), "refused"),
    ],
)
def test_a_page_that_cannot_be_judged_is_counted_once(generic: Said, personalised: Said, outcome: str) -> None:
    found, compared = judged(responses_of({("q1", "chat/u1", "one"): (generic, personalised)}, users=2))
    page = found.filter(prompt_id="q1", user_id="chat/u1", generator="one")
    assert page["outcome"].to_list() == [outcome]
    assert (compared["page_id"] == page["page_id"][0]).any() is (outcome == "compared")
    summary = comparisons.summary(found, ["one", "two"])
    check("generation", summary)
    parts = summary.select("n_compared", "n_failed", "n_refused", "n_empty", "n_identical").sum_horizontal()
    assert parts.to_list() == summary["n_pages"].to_list() == [6, 6]
    assert summary.filter(generator="one")[f"n_{outcome}"][0] >= 1


def test_a_refused_generic_response_takes_every_users_page_with_it() -> None:
    refused = (("refused", None), FINE[1])
    found, _ = judged(responses_of({("q1", f"chat/u{user}", "one"): refused for user in range(2)}))
    assert comparisons.summary(found, ["one"])["n_refused"].to_list() == [2]


def test_a_generator_without_any_page_keeps_its_row() -> None:
    found, _ = judged(responses_of(generators=("one",)))
    summary = comparisons.summary(found, ["one", "absent"])
    assert summary.filter(generator="absent").row(0)[1:] == (0, 0, 0, 0, 0, 0, None, None)
    check("generation", summary)


def test_lengths_are_in_words_and_of_what_is_compared() -> None:
    assert comparisons.lengths_of(["1. **Don't** stop – it's well-known.", "", "| a | b |\n|---|---|"]).to_list() == [
        5, 0, 2,
    ]  # fmt: skip
    long = (("answered", "word " * 100), ("answered", "word " * 100))
    found, _ = judged(responses_of({("q0", "chat/u0", "one"): long}, users=1, generators=("one",)))
    assert comparisons.summary(found, ["one"]).row(0)[-2:] == (3, 8)


def test_a_pages_name_and_place_tell_nothing_of_its_generator() -> None:
    found, _ = judged(responses_of(requests=40, users=1))
    assert not found["page_id"].str.contains("one|two|q|u").any()
    assert found["page_id"].str.len_chars().unique().to_list() == [12]
    first = found.gather_every(2)["generator"]
    assert 10 < int((first == "one").sum()) < 30
    again, _ = judged(responses_of(requests=40, users=1), seed=2)
    assert again["page_id"].sort().equals(found["page_id"].sort())
    assert again.gather_every(2)["generator"].to_list() != first.to_list()


def test_a_further_request_moves_no_page_and_renames_none() -> None:
    few, more = (comparisons.pages(responses_of(requests=n), 1) for n in (3, 4))
    assert more.filter(pl.col("prompt_id") != "q3").equals(few)


def test_pages_stand_on_the_annotation_screen() -> None:
    found, compared = judged(responses_of())
    pages = [
        Page(
            page_id=page["page_id"],
            prompt="A request?",
            generic=page["generic"],
            personalised=page["personalised"],
            items=tuple(
                Item(item_id=one["comparison_id"], attribute=one["attribute"])
                for one in compared.filter(page_id=page["page_id"]).to_dicts()
            ),
        )
        for page in found.to_dicts()
    ]
    assert check_pages(pages, "preference", "here")


# --- What a page says -------------------------------------------------------------------------------------


def test_the_claim_counts_what_is_left_out() -> None:
    same = (("answered", "Take it."), ("answered", "Take it."))
    found, compared = judged(responses_of({("q0", "chat/u0", "two"): same, ("q0", "chat/u1", "two"): same}))
    said = comparisons.sentence(found, compared, "", 1)
    assert said.startswith(
        "2 generators were asked to answer 6 requests of a user. 10 of 12 pages can be judged, 83.3% (95% interval"
    )
    assert "20 comparisons" in said
    assert "Left out: 2 identical (16.7%)." in said
    assert "by +5.0 (95% interval +5.0 to +5.0) words" in said


def test_the_claim_says_where_nothing_is_left_out_or_nothing_is_left() -> None:
    found, compared = judged(responses_of())
    assert "12 of 12 pages can be judged: none failed" in comparisons.sentence(found, compared, "", 1)
    lost = (("failed", None), ("failed", None))
    every = {(f"q{r}", f"chat/u{u}", g): lost for r, u, g in product(range(3), range(2), ("one", "two"))}
    found, compared = judged(responses_of(every))
    said = comparisons.sentence(found, compared, "", 1)
    assert "0 of 12 pages can be judged" in said
    assert "12 failed (100.0%)" in said
    assert "nan" not in said


def test_without_responses_the_claim_says_what_to_do() -> None:
    found, compared = judged(table("responses").empty())
    check("comparisons", compared)
    check("generation", comparisons.summary(found, []))
    assert comparisons.sentence(found, compared, "Name a selector.", 1) == (
        "There are no responses to compare. Name a selector."
    )
    shown = comparisons.examples(found, compared, table("prompts").empty(), 3)
    assert shown.columns == ["request", "attributes", "generator", "generic", "personalised"]
    assert shown.is_empty()


def test_examples_are_of_different_generators_and_requests() -> None:
    found, compared = judged(responses_of(generators=("one", "two", "three")))
    prompts = pl.DataFrame({"prompt_id": ["q0", "q1", "q2"], "source": "x", "text": ["A?", "B?", "C?"]})
    shown = comparisons.examples(found, compared, prompts, 3)
    assert shown["generator"].n_unique() == shown["request"].n_unique() == 3
    assert shown["attributes"].list.len().to_list() == [2, 2, 2]
    assert len(comparisons.examples(found, compared, prompts, 100)) == 18
    assert len(comparisons.examples(found, compared, prompts, 0)) == 0


def study(publish: bool = True) -> Any:
    return SimpleNamespace(origin="simulated+model", settings=SimpleNamespace(publish_text=publish))


def example(**changes: Any) -> pl.DataFrame:
    row = {"request": "Where to?", "attributes": ["Has a cat."], "generator": "one", "generic": "**Porto**",
           "personalised": "Porto, *with the cat*"}  # fmt: skip
    return pl.DataFrame([row | changes])


def test_responses_stand_side_by_side_in_their_form() -> None:
    shown = report.side_by_side(example(), "Side by side", study()).data
    for part in ("Where to?", "<li>Has a cat.</li>", "<strong>Porto</strong>", "<em>with the cat</em>", "SIMULATED"):
        assert part in shown


@pytest.mark.parametrize("place", ["request", "generator", "generic", "personalised"])
def test_nothing_in_a_response_runs_loads_or_leads_anywhere(place: str) -> None:
    bad = "<script>alert(1)</script> [x](javascript:alert(1)) ![y](http://evil.example/z.png) </div><style>*{}</style>"
    shown = report.side_by_side(example(**{place: bad}), "Side by side", study()).data
    for part in ("<script", "<style", "<img", "<a ", "onerror=", 'href="'):
        assert part not in shown
    assert shown.count("<div") == shown.count("</div>")
    escaped = report.side_by_side(example(attributes=[bad]), "c", study()).data
    assert "<script" not in escaped


def test_responses_are_shown_only_where_the_study_lets_them() -> None:
    shown = report.side_by_side(example(), "Side by side", study(publish=False)).data
    assert "1 rows are not shown" in shown
    assert "Porto" not in shown


def test_the_figure_draws_every_generator_even_one_without_a_page() -> None:
    found, _ = judged(responses_of())
    summary = comparisons.summary(found, ["one", "two", "absent"]).to_pandas()
    figure = figures.responses(summary)
    pages, lengths = figure.axes
    assert [label.get_text() for label in pages.get_yticklabels()] == ["one", "two", "absent"]
    assert any(text.get_text() == "0 of 0" for text in pages.texts)
    assert any(text.get_text() == "nothing to compare" for text in lengths.texts)
    empty = figures.responses(comparisons.summary(found[:0], ["one"]).to_pandas())
    assert "No generator was asked" in empty.axes[0].texts[0].get_text()
