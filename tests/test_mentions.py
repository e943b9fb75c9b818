"""Which responses name an attribute: what detectors answer counts, what they do not is neither yes nor no."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import cohen_kappa_score

from recenter_utils import figures
from recenter_utils.errors import RecenterError
from recenter_utils.inference.models import load_models
from recenter_utils.inference.requests import Answer, Request
from recenter_utils.inference.rules import RULES, Dials
from recenter_utils.inference.tasks import MENTION, stands_in
from recenter_utils.responses import lexical, mentions
from recenter_utils.tables import check, table
from tests.compared import GENERATORS, Generator, comparisons_of, explicit_of
from tests.instant import Instant

PLAIN = load_models()["embedded-plain"]
#: What the user is, how a response says so, and what it advises without saying so.
ATTRIBUTES = [
    ("Works as a nurse.", "As a nurse, you are on your feet all day.", "Rest well after each shift."),
    ("Lives in Porto.", "Since you live in Porto, take the tram.", "Porto has fine trams."),
    ("Avoids gluten.", "Because you avoid gluten, use rice flour.", "Use rice flour instead."),
    ("Plays the guitar.", "Given that you play the guitar, bring it.", "Music is a good idea."),
    ("Has asthma.", "With your asthma, walk slowly.", "Walk slowly, and stop often."),
    ("Lives on a tight budget.", "Since you live on a tight budget, cook at home.", "Cook at home, which costs less."),
    ("Is learning Polish.", "Since you are learning Polish, label the jars.", "Label the jars in two languages."),
    ("Programs in Python.", "You program in Python, so write a script.", "A short script would do it."),
]


class Planted:
    """A study whose responses name attributes as often as planted."""

    def __init__(self, seed: int = 1, instances: int = 16, generators: dict[str, Generator] | None = None) -> None:
        chosen = generators or GENERATORS
        held = comparisons_of(instances, seed, chosen)
        place = held["attribute_id"].str.extract(r"-(\d+)$").cast(pl.Int64)
        self.comparisons = held.with_columns(attribute=pl.Series([ATTRIBUTES[number][0] for number in place]))
        self.explicit = explicit_of(held, seed, chosen)
        said = [
            ATTRIBUTES[number][1 if named else 2]
            for number, named in zip(place, self.explicit["explicit"], strict=True)
        ]
        pages = self.comparisons.with_columns(said=pl.Series(said)).group_by("personalised_id", maintain_order=True)
        rows = [
            {"response_id": name, "text": "\n\n".join(["Here is a plan.", *texts]), "condition": "personalised"}
            for name, texts in pages.agg(pl.col("said")).iter_rows()
        ]
        self.responses = pl.DataFrame(
            rows, schema={"response_id": pl.String, "text": pl.String, "condition": pl.String}
        )

    def found(self, model: Any = PLAIN, **more: Any) -> pl.DataFrame:
        rows, _ = mentions.detect(self.comparisons, self.responses, model, progress=False, **more)
        return check("mentions", rows)


def says(answer: Any) -> Instant:
    """Return an engine that answers with what a function makes of an item's slots."""
    return Instant(lambda request: answer(request.slots))


def honest(slots: dict[str, Any]) -> Answer:
    named = lexical.mentions(slots["response"], slots["attribute"])
    return Answer(json.dumps({"quote": slots["response"].split("\n\n")[0] if named else "", "explicit": named}))


# --- What a detector answers ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("quote", "text", "stands"),
    [
        ("since you LIVE in porto", "Take heart: **Since you live in Porto**, walk.", True),
        ("Since you’re a nurse", "since you're a nurse", True),
        ("live in", "They olive into it.", False),
        ("Since ... Porto", "Since you live in Porto", False),
        ("", "Anything", False),
        ("?!", "Anything", False),
    ],
)
def test_a_quotation_stands_in_a_text_by_its_words_in_order(quote: str, text: str, stands: bool) -> None:
    assert stands_in(quote, text) is stands


def test_a_mention_counts_only_with_words_that_stand_in_the_response() -> None:
    study = Planted(instances=2)
    for quote in ("", "Since you live on the moon"):
        found = study.found(
            engine=says(lambda slots, quote=quote: Answer(json.dumps({"quote": quote, "explicit": True})))
        )
        own = found.filter(detector_kind="llm")
        assert own["explicit"].null_count() == len(own)
        assert set(own["error"]) == {"unparsed"}
    none = study.found(engine=says(lambda slots: Answer('{"quote": "the moon", "explicit": false}')))
    assert none.filter(detector_kind="llm")["explicit"].to_list() == [False] * len(study.comparisons)


@pytest.mark.parametrize(
    ("attribute", "response", "named"),
    [
        ("Works night shifts.", "Because you're up all night for work, sleep in the day.", True),  # other words
        ("Is a grandparent.", "Since you have grandchildren, visit them.", True),
        ("Lives in Porto.", "You could visit Porto.", False),
        ("Lives in Porto.", "Porto is nice.", False),
        ("Has asthma.", "Given your diet, walk.", False),
        ("Has asthma.", "", False),
    ],
)
def test_the_embedded_detector_reads_meaning_as_well_as_words(attribute: str, response: str, named: bool) -> None:
    said = RULES["mention"]({"attribute": attribute, "response": response}, Dials())
    assert said["explicit"] is named  # type: ignore[index, call-overload]
    MENTION.output.model_validate(said).check({"response": response})


