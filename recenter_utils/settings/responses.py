"""The parts of a study file that stage 3 goes by: responses, preferences, reward models, planning."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from recenter_utils.settings.section import Section


class Responses(Section):
    """Which responses are written, and which of them are compared (§6.1)."""

    selector: str = Field(
        "majority",
        min_length=1,
        description="Who says which attributes a response is given: `majority` of the annotators (in a study without "
        "any: its benchmark), or a rater of stage 2 by name, such as a model of `models.relevance`. A study with "
        "neither annotators nor a benchmark needs such a name: without it no response is written.",
    )
    sample: int = Field(
        80,
        ge=1,
        description="Pages to judge, over all generators: a page is a request, a user and a generator. All generators "
        "answer the same requests of the same users, so that five of them and 80 pages make 16 of these. All there are "
        "where these are fewer.",
    )
    temperature: float = Field(0.7, ge=0, le=2, description="Sampling temperature of generators.")
    max_tokens: int = Field(2048, ge=16, description="Longest response.")


class Preferences(Section):
    """How responses are compared (§6.1)."""

    both_orders: float = Field(
        0.25,
        ge=0,
        le=1,
        description="Share of the pages on which each model judges all comparisons in both orders, for position bias.",
    )


class Reward(Section):
    """How reward models are trained (§6.3)."""

    bases: tuple[str, ...] = Field(
        ("all-MiniLM-L6-v2",),
        min_length=1,
        description="Backbones: hub names, folders as seen from the study's, or the embedded encoder. The paper's: "
        "answerdotai/ModernBERT-base, Qwen/Qwen2.5-1.5B, meta-llama/Llama-3.2-1B. The learning curve and the models of "
        "single annotators are of the first.",
    )
    tune: Literal["all", "head"] = Field(
        "all", description="What is trained: all weights, or a linear head on the frozen backbone (seconds on a CPU)."
    )
    max_tokens: int = Field(1024, ge=64, description="Longest input; the response is cut, never the attribute.")
    epochs: int = Field(3, ge=1, description="Passes over the ratings; all of them are made.")
    batch_size: int = Field(16, ge=1, description="Comparisons a step.")
    learning_rate: float = Field(2e-5, gt=0, description="Peak learning rate, where all weights are trained.")
    lora_rank: int | None = Field(
        32, ge=1, description="Rank of LoRA for decoders; null: all their weights. Encoders train all of theirs."
    )
    lora_learning_rate: float = Field(2e-4, gt=0, description="Peak learning rate of the adapters.")
    folds: int = Field(5, ge=2, description="Parts that requests are divided into: each is predicted by the others.")
    ratings: tuple[Annotated[int, Field(ge=10)], ...] = Field(
        (50, 100, 200, 400, 800), min_length=1, description="Numbers of ratings on the learning curve."
    )
    repeats: int = Field(5, ge=1, description="Draws of ratings for each number.")


class Planning(Section):
    """Which designs are tried out for a next study."""

    gaps: tuple[Annotated[float, Field(gt=0, le=4)], ...] = Field(
        (0.1, 0.2, 0.3, 0.5), min_length=1, description="Gaps to see, in points of the five-point scale."
    )
    requests: tuple[Annotated[int, Field(ge=2)], ...] = Field(
        (8, 16, 32, 64, 128),
        min_length=1,
        description="Numbers of requests. Every generator answers each of them for each of its users, so that pages "
        "are requests times users a request times generators.",
    )
    users: tuple[Annotated[int, Field(ge=1)], ...] = Field(
        (1, 2), min_length=1, description="Numbers of users a request, each of whom has no other request."
    )
    annotators: tuple[Annotated[int, Field(ge=1)], ...] = Field(
        (1, 3, 5, 10), min_length=1, description="Numbers of annotators, each of whom judges all pages."
    )
    power: float = Field(0.8, gt=0, lt=1, description="How often a gap should be seen: share of studies.")
    repeats: int = Field(400, ge=50, description="Simulated studies for each design.")
