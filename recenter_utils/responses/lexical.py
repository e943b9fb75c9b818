"""Whether a response names an attribute of the user outright, by its words alone: the lexical detector.

The reading itself is `inference/rules/naming.py`, from where the rules of embedded models take it too: they import
nothing of a stage.
"""

from __future__ import annotations

from recenter_utils.inference.rules.naming import mentions

__all__ = ["mentions"]