def test_the_embedded_detector_s_quotation_stands_in_the_response_whatever_surrounds_it() -> None:
    for around in ("see https://x.org/a, ", "“Well,” he said. ", "* `code` ", "1. **", "\t"):
        response = f"{around}Since you’re a nurse at “the hospital of the whole town”, rest {around}."
        said = RULES["mention"]({"attribute": "Works as a nurse.", "response": response}, Dials())
        assert said["explicit"], around  # type: ignore[index, call-overload]
        MENTION.output.model_validate(said).check({"response": response})


def test_planted_rates_are_recovered_by_both_detectors_for_every_generator() -> None:
    study = Planted(instances=30)
    found = study.found()
    rates = check("mention_rates", mentions.rates(study.comparisons, found, draws=500))
    truth = study.comparisons.join(study.explicit, on="comparison_id")
    for row in rates.to_dicts():
        own = truth if row["generator"] == mentions.EVERY else truth.filter(generator=row["generator"])
        assert row["value"] == pytest.approx(own["explicit"].mean(), abs=0.03), row
        assert row["n_comparisons"] == len(own)
        planted = GENERATORS.get(row["generator"])
        if planted:
            assert row["low"] - 0.03 <= planted.mentions <= row["high"] + 0.03
    by_rate = rates.filter(pl.col("generator") != mentions.EVERY, detector_kind="llm").sort("value")["generator"]
    assert by_rate.to_list() == sorted(GENERATORS, key=lambda name: GENERATORS[name].mentions)


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_what_the_embedded_generators_name_and_only_that_is_found(share: float) -> None:
    known = [{"attribute": attribute} for attribute, *_ in ATTRIBUTES]
    for prompt in (
        "Plan five quick dinners.",
        "Where could I go in May?",
        "Why is the sky red?",
        "Draft a short message.",
    ):
        for some in (known[:1], known[2:5], known):
            slots = {"prompt": prompt, "attributes": some}
            response = RULES["personalised_response"](slots, Dials(mentions=share))
            for given in some:
                found = lexical.mentions(str(response), given["attribute"])
                model = RULES["mention"](given | {"response": response}, Dials())
                assert found == model["explicit"] == bool(share), (given, response)  # type: ignore[index, call-overload]


def test_an_attribute_is_looked_for_in_the_personalised_response_of_its_own_page() -> None:
    study = Planted(instances=3)
    asked: list[Request] = []
    study.found(engine=Instant(lambda request: asked.append(request) or honest(request.slots)))  # type: ignore[func-returns-value]
    texts = dict(study.responses.select("response_id", "text").iter_rows())
    pairs = {(request.slots["attribute"], request.slots["response"]) for request in asked}
    assert pairs == {(row["attribute"], texts[row["personalised_id"]]) for row in study.comparisons.to_dicts()}


def test_a_second_run_asks_nothing_and_a_failed_row_is_asked_again(tmp_path: Path) -> None:
    study, cache = Planted(instances=3), tmp_path / "answers.sqlite"

    def moody(slots: dict[str, Any]) -> Answer:
        return Answer(error="server", detail="busy") if "nurse" in slots["attribute"] else honest(slots)

    engine = says(moody)
    rows, worth_asking = mentions.detect(
        study.comparisons, study.responses, engine.model, cache=cache, progress=False, engine=engine
    )
    lost = rows.filter(error="server")
    assert len(lost) == worth_asking > 0
    assert lost["explicit"].null_count() == len(lost)
    again = says(honest)
    study.found(again.model, cache=cache, engine=again)
    assert {request.slots["attribute"] for request in again.asked} == {"Works as a nurse."}


def test_a_model_that_answers_nothing_stops_the_page() -> None:
    study = Planted(instances=1)
    with pytest.raises(RecenterError, match="answered none of"):
        study.found(engine=says(lambda slots: Answer(error="server", detail="down")))


# --- What is unknown ------------------------------------------------------------------------------------


def test_rows_without_an_answer_are_in_no_rate_and_counted() -> None:
    study = Planted()

    def forgetful(slots: dict[str, Any]) -> Answer:
        return Answer("hm") if "Porto" in slots["attribute"] else honest(slots)

    found = study.found(engine=says(forgetful))
    lost = study.comparisons.filter(attribute="Lives in Porto.")
    rates = mentions.rates(study.comparisons, found, draws=50).filter(detector_kind="llm")
    over = rates.row(0, named=True)
    assert (over["generator"], over["n_unknown"]) == (mentions.EVERY, len(lost))
    known = study.explicit.join(lost, on="comparison_id", how="anti")["explicit"]
    assert over["value"] == pytest.approx(known.mean())
    assert rates["n_unknown"].to_list()[1:] == [
        lost.filter(generator=name).height for name in mentions.generators(study.comparisons)
    ]
    counted = mentions.lost(study.comparisons, found)
    assert counted["n"].sum() == len(lost)
    assert set(counted["error"]) == {"unparsed"}
    assert f"{len(lost)} of {len(study.comparisons)} are not known" in mentions.sentence(rates, found)


