"""A whole study file: its models and all of its parts, checked when it is loaded."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from recenter_utils.documents import read_yaml
from recenter_utils.errors import RecenterError, nearest, printable
from recenter_utils.settings.attributes import Annotation, Extraction, Merging, Sampling, Source, UserRules, Verifier
from recenter_utils.settings.relevance import Calibration, Grpo, Pairing, Replacement, Selector
from recenter_utils.settings.responses import Planning, Preferences, Responses, Reward
from recenter_utils.settings.section import Section


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
    generators: tuple[str, ...] = Field(
        ("embedded-plain",), min_length=1, description="Models that write responses, generic and personalised."
    )
    preference: tuple[str, ...] = Field(
        ("embedded-plain",), min_length=1, description="Models that judge which of two responses is better."
    )
    mentions: str = Field("embedded-plain", description="Detection of explicitly mentioned attributes.")
    embedding: str = Field("all-MiniLM-L6-v2", description="Sentence embeddings.")


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
    responses: Responses = Responses()
    preferences: Preferences = Preferences()
    reward: Reward = Reward()
    planning: Planning = Planning()
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
    data = read_yaml(path)
    if not isinstance(data, dict):
        raise RecenterError(f"{path} must be a mapping of settings, such as 'title: My study'.")
    return check(data, str(path))


def check(data: dict[str, Any], where: str) -> Settings:
    """Return checked settings, or raise naming `where`, the key and the nearest valid one."""
    try:
        settings = Settings.model_validate(data)
    except ValidationError as problem:
        faults = [printable(_sentence(dict(fault), data), 500) for fault in problem.errors()[:3]]
        raise RecenterError(f"{where}: {' '.join(faults)}") from None
    names = [source.name for source in settings.sources]
    if not names and (settings.pairing.format == "prompts" or settings.pairing.prompts is None):
        raise RecenterError(f"{where}: 'sources' is empty; name a corpus. Only a benchmark of relevance needs none.")
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise RecenterError(f"{where}: two sources are called '{printable(twice[0])}'; names must differ.")
    for role, named in settings.models:
        if isinstance(named, tuple) and (twice := sorted({name for name in named if named.count(name) > 1})):
            raise RecenterError(
                f"{where}: 'models.{role}' names '{printable(twice[0])}' twice; each model answers once."
            )
    return settings


def _sentence(fault: dict[str, Any], data: Any) -> str:
    location = ".".join(str(part) for part in fault["loc"])
    if fault["type"] == "tuple_type":
        return f"'{location}' is a list, such as [{fault['input']}]."
    if fault["type"] in ("model_type", "model_attributes_type"):
        part = _model(fault["loc"])
        return f"'{location}' holds settings of its own: {', '.join(part.model_fields)}."
    if fault["type"] != "extra_forbidden":
        return f"'{location}': {fault['msg']}."
    known = _model(fault["loc"][:-1]).model_fields
    return f"'{location}' is not a setting.{nearest(str(fault['loc'][-1]), known)}"


def _model(location: tuple[str | int, ...]) -> Any:
    """Return the class of the settings that stand at a place of the file."""
    model: Any = Settings
    for part in location:
        if not isinstance(part, int):
            annotation = model.model_fields[part].annotation
            model = getattr(annotation, "__args__", [annotation])[0]
    return model
