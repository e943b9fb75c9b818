"""The models file: every model a study can name, how it is reached and what it costs."""

from __future__ import annotations

import math
import os
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from recenter_utils.documents import read_yaml
from recenter_utils.errors import RecenterError, nearest, printable

MODELS_FILE = Path(__file__).with_name("models.yaml")

#: Options that change an answer, by engine (None: all). The others, such as GPUs and addresses, only run the model.
_DECISIVE: dict[str, tuple[str, ...] | None] = {
    "embedded": None,
    "openai": ("extra_body", "omit"),
    "vllm": ("chat_template_kwargs", "model", "revision", "quantization"),
}


class Price(BaseModel):
    """US dollars for a million tokens."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    input: float = Field(0.0, ge=0)
    output: float = Field(0.0, ge=0)


class Model(BaseModel):
    """One entry of the models file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    engine: Literal["embedded", "openai", "vllm"]
    served_name: str = Field("", description="The name the server or the hub knows it by; default: the entry's own.")
    base_url: str | None = Field(None, pattern="^https?://", description="Of an OpenAI-compatible server.")
    # The pattern refuses a key that was pasted here by mistake, without repeating it.
    key_env: str | None = Field(
        None,
        pattern="^[A-Za-z_][A-Za-z0-9_]*$",
        description="Environment variable that holds the key. The key itself is never stored.",
    )
    context_length: int | None = Field(None, ge=1, description="Tokens that prompt and answer share.")
    price: Price = Price()
    concurrency: int = Field(64, ge=1, le=1000, description="Requests in flight at once.")
    timeout: float = Field(120.0, gt=0, description="Seconds to wait for one answer.")
    retries: int = Field(4, ge=0, description="Further tries after 429, 5xx, timeouts and cut connections.")
    sampling: dict[str, Any] = Field(default_factory=dict, description="Settings that override the task's.")
    batch: bool = Field(False, description="Ask through the server's batch interface: half the price, within a day.")
    json_schema: bool = Field(True, description="Whether the server takes a JSON schema for its answers.")
    logprobs: bool = Field(
        True, description="Whether to ask for log-probabilities where a task keeps them; false spares a server's no."
    )
    options: dict[str, Any] = Field(
        default_factory=dict, description="For the engine: vLLM arguments, an embedded model's dials."
    )
    note: str = ""

    @model_validator(mode="after")
    def _can_be_reached(self) -> Model:
        # Without an address, the client library would send every chat to its maker's server.
        if self.engine == "openai" and not self.base_url:
            raise ValueError("the engine 'openai' needs a base_url, such as http://127.0.0.1:8000/v1")
        return self

    @property
    def decisive_options(self) -> dict[str, Any]:
        """Those options that decide what is answered, and not only how the model is run."""
        names = _DECISIVE[self.engine]
        chosen = set(self.options) - {"replicas"} if names is None else names
        return {name: value for name, value in self.options.items() if name in chosen}

    @property
    def gpus_each(self) -> int:
        """How many GPUs a copy of it takes: those that vLLM splits it over; 0 for the other engines."""
        split = ("tensor_parallel_size", "pipeline_parallel_size")
        return math.prod(int(self.options.get(way, 1)) for way in split) if self.engine == "vllm" else 0

    @property
    def priced(self) -> bool:
        """Whether asking it costs money."""
        return bool(self.price.input or self.price.output)

    @cached_property
    def asked_name(self) -> str:
        """The name sent to the server."""
        return self.served_name or self.name

    def key(self) -> str | None:
        """Return the key from its environment variable; raise naming the variable where it is unset."""
        if self.key_env is None:
            return None
        value = os.environ.get(self.key_env, "").strip()
        if not value:
            raise RecenterError(
                f"Model '{self.name}' needs a key: set the environment variable {self.key_env} and run again."
            )
        if not (value.isascii() and value.isprintable()):
            raise RecenterError(f"{self.key_env} holds characters that no key has (a line break, a dash from a page?).")
        return value


def load_models(*files: Path) -> dict[str, Model]:
    """Read models files in order; a later file's entry replaces an earlier one of the same name."""
    models: dict[str, Model] = {}
    for path in (MODELS_FILE, *files):
        if not path.is_file():
            continue
        entries = read_yaml(path) or {}
        if not isinstance(entries, dict):
            raise RecenterError(f"{path} must map model names to entries, such as 'my-model: {{engine: openai}}'.")
        for name, entry in entries.items():
            try:
                models[name] = Model.model_validate({**(entry or {}), "name": name})
            except (ValidationError, TypeError) as problem:
                raise RecenterError(
                    f"{path}: model '{printable(str(name))}': {printable(_fault(problem), 500)}"
                ) from None
    return models


def find_model(name: str, models: dict[str, Model], where: str = "") -> Model:
    """Return the entry called `name`, or raise with the nearest name. where: who names it, for the message."""
    if name not in models:
        said = f"{where}: there" if where else "There"
        raise RecenterError(f"{said} is no model '{name}' in the models file.{nearest(name, models)}")
    return models[name]


def _fault(problem: Exception) -> str:
    if not isinstance(problem, ValidationError):
        return "an entry is a mapping, such as {engine: openai, base_url: ...}."
    fault = problem.errors()[0]
    key = ".".join(map(str, fault["loc"]))
    if not key:
        return f"{fault['ctx']['error']}."
    if fault["type"] == "extra_forbidden":
        return f"'{key}' is not a setting.{nearest(key, Model.model_fields)}"
    return f"'{key}': {fault['msg']}."
