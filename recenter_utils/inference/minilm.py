"""all-MiniLM-L6-v2 in numpy: for few texts, where loading torch and sentence-transformers takes longer than encoding.

The vectors are those of sentence-transformers up to the rounding of single precision.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

#: Of the model: its attention heads, what its layer norms add to a variance, and the most tokens that it reads.
HEADS, EPSILON, LONGEST = 12, 1e-12, 256

#: Tokens encoded at once: what they fill in memory stays in a core's cache.
TOKENS = 1024

Array = NDArray[np.float32]


class _Dense(NamedTuple):
    """An affine map, from and to the last axis."""

    weight: Array
    bias: Array

    def __call__(self, x: Array) -> Array:
        return np.add(x @ self.weight, self.bias)


class _Norm(NamedTuple):
    """A layer norm; it works in place."""

    weight: Array
    bias: Array

    def __call__(self, x: Array) -> Array:
        x -= x.mean(-1, keepdims=True)
        x /= np.sqrt((x * x).mean(-1, keepdims=True) + np.float32(EPSILON))
        x *= self.weight
        x += self.bias
        return x


class _Layer(NamedTuple):
    attended: _Dense  # queries, keys and values beside one another
    out: _Dense
    first: _Norm
    wide: _Dense
    narrow: _Dense
    second: _Norm


class MiniLM:
    """The model in a folder of sentence-transformers, read once."""

    def __init__(self, folder: Path) -> None:
        from safetensors.numpy import load_file
        from tokenizers import Tokenizer

        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(LONGEST)
        held = load_file(folder / "model.safetensors")
        self._words = held["embeddings.word_embeddings.weight"]
        self._places = (
            held["embeddings.position_embeddings.weight"] + held["embeddings.token_type_embeddings.weight"][0]
        )
        self._opening = _Norm(held["embeddings.LayerNorm.weight"], held["embeddings.LayerNorm.bias"])
        layers = sum(name.endswith("attention.self.query.weight") for name in held)
        self._layers = [_layer(held, f"encoder.layer.{place}.") for place in range(layers)]

    @property
    def dimensions(self) -> int:
        """The length of a vector."""
        return int(self._words.shape[1])

    def encode(self, texts: Sequence[str]) -> Array:
        """Return the texts' vectors, shape (texts, dimensions), in order, each of unit length."""
        ids = [found.ids for found in self._tokenizer.encode_batch(list(texts))]
        vectors = np.empty((len(ids), self.dimensions), dtype=np.float32)
        for length in {len(one) for one in ids}:
            rows = [row for row, one in enumerate(ids) if len(one) == length]  # of one length, so that none is padded
            step = max(1, TOKENS // length)
            for start in range(0, len(rows), step):
                some = rows[start : start + step]
                vectors[some] = self._means(np.array([ids[row] for row in some]))
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

    def _means(self, ids: NDArray[Any]) -> Array:
        from scipy.special import erf

        texts, length = ids.shape
        width = self.dimensions // HEADS
        x = self._opening((self._words[ids] + self._places[:length]).reshape(texts * length, -1))
        for attended, out, first, wide, narrow, second in self._layers:
            query, key, value = attended(x).reshape(texts, length, 3, HEADS, width).transpose(2, 0, 3, 1, 4)
            weights = query @ key.transpose(0, 1, 3, 2)
            weights -= weights.max(-1, keepdims=True)
            np.exp(weights, out=weights)
            weights /= weights.sum(-1, keepdims=True)
            x = first(out((weights @ value).transpose(0, 2, 1, 3).reshape(texts * length, -1)) + x)
            inner = wide(x)
            gate = erf(inner)
            gate += 1
            x = second(narrow(np.multiply(inner, gate, out=gate)) + x)
        return x.reshape(texts, length, -1).mean(1)


def _layer(held: dict[str, Array], name: str) -> _Layer:
    def dense(part: str, read: float = 1.0, give: float = 1.0) -> _Dense:
        weight, bias = held[f"{name}{part}.weight"].T, held[f"{name}{part}.bias"]
        return _Dense(weight * np.float32(read * give), bias * np.float32(give))

    def norm(part: str) -> _Norm:
        return _Norm(held[f"{name}{part}.weight"], held[f"{name}{part}.bias"])

    width = held[f"{name}attention.self.query.bias"].size // HEADS
    parts = [
        dense("attention.self.query", give=width**-0.5),
        *map(dense, ("attention.self.key", "attention.self.value")),
    ]
    return _Layer(
        _Dense(np.concatenate([part.weight for part in parts], 1), np.concatenate([part.bias for part in parts])),
        dense("attention.output.dense"),
        norm("attention.output.LayerNorm"),
        # GELU(x) is x (1 + erf(x / sqrt 2)) / 2: its factors stand in the weights before and after it.
        dense("intermediate.dense", give=0.5**0.5),
        dense("output.dense", read=0.5**0.5),
        norm("output.LayerNorm"),
    )
