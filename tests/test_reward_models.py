"""The training of reward models: the closed form, orders and padding, what is kept, and what is said of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from sklearn.linear_model import Ridge
from sklearn.model_selection import LeaveOneGroupOut, cross_val_predict
from transformers import AutoConfig, AutoModelForMaskedLM, BertTokenizerFast

from recenter_utils.errors import RecenterError
from recenter_utils.inference.embeddings import MINILM, encoder
from recenter_utils.responses import reward_data, rewards
from recenter_utils.settings import Reward
from recenter_utils.training.grpo import smoke
from recenter_utils.training.reward import backbone, comparisons, features, fitting, learners, model, ridge
from tests.rewarded import ALIKE, BLUNT, WARM, WORDS, Planted, differences

#: A decoder of two layers, whose weights are random.
LLAMA = {
    "model_type": "llama",
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "max_position_embeddings": 256,
    "tie_word_embeddings": True,
}
SETTINGS: dict[str, Any] = {
    "tune": "all",
    "max_tokens": 64,
    "epochs": 1,
    "batch_size": 8,
    "learning_rate": 5e-3,
    "lora_rank": None,
    "lora_learning_rate": 5e-3,
}


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tiny decoder."""
    folder = tmp_path_factory.mktemp("bases") / "tiny-llama"
    return smoke.make(folder, [" ".join([*WORDS, WARM, BLUNT])], shape=LLAMA)


