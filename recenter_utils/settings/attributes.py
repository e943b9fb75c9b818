"""The parts of a study file that stage 1 goes by: users, extraction, merging, annotators, verifiers."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from recenter_utils.settings.encoder import Encoder
from recenter_utils.settings.section import Origin, Section


class Source(Section):
    """One corpus of conversations."""

    name: str = Field(pattern=r"^[A-Za-z0-9_-]+$", description="How tables and figures call it.")
    format: Literal["chatlog", "chatgpt", "csv", "wildchat", "oasst", "prefeval", "cupid", "personalens"] = Field(
        description="The loader that reads it."
    )
    path: str = Field(description="File or folder, relative to the study's folder.")
    kind: Literal["real", "synthetic"] = Field("real", description="People's own chats, or a synthetic benchmark.")
    origin: Origin = Field("human", description="Who wrote the user turns.")
    user_is: Literal["user", "conversation"] = Field(
        "user", description="What counts as a user; `conversation` where the source has no user ids."
    )
    filtered: bool | None = Field(None, description="Whether the user filters apply; default: to real sources only.")

    @property
    def filters_apply(self) -> bool:
        """Whether this source's users go through the filters."""
        return self.kind == "real" if self.filtered is None else self.filtered


class UserRules(Section):
    """Which users take part (Appendix A)."""

    language: str = Field("English", description="Language by metadata.")
    detect_language: bool = Field(True, description="Check it with the local identifier.")
    check_language: bool = Field(True, description="Check it with a model, conversation by conversation (I.1).")
    template_window: int = Field(
        120, ge=20, multiple_of=2, description="Characters in a window of the template detector; even."
    )
    template_turns: int = Field(5, ge=2, description="Turns that share a window, with the coverage below.")
    template_coverage: float = Field(0.4, ge=0, le=1, description="Share of the user's turns that these must exceed.")
    template_turns_absolute: int = Field(8, ge=2, description="Turns that share a window, whatever the coverage.")
    min_conversations: int = Field(3, ge=1, description="Conversations a user needs.")
    min_user_turns: int = Field(16, ge=1, description="User turns they need over all ('more than 15').")
    min_assistant_score: float = Field(
        0.6, ge=0, le=1, description="Assistant-use score under which a user is out (I.2)."
    )


class Extraction(Section):
    """How attributes are extracted (Appendix B)."""

    chunk_characters: int = Field(
        50_000, ge=100, description="Longest chunk; a turn is cut only when it is longer alone."
    )
    temperature: float = Field(0.8, ge=0, le=2, description="Sampling temperature.")
    max_tokens: int = Field(4096, ge=16, description="Longest answer.")
    min_confidence: float = Field(0.4, ge=0, le=1, description="Attributes under it are dropped.")


class Merging(Section):
    """How a user's attributes are merged (Appendix B)."""

    similarity: float = Field(0.7, gt=0, lt=1, description="Cosine similarity at which average linkage stops.")


class Sampling(Section):
    """How diverse users are sampled (Appendix C)."""

    users: int = Field(5000, ge=1, description="Users to sample; all of them where there are fewer.")
    bins: int = Field(5, ge=1, description="Equal-frequency bins on the generalist score.")


class Annotation(Section):
    """Who judges what (§4.1, Appendix G)."""

    real_users: int = Field(47, ge=0, description="Users to judge from each source of real chats.")
    synthetic_users: int = Field(10, ge=0, description="Users to judge from each synthetic benchmark.")
    raters: int = Field(3, ge=1, description="Annotators for each item.")
    excluded: tuple[str, ...] = Field((), description="Annotators whose answers are kept but not analysed.")
    checked_failures: str | None = Field(
        None,
        description="Failure categories that people checked: a CSV or JSON-lines file of item_id, category and, where "
        "several checked, rater.",
    )
    simulated: str | None = Field(
        None, description="Folder of a truth from which annotators are simulated; none in a study of people."
    )


class Verifier(Encoder):
    """How the trained verifier is trained (Appendix E)."""

    max_tokens: int = Field(512, ge=16, description="Longest input; the snippet is cut, never the attribute.")
    beta: float = Field(
        2.0, gt=0, description="Beta of F-beta: a missed problem costs beta squared times a false alarm."
    )
    validation: float = Field(0.15, gt=0, lt=0.5, description="Share of users to stop on.")
    test: float = Field(0.2, gt=0, lt=0.5, description="Share of users held out from all that is trained or chosen.")
    rounds: int = Field(2, ge=1, description="Most times a flagged attribute goes back to the extractor.")
