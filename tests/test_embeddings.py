"""Embeddings: in order, once each, kept on disk, offline."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from recenter_utils.errors import RecenterError
from recenter_utils.inference import embeddings
from recenter_utils.inference.embeddings import embed, encoder, packaged
from recenter_utils.inference.minilm import MiniLM
from recenter_utils.inference.vectors import VectorStore

SENTENCES = ["The user plays the cello.", "The user is a cello player.", "The user codes in Rust.", ""]


class CountingModel:
    """A model whose vectors follow from the text alone, and which remembers what it was asked."""

    def __init__(self, dimensions: int = 8) -> None:
        self.dimensions, self.batches = dimensions, []

    def encode(self, texts: list[str], **_: object) -> np.ndarray:
        self.batches.append(list(texts))
        rows = [np.random.default_rng(list(text.encode())).standard_normal(self.dimensions) for text in texts]
        return np.array([row / np.linalg.norm(row) for row in rows], dtype=np.float32)

    @property
    def asked(self) -> list[str]:
        return [text for batch in self.batches for text in batch]


@pytest.fixture
def model(monkeypatch) -> CountingModel:
    counting = CountingModel()
    monkeypatch.setattr(embeddings, "encoder", lambda name: counting)
    return counting


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "embeddings.sqlite"


def test_minilm_gives_unit_vectors_that_know_what_is_alike():
    found = embed(SENTENCES)
    assert (found.shape, found.dtype) == ((4, 384), np.float32)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)
    assert found[0] @ found[1] > 0.7 > 0.3 > found[0] @ found[2]


def test_numpy_gives_the_vectors_of_sentence_transformers(monkeypatch):
    texts = [
        *SENTENCES,
        "cello " * 400,
        "Früh übt sich, 練習 \U0001f3bb",
        *(f"The user has {n} cats" for n in range(80)),
    ]
    folder = packaged("all-MiniLM-L6-v2")
    assert folder is not None
    monkeypatch.setattr(embeddings, "FIRST", 0)  # torch from the first text on
    encoder.cache_clear()
    np.testing.assert_allclose(MiniLM(folder).encode(texts), embed(texts), atol=2e-6)


def test_few_texts_are_encoded_without_torch_and_many_with_it():
    code = (
        "import sys\n"
        "from recenter_utils.inference import embeddings\n"
        "embeddings.FIRST = 3\n"
        "for texts in (['a', 'b'], ['c'], ['d']):\n"
        "    embeddings.embed(texts)\n"
        "    print('torch' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False", "True"]


def test_no_texts_give_no_rows_of_the_right_width():
    assert embed([]).shape == (0, 384)


def test_lone_surrogates_are_embedded_and_pairs_become_their_character(cache):
    found = embed(["cello \ud83d", "cello \ud83c\udfbb", "cello \N{VIOLIN}", "cello \ufffd"], cache=cache)
    assert np.array_equal(found[0], found[3])
    assert np.array_equal(found[1], found[2])
    assert np.array_equal(
        found, embed(["cello \ud83d", "cello \ud83c\udfbb", "cello \N{VIOLIN}", "cello \ufffd"], cache=cache)
    )


def test_the_packaged_model_opens_no_connection():
    code = (
        "import socket\n"
        "def refuse(*_): raise SystemExit('asked the network')\n"
        "socket.getaddrinfo = socket.socket.connect = refuse\n"
        "from recenter_utils.inference import embeddings\n"
        "print(embeddings.embed(['x']).shape)\n"
        "embeddings.FIRST = 0\n"
        "print(embeddings.embed(['x']).shape)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout == "(1, 384)\n(1, 384)\n", done.stderr
    assert "Loading" not in done.stderr


def test_an_unknown_model_is_one_sentence(tmp_path, monkeypatch):
    def unreachable(name: str) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr(embeddings, "_ask_hub", unreachable)
    with pytest.raises(
        RecenterError, match=r"'nobody/nothing' is neither on this machine.*no route to host.*all-MiniLM-L6-v2"
    ):
        encoder("nobody/nothing")
    with pytest.raises(RecenterError, match="holds no sentence-transformers model"):
        encoder(str(tmp_path))


def test_rows_come_in_order_and_each_text_is_encoded_once(model):
    texts = ["b", "a", "b", "ccc", "a"]
    found = embed(texts)
    assert sorted(model.asked) == ["a", "b", "ccc"]
    for row, text in zip(found, texts, strict=True):
        assert np.array_equal(row, CountingModel().encode([text])[0])


def test_texts_of_one_length_are_encoded_together(model, monkeypatch):
    monkeypatch.setattr(embeddings, "BATCH", 3)
    embed(["a", "bbbb", "c", "dddd", "e", "ffff"])
    assert [{len(text) for text in batch} for batch in model.batches] == [{4}, {1}]


def test_what_is_cached_is_not_encoded_again(model, cache):
    first = embed(["a", "b"], cache=cache)
    again = embed(["c", "b", "a"], cache=cache)
    assert model.asked == ["a", "b", "c"]
    assert np.array_equal(again[[2, 1]], first)


def test_a_full_cache_needs_no_model(model, cache, monkeypatch):
    texts = [f"text {row}" for row in range(1201)]
    first = embed(texts, cache=cache)
    monkeypatch.setattr(embeddings, "encoder", lambda name: pytest.fail("loaded the model"))
    assert np.array_equal(embed(texts, cache=cache), first)


def test_models_do_not_share_vectors(model, cache):
    embed(["a"], "one", cache)
    embed(["a"], "two", cache)
    assert model.asked == ["a", "a"]


def test_a_run_that_dies_keeps_the_batches_it_finished(model, cache, monkeypatch):
    monkeypatch.setattr(embeddings, "BATCH", 2)
    whole = model.encode

    def die_on_the_third(texts: list[str], **options: object) -> np.ndarray:
        if len(model.batches) == 2:
            raise KeyboardInterrupt
        return whole(texts, **options)

    monkeypatch.setattr(model, "encode", die_on_the_third)
    with pytest.raises(KeyboardInterrupt):
        embed(list("abcdef"), cache=cache)
    monkeypatch.setattr(model, "encode", whole)
    embed(list("abcdef"), cache=cache)
    assert sorted(model.asked) == list("abcdef")


def test_two_processes_may_fill_one_cache(cache):
    code = (
        "import sys, numpy as np\n"
        "from pathlib import Path\n"
        "from recenter_utils.inference import embeddings\n"
        "sys.path.insert(0, sys.argv[2])\n"
        "from test_embeddings import CountingModel\n"
        "embeddings.encoder = lambda name: CountingModel()\n"
        "embeddings.BATCH = 5\n"
        "texts = [f'text {row}' for row in range(600)]\n"
        "found = embeddings.embed(texts, cache=Path(sys.argv[1]))\n"
        "assert np.array_equal(found, CountingModel().encode(texts))\n"
    )
    command = [sys.executable, "-c", code, str(cache), str(Path(__file__).parent)]
    running = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(3)]
    assert [(process.communicate()[1], process.returncode) for process in running] == [("", 0)] * 3
    with sqlite3.connect(cache) as database:
        assert database.execute("SELECT count(*) FROM vectors").fetchone() == (600,)


def test_opening_a_new_cache_many_at_once_never_fails(cache):
    faults: list[Exception] = []

    def open_it() -> None:
        try:
            with VectorStore(cache, "m") as store:
                list(store.look_up(["a"]))
        except Exception as fault:
            faults.append(fault)

    threads = [threading.Thread(target=open_it) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []


def refused(cache: Path, words: str) -> None:
    before = cache.read_bytes()
    with pytest.raises(RecenterError, match=words) as problem:
        embed(["a"], cache=cache)
    assert str(cache) in str(problem.value)
    assert cache.read_bytes() == before


def test_a_file_that_is_no_database_is_refused_and_left_alone(model, tmp_path):
    cache = tmp_path / "notes.txt"
    cache.write_text("my notes\n" * 500)
    refused(cache, r"not a database.*Move it away")


def test_another_programs_database_is_refused_and_left_alone(model, tmp_path):
    cache = tmp_path / "other.sqlite"
    with sqlite3.connect(cache) as database:
        database.execute("CREATE TABLE vectors (x)")
    refused(cache, "another program's database")


def test_a_damaged_cache_is_refused(model, cache):
    embed([f"text {row}" for row in range(400)], cache=cache)
    with sqlite3.connect(cache) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    whole = cache.read_bytes()
    cache.write_bytes(whole[:4096] + b"\xff" * (len(whole) - 4096))
    with pytest.raises(RecenterError, match="Move it away"):
        embed([f"text {row}" for row in range(400)], cache=cache)


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("UPDATE vectors SET vector = zeroblob(32)", "not of unit length"),
        ("UPDATE vectors SET vector = zeroblob(31) WHERE rowid = 2", "differ in length"),
        ("UPDATE vectors SET vector = x''", "not of unit length"),
    ],
)
def test_stored_values_that_are_no_vectors_are_refused(model, cache, fault, words):
    embed(["a", "b"], cache=cache)
    with sqlite3.connect(cache) as database:
        database.execute(fault)
    with pytest.raises(RecenterError, match=words):
        embed(["a", "b"], cache=cache)


def test_a_model_that_changed_its_width_is_refused(model, cache):
    embed(["a"], cache=cache)
    model.dimensions = 9
    with pytest.raises(RecenterError, match="8 numbers"):
        embed(["a", "b"], cache=cache)


def test_a_row_that_is_no_text_is_named(model):
    with pytest.raises(RecenterError, match=r"Row 1 .* NoneType"):
        embed(["a", None])  # type: ignore[list-item]


def test_a_folder_that_cannot_be_made_is_one_sentence(model, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RecenterError, match="permissions"):
        embed(["a"], cache=tmp_path / "file" / "cache.sqlite")
