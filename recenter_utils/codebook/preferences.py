"""Stage 3: what the preferences come to: ratings by generator, judges beside people, models of them, planning."""

from __future__ import annotations

from recenter_utils.codebook.columns import Table

TABLES: tuple[Table, ...] = ()
