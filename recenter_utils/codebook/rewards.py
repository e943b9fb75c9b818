"""Stage 3: reward models: what they are trained on and how well they predict people."""

from __future__ import annotations

from recenter_utils.codebook.columns import Table

TABLES: tuple[Table, ...] = ()
