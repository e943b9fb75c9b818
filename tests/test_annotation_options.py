"""A round of judging goes on by its rules, however little the command that starts it again says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from recenter_utils.annotation import serve
from recenter_utils.annotation.conduct import Codes
from recenter_utils.annotation.pages import Page
from recenter_utils.annotation.serve import annotate
from recenter_utils.annotation.store import Store
from recenter_utils.annotation.tasks import Task
from recenter_utils.errors import RecenterError
from recenter_utils.study import Study
from tests.judging import KEY, quality_pages

CODES = {"prolific": True, "codes": Codes("DONE1", None, "FAIL3")}


class Round:
    """`recenter annotate` on pages made up here, which prints what it would and serves nothing."""

    def __init__(self, workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.pages = 10
        self.printed = ""
        monkeypatch.setenv("RECENTER_ANNOTATION_KEY", KEY)
        monkeypatch.setattr(serve, "task_pages", self._made)
        monkeypatch.setattr(serve, "_serve", self._serve)
        self._conducts: list[Any] = []
        made = serve.Conduct
        monkeypatch.setattr(serve, "Conduct", lambda *given: self._conducts.append(made(*given)) or self._conducts[-1])

    def start(self, **options: Any) -> Any:
        """Return how the round is conducted."""
        annotate(Study.open("demo"), "attribute-quality", port=0, **options)
        return self._conducts[-1]

    def check_items(self) -> int:
        with Store(Study.open("demo").answers_path("attribute_quality")) as store:
            return sum(item.expected is not None for page in store.pages() for item in page.items)

    def _made(self, study: Study, task: Task, file: Path | None, checks: int) -> list[Page]:
        return quality_pages(self.pages, checks=1 if checks else 0)

    def _serve(self, app: Any, listening: Any, notice: list[str]) -> None:
        self.printed = "\n".join(notice)


@pytest.fixture
def round_(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> Round:
    return Round(workspace, monkeypatch)


def test_a_restart_that_says_less_changes_nothing(round_: Round) -> None:
    first = round_.start(annotators="5", per_item=2, overlap=2, checks=10, reclaim_hours=24.0)
    assert (first.rules.cap, round_.check_items()) == (6, 10)  # of 8 pages twice, a fifth each, and the first two
    again = round_.start()
    assert again.rules == first.rules
    assert round_.check_items() == 10
    assert "--per-item 2 --overlap 2 --cap 6 --reclaim-hours 24 --checks 10, as before" in round_.printed
    assert "Pages since" not in round_.printed


def test_an_option_that_is_given_holds_from_then_on(round_: Round) -> None:
    round_.start(annotators="5", per_item=2, overlap=2, checks=10)
    changed = round_.start(overlap=0, checks=0, cap=8)
    assert (changed.rules.per_item, changed.rules.overlap, changed.rules.cap) == (2, 0, 8)
    assert round_.check_items() == 0
    assert "--cap 6 --checks 10; from now on they are --per-item 2 --overlap 0 --cap 8" in round_.printed
    assert round_.start().rules == changed.rules
    assert round_.check_items() == 0


def test_a_start_says_which_pages_are_new_and_gone(round_: Round) -> None:
    round_.start()
    assert "Pages since" not in round_.printed
    round_.pages = 12
    round_.start()
    assert "Pages since the start before: 2 new." in round_.printed
    round_.pages = 9
    round_.start()
    assert "Pages since the start before: 3 gone." in round_.printed


def test_the_share_of_check_items_to_pass_stays_and_is_half_where_only_the_code_is_given(round_: Round) -> None:
    assert round_.start(**CODES).min_passed == 0.5
    assert round_.start(**CODES, min_passed=0.7).min_passed == 0.7
    assert round_.start(**CODES).min_passed == 0.7
    with pytest.raises(RecenterError, match=r"--min-passed needs --failed-code.*70%"):
        round_.start(prolific=True, codes=Codes("DONE1"))
    assert round_.start().min_passed is None


def test_a_share_to_pass_is_for_prolific(round_: Round) -> None:
    with pytest.raises(RecenterError, match="--min-passed is for participants from Prolific"):
        round_.start(min_passed=0.5)


@pytest.mark.parametrize(("host", "said"), [("127.0.0.1", False), ("0.0.0.0", True)])
def test_links_that_name_no_machine_come_with_a_remedy(round_: Round, host: str, said: bool) -> None:
    round_.start(host=host)
    assert ("give --public-url" in round_.printed) == said


def test_one_is_spoken_of_as_one(round_: Round) -> None:
    round_.start(annotators="1", per_item=2, overlap=1)
    assert "the first page goes to everybody" in round_.printed
    assert "Only 1 annotator is invited" in round_.printed
