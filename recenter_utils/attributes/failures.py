"""Why annotators did not accept an attribute (Appendix D): a reason in free words, then a category, and their shares.

Every attribute whose annotators did not all answer *accepted* is flagged, once. A model first says in its own words
what is wrong (I.4), then sorts the reasons into categories, many cases a request (I.5).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

from recenter_utils.annotation.annotators import included
from recenter_utils.attributes.categories import CANDIDATES, merged, normalised, ordered, title
from recenter_utils.attributes.snippets import snippets
from recenter_utils.inference.models import Model
from recenter_utils.inference.run import run, unanswered
from recenter_utils.inference.tasks import FLAG_CATEGORY, FLAG_REASON, Task
from recenter_utils.tables import table

#: Cases in one request of the second stage.
BATCH = 20
#: Errors of requests that are worth asking again as they are.
LATER = ("server", "budget")


def flagged(consensus: pl.DataFrame, judgments: pl.DataFrame, excluded: Sequence[str] = ()) -> pl.DataFrame:
    """Return the attributes that not all annotators accepted: item_id, user_id, source, kind, judgment, notes.

    consensus, judgments: the tables `consensus` and `quality_judgments`; excluded: annotators who do not count.
    `judgment` is the more frequent of *uncertain* and *rejected*, *rejected* where they are as many. `notes` are what
    those who did not accept it wrote, in the order of the annotators' names.
    """
    notes = (
        included(judgments, tuple(excluded))
        .filter(pl.col("label") != "accepted", pl.col("reason").str.strip_chars() != "")
        .sort("item_id", "rater")
        .group_by("item_id", maintain_order=True)
        .agg(notes="reason")
    )
    more_often = pl.when(pl.col("uncertain") > pl.col("rejected")).then(pl.lit("uncertain"))
    return (
        consensus.filter(pl.col("uncertain") + pl.col("rejected") > 0)
        .sort("item_id")
        .select("item_id", "user_id", "source", "kind", judgment=more_often.otherwise(pl.lit("rejected")))
        .join(notes, on="item_id", how="left", maintain_order="left")
        .with_columns(pl.col("notes").fill_null([]))
    )


def cases(
    chosen: pl.DataFrame, attributes: pl.DataFrame, extracted: pl.DataFrame, conversations: pl.DataFrame
) -> pl.DataFrame:
    """Return what `flagged` gave with what a model reads of each: attribute, reason and excerpt.

    attributes, extracted, conversations: the tables `merged_attributes`, `attributes` and `conversations`. An excerpt
    is a list of {turn, conversation, role, cited, content}. An attribute that the tables do not hold is left out.
    """
    known = attributes.join(chosen.select(attribute_id="item_id"), on="attribute_id", how="semi")
    rows = [
        {
            "item_id": row["attribute_id"],
            "attribute": row["attribute"],
            "reason": row["reason"] or "",
            "excerpt": [_shown(turn, row["evidence_turns"]) for turn in row["snippet"]],
        }
        for row in snippets(known, extracted, conversations).iter_rows(named=True)
    ]
    turn = {"turn": pl.Int64, "conversation": pl.Int64, "role": pl.String, "cited": pl.Boolean, "content": pl.String}
    schema: dict[str, Any] = {"item_id": pl.String, "attribute": pl.String, "reason": pl.String}
    schema["excerpt"] = pl.List(pl.Struct(turn))
    return chosen.join(pl.DataFrame(rows, schema=schema), on="item_id", how="inner", maintain_order="left")


def _shown(turn: Mapping[str, Any], evidence: Sequence[int]) -> dict[str, Any]:
    said = {"turn": turn["turn"], "conversation": turn["conversation"], "role": turn["role"]}
    return said | {"cited": turn["turn"] in evidence, "content": turn["content"]}


@dataclass
class Sorting:
    """What the two stages came to. `faults` counts what was wrong with batches; `unanswered`, requests to ask again."""

    failures: pl.DataFrame = field(default_factory=lambda: table("failures").empty())
    unanswered: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    new: dict[str, str] = field(default_factory=dict)  # a category that the model proposed: where it ended up

    def counts(self) -> pl.DataFrame:
        """Return what became of the cases and what was wrong with batches: what, n."""
        errors = Counter(self.failures["error"].drop_nulls().to_list())
        rows = [("flagged attributes", len(self.failures)), ("with a category", self.failures["category"].count())]
        rows += [(f"without one: {error}", n) for error, n in sorted(errors.items())]
        rows += [(f"in batches: {what}", n) for what, n in sorted(self.faults.items())]
        rows += [("with a category that the model proposed", int(self.proposals()["n"].sum()))]
        return pl.DataFrame(rows, schema={"what": pl.String, "n": pl.Int64}, orient="row")

    def proposals(self) -> pl.DataFrame:
        """Return the categories that the model proposed, and where they ended up: proposed, n, category.

        A name may hold words of a chat: it is for `report.show_examples`, not for `report.show_table`.
        """
        used = Counter(normalised(name) for name in self.failures["proposed"].drop_nulls())
        rows = [(name.replace("_", " "), used[name], title(goal)) for name, goal in self.new.items()]
        schema = {"proposed": pl.String, "n": pl.Int64, "category": pl.String}
        return pl.DataFrame(rows, schema=schema, orient="row")


class _Asking:
    """Asks one model, and spends no more than `max_cost` over all requests of the notebook together."""

    def __init__(self, model: Model, cache: Path | None, max_cost: float | None, progress: bool) -> None:
        self.model, self.cache, self.left, self.progress = model, cache, max_cost, progress
        self.unanswered = 0

    def __call__(self, task: Task, items: Sequence[Mapping[str, Any]], once_more: bool = False) -> list[dict[str, Any]]:
        answers = run(task, items, self.model, cache=self.cache, max_cost=self.left, progress=self.progress)
        if once_more:
            self.unanswered += int(answers["error"].isin(LATER).sum())
        else:
            self.unanswered += unanswered(answers)  # raises where no request at all was answered
        if self.left is not None:
            self.left = max(0.0, self.left - float(answers["cost"].sum()))
        # What is missing is NaN to pandas, and None here.
        rows = [[None if value != value else value for value in row] for row in answers.itertuples(index=False)]
        return [dict(zip(answers.columns, row, strict=True)) for row in rows]


def categorise(
    found: pl.DataFrame,
    model: Model,
    *,
    cache: Path | None = None,
    max_cost: float | None = None,
    progress: bool = True,
    batch: int = BATCH,
) -> Sorting:
    """Ask `model` why each case was not accepted and which category that is; return the table `failures` with counts.

    found: what `cases` gave. A case that a batch's answer leaves out, or gives two categories, is asked once more
    alone; one that has no category then carries the error `unparsed`. An answer about a case that was not asked is
    counted and not used. No case is dropped.
    """
    if found.is_empty():
        return Sorting()
    ask = _Asking(model, cache, max_cost, progress)
    items = found.to_dicts()
    for item, answer in zip(items, ask(FLAG_REASON, items), strict=True):
        item |= {name: answer[name] for name in ("inferred_reason", "evidence_assessment", "error")}
    sorting = Sorting()
    definitions: list[tuple[str, str]] = []
    todo = [item for item in items if item["error"] is None]
    groups = [todo[start : start + batch] for start in range(0, len(todo), batch)]
    alone: list[dict[str, Any]] = []
    for group, answer in zip(groups, _classified(ask, groups), strict=True):
        definitions += _settle(group, answer, sorting.faults)
        if len(group) > 1:
            alone += [item for item in group if "proposed" not in item and item["error"] not in LATER]
    if alone:
        sorting.faults["cases asked again alone"] = len(alone)
    for item, answer in zip(alone, _classified(ask, [[item] for item in alone], once_more=True), strict=True):
        definitions += _settle([item], answer, Counter())
    return _finished(sorting, items, definitions, model, ask.unanswered)


def _classified(
    ask: _Asking, groups: Sequence[Sequence[Mapping[str, Any]]], once_more: bool = False
) -> list[dict[str, Any]]:
    offered = [{"name": category.name, "definition": category.definition} for category in CANDIDATES]
    items = [
        {
            "categories": offered,
            "cases": [
                {
                    "case": number,
                    "attribute": item["attribute"],
                    "why": item["inferred_reason"],
                    "evidence": item["evidence_assessment"],
                }
                for number, item in enumerate(group, 1)
            ],
        }
        for group in groups
    ]
    return ask(FLAG_CATEGORY, items, once_more) if items else []


def _settle(group: Sequence[dict[str, Any]], answer: Mapping[str, Any], faults: Counter[str]) -> list[tuple[str, str]]:
    """Give each case of a batch its category or an error; return the definitions of new categories."""
    said: dict[int, dict[str, str]] = {}
    for row in answer["classifications"] if answer["error"] is None else ():
        if normalised(row.category):
            said.setdefault(row.case, {}).setdefault(normalised(row.category), row.category)
    for number, item in enumerate(group, 1):
        names = list(said.pop(number, {}).values())
        if len(names) == 1:
            item["proposed"], item["error"] = names[0], None
        else:
            item["error"] = answer["error"] or "unparsed"
        if answer["error"] is None and len(names) != 1:
            faults["a case given two categories" if names else "a case left out"] += 1
    if said:
        faults["a case that was not asked"] += len(said)
    if answer["error"] is not None:
        faults[f"no answer at all ({answer['error']})"] += 1
        return []
    return [(new.name, new.definition) for new in answer["new_categories"]]


def _finished(
    sorting: Sorting,
    items: Sequence[Mapping[str, Any]],
    definitions: Iterable[tuple[str, str]],
    model: Model,
    left: int,
) -> Sorting:
    proposed = [item["proposed"] for item in items if "proposed" in item]
    goals = merged(proposed, definitions)
    columns = table("failures").columns
    rows = [
        {
            **{name: item.get(name) for name in columns.names()},
            "category": goals.get(item.get("proposed", "")),
            "model": model.name,
        }
        for item in items
    ]
    offered = {normalised(word) for category in CANDIDATES for word in (category.name, category.title)}
    sorting.new = {normalised(name): goals[name] for name in sorted(goals) if normalised(name) not in offered}
    sorting.failures = pl.DataFrame(rows, schema=columns)
    sorting.unanswered = left
    return sorting


def examples(failures: pl.DataFrame, found: pl.DataFrame, each: int = 2, longest: int = 240) -> pl.DataFrame:
    """Return some cases of each category with their evidence: the beginning of the first turn they rest on.

    found: what `cases` gave. At most one case a user and category, rejected ones first.
    """
    cited = pl.element().filter(pl.element().struct.field("cited")).struct.field("content")
    rows = found.select(
        "item_id", "attribute", evidence=pl.col("excerpt").list.eval(cited).list.first().str.slice(0, longest)
    )
    order = pl.DataFrame({"category": ordered(failures["category"].drop_nulls())}, schema={"category": pl.String})
    return (
        order.with_row_index("place")
        .join(failures, on="category")
        .join(rows, on="item_id")
        .sort("place", "judgment", "item_id")
        .unique(["category", "user_id"], keep="first", maintain_order=True)
        .group_by("category", maintain_order=True)
        .head(each)
        .select(
            pl.col("category").map_elements(title, return_dtype=pl.String),
            "attribute",
            "judgment",
            "inferred_reason",
            "evidence",
        )
    )
