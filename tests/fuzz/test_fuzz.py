"""Readers are given what is nearly right: sound inputs with bytes changed, and a format's shapes filled at random."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from recenter_utils.settings import Settings
from tests.fuzz.seeds import seeds
from tests.fuzz.targets import TARGETS
from tests.workspaces import ROOT

TEXTS = st.text(max_size=8)
LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | TEXTS
ANYTHING = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(LEAVES, inner, max_size=3))


@pytest.mark.parametrize("target", TARGETS)
def test_sound_inputs_keep_every_promise(target: str) -> None:
    assert seeds(target)
    for seed in seeds(target):
        TARGETS[target](seed)


@st.composite
def changed(draw: st.DrawFn, target: str) -> bytes:
    """A sound input with a few pieces taken out, put in or said twice."""
    data = bytearray(draw(st.sampled_from(seeds(target))))
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, max(0, len(data) - 1)))
        end = start + draw(st.integers(0, 16))
        piece = draw(st.binary(max_size=4) | st.just(bytes(data[start : end + 8])))
        data[start:end] = piece
    return bytes(data)


@pytest.mark.parametrize("target", TARGETS)
@settings(max_examples=40)
@given(data=st.data())
def test_inputs_that_were_damaged_break_no_promise(target: str, data: st.DataObject) -> None:
    TARGETS[target](data.draw(changed(target)))


SECTIONS = {name: list(getattr(field.annotation, "model_fields", {})) for name, field in Settings.model_fields.items()}


@st.composite
def study_files(draw: st.DrawFn) -> dict[Any, Any]:
    """The study file's own names with any values, one of them now and then misspelt."""
    wrong = st.sampled_from(["sources", "sampel", "mergin", ""]) | LEAVES
    source = {"name": st.just("a") | ANYTHING, "format": st.just("csv") | ANYTHING, "path": st.just("a.csv") | ANYTHING}
    file: dict[Any, Any] = {
        "title": "T",
        "sources": draw(st.lists(st.fixed_dictionaries(source), max_size=2) | ANYTHING),
    }
    for name in draw(st.lists(st.sampled_from(sorted(SECTIONS)), max_size=3)):
        keys = st.sampled_from(SECTIONS[name]) | wrong if SECTIONS[name] else wrong
        file[name] = draw(st.dictionaries(keys, ANYTHING, max_size=3) | ANYTHING)
    return file | draw(st.dictionaries(wrong, ANYTHING, max_size=1))


@settings(max_examples=60)
@given(file=study_files())
def test_a_study_file_of_any_shape_is_read_or_refused_in_one_sentence(file: dict[Any, Any]) -> None:
    TARGETS["study"](yaml.safe_dump(file, allow_unicode=True).encode("utf-8", "surrogatepass"))


NAMES = st.sampled_from(["engine", "base_url", "key_env", "price", "options", "sampling", "context_lenght"]) | LEAVES


@settings(max_examples=60)
@given(
    entry=st.dictionaries(NAMES, st.sampled_from(["openai", "http://a"]) | ANYTHING, max_size=4) | ANYTHING, name=LEAVES
)
def test_a_models_file_of_any_shape_is_read_or_refused_in_one_sentence(entry: Any, name: Any) -> None:
    TARGETS["models"](yaml.safe_dump({name: entry}, allow_unicode=True).encode("utf-8", "surrogatepass"))


CELLS = {
    "item": st.sampled_from(["a1", "a2", "a3"]) | LEAVES,
    "rater": st.sampled_from(["ann", "ben", "simulated-1"]) | LEAVES,
    "label": st.sampled_from(["accepted", "Makes sense", "4", "prefer a", ""]) | LEAVES,
    "first_shown": st.sampled_from(["generic", "personalised", ""]) | LEAVES,
    "answered_at": st.datetimes().map(str) | st.sampled_from(["0001-01-01T00:00+23:59", "2026", ""]) | LEAVES,
    "flagged": st.sampled_from(["x", "no"]) | LEAVES,
    "note": ANYTHING.filter(lambda value: not isinstance(value, dict)),
    "attribute": st.sampled_from(["Likes tea.", "Has a baby."]) | LEAVES,
}


@settings(max_examples=60)
@given(rows=st.lists(st.fixed_dictionaries(CELLS), max_size=5), scale=st.sampled_from([b"\x81", b"\x83", b"\x01"]))
def test_judgments_of_any_shape_are_taken_or_have_a_fault(rows: list[dict[str, Any]], scale: bytes) -> None:
    TARGETS["judgments"](scale + "\n".join(map(json.dumps, rows)).encode())


@settings(max_examples=60)
@given(value=ANYTHING.map(lambda value: json.dumps(value, default=str)), text=st.text(max_size=40))
def test_no_value_leaves_its_slot(value: str, text: str) -> None:
    TARGETS["slots"](value.encode())
    TARGETS["slots"](text.encode("utf-8", "surrogatepass"))


@pytest.mark.skipif(importlib.util.find_spec("atheris") is None, reason="atheris has no build for this platform")
def test_the_command_finds_what_breaks_a_promise(tmp_path: Path) -> None:
    broken = "import tests.fuzz.targets as t, sys\ndef boom(data):\n    assert data[:1] != b'<'\n"
    broken += "t.TARGETS['slots'] = boom\nsys.argv = ['ask', 'slots', *sys.argv[1:]]\n"
    code = broken + "import runpy\nrunpy.run_module('tests.fuzz.ask', run_name='__main__')"
    options = ["-runs=200000", "-seed=1", f"-artifact_prefix={tmp_path}/"]
    done = subprocess.run([sys.executable, "-c", code, *options], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode
    assert "AssertionError" in done.stderr + done.stdout
    assert [path.read_bytes()[:1] for path in tmp_path.iterdir()] == [b"<"]
