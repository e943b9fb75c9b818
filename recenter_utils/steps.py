"""A step of a study: one notebook run on it, what decides whether it is up to date, and what it recorded."""

from __future__ import annotations

import ast
import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from recenter_utils import notebooks, provenance, published
from recenter_utils.corpora import module_name
from recenter_utils.declarations import Declaration, declarations
from recenter_utils.inference.models import MODELS_FILE, Model
from recenter_utils.inference.prompts import load_prompt
from recenter_utils.study import Study

PACKAGE = Path(__file__).parent


@dataclass(frozen=True)
class Step:
    """One notebook of one study, with the parameters of this run."""

    entry: Declaration
    study: Study
    parameters: Mapping[str, Any]

    @property
    def name(self) -> str:
        """The notebook's name."""
        return self.entry.name

    @property
    def notebook(self) -> Path:
        """The notebook as it is stored, without outputs."""
        return self.entry.path(self.study.root)

    @property
    def executed(self) -> Path:
        """The notebook as it ran."""
        return self.study.folder / "runs" / f"{self.name}.ipynb"

    @property
    def failed(self) -> Path:
        """What a failed run left."""
        return self.study.folder / "runs" / f"{self.name}.failed.ipynb"

    @property
    def stamp(self) -> Path:
        """What Snakemake sees of a finished notebook. Tables are replaced by us alone, so that a failure costs none."""
        return self.study.folder / "runs" / f"{self.name}.done"

    @property
    def inputs(self) -> list[Path]:
        """What Snakemake watches: the notebook, and the stamps of those that write what it reads."""
        writers = [entry for entry in declarations(self.study.root) if set(entry.writes) & set(self.entry.reads)]
        return [self.notebook, *(Step(entry, self.study, {}).stamp for entry in writers)]

    def seen_from_study(self, path: Path) -> str:
        """Return a path relative to the study's folder, so that what Snakemake remembers survives a move."""
        return Path(os.path.relpath(path, self.study.folder)).as_posix()

    def state(self) -> dict[str, Any]:
        """Return what decides the result besides its tables: settings, models, prompts, corpora, code, parameters.

        Models stand as hashes of what decides their answers: addresses, prices and retries rerun nothing, and no
        option that somebody put into the models file travels into a notebook.
        """
        sources = self.study.settings.sources if self.entry.corpora else ()
        loaders = [module_name(source.format) for source in sources]
        return {
            "settings": self.study.settings.parts(self.entry.settings),
            "models": self._model_hashes(),
            "prompts": {task: load_prompt(task).version for task in self.entry.tasks},
            "corpora": {source.name: provenance.fingerprint(self.study.source_path(source)) for source in sources},
            "notebook": provenance.file_hash(self.notebook),
            "code": code_hash(self.notebook, loaders),
            "parameters": dict(self.parameters),
            **self._answers(),
            **self._files(),
            **self._published(),
        }

    def _answers(self) -> dict[str, Any]:
        """Return what is known of people's answers, where the notebook reads any."""
        if not self.entry.answers:
            return {}
        truth = self.study.simulated
        known = {task: provenance.answers_fingerprint(self.study.answers_path(task)) for task in self.entry.answers}
        return {"answers": known | ({"simulated": provenance.fingerprint(truth)} if truth else {})}

    def _files(self) -> dict[str, Any]:
        """Return what is known of the files that settings name, where the notebook reads any."""
        named = {setting: self.study.named_paths(setting) for setting in self.entry.files}
        known = {setting: ",".join(map(provenance.fingerprint, paths)) or "none" for setting, paths in named.items()}
        return {"files": known} if known else {}

    def _published(self) -> dict[str, Any]:
        """Return what is known of the paper's numbers, where the notebook shows any."""
        root = self.study.root
        known = {name: provenance.fingerprint(published.path_of(name, root)) for name in self.entry.published}
        return {"published": known} if known else {}

    def models(self) -> list[tuple[str, Model]]:
        """Return the models that the notebook asks, each with its role."""
        roles = [name.partition(".")[2] for name in self.entry.settings if name.startswith("models.")]
        return [(role, model) for role in roles if role != "embedding" for model in self.study.models_of(role)]

    def _model_hashes(self) -> dict[str, str]:
        hashes = {}
        for role, model in self.models():
            decides = [model.engine, model.asked_name, model.sampling, model.decisive_options, model.json_schema]
            text = json.dumps([*decides, model.context_length], sort_keys=True, default=str)
            hashes[f"{role}.{model.name}"] = hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
        return hashes

    def record(self) -> dict[str, Any]:
        """Return what an executed notebook remembers: state, hashes of tables in and out, requests left unanswered."""
        written = [self.study.table_path(name) for name in self.entry.writes]
        return {
            "state": self.state(),
            "inputs": {name: provenance.file_hash(self.study.table_path(name)) for name in self.entry.reads},
            "outputs": dict(zip(self.entry.writes, map(provenance.file_hash, written), strict=True)),
            "unanswered": sum(provenance.read(path).unanswered for path in written),
        }

    def recorded(self) -> dict[str, Any] | None:
        """Return what the executed notebook remembers; None where there is none."""
        if not self.executed.is_file():
            return None
        return notebooks.read(self.executed)["metadata"].get("recenter")

    def changed(self) -> list[str]:
        """Return which parts of the state are no longer what the executed notebook ran on."""
        now, remembered = self.state(), (self.recorded() or {}).get("state", {})
        # Compared as JSON, which knows no tuples.
        return [part for part in now if json.loads(json.dumps(now[part])) != remembered.get(part)]

    def stale_tables(self) -> list[str]:
        """Return tables that are no longer what the executed notebook read or wrote."""
        remembered = self.recorded() or {}
        tables = {**remembered.get("inputs", {}), **remembered.get("outputs", {})}
        return [name for name, known in tables.items() if _hash(self.study.table_path(name)) != known]

    def condition(self) -> str:
        """Return `up to date`, or why the notebook would run."""
        remembered = self.recorded()
        if remembered is None:
            return "failed" if self.failed.is_file() else "has not run"
        tried = "; the last try failed" if self.failed.is_file() else ""
        if changed := self.changed() + [f"table {name}" for name in self.stale_tables()]:
            return f"out of date: {', '.join(changed)} changed{tried}"
        if unanswered := remembered["unanswered"]:
            return f"unfinished: {unanswered:,} requests got no answer{tried}"
        return "up to date"


