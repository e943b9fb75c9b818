"""An embedded model's dials: what it lets itself infer, and how sure it must be."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from recenter_utils.errors import RecenterError, nearest


class Dials(BaseModel):
    """The `options` of an embedded model's entry. Each default is the careful choice."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    stated: bool = Field(True, description="Take what users say of themselves.")
    implied: bool = Field(False, description="Infer interests and style from what comes back in several turns.")
    one_off: bool = Field(False, description="Infer a trait from a single request.")
    fiction: bool = Field(False, description="Take quoted, drafted and role-played first-person text at its word.")
    assistant: bool = Field(False, description="Believe what the assistant says about the user.")
    minimum: float = Field(0.3, ge=0, le=1, description="Attributes of lower confidence are not answered.")
    similarity: float = Field(0.42, ge=0, le=1, description="Cosine at which a turn counts for a topic.")
    support: int = Field(2, ge=1, description="User turns that must show a topic before it is an interest.")
    relevance: float = Field(
        0.5, gt=0, lt=1, description="Grade at which an attribute is said to change the answer to a request."
    )
    nearness: float = Field(
        0.5, ge=0, le=1, description="How far nearness of topic alone makes an attribute seem relevant."
    )
    mentions: float = Field(0.2, ge=0, le=1, description="As a generator: share of attributes it names outright.")
    adapts: float = Field(
        0.6, ge=0, le=1, description="As a generator: share of attributes that change what it advises."
    )
    generosity: float = Field(
        0.0, ge=-2, le=2, description="As a judge: points it adds to a personalised response as such."
    )
    mention_weight: float = Field(
        0.0, ge=-4, le=4, description="As a judge: points that naming an attribute outright is worth to it."
    )
    position: float = Field(0.0, ge=-2, le=2, description="As a judge: points it adds to the response shown first.")

    @classmethod
    def of(cls, options: Mapping[str, Any], model: str) -> Dials:
        """Check a models-file entry's options, or raise naming the model and the option."""
        try:
            return cls.model_validate(dict(options))
        except ValidationError as problem:
            fault = problem.errors()[0]
            key = ".".join(map(str, fault["loc"]))
            if fault["type"] == "extra_forbidden":
                hint = nearest(key, cls.model_fields)
                raise RecenterError(f"Embedded model '{model}': '{key}' is not one of its options.{hint}") from None
            raise RecenterError(f"Embedded model '{model}': option '{key}': {fault['msg']}.") from None
