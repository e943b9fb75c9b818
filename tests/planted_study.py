"""A study whose preferences are planted tables, and notebooks that run on it without those before them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl
import yaml

from recenter_utils import notebooks
from recenter_utils.study import Study
from recenter_utils.tables import table


def raters_of(judgments: pl.DataFrame) -> pl.DataFrame:
    """Return the table `preference_raters` with who there is and how many comparisons they answered."""
    counts = judgments.group_by("rater", "rater_kind", maintain_order=True).len().to_dicts()
    rows = [
        {"rater": row["rater"], "rater_kind": row["rater_kind"], "n_comparisons": row["len"], "n_answered": row["len"]}
        | {"n_unparsed": 0, "n_errors": 0, "excluded": False}
        for row in counts
    ]
    return table("preference_raters").frame(rows)


def mentions_of(explicit: pl.DataFrame) -> pl.DataFrame:
    """Return the table `mentions` by a model that found what was planted. explicit: comparison_id and explicit."""
    found = explicit.with_columns(detector=pl.lit("planted"), detector_kind=pl.lit("llm"))
    return table("mentions").frame(found.to_dicts())


def generation_of(comparisons: pl.DataFrame, identical: Mapping[str, int] | None = None) -> pl.DataFrame:
    """Return the table `generation` of these comparisons. identical: generators' pages with one text twice."""
    same = identical or {}
    pages = dict(comparisons.group_by("generator").agg(pl.col("page_id").n_unique()).sort("generator").iter_rows())
    rows = [
        {"generator": name, "n_pages": pages.get(name, 0) + same.get(name, 0), "n_compared": pages.get(name, 0)}
        | {"n_failed": 0, "n_refused": 0, "n_empty": 0, "n_identical": same.get(name, 0)}
        for name in dict.fromkeys((*pages, *same))
    ]
    return table("generation").frame(rows)


def planted(root: Path, comparisons: pl.DataFrame, judgments: pl.DataFrame, explicit: pl.DataFrame) -> None:
    """Write the tables of stage 3 that analyses of preferences read into the demo of a workspace."""
    change(root, annotation={"excluded": []})
    study = Study.open(str(root / "data" / "demo"))
    study.write("generation", generation_of(comparisons))
    study.write("comparisons", comparisons, "model")
    study.write("preference_judgments", judgments, "simulated")
    study.write("preference_raters", raters_of(judgments))
    study.write("mentions", mentions_of(explicit))


def change(root: Path, **sections: Any) -> None:
    """Change parts of the demo's study file."""
    path = root / "data" / "demo" / "study.yaml"
    settings = yaml.safe_load(path.read_text(encoding="utf-8"))
    for name, values in sections.items():
        settings[name] = settings.get(name, {}) | values
    path.write_text(yaml.safe_dump(settings), encoding="utf-8")


def run(root: Path, name: str) -> str:
    """Run a notebook's code in this process, and return what its tables and claims show, as HTML."""
    shown = []
    space: dict[str, Any] = {}
    for cell in notebooks.read(root / "notebooks" / f"{name}.ipynb")["cells"]:
        if cell["cell_type"] == "code":
            *before, last = cell["source"].strip().split("\n")
            source = cell["source"]
            if last.startswith(("report.", "figures.")):
                source = "\n".join([*before, f"shown_last = {last}"])
            exec(compile(source, name, "exec"), space)
            shown.append(getattr(space.pop("shown_last", None), "data", None))
    return "\n".join(one for one in shown if isinstance(one, str))
