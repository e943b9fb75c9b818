"""Stage 3: what the paper reports beside what a study found."""

from __future__ import annotations

from recenter_utils.codebook.columns import Table

TABLES: tuple[Table, ...] = ()
