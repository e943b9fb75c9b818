"""Files of judgments: what is wrong is named by row, and a file comes in whole or not at all."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from recenter_utils.annotation.imports import Found, column_map, read
from recenter_utils.errors import RecenterError
from recenter_utils.scales import ATTRIBUTE_QUALITY, PREFERENCE, RELEVANCE, Scale

ITEMS = {"a1": "Has a dog.", "a2": "Lives in Leeds."}
PLAIN = column_map([])


def found(folder: Path, text: str | bytes, given: list[str] | None = None, scale: Scale = ATTRIBUTE_QUALITY) -> Found:
    path = folder / "answers.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read(path, column_map(given or []), scale, ITEMS)


def test_columns_are_mapped_and_button_words_are_understood(tmp_path: Path) -> None:
    text = "ID;Who;Said;Remark\na1;anna;Makes sense;sure\na2;anna;doesn’t make  SENSE;\n"
    result = found(tmp_path, text, ["item=ID", "rater=Who", "label=Said", "note=Remark"])
    assert not result.faults
    assert [(a["item_id"], a["rater"], a["label"], a["note"]) for a in result.answers] == [
        ("a1", "anna", "accepted", "sure"),
        ("a2", "anna", "rejected", None),
    ]


def test_every_kind_of_fault_is_counted_and_its_first_rows_named(tmp_path: Path) -> None:
    lines = ["item,rater,label"]
    lines += [f"zz{i},anna,accepted" for i in range(5)]
    lines += ["a1,anna,perhaps", "a1,,accepted", "a1,ben,accepted", "a1,ben,rejected"]
    result = found(tmp_path, "\n".join(lines))
    assert {kind: len(rows) for kind, rows in result.faults.items()} == {
        "unknown items": 5,
        "labels outside the scale (rejected, uncertain, accepted)": 1,
        "no rater": 1,
        "two different answers of one rater to one item": 1,
    }
    report = result.report("answers.csv")
    assert "unknown items (5): row 2: 'zz0'; row 3: 'zz1'; row 4: 'zz2' and 2 more" in report
    assert "rows 9 and 10: ben on a1 said accepted and rejected" in report
    assert "nothing was" in report
    assert result.answers == []  # which of ben's two answers holds, nobody can say


def test_the_same_answer_twice_is_one_answer(tmp_path: Path) -> None:
    result = found(tmp_path, "item,rater,label\na1,anna,accepted\na1,anna,accepted\n")
    assert (len(result.answers), result.repeated, dict(result.faults)) == (1, 1, {})


def test_a_rater_without_answers_is_reported_and_no_fault(tmp_path: Path) -> None:
    result = found(tmp_path, "item,rater,label\na1,anna,accepted\na2,anna,\na1,ben,\na2,ben,  \n")
    assert result.silent == ["ben"]
    assert dict(result.unanswered) == {"anna": 1, "ben": 2}
    assert not result.faults


def test_mixed_encodings_are_refused_by_row(tmp_path: Path) -> None:
    with pytest.raises(RecenterError, match=r"row 3: the text is not UTF-8 \(b'\\xe9'\)"):
        found(tmp_path, b"item,rater,label\na1,Ren\xc3\xa9,accepted\na2,Ren\xe9,accepted\n")


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_what_spreadsheets_write_is_read(tmp_path: Path, encoding: str) -> None:
    result = found(tmp_path, "item\trater\tlabel\r\na1\tRené\tMaybe\r\n".encode(encoding))
    assert [(a["rater"], a["label"]) for a in result.answers] == [("René", "uncertain")]


def test_json_lines_are_read(tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    path.write_text(json.dumps({"item": "a1", "rater": 7, "label": "no"}) + "\n\n")
    assert [(a["rater"], a["label"]) for a in read(path, PLAIN, RELEVANCE, ITEMS).answers] == [("7", "no")]
    path.write_text("[1]\n")
    with pytest.raises(RecenterError, match="line 1: not a JSON object"):
        read(path, PLAIN, RELEVANCE, ITEMS)


def test_an_answer_to_another_wording_is_refused(tmp_path: Path) -> None:
    text = "item,rater,label,text\na1,anna,accepted,Has a cat.\na2,anna,accepted,Lives in Leeds.\n"
    result = found(tmp_path, text, ["attribute=text"])
    assert result.faults == {"another wording than the study's": ["row 2: 'Has a cat.'"]}
    assert len(result.answers) == 1


def test_preferences_asked_as_a_and_b_are_recoded_by_what_stood_on_the_left(tmp_path: Path) -> None:
    text = "item,rater,label,left\na1,anna,1,personalised\na2,anna,1,generic\na1,ben,2,\n"
    result = found(tmp_path, text, ["first_shown=left"], PREFERENCE)
    assert [(a["label"], a["first_shown"]) for a in result.answers] == [
        ("5", "personalised"),
        ("1", "generic"),
        ("2", None),
    ]


def test_times_and_flags(tmp_path: Path) -> None:
    text = (
        "item,rater,label,when,flag\na1,anna,accepted,2026-01-02T10:00:00+02:00,TRUE\na2,anna,accepted,2026-01-02,0\n"
    )
    result = found(tmp_path, text, ["answered_at=when", "flagged=flag"])
    assert [(a["answered_at"], a["flagged"]) for a in result.answers] == [
        (datetime(2026, 1, 2, 8, tzinfo=UTC), True),
        (datetime(2026, 1, 2, tzinfo=UTC), False),
    ]
    bad = found(tmp_path, text.replace("2026-01-02,0", "yesterday,maybe"), ["answered_at=when", "flagged=flag"])
    assert bad.faults == {"flagged is neither yes nor no": ["row 3: 'maybe'"]}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("item,rater\na1,anna\n", "no column 'label'"),
        ("item,rater,label\na1,anna\n", "row 2: 2 cells where the header has 3"),
        ('item,rater,label\na1,"anna,accepted\n', "nothing was imported"),
        (b"item,rater,label\na1,anna,\0\n", "zero bytes"),
        ("", "no column 'item'"),
    ],
)
def test_a_broken_file_is_one_sentence(tmp_path: Path, text: str | bytes, message: str) -> None:
    with pytest.raises(RecenterError, match=message):
        found(tmp_path, text)


def test_a_misspelt_map_is_answered_with_the_nearest_name() -> None:
    with pytest.raises(RecenterError, match="Did you mean 'label'"):
        column_map(["lable=x"])
    with pytest.raises(RecenterError, match="name=column"):
        column_map(["label"])
    assert column_map(["label=Said"]) == {"item": "item", "rater": "rater", "label": "Said"}
