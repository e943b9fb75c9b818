from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest

from recenter_utils import figures, tables
from recenter_utils.attributes import users as stage
from recenter_utils.attributes.checked_users import apply_checks
from recenter_utils.attributes.language import is_foreign, prose
from recenter_utils.attributes.users import Pool, collect
from recenter_utils.corpora import wildchat
from recenter_utils.errors import RecenterError
from recenter_utils.settings import Source, UserRules

RULES = UserRules()
CHATS = Source(name="chats", format="chatlog", path="chats.jsonl")
BENCH = Source(name="bench", format="chatlog", path="bench.jsonl", kind="synthetic", origin="simulated")
SCRIPT = (
    "You are a prompt writer. Describe one picture in a single line with a camera, a lens and a mood, never repeat "
    "yourself and say nothing about who you are: "
)
RUSSIAN = "Помоги мне, пожалуйста, составить план занятий на неделю и написать письмо начальнику."
TOPICS = ["bread", "boats", "bees", "tax", "chess", "rain", "maps", "opera", "knees", "glue", "owls", "salt", "soup"]


def chat(user: str, number: int, turns: list[str], language: str | None = "English") -> dict:
    messages = [
        {"role": role, "content": text} for turn in turns for role, text in (("user", turn), ("assistant", "Sure."))
    ]
    return {"conversation_id": f"{user}-{number}", "user_id": user, "language": language, "messages": messages}


def person(user: str, conversations: int, turns: int, **more) -> list[dict]:
    asked = [f"Could you tell me more about {topic} and what I should do with it this week?" for topic in TOPICS]
    return [chat(user, i, (asked[i:] + asked[:i])[:turns], **more) for i in range(conversations)]


def scripted(user: str, with_script: int, without: int) -> list[dict]:
    said = [f"{SCRIPT}{topic}" for topic in (TOPICS * 9)[:with_script]]
    rest = [f"Question {i} about {topic}, please" for i, topic in enumerate((TOPICS * 9)[:without])]
    everything = said + rest
    return [chat(user, i, everything[i::3]) for i in range(3)]


def write(folder: Path, rows: list[dict], name: str = "chats.jsonl") -> None:
    (folder / name).write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")


def pool_of(folder: Path, rows: list[dict], rules: UserRules = RULES, sources: tuple[Source, ...] = (CHATS,)) -> Pool:
    write(folder, rows)
    pool = collect(sources, rules, folder, folder / "staging")
    return checked(pool)


def checked(pool: Pool) -> Pool:
    """The pool, if its tables fit their schemas and each other."""
    tables.check("users", pool.users)
    tables.check("problems", pool.problems)
    funnel = tables.check("funnel", pool.funnel)
    conversations = tables.check("conversations", pool.conversations.collect())
    assert set(conversations["user_id"]) <= set(pool.users.filter("kept")["user_id"])
    for source, steps in funnel.group_by("source"):
        last, kept = steps[-1], pool.users.filter("kept", source=source[0])
        assert last["users"].item() == len(kept)
        assert (
            last["conversations"].item()
            == conversations.filter(source=source[0]).height
            == kept["n_conversations"].sum()
        )
        for column in ("users", "conversations"):
            assert steps[column][0] == steps[column][-1] + steps[f"{column}_dropped"].sum()
    return pool


def verdicts(pool: Pool) -> dict[str, tuple[str | None, str | None]]:
    rows = pool.users.select("user_id", "dropped_by", "reason").iter_rows()
    return {user.split("/")[1]: (by, reason) for user, by, reason in rows}


def test_each_filter_drops_its_user_with_the_users_own_figures(tmp_path):
    rows = [
        *person("keen", 3, 6),
        *person("pole", 2, 8, language="Polish"),
        *[chat("secretly-russian", i, [RUSSIAN] * 8) for i in range(3)],
        *scripted("robot", 12, 6),
        *person("rare", 2, 4),
        *person("terse", 5, 3),
        *person("once", 1, 1),
    ]
    assert verdicts(pool_of(tmp_path, rows)) == {
        "keen": (None, None),
        "pole": ("language_metadata", "2 conversations, none in English by the source's metadata"),
        "secretly-russian": ("language_detected", "3 conversations, none in English by the local identifier"),
        "robot": ("template", "the same 120 characters stand in 12 of 18 user turns"),
        "rare": ("activity", "2 conversations, 8 user turns; needs 3 and 16"),
        "terse": ("activity", "5 conversations, 15 user turns; needs 3 and 16"),
        "once": ("activity", "1 conversation, 1 user turn; needs 3 and 16"),
    }


