from __future__ import annotations

import re
import sqlite3
from pathlib import Path

import pandas as pd
import polars as pl
import pyarrow.parquet as pq
import pytest

from recenter_utils import provenance
from recenter_utils.declarations import declaration
from recenter_utils.errors import RecenterError
from recenter_utils.study import Study
from recenter_utils.tables import TABLES, check

CONVERSATION = {
    "conversation_id": "chat/c1",
    "user_id": "chat/u1",
    "source": "chat",
    "language": None,
    "turns": [{"role": "user", "content": 'I am <b>bold</b> {{conversation}}\u2028"quoted"'}],
}


@pytest.fixture
def study(workspace: Path) -> Study:
    return Study.open("demo")


def test_a_table_comes_back_as_it_was_written(study: Study) -> None:
    study.write("conversations", pd.DataFrame([CONVERSATION]))
    back = study.read("conversations")
    assert back.iloc[0]["turns"] == CONVERSATION["turns"]
    assert pd.isna(back.iloc[0]["language"])
    assert list(back.columns) == list(TABLES["conversations"].columns)


@pytest.mark.parametrize("name", TABLES)
def test_every_table_can_be_empty(study: Study, name: str) -> None:
    study.write(name, TABLES[name].empty())
    assert study.frame(name).schema == TABLES[name].columns


def test_a_column_that_is_not_in_the_codebook_is_refused_with_the_nearest(study: Study) -> None:
    frame = pl.DataFrame([{**CONVERSATION, "languages": "English"}])
    with pytest.raises(RecenterError, match="no column 'languages'.*Did you mean 'language'"):
        study.write("conversations", frame)


def test_a_value_outside_its_range_is_refused_and_nothing_is_written(study: Study) -> None:
    row = dict(
        attribute_id="a", user_id="u", source="s", attribute="x", confidence=1.5, members=["a"], n_conversations=1
    )
    with pytest.raises(RecenterError, match="confidence.*1.5"):
        study.write("merged_attributes", pl.DataFrame([row]))
    assert not study.table_path("merged_attributes").exists()


def test_a_key_that_comes_twice_is_refused_also_in_a_lazy_frame(study: Study) -> None:
    twice = pl.DataFrame([CONVERSATION, CONVERSATION], schema=TABLES["conversations"].columns)
    with pytest.raises(RecenterError):
        check("conversations", twice)
    with pytest.raises(RecenterError, match="not unique"):
        study.write("conversations", twice.lazy())


def test_a_lazy_frame_is_stored_like_any_other(study: Study) -> None:
    frame = pl.DataFrame([CONVERSATION], schema=TABLES["conversations"].columns)
    study.write("conversations", frame.lazy())
    assert study.frame("conversations").equals(frame)
    assert provenance.read(study.table_path("conversations")).table == "conversations"


def test_an_origin_travels_into_what_is_made_from_it(workspace: Path) -> None:
    first = Study.open("demo")
    first.read_source(first.settings.sources[0])
    first.write("conversations", pl.DataFrame([CONVERSATION], schema=TABLES["conversations"].columns))
    second = Study.open("demo")
    second.frame("conversations")
    second.write("attributes", TABLES["attributes"].empty(), made_by="model")
    record = provenance.read(second.table_path("attributes"))
    assert record.origin == "simulated+model"
    assert record.inputs == {"conversations": provenance.file_hash(second.table_path("conversations"))}


def test_the_same_table_written_twice_is_the_same_file(study: Study) -> None:
    path = study.table_path("conversations")
    study.write("conversations", pd.DataFrame([CONVERSATION]))
    before = path.read_bytes()
    study.write("conversations", pd.DataFrame([CONVERSATION]))
    assert path.read_bytes() == before


def test_a_notebook_may_only_touch_the_tables_it_declares(workspace: Path) -> None:
    study = Study.open("demo", notebook="03-merging")
    with pytest.raises(RecenterError, match=r"03-merging.*reads 'conversations'.*order\.yaml"):
        study.frame("conversations")
    with pytest.raises(RecenterError, match="writes 'users'"):
        study.write("users", TABLES["users"].empty())


