"""Models compare responses: in an order that is drawn and kept, recoded, and in both orders for position bias."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from recenter_utils.errors import RecenterError
from recenter_utils.inference.engines.base import Deliver, Engine
from recenter_utils.inference.models import Model, load_models
from recenter_utils.inference.requests import Answer, Request
from recenter_utils.responses import judging, orders, position
from recenter_utils.tables import check, table
from tests.compared import GENERATORS, Rater, comparisons_of, explicit_of, preferences_of
from tests.responded import worded_of

COMPARISONS, PROMPTS, RESPONSES, _ = worded_of(8)
ITEMS = judging.worded(COMPARISONS, PROMPTS, RESPONSES)

Says = Callable[[Request], Answer]


def rated(rating: int) -> Answer:
    return Answer(f'{{"reasoning": "So.", "rating": {rating}}}')


def is_personalised(text: Any) -> bool:
    return str(text).startswith("Sit by the sea")


#: What each model says. The texts are told apart here; models have no other means to.
SAID: dict[str, Says] = {
    "always-a": lambda request: rated(1),
    "likes-personalised": lambda request: rated(5 if is_personalised(request.slots["response_b"]) else 1),
    "likes-generic": lambda request: rated(2 if is_personalised(request.slots["response_b"]) else 4),
    "mute": lambda request: Answer("B, I think."),
    "fails": lambda request: Answer(error="server", detail="down"),
    "refuses-b": lambda request: (
        Answer(error="refused", detail="no") if is_personalised(request.slots["response_b"]) else rated(3)
    ),
}


class Scripted(Engine):
    """Answers as SAID."""

    asked: ClassVar[list[str]] = []

    async def ask(self, requests: Iterator[Request], deliver: Deliver) -> None:
        for request in requests:
            Scripted.asked.append(self.model.name)
            deliver(request, SAID[self.model.name](request))


@pytest.fixture(autouse=True)
def scripted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("recenter_utils.inference.run.open_engine", Scripted)
    monkeypatch.setattr(Scripted, "asked", [])


def model(name: str, **more: Any) -> Model:
    return Model.model_validate({"name": name, "engine": "openai", "base_url": "http://127.0.0.1:9"} | more)


def ask(*names: str, items: pl.DataFrame = ITEMS, **more: Any) -> judging.Preferences:
    return judging.ask(items, [model(name) for name in names], progress=False, **{"both_orders": 0.5, "seed": 3} | more)


# --- Orders -----------------------------------------------------------------------------------------------


def test_orders_are_half_and_half_and_differ_from_rater_to_rater() -> None:
    many = comparisons_of(80)
    shown = {rater: orders.drawn(many, rater, 1)["first_shown"] == "generic" for rater in ("a", "b")}
    deviation = 0.5 / np.sqrt(len(many))
    for first in shown.values():
        assert abs(float(first.mean()) - 0.5) < 4 * deviation  # type: ignore[arg-type]
    assert abs(float((shown["a"] == shown["b"]).mean()) - 0.5) < 4 * deviation  # type: ignore[arg-type]


def test_an_order_depends_on_the_comparison_and_the_rater_alone() -> None:
    whole = orders.drawn(COMPARISONS, "a", 1)
    assert_frame_equal(orders.drawn(COMPARISONS[::3], "a", 1), whole[::3])
    assert_frame_equal(orders.drawn(COMPARISONS.reverse(), "a", 1).reverse(), whole)
    assert not orders.drawn(COMPARISONS, "a", 2).equals(whole)


@pytest.mark.parametrize(("share", "pages"), [(0, 0), (0.01, 1), (0.25, 10), (0.3, 12), (1, 40)])
def test_both_orders_are_of_whole_pages_and_a_further_page_moves_at_most_one(share: float, pages: int) -> None:
    chosen = orders.in_both(COMPARISONS, share, 5)
    names = set(chosen["page_id"])
    assert len(names) == pages
    assert len(chosen) == COMPARISONS["page_id"].is_in(list(names)).sum()
    fewer = COMPARISONS.filter(pl.col("page_id") != COMPARISONS["page_id"][0])
    assert len(names ^ set(orders.in_both(fewer, share, 5)["page_id"])) <= 2


# --- Recoding ---------------------------------------------------------------------------------------------


def test_answers_are_recoded_from_a_and_b_to_generic_and_personalised() -> None:
    found = ask("likes-personalised", "likes-generic")
    check("preference_judgments", found.judgments)
    assert dict(found.judgments.group_by("rater").agg(pl.col("label").unique()).iter_rows()) == {
        "likes-personalised": ["5"],
        "likes-generic": ["2"],
    }
    assert found.judgments.select("task", "rater_kind", "reason", "flagged").unique().rows() == [
        ("preference", "llm", "So.", False)
    ]
    assert found.judgments["score"].to_list() == found.judgments["label"].cast(pl.Float64).to_list()
    assert found.judgments.filter(rater="likes-generic")["item_id"].to_list() == ITEMS["comparison_id"].to_list()


def test_the_order_that_was_asked_is_the_one_that_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[bool] = []

    def says(request: Request) -> Answer:
        seen.append(is_personalised(request.slots["response_a"]))
        return rated(1)

    monkeypatch.setitem(SAID, "looks", says)
    found = ask("looks", both_orders=0)
    assert found.judgments["first_shown"].to_list() == ["personalised" if first else "generic" for first in seen]
    assert found.judgments["first_shown"].to_list() == orders.drawn(ITEMS, "looks", 3)["first_shown"].to_list()
    assert set(found.judgments.select("first_shown", "label").rows()) == {("generic", "1"), ("personalised", "5")}
    assert found.swapped.is_empty()


def test_second_answers_are_in_the_other_order_recoded_and_apart() -> None:
    found = ask("likes-personalised", "always-a")
    check("swapped_judgments", found.swapped)
    both = found.judgments.join(found.swapped, on=["item_id", "rater"], suffix="_swapped")
    assert len(both) == len(found.swapped) == 2 * len(orders.in_both(ITEMS, 0.5, 3))
    assert (both["first_shown"] != both["first_shown_swapped"]).all()
    same = (pl.col("label") == pl.col("label_swapped")).mean()
    assert dict(both.group_by("rater").agg(same).iter_rows()) == {"likes-personalised": 1.0, "always-a": 0.0}
    assert found.judgments["item_id"].n_unique() == len(ITEMS)


def test_a_judge_that_always_says_a_shows_as_position_bias_and_not_as_a_preference() -> None:
    found = ask("always-a", "likes-generic", both_orders=1.0)
    leans = check("position_bias", position.bias(found.judgments, found.swapped, COMPARISONS, ["always-a"], draws=50))
    row = leans.row(0, named=True)
    assert (row["bias"], row["low"], row["high"], row["same"], row["turned"]) == (2, 2, 2, 0, 1)
    together = pl.concat([found.judgments, found.swapped]).filter(rater="always-a")
    assert together["score"].mean() == 3
    alone = found.judgments.filter(rater="always-a")["score"]
    assert abs(float(alone.mean()) - 3) < 4 * 2 / np.sqrt(len(alone))  # type: ignore[arg-type]
    other = position.bias(found.judgments, found.swapped, COMPARISONS, ["likes-generic"], draws=50).row(0, named=True)
    assert (other["bias"], other["same"], other["turned"]) == (0, 1, 0)


@pytest.mark.parametrize("lean", [-0.5, 0.2, 0.6])
def test_a_planted_lean_to_the_first_response_is_found_again(lean: float) -> None:
    """Ratings before rounding are moved by the lean, up where the personalised response came first."""
    inside, off = [], []
    for seed in range(30):
        comparisons = comparisons_of(30, seed)
        rng = np.random.default_rng(seed)
        latent = 3 + 0.3 * rng.standard_normal(len(comparisons))
        parts = []
        for first, sign in (("personalised", 1), ("generic", -1)):
            score = np.rint(latent + sign * lean + 0.7 * rng.standard_normal(len(comparisons)))
            plain = preferences_of(comparisons, explicit_of(comparisons, seed), seed, {"judge": Rater("llm")})
            parts.append(plain.with_columns(score=pl.Series(score), first_shown=pl.lit(first)))
        row = position.bias(parts[0], parts[1], comparisons, ["judge"], draws=300, seed=seed).row(0, named=True)
        inside.append(row["low"] <= lean <= row["high"])
        off.append(row["bias"] - lean)
    assert np.mean(inside) >= 0.8
    assert abs(np.mean(off)) < 0.03


# --- What is not answered ---------------------------------------------------------------------------------


def test_what_could_not_be_used_is_counted_by_model_and_order_and_is_no_rating() -> None:
    found = ask("mute", "refuses-b")
    second = len(orders.in_both(ITEMS, 0.5, 3))
    counts = {row[:3]: row[3] for row in found.failures.rows()}
    assert found.failures.columns == ["rater", "order", "error", "n"]
    assert (counts["mute", "drawn", "unparsed"], counts["mute", "swapped", "unparsed"]) == (len(ITEMS), second)
    assert set(found.judgments["rater"]) == {"refuses-b"}
    refused = orders.drawn(ITEMS, "refuses-b", 3)["first_shown"] == "generic"
    assert counts["refuses-b", "drawn", "refused"] == refused.sum()
    assert len(found.judgments) == len(ITEMS) - refused.sum()
    assert judging.worth_asking(found.failures) == 0
    leans = position.bias(found.judgments, found.swapped, COMPARISONS, ["mute", "refuses-b"], draws=50)
    assert leans["n"].to_list() == [0, 0]
    assert set(leans["reason"]) == {"no comparison was judged in both orders"}


def test_a_budget_that_ends_leaves_second_answers_out_first(monkeypatch: pytest.MonkeyPatch) -> None:
    dear = {"price": {"input": 1.0, "output": 1.0}}
    answer = '{"reasoning": "So.", "rating": 3}'
    monkeypatch.setitem(SAID, "dear", lambda request: Answer(answer, prompt_tokens=1_000_000))
    found = judging.ask(
        ITEMS, [model("dear", **dear)], both_orders=1.0, max_cost=len(ITEMS) + 0.5, progress=False
    )  # fmt: skip
    assert len(found.judgments) == len(ITEMS)
    lost = found.failures.row(0, named=True)
    assert (lost["order"], lost["error"]) == ("swapped", "budget")
    assert len(found.swapped) + lost["n"] == len(ITEMS)
    assert judging.worth_asking(found.failures) == lost["n"] > 0


def test_a_model_whose_server_answers_nothing_stops_the_work() -> None:
    with pytest.raises(RecenterError, match="'fails' answered none of"):
        ask("fails")


def test_what_was_answered_is_not_asked_again_and_a_resumed_run_comes_to_the_same(tmp_path: Path) -> None:
    whole = ask("likes-generic", cache=tmp_path / "whole.sqlite")
    asked = len(Scripted.asked)
    half = ITEMS.head(len(ITEMS) // 2)
    ask("likes-generic", items=half, cache=tmp_path / "part.sqlite", both_orders=0)
    resumed = ask("likes-generic", cache=tmp_path / "part.sqlite")
    assert len(Scripted.asked) == 2 * asked
    for one, other in zip(whole, resumed, strict=True):
        assert_frame_equal(one, other)
    ask("likes-generic", cache=tmp_path / "whole.sqlite")
    assert len(Scripted.asked) == 2 * asked


# --- What is asked ----------------------------------------------------------------------------------------


def test_a_judge_sees_texts_and_neither_generators_nor_ids(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[str] = []

    def says(request: Request) -> Answer:
        sent.append("\n".join(message["content"] for message in request.messages) + str(dict(request.slots)))
        return rated(3)

    monkeypatch.setitem(SAID, "listens", says)
    ask("listens")
    text = "\n".join(sent)
    for name in [*GENERATORS, *COMPARISONS["attribute_id"], *COMPARISONS["generic_id"], "first_shown"]:
        assert name not in text


def test_worded_comparisons_have_the_texts_of_their_own_responses() -> None:
    own = COMPARISONS.join(RESPONSES.select("text", generic_id="response_id"), on="generic_id", how="left")
    assert ITEMS["generic"].to_list() == own["text"].to_list()
    assert ITEMS["comparison_id"].to_list() == COMPARISONS["comparison_id"].to_list()
    assert ITEMS["personalised"].str.starts_with("Sit by the sea").all()


def test_without_comparisons_nobody_is_asked() -> None:
    nothing = judging.worded(COMPARISONS.clear(), PROMPTS, RESPONSES)
    found = ask("fails", items=nothing)
    assert found.judgments.equals(table("preference_judgments").empty())
    assert found.swapped.equals(table("swapped_judgments").empty())
    assert found.failures.is_empty()
    leans = position.bias(found.judgments, found.swapped, COMPARISONS.clear(), ["fails"])
    assert leans["reason"].to_list() == ["no comparison was judged in both orders"]


def test_embedded_models_answer_every_comparison(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    found = judging.ask(ITEMS.head(40), [load_models()["embedded-eager"]], both_orders=0.2, progress=False)
    assert found.failures.is_empty()
    assert found.judgments["item_id"].to_list() == ITEMS["comparison_id"].head(40).to_list()
    assert found.judgments["score"].n_unique() > 2
    assert len(found.swapped) > 0