@pytest.mark.parametrize(
    ("with_script", "without", "flagged"),
    [(5, 7, True), (4, 0, False), (6, 9, False), (6, 8, True), (7, 60, False), (8, 60, True)],
    ids=["5 of 12", "4 of 4", "6 of 15 is 40%, not over it", "6 of 14", "7 of 67", "8 of 68"],
)
def test_a_script_is_five_turns_and_over_40_percent_or_eight_turns(tmp_path, with_script, without, flagged):
    pool = pool_of(tmp_path, scripted("robot", with_script, without))
    assert pool.users["scripted"].to_list() == [flagged]


def test_conversations_in_another_language_do_not_count_for_a_user(tmp_path):
    rows = [*person("mixed", 4, 6), chat("mixed", 9, [RUSSIAN] * 5), chat("mixed", 8, ["Bonjour"], "French")]
    pool = pool_of(tmp_path, rows)
    user = pool.users.row(0, named=True)
    assert (user["n_conversations_loaded"], user["n_conversations"], user["n_user_turns"]) == (6, 4, 24)
    assert "chats/mixed-9" not in pool.conversations.collect()["conversation_id"]
    assert pool.funnel["conversations"].to_list() == [6, 5, 4, 4, 4]


def test_a_user_is_one_user_over_batches_and_files_and_the_result_does_not_depend_on_them(tmp_path, monkeypatch):
    folder = tmp_path / "hub"
    folder.mkdir()
    rows = [*person("keen", 6, 3), *scripted("robot", 9, 9), *person("rare", 2, 4)]
    shards = [rows[0::2], rows[1::2]]
    for number, shard in enumerate(shards):
        hub = [
            {
                "conversation_hash": row["conversation_id"],
                "hashed_ip": row["user_id"],
                "language": row["language"],
                "conversation": row["messages"],
            }
            for row in shard
        ]
        pl.DataFrame(hub).write_parquet(folder / f"train-{number}.parquet")
    sources = (Source(name="chats", format="wildchat", path="hub"),)
    whole = pool_of(tmp_path, [], sources=sources)
    monkeypatch.setattr(wildchat, "ROWS", 2)
    batches: list[int] = []
    parts = collect(sources, RULES, tmp_path, tmp_path / "other", batches.append)
    assert sum(batches) == len(rows)
    assert len(batches) > 4
    assert verdicts(whole)["keen"] == (None, None)
    assert verdicts(whole)["robot"][0] == "template"
    for name in ("users", "funnel", "problems"):
        assert getattr(whole, name).equals(getattr(parts, name))
    assert whole.conversations.collect().equals(parts.conversations.collect())
    assert [path.name for path in (tmp_path / "other").iterdir()] == ["conversations"]


def test_a_source_without_filters_is_kept_whole(tmp_path):
    write(tmp_path, [chat("persona", 1, ["Hola"], "Spanish"), *scripted("template", 9, 0)], "bench.jsonl")
    pool = pool_of(tmp_path, person("rare", 1, 1), sources=(CHATS, BENCH))
    assert pool.users.filter("kept")["user_id"].to_list() == ["bench/persona", "bench/template"]
    assert pool.users.filter("kept")["kind"].unique().to_list() == ["synthetic"]
    assert pool.funnel.filter(source="bench")["step"].to_list() == ["loaded"]
    assert len(pool.conversations.collect()) == 4
    after = apply_checks(pool, answers(pool, no=["bench/persona-1"]), scores(pool, {"bench/persona": 0.0}), RULES)
    assert checked(after).users.equals(pool.users)


