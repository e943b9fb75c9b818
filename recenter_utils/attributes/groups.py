"""Diversity as tables: the sample that is drawn, and sources beside it (Table 1)."""

from __future__ import annotations

import polars as pl
from numpy.typing import NDArray

from recenter_utils.attributes import diversity
from recenter_utils.tables import table


def draw(merged: pl.DataFrame, vectors: NDArray, users: int, bins: int, seed: int) -> pl.DataFrame:
    """Return the table `user_diversity`: users of real-chat sources, their bins, and who is sampled (Appendix C).

    merged: the table `merged_attributes` with the column `kind`; vectors: unit vectors in the order of its rows.
    """
    real = (merged["kind"] == "real").to_numpy()
    part, part_vectors = merged.filter(real), vectors[real]
    sources = part.select("user_id", "source").unique("user_id", maintain_order=True)
    scored = diversity.bins(diversity.generalist_scores(part, part_vectors, seed), bins)
    names, means = diversity.user_means(part["user_id"], part_vectors)
    order = pl.DataFrame({"user_id": names}, schema={"user_id": pl.String})
    sampled = diversity.sample(order.join(scored, on="user_id", how="left", maintain_order="left"), means, users)
    return sampled.join(sources, on="user_id", how="left", maintain_order="left").select(
        table("user_diversity").columns.names()
    )


def by_group(merged: pl.DataFrame, vectors: NDArray, pool: pl.DataFrame, seed: int) -> pl.DataFrame:
    """Return the table `diversity`: one row a source, and one for the sample where it is not the whole pool."""
    groups = [
        (source, kind, (merged["source"] == source).to_numpy())
        for source, kind in merged.select("source", "kind").unique(maintain_order=True).iter_rows()
    ]
    chosen = pool.filter("sampled")["user_id"]
    if 0 < len(chosen) < len(pool):
        groups.append(("the diverse sample", "real", merged["user_id"].is_in(chosen.implode()).to_numpy()))
    rows = []
    for name, kind, mask in groups:
        found = diversity.inter_user(merged["user_id"].filter(pl.Series(mask)), vectors[mask], seed=seed)
        rows.append({"group": name, "kind": kind, **found._asdict(), "note": found.note or None})
    return table("diversity").frame(rows)


def sentence(groups: pl.DataFrame) -> str:
    """Return the table `diversity` as a sentence: the most diverse real group against the most diverse benchmark."""
    known = groups.drop_nulls("inter_user").sort("inter_user", "group", descending=[True, False])
    parts = {}
    for kind in ("real", "synthetic"):
        top = known.filter(kind=kind).head(1).to_dicts()
        if top:
            row = top[0]
            parts[kind] = (
                f"{row['group']} at {row['inter_user']:.3f} (95% interval {row['low']:.3f} to {row['high']:.3f})"
            )
    if not parts:
        return "Diversity is undefined here: no group has two users with attributes."
    if len(parts) == 1:
        kind, text = next(iter(parts.items()))
        lacking = "synthetic" if kind == "real" else "real"
        return f"The most diverse group is {text}; the study has no {lacking} one to compare it with."
    return f"The most diverse group of real-chat users is {parts['real']}; of benchmarks, {parts['synthetic']}."
