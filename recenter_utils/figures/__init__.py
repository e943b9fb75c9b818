"""Every figure of the book, from tidy tables. Each carries its origin in the picture, wherever it is copied to."""

from recenter_utils.figures.attributes import attributes_per_user, confidence
from recenter_utils.figures.calibration import calibration
from recenter_utils.figures.failures import failure_shares
from recenter_utils.figures.grpo import grpo_curves
from recenter_utils.figures.judgments import annotator_labels, attribute_quality, pairwise_agreement
from recenter_utils.figures.pairing import pairs_per_request
from recenter_utils.figures.raters import yes_rates
from recenter_utils.figures.relevance import kappa_matrix, matched_thresholds
from recenter_utils.figures.retrieval import retrieval_curves
from recenter_utils.figures.selection import ceiling, learning, selection_quality, selector_curve
from recenter_utils.figures.stand_ins import stand_ins
from recenter_utils.figures.style import finish
from recenter_utils.figures.users import funnel, inter_user, user_map
from recenter_utils.figures.verifiers import before_after, precision_recall

__all__ = [
    "annotator_labels",
    "attribute_quality",
    "attributes_per_user",
    "before_after",
    "calibration",
    "ceiling",
    "confidence",
    "failure_shares",
    "finish",
    "funnel",
    "grpo_curves",
    "inter_user",
    "kappa_matrix",
    "learning",
    "matched_thresholds",
    "pairs_per_request",
    "pairwise_agreement",
    "precision_recall",
    "retrieval_curves",
    "selection_quality",
    "selector_curve",
    "stand_ins",
    "user_map",
    "yes_rates",
]