def test_when_nobody_is_left_the_tables_are_empty_and_whole(tmp_path):
    pool = pool_of(tmp_path, person("rare", 1, 1))
    assert pool.conversations.collect().is_empty()
    after = checked(apply_checks(pool, answers(pool), scores(pool, {}), RULES))
    assert after.funnel["step"].to_list()[-2:] == ["language_checked", "assistant_use"]


def test_refused_rows_are_reported_and_the_others_count(tmp_path):
    pool = pool_of(tmp_path, [*person("keen", 3, 6), {"conversation_id": "x", "user_id": None, "messages": []}])
    assert pool.problems["row"].to_list() == [4]
    assert verdicts(pool) == {"keen": (None, None)}


def test_a_switched_off_identifier_leaves_no_trace(tmp_path):
    rows = [chat("russian", i, [f"{RUSSIAN} {topic}" for topic in TOPICS[:7]]) for i in range(3)]
    rules = RULES.model_copy(update={"detect_language": False, "template_turns": 99, "template_turns_absolute": 99})
    pool = pool_of(tmp_path, rows, rules)
    assert pool.users["kept"].to_list() == [True]
    assert pool.funnel["step"].to_list() == ["loaded", "language_metadata", "template", "activity"]


def test_a_language_the_identifier_does_not_know_is_refused_with_the_nearest(tmp_path):
    with pytest.raises(RecenterError, match="Did you mean 'English'"):
        pool_of(tmp_path, person("keen", 3, 6, language=None), RULES.model_copy(update={"language": "Englisch"}))


def test_a_study_in_another_language_keeps_that_one(tmp_path):
    rows = [chat("russian", i, [f"{RUSSIAN} {topic}" for topic in TOPICS[:2]], "ru") for i in range(3)] + person(
        "keen", 3, 6
    )
    rules = RULES.model_copy(update={"language": "Russian", "min_user_turns": 6})
    assert pool_of(tmp_path, rows, rules).users.filter("kept")["user_id"].to_list() == ["chats/russian"]


# --- the answers of a model


def answers(pool: Pool, no: list[str] = (), failed: list[str] = ()) -> pl.DataFrame:
    identifiers = pool.conversations.collect()["conversation_id"]
    said = [None if one in failed else one not in no for one in identifiers]
    return pl.DataFrame(
        {"conversation_id": identifiers, "is_english": said}, schema_overrides={"is_english": pl.Boolean}
    )


def scores(pool: Pool, given: dict[str, float | None]) -> pl.DataFrame:
    identifiers = pool.users.filter("kept")["user_id"]
    said = [given.get(one, 0.9) for one in identifiers]
    return pl.DataFrame({"user_id": identifiers, "score": said}, schema_overrides={"score": pl.Float64})


@pytest.fixture
def pool(tmp_path: Path) -> Pool:
    return pool_of(
        tmp_path, [*person("four", 4, 8), *person("three", 3, 8), *person("spare", 5, 4), *person("rare", 1, 1)]
    )


def test_without_answers_the_pool_is_as_it_was(pool):
    after = apply_checks(pool, None, None, RULES)
    assert after.users.equals(pool.users)
    assert after.funnel.equals(pool.funnel)


def test_a_conversation_that_fails_the_check_is_gone_and_activity_counts_anew(pool):
    after = checked(
        apply_checks(pool, answers(pool, no=["chats/four-0", "chats/three-1", "chats/spare-2"]), None, RULES)
    )
    assert verdicts(after) | {"rare": None} == {
        "four": (None, None),
        "three": ("language_checked", "2 conversations, 16 user turns after the language check; needs 3 and 16"),
        "spare": (None, None),
        "rare": None,
    }
    counts = after.users.filter("kept").select("n_conversations", "n_user_turns")
    assert counts.rows() == [(3, 24), (4, 16)]
    assert after.funnel.row(-1, named=True) | {"rule": ""} == {
        "source": "chats",
        "step": "language_checked",
        "rule": "",
        "conversations": 7,
        "users": 2,
        "conversations_dropped": 5,
        "users_dropped": 1,
    }


def test_a_user_left_with_nothing_is_dropped(pool):
    after = checked(apply_checks(pool, answers(pool, no=[f"chats/three-{i}" for i in range(3)]), None, RULES))
    assert verdicts(after)["three"][1].startswith("0 conversations, 0 user turns")


