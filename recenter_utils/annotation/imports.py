"""Judgments that were collected elsewhere: a file with a column map, imported whole or not at all."""

from __future__ import annotations

import csv
import io
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recenter_utils import provenance
from recenter_utils.annotation.pages import Page
from recenter_utils.annotation.simulation import PREFIX
from recenter_utils.annotation.store import Store
from recenter_utils.annotation.tasks import find_task, task_pages
from recenter_utils.corpora.cleaning import text as cleaned
from recenter_utils.corpora.records import parse
from recenter_utils.errors import RecenterError, first_rows, nearest
from recenter_utils.scales import PREFERENCE, Scale

if TYPE_CHECKING:
    from recenter_utils.study import Study

#: What a column of a file can be mapped to; the first three are needed.
NEEDED = ("item", "rater", "label")
OPTIONAL = ("note", "flagged", "answered_at", "attribute", "first_shown")

_YES = {"1", "true", "yes", "y", "x"}
_NO = {"", "0", "false", "no", "n"}


@dataclass
class Found:
    """What a file holds: answers in the form that the store takes, and what is wrong, by kind."""

    answers: list[dict[str, Any]] = field(default_factory=list)
    faults: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    unanswered: dict[str, int] = field(default_factory=lambda: defaultdict(int))  # rows without a label, by rater
    repeated: int = 0

    @property
    def silent(self) -> list[str]:
        """Raters who stand in the file without a single answer."""
        return sorted(set(self.unanswered) - {answer["rater"] for answer in self.answers})

    def report(self, file: str) -> str:
        """Return every kind of fault with its count and its first rows."""
        lines = [f"{file}: {sum(map(len, self.faults.values())):,} rows cannot be imported, so nothing was."]
        for kind, rows in self.faults.items():
            lines.append(f"  {kind} ({len(rows):,}): {first_rows(rows)}")
        return "\n".join([*lines, "Correct the file, or leave such rows out with --skip-faulty."])


def import_file(
    study: Study,
    task: str,
    path: Path,
    given: Sequence[str] = (),
    skip_faulty: bool = False,
    pages_file: Path | None = None,
) -> str:
    """Take a file of judgments into the study's store, and return in words what came of it.

    given: `name=column` texts, see `column_map`. skip_faulty: take the rows that are right, and report the others.
    pages_file: pages of one's own that were judged; default: what the screens show, or the study's own items.
    Raises RecenterError, and imports nothing, where any row is wrong otherwise.
    """
    what = find_task(task)
    store_path = study.answers_path(what.name)
    # Pages that annotators have in hand stay as they are, with their check items.
    held = _in_hand(store_path) if pages_file is None else []
    pages = held or task_pages(study, what, pages_file)
    items = {item.item_id: item.attribute for page in pages for item in page.items}
    found = read(path, column_map(given), what.scale, items)
    if found.faults and not skip_faulty:
        raise RecenterError(found.report(str(path)))
    if not found.answers:
        raise RecenterError(f"{path} holds no answer that can be imported.")
    with Store(store_path) as store:
        if not held:
            store.prepare(what.name, pages, what.scale.task)
        counts = store.import_answers(found.answers, f"import:{provenance.file_hash(path)}", skip_faulty)
    said = [f"{counts['added']:,} answers imported, {counts['already']:,} were there already."]
    if counts["different"]:
        said.append(f"Left out: {counts['different']:,} that differ from what the same rater said before.")
    if found.faults:
        kinds = [f"{len(rows):,} {kind} ({first_rows(rows)})" for kind, rows in found.faults.items()]
        said.append(f"Left out: {', '.join(kinds)}.")
    if found.repeated:
        said.append(f"{found.repeated:,} rows repeat an answer.")
    if found.unanswered:
        said.append(f"{sum(found.unanswered.values()):,} rows have no label.")
    if found.silent:
        said.append(f"No answer at all by: {', '.join(found.silent)}.")
    return " ".join(said)


def _in_hand(path: Path) -> list[Page]:
    """Return the pages that the screens show, if any annotator has been handed one."""
    if not path.is_file():
        return []
    with Store(path) as store:
        return store.pages() if store.handed_out() else []


def column_map(given: Sequence[str]) -> dict[str, str]:
    """Return `item=ID rater=WHO` texts as a mapping; raise on a name that stands for nothing here.

    What is not given is looked for under its own name.
    """
    mapped = {name: name for name in NEEDED}
    for text in given:
        name, found, column = text.partition("=")
        name = name.strip()
        if not found or not column.strip():
            raise RecenterError(f"--map takes name=column, such as label=answer; '{text}' is not that.")
        if name not in NEEDED + OPTIONAL:
            raise RecenterError(f"--map has no '{name}'.{nearest(name, NEEDED + OPTIONAL)}")
        mapped[name] = column.strip()
    return mapped


def read(path: Path, columns: Mapping[str, str], scale: Scale, items: Mapping[str, str]) -> Found:
    """Read a CSV, TSV or JSON-lines file of judgments.

    columns: what each of NEEDED and OPTIONAL is called in the file. items: attribute text by item id, all that there
    is to judge. Labels may be the scale's or the words of its buttons. A preference counts as recoded, 1 generic to
    5 personalised, unless `first_shown` names a column with the response that stood on the left; the buttons' words,
    which are about A and B, need that column.

    Raises RecenterError where the file or a needed column is missing or its text is not UTF-8.
    """
    found = Found()
    first: dict[tuple[str, str], tuple[int, dict[str, Any]]] = {}
    contradicted = set()
    for row, cells in _rows(path, columns):
        answer = _answer(row, cells, scale, items, found)
        if answer is None:
            continue
        who = (answer["rater"], answer["item_id"])
        before, earlier = first.setdefault(who, (row, answer))
        if earlier["label"] != answer["label"]:
            contradicted.add(who)  # which of the two holds, nobody can say
            found.faults["two different answers of one rater to one item"].append(
                f"rows {before} and {row}: {who[0]} on {who[1]} said {earlier['label']} and {answer['label']}"
            )
        found.repeated += earlier is not answer and who not in contradicted
    found.answers = [answer for who, (_, answer) in first.items() if who not in contradicted]
    return found


