"""Corpora: every format comes out as the conversations that its files hold."""

from __future__ import annotations

import gzip
import json
import zipfile
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from recenter_utils import corpora
from recenter_utils.corpora import lima, personalens
from recenter_utils.errors import RecenterError
from recenter_utils.settings import Source
from recenter_utils.tables import check

USER, REPLY = {"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Hi"}


def load(path: Path, form: str, **settings: Any) -> tuple[pl.DataFrame, pl.DataFrame]:
    source = Source(name="s", format=form, path=str(path), **settings)
    batches = list(corpora.read(source, path.parent))
    conversations = pl.concat([batch.conversations for batch in batches])
    problems = pl.concat([batch.problems for batch in batches])
    return check("conversations", conversations), check("problems", problems)


def jsonl(path: Path, rows: list[Any]) -> Path:
    path.write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    return path


def words(conversations: pl.DataFrame, row: int = 0) -> list[tuple[str, str]]:
    return [(turn["role"], turn["content"]) for turn in conversations["turns"][row]]


def test_a_conversation_a_line_keeps_its_turns_and_gets_the_sources_name(tmp_path: Path) -> None:
    rows = [{"conversation_id": "c", "user_id": 7, "language": "en-GB", "messages": [USER, REPLY]}]
    conversations, problems = load(jsonl(tmp_path / "a.jsonl", rows), "chatlog")
    assert conversations.drop("turns").to_dicts() == [
        {"conversation_id": "s/c", "user_id": "s/7", "source": "s", "language": "English"}
    ]
    assert words(conversations) == [("user", "Hello"), ("assistant", "Hi")]
    assert problems.is_empty()


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("name", ["a.json", "a.jsonl"])
def test_one_json_array_reads_like_lines(tmp_path: Path, name: str, indent: int | None) -> None:
    rows = [{"user_id": "u", "messages": [USER]}, {"user_id": "u", "messages": [USER, REPLY]}]
    (tmp_path / name).write_text("\ufeff" + json.dumps(rows, indent=indent), encoding="utf-8")
    conversations, problems = load(tmp_path / name, "chatlog")
    assert conversations["conversation_id"].to_list() == ["s/a-1", "s/a-2"]
    assert problems.is_empty()


def test_lines_in_a_file_called_json_and_lines_that_begin_with_a_bracket_stay_lines(tmp_path: Path) -> None:
    row = {"user_id": "u", "messages": [USER]}
    assert load(jsonl(tmp_path / "a.json", [row, row]), "chatlog")[0].height == 2
    conversations, problems = load(jsonl(tmp_path / "b.jsonl", [[1], row]), "chatlog")
    assert (conversations.height, problems["row"].to_list()) == (1, [1])


def test_messages_a_line_are_gathered_by_conversation_in_the_order_of_time(tmp_path: Path) -> None:
    said = [("c1", "second", 2), ("c2", "alone", None), ("c1", "first", 1)]
    rows = [
        {"conversation_id": name, "user_id": "u", "role": "user", "content": text, "timestamp": time}
        for name, text, time in said
    ]
    conversations, problems = load(jsonl(tmp_path / "a.jsonl", rows), "chatlog")
    assert [words(conversations, row) for row in (0, 1)] == [
        [("user", "first"), ("user", "second")],
        [("user", "alone")],
    ]
    assert problems["action"].to_list() == ["repaired"]
    assert "order of their timestamps" in problems["reason"][0]


def test_a_file_packed_with_gzip_reads_like_the_file(tmp_path: Path) -> None:
    row = {"user_id": "u", "messages": [USER]}
    packed = tmp_path / "a.jsonl.gz"
    packed.write_bytes(gzip.compress(json.dumps(row).encode()))
    assert load(packed, "chatlog")[0].equals(load(jsonl(tmp_path / "a.jsonl", [row]), "chatlog")[0])


def test_with_the_conversation_as_user_no_user_id_is_needed(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "a.jsonl", [{"conversation_id": "c", "messages": [USER]}])
    assert load(path, "chatlog", user_is="conversation")[0]["user_id"].to_list() == ["s/c"]
    refused = load(path, "chatlog")[1]
    assert refused["action"].to_list() == ["refused"]
    assert "user_is: conversation" in refused["reason"][0]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("comma", [",", ";", "\t"])
def test_csv_reads_quotes_line_breaks_and_either_encoding(tmp_path: Path, encoding: str, comma: str) -> None:
    cells = [["Conversation_ID", "user_id", "role", "content"], ["c", "u", "human", '"a ""b""\nd, é"']]
    path = tmp_path / "a.csv"
    path.write_text("\n".join(comma.join(row) for row in cells), encoding=encoding)
    conversations, problems = load(path, "csv")
    assert words(conversations) == [("user", 'a "b"\nd, é')]
    assert problems.is_empty()


