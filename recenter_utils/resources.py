"""What a notebook takes of a machine: as it declares it, and as the study decides it."""

from __future__ import annotations

from dataclasses import dataclass

from recenter_utils.cluster.connection import wanted
from recenter_utils.inference.embeddings import MINILM
from recenter_utils.inference.models import Model
from recenter_utils.steps import Step

#: Gigabytes of memory and processors that go with each GPU: weights pass through memory on their way.
GPU_MEMORY_GB = 32.0
GPU_PROCESSORS = 4


@dataclass(frozen=True)
class Taken:
    """What one notebook takes. One processor, without a GPU: results do not depend on where it runs."""

    gpus: int
    processors: int
    memory_mb: int
    minutes: int

    def for_snakemake(self) -> dict[str, int]:
        """Return Snakemake's names for it, as its executors know them; no entry for a GPU where none is needed."""
        named = {"mem_mb": self.memory_mb, "runtime": self.minutes}
        return named | ({"gpu": self.gpus} if self.gpus else {})


def taken(step: Step) -> Taken:
    """Return what a notebook takes in its study: GPUs only where a model that it asks, or trains, runs on one."""
    declared = step.entry.resources
    counts = [_asking(step) if part == "models" else _training(step, part) for part in declared.gpu]
    gpus = max(counts, default=0)
    return Taken(
        gpus=gpus,
        processors=max(1, GPU_PROCESSORS * gpus),
        memory_mb=round(1000 * (declared.memory_gb + GPU_MEMORY_GB * gpus)),
        minutes=max(1, round(60 * declared.hours)),
    )


def gpus_of(model: Model) -> int:
    """Return how many GPUs vLLM uses for all replicas of a model; 0 for the other engines."""
    return model.gpus_each * int(model.options.get("replicas", 1))


def _asking(step: Step) -> int:
    # On a Ray cluster its actors hold the GPUs, and Ray shares them out.
    return 0 if wanted() else max((gpus_of(model) for _, model in step.models()), default=0)


def _training(step: Step, section: str) -> int:
    """Return 1 where what a section of study.yaml trains takes hours without a GPU; else 0."""
    settings = step.study.settings
    if section == "grpo":
        return int(settings.grpo.train and settings.grpo.base != "smoke")
    if section == "reward":
        return int(settings.reward.tune == "all" and any(base != MINILM for base in settings.reward.bases))
    return int(getattr(settings, section).base != MINILM)