def _answer(
    row: int, cells: Mapping[str, str], scale: Scale, items: Mapping[str, str], found: Found
) -> dict[str, Any] | None:
    item, rater, said = (cells[name].strip() for name in NEEDED)
    fault = found.faults
    if not rater:
        fault["no rater"].append(f"row {row}")
        return None
    if rater.lower().startswith(PREFIX):
        fault[f"people called {PREFIX}..., as only simulated annotators are"].append(f"row {row}: '{rater}'")
        return None
    if not rater.isprintable():
        fault["a rater's name that cannot be printed"].append(f"row {row}: {rater!r}")
        return None
    if not said:
        found.unanswered[rater] += 1
        return None
    if item not in items:
        fault["unknown items"].append(f"row {row}: '{item}'")
        return None
    label = scale.find(said)
    if label is None:
        fault[f"labels outside the scale ({', '.join(scale.labels)})"].append(f"row {row}: '{said}'")
        return None
    if "attribute" in cells and cells["attribute"].strip() != items[item].strip():
        fault["another wording than the study's"].append(f"row {row}: '{cells['attribute'].strip()[:60]}'")
        return None
    shown = cells.get("first_shown", "").strip().lower() or None
    if shown not in (None, "generic", "personalised"):
        fault["first_shown is neither generic nor personalised"].append(f"row {row}: '{shown}'")
        return None
    if scale is PREFERENCE and shown is None and said != label:
        fault["words about A and B, but no first_shown to say which response A was"].append(f"row {row}: '{said}'")
        return None
    if shown == "personalised":  # A was the personalised one: turn the scale round
        label = scale.labels[::-1][scale.labels.index(label)]
    flagged = cells.get("flagged", "").strip().lower()
    if flagged not in _YES | _NO:
        fault["flagged is neither yes nor no"].append(f"row {row}: '{flagged}'")
        return None
    try:
        at = _time(cells.get("answered_at", ""))
    except (ValueError, OverflowError):
        fault["answered_at is no ISO date and time"].append(f"row {row}: '{cells['answered_at']}'")
        return None
    note = cells.get("note", "").strip() or None
    return {
        "item_id": item,
        "rater": rater,
        "label": label,
        "note": note,
        "flagged": flagged in _YES,
        "first_shown": shown,
        "answered_at": at,
    }


def _time(text: str) -> datetime | None:
    if not text.strip():
        return None
    at = datetime.fromisoformat(text.strip())
    return at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC)


def _rows(path: Path, columns: Mapping[str, str]) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield (row, cells by our names): rows from 1, a CSV file's header being row 1."""
    text = _text(path)
    if path.suffix.lower() in (".jsonl", ".ndjson"):
        yield from _json_rows(path, text, columns)
        return
    header, _, _ = text.partition("\n")
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=max(",;\t", key=header.count), strict=True)
    try:
        names = [name.strip() for name in next(reader, [])]
        places = {name: _place(path, column, names) for name, column in columns.items()}
        for cells in reader:
            if any(cell.strip() for cell in cells):
                if len(cells) != len(names):
                    raise RecenterError(
                        f"{path}, row {reader.line_num}: {len(cells)} cells where the header has {len(names)}."
                    )
                yield reader.line_num, {name: cells[place] for name, place in places.items()}
    except csv.Error as problem:
        raise RecenterError(f"{path}, row {reader.line_num}: {problem}; nothing was imported.") from None


def _json_rows(path: Path, text: str, columns: Mapping[str, str]) -> Iterator[tuple[int, dict[str, str]]]:
    for row, line in enumerate(text.split("\n"), 1):
        if line.strip():
            try:
                value = parse(line)
            except ValueError as problem:
                raise RecenterError(f"{path}, line {row}: {problem}; nothing was imported.") from None
            if not isinstance(value, dict):
                raise RecenterError(f"{path}, line {row}: not a JSON object; nothing was imported.")
            for column in columns.values():
                _place(path, column, list(value))
            yield row, {name: "" if value[c] is None else cleaned(str(value[c]))[0] for name, c in columns.items()}


def _place(path: Path, column: str, names: Sequence[str]) -> int:
    if column not in names:
        raise RecenterError(f"{path} has no column '{column}'.{nearest(column, names)} Name it with --map.")
    return names.index(column)


def _text(path: Path) -> str:
    try:
        data = path.read_bytes()
    except OSError as problem:
        raise RecenterError(f"{path} cannot be read: {problem.strerror}.") from None
    try:
        # Spreadsheets write UTF-16 with a mark at its beginning.
        text = data.decode("utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
    except UnicodeDecodeError as problem:
        row = data[: problem.start].count(b"\n") + 1
        raise RecenterError(
            f"{path}, row {row}: the text is not {problem.encoding.upper()} ({data[problem.start : problem.end]!r}); a "
            "file of mixed encodings cannot be trusted. Save it as UTF-8; nothing was imported."
        ) from None
    if "\0" in text:
        raise RecenterError(f"{path} is not a text file (it holds zero bytes); save it as CSV in UTF-8.")
    return text
