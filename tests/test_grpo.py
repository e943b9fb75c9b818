"""GRPO: what answers earn, that a run follows its reward and survives a kill, and what its page says."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import GenerationConfig

from recenter_utils.errors import RecenterError
from recenter_utils.figures import grpo_curves
from recenter_utils.relevance import reasoning
from recenter_utils.settings import Grpo
from recenter_utils.tables import check
from recenter_utils.training import curves, grpo, policy, reasoners, smoke
from recenter_utils.training import examples as pairs
from recenter_utils.training.rewards import label_of, reward

WORDS = ["bees", "hive", "garden", "bread", "piano", "nurse", "night", "train", "coffee", "chess", "river", "stone"]


def made(train: int = 64, seed: int = 0) -> pl.DataFrame:
    """Return pairs of which a fifth are relevant, for no reason that their words would show."""
    draw = random.Random(seed)
    split = ["train"] * train + ["validation"] * 12 + ["test"] * 15
    rows = [
        (
            f"p{n:03}",
            f"{part}-{n % 3}",
            f"How do I {' '.join(draw.sample(WORDS, 3))}?",
            f"Likes {' '.join(draw.sample(WORDS, 2))}.",
            n % 5 == 0,
            part,
        )
        for n, part in enumerate(split)
    ]
    return pl.DataFrame(rows, schema=pairs.SCHEMA, orient="row")


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


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    """As smoke runs have it: so little work only waits for other threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def warm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model that knows the form of an answer, as smoke runs start from."""
    folder = tmp_path_factory.mktemp("warm") / smoke.NAME
    asked = grpo.prompts(made())
    smoke.make(folder, [message["content"] for messages in asked for message in messages], seed=1)
    return smoke.warmed_up(folder, asked, seed=1, steps=80)


def rules(base: Path, **more: Any) -> Grpo:
    scale = smoke.SCALE | {"batch_size": 8, "epochs": 1.5, "validate_every": 6, "save_every": 4, "kl": 0.01}
    return Grpo(base=str(base), train=True, **(scale | more))


@pytest.fixture(scope="module")
def run(warm: Path, tmp_path_factory: pytest.TempPathFactory) -> grpo.Trained:
    """A run of twelve steps."""
    folder = tmp_path_factory.mktemp("run") / "models" / "grpo"
    return grpo.trained(folder, made(), rules(warm), 3, origin="simulated", labels="simulated", progress=False)


@pytest.mark.slow
def test_the_reward_rises_over_its_start(run: grpo.Trained) -> None:
    first, last = curves.ends(curves.curve(run.history), "reward")
    assert last > first + 0.1


@pytest.mark.slow
def test_a_reward_of_the_wrong_sign_makes_the_curve_fall(warm: Path, tmp_path: Path) -> None:
    found = grpo.trained(tmp_path / "m", made(), rules(warm), 3, sign=-1.0, progress=False)
    first, last = curves.ends(curves.curve(found.history), "reward")
    assert last < first - 0.1


@pytest.mark.slow
def test_each_step_is_written_down_in_full(run: grpo.Trained) -> None:
    table = check("grpo_curve", curves.curve(run.history))
    for measure in ("reward", "reward_label", "reward_format", "length", "truncated", "kl"):
        assert table.filter(measure=measure)["step"].to_list() == list(range(1, 13))
    assert table.filter(measure="validation_f1")["step"].to_list() == [0, 6, 12]
    wide = table.pivot("measure", index="step", values="value").drop_nulls("reward")
    assert (wide["reward"] - wide["reward_label"] - wide["reward_format"]).abs().max() < 1e-6


@pytest.mark.slow
def test_the_card_says_what_it_is_and_what_it_took(run: grpo.Trained) -> None:
    said = (run.folder / "README.md").read_text(encoding="utf-8")
    assert "SIMULATED" in said
    assert "| train | 64 |" in said
    assert "constant learning rate 0.0015" in said
    assert run.record["seconds"] > 0
    assert run.record["peak_memory"] > 0
    assert {"torch", "transformers", "trl", "peft"} <= set(run.record["versions"])
    assert run.name == "smoke-model + GRPO"
    assert [path.name for path in run.folder.parent.iterdir()] == ["grpo"]  # no checkpoints left


@pytest.mark.slow
def test_nothing_is_trained_again_if_nothing_changed(
    run: grpo.Trained, warm: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def must_not(*_: Any, **__: Any) -> None:
        raise AssertionError("trained again")

    monkeypatch.setattr(policy, "fit", must_not)
    settings = rules(warm, save_every=9, passed_at_once=8)  # what is stored and done at once decides nothing
    again = grpo.trained(run.folder, made().reverse(), settings, 3, progress=False)
    assert again.record == run.record
    relabelled = made().with_columns(positive=pl.col("positive") ^ (pl.col("item_id") == "p000"))
    for examples, settings, seed in (
        (relabelled, rules(warm), 3),
        (made(), rules(warm, format_reward=0.2), 3),
        (made(), rules(warm), 4),
    ):
        with pytest.raises(AssertionError, match="trained again"):
            grpo.trained(run.folder, examples, settings, seed, progress=False)
    assert grpo.Trained(run.folder).record == run.record


@pytest.mark.slow
@pytest.mark.parametrize("lora_rank", [None, 4])
def test_a_run_that_was_killed_goes_on_from_its_last_checkpoint_and_says_so(
    warm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lora_rank: int | None
) -> None:
    folder, settings = tmp_path / "models" / "grpo", rules(warm, epochs=1, lora_rank=lora_rank)
    on_log = policy._Watch.on_log

    def stop(self: Any, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        if state.global_step == 6:
            raise KeyboardInterrupt
        on_log(self, args, state, control, logs=logs, **kwargs)

    monkeypatch.setattr(policy._Watch, "on_log", stop)
    with pytest.raises(KeyboardInterrupt):
        grpo.trained(folder, made(), settings, 3, progress=False)
    monkeypatch.undo()
    assert not folder.exists()
    # A checkpoint that a kill cut short is newer than the last whole one.
    cut = folder.with_name(".grpo-run") / "checkpoint-5"
    cut.mkdir()
    (cut / "optimizer.pt").write_bytes(b"half")
    # Who was stopped for want of memory may do less at once.
    less = settings.model_copy(update={"passed_at_once": 8, "generated_at_once": 16})
    found = grpo.trained(folder, made(), less, 3, progress=False)
    assert found.record["went_on_at"] == [4]
    assert "went on from step 4" in (folder / "README.md").read_text(encoding="utf-8")
    steps = curves.curve(found.history).filter(measure="reward")["step"].to_list()
    assert steps == list(range(1, 9))
    assert (folder / "adapter_config.json").is_file() == bool(lora_rank)


@pytest.mark.slow
def test_the_same_seed_gives_the_same_run(warm: Path, tmp_path: Path) -> None:
    few = made(train=16)
    found = [
        grpo.trained(tmp_path / name, frame, rules(warm, epochs=1), 5, progress=False)
        for name, frame in (("a", few), ("b", few.reverse()))
    ]
    assert found[0].answers == found[1].answers
    assert curves.curve(found[0].history).equals(curves.curve(found[1].history))


@pytest.mark.slow
def test_pairs_with_too_long_a_prompt_are_left_out_and_counted(warm: Path, tmp_path: Path) -> None:
    few = made(train=16).with_columns(
        text=pl.when(pl.col("item_id").is_in(["p001", "p030"])).then(pl.lit("bees " * 400)).otherwise("text")
    )
    found = grpo.trained(tmp_path / "m", few, rules(warm, epochs=0.5, max_prompt_tokens=400), 5, progress=False)
    assert found.record["too_long"] == {"train": 1, "validation": 0, "test": 1}
    assert found.record["parts"][0]["examples"] == 15
    assert "(2 pairs were longer" in (found.folder / "README.md").read_text(encoding="utf-8")
    parts = few.select("item_id", "split", pair_id="item_id", prompt_id="cluster", relevant="positive")
    assert reasoning.changes(found, parts)["no answer"].sum() == 1


# -- the tiny model ---------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_answers_are_greedy_whatever_the_model_prefers_and_whoever_stands_beside(warm: Path) -> None:
    tokenizer, model = reasoners.load(str(warm), all_weights=True)
    asked = grpo.prompts(made())[:6]
    before = reasoners.answers(tokenizer, model, asked, 30, 6)
    model.generation_config = GenerationConfig(
        do_sample=True, temperature=2.0, eos_token_id=model.generation_config.eos_token_id, pad_token_id=0
    )
    assert reasoners.answers(tokenizer, model, asked, 30, 6) == before
    assert reasoners.answers(tokenizer, model, asked[:1], 30, 6) == before[:1]


@pytest.mark.slow
def test_an_answer_at_its_longest_length_is_cut_off(warm: Path) -> None:
    tokenizer, model = reasoners.load(str(warm), all_weights=True)
    (found,) = reasoners.answers(tokenizer, model, grpo.prompts(made())[:1], 3, 1)
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
    assert reasoners.answers(tokenizer, model, grpo.prompts(made())[:2], 4, 2)


# -- what cannot be trained -------------------------------------------------------------------------------------------


def test_a_base_that_cannot_be_had_is_refused_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(RecenterError, match="check 'grpo.base'"):
        reasoners.load(str(tmp_path / "empty"), all_weights=True)


def test_a_run_without_references_says_so_and_writes_empty_tables(tmp_path: Path) -> None:
    nothing = made().head(0)
    assert reasoning.lacking(nothing, Grpo(train=True)) == "no example has a label"
    with pytest.raises(RecenterError, match="No reasoning model can be trained: no example has a label"):
        grpo.trained(tmp_path / "m", nothing, Grpo(train=True, base="smoke"), 1)
    assert not (tmp_path / "m").exists()
    parts = pl.DataFrame(
        schema={"pair_id": pl.String, "prompt_id": pl.String, "split": pl.String, "relevant": pl.Boolean}
    )
    _finishes_without_a_run(parts, "no example has a label")


def test_a_study_that_does_not_train_says_what_it_takes() -> None:
    assert reasoning.lacking(made(), Grpo()) == "grpo.train is false in study.yaml"
    parts = made().select(pair_id="item_id", prompt_id="cluster", split="split", relevant="positive")
    said = _finishes_without_a_run(parts, reasoning.lacking(made(), Grpo()))
    assert "grpo.train: true" in said
    assert "80 GB" in said


def _finishes_without_a_run(parts: pl.DataFrame, reason: str) -> str:
    items = pl.DataFrame(schema={"pair_id": pl.String, "prompt": pl.String, "attribute": pl.String})
    check("grpo_curve", reasoning.curve(None))
    check("grpo_judgments", reasoning.judgments(None))
    assert reasoning.how(None).is_empty()
    assert reasoning.answered(None).is_empty()
    assert reasoning.quality(None, parts, 1).is_empty()
    assert reasoning.minds(None, parts, items).is_empty()
    assert reason in reasoning.sentence(None, parts, 1, reason)
    grpo_curves(reasoning.curve(None).to_pandas())
    assert reasoning.changes(None, parts).is_empty()
    return reasoning.described(None, reason)


# -- the page ---------------------------------------------------------------------------------------------------------


def finished(folder: Path, before: list[str], after: list[str], history: list[dict[str, Any]]) -> grpo.Trained:
    """Write what a finished run leaves, with answers of ours; a text that ends with … was cut off."""
    folder.mkdir()
    record = {"key": "k", "title": "tiny", "smoke": False, "went_on_at": [], "device": "cpu (none)", "history": history}
    (folder / "card.json").write_text(json.dumps(record), encoding="utf-8")
    said = {
        when: [
            {"item_id": f"i{n}", "text": text, "tokens": len(text.split()), "truncated": text.endswith("…")}
            for n, text in enumerate(texts)
        ]
        for when, texts in (("before", before), ("after", after))
    }
    (folder / grpo.ANSWERS).write_text(json.dumps(said), encoding="utf-8")
    return grpo.Trained(folder)


YES, NO = "It may matter.\nAnswer: YES", "It is a fact.\nAnswer: NO"
PARTS = pl.DataFrame(
    {
        "pair_id": [f"i{n}" for n in range(6)],
        "prompt_id": ["q0", "q0", "q1", "q1", "q2", "q2"],
        "split": ["test"] * 6,
        "relevant": [False, True, False, True, False, False],
    }
)
ITEMS = PARTS.select("pair_id", prompt=pl.lit("A request?"), attribute=pl.format("Attribute of {}.", "pair_id"))


@pytest.fixture
def compared(tmp_path: Path) -> grpo.Trained:
    """Six pairs: wrong to right, right to wrong, right, right, cut off to right, wrong to unparsed."""
    history = [
        {"step": n, "epoch": n / 4, "rewards/reward_label/mean": n / 10, "rewards/reward_format/mean": 0.1, "kl": 0.0}
        for n in range(1, 9)
    ]
    return finished(tmp_path / "run", [YES, YES, NO, YES, "It may…", YES], [NO, NO, NO, YES, NO, "No."], history)


def test_only_answers_with_a_final_line_are_judgments_and_the_others_are_counted(compared: grpo.Trained) -> None:
    found = check("grpo_judgments", reasoning.judgments(compared))
    assert found.group_by("rater", "rater_kind").len().sort("rater").rows() == [
        ("tiny", "llm", 5),
        ("tiny + GRPO", "trained", 5),
    ]
    assert found.filter(item_id="i0")["reason"].to_list() == ["It may matter.", "It is a fact."]
    counted = reasoning.answered(compared).select("answered", "yes", "cut_off", "unparsed").rows()
    assert counted == [(5, 4, 1, 0), (5, 1, 0, 1)]


def test_changes_count_every_pair_in_both_directions(compared: grpo.Trained) -> None:
    assert reasoning.changes(compared, PARTS).rows() == [
        ("right", 2, 1, 0),
        ("wrong", 1, 0, 1),
        ("no answer", 1, 0, 0),
    ]


def test_changes_for_the_worse_stand_beside_those_for_the_better(compared: grpo.Trained) -> None:
    found = reasoning.minds(compared, PARTS, ITEMS)
    assert found["change"].to_list() == ["to right", "to wrong"]
    assert found["reference"].to_list() == ["no", "yes"]
    assert found["reasoning_before"].to_list() == ["It may matter."] * 2
    assert found["reasoning_after"].to_list() == ["It is a fact."] * 2


def test_the_claim_says_what_was_lost_as_well(compared: grpo.Trained) -> None:
    said = reasoning.sentence(compared, PARTS, 1, "")
    assert "from 0.25 over the first quarter of the steps to 0.85 over the last" in said
    assert "2 answers became right and 1 stopped being right" in said
    assert "selects nothing" not in said


def test_a_model_that_found_out_to_say_no_is_told_so(tmp_path: Path) -> None:
    found = finished(tmp_path / "run", [YES] * 6, [NO] * 6, [])
    assert "always answering no is right for 67% of them" in reasoning.sentence(found, PARTS, 1, "")
    table = reasoning.quality(found, PARTS, 1)
    assert table["rater"].to_list() == ["tiny", "tiny + GRPO", "always no"]
    assert table["accuracy"][1] == table["accuracy"][2]


def test_an_unknown_folder_holds_no_run(tmp_path: Path) -> None:
    with pytest.raises(RecenterError, match="holds no finished GRPO run"):
        grpo.Trained(tmp_path)
