"""What a model is trained from: a folder, or a model of the hub; and training without a word to the network."""

from __future__ import annotations

import hashlib
import json
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from recenter_utils import provenance
from recenter_utils.errors import RecenterError

#: What keeps the hub's library and peft from asking the hub, and vLLM from reporting how it is used.
_SILENT = {"HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1"}


def located(base: str, home: Path | None = None) -> str:
    """Return the path of a base that is a folder, and any other base as it stands.

    home: The study's folder, from which a relative path leads, as all paths of a study file do.

    Raises RecenterError where the name leads to a folder from the working directory only: libraries would take it.
    """
    path = Path(base).expanduser()
    if (found := (home / path if home else path)).is_dir():
        return str(found)
    if path.is_dir():
        raise RecenterError(
            f"'{base}' is a folder of the working directory and not of the study's folder {home}: name it by its full "
            "path, or from the study's folder."
        )
    return base


def fingerprint(base: str) -> str:
    """Return a hash of what a located base holds; of a model of the hub its name.

    Hidden files and texts for readers (`.md`) count for nothing, nor does when a file was written.
    """
    folder = Path(base)
    if not folder.is_dir():
        return base
    files = [
        path
        for path in sorted(folder.iterdir())
        if path.is_file() and path.suffix != ".md" and not path.name.startswith(".")
    ]
    known = [(path.name, path.stat().st_size, provenance.sampled_hash(path)) for path in files]
    return hashlib.blake2b(json.dumps(known).encode(), digest_size=12).hexdigest()


def commit(base: str) -> str:
    """Return the commit of a hub model in the local cache; an empty string where none is there, and for a folder."""
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    if Path(base).is_dir():
        return ""
    try:
        found = try_to_load_from_cache(base, "config.json")
    except HFValidationError:
        return ""
    return Path(found).parent.name if isinstance(found, str) else ""


@contextmanager
def silent() -> Iterator[None]:
    """Keep libraries from the network: peft would ask the hub for the base at each checkpoint, and vLLM report.

    Only within this process and those that it starts, and only until the end of the block.
    """
    from huggingface_hub import constants

    before, offline = {name: os.environ.get(name) for name in _SILENT}, constants.HF_HUB_OFFLINE
    os.environ.update(_SILENT)
    constants.HF_HUB_OFFLINE = True
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Could not find a config file in")  # peft, of what it may not ask
            yield
    finally:
        constants.HF_HUB_OFFLINE = offline
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
