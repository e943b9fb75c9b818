"""LLM tasks: a prompt file beside the schema of its answer."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from recenter_utils.inference.final_line import FinalLine
from recenter_utils.inference.prompts import Prompt, load_prompt


class Output(BaseModel):
    """Base of every answer: no key besides those named, so that a schema can be enforced by the server."""

    model_config = ConfigDict(extra="forbid")

    @classmethod
    def from_text(cls, text: str) -> Self:
        """Read an answer; raise ValueError, with the reason, where it has another shape."""
        text = text.strip()
        if not text.startswith("{"):
            # Models think aloud, and wrap JSON in prose or code fences; what stands between the outer braces is the
            # answer.
            text = text.rpartition("</think>")[2]
            text = text[text.find("{") : text.rfind("}") + 1] or text
        return cls.model_validate_json(text)

    def check(self, slots: Mapping[str, Any]) -> None:
        """Raise ValueError where an answer of the right shape does not fit what was asked."""
        return None


class TextOutput(Output):
    """Base of answers in free text: they have no schema."""

    @classmethod
    def from_text(cls, text: str) -> Self:
        """See `Output.from_text`."""
        raise NotImplementedError


class LanguageCheck(Output):
    """I.1."""

    is_english: bool


class AssistantUse(Output):
    """I.2."""

    reasoning: str
    score: float = Field(ge=0, le=1)


def _not_blank(text: str) -> str:
    if not text.strip():
        raise ValueError("is blank")
    return text


class ExtractedAttribute(Output):
    """One attribute of I.3, with the turns it rests on."""

    # Checked here, not in the schema: OpenAI's strict mode refuses a schema with `minLength`.
    attribute: Annotated[str, AfterValidator(_not_blank)]
    reason: str
    confidence: float = Field(ge=0, le=1)
    evidence_turns: list[int]


class AttributeExtraction(Output):
    """I.3."""

    attributes: list[ExtractedAttribute]


class FlagReason(Output):
    """I.4."""

    inferred_reason: Annotated[str, AfterValidator(_not_blank)]
    evidence_assessment: str


class Classification(Output):
    """The category of one case of a batch, by the case's number in it."""

    case: int
    category: str


class NewCategory(Output):
    """A category that none of the candidates is."""

    name: str
    definition: str


class FlagCategory(Output):
    """I.5."""

    classifications: list[Classification]
    new_categories: list[NewCategory]


class AttributeVerification(Output):
    """I.6."""

    label: Literal["accepted", "rejected"]


class AttributeVerificationCriteria(Output):
    """I.7: the reasoning comes first, so that the label follows from it."""

    reasoning: str
    label: Literal["accepted", "rejected"]


class AttributeRefinement(Output):
    """A flagged attribute, revised or withdrawn (§4.3)."""

    action: Literal["revise", "withdraw"]
    attribute: str
    reason: str
    confidence: float = Field(ge=0, le=1)
    evidence_turns: list[int]

    @model_validator(mode="after")
    def _says_what_it_revises_to(self) -> AttributeRefinement:
        if self.action == "revise" and not self.attribute.strip():
            raise ValueError("a revision needs the attribute's new words")
        return self


#: How a relevance judgment ends.
RELEVANCE_LINE = FinalLine("Answer: ", yes="YES", no="NO")


class RelevanceJudgment(TextOutput):
    """I.8: reasoning, then a final line that is read strictly (`FinalLine.read`)."""

    label: Literal["yes", "no"]
    reasoning: str

    @classmethod
    def from_text(cls, text: str) -> Self:
        """See `Output.from_text`."""
        reasoning, yes = RELEVANCE_LINE.read(text)
        return cls(label="yes" if yes else "no", reasoning=reasoning)


def _no_truth_value(rating: Any) -> Any:
    if isinstance(rating, bool):  # it would pass for 1
        raise ValueError("is no number")
    return rating


