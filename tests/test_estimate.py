"""`recenter estimate`: what is still to be asked, before anything is."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections import Counter
from pathlib import Path

import pytest

from recenter_utils import cli
from recenter_utils.errors import RecenterError
from recenter_utils.estimates.planner import Estimate, estimates, total
from recenter_utils.estimates.tokens import Range, answer_tokens
from recenter_utils.estimates.wording import worded
from recenter_utils.inference import run as runner
from recenter_utils.inference.cache import Cache, Work
from recenter_utils.inference.counting import Known
from recenter_utils.inference.engines import Engine
from recenter_utils.inference.models import Model
from recenter_utils.inference.requests import Questions
from recenter_utils.inference.tasks import MENTION
from tests.serving.tiny_model import make_model
from tests.workspaces import recenter

PRICED = """
priced: {engine: openai, base_url: "http://127.0.0.1:9/v1", price: {input: 2.0, output: 10.0}}
on-gpus: {engine: vllm, served_name: nobody/has-this-model}
"""


@pytest.fixture
def demo(demo_copy: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The finished demo, with models that cost something in its models file; a model that is asked is a failure."""

    def refuse(*_: object) -> Engine:
        raise AssertionError("a model is being asked")

    monkeypatch.setattr(runner, "open_engine", refuse)
    folder = demo_copy / "data" / "demo"
    (folder / "models.yaml").write_text(PRICED, encoding="utf-8")
    return folder


def _stored(demo: Path) -> dict[str, tuple[int, int, int]]:
    """Return what the demo's run recorded: of each model, answers and tokens of prompts and of answers."""
    with sqlite3.connect(demo / "cache" / "answers.sqlite") as cache:
        counted = cache.execute(
            "SELECT model, count(*), sum(prompt_tokens), sum(completion_tokens) FROM answers GROUP BY model"
        ).fetchall()
    cache.close()
    return {model: tuple(numbers) for model, *numbers in counted}


def _without_answers(demo: Path, where: str = "1") -> None:
    with sqlite3.connect(demo / "cache" / "answers.sqlite") as cache:
        cache.execute(f"DELETE FROM answers WHERE {where}")
    cache.close()


def _by_model(estimate: Estimate) -> Counter[str]:
    found: Counter[str] = Counter()
    for line in estimate.lines:
        found[line.model] += line.pending
    return found


def test_what_is_stored_is_not_asked_again(demo: Path) -> None:
    (found,) = estimates("demo")
    summed = total(found.lines)
    assert summed["requests"] == sum(n for n, _, _ in _stored(demo).values())
    assert (summed["pending"], summed["prompt_tokens"], summed["answer_tokens"].high) == (0, 0, 0)
    assert "Every answer is stored" in worded([found])


def test_without_stored_answers_it_counts_what_the_demos_run_asked(demo: Path) -> None:
    recorded = _stored(demo)
    (demo / "cache" / "answers.sqlite").unlink()
    (found,) = estimates("demo")
    assert _by_model(found) == {model: n for model, (n, _, _) in recorded.items()}
    assert not (demo / "cache" / "answers.sqlite").exists(), "an estimate writes nothing"
    for model, (_, prompts, _) in recorded.items():
        mine = sum(line.prompt_tokens for line in found.lines if line.model == model)
        assert mine == pytest.approx(prompts, rel=0.03), "embedded models count four characters a token, too"


def test_with_some_answers_stored_their_sizes_tell_of_the_others(demo: Path) -> None:
    before = _stored(demo)
    _without_answers(demo, "id % 3 = 0")
    left = _stored(demo)
    (found,) = estimates("demo")
    # The model of the failures sorts reasons, some of which are asked for again and may differ: it is asked more.
    del before["embedded-plain"]
    for model, (n, prompts, answers) in before.items():
        lines = [line for line in found.lines if line.model == model]
        summed = total(lines)
        assert summed["pending"] == pytest.approx(n - left[model][0], rel=0.01)
        assert summed["prompt_tokens"] == pytest.approx(prompts - left[model][1], rel=0.1)
        assert summed["answer_tokens"].likely == pytest.approx(answers - left[model][2], rel=0.1)
        assert {line.answers_known for line in lines if line.pending} == {"as long as its stored answers"}


def test_a_model_that_is_named_costs_what_follows_from_its_tokens_and_price(demo: Path) -> None:
    (found,) = estimates("demo", ["priced"])
    assert found.lines
    for line in found.lines:
        assert line.model == "priced"
        for money, tokens in zip(line.dollars or (), line.answer_tokens, strict=True):
            assert money == pytest.approx((2 * line.prompt_tokens + 10 * tokens) / 1e6, rel=1e-3)
    summed = total(found.lines)
    assert summed["dollars"].low < summed["dollars"].likely < summed["dollars"].high
    assert summed["pending"] == summed["requests"]
    # It does each task once, beside as many others as the study has.
    (own,) = estimates("demo")
    assert [(line.notebook, line.task) for line in found.lines] == list(
        dict.fromkeys((line.notebook, line.task) for line in own.lines)
    )
    judged = {line.model: line.requests for line in own.lines if line.task == "relevance"}
    assert [line.requests for line in found.lines if line.task == "relevance"] == [max(judged.values())]


