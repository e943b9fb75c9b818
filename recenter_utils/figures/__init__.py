"""Every figure of the book, from tidy tables. Each carries its origin in the picture, wherever it is copied to."""

from recenter_utils.figures.attributes import attributes_per_user, confidence
from recenter_utils.figures.calibration import calibration
from recenter_utils.figures.failures import failure_shares
from recenter_utils.figures.front import answer
from recenter_utils.figures.grpo import grpo_curves
from recenter_utils.figures.interactive import kappa_explorer
from recenter_utils.figures.judgments import annotator_labels, attribute_quality, pairwise_agreement
from recenter_utils.figures.ledger import ledger, printed_and_found
from recenter_utils.figures.mentions import generators_and_judges, mention_gaps, mention_rates
from recenter_utils.figures.pairing import pairs_per_request
from recenter_utils.figures.planning import power_curves
from recenter_utils.figures.preferences import generator_ratings, models_beside_annotators
from recenter_utils.figures.raters import mean_ratings, position_bias, yes_rates
from recenter_utils.figures.relevance import kappa_matrix, matched_thresholds
from recenter_utils.figures.responses import responses
from recenter_utils.figures.retrieval import retrieval_curves
from recenter_utils.figures.rewards import reward_annotators, reward_curve, reward_models
from recenter_utils.figures.selection import ceiling, learning, selection_quality, selector_curve
from recenter_utils.figures.stand_ins import stand_ins
from recenter_utils.figures.style import finish
from recenter_utils.figures.users import funnel, inter_user, user_map
from recenter_utils.figures.verifiers import before_after, precision_recall

__all__ = [
    "annotator_labels",
    "answer",
    "attribute_quality",
    "attributes_per_user",
    "before_after",
    "calibration",
    "ceiling",
    "confidence",
    "failure_shares",
    "finish",
    "funnel",
    "generator_ratings",
    "generators_and_judges",
    "grpo_curves",
    "inter_user",
    "kappa_explorer",
    "kappa_matrix",
    "learning",
    "ledger",
    "matched_thresholds",
    "mean_ratings",
    "mention_gaps",
    "mention_rates",
    "models_beside_annotators",
    "pairs_per_request",
    "pairwise_agreement",
    "position_bias",
    "power_curves",
    "precision_recall",
    "printed_and_found",
    "responses",
    "retrieval_curves",
    "reward_annotators",
    "reward_curve",
    "reward_models",
    "selection_quality",
    "selector_curve",
    "stand_ins",
    "user_map",
    "yes_rates",
]