class PreferenceJudgment(Output):
    """Which of two responses is better (§6.1): 1 strongly the first, A, to 5 strongly the second, B."""

    reasoning: str
    rating: Annotated[int, Field(ge=1, le=5), BeforeValidator(_no_truth_value)]


class PairFilter(Output):
    """The coarse filter of §5.1: the numbers of a user's attributes that may matter, each once."""

    relevant: Annotated[list[int], AfterValidator(lambda numbers: list(dict.fromkeys(numbers)))]

    def check(self, slots: Mapping[str, Any]) -> None:
        """See `Output.check`: a number that is not in the list may stand for any attribute or none."""
        given = {attribute["number"] for attribute in slots["attributes"]}
        if unknown := [number for number in self.relevant if number not in given]:
            raise ValueError(f"no attribute has the number {', '.join(map(str, unknown[:5]))}")


#: What a reasoning model says to itself before it answers. What was never closed leaves no answer.
_THINKING = re.compile(r"\A(?:\s*<think>.*?(?:</think>|\Z)|(?:(?!<think>).)*?\n</think>[ \t]*\n)", re.S)


class Response(TextOutput):
    """A response to a request (§6.1), as it came but for thinking and white space around it.

    One without a word is one too: it is recorded as empty, and not put down to its form.
    """

    text: str

    @classmethod
    def from_text(cls, text: str) -> Self:
        """See `Output.from_text`."""
        return cls(text=_THINKING.sub("", text, count=1).strip())


def stands_in(quote: str, text: str) -> bool:
    """Say whether a quotation's words stand in a text one behind another, in any case and with any marks between."""
    words, held = (" ".join(["", *re.findall(r"\w+", one.casefold()), ""]) for one in (quote, text))
    return not words.isspace() and words in held


class Mention(Output):
    """Whether a response names an attribute of its reader outright (§6.2), with the words that come nearest."""

    quote: str
    explicit: bool

    def check(self, slots: Mapping[str, Any]) -> None:
        """See `Output.check`: a mention that is not in the response was not found there."""
        if self.explicit and not stands_in(self.quote, slots["response"]):
            raise ValueError("the words that are to name the attribute do not stand in the response")


@dataclass(frozen=True)
class Task:
    """Something models are asked: a prompt and the shape of its answer.

    A task whose answers are free text has no schema. Where they end with a final line of two words (`line`), the
    probability of its yes is kept beside the answer as `score`, if the engine gives log-probabilities.
    """

    name: str
    output: type[Output]
    line: FinalLine | None = None

    @property
    def prompt(self) -> Prompt:
        """The prompt file of the same name."""
        return load_prompt(self.name)

    @cached_property
    def schema(self) -> dict[str, Any] | None:
        """JSON schema of the answer; None where the answer is free text."""
        return None if issubclass(self.output, TextOutput) else self.output.model_json_schema()


LANGUAGE_CHECK = Task("language_check", LanguageCheck)
ASSISTANT_USE = Task("assistant_use", AssistantUse)
ATTRIBUTE_EXTRACTION = Task("attribute_extraction", AttributeExtraction)
FLAG_REASON = Task("flag_reason", FlagReason)
FLAG_CATEGORY = Task("flag_category", FlagCategory)
ATTRIBUTE_VERIFICATION = Task("attribute_verification", AttributeVerification)
ATTRIBUTE_VERIFICATION_CRITERIA = Task("attribute_verification_criteria", AttributeVerificationCriteria)
ATTRIBUTE_REFINEMENT = Task("attribute_refinement", AttributeRefinement)
PAIR_FILTER = Task("pair_filter", PairFilter)
RELEVANCE_JUDGMENT = Task("relevance", RelevanceJudgment, RELEVANCE_LINE)
GENERIC_RESPONSE = Task("generic_response", Response)
PERSONALISED_RESPONSE = Task("personalised_response", Response)
PREFERENCE_JUDGMENT = Task("preference", PreferenceJudgment)
MENTION = Task("mention", Mention)