def test_a_failed_check_keeps_the_conversation_and_the_funnel_says_so(pool):
    english = answers(pool, failed=["chats/three-0"]).filter(pl.col("conversation_id") != "chats/three-1")
    after = checked(apply_checks(pool, english, None, RULES))
    assert after.users.equals(pool.users)
    assert after.funnel["rule"][-1].endswith("2 conversations without an answer kept")


def test_a_score_under_the_threshold_drops_and_a_missing_one_does_not(pool):
    given = scores(pool, {"chats/four": 0.6, "chats/three": 0.59, "chats/spare": None})
    after = checked(apply_checks(pool, None, given, RULES))
    found = verdicts(after)
    assert found["four"] == (None, None)
    assert found["three"] == ("assistant_use", "assistant-use score 0.59; needs 0.6")
    assert found["spare"] == (None, "kept without an assistant-use score: the model gave none")
    assert found["rare"] == verdicts(pool)["rare"]
    assert after.funnel["rule"][-1].endswith("1 user without an answer kept")
    assert set(after.conversations.collect()["user_id"]) == {"chats/four", "chats/spare"}


def test_both_checks_follow_one_another(pool):
    after = checked(apply_checks(pool, answers(pool, no=["chats/three-0"]), scores(pool, {"chats/four": 0.1}), RULES))
    assert {user: by for user, (by, _) in verdicts(after).items()} == {
        "four": "assistant_use",
        "three": "language_checked",
        "spare": None,
        "rare": "activity",
    }


# --- the local identifier


@pytest.mark.parametrize(
    "text",
    [
        "",
        "hi",
        "Ukraine",
        "12 + 30 = ?",
        "Kowalczyk, Nguyen, Yamamoto, Schwarzenegger",
        "Schadenfreude, zeitgeist and kindergarten are loanwords",
        "My name is Иван Петрович and I live in Москва, help me write a letter",
        "hi is this chatgpt 4 write me a python program you can test",
        "def f(x, y=3): return [value for value in x if value > y]",
        "SELECT name, COUNT(*) FROM users WHERE id > 10 GROUP BY name;",
        "How do I say 'je suis désolé' politely to a colleague in Paris?",
    ],
)
def test_what_might_be_english_passes(text):
    assert not is_foreign(pl.Series([text])).item()


@pytest.mark.parametrize(
    "text",
    [
        RUSSIAN,
        "请帮我写一篇关于环境保护的文章，谢谢你。",
        "Escribe un poema sobre el mar, la luna y los barcos que vuelven al puerto",
        "Peux-tu m'aider à rédiger une lettre de motivation avant la fin de la semaine ?",
        "Translate to English: 汉代司马迁的《史记殷本纪第三》振卒子微立微卒子报丁立报丁卒子报乙立报乙卒",
    ],
)
def test_what_is_plainly_another_language_does_not(text):
    assert is_foreign(pl.Series([text])).item()


def test_code_and_addresses_are_no_prose_and_every_turn_is_heard():
    turns = pl.DataFrame(
        {"turns": [["Fix ```print('привет мир')``` and `код` at https://пример.рф", "x" * 900, "last"], []]}
    )
    assert turns.select(prose(pl.col("turns"))).to_series().to_list() == [
        "Fix   and   at  \n" + "x" * 300 + "\nlast",
        "",
    ]


def test_a_study_without_sources_has_an_empty_funnel_and_a_figure_of_it():
    assert figures.funnel(tables.table("funnel").empty().to_pandas()).axes


def test_the_public_sample_keeps_what_its_metadata_call_english(shared_data):
    source = Source(name="wild", format="wildchat", path=str(shared_data / "wildchat"), user_is="conversation")
    conversations = next(wildchat.read(source, shared_data / "wildchat")).conversations
    foreign = is_foreign(conversations.select(prose(stage.USER_TURNS)).to_series())
    labelled = conversations.with_columns(foreign).filter(language="English")
    # The seven of 186 are read by eye: Chinese, Russian, Korean and Italian requests that were labelled English.
    assert labelled["foreign"].sum() == 7
    assert 150 < foreign.sum() < 250
