"""Pages and scales: what can be shown is checked before anybody sees it, and an answer belongs to a wording."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from recenter_utils.annotation.pages import Conversation, Evidence, Item, Page, Turn, check, read
from recenter_utils.errors import RecenterError
from recenter_utils.scales import PREFERENCE, SCALES, scale_of

CHAT = Conversation(conversation_id="c", turns=(Turn(role="user", content="I have a dog."),))


def page(**more: object) -> Page:
    values = {"page_id": "p", "prompt": "Plan a walk.", "items": (Item(item_id="i", attribute="Has a dog."),)}
    return Page.model_validate(values | more)


def test_a_changed_wording_is_another_item_and_a_changed_place_is_not() -> None:
    item = Item(item_id="i", attribute="Has a dog.", reason="says so")
    first = page(items=(item,))
    elsewhere = page(
        page_id="q", items=(Item(item_id="j", attribute="Hikes."), item.model_copy(update={"item_id": "k"}))
    )
    assert first.item_version(item) == elsewhere.item_version(elsewhere.items[1])
    for change in ({"attribute": "Has dogs."}, {"reason": "another"}):
        assert first.item_version(item.model_copy(update=change)) != first.item_version(item)
    assert page(prompt="Another.", items=(item,)).item_version(item) != first.item_version(item)


def test_the_page_version_follows_from_all_that_is_shown() -> None:
    assert page().version == page().version
    assert page(conversations=(CHAT,)).version != page().version


@pytest.mark.parametrize(
    ("task", "wrong", "message"),
    [
        ("attribute_quality", page(), "has no 'conversations'"),
        ("relevance", page(prompt=" "), "has no 'prompt'"),
        ("preference", page(generic="x"), "lacks 'generic' or 'personalised'"),
        (
            "attribute_quality",
            page(
                conversations=(CHAT,),
                items=(Item(item_id="i", attribute="a", evidence=(Evidence(conversation=0, turn=1),)),),
            ),
            "cites turn 1 of conversation 0, which is not there",
        ),
        ("relevance", page(items=(Item(item_id="i", attribute="a", expected=("accepted",)),)), "expects 'accepted'"),
    ],
)
def test_a_page_that_no_screen_can_show_is_refused_by_name(task: str, wrong: Page, message: str) -> None:
    with pytest.raises(RecenterError, match=message) as refused:
        check([wrong], task, "my file")
    assert "my file: page 'p'" in str(refused.value)


def test_ids_must_differ_over_all_pages() -> None:
    with pytest.raises(RecenterError, match="there twice"):
        check([page(), page(page_id="q")], "relevance", "here")
    with pytest.raises(RecenterError, match="nothing to judge"):
        check([], "relevance", "here")


def test_files_of_pages_are_read_or_refused_by_line_and_key(tmp_path: Path) -> None:
    path = tmp_path / "pages.jsonl"
    good = page().model_dump_json()
    # U+2028 is text, and ends no line.
    path.write_text(
        f"{good}\n\n" + page(page_id="q\u2028", items=(Item(item_id="j", attribute="b"),)).model_dump_json()
    )
    assert [p.page_id for p in read(path, "relevance")] == ["p", "q\u2028"]
    path.write_text(good + "\n" + json.dumps({"page_id": "q", "items": [{"item_id": "j", "atribute": "b"}]}))
    with pytest.raises(RecenterError, match=r"line 2: items.0.attribute: Field required"):
        read(path, "relevance")
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(RecenterError, match="UTF-8"):
        read(path, "relevance")
    with pytest.raises(RecenterError, match="There is no file"):
        read(tmp_path / "none.jsonl", "relevance")


def test_scales_find_labels_by_name_and_by_the_words_of_the_buttons() -> None:
    for scale in SCALES.values():
        for place, (label, words) in enumerate(scale.words.items()):
            assert scale.find(label.upper()) == scale.find(f"  {words} ".lower()) == label
            assert scale.score(label) == place + scale.lowest
        assert scale.find("perhaps") is None
    assert PREFERENCE.score("5") == 5
    assert scale_of("attribute-quality") is SCALES["attribute_quality"]
    with pytest.raises(RecenterError, match="Did you mean 'relevance'"):
        scale_of("relevence")
    with pytest.raises(RecenterError, match="no answer to relevance"):
        scale_of("relevance").score("accepted")
