from __future__ import annotations

import gc
import gzip
import json
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recenter_utils import tables
from recenter_utils.corpora import wildchat
from recenter_utils.errors import RecenterError
from recenter_utils.settings import Source

SOURCE = Source(name="wild", format="wildchat", path=".")
NO_USERS = Source(name="wild", format="wildchat", path=".", user_is="conversation")
TURN = pa.struct(
    [
        ("content", pa.string()),
        ("country", pa.string()),
        ("hashed_ip", pa.string()),
        ("header", pa.struct([("accept-language", pa.string()), ("role", pa.string())])),
        ("role", pa.string()),
        ("toxic", pa.bool_()),
    ]
)
SCHEMA = pa.schema(
    [
        ("conversation_hash", pa.string()),
        ("model", pa.string()),
        ("conversation", pa.list_(TURN)),
        ("turn", pa.int64()),
        ("language", pa.string()),
        ("toxic", pa.bool_()),
        ("hashed_ip", pa.string()),
        ("header", pa.struct([("accept-language", pa.string())])),
    ]
)


def row(identifier="a", turns=(("user", "Hello"), ("assistant", "Hi")), user="u", language="English", **more):
    conversation = turns if turns is None else [turn and {"role": turn[0], "content": turn[1]} for turn in turns]
    return {
        "conversation_hash": identifier,
        "conversation": conversation,
        "language": language,
        "hashed_ip": user,
        **more,
    }


def write_parquet(file: Path, rows: list[dict]) -> None:
    pq.write_table(pa.Table.from_pylist(rows, SCHEMA), file)


def load(path: Path, source: Source = SOURCE) -> tuple[pl.DataFrame, pl.DataFrame]:
    found = list(wildchat.read(source, path))
    conversations = pl.concat([batch.conversations for batch in found])
    problems = pl.concat([batch.problems for batch in found])
    return tables.check("conversations", conversations), tables.check("problems", problems)


TEXT = st.text(alphabet=st.sampled_from("aé中😀 \n\t\r\x00\x1c\x7f\x85\u2028{}"), max_size=6) | st.none()
ROLE = st.sampled_from(["user", "assistant", "User", "human", "system", "", "narrator", None])
NAME = st.sampled_from(["a", "b", "c", " a", "d\x00", "", " ", None])
ROWS = st.lists(
    st.builds(
        row,
        identifier=NAME,
        turns=st.none() | st.lists(st.none() | st.tuples(ROLE, TEXT) | st.just(("user", "Hello")), max_size=4),
        user=NAME,
        language=st.sampled_from(["English", "en", " fr-CA", "", None]),
    ),
    min_size=1,
    max_size=8,
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=ROWS, source=st.sampled_from([SOURCE, NO_USERS]), size=st.sampled_from([1, 3, 8_000]))
def test_parquet_and_json_lines_of_the_same_rows_give_the_same(tmp_path, monkeypatch, rows, source, size):
    monkeypatch.setattr(wildchat, "ROWS", size)
    write_parquet(tmp_path / "rows.parquet", rows)
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    (ours, our_problems), (theirs, their_problems) = (
        load(tmp_path / f"rows.{kind}", source) for kind in ("parquet", "jsonl")
    )
    assert ours.equals(theirs)
    refused = [
        frame.filter(action="refused").select("row", "conversation_id") for frame in (our_problems, their_problems)
    ]
    assert set(refused[0].iter_rows()) == set(refused[1].iter_rows())
    loaded = pl.col("conversation_id").is_in(theirs["conversation_id"].implode())
    mended = [frame.filter(loaded, action="repaired").drop("file") for frame in (our_problems, their_problems)]
    assert set(mended[0].iter_rows()) == set(mended[1].iter_rows())


def test_every_bad_row_is_named_with_its_reason_and_stops_nothing(tmp_path):
    bad = {
        "its conversation_id stands already in an earlier row": row("a"),
        "it has no user_id; give one, or set 'user_is: conversation' for source 'wild'": row("c", user=None),
        "it has no user turn with text": row("d", [("user", None), ("assistant", "Hi")]),
        "turn 0 has no role": row("e", [(None, "Hello")]),
        "turn 1 is missing, not an object with role and content": row("f", [("user", "Hello"), None]),
        "it has no list of messages": row("g", None),
        "turn 0 has the unknown role 'narrator'": row("h", [("narrator", "Hello")]),
    }
    write_parquet(tmp_path / "train-0.parquet", [row("a"), *bad.values(), row("z")])
    conversations, problems = load(tmp_path)
    assert conversations["conversation_id"].to_list() == ["wild/a", "wild/z"]
    assert conversations["user_id"].to_list() == ["wild/u", "wild/u"]
    assert dict(problems.select("row", "reason").iter_rows()) == dict(enumerate(bad, 2))
    assert set(problems["file"]) == {"train-0.parquet"}