def test_csv_without_a_needed_column_is_refused_naming_those_found_and_needed(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("conversation_id,speaker,content\nc,user,Hello\n")
    with pytest.raises(
        RecenterError, match=r"lacks the columns user_id, role.*speaker.*needs conversation_id, user_id"
    ):
        load(tmp_path / "a.csv", "csv")


def test_csv_rows_count_as_a_spreadsheet_shows_them(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("conversation_id,user_id,role,content\nc,u,user,Hello\nc,u,user\n")
    conversations, problems = load(tmp_path / "a.csv", "csv")
    assert conversations.height == 1
    assert problems["row"].to_list() == [3]


def chatgpt(current: str | None = "n4") -> list[dict[str, Any]]:
    def node(parent: str | None, role: str, parts: list[Any], kind: str = "text", time: float = 0) -> dict[str, Any]:
        content = {"content_type": kind, "parts": parts}
        return {"parent": parent, "message": {"author": {"role": role}, "content": content, "create_time": time}}

    nodes = {
        "root": {"parent": None, "message": None},
        "n0": node("root", "system", [""]),
        "n1": node("n0", "user", ["What is this?", {"asset_pointer": "file://x"}], "multimodal_text"),
        "n2": node("n1", "assistant", ["dropped branch"], time=1),
        "n3": node("n1", "tool", ["search result"]),
        "n4": node("n3", "assistant", ["A heron."], time=2),
    }
    return [{"id": "x", "title": "Bird", "mapping": nodes, "current_node": current}]


@pytest.mark.parametrize("current", ["n4", None])
def test_chatgpt_export_gives_the_branch_last_looked_at(tmp_path: Path, current: str | None) -> None:
    (tmp_path / "conversations.json").write_text(json.dumps(chatgpt(current)))
    conversations, problems = load(tmp_path / "conversations.json", "chatgpt")
    assert words(conversations) == [("user", "What is this?"), ("assistant", "A heron.")]
    assert conversations["user_id"].to_list() == ["s/me"]
    assert problems.height == (current is None)


def test_chatgpt_zip_folder_and_file_are_the_same_and_belong_to_the_exports_owner(tmp_path: Path) -> None:
    folder = tmp_path / "export"
    folder.mkdir()
    (folder / "conversations.json").write_text(json.dumps(chatgpt()))
    (folder / "user.json").write_text(json.dumps({"id": "user-1", "email": "a@example.org"}))
    with zipfile.ZipFile(tmp_path / "export.zip", "w") as archive:
        for file in folder.iterdir():
            archive.write(file, file.name)
    whole = load(folder, "chatgpt")[0]
    assert whole["user_id"].to_list() == ["s/user-1"]
    assert whole.equals(load(tmp_path / "export.zip", "chatgpt")[0])
    assert whole.equals(load(folder / "conversations.json", "chatgpt")[0])


def oasst(name: str, parent: str | None, user: str, role: str = "prompter", **more: Any) -> dict[str, Any]:
    about = {"message_id": name, "parent_id": parent, "user_id": user, "role": role, "message_tree_id": "t"}
    return about | {"text": name, "lang": "en", "created_date": name} | more


def test_oasst_marks_other_people_and_takes_the_best_reply(tmp_path: Path) -> None:
    rows = [
        oasst("p1", None, "ann"),
        oasst("a1", "p1", "helper", "assistant", rank=1),
        oasst("a2", "p1", "helper", "assistant", rank=0),
        oasst("p2", "a1", "bob"),
        oasst("a3", "p2", "helper", "assistant", rank=None),
    ]
    conversations, problems = load(jsonl(tmp_path / "a.jsonl", rows), "oasst")
    spoken = {user: words(conversations, row) for row, user in enumerate(conversations["user_id"])}
    assert spoken["s/ann"] == [("user", "p1"), ("assistant", "a2")]
    assert spoken["s/bob"] == [("other", "p1"), ("assistant", "a1"), ("user", "p2"), ("assistant", "a3")]
    assert conversations["language"].unique().to_list() == ["English"]
    assert problems.is_empty()


def test_oasst_loses_no_prompt_on_another_branch(tmp_path: Path) -> None:
    rows = [
        oasst("p1", None, "ann"),
        oasst("a1", "p1", "helper", "assistant", rank=0),
        oasst("p2", "a1", "bob"),
        oasst("p3", "a1", "bob"),
    ]
    conversations, _ = load(jsonl(tmp_path / "a.jsonl", rows), "oasst")
    bobs = conversations.filter(user_id="s/bob")
    assert bobs["conversation_id"].to_list() == ["s/t-bob", "s/t-bob-b2"]
    assert [words(bobs, row)[-1] for row in (0, 1)] == [("user", "p2"), ("user", "p3")]


def test_oasst_validation_has_the_users_its_authors_count(shared_data: Path) -> None:
    conversations, problems = load(shared_data / "oasst1", "oasst")
    trees = conversations.group_by("user_id").agg(pl.col("conversation_id").str.slice(2, 36).n_unique().alias("n"))["n"]
    assert [trees.len(), (trees >= 2).sum(), (trees >= 3).sum(), (trees >= 5).sum()] == [570, 81, 35, 13]
    roles = conversations.select(pl.col("turns").explode()).unnest("turns")
    # 779 prompts, two of which stand on two branches that their author wrote on.
    assert (roles["role"] == "user").sum() == 781
    # Two replies are to messages of another part of the release.
    assert problems["action"].to_list() == ["refused", "refused", "repaired"]


def test_prefeval_gives_each_of_3000_instances_a_user(shared_data: Path) -> None:
    conversations, problems = load(shared_data / "prefeval", "prefeval")
    assert problems.is_empty()
    variants = conversations["user_id"].str.extract("^s/(explicit|choice-based|persona-driven)-")
    assert variants.value_counts()["count"].to_list() == [1000] * 3
    assert conversations["user_id"].n_unique() == 3000
    first = conversations.filter(conversation_id="s/choice-based-education_resources-0-c1")
    assert [role for role, _ in words(first)] == ["user", "assistant", "user", "assistant"]
    stated = conversations.filter(pl.col("user_id").str.starts_with("s/explicit"))
    assert stated["turns"].list.len().unique().to_list() == [1]


def test_prefeval_keeps_more_than_nine_turns_in_order(tmp_path: Path) -> None:
    turns = {f"turn{number}": {"user": f"u{number}", "assistant": f"a{number}"} for number in range(12, 0, -1)}
    (tmp_path / "mine.json").write_text(json.dumps([{"preference": "p", "conversation": turns}]))
    conversations, _ = load(tmp_path / "mine.json", "prefeval")
    assert conversations["conversation_id"].to_list() == ["s/mine-0-c1"]
    assert [content for role, content in words(conversations) if role == "user"] == [f"u{n}" for n in range(1, 13)]


@pytest.mark.parametrize("form", ["parquet", "jsonl"])
def test_cupid_takes_a_session_that_instances_share_once(tmp_path: Path, form: str) -> None:
    sessions = [
        {"context_factor": "f", "contextual_preference": "p", "dialogue": [USER | {"content": text}, REPLY]}
        for text in "abc"
    ]
    rows = [
        {"persona_id": "x", "current_request": "r", "prior_interactions": sessions[:2]},
        {"persona_id": "x", "current_request": "r", "prior_interactions": sessions[1:]},
        {"persona_id": "y", "current_request": "r", "prior_interactions": sessions[:1]},
    ]
    path = jsonl(tmp_path / "a.jsonl", rows)
    if form == "parquet":
        path = tmp_path / "test.parquet"
        pl.DataFrame(rows).write_parquet(path)
    conversations, problems = load(path, "cupid")
    assert conversations["conversation_id"].to_list() == ["s/x-s1", "s/x-s2", "s/x-s3", "s/y-s1"]
    assert problems.is_empty()


def personalens_user(folder: Path, dialogues: dict[str, Any] | None) -> None:
    folder.mkdir(parents=True)
    tasks = {
        f"Task {number}": {
            "task_id": f"SD-Books-task-{number}",
            "User Intent": "Find a book.",
            "Relevant Domains": ["Books"],
            "Relevant Affinity Types": ["Genre"],
        }
        for number in (1, 2)
    }
    (folder / "profile.json").write_text(json.dumps({"affinities": {"Books": {"Genre": ["crime", "history"]}}}))
    (folder / "tasks.json").write_text(json.dumps(tasks))
    if dialogues is not None:
        (folder / "dialogues.json").write_text(json.dumps(dialogues))


def test_personalens_without_dialogues_says_how_to_get_them(tmp_path: Path) -> None:
    personalens_user(tmp_path / "profile" / "user1", None)
    with pytest.raises(RecenterError, match=r"ships profiles and tasks only\. Generate them"):
        load(tmp_path, "personalens")


def test_personalens_reads_the_dialogues_somebody_generated_and_names_the_tasks_without(tmp_path: Path) -> None:
    personalens_user(tmp_path / "profile" / "user1", {"SD-Books-task-2": [USER, REPLY]})
    conversations, problems = load(tmp_path, "personalens")
    assert conversations["conversation_id"].to_list() == ["s/user1-SD-Books-task-2"]
    assert problems["reason"].to_list() == ["1 tasks of user user1 have no dialogue"]
    assert personalens.read_affinities(tmp_path).rows() == [("user1", "Books", "Genre", "crime; history")]
    assert personalens.read_tasks(tmp_path)["relevant"].to_list() == [["Genre"], ["Genre"]]


def test_personalens_row_form_reads_like_the_folders(tmp_path: Path) -> None:
    task = {"task_id": "T", "User Intent": "Find a book.", "Relevant Domains": ["Books"], "dialogue": [USER]}
    row = {"user_id": "pl1", "affinities": {"Books": {"Genre": "crime"}}, "tasks": [task]}
    path = jsonl(tmp_path / "a.jsonl", [row])
    assert load(path, "personalens")[0]["conversation_id"].to_list() == ["s/pl1-T"]
    assert personalens.read_affinities(path)["value"].to_list() == ["crime"]
    assert personalens.read_tasks(path)["text"].to_list() == ["Find a book."]


def test_personalens_sample_has_the_facts_and_links_its_authors_count(shared_data: Path) -> None:
    path = shared_data / "personalens" / "personalens_sample50.tar.gz"
    affinities, tasks = personalens.read_affinities(path), personalens.read_tasks(path)
    links = tasks.explode("relevant").drop_nulls("relevant")
    keys = ["user_id", "domain", "affinity"]
    met = links.explode("domains").join(
        affinities, left_on=["user_id", "domains", "relevant"], right_on=keys, how="semi"
    )
    assert [affinities["user_id"].n_unique(), affinities.height] == [50, 4500]
    assert [tasks.height, links.height, met.height] == [3283, 8313, 7913]


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"conversations": ["Why?", "Because."], "source": "stackexchange"}, ("lima_0", "stackexchange", "Why?")),
        ({"question_id": "lima_3", "question": "Why?"}, ("lima_3", "a", "Why?")),
        ({"prompt_id": "q1", "text": "Why?", "topics": []}, ("q1", "a", "Why?")),
    ],
)
def test_prompts_are_read_in_each_form(tmp_path: Path, row: dict[str, Any], expected: tuple[str, str, str]) -> None:
    assert lima.read_prompts(jsonl(tmp_path / "a.jsonl", [row])).rows() == [expected]


