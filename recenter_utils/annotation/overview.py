"""`recenter judgments`: how far annotators are, how they agree so far, and who stands apart, as text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd
import polars as pl

from recenter_utils.annotation import annotators, progress, simulated_preference, simulated_relevance, simulation
from recenter_utils.annotation.judgments import gather, items_of
from recenter_utils.annotation.pages import Page
from recenter_utils.annotation.store import Store
from recenter_utils.annotation.tasks import TASKS, Task
from recenter_utils.errors import RecenterError, nearest
from recenter_utils.scales import ATTRIBUTE_QUALITY, PREFERENCE, RELEVANCE, Scale
from recenter_utils.stats import agreement

if TYPE_CHECKING:
    from recenter_utils.study import Study

_DRAWS = 2000  # resamples of the intervals


def overview(study: Study) -> str:
    """Return a table and what to know of it for each task that was judged; raise where none was."""
    parts = ["\n".join(_task(study, task)) for task in TASKS.values() if _begun(study, task)]
    if not parts:
        raise RecenterError(
            f"Nobody has judged anything in '{study.name}' yet: 'recenter annotate {study.reference} "
            "attribute-quality' opens the screens, 'recenter import-judgments' takes a file."
        )
    return "\n\n".join(parts)


def _begun(study: Study, task: Task) -> bool:
    if study.answers_path(task.name).is_file():
        return True
    if not study.simulated or not _has_tables(study, task):
        return False
    if task.scale is PREFERENCE:
        return bool(simulation.annotators(study.simulated).qualities)
    return task.scale is not RELEVANCE or (study.simulated / simulated_relevance.FILE).is_file()


def _has_tables(study: Study, task: Task) -> bool:
    """Return whether the study's tables hold what is judged, so that the analyses go by them."""
    made = {RELEVANCE.task: "pairs", PREFERENCE.task: "comparisons"}.get(task.name)
    if made:
        return study.table_path(made).is_file() and not study.frame(made).is_empty()
    return task.name == ATTRIBUTE_QUALITY.task and study.table_path("merged_attributes").is_file()


def _task(study: Study, task: Task) -> Iterator[str]:
    path = study.answers_path(task.name)
    people: dict[str, progress.Progress] = {}
    pages: list[Page] = []
    if path.is_file():
        with Store(path) as store:
            people = {person.rater: person for person in progress.by_rater(store)}
            pages = store.pages()
    made = _has_tables(study, task)
    if made:  # as the analyses see them: the study may have been run again since
        pages = task.build(study, 0)
    items = items_of(pages)
    if made and task.scale is PREFERENCE:
        items = simulated_preference.with_truth(items, study.frame("comparisons"), study.frame("responses"))
    found = gather(study, task.name, items)
    excluded = study.settings.annotation.excluded
    counted = annotators.included(found.judgments, excluded)
    people_answered = "human" in found.judgments["rater_kind"]
    if people_answered:  # simulated annotators only stand in
        counted = counted.filter(rater_kind="human")
    everybody, wide = annotators.wide(found.judgments), annotators.wide(counted)
    clusters = annotators.clusters_of(wide, items, "page_id")  # users, or requests
    kinds = dict(found.judgments.select("rater", "rater_kind").unique().iter_rows())
    answers = everybody.notna().sum(axis=1)
    yield (
        f"{task.name.replace('_', '-')}: {len(items):,} items on {len(pages):,} pages, "
        f"{len(everybody):,} with an answer, {(answers > 1).sum():,} with two or more."
    )
    labels = task.scale.labels
    pairs = None
    if wide.shape[1] > 1:
        pairs = agreement.pairwise(wide, labels, statistic=task.scale.kappa, clusters=clusters, draws=_DRAWS)
    head = ["annotator", "", "answered", *labels, task.scale.kappa_words, "checks", "seconds"]
    names = [*people, *sorted(set(kinds) - set(people))]
    yield from _aligned(
        [head, *(_row(name, found.judgments, people.get(name), kinds, pairs, labels) for name in names)]
    )
    if pairs is not None:
        order = "nominal" if task.scale is RELEVANCE else "ordinal"
        overall = agreement.overall(wide, labels, measurement=order, clusters=clusters, draws=_DRAWS)
        among = "people" if people_answered else "simulated annotators"
        yield _sentence(overall.set_index("statistic"), task.scale, order, among)
        checks = {name: (person.checks_passed, person.checks) for name, person in people.items()}
        apart = annotators.standing_apart(wide, pairs, checks, scale=task.scale)
        yield from (f"Look at {name}: {why}." for name, why in apart.items())
    yield from (f"Left out: {n:,} {why}." for why, n in found.left_out.select("why", "n").iter_rows())
    if found.skipped:
        yield f"Simulated annotators skip {found.skipped:,} {found.judged} for which no truth is planted."
    if simulated := [name for name, kind in kinds.items() if kind == "simulated"]:
        yield f"Simulated, and no people: {', '.join(sorted(simulated))}."
    for name in excluded:
        if name in kinds:
            yield f"Excluded by study.yaml, and not counted in kappa and agreement: {name}."
        elif kinds:
            yield f"study.yaml excludes '{name}', who has no answers here.{nearest(name, kinds)}"


def _row(
    name: str,
    judgments: pl.DataFrame,
    person: progress.Progress | None,
    kinds: Mapping[str, str],
    pairs: pd.DataFrame | None,
    labels: Sequence[str],
) -> list[str]:
    mine = judgments.filter(rater=name)
    state = person.state if person and (person.pages or not len(mine)) else "imported"
    state = "simulated" if kinds.get(name) == "simulated" else state
    asked = f" of {person.items - person.checks:,}" if person and person.items else ""
    shares = [f"{mine['label'].eq(label).sum() / len(mine):.0%}" if len(mine) else "–" for label in labels]
    kappa = annotators.mean_kappa(pairs, name) if pairs is not None and len(mine) else None
    seconds = mine["seconds"].median()
    return [
        name,
        state,
        f"{len(mine):,}{asked}",
        *shares,
        "–" if kappa is None else f"{kappa:.2f}",
        f"{person.checks_passed} of {person.checks}" if person and person.checks else "–",
        f"{seconds:.0f}" if isinstance(seconds, float) else "–",
    ]


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return rows of cells as lines: words on the left of their column, numbers on the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    sides = [str.ljust, str.ljust, *[str.rjust] * (len(widths) - 2)]
    return [
        "  " + "  ".join(side(cell, width) for side, cell, width in zip(sides, row, widths, strict=True)).rstrip()
        for row in rows
    ]


def _sentence(overall: pd.DataFrame, scale: Scale, order: str, among: str) -> str:
    statistics = {
        f"mean_{scale.kappa}": f"mean {scale.kappa_words}",
        "krippendorff_alpha": f"Krippendorff's alpha ({order})",
        "percent_agreement": "share of equal answers",
    }
    parts = [f"{words} {_with_interval(dict(overall.loc[name]))}" for name, words in statistics.items()]
    return f"Agreement so far among {among} on {int(overall['n_items'].iloc[0]):,} items: {', '.join(parts)}."


def _with_interval(row: Mapping[Any, Any]) -> str:
    if row["value"] != row["value"]:
        return f"undefined ({row['reason']})"
    ends = "" if row["low"] != row["low"] else f" ({row['low']:.2f} to {row['high']:.2f})"
    return f"{row['value']:.2f}{ends}"
