"""A study: its settings, its folders, and the only way in and out of its tables."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import polars as pl

from recenter_utils import provenance, settings, tables
from recenter_utils.declarations import Declaration, declaration
from recenter_utils.errors import RecenterError, nearest
from recenter_utils.inference.models import Model, find_model, load_models
from recenter_utils.inference.vectors import STORE

if TYPE_CHECKING:
    import pandas as pd


def find_root() -> Path:
    """Return the workspace: `RECENTER_ROOT`, or the nearest folder upwards that holds notebooks and data."""
    if given := os.environ.get("RECENTER_ROOT"):
        return Path(given).expanduser().resolve()
    for folder in (Path.cwd(), *Path.cwd().parents, Path(__file__).parents[1]):
        if (folder / "notebooks" / "order.yaml").is_file():
            return folder
    raise RecenterError("No workspace here: go to the folder that holds notebooks/ and data/, or set RECENTER_ROOT.")


class Study:
    """One study, opened. Build it with `Study.open`.

    A study opened by a notebook may only read and write the tables which `notebooks/order.yaml` declares for
    that notebook: the declaration is what reruns are decided on, so it must be true.
    """

    def __init__(self, folder: Path, checked: settings.Settings, caller: Declaration | None, root: Path) -> None:
        self.folder = folder
        self.root = root
        self.name = folder.name
        self.settings = checked
        self.caller = caller
        self.replaced: dict[str, Any] = {}  # settings that differ from the file's in this run
        self._inputs: dict[str, str] = {}
        self._origins: dict[str, str] = {}

    @classmethod
    def open(cls, study: str, notebook: str | None = None, **sections: Any) -> Self:
        """Open the study called `study` (or the folder of that path), with settings replaced for this run.

        >>> Study.open("demo", notebook="03-merging", merging={"similarity": 0.8})  # doctest: +SKIP

        A replacement of None leaves the study's own setting. Raises RecenterError on unknown names.
        """
        root = find_root()
        folder = study_folder(study, root)
        checked = settings.load(folder / "study.yaml").replace(**sections)
        caller = declaration(notebook, root) if notebook else None
        opened = cls(folder, checked, caller, root)
        opened.replaced = {
            f"{section}.{key}" if isinstance(values, dict) else section: value
            for section, values in sections.items()
            for key, value in (values.items() if isinstance(values, dict) else [("", values)])
            if value is not None
        }
        return opened

    @property
    def reference(self) -> str:
        """What `Study.open` finds this study by: its name under data/, elsewhere its path."""
        return self.name if self.in_workspace else self.folder.as_posix()

    @property
    def in_workspace(self) -> bool:
        """Whether it stands under data/. One that stands elsewhere keeps its figures and book to itself."""
        return self.folder.parent == self.root / "data"

    @cached_property
    def models(self) -> dict[str, Model]:
        """Every model that the study can name: the package's and those of its own models.yaml."""
        return load_models(self.folder / "models.yaml")

    def model(self, role: str) -> Model:
        """Return the model that study.yaml gives a role such as `extraction`."""
        return self.models_of(role)[0]

    def models_of(self, role: str) -> list[Model]:
        """Return the models that study.yaml gives a role: one, or several for `verifiers`."""
        named = getattr(self.settings.models, role)
        where = f"{self.folder / 'study.yaml'}, models.{role}"
        return [find_model(name, self.models, where) for name in ([named] if isinstance(named, str) else named)]

    @property
    def cache(self) -> Path:
        """The file of stored answers."""
        return self.folder / "cache" / "answers.sqlite"

    @property
    def embedding_cache(self) -> Path:
        """The file of stored embeddings."""
        return self.folder / "cache" / STORE

    @property
    def staging(self) -> Path:
        """A folder for what a notebook keeps only while it runs."""
        return self.folder / "cache" / f"staging-{os.getpid()}"

    @property
    def figures(self) -> Path:
        """The folder of the study's figures."""
        return self.root / "figures" / self.name if self.in_workspace else self.folder / "figures"

    def table_path(self, name: str) -> Path:
        """Where the table called `name` stands, whether it is there yet or not."""
        return self.folder / "tables" / f"{tables.table(name).name}.parquet"

    def answers_path(self, task: str) -> Path:
        """Where the answers of people to a task are kept, whether there are any yet or not."""
        return self.folder / "annotation" / f"{task}.sqlite"

    @property
    def simulated(self) -> Path | None:
        """The folder of the truth from which annotators are simulated; None in a study of people."""
        return self.folder / self.settings.annotation.simulated if self.settings.annotation.simulated else None

    def source_path(self, source: settings.Source) -> Path:
        """Where a source's file or folder stands."""
        return (self.folder / Path(source.path).expanduser()).resolve()

    # -- reading ------------------------------------------------------------------------------------------

    def scan(self, name: str) -> pl.LazyFrame:
        """Return a table lazily: for tables that may not fit in memory."""
        path = self.table_path(name)
        self._allow("reads", name)
        if not path.is_file():
            raise RecenterError(f"Study '{self.name}' has no table '{name}' yet: 'recenter run {self.name}' makes it.")
        self._origins[name] = provenance.read(path).origin
        self._inputs[name] = provenance.file_hash(path)
        return pl.scan_parquet(path)

    def frame(self, name: str) -> pl.DataFrame:
        """Return a table as a polars frame."""
        return self.scan(name).collect()

    def read(self, name: str) -> pd.DataFrame:
        """Return a table as a pandas frame; list columns hold Python lists."""
        import pandas as pd

        frame = self.frame(name)
        nested = [column for column, dtype in frame.schema.items() if dtype == pl.List]
        plain = frame.drop(nested).to_pandas()
        for column in nested:
            plain[column] = pd.Series(frame[column].to_list(), index=plain.index, dtype=object)
        return plain[frame.columns]

    def read_source(self, source: settings.Source) -> Path:
        """Record that a corpus is being read, and return its path."""
        path = self.source_path(source)
        if path.exists():
            self._inputs[f"source:{source.name}"] = provenance.fingerprint(path)
        self._origins[f"source:{source.name}"] = source.origin
        return path

    def read_answers(self, task: str) -> Path:
        """Record that the answers of people to a task are being read, and return their store's path."""
        if self.caller and task not in self.caller.answers:
            raise RecenterError(
                f"Notebook '{self.caller.name}' reads answers to '{task}', but notebooks/order.yaml does not say so: "
                "add it under 'answers'."
            )
        self._inputs[f"answers:{task}"] = provenance.answers_fingerprint(self.answers_path(task))
        return self.answers_path(task)

    def named_paths(self, setting: str) -> list[Path]:
        """Where the files or folders stand that a setting such as `annotation.checked_failures` names, if it does."""
        named = self.settings.parts([setting])[setting] or []
        return [self.folder / Path(one).expanduser() for one in ([named] if isinstance(named, str) else named)]

    def read_named(self, setting: str, origin: str) -> Path | None:
        """Record that what a setting names is being read, and who made it; return its path, or None."""
        if self.caller and setting not in self.caller.files:
            raise RecenterError(
                f"Notebook '{self.caller.name}' reads what '{setting}' names, but notebooks/order.yaml does not say "
                "so: add it under 'files'."
            )
        path = next(iter(self.named_paths(setting)), None)
        if path is not None:
            self._inputs[f"file:{setting}"] = provenance.fingerprint(path)
            self._origins[f"file:{setting}"] = origin
        return path

    def rests_on(self, origin: str) -> None:
        """Record that what is shown rests on what is no table, such as the paper's numbers, and its origin."""
        self._origins[f"given:{origin}"] = origin

    @property
    def origin(self) -> str:
        """Origin of all that was read or made here so far, joined: what is made from it carries at least this."""
        return provenance.join(self._origins.values())

    # -- writing ------------------------------------------------------------------------------------------

    def write(
        self,
        name: str,
        frame: pd.DataFrame | pl.DataFrame | pl.LazyFrame,
        made_by: str = "",
        unanswered: int = 0,
    ) -> None:
        """Check a table against its schema and store it whole or not at all.

        `made_by` adds an origin of its own to those of what was read: `model` where a model wrote values.
        `unanswered` counts requests that are worth asking again: a notebook whose tables have any counts as unfinished.
        Lazy frames are stored in a stream; their types and their key are checked, not each value.
        """
        self._allow("writes", name)
        path = self.table_path(name)
        self._origins[f"made:{name}"] = made_by
        record = provenance.Provenance(
            table=name,
            origin=self.origin,
            notebook=self.caller.name if self.caller else None,
            settings=self._recorded_settings(),
            inputs=dict(sorted(self._inputs.items())),
            unanswered=unanswered,
        )
        metadata = {provenance.METADATA_KEY: record.dumps()}
        if isinstance(frame, pl.LazyFrame):
            lazy = _check_lazy(name, frame)
            _replace(path, lambda partial: lazy.sink_parquet(partial, metadata=metadata, mkdir=True))
        else:
            checked = tables.check(name, frame if isinstance(frame, pl.DataFrame) else pl.from_pandas(frame))
            _replace(path, lambda partial: checked.write_parquet(partial, metadata=metadata, mkdir=True))

    def _recorded_settings(self) -> dict[str, Any]:
        return self.settings.parts(self.caller.settings) if self.caller else self.settings.model_dump(mode="json")

    def _allow(self, what: str, name: str) -> None:
        tables.table(name)
        if (
            self.caller
            and name not in getattr(self.caller, what)
            and not (what == "reads" and name in self.caller.writes)
        ):
            raise RecenterError(
                f"Notebook '{self.caller.name}' {what} '{name}', but notebooks/order.yaml does not say so: "
                f"add it under '{what}'."
            )


def study_folder(study: str, root: Path) -> Path:
    """Return the folder of a study by name or path; raise with the nearest name where there is none."""
    for folder in (root / "data" / study, Path(study).expanduser()):
        if (folder / "study.yaml").is_file():
            return folder.resolve()
    known = [path.parent.name for path in sorted((root / "data").glob("*/study.yaml"))]
    raise RecenterError(f"There is no study '{study}' under {root / 'data'}.{nearest(study, known)}")


def _check_lazy(name: str, frame: pl.LazyFrame) -> pl.LazyFrame:
    spec = tables.table(name)
    frame = frame.select(list(spec.columns)).cast(spec.columns)
    if spec.key:
        rows, distinct = (
            frame.select(pl.len(), pl.struct(spec.key).n_unique().alias("n")).collect(engine="streaming").row(0)
        )
        if rows != distinct:
            raise RecenterError(
                f"Table '{name}' holds {rows - distinct} rows whose {', '.join(spec.key)} is not unique."
            )
    return frame


def _replace(path: Path, write: Callable[[Path], None]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        write(partial)
        partial.replace(path)
    except OSError as problem:
        raise RecenterError(f"Could not write {path}: {problem.strerror or problem}.") from problem
    finally:
        partial.unlink(missing_ok=True)