def test_gpu_hours_are_unknown_until_the_speed_is_measured_or_given(demo: Path) -> None:
    (unknown,) = estimates("demo", ["on-gpus"])
    assert total(unknown.lines)["gpu_hours"] is None
    assert "GPU-hours are not known (on-gpus)" in worded([unknown])
    (given,) = estimates("demo", ["on-gpus"], tokens_per_second=1000.0)
    tokens = total(given.lines)["prompt_tokens"] + total(given.lines)["answer_tokens"].high
    assert total(given.lines)["gpu_hours"].high == pytest.approx(tokens / 1000 / 3600, rel=1e-3)
    with Cache(demo / "cache" / "answers.sqlite") as cache:
        cache.record("on-gpus", "relevance", Work(10, 6000, 2000, seconds=4.0, gpus=2))
        cache.record("on-gpus", "mention", Work(10, 6000, 2000, seconds=8.0, gpus=2))
    (measured,) = estimates("demo", ["on-gpus"])
    for line in measured.lines:
        seconds = {"relevance": 4 / 8000, "mention": 8 / 8000}.get(line.task, 12 / 16000)
        assert line.hours is not None
        assert line.gpu_hours is not None
        assert line.hours.low == pytest.approx((line.prompt_tokens + line.answer_tokens.low) * seconds / 3600, rel=1e-2)
        assert line.gpu_hours.low == pytest.approx(2 * line.hours.low)


def test_a_study_that_has_not_run_is_estimated_from_its_chats_and_says_what_it_takes_for_granted(demo: Path) -> None:
    for name in ("tables", "cache", "runs"):
        shutil.rmtree(demo / name)
    before = sorted(demo.rglob("*"))
    (found,) = estimates("demo")
    assert sorted(demo.rglob("*")) == before, "nothing is left behind"
    pending = {line.task: line.pending for line in found.lines}
    assert pending["language_check"] == 168, "so far nothing is assumed"
    assert len({line.notebook for line in found.lines}) == 10, "every notebook that asks models"
    said = worded([found])
    assert "01-users has no tables yet. Taken to be so: every user passes the filters that ask a model." in said
    assert "one attribute in 3 matters" in said


def test_prompts_are_counted_by_the_models_own_tokenizer_where_it_is_here(demo: Path, tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    folder = make_model(tmp_path / "tiny")
    (demo / "models.yaml").write_text(f"tiny: {{engine: vllm, served_name: {folder}}}", encoding="utf-8")
    (found,) = estimates("demo", ["tiny"], sample=5)
    assert {line.prompts_known for line in found.lines} == {"by its own tokenizer"}
    (line,) = [line for line in found.lines if line.task == "pair_filter"]
    text = "does this look like a tokenizer of few words? " * 10
    each = len(AutoTokenizer.from_pretrained(folder)(text)["input_ids"]) / len(text)
    assert line.prompt_tokens / line.pending > 300 * each, "it knows few words, and needs more tokens for them"


def test_answers_are_as_long_as_those_of_other_language_models_and_no_embedded_one_counts() -> None:
    named = {name: Model(name=name, engine="vllm") for name in ("mine", "brief", "wordy")}
    named["rules"] = Model(name="rules", engine="embedded")
    questions = Questions.of(MENTION, named["mine"], None, 0)
    pending = [questions.request(b"1", {"attribute": "Bakes.", "response": "Bread."})] * 10
    sizes = {(name, "mention"): [Known(400, 100, tokens)] for name, tokens in (("brief", 50), ("wordy", 150))}
    sizes["rules", "mention"] = [Known(400, 100, 1)]
    found, known = answer_tokens(named["mine"], pending, sizes, named)
    assert (found, known) == (Range(500, 1000, 1500), "as long as other models' stored answers")
    longest = MENTION.prompt.sampling["max_tokens"]
    unknown, _ = answer_tokens(named["mine"], pending, {("rules", "mention"): sizes["rules", "mention"]}, named)
    assert unknown == Range(10 * longest / 16, 10 * longest / 4, 10 * longest)


def test_what_cannot_be_estimated_is_refused_with_the_remedy(demo: Path) -> None:
    with pytest.raises(RecenterError, match="no model 'prised' in the models file. Did you mean 'priced'"):
        estimates("demo", ["prised"])
    with pytest.raises(RecenterError, match="no study 'dmeo'.*Did you mean 'demo'"):
        estimates("dmeo")


def test_the_command_prints_json_or_a_table(demo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    done = recenter(demo.parents[1], "estimate", "demo", "--model", "priced", "--json")
    assert done.returncode == 0, done.stderr
    (plain,) = json.loads(done.stdout)
    assert plain["total"]["dollars"]["low"] == pytest.approx(sum(line["dollars"]["low"] for line in plain["lines"]))
    cli.estimate("demo", ["priced"])
    said = capsys.readouterr().out
    assert "US dollars" in said
    assert "Answers of unknown length (priced)." in said
    rows = [line.split() for line in said.splitlines()]
    (row,) = [cells for cells in rows if cells[:1] == ["total"]]
    assert row[2] == f"{plain['total']['requests']:,}"
