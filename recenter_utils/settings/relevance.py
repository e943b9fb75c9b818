"""The parts of a study file that stage 2 goes by: requests, selectors, GRPO, calibration, stand-ins."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from recenter_utils.settings.encoder import Encoder
from recenter_utils.settings.section import Origin, Section


class Pairing(Section):
    """Which requests meet which users (§5.1)."""

    prompts: str | None = Field(
        None,
        min_length=1,
        description="File of requests, relative to the study's folder: LIMA as the hub has it, or JSON lines of "
        "prompt_id and text. None: the study has no stage 2.",
    )
    format: Literal["prompts", "personalens"] = Field(
        "prompts",
        description="`personalens`: the benchmark's tasks are the requests, its users' affinities the attributes, "
        "and its links say which matter.",
    )
    origin: Origin = Field("human", description="Who wrote the requests.")
    sample: int = Field(41, ge=1, description="Requests to draw; all of them where there are fewer.")
    users: int = Field(4, ge=1, description="Users to draw for each request.")
    least: int = Field(2, ge=1, description="Potentially relevant attributes that a user needs to be drawn.")


class Selector(Encoder):
    """How the trained relevance selector is trained (Appendix F)."""

    max_tokens: int = Field(256, ge=16, description="Longest input; the request is cut, never the attribute.")
    beta: float = Field(
        1.0, gt=0, description="Beta of F-beta: a missed attribute costs beta squared times a false one."
    )
    validation: float = Field(0.12, gt=0, lt=0.5, description="Share of requests to stop on.")
    test: float = Field(
        0.12, gt=0, lt=0.5, description="Share of requests held out from all that is trained or chosen."
    )


class Grpo(Section):
    """How a reasoning model is trained with GRPO (Appendix F)."""

    train: bool = Field(False, description="Whether notebook 15 trains: hours on a GPU, unless `base` is `smoke`.")
    base: str = Field(
        "Qwen/Qwen3-4B",
        description="Reasoning model to start from: a hub name, or a folder as seen from the study's; `smoke`: a tiny "
        "one made on the spot, at a scale of its own, which shows that the training works and nothing else.",
    )
    epochs: float = Field(15, gt=0, description="Passes over the training part.")
    learning_rate: float = Field(1e-6, gt=0, description="Of the actor, where all its weights are trained.")
    lora_learning_rate: float = Field(
        1e-5,
        gt=0,
        description="Of the adapters, where LoRA is trained: they need about ten times the other. Not the paper's.",
    )
    lora_rank: int | None = Field(
        32, ge=1, description="Rank of LoRA, so that one GPU is enough; null: all weights, as in the paper."
    )
    kl: float = Field(0.001, ge=0, description="Coefficient of the KL term.")
    rollouts: int = Field(5, ge=2, description="Answers drawn to each pair.")
    batch_size: int = Field(128, ge=1, description="Pairs a step.")
    max_prompt_tokens: int = Field(1024, ge=16, description="Longest prompt; a longer pair is left out and counted.")
    max_tokens: int = Field(4096, ge=8, description="Longest answer; one that is cut off gets no reward.")
    format_reward: float = Field(
        0.1, ge=0, le=1, description="Reward of an answer that ends with the final line, beside 1 for the right label."
    )
    vllm: bool = Field(
        False, description="Draw answers with vLLM in the same process: faster, and needs the extra `vllm`."
    )
    generated_at_once: int = Field(40, ge=1, description="Answers drawn at once without vLLM; fewer need less memory.")
    passed_at_once: int = Field(
        4, ge=1, description="Answers in one forward and backward pass; fewer need less memory."
    )
    validation_pairs: int = Field(200, ge=0, description="Pairs of the validation part on which F1 is followed.")
    validate_every: int = Field(25, ge=1, description="Steps between two looks at validation F1.")
    save_every: int = Field(10, ge=1, description="Steps between two checkpoints: what a kill costs at most.")


class Calibration(Section):
    """How much few labels help a judge."""

    labels: tuple[Annotated[int, Field(ge=2)], ...] = Field(
        (10, 20, 50, 100, 200, 400), min_length=1, description="Numbers of labelled pairs to try."
    )
    repeats: int = Field(200, ge=10, description="Draws of labelled pairs for each number.")


class Replacement(Section):
    """When a judge may stand in for an annotator (Calderon et al. 2025)."""

    epsilon: float = Field(
        0.15, ge=0, lt=1, description="What it may be worse by: .2 beside experts, .15 skilled people, .1 a crowd."
    )
    q: float = Field(0.05, gt=0, lt=1, description="False discovery rate over the annotators.")
