"""All stages and the book on real people's chats with real requests, before anybody has judged."""

from __future__ import annotations

import html
import re
from pathlib import Path

import polars as pl
import pytest

from recenter_utils import notebooks, privacy
from recenter_utils.errors import RecenterError
from recenter_utils.study import Study
from tests import one_process
from tests.workspaces import add_study, new_workspace, recenter

pytestmark = pytest.mark.slow

JUDGES = ("embedded-cautious", "embedded-plain", "embedded-literal", "embedded-broad", "embedded-eager")

REAL = """\
title: Real requests, real chats
sources: [{{name: oasst, format: oasst, path: {data}/oasst1}}]
users: {{min_conversations: 2, min_user_turns: 2}}
annotation: {{real_users: 20}}
models:
  extraction: embedded-broad
  pairing: embedded-eager
  relevance: [{judges}]
  generators: [{judges}]
  preference: [{judges}]
pairing: {{prompts: {data}/lima/lima_prompts_1030.jsonl, sample: 20}}
responses: {{selector: embedded-cautious, sample: 60}}
reward: {{tune: head, max_tokens: 64}}
"""

#: What pages say where there is no annotator, by the page's number.
CANNOT_BE_SAID = {
    "05": "Nobody has judged an attribute of this study yet",
    "06": "Attribute quality is undefined here: no annotator who counts has judged an attribute.",
    "07": "There is no failure to count",
    "08": "Nothing can be said of verifiers: no attribute has been judged.",
    "09": "Nothing was refined",
    "11": "Of people nothing can be said: nobody has judged yet",
    "12": "Nothing can be said of retrieval: no pair has a reference.",
    "14": "Nothing can be said of a trained selector: no example has a label.",
    "16": "Nothing can be said of selectors: no pair has a reference.",
    "17": "No judge could be calibrated: no pair has a reference",
    "18": "Whether a model may stand in for an annotator cannot be said: the test needs 3 annotators, and there are 0.",
    "20": "Of people nothing can be said: nobody has judged yet",
    "21": "Models cannot be held against annotators: no comparison has ratings of both.",
    "22": "No annotator has rated a comparison.",
    "24": "Nothing can be said of reward models: no annotator who counts has rated a comparison.",
    "25": "No design can be tried: no annotator's rating counts",
    "29": "Whether models read people rightly cannot be said: nobody has judged this yet.",
}