def steps(study: Study, assigned: Mapping[str, Mapping[str, Any]] | None = None) -> list[Step]:
    """Return the study's steps in reading order, with parameters by notebook."""
    return [Step(entry, study, (assigned or {}).get(entry.name, {})) for entry in declarations(study.root)]


def code_hash(notebook: Path, loaded: Iterable[str] = ()) -> str:
    """Return a hash of the package modules that a notebook uses, directly or through others.

    Found by reading the import statements, so that a change in one module reruns the notebooks which use it and
    no others. `loaded` names modules that are imported by name only. Data files beside a module count with it.
    """
    todo, seen = list(_imported(notebooks.code(notebooks.read(notebook)))), set[Path]()
    todo += [path for name in loaded for path in _files(name)]
    while todo:
        path = todo.pop()
        if path not in seen:
            seen.add(path)
            todo.extend(_imports_of(path))
    digest = hashlib.blake2b(digest_size=8)
    data = {path for folder in {path.parent for path in seen} for path in folder.glob("*.yaml")} - {MODELS_FILE}
    for path in sorted(seen | data):
        digest.update(f"{path.relative_to(PACKAGE)}\n".encode() + path.read_bytes())
    return digest.hexdigest()


@cache
def _imports_of(path: Path) -> tuple[Path, ...]:
    return tuple(_imported(path.read_text(encoding="utf-8")))


def _imported(source: str) -> set[Path]:
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return {path for name in names if name.split(".")[0] == PACKAGE.name for path in _files(name)}


def _files(name: str) -> list[Path]:
    base = PACKAGE.joinpath(*name.split(".")[1:])
    return [path for path in (base.with_suffix(".py"), base / "__init__.py") if path.is_file()]


def _hash(path: Path) -> str | None:
    return provenance.file_hash(path) if path.is_file() else None
