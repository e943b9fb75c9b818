"""What is handed to verl: the data as verl documents them, the reward of this project, the paper's settings."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import polars as pl
import pytest
import yaml

from recenter_utils.errors import RecenterError
from recenter_utils.inference.tasks import RELEVANCE_JUDGMENT
from recenter_utils.relevance.verl import to_verl
from recenter_utils.settings import Grpo, Pairing
from recenter_utils.study import Study
from recenter_utils.training import examples as pairs
from recenter_utils.training.verl import export as verl
from tests.relevant import PEOPLE, judgments_of, pairs_of
from tests.workspaces import recenter


def made() -> pl.DataFrame:
    rows = [
        (f"p{n:02}", f"q{n // 4}", f"Request {n // 4}?", f"Attribute {n}.", n % 4 == 0, split)
        for n in range(12)
        for split in (pairs.SPLITS[n // 4],)
    ]
    return pl.DataFrame(rows, schema=pairs.SCHEMA, orient="row")


def test_a_row_holds_what_verl_documents(tmp_path: Path) -> None:
    verl.export(made(), Grpo(), 5, tmp_path)
    for split in pairs.SPLITS:
        part = pl.read_parquet(tmp_path / f"{split}.parquet").to_dicts()
        assert len(part) == 4
        assert set(part[0]) == {"data_source", "prompt", "ability", "reward_model", "extra_info"}
        assert [row["reward_model"] for row in part] == [
            {"style": "rule", "ground_truth": label} for label in ("yes", "no", "no", "no")
        ]
        assert [row["extra_info"]["index"] for row in part] == [0, 1, 2, 3]
        assert {row["extra_info"]["split"] for row in part} == {split}
    train = pl.read_parquet(tmp_path / "train.parquet").to_dicts()
    # The very prompt that judges are asked with.
    slots = {"attribute": "Attribute 1.", "prompt": "Request 0?"}
    assert train[1]["prompt"] == RELEVANCE_JUDGMENT.prompt.messages(slots)


def test_the_configuration_has_the_papers_settings() -> None:
    """Appendix F: batch 128, 5 rollouts, learning rate 1e-6, KL .001, 15 epochs, 1,024 and 4,096 tokens, 4 GPUs."""
    found = yaml.safe_load(verl.TEMPLATE.read_text(encoding="utf-8"))
    actor, rollout = found["actor_rollout_ref"]["actor"], found["actor_rollout_ref"]["rollout"]
    assert found["algorithm"]["adv_estimator"] == "grpo"
    assert (found["data"]["train_batch_size"], rollout["n"]) == (128, 5)
    assert (found["data"]["max_prompt_length"], found["data"]["max_response_length"]) == (1024, 4096)
    assert (actor["optim"]["lr"], actor["use_kl_loss"], actor["kl_loss_coef"]) == (1e-6, True, 0.001)
    assert (found["trainer"]["total_epochs"], found["trainer"]["n_gpus_per_node"]) == (15, 4)
    assert found["actor_rollout_ref"]["model"]["path"] == "Qwen/Qwen3-4B"


def test_the_settings_defaults_are_those_of_the_configuration() -> None:
    assert verl.config(Grpo()) == yaml.safe_load(verl.TEMPLATE.read_text(encoding="utf-8"))


def test_a_studys_own_settings_are_handed_over(tmp_path: Path) -> None:
    verl.export(made(), Grpo(rollouts=8, batch_size=64, epochs=2.5, base="/models/own"), 7, tmp_path)
    text = (tmp_path / "grpo.yaml").read_text(encoding="utf-8")
    found = yaml.safe_load(text)
    assert found["actor_rollout_ref"]["rollout"]["n"] == 8
    assert found["data"]["train_batch_size"] == found["actor_rollout_ref"]["actor"]["ppo_mini_batch_size"] == 64
    assert found["trainer"]["total_epochs"] == 3
    assert found["actor_rollout_ref"]["model"]["path"] == "/models/own"
    assert found["data"]["seed"] == 7
    assert "NOT RUN HERE" in text


def test_the_reward_file_scores_as_training_does(tmp_path: Path) -> None:
    verl.export(made(), Grpo(format_reward=0.3), 5, tmp_path)
    found = yaml.safe_load((tmp_path / "grpo.yaml").read_text(encoding="utf-8"))["custom_reward_function"]
    spec = importlib.util.spec_from_file_location("reward", tmp_path / found["path"])
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    score = getattr(module, found["name"])
    right = score(
        data_source=verl.DATA_SOURCE, solution_str="It would.\nAnswer: YES", ground_truth="yes", extra_info={}
    )
    assert right == {"score": 1.3, "reward_label": 1.0, "reward_format": 0.3}
    assert score(verl.DATA_SOURCE, "It would.\nAnswer: NO", "yes")["score"] == 0.3
    assert score(verl.DATA_SOURCE, "It would. YES", "yes")["score"] == 0.0


@pytest.fixture
def judged(workspace: Path) -> Study:
    """The demo with made-up pairs and references."""
    from recenter_utils.relevance import consensus, selectors

    study, table = Study.open("demo"), pairs_of(12, 10)
    said = consensus.consensus(judgments_of(table, 1, PEOPLE), table)
    texts = pl.DataFrame({"prompt_id": table["prompt_id"].unique().sort(), "source": "made", "text": "A request?"})
    parts = selectors.split(said, study.settings.selector, study.settings.seed)
    for name, frame in {"prompts": texts, "pairs": table, "relevance_consensus": said, "selector_split": parts}.items():
        study.write(name, frame, "simulated")
    return Study.open("demo")


def test_a_study_is_exported_whole_and_a_smoke_runs_model_is_not(judged: Study, tmp_path: Path) -> None:
    said = to_verl(judged, tmp_path / "out")
    found = yaml.safe_load((tmp_path / "out" / "grpo.yaml").read_text(encoding="utf-8"))
    assert judged.settings.grpo.base == "smoke"
    assert found["actor_rollout_ref"]["model"]["path"] == "Qwen/Qwen3-4B"
    assert "verl.trainer.main_ppo" in said
    rows = sum(len(pl.read_parquet(tmp_path / "out" / f"{split}.parquet")) for split in pairs.SPLITS)
    assert rows == len(judged.frame("selector_split"))


def test_a_study_without_references_says_so(judged: Study, tmp_path: Path) -> None:
    judged.write("selector_split", judged.frame("selector_split").head(0))
    with pytest.raises(RecenterError, match="nothing to train a model on"):
        to_verl(judged, tmp_path / "out")


def test_a_study_without_requests_is_told_to_name_them(judged: Study, tmp_path: Path) -> None:
    judged.settings = judged.settings.model_copy(update={"pairing": Pairing()})
    with pytest.raises(RecenterError, match="name a file of requests in pairing.prompts"):
        to_verl(judged, tmp_path / "out")


@pytest.mark.parametrize("wrong", ["a file", "under a file"])
def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path, wrong: str) -> None:
    (tmp_path / "file").write_text("words", encoding="utf-8")
    to = tmp_path / "file" if wrong == "a file" else tmp_path / "file" / "out"
    with pytest.raises(RecenterError, match=rf"Nothing can be exported to {to} \(.+\): name another folder"):
        verl.export(made(), Grpo(), 5, to)
    assert (tmp_path / "file").read_text(encoding="utf-8") == "words"


def test_an_export_is_replaced_and_what_is_none_is_never_touched(tmp_path: Path, judged: Study) -> None:
    assert "over an earlier export" not in to_verl(judged, tmp_path / "out")
    assert "over an earlier export" in to_verl(judged, tmp_path / "out")
    for name in ("thesis.txt", "train.parquet"):
        foreign = tmp_path / name / name
        foreign.parent.mkdir()
        foreign.write_text("mine", encoding="utf-8")
        with pytest.raises(RecenterError, match=f"holds '{name}', which no export wrote"):
            to_verl(judged, foreign.parent)
        assert foreign.read_text(encoding="utf-8") == "mine"
        assert [path.name for path in foreign.parent.iterdir()] == [name]


def test_the_command_refuses_an_empty_folder_name(workspace: Path) -> None:
    done = recenter(workspace, "export-grpo", "demo", "--to", "")
    assert done.returncode == 1
    assert "--to is empty" in done.stderr
    assert "Traceback" not in done.stderr


def test_verls_configuration_reruns_no_notebook() -> None:
    """It stands apart from the modules that notebooks use: data files beside a module count with it."""
    assert list(Path(verl.__file__).parents[1].glob("*.yaml")) == []