@pytest.fixture(scope="module")
def real(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace in which the study of OASST1's users with LIMA's requests has run, with its book. For reading."""
    root = new_workspace(tmp_path_factory.mktemp("real") / "workspace")
    add_study(root, "real", REAL.format(data=shared_data, judges=", ".join(JUDGES)))
    one_process.run(root, "real")
    done = recenter(root, "book", "real")
    assert done.returncode == 0, done.stderr
    return root


@pytest.fixture
def study(real: Path, monkeypatch: pytest.MonkeyPatch) -> Study:
    monkeypatch.setenv("RECENTER_ROOT", str(real))
    return Study.open("real")


def claims(study: Study, number: str) -> str:
    """Return what a page comes down to."""
    (path,) = (study.folder / "runs").glob(f"{number}-*.ipynb")
    shown = [output for cell in notebooks.read(path)["cells"] for output in cell.get("outputs", [])]
    texts = ["".join(output.get("data", {}).get("text/html", "")) for output in shown]
    found = [html.unescape(re.sub("<[^>]*>", "", text)) for text in texts if 'class="claim"' in text]
    assert found, number
    return "\n".join(found)


def book(study: Study) -> Path:
    return study.root / "book" / "_build" / "study-real" / "html"


@pytest.mark.parametrize("number", CANNOT_BE_SAID)
def test_a_page_says_what_cannot_be_said_without_annotators(study: Study, number: str) -> None:
    assert CANNOT_BE_SAID[number] in claims(study, number)


def test_requests_meet_users_and_models_judge_every_pair(study: Study) -> None:
    prompts, pairs, judgments = (study.frame(name) for name in ("prompts", "pairs", "relevance_judgments"))
    assert len(prompts) == 20
    assert len(pairs) > 100
    assert (pairs.group_by("prompt_id").agg(pl.col("user_id").n_unique())["user_id"] <= 4).all()
    assert dict(judgments.group_by("rater").len().iter_rows()) == dict.fromkeys(JUDGES, len(pairs))
    rates = dict(judgments.group_by("rater").agg((pl.col("label") == "yes").mean()).iter_rows())
    assert 0 < rates["embedded-cautious"] <= rates["embedded-plain"] < rates["embedded-eager"] < 1


def test_nothing_is_claimed_of_relevance_without_a_reference(study: Study) -> None:
    assert study.frame("retrieval_judgments").is_empty()
    assert study.frame("selection_scores").is_empty()
    blocks = study.frame("relevance_blocks").filter(block="people with models")
    assert blocks["value"].null_count() == len(blocks) > 0
    assert blocks["reason"].null_count() == 0


def test_all_generators_answer_the_same_requests_with_what_the_selector_chose(study: Study) -> None:
    said = study.frame("relevance_judgments").filter(rater="embedded-cautious", label="yes")
    chosen = study.frame("pairs").join(said, left_on="pair_id", right_on="item_id", how="semi")
    given = study.frame("responses").filter(condition="personalised")
    sides = given.group_by("generator").agg(pl.struct("prompt_id", "user_id", "attribute_ids").sort().alias("asked"))
    assert sides["generator"].sort().to_list() == sorted(JUDGES)
    assert sides["asked"].n_unique() == 1
    assert set(given["attribute_ids"].explode()) <= set(chosen["attribute_id"])
    made = study.frame("generation")
    assert made["n_pages"].to_list() == [12] * len(JUDGES)
    assert made["n_compared"].sum() == study.frame("comparisons")["page_id"].n_unique() > 40


def test_models_judge_every_comparison_and_only_they(study: Study) -> None:
    comparisons, judgments = study.frame("comparisons"), study.frame("preference_judgments")
    assert dict(judgments.group_by("rater").len().iter_rows()) == dict.fromkeys(JUDGES, len(comparisons))
    assert judgments["rater_kind"].unique().to_list() == ["llm"]
    rates = study.frame("mention_rates").filter(detector_kind="llm").select("generator", "value")
    named = dict(rates.iter_rows())
    assert named["embedded-cautious"] < named["embedded-eager"]
    gaps = study.frame("mention_gaps").filter(generator="all generators", statistic="adjusted")
    worth = dict(gaps.select("rater", "value").iter_rows())
    assert worth["embedded-cautious"] < 0 < worth["embedded-eager"]
    for name in ("designs", "reward_judgments", "reward_scores", "preference_effects"):
        assert study.frame(name).is_empty(), name


def test_no_page_holds_what_was_said_in_a_chat_or_read_from_one(study: Study) -> None:
    """`recenter book` has looked for what was said; what was read from it, and whose it is, stays away as well."""
    pages = [path for path in book(study).rglob("*") if path.suffix in (".html", ".ipynb", ".js")]
    shown = "".join(path.read_text("utf-8") for path in pages if "_static" not in path.parts)
    assert "rows are not shown" in shown
    merged = study.frame("merged_attributes")
    assert not [words for words in merged["attribute"] if words in shown]
    assert not [name for name in merged["user_id"] if name in shown]
    answers = study.frame("responses")["text"].drop_nulls()
    assert not [text for text in answers if text.split("\n")[-1] in shown]


def test_a_page_with_a_turn_of_a_chat_is_refused(study: Study, tmp_path: Path) -> None:
    turns = study.frame("conversations").explode("turns").unnest("turns")
    first = turns.filter(pl.col("content").str.len_chars() > 200).row(0, named=True)
    page = tmp_path / "notebooks" / "02-attributes.html"
    page.parent.mkdir()
    built = (book(study) / "notebooks" / page.name).read_text("utf-8")
    page.write_text(built.replace("</article>", f"<p>{html.escape(first['content'])}</p></article>"), "utf-8")
    assert page.read_text("utf-8") != built
    with pytest.raises(RecenterError, match=r"02-attributes\.html holds text of a chat \(conversation oasst/"):
        privacy.refuse(study, tmp_path)
