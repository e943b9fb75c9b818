"""study.yaml: what a study is made of, checked when it is loaded."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from recenter_utils.errors import RecenterError, nearest

Origin = Literal["human", "model", "simulated", "published"]


class Section(BaseModel):
    """A part of the file; unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


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


class Models(Section):
    """Which entry of the models file does what."""

    language: str = Field("embedded-plain", description="Language check.")
    assistant_use: str = Field("embedded-plain", description="Assistant-use score.")
    extraction: str = Field("embedded-plain", description="Attribute extraction, and revising what is flagged.")
    failures: str = Field("embedded-plain", description="Why annotators did not accept an attribute.")
    verifiers: tuple[str, ...] = Field(
        ("embedded-plain",), min_length=1, description="Models that verify attributes, each with both prompts."
    )
    pairing: str = Field("embedded-plain", description="Coarse filter over requests and users.")
    relevance: tuple[str, ...] = Field(
        ("embedded-plain",), min_length=1, description="Models that judge which attributes matter for a request."
    )
    embedding: str = Field("all-MiniLM-L6-v2", description="Sentence embeddings.")


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


class Encoder(Section):
    """How a pair classifier is trained (Appendices E and F)."""

    base: str = Field(
        "all-MiniLM-L6-v2", description="Encoder to start from: a hub name, a folder, or the embedded one."
    )
    epochs: int = Field(10, ge=1, description="Passes over the training part; the best on validation is kept.")
    patience: int = Field(3, ge=1, description="Epochs without a better validation score before it stops.")
    learning_rate: float = Field(2e-5, gt=0, description="Peak learning rate.")
    batch_size: int = Field(16, ge=1, description="Examples a step.")


class Verifier(Encoder):
    """How the trained verifier is trained (Appendix E)."""

    max_tokens: int = Field(512, ge=16, description="Longest input; the snippet is cut, never the attribute.")
    beta: float = Field(
        2.0, gt=0, description="Beta of F-beta: a missed problem costs beta squared times a false alarm."
    )
    validation: float = Field(0.15, gt=0, lt=0.5, description="Share of users to stop on.")
    test: float = Field(0.2, gt=0, lt=0.5, description="Share of users held out from all that is trained or chosen.")
    rounds: int = Field(2, ge=1, description="Most times a flagged attribute goes back to the extractor.")


class Pairing(Section):
    """Which requests meet which users (§5.1)."""

    prompts: str | None = Field(
        None,
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
        description="Reasoning model to start from: a hub name or a folder; `smoke`: a tiny one made on the spot, at "
        "a scale of its own, which shows that the training works and nothing else.",
    )
    epochs: float = Field(15, gt=0, description="Passes over the training part.")
    learning_rate: float = Field(1e-6, gt=0, description="Of the actor, where all its weights are trained.")
    lora_learning_rate: float = Field(
        1e-5,
        gt=0,
        description="Of the adapters, where LoRA is trained: they need about ten times the other. Not the paper's.",
    )
    lora_rank: int | None = Field(
        32, ge=1, description="Rank of LoRA, so that one GPU is enough; none: all weights, as in the paper."
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


class Settings(Section):
    """A whole study file."""

    title: str = Field(description="Shown on the book's front page.")
    note: str = Field("", description="One paragraph about the study, shown under the title.")
    publish_text: bool = Field(False, description="Whether raw chat text may appear in the book.")
    seed: int = Field(2026, description="Every random choice starts here.")
    sources: tuple[Source, ...] = Field(
        description="The corpora; none only in a study of stage 2 on a benchmark (`pairing.format: personalens`)."
    )
    users: UserRules = UserRules()
    models: Models = Models()
    extraction: Extraction = Extraction()
    merging: Merging = Merging()
    sampling: Sampling = Sampling()
    annotation: Annotation = Annotation()
    verifier: Verifier = Verifier()
    pairing: Pairing = Pairing()
    selector: Selector = Selector()
    grpo: Grpo = Grpo()
    calibration: Calibration = Calibration()
    replacement: Replacement = Replacement()
    max_cost: float | None = Field(
        None, ge=0, description="US dollars a notebook may spend on a model before it stops."
    )

    def parts(self, names: Iterable[str]) -> dict[str, Any]:
        """Return parts of the settings by name, such as `merging` or `models.embedding`, as plain values."""
        plain = self.model_dump(mode="json")
        found = {}
        for name in names:
            section, _, key = name.partition(".")
            found[name] = plain[section][key] if key else plain[section]
        return found

    def replace(self, **sections: Any) -> Settings:
        """Return settings with parts replaced; a value of None leaves the study's own.

        >>> settings.replace(merging={"similarity": 0.8}, seed=None)  # doctest: +SKIP
        """
        data = self.model_dump()
        for section, values in sections.items():
            if section not in data:
                raise RecenterError(f"Settings have no '{section}'.{nearest(section, data)}")
            if isinstance(values, dict):
                data[section] = data[section] | {key: value for key, value in values.items() if value is not None}
            elif values is not None:
                data[section] = values
        return check(data, "these settings")


def load(path: Path) -> Settings:
    """Read a study file; every fault becomes one sentence that names the file, the key and the remedy."""
    if not path.is_file():
        raise RecenterError(f"There is no study file {path}. 'recenter new {path.parent.name} --chats FILE' makes one.")
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as problem:
        raise RecenterError(f"{path} is not readable YAML: {' '.join(str(problem).split())}") from None
    if not isinstance(data, dict):
        raise RecenterError(f"{path} must be a mapping of settings, such as 'title: My study'.")
    return check(data, str(path))


def check(data: dict[str, Any], where: str) -> Settings:
    """Return checked settings, or raise naming `where`, the key and the nearest valid one."""
    try:
        settings = Settings.model_validate(data)
    except ValidationError as problem:
        faults = [_sentence(dict(fault), data) for fault in problem.errors()[:3]]
        raise RecenterError(f"{where}: {' '.join(faults)}") from None
    names = [source.name for source in settings.sources]
    if not names and (settings.pairing.format == "prompts" or settings.pairing.prompts is None):
        raise RecenterError(f"{where}: 'sources' is empty; name a corpus. Only a benchmark of relevance needs none.")
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise RecenterError(f"{where}: two sources are called '{twice[0]}'; names must differ.")
    return settings


def _sentence(fault: dict[str, Any], data: Any) -> str:
    location = ".".join(str(part) for part in fault["loc"])
    if fault["type"] != "extra_forbidden":
        return f"'{location}': {fault['msg']}."
    model: Any = Settings
    for part in fault["loc"][:-1]:
        if not isinstance(part, int):
            annotation = model.model_fields[part].annotation
            model = getattr(annotation, "__args__", [annotation])[0]
    return f"'{location}' is not a setting.{nearest(str(fault['loc'][-1]), model.model_fields)}"