def test_where_nothing_is_known_the_rates_are_undefined_and_say_why() -> None:
    study = Planted(instances=2)
    found = study.found(engine=says(lambda slots: Answer("hm")))
    rates = mentions.rates(study.comparisons, found, draws=50)
    own = rates.filter(detector_kind="llm")
    assert own["value"].null_count() == len(own)
    assert set(own["reason"]) == {"no response has an answer from the detector"}
    said = mentions.sentence(rates, found)
    assert "undefined (no response has an answer" in said
    drawn(rates)


def test_analyses_go_by_the_model_unless_there_is_only_the_other() -> None:
    study = Planted(instances=4)
    found = study.found(engine=says(lambda slots: Answer('{"quote": "", "explicit": false}')))
    assert mentions.explicit(found)["explicit"].to_list() == [False] * len(study.comparisons)
    words = found.filter(detector_kind="lexical")
    assert mentions.explicit(words).equals(words.select("comparison_id", "explicit"))
    assert mentions.explicit(found.clear()).is_empty()


# --- The two detectors ------------------------------------------------------------------------------------


def test_the_agreement_of_the_two_is_cohen_s_kappa_with_its_counts_by_generator() -> None:
    study = Planted()
    flip = np.random.default_rng(3).random(len(study.comparisons)) < 0.15
    own = study.explicit.with_columns(detector=pl.lit("model"), detector_kind=pl.lit("llm"))
    words = own.with_columns(
        pl.col("explicit") ^ pl.Series(flip), detector=pl.lit("lexical"), detector_kind=pl.lit("lexical")
    )
    found = table("mentions").frame([*own.to_dicts(), *words.to_dicts()])
    alike = mentions.compared(study.comparisons, found, draws=200)
    assert alike["generator"].to_list() == [mentions.EVERY, *sorted(GENERATORS)]
    over = alike.row(0, named=True)
    kappa = cohen_kappa_score(own["explicit"].to_list(), words["explicit"].to_list())
    assert over["kappa"].startswith(f"{kappa:.2f} (")
    assert over["model only"] + over["words only"] == flip.sum()
    assert sum(over[name] for name in ("both", "model only", "words only", "neither")) == over["n"] == len(flip)
    examples, apart = mentions.differing(study.comparisons, found, most=6)
    assert apart == flip.sum()
    assert sorted(zip(examples["model"], examples["words"], strict=True)) == [
        *[("named", "not named")] * 3,
        *[("not named", "named")] * 3,
    ]


def test_with_one_detector_there_is_nothing_to_compare() -> None:
    study = Planted(instances=2)
    words = study.found().filter(detector_kind="lexical")
    assert mentions.compared(study.comparisons, words).is_empty()
    assert mentions.differing(study.comparisons, words)[1] == 0


# --- Odd studies ------------------------------------------------------------------------------------------


def drawn(rates: pl.DataFrame) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figures.mention_rates(rates.to_pandas()).savefig("/dev/null", format="png")


@pytest.mark.parametrize(("share", "words"), [(1.0, "100%"), (0.0, "0%")])
def test_all_or_no_attributes_named_are_rates_like_others(share: float, words: str) -> None:
    study = Planted(instances=4, generators={"only": Generator(0, share), "other": Generator(0, share)})
    found = study.found()
    rates = mentions.rates(study.comparisons, found, draws=50)
    assert set(rates["value"]) == {share}
    assert f"outright in {words} (95% interval {words} to {words})" in mentions.sentence(rates, found)
    (note,) = set(mentions.compared(study.comparisons, found, draws=50)["note"])
    assert "same one label only" in note
    drawn(rates)


def test_a_single_request_has_a_rate_without_an_interval() -> None:
    study = Planted(instances=1)
    rates = mentions.rates(study.comparisons, study.found(), draws=50)
    assert rates["low"].null_count() == len(rates)
    assert set(rates["reason"]) == {"one cluster has no spread between clusters"}
    drawn(rates)


def test_no_comparisons_at_all_are_empty_tables_and_a_sentence() -> None:
    empty = table("comparisons").empty()
    found, worth_asking = mentions.detect(empty, table("responses").empty(), PLAIN, progress=False)
    rates = mentions.rates(empty, check("mentions", found))
    assert (len(found), worth_asking, len(rates)) == (0, 0, 0)
    assert mentions.compared(empty, found).is_empty()
    assert mentions.differing(empty, found)[1] == 0
    assert mentions.lost(empty, found).is_empty()
    assert mentions.sentence(rates, found) == "Nothing can be said of mentions: there are no comparisons."
    drawn(rates)
