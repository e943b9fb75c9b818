"""Every figure of the book, from tidy tables. Each carries its origin in the picture, wherever it is copied to."""

from recenter_utils.figures.attributes import attributes_per_user, confidence
from recenter_utils.figures.style import finish
from recenter_utils.figures.users import funnel, inter_user, user_map

__all__ = ["attributes_per_user", "confidence", "finish", "funnel", "inter_user", "user_map"]
