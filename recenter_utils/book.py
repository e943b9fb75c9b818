"""The book: executed notebooks and prose, rendered and never executed, readable without a network."""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from recenter_utils import content_policy, notebooks, privacy, reference
from recenter_utils.errors import RecenterError
from recenter_utils.steps import Step, steps
from recenter_utils.study import Study

#: The notebook that opens the book.
FRONT = "29-front"

#: jupyter-book's own command, which turns _config.yml and _toc.yml into Sphinx's conf.py.
_CONFIGURE = "from jupyter_book.cli.main import main; main()"


def build(study: Study, output: Path | None = None) -> tuple[Path, bool]:
    """Render the study's book into `output`; return its index page, and whether anything had to be built.

    Refuses, naming the notebook, where one has not run or was run on tables that have changed since; and, naming the
    page, where one holds what must not be published (see `privacy`).
    """
    plan = steps(study)
    _refuse_stale(study, plan)
    target, work = output or _home(study) / "html", _home(study) / "work"
    source = work / "source"
    _assemble(study, plan, source)
    stamp, fresh = target / ".recenter-stamp", _tree_hash(source)
    index = target / "index.html"
    if index.is_file() and stamp.is_file() and stamp.read_text("utf-8") == fresh:
        return index, False
    pages = work / "html"
    shutil.rmtree(pages, ignore_errors=True)
    _sphinx(source, pages, work / "doctrees")
    _add_libraries(pages / "_static")
    content_policy.seal(pages)
    privacy.refuse(study, pages)
    (pages / stamp.name).write_text(fresh, "utf-8")
    # Swapped whole, so that a failed build costs no book, and no page or picture of an older one is left in it.
    shutil.rmtree(target, ignore_errors=True)
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.move(pages, target)
    return index, True


def _home(study: Study) -> Path:
    """Where a study's book is built: the demo's under book/_build, a study elsewhere keeps its own."""
    if not study.in_workspace:
        return study.folder / "book"
    return study.root / "book" / "_build" / ("" if study.name == "demo" else f"study-{study.name}")


def _refuse_stale(study: Study, plan: list[Step]) -> None:
    for step in plan:
        if not step.executed.is_file():
            raise RecenterError(
                f"Notebook {step.name} did not run on '{study.name}': first 'recenter run {study.reference}'."
            )
        if stale := step.stale_tables():
            raise RecenterError(
                f"Notebook {step.name} was run on another version of table '{stale[0]}' of '{study.name}' than the one "
                f"on disk, so its page would not be true: first 'recenter run {study.reference}'."
            )
        # Among these is publish_text: what may be shown is decided by the file as it is now.
        if "settings" in step.changed():
            raise RecenterError(
                f"study.yaml of '{study.name}' has changed since notebook {step.name} ran: "
                f"first 'recenter run {study.reference}'."
            )


def _assemble(study: Study, plan: list[Step], source: Path) -> None:
    """Write the book's source tree: pages and configuration, generated pages, executed notebooks."""
    if source.is_dir():
        shutil.rmtree(source)
    book = study.root / "book"
    shutil.copytree(book, source, ignore=shutil.ignore_patterns("_build"))
    for name, text in reference.pages(study).items():
        (source / f"{name}.md").write_text(text, "utf-8")
    (source / "notebooks").mkdir()
    for step in plan:
        notebook = notebooks.read(step.executed)
        _dress(notebook, "remove-input" if step.name == FRONT else "hide-input")
        if step.name == FRONT:
            notebooks.write(_at_root(notebook), source / "index.ipynb")
        else:
            notebooks.write(notebook, source / "notebooks" / f"{step.name}.ipynb")
    contents = yaml.safe_load((source / "_toc.yml").read_text("utf-8"))
    listed = [chapter["file"] for part in contents["parts"] for chapter in part["chapters"]]
    if missing := [step.name for step in plan if step.name != FRONT and f"notebooks/{step.name}" not in listed]:
        raise RecenterError(f"book/_toc.yml does not list notebooks/{missing[0]}: add it where it is to be read.")


def _at_root(notebook: dict[str, Any]) -> dict[str, Any]:
    """Return the front page with its links as they are from the book's first folder."""
    for cell in notebook["cells"]:
        if cell["cell_type"] == "markdown":
            text = re.sub(r"\]\((?=\d\d-[\w-]+\.ipynb)", "](notebooks/", cell["source"])
            cell["source"] = text.replace("](../book/", "](")
    return notebook


def _dress(notebook: dict[str, Any], code: str) -> None:
    """Leave out of a page, and of the notebook that it offers for download, what is no reader's business.

    That is the cell that papermill put in (paths of this machine; the page's header names what it changed), the
    record of the run, and what went to standard error (progress, and warnings with paths). code: `hide-input` folds
    code away, `remove-input` leaves it out.
    """
    notebook["metadata"].pop("recenter", None)
    notebook["cells"] = [c for c in notebook["cells"] if "injected-parameters" not in c["metadata"]["tags"]]
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            cell["metadata"]["tags"].append(code)
            cell["outputs"] = [output for output in cell["outputs"] if output.get("name") != "stderr"]
            for output in cell["outputs"]:
                _without_library(output.get("data", {}))


def _without_library(shown: dict[str, Any]) -> None:
    """Take the library of a table to search out of an output: in the book it is a file."""
    text = "".join(shown.get("text/html", ""))
    if 'class="searchable"' in text:
        from recenter_utils import searchable  # not for commands that build no book

        shown["text/html"] = text.replace(searchable.library(), "")


def _sphinx(source: Path, target: Path, doctrees: Path) -> None:
    _do([sys.executable, "-c", _CONFIGURE, "config", "sphinx", str(source)])
    # Without the extension that runs a reader's code on a server: its script is on each page twice, and fails.
    made = source / "conf.py"
    made.write_text(made.read_text("utf-8").replace("'sphinx_thebe', ", ""), "utf-8")
    # Warnings are errors: a page with a broken link or a figure without a file is not published.
    strict = ["-W", "--keep-going", "-q", "-b", "html", "-d", str(doctrees)]
    _do([sys.executable, "-m", "sphinx", *strict, str(source), str(target)])


def _add_libraries(static: Path) -> None:
    """Put what only some pages load beside the files that Sphinx has every page load."""
    from recenter_utils import searchable  # this and plotly: not for commands that build no book
    from recenter_utils.figures.interactive import LIBRARY

    shutil.copy2(LIBRARY, static)
    searchable.write_library(static)


def _do(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        said = "\n".join((done.stdout + done.stderr).strip().splitlines()[-12:])
        raise RecenterError(f"The book could not be built:\n{said}")


def _tree_hash(folder: Path) -> str:
    digest = hashlib.blake2b(digest_size=12)
    for path in sorted(p for p in folder.rglob("*") if p.is_file() and p.name != "conf.py"):
        digest.update(f"{path.relative_to(folder)}\n".encode() + path.read_bytes())
    return digest.hexdigest()