def test_a_row_that_is_no_prompt_is_named(tmp_path: Path) -> None:
    with pytest.raises(RecenterError, match=r"row 2 of a\.jsonl is no prompt"):
        lima.read_prompts(jsonl(tmp_path / "a.jsonl", [{"prompt_id": "q", "text": "Why?"}, {"text": "Why?"}]))


def test_what_is_wrong_with_a_prompt_is_said_with_an_example(tmp_path: Path) -> None:
    with pytest.raises(RecenterError, match=r"its prompt_id is missing or blank.*\{\"prompt_id\": \"q1\""):
        lima.read_prompts(jsonl(tmp_path / "blank.jsonl", [{"prompt_id": " ", "text": "Why?"}]))
    (tmp_path / "words.csv").write_text("prompt_id,text\nq1,Why?\n", encoding="utf-8")
    with pytest.raises(RecenterError, match=r"row 1 of words\.csv: not valid JSON.* such as"):
        lima.read_prompts(tmp_path / "words.csv")


def test_a_prompt_in_another_encoding_is_refused_and_not_mended(tmp_path: Path) -> None:
    (tmp_path / "latin.jsonl").write_bytes('{"prompt_id": "q1", "text": "A café?"}'.encode("latin-1"))
    with pytest.raises(RecenterError, match="row 1 of latin.jsonl is not UTF-8"):
        lima.read_prompts(tmp_path / "latin.jsonl")


def test_lima_prompts_keep_their_order(shared_data: Path) -> None:
    prompts = lima.read_prompts(shared_data / "lima" / "lima_prompts_1030.jsonl")
    assert prompts["prompt_id"].to_list() == [f"lima_{number}" for number in range(1030)]


def test_a_large_corpus_comes_in_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("recenter_utils.corpora.cleaning.BATCH_ROWS", 3)
    path = jsonl(tmp_path / "a.jsonl", [{"user_id": "u", "messages": [USER]}] * 8)
    source = Source(name="s", format="chatlog", path="a.jsonl")
    assert [batch.conversations.height for batch in corpora.read(source, path.parent)] == [3, 3, 2]


def test_a_missing_path_names_itself_the_setting_and_the_command_that_brings_it(tmp_path: Path) -> None:
    with pytest.raises(RecenterError, match=r"There is no .*nowhere.*source 's'.*study\.yaml.*recenter fetch oasst"):
        load(tmp_path / "nowhere", "oasst")
    with pytest.raises(RecenterError) as refused:
        load(tmp_path / "nowhere.jsonl", "chatlog")
    assert "fetch" not in str(refused.value)