@pytest.fixture(scope="module")
def modernbert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tiny encoder of another kind than the packaged one."""
    folder = tmp_path_factory.mktemp("bases") / "tiny-modernbert"
    folder.mkdir()
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", WARM, BLUNT, *WORDS]
    (folder / "vocab.txt").write_text("\n".join(vocabulary), encoding="utf-8")
    BertTokenizerFast(str(folder / "vocab.txt")).save_pretrained(folder)
    shape = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2}
    special = {"pad_token_id": 0, "bos_token_id": 2, "cls_token_id": 2, "eos_token_id": 3, "sep_token_id": 3}
    config = AutoConfig.for_model("modernbert", vocab_size=len(vocabulary), **shape, **special)
    torch.manual_seed(0)
    AutoModelForMaskedLM.from_config(config).save_pretrained(folder)
    return folder


def few(requests: int = 4) -> tuple[pl.DataFrame, np.ndarray]:
    """Return some comparisons and what their mean ratings are above 3."""
    rated = Planted(ALIKE, requests=requests, pages=2, attributes=2, noise=0.3).rated()
    return rated.texts, rated.mean - 3


# -- the head -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [7, 90])
def test_ridge_is_scikit_learns_and_its_penalty_the_best_with_each_group_left_out(width: int) -> None:
    rng = np.random.default_rng(width)
    rows, groups = rng.standard_normal((60, width)), np.repeat(np.arange(12), 5)
    targets = rows[:, :3].sum(axis=1) + 0.5 + rng.standard_normal(12)[groups] + rng.standard_normal(60)
    found = ridge.fit(rows, targets, groups)
    same = Ridge(alpha=found.penalty, fit_intercept=False).fit(rows, targets)
    assert np.allclose(found.weights, same.coef_, atol=1e-6)
    assert np.allclose(found.predict(rows), same.predict(rows), atol=1e-6)
    scale = (rows**2).sum(axis=1).mean()
    errors = {}
    for times in ridge.GRID:
        alone = Ridge(alpha=times * scale, fit_intercept=False)
        said = cross_val_predict(alone, rows, targets, groups=groups, cv=LeaveOneGroupOut())
        errors[times * scale] = ((said - targets) ** 2).mean()
    assert found.penalty == pytest.approx(min(errors, key=lambda penalty: errors[penalty]))
    assert found.left_out_error == pytest.approx(min(errors.values()))


def test_ridge_without_anything_to_go_by_predicts_nothing() -> None:
    found = ridge.fit(np.zeros((4, 3)), np.ones(4), np.arange(4))
    assert (found.predict(np.ones((2, 3))) == 0).all()
    rng = np.random.default_rng(0)
    single = ridge.fit(rng.standard_normal((6, 3)), rng.standard_normal(6), np.zeros(6))
    assert np.isfinite(single.weights).all()


def test_features_of_a_response_do_not_depend_on_its_neighbours_and_turn_with_their_order() -> None:
    texts, _ = few(2)
    apart = features.differences(texts, MINILM, 64)
    turned = texts.rename({"generic": "personalised", "personalised": "generic"})
    assert np.array_equal(features.differences(turned, MINILM, 64), -apart)
    assert np.allclose(features.differences(texts[3:5], MINILM, 64), apart[3:5], atol=1e-5)
    assert apart.shape[1] == 3 * encoder().dimensions + 1


def test_the_end_of_a_text_is_cut_and_nothing_else() -> None:
    tokenizer = encoder().tokenizer
    text = " ".join(WORDS * 20)
    short, cut = features.shortened(["bees", text], tokenizer, 16)
    assert short == "bees"
    assert text.startswith(cut)
    assert 12 <= len(tokenizer(cut)["input_ids"]) <= 16


# -- parts and draws ------------------------------------------------------------------------------------------------


def test_parts_are_of_whole_requests_and_do_not_depend_on_the_order_of_rows() -> None:
    clusters = np.array([f"q{n % 7}" for n in range(40)])
    parts = comparisons.folds(clusters, 3, 5)
    assert len({(cluster, part) for cluster, part in zip(clusters, parts, strict=True)}) == 7
    assert sorted(np.bincount(parts[[list(clusters).index(f"q{n}") for n in range(7)]])) == [2, 2, 3]
    assert np.array_equal(comparisons.folds(clusters[::-1], 3, 5)[::-1], parts)
    assert set(comparisons.folds(clusters[:2], 5, 5)) == {0, 1}
    assert not np.array_equal(comparisons.folds(clusters, 3, 6), parts)


def test_draws_are_of_whole_requests_up_to_the_number_of_ratings() -> None:
    clusters = np.repeat([f"q{n}" for n in range(10)], 4)
    ratings = np.full(40, 3)
    rows = comparisons.drawn(np.arange(40), clusters, ratings, 50, np.random.default_rng(0))
    times = sorted(np.unique(clusters[rows], return_counts=True)[1])
    assert ratings[rows].sum() == 51
    assert times == [1, 4, 4, 4, 4]
    assert len(comparisons.drawn(np.arange(40), clusters, ratings, 1000, np.random.default_rng(0))) == 40


# -- backbones ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["llama", "modernbert"])
def test_a_score_depends_on_the_response_and_not_on_what_is_padded(kind: str, request: pytest.FixtureRequest) -> None:
    tokenizer, loaded = backbone.load(str(request.getfixturevalue(kind)))
    assert backbone.is_decoder(loaded) == (kind == "llama")
    said = ["bees", " ".join(WORDS * 6), "garden bread piano"]
    inputs = backbone.encode(tokenizer, ["train"] * 3, ["nurse"] * 3, said, 64)
    alone = np.concatenate([backbone.scores(tokenizer, loaded, [one]) for one in inputs])
    assert len(np.unique(alone.round(6))) == 3
    # A decoder's last token is found on either side; an encoder may read its first, and is padded on the right.
    assert tokenizer.padding_side == "right"
    for side in ("right", "left") if kind == "llama" else ("right",):
        tokenizer.padding_side = side
        assert np.allclose(backbone.scores(tokenizer, loaded, inputs), alone, atol=1e-5)
    # Nothing beyond the longest input counts.
    assert max(len(one["input_ids"]) for one in inputs) == 64
    longer = backbone.encode(tokenizer, ["train"], ["nurse"], [said[1] + " stone" * 50], 64)
    assert longer[0]["input_ids"] == inputs[1]["input_ids"]


def test_the_response_is_cut_and_never_the_attribute(llama: Path) -> None:
    tokenizer, _ = backbone.load(str(llama))
    attribute = " ".join(WORDS[:4])
    (row,) = backbone.encode(tokenizer, [" ".join(WORDS * 30)], [attribute], [" ".join(["river"] * 100)], 96)
    text = str(tokenizer.decode(row["input_ids"]))
    assert f"About the user: {attribute}\n" in text
    assert text.split("Response:")[1].count("river") > 10
    assert len(row["input_ids"]) == 96


@pytest.mark.parametrize(("kind", "rank"), [("llama", None), ("llama", 2), ("modernbert", None)])
def test_a_whole_backbone_takes_a_step_and_is_the_same_each_time(
    kind: str, rank: int | None, request: pytest.FixtureRequest
) -> None:
    texts, targets = few(2)
    base = str(request.getfixturevalue(kind))
    settings = SETTINGS | {"lora_rank": rank}
    untrained = settings | {"learning_rate": 1e-12, "lora_learning_rate": 1e-12}
    first, again, before = (
        fitting.fit(texts, targets, base, one, 3).preferences(texts) for one in (settings, settings, untrained)
    )
    assert np.array_equal(first, again)
    assert not np.allclose(first, before, atol=1e-3)
    turned = texts.rename({"generic": "personalised", "personalised": "generic"})
    assert np.array_equal(fitting.fit(texts, targets, base, settings, 3).preferences(turned), -first)


def test_a_decoder_learns_what_annotators_like(llama: Path) -> None:
    texts, targets = few(24)
    half = len(texts) // 2
    fitted = fitting.fit(texts[:half], targets[:half], str(llama), SETTINGS | {"epochs": 5}, 3)
    assert np.corrcoef(fitted.preferences(texts[half:]), targets[half:])[0, 1] > 0.4
    assert fitted.spent["loss"][-1] < fitted.spent["loss"][0]


def test_how_much_is_done_at_once_follows_the_machine(llama: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, loaded = backbone.load(str(llama))
    monkeypatch.setattr(fitting.psutil, "virtual_memory", lambda: type("Memory", (), {"total": 2**30}))
    much = fitting._at_once(loaded, 64, "cpu", False)
    monkeypatch.setattr(fitting.psutil, "virtual_memory", lambda: type("Memory", (), {"total": 2**20}))
    assert fitting._at_once(loaded, 64, "cpu", False) == 1 < much


# -- what is kept ---------------------------------------------------------------------------------------------------


def test_an_interrupted_study_trains_only_what_is_missing(
    llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rated = Planted(ALIKE, requests=6, pages=1, attributes=2).rated()
    trained: list[int] = []

    class Words:
        def __init__(self, learned: pl.DataFrame) -> None:
            self.learned = learned

        def preferences(self, texts: pl.DataFrame) -> np.ndarray:
            return differences(texts)[:, 0] * len(self.learned)

    def fit(learned: pl.DataFrame, *_: Any) -> Words:
        if len(trained) == 2:
            raise KeyboardInterrupt
        trained.append(len(learned))
        return Words(learned)

    monkeypatch.setattr(fitting, "fit", fit)
    about = (rated.texts, str(llama), SETTINGS, 0, tmp_path)
    arguments = (rated.mean - 3, rated.counts, rated.parts)
    with pytest.raises(KeyboardInterrupt):
        learners.out_of_fold(learners.Backbone(*about), *arguments)
    assert len(list(tmp_path.iterdir())) == 2
    next(tmp_path.iterdir()).write_text("[0.1,", encoding="utf-8")  # cut short: as if it were not there
    trained.clear()
    with pytest.raises(KeyboardInterrupt):
        learners.out_of_fold(learners.Backbone(*about), *arguments)
    trained.clear()
    found = learners.out_of_fold(learners.Backbone(*about), *arguments)
    monkeypatch.setattr(fitting, "fit", lambda *_: pytest.fail("trained again"))
    assert np.array_equal(learners.out_of_fold(learners.Backbone(*about), *arguments).values, found.values)
    other = learners.Backbone(rated.texts, str(llama), SETTINGS | {"epochs": 2}, 0, tmp_path)
    with pytest.raises(pytest.fail.Exception, match="trained again"):
        learners.out_of_fold(other, *arguments)


@pytest.mark.parametrize(
    "rules", [Reward(tune="head", max_tokens=64), Reward(bases=("tiny",), max_tokens=64, epochs=1)]
)
def test_the_model_that_is_kept_scores_responses_and_says_what_it_is(
    rules: Reward, llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "study"
    home.mkdir()
    (home / "tiny").symlink_to(llama)
    rules = rules.model_copy(update={"ratings": (1000,), "folds": 2, "lora_rank": 2, "lora_learning_rate": 1e-2})
    rated = Planted(ALIKE, requests=4, pages=2, attributes=1).rated(rules)
    monkeypatch.setattr(reward_data, "LEAST_RATINGS", 1000)
    rewards.predict(rated, rules, 0, home=home, origin="simulated", progress=False)
    folder = home / "models" / "reward" / Path(rules.bases[0]).name
    kept = model.RewardModel(folder, home)
    asked = [rated.texts[name].to_list() for name in ("request", "attribute", "generic", "personalised")]
    said, turned = kept.ratings(*asked), kept.ratings(asked[0], asked[1], asked[3], asked[2])
    assert np.allclose(said, 6 - turned, atol=1e-6)
    assert np.ptp(said) > 0
    assert len(kept.scores([], [], [])) == 0
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert "SIMULATED" in card
    assert f"{len(rated.texts)} comparisons of 4 requests, {4 * len(rated.texts)} ratings of 4 annotators" in card
    assert "Spearman correlation of" in card
    json.loads((folder / "card.json").read_text(encoding="utf-8"))
    before = (folder / "card.json").stat().st_mtime_ns
    monkeypatch.setattr(fitting, "fit", lambda *_: pytest.fail("trained again"))
    rewards.predict(rated, rules, 0, home=home, origin="simulated", progress=False)
    assert (folder / "card.json").stat().st_mtime_ns == before
    assert sorted(path.name for path in folder.parent.iterdir() if path.name.startswith(".")) == []


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecenterError, match="holds no reward model"):
        model.RewardModel(tmp_path)
    texts, targets = few(1)
    with pytest.raises(RecenterError, match="no comparison has a rating"):
        model.fitted(tmp_path / "m", texts.clear(), targets[:0], MINILM, {"tune": "head"}, 0)
