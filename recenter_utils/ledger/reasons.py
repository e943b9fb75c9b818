"""Why a study's number and the published one differ, as far as the study itself can tell: from its files and tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from recenter_utils.ledger.evidence import Answer, Evidence, Number
from recenter_utils.scales import PEOPLE

FIVE = ("claude-sonnet-4.6", "gpt-5.4", "gemma-4-31b", "llama-3.3-70b", "qwen3.5-27b")

#: The paper's models by role (§3, §4.1, Appendices A, B and D).
MODELS: Mapping[str, tuple[str, ...]] = {
    "extraction": ("llama-3.3-70b",),
    "failures": ("gpt-5.4",),
    "verifiers": FIVE,
    "relevance": FIVE,
    "generators": FIVE,
    "preference": FIVE,
    "mentions": ("gpt-5.4",),
}

#: What a role is called in a reason.
ROLES = {
    "extraction": "extractor",
    "failures": "categoriser",
    "verifiers": "verifiers",
    "relevance": "judges",
    "generators": "generators",
    "preference": "judges",
    "mentions": "detector",
}

_PEOPLE = {
    ("human",): "other people",
    ("simulated",): "simulated annotators, not people",
    PEOPLE: "people and simulated annotators together",
    "people": "other people",
    "simulated": "simulated annotators, not people",
    "people and simulated": "people and simulated annotators together",
    "benchmark": "held against a benchmark's links, not against annotators",
}

#: Said where nothing is known that differs.
CHANCE = "nothing in its design: chance"


def why(answer: Answer, found: Number, published: Mapping[str, Any], study: Evidence) -> list[str]:
    """Return the reasons, in words; none where the study has no number.

    published: a row of the findings.
    """
    if found.value != found.value:
        return []
    reasons = [
        *_annotators(answer, study),
        *(reason for role in answer.asked for reason in _models(role, study)),
        *(reason for drawn in answer.drawn for reason in _data(drawn, study)),
        *([answer.differs(study)] if answer.differs else []),
        *_size(found, published),
    ]
    return list(dict.fromkeys(filter(None, reasons))) or [CHANCE]


def place(found: Number, published: float, qualifier: str | None = None) -> str | None:
    """Return where the study's interval is, beside the published number: `holds`, `above` or `below`.

    None without an interval. Of a number that the paper gives as `above` so much, an interval holds all that is.
    """
    if found.low != found.low or found.high != found.high:
        return None
    if found.high < published:
        return "below"
    return "holds" if found.low <= published or qualifier == "above" else "above"


def _annotators(answer: Answer, study: Evidence) -> Iterator[str]:
    if not answer.judged:
        return
    if answer.judged == "relevance_consensus":
        made = study.table(answer.judged)["reference_by"].drop_nulls().unique().sort()
        yield from (_PEOPLE[one] for one in made)
        return
    kinds = set(study.counted(answer.judged)["rater_kind"])
    if found := tuple(kind for kind in PEOPLE if kind in kinds):
        yield _PEOPLE[found]


def _models(role: str, study: Evidence) -> Iterator[str]:
    named = getattr(study.settings.models, role)
    names = [named] if isinstance(named, str) else list(named)
    rules = [name for name in names if study.engines.get(name) == "embedded"]
    others = [name for name in names if name not in rules and name.lower() not in MODELS[role]]
    lacking = [name for name in MODELS[role] if name not in map(str.lower, names)]
    if rules:
        yield f"{ROLES[role]}: rules, no language model" + "s" * (len(names) > 1)
    if others:
        yield f"{ROLES[role]}: {', '.join(others)}"
    elif lacking and not rules:
        yield f"{ROLES[role]}: without {', '.join(lacking)}"


def _data(drawn: str, study: Evidence) -> Iterator[str]:
    settings = study.settings
    if drawn == "requests":
        invented = settings.pairing.origin == "simulated"
        tasks = settings.pairing.format == "personalens"
        yield "tasks of PersonaLens" if tasks else "invented requests" if invented else "other requests"
        return
    paper = {"real": ("wildchat",), "synthetic": ("prefeval", "cupid", "personalens")}.get(drawn, (drawn,))
    kind = drawn if drawn in ("real", "synthetic") else None
    chosen = [one for one in settings.sources if one.kind == kind or one.format == drawn]
    if not chosen:
        return
    if all(one.origin == "simulated" for one in chosen):
        yield "invented chats"
    elif others := [one.name for one in chosen if one.format not in paper]:
        yield f"{'users' if drawn == 'real' else 'benchmarks'} of {', '.join(others)}"
    else:
        yield "other users of the same sources"


def _size(found: Number, published: Mapping[str, Any]) -> Iterator[str]:
    if found.n is not None and published["n"] is not None and found.n != published["n"]:
        same = found.of == published["n_of"]
        yield f"{found.n:,} {found.of}, not {published['n']:,}" + f" {published['n_of']}" * (not same)
