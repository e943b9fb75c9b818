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