def test_a_notebooks_tables_record_its_settings_and_no_others(workspace: Path) -> None:
    study = Study.open("demo", notebook="03-merging", merging={"similarity": 0.8})
    study.write("merged_attributes", TABLES["merged_attributes"].empty())
    record = provenance.read(study.table_path("merged_attributes"))
    assert record.settings["merging"] == {"similarity": 0.8}
    assert set(record.settings) == set(declaration("03-merging", workspace).settings)
    assert record.notebook == "03-merging"


def test_a_missing_table_says_what_makes_it(study: Study) -> None:
    with pytest.raises(RecenterError, match="no table 'users' yet: 'recenter run demo'"):
        study.read("users")
    with pytest.raises(RecenterError, match="no table 'user'.*Did you mean 'users'"):
        study.read("user")


def test_a_foreign_parquet_file_is_no_table(study: Study) -> None:
    path = study.table_path("users")
    path.parent.mkdir(parents=True)
    pl.DataFrame({"a": [1]}).write_parquet(path)
    with pytest.raises(RecenterError, match="not a table of this workspace"):
        study.read("users")


def test_an_unknown_study_names_the_nearest(workspace: Path) -> None:
    with pytest.raises(RecenterError, match="no study 'dmeo'.*Did you mean 'demo'"):
        Study.open("dmeo")


def test_a_study_can_be_opened_by_its_path(workspace: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "study.yaml").write_text((workspace / "data/demo/study.yaml").read_text())
    study = Study.open(str(elsewhere))
    assert (study.name, study.reference) == ("elsewhere", elsewhere.as_posix())


def test_metadata_holds_no_time_and_no_path_of_this_machine(study: Study) -> None:
    study.write("users", TABLES["users"].empty())
    text = pq.read_metadata(study.table_path("users")).metadata[b"recenter"].decode()
    assert str(study.root) not in text
    assert not re.search(r"\d{4}-\d\d-\d\d", text)


@pytest.mark.parametrize(
    ("origins", "joined"),
    [(["human", "model"], "model+human"), (["simulated+model", "human"], "simulated+model+human"), (["", ""], "")],
)
def test_joined_origins_are_a_set_in_fixed_order(origins: list[str], joined: str) -> None:
    assert provenance.join(origins) == joined


def test_an_origin_that_does_not_exist_is_refused() -> None:
    with pytest.raises(RecenterError, match="'people' is no origin"):
        provenance.join(["people"])


def test_a_study_names_one_model_for_a_role_and_several_verifiers(study: Study) -> None:
    assert [model.name for model in study.models_of("extraction")] == [study.model("extraction").name]
    assert [model.name for model in study.models_of("verifiers")] == list(study.settings.models.verifiers)
    assert len(study.models_of("verifiers")) > 1


def test_answers_are_known_by_their_store_and_the_last_of_them(study: Study) -> None:
    path = study.answers_path("relevance")
    assert provenance.answers_fingerprint(path) == "none"
    path.parent.mkdir(parents=True)
    with sqlite3.connect(path) as store:
        store.execute("CREATE TABLE meta (key, value)")
        store.execute("CREATE TABLE answers (answer INTEGER PRIMARY KEY AUTOINCREMENT)")
        store.execute("INSERT INTO meta VALUES ('store', 'abc')")
    assert provenance.answers_fingerprint(path) == "abc:0"
    with sqlite3.connect(path) as store:
        store.execute("INSERT INTO answers VALUES (41)")
    assert provenance.answers_fingerprint(path) == "abc:41"
    path.write_bytes(b"no store")
    with pytest.raises(RecenterError, match="not a store of judgments"):
        provenance.answers_fingerprint(path)


def test_a_notebook_reads_only_the_answers_it_declares(workspace: Path) -> None:
    opened = Study.open("demo", notebook="04-diversity")
    with pytest.raises(RecenterError, match="add it under 'answers'"):
        opened.read_answers("relevance")
