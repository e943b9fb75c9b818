"""What an answer of a reasoning model is worth in GRPO: the right label, and the form of the final line (Appendix F).

The paper derives its reward from the majority label and says no more. Here an answer earns 1 where its final line is
the reference label, and a little (`format_reward`) where it ends with a final line at all; an answer that was cut off
earns nothing. The final line is read exactly as in judging (`RelevanceJudgment.from_text`).

People say yes to about a fifth of the pairs, so *always no* earns most of the reward without reading anything: look at
F1 beside it, which such a model has at 0.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

from recenter_utils.inference.tasks import RELEVANCE_JUDGMENT

Label = Literal["yes", "no"]

#: Raised by hand when the same answer earns something else; `final_line.VERSION` stands for how its line is read.
VERSION = 1


class Reward(NamedTuple):
    """The two parts of a reward; it is their sum."""

    label: float
    format: float


def label_of(text: str, truncated: bool = False) -> Label | None:
    """Return the label that an answer ends with; None where it was cut off or does not end with the final line."""
    read = None if truncated else _read(text)
    return read["label"] if read else None


def reasoning_of(text: str) -> str:
    """Return what stands before the final line; where there is none, the whole answer."""
    read = _read(text)
    return read["reasoning"] if read else text.strip()


def _read(text: str) -> dict[str, Any] | None:
    try:
        return RELEVANCE_JUDGMENT.output.from_text(text).model_dump()
    except ValueError:
        return None


def reward(text: str, reference: str, *, truncated: bool = False, format_reward: float = 0.1) -> Reward:
    """Return what an answer earns.

    text: The answer as it came, with its thinking. reference: `yes` or `no`. truncated: It reached the longest length.
    """
    said = label_of(text, truncated)
    return Reward(float(said == reference), format_reward if said else 0.0)


def compute_score(
    data_source: str, solution_str: str, ground_truth: str, extra_info: Any = None, format_reward: float = 0.1
) -> dict[str, float]:
    """Return an answer's reward as verl wants it: `score`, which is trained on, and its parts, which are logged.

    verl hands over the text alone: an answer that was cut off right behind a final line counts as whole here.
    """
    found = reward(solution_str, ground_truth, format_reward=format_reward)
    return {"score": found.label + found.format, "reward_label": found.label, "reward_format": found.format}
