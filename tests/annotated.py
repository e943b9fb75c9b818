"""The demo's simulated annotators on the demo's truth, without running the demo."""

from __future__ import annotations

import polars as pl

from recenter_utils.annotation import judgments, simulation
from tests.workspaces import ROOT

TRUTH = ROOT / "data" / "demo" / "truth"
DEMO = simulation.annotators(TRUTH)


def demo_items() -> pl.DataFrame:
    """Return the attributes of the demo's truth, a page a user, in an order in which sources are mixed."""
    known = simulation.truth(TRUTH)
    users = known["user_id"].unique().sort().sample(fraction=1, shuffle=True, seed=4)
    pages = pl.DataFrame({"user_id": users}).with_row_index("page").cast({"page": pl.Int64})
    source = pl.col("user_id").str.split("/").list.first()
    return (
        known.with_row_index("n")
        .join(pages, on="user_id")
        .with_columns(
            item_id=pl.format("i{}", pl.col("n").cast(pl.String).str.zfill(4)),
            source=source,
            kind=pl.when(source == "chat").then(pl.lit("real")).otherwise(pl.lit("synthetic")),
        )
    )


def simulate(items: pl.DataFrame, seed: int, who: simulation.Annotators = DEMO) -> pl.DataFrame:
    """Return judgments of the demo's annotators, or of others, in the columns of the codebook."""
    found = simulation.simulate(items, who, seed).with_columns(rater_kind=pl.lit("simulated"))
    return judgments._as_judgments(found, "attribute_quality")
