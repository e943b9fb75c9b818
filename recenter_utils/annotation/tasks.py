"""What can be judged with `recenter annotate`: a name, its scale, and where its pages come from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from recenter_utils.annotation import pages
from recenter_utils.annotation.pages import Page
from recenter_utils.errors import RecenterError, nearest
from recenter_utils.scales import ATTRIBUTE_QUALITY, PREFERENCE, RELEVANCE, Scale

if TYPE_CHECKING:
    from recenter_utils.study import Study

#: Makes a study's pages with so many check items.
Builder = Callable[["Study", int], list[Page]]


@dataclass(frozen=True)
class Task:
    """A kind of judging."""

    name: str
    scale: Scale
    build: Builder


def _quality(study: Study, checks: int) -> list[Page]:
    from recenter_utils.annotation.quality_pages import study_pages

    return study_pages(study, checks)


def _refined(study: Study, checks: int) -> list[Page]:
    from recenter_utils.annotation.refined_pages import refined_pages

    return refined_pages(study, checks)


def _relevance(study: Study, checks: int) -> list[Page]:
    from recenter_utils.annotation.relevance_pages import study_pages

    return study_pages(study, checks)


def _preference(study: Study, checks: int) -> list[Page]:
    from recenter_utils.annotation.preference_pages import study_pages

    return study_pages(study, checks)


#: Every task by its name. A stage that makes pages of its own puts its builder here.
TASKS: Mapping[str, Task] = {
    task.name: task
    for task in (
        Task("attribute_quality", ATTRIBUTE_QUALITY, _quality),
        Task("refined_attributes", ATTRIBUTE_QUALITY, _refined),
        Task("relevance", RELEVANCE, _relevance),
        Task("preference", PREFERENCE, _preference),
    )
}


def find_task(name: str) -> Task:
    """Return a task by its name, with `-` or `_`; raise with the nearest name."""
    known = {task.replace("_", "-"): task for task in TASKS}
    found = name.replace("_", "-")
    if found not in known:
        raise RecenterError(f"There is no task '{name}'.{nearest(name, known)}")
    return TASKS[known[found]]


def task_pages(study: Study, task: Task, file: Path | None = None, checks: int = 0) -> list[Page]:
    """Return what is to be judged: the pages of `file`, of the study's own items file, or made from its tables."""
    own = study.folder / "items" / f"{task.name}.jsonl"
    source = file or (own if own.is_file() else None)
    if source is None:
        return pages.check(task.build(study, checks), task.scale.task, f"Study '{study.name}'")
    if checks:
        raise RecenterError(
            f"--checks draws check items from the study's tables; those of {source} stand in the file (expected)."
        )
    return pages.read(source, task.scale.task)
