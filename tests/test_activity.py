from __future__ import annotations

from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from recenter_utils.attributes.activity import Activity, counted
from recenter_utils.corpora.identifiers import Met

BATCHES = st.lists(
    st.lists(
        st.fixed_dictionaries({
            "user_id": st.sampled_from(["a", "b", "c", "d", "é"]),
            "by_metadata": st.booleans(),
            "stays": st.booleans(),
            "said": st.lists(st.just("Hello"), max_size=3) | st.none(),
        }),
        max_size=8,
    ),
    max_size=8,
)  # fmt: skip
SCHEMA = {"user_id": pl.String, "by_metadata": pl.Boolean, "stays": pl.Boolean, "said": pl.List(pl.String)}


@given(batches=BATCHES, held=st.integers(0, 12))
def test_counts_of_a_user_do_not_depend_on_batches(batches: list[list[dict]], held: int) -> None:
    with TemporaryDirectory() as folder:
        activity = Activity(Path(folder), held)
        for batch in batches:
            activity.add(counted(pl.DataFrame(batch, schema=SCHEMA).with_columns(source=pl.lit("chats"))))
        found = activity.users()
    rows = [row for batch in batches for row in batch]
    assert found["user_id"].to_list() == list(dict.fromkeys(row["user_id"] for row in rows))
    assert found["source"].to_list() == ["chats"] * len(found)
    for column, weigh in {
        "n_conversations_loaded": lambda _: 1,
        "n_by_metadata": lambda row: row["by_metadata"],
        "n_conversations": lambda row: row["stays"],
        "n_user_turns": lambda row: row["stays"] * len(row["said"] or ()),
    }.items():
        expected: Counter[str] = Counter()
        for row in rows:
            expected[row["user_id"]] += weigh(row)
        assert dict(found.select("user_id", column).iter_rows()) == dict(expected)
        assert found[column].dtype == pl.Int64


@given(st.lists(st.lists(st.integers(0, 40).map(str), max_size=12), max_size=12))
def test_an_identifier_is_known_from_every_earlier_batch(batches: list[list[str]]) -> None:
    met, earlier = Met(), set[str]()
    for batch in batches:
        known = met.before(pl.Series(batch, dtype=pl.String))
        assert known.to_list() == [identifier in earlier for identifier in batch]
        earlier.update(batch)
