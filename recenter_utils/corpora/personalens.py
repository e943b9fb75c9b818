"""PersonaLens: simulated users with known affinities, and their tasks for an assistant.

Upstream ships profiles and tasks (`profile/userN/{profile,tasks,tasks_md}.json`, in a folder or a .tar.gz) but no
dialogues: those are generated with its code. A JSONL with a user a line holds all in one place.
"""

from __future__ import annotations

import lzma
import tarfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import polars as pl

from recenter_utils.corpora.batches import Batch
from recenter_utils.corpora.cleaning import Draft, batches, text
from recenter_utils.corpora.records import Fault, parse, records
from recenter_utils.errors import RecenterError
from recenter_utils.settings import Source

_AFFINITIES = dict.fromkeys(("user_id", "domain", "affinity", "value"), pl.String())
_TASKS: dict[str, pl.DataType] = {
    **dict.fromkeys(("user_id", "task_id", "text"), pl.String()),
    **dict.fromkeys(("domains", "relevant"), pl.List(pl.String)),
}
_LISTS = ("Relevant Domains", "Relevant Affinity Types")
# An archive may be cut off or damaged at any place.
_BROKEN = (tarfile.TarError, EOFError, OSError, zlib.error, lzma.LZMAError, ValueError, OverflowError)
_FILES = ("profile.json", "tasks.json", "tasks_md.json", "dialogues.json")


@dataclass
class _Person:
    user: str
    file: str
    row: int
    affinities: dict[str, Any]
    tasks: list[tuple[int, dict[str, Any]]] = field(default_factory=list)
    multi_domain: list[tuple[int, dict[str, Any]]] = field(default_factory=list)

    def dialogues(self) -> Iterator[tuple[int, str, Any]]:
        for row, task in self.tasks + self.multi_domain:
            if task.get("dialogue"):
                yield row, task["task_id"], task["dialogue"]


def read(source: Source, path: Path) -> Iterator[Batch]:
    """Yield the users' dialogues, a conversation `<user>-<task_id>` each.

    A dialogue is a task's `dialogue`, a list of {role, content}, or the entry under the task's id in
    `dialogues.json` in the user's folder. Where no task has one, that is said in a RecenterError.
    """
    return batches(source, _drafts(source, path))


def read_affinities(path: Path) -> pl.DataFrame:
    """Return the users' affinities: user_id, domain, affinity, value (several values joined by `; `)."""
    rows = [
        (_known(person.user), _known(domain), _known(affinity), _known(value))
        for person in _sound(path)
        for domain, affinities in person.affinities.items()
        if isinstance(affinities, dict)
        for affinity, value in affinities.items()
    ]
    return pl.DataFrame(rows, schema=_AFFINITIES, orient="row")


def read_tasks(path: Path, multi_domain: bool = False) -> pl.DataFrame:
    """Return the users' tasks: user_id, task_id, text (what the user wants), domains, relevant (affinity names).

    A task's relevant affinity is a user's where user_id, one of the domains and the name agree. Upstream's
    tasks over several domains come only when asked for.
    """
    rows = [
        (
            _known(person.user),
            _known(task["task_id"]),
            _known(task.get("User Intent")),
            *(_names(task, key) for key in _LISTS),
        )
        for person in _sound(path)
        for _, task in person.tasks + (person.multi_domain if multi_domain else [])
    ]
    return pl.DataFrame(rows, schema=_TASKS, orient="row")


def _drafts(source: Source, path: Path) -> Iterator[Draft | Fault]:
    if not any(True for person in _people(path) if isinstance(person, _Person) for _ in person.dialogues()):
        raise RecenterError(
            f"{path} (source '{source.name}') has no dialogues: PersonaLens ships profiles and tasks only. Generate "
            "them with its code and put {task_id: [{role, content}]} into dialogues.json in each user's folder."
        )
    for person in _people(path):
        if isinstance(person, Fault):
            yield person
            continue
        without = len(person.tasks) + len(person.multi_domain)
        for row, task, dialogue in person.dialogues():
            without -= 1
            yield Draft(person.file, (row,), dialogue, f"{person.user}-{task}", person.user, "English")
        if without or not person.tasks + person.multi_domain:
            yield Fault(person.file, person.row, f"{without or 'the'} tasks of user {person.user} have no dialogue")


