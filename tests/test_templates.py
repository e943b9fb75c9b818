from __future__ import annotations

import subprocess
import sys
from collections import Counter, defaultdict
from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from recenter_utils.attributes import templates
from recenter_utils.attributes.templates import Repeats, windows


def naive(turns: list[str | None], window: int) -> list[set[str]]:
    """Each turn's windows by the definition, as text."""

    def fold(character: str) -> str:
        return " " if character.isspace() else "0" if character.isdecimal() else character.lower()[0]

    found = []
    for turn in turns:
        text = " ".join("".join(map(fold, turn or "")).split(" ")).strip()
        while "  " in text:
            text = text.replace("  ", " ")
        step = window // 2
        found.append({text[i : i + 2 * step] for i in range(0, len(text) - 2 * step + 1, step)})
    return found


def hashed(turns: list[str | None], window: int) -> list[set[int]]:
    found: list[set[int]] = [set() for _ in turns]
    for turn, value in windows(pl.Series(turns, dtype=pl.String), window).iter_rows():
        found[turn].add(value)
    return found


# Few characters and repeated pieces, so that windows do meet; code points of one to four bytes and odd spaces.
PIECES = st.text(alphabet="aB3 \t\n\u00a0ßİé中😀٣", max_size=12)
TURNS = st.lists(
    st.none() | st.builds(lambda piece, times, more: piece * times + more, PIECES, st.integers(0, 12), PIECES),
    max_size=8,
)


@settings(max_examples=400, deadline=None)
@given(turns=TURNS, window=st.sampled_from([20, 21, 40]), length=st.sampled_from([1, 30, 2_000_000]))
def test_windows_are_those_of_the_definition(turns, window, length):
    normal = templates.SLICE_CHARACTERS
    templates.SLICE_CHARACTERS = length
    try:
        ours, theirs = hashed(turns, window), naive(turns, window)
    finally:
        templates.SLICE_CHARACTERS = normal
    assert [len(found) for found in ours] == [len(found) for found in theirs]
    for one in range(len(turns)):
        for other in range(len(turns)):
            assert len(ours[one] & ours[other]) == len(theirs[one] & theirs[other])


@settings(max_examples=200, deadline=None)
@given(
    said=st.lists(st.tuples(st.integers(0, 3), PIECES, st.integers(0, 8)), max_size=40),
    parts=st.integers(1, 5),
    least=st.integers(1, 3),
    held=st.sampled_from([0, 20, 1000]),
)
def test_the_most_frequent_window_of_a_user_is_counted_over_batches_in_memory_or_not(said, parts, least, held):
    users = pl.Series([user for user, _, _ in said], dtype=pl.UInt64)
    turns = pl.Series([piece * times for _, piece, times in said], dtype=pl.String)
    with TemporaryDirectory() as folder:
        repeats = Repeats(Path(folder), held)
        for part in range(parts):
            mine = pl.arange(len(said), eager=True) % parts == part
            repeats.add(templates.counted(users.filter(mine), turns.filter(mine), 20))
        most = repeats.most(least)
    counted: dict[int, Counter] = defaultdict(Counter)
    for user, found in zip(users, naive(turns.to_list(), 20), strict=True):
        counted[user].update(found)
    expected = {user: max(counts.values(), default=0) for user, counts in counted.items()}
    assert dict(most.iter_rows()) == {user: number for user, number in expected.items() if number >= least}


def test_a_turn_shorter_than_a_window_has_none():
    assert windows(pl.Series(["thanks", "x" * 119, "x" * 60 + " " * 80, ""])).is_empty()
    assert len(windows(pl.Series(["x" * 120]))) == 1


def test_digits_case_and_white_space_hide_no_template():
    plain = "write scene 1 of the story about the dog who crossed the river and came back with a letter, please. " * 2
    other = "\n " + plain.upper().replace("1", "2").replace(" ", "  \t") + "\n"
    assert hashed([plain], 120)[0] == hashed([other], 120)[0] != set()


def test_a_window_counts_once_in_a_turn(tmp_path):
    repeats = Repeats(tmp_path)
    repeats.add(templates.counted(pl.Series([7], dtype=pl.UInt64), pl.Series(["a" * 6000])))
    assert dict(repeats.most(1).iter_rows()) == {7: 1}


def test_another_process_finds_the_same_windows():
    code = (
        "import polars as pl; from recenter_utils.attributes.templates import windows;"
        "print(sorted(windows(pl.Series(['lorem ipsum 123 ' * 30, 'é中' * 90]))['window'].to_list()))"
    )
    seen = {
        subprocess.check_output([sys.executable, "-c", code], env={"PYTHONHASHSEED": seed}, text=True) for seed in "12"
    }
    ours = sorted(windows(pl.Series(["lorem ipsum 123 " * 30, "é中" * 90]))["window"].to_list())
    assert seen == {f"{ours}\n"}
