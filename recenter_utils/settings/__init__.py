"""study.yaml: what a study is made of, checked when it is loaded."""

from recenter_utils.settings.attributes import (
    Annotation,
    Extraction,
    Merging,
    Sampling,
    Source,
    UserRules,
    Verifier,
)
from recenter_utils.settings.encoder import Encoder
from recenter_utils.settings.relevance import Calibration, Grpo, Pairing, Replacement, Selector
from recenter_utils.settings.responses import Planning, Preferences, Responses, Reward
from recenter_utils.settings.section import Origin, Section
from recenter_utils.settings.study import Models, Settings, check, load

__all__ = [
    "Annotation",
    "Calibration",
    "Encoder",
    "Extraction",
    "Grpo",
    "Merging",
    "Models",
    "Origin",
    "Pairing",
    "Planning",
    "Preferences",
    "Replacement",
    "Responses",
    "Reward",
    "Sampling",
    "Section",
    "Selector",
    "Settings",
    "Source",
    "UserRules",
    "Verifier",
    "check",
    "load",
]
