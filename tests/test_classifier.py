"""The trained classifier: it learns where there is something to learn, is stored whole, and says what it is."""

from __future__ import annotations

import json
import os
import random
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import hypothesis
import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import fbeta_score
from transformers import AutoModel, BertConfig, BertForSequenceClassification, BertTokenizerFast

from recenter_utils.errors import RecenterError
from recenter_utils.inference.embeddings import MINILM
from recenter_utils.settings import Verifier
from recenter_utils.training import classifier, fitting, folders, scoring
from recenter_utils.training import examples as pairs
from recenter_utils.training.encoders import tokenizer_and_model

WORDS = ["bees", "hives", "garden", "bread", "piano", "nurse", "night", "train", "coffee", "chess", "river", "stone"]
#: Attributes with this word are the positive ones.
TELLING = "always"


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an encoder that has learned nothing and is trained in seconds."""
    folder = tmp_path_factory.mktemp("tiny")
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", TELLING, *WORDS]
    (folder / "vocab.txt").write_text("\n".join(vocabulary), encoding="utf-8")
    BertTokenizerFast(str(folder / "vocab.txt")).save_pretrained(folder)
    torch.manual_seed(0)
    shape = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    config = BertConfig(vocab_size=len(vocabulary), max_position_embeddings=64, num_labels=2, **shape)
    BertForSequenceClassification(config).save_pretrained(folder)
    return folder


def made(rows: int = 240, seed: int = 0, shuffled: bool = False) -> pl.DataFrame:
    """Return examples whose label is whether the attribute holds a telling word, or has nothing to do with it."""
    draw = random.Random(seed)
    labels = [place % 2 == 0 for place in range(rows)]
    found = []
    for place, positive in enumerate(labels):
        attribute = draw.sample(WORDS, 3) + ([TELLING] if positive else [])
        draw.shuffle(attribute)
        user = place % 24
        found.append(
            {
                "item_id": f"i{place:03}",
                "cluster": f"u{user:02}",
                "text": " ".join(draw.choices(WORDS, k=8)),
                "attribute": " ".join(attribute),
                "positive": positive,
                "split": "train" if user < 14 else "validation" if user < 18 else "test",
            }
        )
    if shuffled:
        draw.shuffle(labels)
        found = [row | {"positive": label} for row, label in zip(found, labels, strict=True)]
    return pl.DataFrame(found, schema=pairs.SCHEMA)


def rules(base: Path | str, **more: Any) -> Verifier:
    settings = {"epochs": 8, "learning_rate": 4e-3, "max_tokens": 32, "patience": 8, "beta": 1.0}
    return Verifier(base=str(base), **(settings | more))


def measured(found: classifier.Classifier, metric: str) -> dict[str, Any]:
    return next(row for row in found.record["test"] if row["metric"] == metric)


def test_what_can_be_learned_is_learned_and_what_cannot_is_not(tiny: Path, tmp_path: Path) -> None:
    learned = classifier.fitted(tmp_path / "m", made(), rules(tiny), 3, progress=False)
    assert measured(learned, "average_precision")["value"] > 0.95
    assert measured(learned, "accuracy")["value"] > 0.9
    nothing = classifier.fitted(tmp_path / "n", made(shuffled=True), rules(tiny), 3, progress=False)
    test = made(shuffled=True).filter(split="test")
    assert measured(nothing, "average_precision")["value"] < test["positive"].mean() + 0.2
    assert abs(measured(nothing, "kappa")["value"]) < 0.35


def test_the_stored_model_is_found_again_and_anything_else_is_trained_anew(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = made(80)
    first = classifier.fitted(tmp_path / "m", few, rules(tiny, epochs=1), 3, origin="simulated", progress=False)
    scores = first.scores(few["text"], few["attribute"])

    def must_not(*_: Any) -> None:
        raise AssertionError("trained again")

    monkeypatch.setattr(fitting, "fit", must_not)
    # Other users held out would be another split; more rounds of refining change nothing that was learned.
    again = classifier.fitted(tmp_path / "m", few.reverse(), rules(tiny, epochs=1, rounds=5), 3, progress=False)
    assert np.array_equal(again.scores(few["text"], few["attribute"]), scores)
    relabelled = few.with_columns(positive=pl.col("positive") ^ (pl.col("item_id") == "i000"))
    for other, settings, seed in (
        (relabelled, rules(tiny, epochs=1), 3),
        (few, rules(tiny, epochs=2), 3),
        (few, rules(tiny, epochs=1), 4),
    ):
        with pytest.raises(AssertionError, match="trained again"):
            classifier.fitted(tmp_path / "m", other, settings, seed, progress=False)


def test_the_same_seed_gives_the_same_model(tiny: Path, tmp_path: Path) -> None:
    few = made(80)
    scores = [
        classifier.fitted(tmp_path / name, frame, rules(tiny, epochs=2), 5, progress=False).scores(
            few["text"], few["attribute"]
        )
        for name, frame in (("a", few), ("b", few.reverse()))
    ]
    assert np.array_equal(*scores)


def test_a_run_that_is_cut_off_leaves_the_model_before_it_and_nothing_else(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = made(80)
    folder = tmp_path / "models" / "m"
    kept = classifier.fitted(folder, few, rules(tiny, epochs=1), 3, progress=False)
    (folder.parent / f".m.partial.{folders._host()}.999999999").mkdir()  # what a killed run left
    monkeypatch.setattr(classifier.card, "write", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        classifier.fitted(folder, few, rules(tiny, epochs=2), 3, progress=False)
    monkeypatch.undo()
    assert classifier.Classifier(folder).record == kept.record
    classifier.fitted(folder, few, rules(tiny, epochs=2), 3, progress=False)
    assert [path.name for path in folder.parent.iterdir()] == ["m"]


def test_only_what_a_killed_run_of_this_host_left_is_removed(tmp_path: Path) -> None:
    host, folder = folders._host(), tmp_path / "m"
    gone = [f".m.partial.{host}.999999999", f".m.old.{host}.999999998"]
    kept = [".m.partial.elsewhere.999999999", f".m.partial.{host}.{1}", ".m.lock", ".m.notes", ".m.d"]
    for name in (*gone, *kept):
        (tmp_path / name).mkdir()
    made = folders.partial(folder)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*kept, made.name])


def test_a_base_that_is_a_folder_is_found_from_the_study_and_known_by_what_it_holds(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few, home = made(80), tmp_path / "study"
    base = home / "models" / "tiny"
    shutil.copytree(tiny, base)
    monkeypatch.chdir(tmp_path)

    def trained() -> classifier.Classifier:
        settings = rules("models/tiny", epochs=1)
        return classifier.fitted(tmp_path / "m", few, settings, 3, home=home, progress=False)

    first = trained()
    assert first.name == "trained tiny"
    os.utime(base / "model.safetensors", (1, 1))
    monkeypatch.setattr(fitting, "fit", lambda *_: (_ for _ in ()).throw(AssertionError("trained again")))
    assert trained().record == first.record
    weights = bytearray((base / "model.safetensors").read_bytes())
    weights[-64:] = bytes(64)
    (base / "model.safetensors").write_bytes(weights)
    with pytest.raises(AssertionError, match="trained again"):
        trained()


def test_the_card_says_what_it_is(tiny: Path, tmp_path: Path) -> None:
    settings = rules(tiny, epochs=1, beta=2.0)
    found = classifier.fitted(tmp_path / "m", made(80), settings, 3, origin="simulated+model", progress=False)
    said = (tmp_path / "m" / "README.md").read_text(encoding="utf-8")
    assert "SIMULATED" in said
    assert "people's." not in said
    assert "a positive example weighs 4, a negative one 1" in said
    for part in found.record["parts"]:
        assert f"| {part['split']} | {part['examples']} |" in said
    assert f"{measured(found, 'recall')['value']:.3f}" in said
    json.loads((tmp_path / "m" / "card.json").read_text(encoding="utf-8"))


def test_an_encoder_may_be_cut_to_its_first_layers_and_keeps_its_word_vectors(tiny: Path, tmp_path: Path) -> None:
    few = made(80)
    for layers, kept in ((1, 1), (9, 2)):
        found = classifier.fitted(tmp_path / "m", few, rules(tiny, epochs=1, layers=layers), 3, progress=False)
        _, model = tokenizer_and_model(str(tmp_path / "m"))
        assert model.config.num_hidden_layers == kept
        held = (AutoModel.from_pretrained(folder).get_input_embeddings().weight for folder in (tiny, tmp_path / "m"))
        assert torch.equal(*held)
        assert f"at most {layers} layer" in (tmp_path / "m" / "README.md").read_text(encoding="utf-8")
        assert ((scores := found.scores(few["text"], few["attribute"])) > 0).all()
        assert len(set(scores)) > 1


def test_the_encoder_of_the_package_is_trained_stored_and_loaded(tmp_path: Path) -> None:
    few = made(48)
    settings = Verifier(epochs=1, max_tokens=24, learning_rate=1e-3)
    found = classifier.fitted(tmp_path / "m", few, settings, 3, progress=False)
    assert found.name == f"trained {MINILM}"
    scores = found.scores(few["text"], few["attribute"])
    assert ((scores > 0) & (scores < 1)).all()
    assert np.array_equal(classifier.Classifier(tmp_path / "m").scores(few["text"], few["attribute"]), scores)
    # Scores depend on the pair, not on who stands beside it.
    alone = found.scores(few["text"][:1], few["attribute"][:1])
    assert np.allclose(alone, scores[:1], atol=1e-5)


@hypothesis.settings(deadline=None)
@given(text=st.lists(st.sampled_from(WORDS), max_size=60), attribute=st.lists(st.sampled_from(WORDS), max_size=40))
def test_only_the_text_is_cut(text: list[str], attribute: list[str]) -> None:
    tokenizer, _ = _minilm()
    row = pairs.encode([" ".join(text)], [" ".join(attribute)], tokenizer, 64)[0]
    assert len(row["input_ids"]) <= 64
    parts = tokenizer.decode(row["input_ids"]).split("[SEP]")
    assert parts[1].split() == attribute
    kept = parts[0].replace("[CLS]", "").split()
    assert kept[:-1] == text[: max(0, len(kept) - 1)]
    assert not kept or text[len(kept) - 1].startswith(kept[-1])  # cut between tokens, which may be parts of a word


def test_an_endless_attribute_leaves_the_text_some_room() -> None:
    tokenizer, _ = _minilm()
    row = pairs.encode(["bees " * 50], ["piano " * 500], tokenizer, 32)[0]
    assert len(row["input_ids"]) <= 32
    assert tokenizer.decode(row["input_ids"]).split("[SEP]")[0].count("bees") >= pairs.TEXT_TOKENS


def _minilm() -> Any:
    if not hasattr(_minilm, "held"):
        _minilm.held = tokenizer_and_model(MINILM)  # type: ignore[attr-defined]
    return _minilm.held  # type: ignore[attr-defined]


@hypothesis.settings(deadline=None)
@given(
    st.lists(st.tuples(st.booleans(), st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.75, 1.0])), min_size=2, max_size=30),
    st.sampled_from([0.5, 1.0, 2.0]),
)
def test_the_threshold_is_the_best_there_is(rows: list[tuple[bool, float]], beta: float) -> None:
    truth, scores = np.array([row[0] for row in rows]), np.array([row[1] for row in rows])
    threshold, best = scoring.best_threshold(truth, scores, beta)
    if truth.all() or not truth.any():
        assert threshold == 0.5
        assert np.isnan(best)
        return
    reached = fbeta_score(truth, scores >= threshold, beta=beta)
    every = [fbeta_score(truth, scores >= cut, beta=beta, zero_division=0) for cut in (0.0, *scores)]
    assert np.isclose(reached, best)
    assert np.isclose(best, max(every))


def test_a_missed_problem_costs_beta_squared_times_a_false_alarm() -> None:
    logits = torch.tensor([[2.0, -1.0], [-1.0, 2.0]])  # the first a miss, the second a false alarm, equally sure
    labels = torch.tensor([1, 0])
    trainer: Any = SimpleNamespace(_beta=3.0)

    def loss(rows: list[int]) -> torch.Tensor:
        outputs = SimpleNamespace(logits=logits[rows])
        return fitting._WeightedTrainer.compute_loss(trainer, lambda **_: outputs, {"labels": labels[rows]})

    losses, both = [loss([0]), loss([1])], loss([0, 1])
    assert torch.isclose(losses[0], losses[1])
    assert torch.isclose(both, (9 * losses[0] + losses[1]) / 10)


def test_what_cannot_be_trained_is_refused_with_the_reason(tiny: Path, tmp_path: Path) -> None:
    few = made(80)
    one = few.with_columns(positive=pl.lit(True))
    with pytest.raises(RecenterError, match="have the same label"):
        classifier.fitted(tmp_path / "m", one, rules(tiny), 3)
    with pytest.raises(RecenterError, match="training part is empty"):
        classifier.fitted(tmp_path / "m", few.filter(pl.col("split") != "train"), rules(tiny), 3)
    leaking = few.with_columns(split=pl.when(pl.col("item_id") == "i000").then(pl.lit("test")).otherwise("split"))
    with pytest.raises(RecenterError, match="'u00' stands in several parts"):
        classifier.fitted(tmp_path / "m", leaking, rules(tiny), 3)
    (tmp_path / "empty").mkdir()
    with pytest.raises(RecenterError, match="holds no encoder"):
        classifier.fitted(tmp_path / "m", few, rules(tmp_path / "empty"), 3)
    assert not (tmp_path / "m").exists()


def test_a_validation_part_of_one_class_chooses_nothing(tiny: Path, tmp_path: Path) -> None:
    few = made(80).filter((pl.col("split") != "validation") | pl.col("positive"))
    found = classifier.fitted(tmp_path / "m", few, rules(tiny, epochs=2), 3, progress=False)
    assert found.threshold == 0.5
