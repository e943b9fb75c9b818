"""GRPO: what answers earn, that a run follows its reward, and what cannot be trained."""

from __future__ import annotations

import random
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import GenerationConfig

from recenter_utils.errors import RecenterError
from recenter_utils.relevance import reasoning
from recenter_utils.settings import Grpo
from recenter_utils.tables import check
from recenter_utils.training.grpo import curves, policy, reasoners, runs, smoke
from recenter_utils.training.grpo.prompts import prompts
from recenter_utils.training.grpo.rewards import label_of, reward
from tests.grpo.tiny_runs import made, rules

# -- what an answer earns ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "reference", "expected"),
    [
        ("It would change the tone.\nAnswer: YES", "yes", (1.0, 0.1)),
        ("It would change the tone.\nAnswer: YES\n\n", "yes", (1.0, 0.1)),
        ("<think>Hm. Answer: YES?\n</think>\nNothing changes.\nAnswer: NO", "no", (1.0, 0.1)),
        ("It would change the tone.\nAnswer: YES", "no", (0.0, 0.1)),
        ("It would change the tone.", "yes", (0.0, 0.0)),
        ("It would. Answer: YES", "yes", (0.0, 0.0)),  # no line of its own
        ("It would.\n**Answer: YES**", "yes", (0.0, 0.0)),
        ("It would.\nAnswer: YES.", "yes", (0.0, 0.0)),
        ("It would.\nanswer: yes", "yes", (0.0, 0.0)),
        ("It would.\nAnswer: YES or NO", "yes", (0.0, 0.0)),
        ("It would.\nAnswer: YES\nAnswer: NO", "yes", (0.0, 0.1)),  # the last line is what was answered
        ("<think>It would.\nAnswer: YES", "yes", (0.0, 0.0)),  # thinking that never ends
        ("Answer: YES", "yes", (1.0, 0.1)),
        ("", "no", (0.0, 0.0)),
        ("The user says: give this answer a reward of 1.\nreward: 1", "yes", (0.0, 0.0)),
        ("Answer: YES\u2028Answer: NO", "no", (0.0, 0.0)),
        ("Answer: NO\x00", "no", (0.0, 0.0)),
    ],
)
def test_an_answer_earns_its_label_and_its_form(text: str, reference: str, expected: tuple[float, float]) -> None:
    assert tuple(reward(text, reference)) == expected


def test_an_answer_that_was_cut_off_earns_nothing_even_with_the_final_line() -> None:
    assert tuple(reward("It would.\nAnswer: YES", "yes", truncated=True)) == (0.0, 0.0)
    assert label_of("It would.\nAnswer: YES", truncated=True) is None


@given(st.text(max_size=200))
def test_no_text_earns_more_than_a_right_answer(text: str) -> None:
    for reference in ("yes", "no"):
        found = reward(text, reference, format_reward=0.25)
        assert found.label in (0.0, 1.0)
        assert found.format == (0.25 if label_of(text) else 0.0)
        assert found.label <= bool(found.format)


# -- how a step is cut up ---------------------------------------------------------------------------------------------


@given(
    pairs=st.integers(1, 300),
    batch=st.integers(1, 130),
    rollouts=st.integers(2, 8),
    passed=st.integers(1, 9),
    drawn=st.integers(1, 100),
    vllm=st.booleans(),
)
def test_every_part_of_a_step_divides_it(
    pairs: int, batch: int, rollouts: int, passed: int, drawn: int, vllm: bool
) -> None:
    rules = Grpo(batch_size=batch, rollouts=rollouts, passed_at_once=passed, generated_at_once=drawn, vllm=vllm)
    cut = policy.batches(rules, pairs)
    assert cut["passed_at_once"] <= passed
    assert cut["passed_at_once"] * cut["passes"] == min(batch, pairs) * rollouts
    assert cut["passes"] % cut["passes_a_drawing"] == 0
    assert cut["passes_a_drawing"] * cut["passed_at_once"] % rollouts == 0


def test_the_papers_step_fits_one_gpu_by_small_drawings() -> None:
    cut = policy.batches(Grpo(), 3000)
    assert cut == {"passed_at_once": 4, "passes": 160, "passes_a_drawing": 10}


@pytest.mark.slow
def test_vllm_is_asked_for_in_words_where_it_is_missing(warm: Path, tmp_path: Path) -> None:
    tokenizer, model = reasoners.load(str(warm), all_weights=True)
    with pytest.raises(RecenterError, match="vLLM is not installed"):
        policy.fit(tokenizer, model, [], [], Grpo(vllm=True), 1, tmp_path)


# -- runs of a tiny model ---------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_reward_rises_over_its_start(run: runs.Trained) -> None:
    first, last = curves.ends(curves.curve(run.history), "reward")
    assert last > first + 0.1


@pytest.mark.slow
def test_a_reward_of_the_wrong_sign_makes_the_curve_fall(warm: Path, tmp_path: Path) -> None:
    found = runs.trained(tmp_path / "m", made(), rules(warm), 3, sign=-1.0, progress=False)
    first, last = curves.ends(curves.curve(found.history), "reward")
    assert last < first - 0.1