def test_what_can_be_mended_is_loaded_and_reported_in_its_place(tmp_path):
    turns = [("user", "one\r\ntwo\x00"), ("assistant", None), ("user", "three")]
    write_parquet(tmp_path / "rows.parquet", [row("a"), row("b", turns), row("c")])
    conversations, problems = load(tmp_path)
    assert conversations["conversation_id"].to_list() == ["wild/a", "wild/b", "wild/c"]
    assert [turn["content"] for turn in conversations["turns"][1]] == ["one\ntwo", "three"]
    assert set(problems["row"]) == {2}
    assert set(problems["action"]) == {"repaired"}


def test_a_conversation_that_stands_in_two_shards_is_taken_once(tmp_path):
    write_parquet(tmp_path / "train-0.parquet", [row("a"), row("b")])
    write_parquet(tmp_path / "train-1.parquet", [row("b"), row("c")])
    conversations, problems = load(tmp_path)
    assert conversations["conversation_id"].to_list() == ["wild/a", "wild/b", "wild/c"]
    assert problems.select("file", "row", "action").rows() == [("train-1.parquet", 1, "refused")]


def test_text_that_is_no_utf8_is_replaced_and_reported(tmp_path):
    offsets = pa.array([0, 5, 8], pa.int32()).buffers()[1]
    content = pa.StringArray.from_buffers(2, offsets, pa.py_buffer(b"a \xff\xfebok!"))
    content.validate()
    turns = pa.StructArray.from_arrays([content, pa.array(["user", "user"])], names=["content", "role"])
    conversation = pa.ListArray.from_arrays(pa.array([0, 1, 2], pa.int32()), turns)
    table = pa.table({"conversation_hash": ["a", "b"], "conversation": conversation, "hashed_ip": ["u", "u"]})
    pq.write_table(table, tmp_path / "rows.parquet")
    conversations, problems = load(tmp_path)
    assert [turns[0]["content"] for turns in conversations["turns"].to_list()] == ["a ��b", "ok!"]
    assert problems.select("row", "action").rows() == [(1, "repaired")]


def test_shards_are_read_in_parts_and_give_the_same(tmp_path, monkeypatch):
    write_parquet(tmp_path / "rows.parquet", [row(str(i), user=f"u{i % 3}") for i in range(50)])
    whole = load(tmp_path)[0]
    monkeypatch.setattr(wildchat, "ROWS", 7)
    sizes = [len(batch.conversations) for batch in wildchat.read(SOURCE, tmp_path)]
    assert max(sizes) <= 7
    assert load(tmp_path)[0].equals(whole)


def test_only_role_and_content_of_the_turns_are_decoded(tmp_path):
    write_parquet(tmp_path / "rows.parquet", [row()])
    decoded = next(wildchat._decoded(SOURCE, tmp_path / "rows.parquet"))
    assert set(decoded.schema.names) == {"conversation_hash", "hashed_ip", "language", "conversation"}
    assert {field.name for field in decoded.schema.field("conversation").type.value_type} == {"role", "content"}


def test_parquet_that_polars_wrote_is_read_too(tmp_path):
    pl.DataFrame([row("a"), row("b", language=None)]).write_parquet(tmp_path / "rows.parquet")
    assert load(tmp_path)[0]["language"].to_list() == ["English", None]


def test_a_file_that_cannot_be_used_is_refused_in_one_sentence(tmp_path):
    with pytest.raises(RecenterError, match="holds no file that ends in"):
        wildchat.read(SOURCE, tmp_path)
    file = tmp_path / "rows.parquet"
    pq.write_table(pa.Table.from_pylist([row()], SCHEMA).drop_columns("hashed_ip"), file)
    with pytest.raises(RecenterError, match=r"no text column 'hashed_ip'.*user_is: conversation"):
        load(tmp_path)
    assert len(load(tmp_path, NO_USERS)[0]) == 1
    pq.write_table(pa.table({"conversation_hash": ["a"], "conversation": ["Hello"], "hashed_ip": ["u"]}), file)
    with pytest.raises(RecenterError, match="no turns with 'role'"):
        load(tmp_path)
    file.write_bytes(b"PAR1 not really PAR1")
    with pytest.raises(RecenterError, match="cannot be read as parquet; copy or download it again"):
        load(tmp_path)


def test_a_file_that_has_been_read_leaves_nothing_in_memory(tmp_path):
    for number in range(4):
        pl.DataFrame([row(str(number))]).write_parquet(tmp_path / f"{number}.parquet")
    gc.collect()
    gc.disable()
    try:
        held = [
            sum(type(thing) is pq.FileMetaData for thing in gc.get_objects()) for _ in wildchat.read(SOURCE, tmp_path)
        ]
    finally:
        gc.enable()
    assert len(set(held)) == 1


def test_the_public_sample_loads_whole(shared_data):
    sample = shared_data / "wildchat"
    conversations, problems = load(sample, NO_USERS)
    with gzip.open(sample / "conversations.jsonl.gz", "rt", encoding="utf-8") as lines:
        hashes = ["wild/" + json.loads(line)["conversation_hash"] for line in lines]
    assert conversations["conversation_id"].to_list() == conversations["user_id"].to_list() == hashes
    assert set(problems["action"]) == {"repaired"}
