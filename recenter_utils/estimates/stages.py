"""What each notebook would ask: its stage is gone through as the notebook does, and nobody is asked.

A stage reads the study's tables where they are there. Where they are not, it reads what the stages before it are
expected to leave, with models that answer as `imagined` has it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import cast

import polars as pl

from recenter_utils.annotation.quality_pages import sample_users
from recenter_utils.attributes import checks, extraction, failures, refinement, users, verification
from recenter_utils.estimates.forecast import Forecast
from recenter_utils.estimates.imagined import ATTRIBUTES, FLAGGED, MATTERS, RESPONSE
from recenter_utils.relevance import judging as relevance
from recenter_utils.relevance import pairing
from recenter_utils.responses import comparisons, generation, instances, judging, mentions
from recenter_utils.tables import table
from recenter_utils.training.classifier import Classifier


def all_stages(study: Forecast) -> None:
    """Go through every stage that asks models, in order; see `Forecast.parts` for what that comes to."""
    for notebook, stage in STAGES.items():
        stage(study, notebook)


def _users(study: Forecast, notebook: str) -> None:
    if study.has("users", "conversations", "funnel"):
        return _users_again(study, notebook)
    settings = study.settings
    with tempfile.TemporaryDirectory() as staging:
        pool = users.collect(settings.sources, settings.users, study.folder, Path(staging))
        with study.count(notebook):
            pool, _ = checks.ask(pool, study)
        why = "every user passes the filters that ask a model"
        study.expect(notebook, why, users=pool.users, conversations=pool.conversations.collect())


def _users_again(study: Forecast, notebook: str) -> None:
    """Count by the funnel: conversations that a filter dropped are kept nowhere, and those that stayed speak for them.

    Reading the chats once more would take as long as it did in the notebook.
    """
    funnel, kept = study.frame("funnel"), study.frame("users").filter("kept")
    filtered = [source.name for source in study.settings.sources if source.filters_apply]
    left = study.frame("conversations").join(kept.select("user_id"), on="user_id", how="semi")
    left = left.filter(pl.col("source").is_in(filtered))
    if left.is_empty():
        return
    before = "activity"
    if study.settings.users.check_language:
        asked = int(funnel.filter(step=before)["conversations"].sum())
        with study.count(notebook, asked / len(left)):
            checks.check_language(left, study.model("language"), cache=study.cache)
        before = "language_checked"
    asked = int(funnel.filter(step=before)["users"].sum())
    with study.count(notebook, asked / left["user_id"].n_unique()):
        checks.score_assistant_use(left, study.model("assistant_use"), cache=study.cache)


def _attributes(study: Forecast, notebook: str) -> None:
    kept = study.frame("users").filter("kept")
    conversations = study.frame("conversations").join(kept.select("user_id"), on="user_id", how="semi")
    with study.count(notebook):
        found, _ = extraction.extract(
            conversations, study.model("extraction"), study.settings.extraction, cache=study.cache, progress=False
        )
    sources = kept.select("user_id", "source")
    merged = found.join(sources, on="user_id", maintain_order="left").with_columns(
        members=pl.concat_list("attribute_id"), n_conversations=pl.lit(1, pl.Int64)
    )
    merged = merged.select(list(table("merged_attributes").columns))
    why = f"a piece of a conversation holds {ATTRIBUTES} attributes, and merging leaves them all"
    study.expect(notebook, why, attributes=found, merged_attributes=merged)


def _failures(study: Forecast, notebook: str) -> None:
    _judged(study, notebook)
    merged, excluded = study.frame("merged_attributes"), study.settings.annotation.excluded
    flagged = failures.flagged(study.frame("consensus"), study.frame("quality_judgments"), excluded)
    cases = failures.cases(flagged, merged, study.frame("attributes"), study.frame("conversations"))
    with study.count(notebook):
        failures.categorise(cases, study.model("failures"), cache=study.cache, progress=False)


def _judged(study: Forecast, notebook: str) -> None:
    """Have annotators judge the attributes of as many users as the study wants judged."""
    if study.has("consensus", "quality_judgments"):
        return
    known, merged, settings = study.frame("users"), study.frame("merged_attributes"), study.settings
    chosen = sample_users(known.join(merged, on="user_id", how="semi"), settings.annotation, settings.seed)
    rows = merged.filter(pl.col("user_id").is_in(chosen)).join(known.select("user_id", "kind"), on="user_id")
    flagged = pl.int_range(pl.len()) % FLAGGED == 0
    rows = rows.with_columns(
        item_id="attribute_id",
        accepted=(~flagged).cast(pl.Int64),
        uncertain=pl.lit(0, pl.Int64),
        rejected=flagged.cast(pl.Int64),
        majority=pl.when(flagged).then(pl.lit("rejected")).otherwise(pl.lit("accepted")),
        dawid_skene=pl.lit(None, pl.String),
        posterior=pl.lit(None, pl.Float64),
        problematic=flagged,
    )
    consensus = rows.select(list(table("consensus").columns))
    why = f"annotators do not accept one attribute in {FLAGGED}"
    study.expect(notebook, why, consensus=consensus, quality_judgments=table("quality_judgments").empty())


def _held_out(study: Forecast, notebook: str) -> pl.DataFrame:
    consensus = study.frame("consensus")
    read = [study.frame(name) for name in ("merged_attributes", "attributes", "conversations")]
    if not study.has("verifier_split"):
        parts = verification.split(consensus, study.settings.verifier, study.settings.seed)
        why = f"the users who are held out have {len(parts.filter(split='test')):,} attributes"
        study.expect(notebook, why, verifier_split=parts)
    test = study.frame("verifier_split").filter(split="test")
    items = verification.judged(consensus, *read)
    return items.join(test, left_on="attribute_id", right_on="item_id", how="semi", maintain_order="left")


def _verifiers(study: Forecast, notebook: str) -> None:
    held_out = _held_out(study, notebook)
    with study.count(notebook):
        verification.ask(held_out, study.models_of("verifiers"), cache=study.cache, progress=False)


class _Content:
    """A verifier that flags nothing: what is sent back to the extractor is sent back once."""

    threshold = 1.0

    def scores(self, texts: Sequence[str], _: Sequence[str]) -> list[float]:
        return [0.0] * len(texts)


def _refinement(study: Forecast, notebook: str) -> None:
    held_out, scale = _held_out(study, notebook), 1.0
    if study.has("refinements"):
        done = study.frame("refinements")
        first = done.filter(round=1).select("attribute_id", score="score_before")
        scale = len(done) / len(first) if len(first) else 1.0
    else:
        first = held_out[::FLAGGED].select("attribute_id", score=pl.lit(0.5))
        why = f"the verifier flags one attribute in {FLAGGED}, and each is sent back once and revised"
        study.assume(notebook, why)
    flagged = held_out.join(first, on="attribute_id", maintain_order="left").with_columns(flagged=pl.lit(True))
    with study.count(notebook, scale):
        rows, _ = refinement.refine(
            flagged, cast(Classifier, _Content()), study.model("extraction"), 1, cache=study.cache, progress=False
        )
    if study.has("refinements"):
        rows = study.frame("refinements")
    revised = refinement.wordings(refinement.final(rows), held_out)
    with study.count(notebook):
        verification.ask(revised, study.models_of("verifiers"), cache=study.cache, prompts=["criteria"], progress=False)


def _pairs(study: Forecast, notebook: str) -> None:
    with study.count(notebook):
        made = pairing.pair(study, progress=False)
    asked = "every user passes the filter, and as many are drawn for each request as the study wants"
    why = asked if made.made_by else ""  # a benchmark says itself who meets which request
    study.expect(notebook, why, prompts=made.prompts, pairs=made.pairs)


def _relevance(study: Forecast, notebook: str) -> None:
    worded = pairing.worded(study.frame("pairs"), study.frame("prompts"))
    with study.count(notebook):
        relevance.ask(worded, study.models_of("relevance"), cache=study.cache, progress=False)


def _responses(study: Forecast, notebook: str) -> None:
    settings, pairs = study.settings, study.frame("pairs")
    rules, models = settings.responses, study.models_of("generators")
    if study.has("relevance_consensus", "relevance_judgments", "retrieval_judgments"):
        judged = [study.frame(name) for name in ("relevance_judgments", "retrieval_judgments")]
        said = instances.answered(rules.selector, study.frame("relevance_consensus"), *judged)
    else:
        label = pl.when(pl.int_range(pl.len()) % MATTERS == 0).then(pl.lit("yes")).otherwise(pl.lit("no"))
        said = pairs.select("pair_id", label=label)
        study.assume(notebook, f"one attribute in {MATTERS} matters for a request")
    chosen = instances.sampled(instances.relevant(said, pairs), rules.sample, len(models), settings.seed)
    with study.count(notebook):
        responses, _ = generation.ask(chosen, study.frame("prompts"), models, rules, cache=study.cache, progress=False)
    pages = comparisons.pages(responses, settings.seed)
    why = f"responses have {RESPONSE:,} characters, and every pair of them can be compared"
    study.expect(notebook, why, responses=responses, comparisons=comparisons.comparisons(pages, pairs))


def _preferences(study: Forecast, notebook: str) -> None:
    tables = (study.frame(name) for name in ("comparisons", "prompts", "responses"))
    share, seed = study.settings.preferences.both_orders, study.settings.seed
    with study.count(notebook):
        judging.ask(
            judging.worded(*tables), study.models_of("preference"),
            both_orders=share, seed=seed, cache=study.cache, progress=False,
        )  # fmt: skip


def _mentions(study: Forecast, notebook: str) -> None:
    compared, responses = study.frame("comparisons"), study.frame("responses")
    with study.count(notebook):
        mentions.detect(compared, responses, study.model("mentions"), cache=study.cache, progress=False)


#: The notebooks that ask models which a study names, in order. Training and what is computed are not in it.
STAGES: dict[str, Callable[[Forecast, str], None]] = {
    "01-users": _users,
    "02-attributes": _attributes,
    "07-failure-modes": _failures,
    "08-verifiers": _verifiers,
    "09-refinement": _refinement,
    "10-pairs": _pairs,
    "11-relevance-judgments": _relevance,
    "19-responses": _responses,
    "20-preferences": _preferences,
    "22-mentions": _mentions,
}
