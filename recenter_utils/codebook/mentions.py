"""Stage 3: explicit mentions of attributes, the gap they make in ratings, and generators beside judges."""

from __future__ import annotations

from recenter_utils.codebook.columns import Table

TABLES: tuple[Table, ...] = ()
