"""Pages of the book that are written by the code they describe, and what was measured of it."""

from __future__ import annotations

import json

from recenter_utils import measured
from recenter_utils.inference.prompts import load_prompt, prompt_names
from recenter_utils.settings import Section, Settings, Source
from recenter_utils.study import Study
from recenter_utils.tables import TABLES


def pages(study: Study) -> dict[str, str]:
    """Return the pages as MyST Markdown, by file name."""
    return {
        "settings": _settings(),
        "codebook": _codebook(),
        "prompts": _prompts(),
        "models": _models(study),
        "measured": measured.page(study.root),
    }


def _settings() -> str:
    sections = [
        "# Settings\n\nEvery key of `study.yaml`. A key that is left out has the default; one that is not here is "
        "refused with the nearest that is."
    ]
    sections.append(_keys("study.yaml", Settings))
    for name, part in Settings.model_fields.items():
        kind = part.annotation
        if name == "sources":
            sections.append(_keys("Each of sources", Source))
        elif isinstance(kind, type) and issubclass(kind, Section):
            sections.append(_keys(name, kind))
    return "\n\n".join(sections) + "\n"


def _keys(title: str, section: type[Section]) -> str:
    rows = ["| key | default | meaning |", "|---|---|---|"]
    for name, part in section.model_fields.items():
        kind = part.annotation
        nested = isinstance(kind, type) and issubclass(kind, Section)
        default = "below" if nested else "required" if part.is_required() else f"`{json.dumps(part.default)}`"
        rows.append(f"| `{name}` | {default} | {part.description or (kind.__doc__ if nested else '')} |")
    return f"## {title}\n\n{section.__doc__}\n\n" + "\n".join(rows)


def _codebook() -> str:
    parts = [
        "# Codebook\n\nEvery table of a study, as the package checks it. Tables are parquet files in "
        "`data/<study>/tables/`; each also holds how it was made (notebook, settings, hashes of its inputs, origin)."
    ]
    for spec in TABLES.values():
        rows = ["| column | type | values | meaning |", "|---|---|---|---|"]
        for name, column in spec.described.items():
            allowed = column.unit.replace(" | ", ", ") + (" or missing" if column.nullable else "")
            kind = str(spec.columns[name]).replace("|", ", ")
            rows.append(f"| `{name}` | {kind} | {allowed.strip()} | {column.description} |")
        key = f" Key: {', '.join(f'`{name}`' for name in spec.key)}." if spec.key else ""
        parts.append(f"## {spec.name}\n\nOne row is {spec.one_row}.{key}\n\n" + "\n".join(rows))
    return "\n\n".join(parts) + "\n"


def _prompts() -> str:
    parts = [
        "# Prompts\n\nWhat models are asked, as it is sent. Words in double braces are slots, filled with JSON, "
        "so that nothing in a chat can end its slot or pass for an instruction. The version follows from the content."
    ]
    for name in prompt_names():
        prompt = load_prompt(name)
        sampling = ", ".join(f"{key} {value}" for key, value in prompt.sampling.items())
        sections = "\n\n".join(f"**{role}**\n\n````text\n{text}\n````" for role, text in prompt.sections)
        facts = f"`{name}`, version `{prompt.version}`, {sampling}. Paper: {prompt.paper}."
        parts.append(f"## {prompt.title}\n\n{facts}\n\n{sections}")
    return "\n\n".join(parts) + "\n"


def _names(named: str | list[str] | tuple[str, ...]) -> tuple[str, ...]:
    return (named,) if isinstance(named, str) else tuple(named)


def _models(study: Study) -> str:
    used = study.settings.models.model_dump()
    rows = ["| model | engine | asked as | used here for | note |", "|---|---|---|---|---|"]
    for model in study.models.values():
        roles = ", ".join(role.replace("_", " ") for role, named in used.items() if model.name in _names(named))
        rows.append(
            f"| `{model.name}` | {model.engine} | `{model.asked_name}` | {roles or '–'} | {measured.cell(model.note)} |"
        )
    return (
        "# Models\n\nEvery model a study can name. `embedded` models are rules and MiniLM on the CPU: they read the "
        "text they are given, and stand where language models stand, at different operating points. None of them is "
        "a language model."
        "\n\n" + "\n".join(rows) + f"\n\nEmbeddings: `{study.settings.models.embedding}`.\n"
    )
