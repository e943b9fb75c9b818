"""How one round of judging is conducted: what is asked, of whom, by which rules, and what they are told at its end."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

from recenter_utils.annotation.assignment import Rules
from recenter_utils.annotation.tasks import Task
from recenter_utils.errors import RecenterError

TEXTS = Path(__file__).parent / "texts"

_COMPLETE = "https://app.prolific.com/submissions/complete?cc="
_CODE = re.compile(r"[A-Za-z0-9_-]{1,64}")


@dataclass(frozen=True)
class Codes:
    """What Prolific is told of a participant: that they completed, declined, or failed the check items."""

    completion: str | None = None
    declined: str | None = None
    failed: str | None = None

    def __post_init__(self) -> None:
        for code in filter(None, (self.completion, self.declined, self.failed)):
            if not _CODE.fullmatch(code):
                raise RecenterError(f"'{code}' cannot be a code: letters, digits, '-' and '_' can.")


@dataclass(frozen=True)
class Conduct:
    """One round of judging. `min_passed` is the share of check items that must be passed; None is any.

    `texts` is the folder with the study's own consent.md and instructions, if it has any.
    """

    title: str
    task: Task
    rules: Rules = field(default_factory=Rules)
    prolific: bool = False
    codes: Codes = field(default_factory=Codes)
    min_passed: float | None = None
    texts: Path | None = None

    @property
    def buttons(self) -> list[dict[str, str]]:
        """The answers in the order of their buttons: agreement first, and a preference from A to B."""
        scale = self.task.scale
        labels = scale.labels if scale.task == "preference" else scale.labels[::-1]
        return [{"label": label, "words": scale.words[label], "key": str(key)} for key, label in enumerate(labels, 1)]

    def link(self, code: str | None) -> str | None:
        """Return where a participant from Prolific takes a code."""
        return _COMPLETE + code if code and self.prolific else None

    def text(self, name: str) -> str:
        """Return `consent` or `instructions` as Markdown: the study's own, or the one that comes with the app."""
        tasks = dict.fromkeys((self.task.name, self.task.scale.task))
        spelled = [spelling for task in tasks for spelling in (task, task.replace("_", "-"))]
        own = ["consent.md"] if name == "consent" else [f"instructions-{task}.md" for task in spelled]
        ours = ["consent.md"] if name == "consent" else [f"{task}.md" for task in spelled]
        places = [self.texts / file for file in own] if self.texts else []
        for file in places + [TEXTS / file for file in ours]:
            if file.is_file():
                try:
                    return file.read_text(encoding="utf-8")
                except (OSError, UnicodeDecodeError) as problem:
                    raise RecenterError(f"{file} cannot be read as UTF-8 text ({problem}).") from None
        raise RecenterError(f"There is no text for {name}: write {places[0] if places else ours[0]}.")
