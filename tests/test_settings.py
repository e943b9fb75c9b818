from __future__ import annotations

from pathlib import Path

import pytest

from recenter_utils.errors import RecenterError
from recenter_utils.settings import load
from recenter_utils.study import Study
from tests.workspaces import ROOT

GOOD = "title: t\nsources: [{name: a, format: chatlog, path: p}]\n"


def write(folder: Path, text: str) -> Path:
    path = folder / "study.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_defaults_are_the_papers_thresholds(tmp_path: Path) -> None:
    settings = load(write(tmp_path, GOOD))
    assert (settings.users.min_conversations, settings.users.min_user_turns) == (3, 16)
    assert settings.users.min_assistant_score == 0.6
    assert (settings.users.template_window, settings.users.template_turns) == (120, 5)
    assert (settings.users.template_coverage, settings.users.template_turns_absolute) == (0.4, 8)
    assert (settings.extraction.chunk_characters, settings.extraction.min_confidence) == (50_000, 0.4)
    assert (settings.extraction.temperature, settings.extraction.max_tokens) == (0.8, 4096)
    assert (settings.merging.similarity, settings.sampling.users, settings.sampling.bins) == (0.7, 5000, 5)
    assert settings.publish_text is False


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (GOOD + "mergin: {}", r"'mergin' is not a setting\. Did you mean 'merging'\?"),
        (GOOD + "merging: {similarty: 0.8}", r"'merging\.similarty'.*Did you mean 'similarity'"),
        (GOOD + "merging: {similarity: high}", r"'merging\.similarity': Input should be a valid number"),
        (GOOD + "merging: {similarity: 7}", r"'merging\.similarity': .*less than 1"),
        ("title: t\nsources: [{name: a, format: chatlog, pth: p}]", r"'sources\.0\.pth'.*Did you mean 'path'"),
        ("title: t\nsources: [{name: a, format: chatlg, path: p}]", r"'sources\.0\.format'.*chatlog"),
        ("title: t\nsources: []", "'sources'"),
        ("sources: [{name: a, format: chatlog, path: p}]", "'title': Field required"),
        ("title: t\nsources: [{name: a, format: csv, path: p}, {name: a, format: csv, path: q}]", "two sources.*'a'"),
        (GOOD + "pairing: {prompts: ''}", r"'pairing\.prompts': .*at least 1 character"),
        (GOOD + "models: {relevance: embedded-plain}", r"'models\.relevance' is a list, such as \[embedded-plain\]"),
        (GOOD + "responses: majority", r"'responses' holds settings of its own: selector, "),
        (GOOD + "models: {relevance: [a, b, a]}", r"'models\.relevance' names 'a' twice"),
        ("- a\n- b", "must be a mapping"),
        ("title: [", "not readable YAML"),
        ("", "must be a mapping"),
    ],
)
def test_a_fault_is_one_sentence_that_names_file_key_and_remedy(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(RecenterError, match=said) as problem:
        load(write(tmp_path, text))
    assert "study.yaml" in str(problem.value)
    assert "\n" not in str(problem.value)


def test_only_a_benchmark_of_relevance_needs_no_source(tmp_path: Path) -> None:
    bare = "title: t\nsources: []\npairing: "
    assert load(write(tmp_path, bare + "{prompts: lens.tar.gz, format: personalens}")).sources == ()
    for pairing in ("{prompts: requests.jsonl}", "{format: personalens}"):
        with pytest.raises(RecenterError, match="'sources' is empty"):
            load(write(tmp_path, bare + pairing))


def test_a_replacement_is_checked_like_the_file(workspace: Path) -> None:
    assert Study.open("demo", merging={"similarity": 0.9}).settings.merging.similarity == 0.9
    assert Study.open("demo", merging={"similarity": None}).settings.merging.similarity == 0.7
    with pytest.raises(RecenterError, match="Did you mean 'similarity'"):
        Study.open("demo", merging={"similarities": 0.9})
    with pytest.raises(RecenterError, match="Settings have no 'merge'"):
        Study.open("demo", merge={"similarity": 0.9})


def test_a_model_that_is_not_in_the_models_file_names_the_nearest(workspace: Path) -> None:
    with pytest.raises(RecenterError, match="no model 'embedded-brod'.*embedded-broad"):
        Study.open("demo", models={"extraction": "embedded-brod"}).model("extraction")


def test_the_books_table_of_forms_has_every_format() -> None:
    from recenter_utils.settings import Source

    page = (ROOT / "book" / "your-data.md").read_text()
    for form in Source.model_fields["format"].annotation.__args__:
        assert f"`{form}`" in page