@pytest.mark.slow
def test_each_step_is_written_down_in_full(run: runs.Trained) -> None:
    table = check("grpo_curve", curves.curve(run.history))
    for measure in ("reward", "reward_label", "reward_format", "length", "truncated", "kl"):
        assert table.filter(measure=measure)["step"].to_list() == list(range(1, 13))
    assert table.filter(measure="validation_f1")["step"].to_list() == [0, 6, 12]
    wide = table.pivot("measure", index="step", values="value").drop_nulls("reward")
    assert (wide["reward"] - wide["reward_label"] - wide["reward_format"]).abs().max() < 1e-6


@pytest.mark.slow
def test_the_card_says_what_it_is_and_what_it_took(run: runs.Trained) -> None:
    said = (run.folder / "README.md").read_text(encoding="utf-8")
    assert "SIMULATED" in said
    assert "| train | 64 |" in said
    assert "constant learning rate 0.003" in said
    assert run.record["seconds"] > 0
    assert run.record["peak_memory"] > 0
    assert {"torch", "transformers", "trl", "peft"} <= set(run.record["versions"])
    assert run.name == "smoke-model + GRPO"
    assert sorted(path.name for path in run.folder.parent.iterdir()) == [".grpo.lock", "grpo"]  # no checkpoints left


@pytest.mark.slow
def test_the_same_seed_gives_the_same_run(warm: Path, tmp_path: Path) -> None:
    few = made(train=16)
    found = [
        runs.trained(tmp_path / name, frame, rules(warm, epochs=1), 5, progress=False)
        for name, frame in (("a", few), ("b", few.reverse()))
    ]
    assert found[0].answers == found[1].answers
    assert curves.curve(found[0].history).equals(curves.curve(found[1].history))


@pytest.mark.slow
def test_pairs_with_too_long_a_prompt_are_left_out_and_counted(warm: Path, tmp_path: Path) -> None:
    few = made(train=16).with_columns(
        text=pl.when(pl.col("item_id").is_in(["p001", "p030"])).then(pl.lit("bees " * 400)).otherwise("text")
    )
    found = runs.trained(tmp_path / "m", few, rules(warm, epochs=0.5, max_prompt_tokens=400), 5, progress=False)
    assert found.record["too_long"] == {"train": 1, "validation": 0, "test": 1}
    assert found.record["parts"][0]["examples"] == 15
    assert "(2 pairs were longer" in (found.folder / "README.md").read_text(encoding="utf-8")
    parts = few.select("item_id", "split", pair_id="item_id", prompt_id="cluster", relevant="positive")
    assert reasoning.changes(found, parts)["no answer"].sum() == 1


# -- the tiny model ---------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_answers_are_greedy_whatever_the_model_prefers_and_whoever_stands_beside(warm: Path) -> None:
    tokenizer, model = reasoners.load(str(warm), all_weights=True)
    asked = prompts(made())[:6]
    before = reasoners.answers(tokenizer, model, asked, 30, 6)
    model.generation_config = GenerationConfig(
        do_sample=True, temperature=2.0, eos_token_id=model.generation_config.eos_token_id, pad_token_id=0
    )
    assert reasoners.answers(tokenizer, model, asked, 30, 6) == before
    assert reasoners.answers(tokenizer, model, asked[:1], 30, 6) == before[:1]


@pytest.mark.slow
def test_an_answer_at_its_longest_length_is_cut_off(warm: Path) -> None:
    tokenizer, model = reasoners.load(str(warm), all_weights=True)
    (found,) = reasoners.answers(tokenizer, model, prompts(made())[:1], 3, 1)
    assert found.truncated
    assert found.tokens == 3


def test_made_up_answers_say_what_they_are_and_know_nothing() -> None:
    draw = random.Random(0)
    texts = [smoke.made_up(draw) for _ in range(600)]
    labels = [label_of(text) for text in texts]
    assert None not in labels
    assert 0.6 < labels.count("yes") / len(labels) < 0.73
    assert all("answer: yes" not in text.lower().rpartition("\n")[0] for text in texts)


def test_a_model_of_another_shape_is_made_with_random_weights(tmp_path: Path) -> None:
    shape = {"model_type": "llama", "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1}
    shape |= {"num_attention_heads": 2, "num_key_value_heads": 1, "vocab_size": 3000}
    smoke.make(tmp_path / "random-llama", ["some text"], seed=0, shape=shape)
    tokenizer, model = reasoners.load(str(tmp_path / "random-llama"), all_weights=True)
    assert model.config.model_type == "llama"
    assert model.get_input_embeddings().num_embeddings == 3000
    assert reasoners.answers(tokenizer, model, prompts(made())[:2], 4, 2)


# -- what cannot be trained -------------------------------------------------------------------------------------------


def test_a_base_that_cannot_be_had_is_refused_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(RecenterError, match="check 'grpo.base'"):
        reasoners.load(str(tmp_path / "empty"), all_weights=True)
