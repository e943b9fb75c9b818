"""What every notebook reads, writes and depends on, as notebooks/order.yaml declares it."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from recenter_utils.errors import RecenterError, nearest


class Resources(BaseModel):
    """What a notebook may take of a machine. A cluster is asked for it; see `resources.taken`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    #: What of the study may need a GPU: the models that the notebook asks, or a section of study.yaml that trains.
    gpu: tuple[Literal["models", "verifier", "selector", "grpo", "reward"], ...] = ()
    memory_gb: float = Field(4, gt=0)  # besides what goes with a GPU
    hours: float = Field(2, gt=0)


class Declaration(BaseModel):
    """One notebook's entry."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    reads: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()
    settings: tuple[str, ...] = ()  # parts of study.yaml, such as `merging` or `models.embedding`
    tasks: tuple[str, ...] = ()  # prompts it asks with
    corpora: bool = False  # reads the sources themselves
    answers: tuple[str, ...] = ()  # tasks whose answers by people it reads
    files: tuple[str, ...] = ()  # settings that name files or folders it reads, such as `annotation.checked_failures`
    published: tuple[str, ...] = ()  # the paper's numbers it shows, by file of data/published: `figure-3`
    resources: Resources = Resources()

    def path(self, root: Path) -> Path:
        """Where the notebook stands."""
        return root / "notebooks" / f"{self.name}.ipynb"


def declarations(root: Path) -> list[Declaration]:
    """Return every notebook's declaration, in reading order."""
    path = root / "notebooks" / "order.yaml"
    entries = yaml.safe_load(path.read_text(encoding="utf-8"))
    try:
        return [Declaration(name=name, **(entry or {})) for name, entry in entries.items()]
    except (ValidationError, TypeError, AttributeError) as problem:
        raise RecenterError(f"{path}: {' '.join(str(problem).split())}") from None


def declaration(notebook: str, root: Path) -> Declaration:
    """Return one notebook's declaration by name, by number (`03`) or by the words after it (`merging`)."""
    known = declarations(root)
    for entry in known:
        number, _, words = entry.name.partition("-")
        if notebook.removesuffix(".ipynb") in (entry.name, number, str(int(number)), words):
            return entry
    raise RecenterError(f"There is no notebook '{notebook}'.{nearest(notebook, [entry.name for entry in known])}")
