"""Engines: how a model is reached. `open_engine` picks one by the model's entry, here or on the cluster."""

from __future__ import annotations

from pathlib import Path

from recenter_utils.cluster import connection
from recenter_utils.errors import RecenterError, nearest
from recenter_utils.inference.engines.base import Engine
from recenter_utils.inference.models import Model

__all__ = ["Engine", "local_engine", "open_engine"]


def open_engine(model: Model, cache: Path | None = None) -> Engine:
    """Return the engine that `model` names; where a run goes to a cluster, one that asks such engines there.

    cache: The file of stored answers, if any: what an engine keeps for later runs stands in the same folder.
    """
    if connection.wanted():
        from recenter_utils.cluster.engine import SPREAD, RayEngine

        if model.engine in SPREAD:
            return RayEngine(model, cache)
    return local_engine(model, cache)


def local_engine(model: Model, cache: Path | None = None, replicas: int | None = None) -> Engine:
    """Return the engine that `model` names, in this process. Modules load on demand: each brings heavy libraries.

    replicas: the most processes that may serve it here, whatever the model's entry says.
    """
    if model.engine == "embedded":
        from recenter_utils.inference.engines.embedded import EmbeddedEngine

        return EmbeddedEngine(model, cache)
    if model.engine == "openai":
        from recenter_utils.inference.engines.openai import OpenAIEngine

        return OpenAIEngine(model)
    if model.engine == "vllm":
        from recenter_utils.inference.engines.vllm import VLLMEngine

        return VLLMEngine(model, cache, replicas)
    raise RecenterError(f"There is no engine '{model.engine}'.{nearest(model.engine, ['embedded', 'openai', 'vllm'])}")