def _sound(path: Path) -> Iterator[_Person]:
    for person in _people(path):
        if isinstance(person, Fault):
            raise RecenterError(f"{path}: {person.file}, row {person.row}: {person.reason}.")
        yield person


def _people(path: Path) -> Iterator[_Person | Fault]:
    folders: dict[str, dict[str, Any]] = {}
    if path.is_file() and not _is_archive(path):
        for record in records(path):
            yield record if isinstance(record, Fault) else _from_row(record.file, record.row, record.value)
        return
    for name, data in _members(path):
        try:
            folders.setdefault(name.parent.as_posix(), {})[name.name] = parse(
                data.decode("utf-8-sig", "surrogateescape")
            )
        except ValueError as problem:
            yield Fault(name.as_posix(), 1, str(problem))
    if not folders:
        raise RecenterError(f"{path} holds no profile/userN/profile.json; name PersonaLens' data folder or archive.")
    for folder, found in sorted(folders.items()):
        yield _from_folder(folder, found)


def _is_archive(path: Path) -> bool:
    try:
        return tarfile.is_tarfile(path)
    except _BROKEN:  # one that is cut off within its first entry
        return True


def _members(path: Path) -> Iterator[tuple[PurePosixPath, bytes]]:
    if path.is_dir():
        for file in sorted(path.rglob("*.json")):
            if file.name in _FILES:
                yield PurePosixPath(file.relative_to(path).as_posix()), file.read_bytes()
        return
    try:
        with tarfile.open(path) as archive:
            for member in archive:
                name = PurePosixPath(member.name)
                if name.name in _FILES and (content := archive.extractfile(member)):
                    yield name, content.read()
    except _BROKEN as problem:
        raise RecenterError(f"{path} is not a whole .tar.gz ({problem}); download it again.") from None


def _from_row(file: str, row: int, value: Any) -> _Person | Fault:
    if not isinstance(value, dict) or not isinstance(value.get("user_id"), str):
        return Fault(file, row, "the row has no user_id")
    affinities, tasks = value.get("affinities") or {}, value.get("tasks") or []
    if not isinstance(affinities, dict) or not isinstance(tasks, list) or not all(map(_is_task, tasks)):
        return Fault(file, row, "the row's affinities or tasks are not what PersonaLens has")
    return _Person(value["user_id"], file, row, affinities, [(row, task) for task in tasks])


def _from_folder(folder: str, found: dict[str, Any]) -> _Person | Fault:
    user, profile = PurePosixPath(folder).name, found.get("profile.json", {})
    affinities = profile.get("affinities", {}) if isinstance(profile, dict) else None
    if not isinstance(affinities, dict):
        return Fault(f"{folder}/profile.json", 1, "the profile has no affinities")
    dialogues = found.get("dialogues.json", {})
    person = _Person(user, f"{folder}/tasks.json", 1, affinities)
    for name, kept in (("tasks.json", person.tasks), ("tasks_md.json", person.multi_domain)):
        tasks = found.get(name, {})
        tasks = list(tasks.values()) if isinstance(tasks, dict) else tasks
        if not isinstance(tasks, list) or not all(map(_is_task, tasks)):
            return Fault(f"{folder}/{name}", 1, "the tasks are not what PersonaLens has")
        for row, task in enumerate(tasks, 1):
            spoken = dialogues.get(task["task_id"]) if isinstance(dialogues, dict) else None
            kept.append((row, task if spoken is None else task | {"dialogue": spoken}))
    return person


def _is_task(task: Any) -> bool:
    return isinstance(task, dict) and isinstance(task.get("task_id"), str)


def _names(task: dict[str, Any], key: str) -> list[str]:
    names = task.get(key)
    return [_known(name) for name in names] if isinstance(names, list) else []


def _known(value: Any) -> str:
    return text("; ".join(map(str, value)) if isinstance(value, list) else str(value))[0]
