"""Every figure of the book, from tidy tables. Each carries its origin in the picture, wherever it is copied to."""

from recenter_utils.figures.attributes import attributes_per_user, confidence
from recenter_utils.figures.failures import failure_shares
from recenter_utils.figures.judgments import annotator_labels, attribute_quality, pairwise_agreement
from recenter_utils.figures.style import finish
from recenter_utils.figures.users import funnel, inter_user, user_map
from recenter_utils.figures.verifiers import before_after, precision_recall

__all__ = [
    "annotator_labels",
    "attribute_quality",
    "attributes_per_user",
    "before_after",
    "confidence",
    "failure_shares",
    "finish",
    "funnel",
    "inter_user",
    "pairwise_agreement",
    "precision_recall",
    "user_map",
]
