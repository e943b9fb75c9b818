"""Embeddings on a cluster: batches of texts through actors that each hold the model."""

from __future__ import annotations

import pickle
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from recenter_utils.cluster import connection
from recenter_utils.cluster.dataset import mapped
from recenter_utils.inference import embeddings


class Encoding:
    """What an actor holds: the loaded model."""

    def __init__(self, model: str) -> None:
        self.encoder = embeddings.loaded(model)

    def __call__(self, block: bytes) -> bytes:
        """Return a batch's number and its vectors."""
        number, texts = pickle.loads(block)
        return pickle.dumps((number, self.encoder.encode(texts)))


def encoded(batches: list[list[str]], model: str) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """Yield the number of each batch and its vectors, shape (texts, dimensions), as they are done.

    They are those of this process up to the rounding of single precision. A batch that no actor got done is encoded
    here.
    """
    each = {"GPU": 1.0} if connection.connect().cluster_resources().get("GPU") else {"CPU": 1.0}
    left = dict(enumerate(batches))
    blocks = [pickle.dumps(numbered) for numbered in left.items()]
    for part in mapped(blocks, Encoding, (model,), each, min(len(blocks), connection.workers(each))):
        number, rows = pickle.loads(part)
        del left[number]
        yield number, rows
    for number, batch in left.items():
        yield number, embeddings.encoder(model).encode(batch)
