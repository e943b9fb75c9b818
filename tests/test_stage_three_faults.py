"""Whatever a study lacks, the pages of stage 3 are finished and say what cannot be said."""

from __future__ import annotations

import html
import re
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from matplotlib import pyplot
from matplotlib.figure import Figure

from recenter_utils import provenance
from recenter_utils.study import Study
from recenter_utils.tables import TABLES, table
from tests import planted_study
from tests.fake_server import FakeServer, Reply, completion
from tests.responded import ATTRIBUTES

#: The notebooks of stage 3 in order, and what is read in all of it; notebook 27 reads the paper's numbers alone.
STAGE = (
    "19-responses",
    "20-preferences",
    "21-personalisation-quality",
    "22-mentions",
    "23-generators-and-judges",
    "24-reward-models",
    "25-planning",
    "26-ledger",
    "28-explore",
    "29-front",
)
REQUESTS = (
    "How could I spend a free evening in town?",
    "What should I cook for six guests?",
    "Plan a quiet weekend for me.",
    "How do I stay awake on a night train?",
)
#: Small enough for seconds, and two of each, so that what is left of a study can be compared.
SMALL: dict[str, Any] = {
    "models": {
        "generators": ["embedded-plain", "embedded-eager"],
        "preference": ["embedded-plain", "embedded-eager"],
        "relevance": ["embedded-plain"],
    },
    "planning": {"repeats": 50, "requests": [8, 16], "users": [1], "annotators": [1, 3]},
    "reward": {"ratings": [10], "repeats": 1, "folds": 2},
    "preferences": {"both_orders": 1.0},
}
ONE_LEFT = [f"simulated-{number}" for number in (2, 3, 4, 5)]
MODELS = """\
gone: {engine: openai, base_url: "http://127.0.0.1:9", retries: 0}
five: {engine: openai, base_url: "%s", retries: 0}
"""


def stage_two(study: Study, reference_by: str | None) -> None:
    """Write the tables that stage 3 reads of those before it: requests, each with a user of whom three things matter.

    reference_by: who says so; None: there are no pairs.
    """
    places = range(len(REQUESTS) if reference_by else 0)
    prompts = [{"prompt_id": f"q{place}", "source": "file", "text": REQUESTS[place]} for place in places]
    pairs = [
        {
            "pair_id": f"q{place}/a{place}-{number}",
            "prompt_id": f"q{place}",
            "attribute_id": f"a{place}-{number}",
            "user_id": f"chat/u{place}",
            "attribute": ATTRIBUTES[(3 * place + number) % len(ATTRIBUTES)],
            "place": number,
            "benchmark": True if reference_by == "benchmark" else None,
        }
        for place in places
        for number in range(3)
    ]
    said = [
        {name: row[name] for name in ("pair_id", "prompt_id", "user_id")}
        | {"yes": 0, "no": 0, "reference": "yes", "reference_by": reference_by}
        for row in pairs
    ]
    rows: Mapping[str, list[dict[str, Any]]] = {"prompts": prompts, "pairs": pairs, "relevance_consensus": said}
    for name in TABLES:
        study.write(name, table(name).frame(rows[name]) if rows.get(name) else table(name).empty())


def run(root: Path, settings: Mapping[str, Any], reference_by: str | None = "simulated") -> dict[str, str]:
    """Run stage 3 on such a study; return what each page says, without markup. A warning is an error."""
    planted_study.change(root, **SMALL)
    path = root / "data" / "demo" / "study.yaml"
    file = yaml.safe_load(path.read_text(encoding="utf-8"))
    path.write_text(yaml.safe_dump(file | settings), encoding="utf-8")
    stage_two(Study.open(str(path.parent)), reference_by)
    said = {}
    for name in STAGE:
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)
            warnings.simplefilter("error", RuntimeWarning)
            said[name] = html.unescape(re.sub(r"<[^>]*>", " ", planted_study.run(root, name)))
        pyplot.close("all")
    return said


def says(said: Mapping[str, str], **words: str) -> None:
    """Hold what pages say, by their numbers, to hold these words; and none of them to show what only code knows."""
    for number, expected in words.items():
        page = next(text for name, text in said.items() if name.startswith(number.removeprefix("page_")))
        assert re.sub(r"\s+", " ", expected) in re.sub(r"\s+", " ", page), number
    for name, page in said.items():
        assert not re.search(r"\b(nan|None|inf|null)\b", page), name


@pytest.fixture(autouse=True)
def _drawn_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """That a figure can be drawn shows in one form of it; the second takes as long again."""
    save = Figure.savefig

    def save_pixels(figure: Figure, path: Path, **more: Any) -> None:
        if path.suffix == ".png":
            save(figure, path, **more)

    monkeypatch.setattr(Figure, "savefig", save_pixels)


@pytest.fixture
def fives() -> Iterator[FakeServer]:
    """A server whose model finds response B much better, whatever it is asked."""
    five = '{"reasoning": "B.", "rating": 5}'
    with FakeServer(lambda asked: Reply(completion(five))) as server:
        yield server


def test_a_study_without_pairs(workspace: Path) -> None:
    nobody = {"annotation": {"simulated": None}, "pairing": {"prompts": None}}
    said = run(workspace, nobody, reference_by=None)
    says(
        said,
        page_19="No request meets a user: name a file of requests in pairing.prompts.",
        page_20="Nothing can be said of preferences: this study has no two responses to compare.",
        page_21="Nothing can be said of personalised responses: this study compares none.",
        page_22="Nothing can be said of mentions: there are no comparisons.",
        page_23="Nothing can be said of generators as judges: no models are generator and judge",
        page_24="Nothing can be said of reward models: there are no comparisons.",
        page_25="No design can be tried: no annotator's rating counts",
        page_26="This study has no number for any of the paper's",
        page_28="There are none.",
        page_29="Whether personalised responses are better cannot be said: nobody has judged this yet.",
    )


def test_a_study_of_a_benchmark_that_nobody_has_judged(workspace: Path) -> None:
    benchmark = {"prompts": "prompts.jsonl", "format": "personalens"}
    said = run(workspace, {"sources": [], "annotation": {"simulated": None}, "pairing": benchmark}, "benchmark")
    says(
        said,
        page_19="What is answered, by the selector: the benchmark.",
        page_20="Of people nothing can be said: nobody has judged yet",
        page_21="What is left is what models say: models' mean ratings run from",
        page_22="No annotator has rated a comparison. Models' gaps",
        page_23="2 models are generator and judge with both numbers: a correlation takes 3",
        page_24="Nothing can be said of reward models: no annotator who counts has rated a comparison.",
        page_25="No design can be tried: no annotator's rating counts, and models' ratings say nothing of how people",
        page_26="Annotators' mention gap, pooled no annotator who counts has rated a comparison",
        page_29="The personalised response is no better than the generic one in",
    )
    assert "annotators" not in said["29-front"].split("Whether models know")[1]


def test_a_generator_without_a_server_and_a_judge_that_always_answers_five(workspace: Path, fives: FakeServer) -> None:
    """The one is missing on every page by its name, and its requests wait for the next run. What the other says is the
    place and not the response: the page on orders tells."""
    (workspace / "data" / "demo" / "models.yaml").write_text(MODELS % fives.url)
    said = run(workspace, {"models": {"generators": ["embedded-plain", "gone"], "preference": ["five"]}})
    says(
        said,
        page_19="They make 12 comparisons, one for each attribute. Nothing can be judged of gone.",
        page_20="The largest lean is that of five to the response shown second, -2.00 (95% interval -2.00 to -2.00) "
        "points; in 100% of 12 comparisons it prefers one response in one order and the other in the other.",
        page_21="Of gone nothing can be said: no page can be judged.",
        page_22="Attributes are named outright in",
        page_23="no models are generator and judge with both numbers: a correlation takes 3",
        page_24="The best judge, five, has",
        page_25="there is only one generator",
    )
    assert re.search(r"gone( –)* 0 – none of its pages can be judged", re.sub(r"\s+", " ", said[STAGE[2]]))
    study = Study.open(str(workspace / "data" / "demo"))
    assert provenance.read(study.table_path("responses")).unanswered == 8
    assert study.frame("comparisons")["generator"].unique().to_list() == ["embedded-plain"]


def test_a_single_annotator(workspace: Path) -> None:
    said = run(workspace, {"annotation": {"simulated": "truth", "excluded": ONE_LEFT}})
    says(
        said,
        page_20="How far they agree cannot be said: agreement needs two raters.",
        page_21="ratings by 1 simulated annotator of 24 comparisons",
        page_22="points by simulated annotators against those without",
        page_24="What simulated annotators share, and thus the ceiling, is not known: it takes two annotators",
        page_25="simulated annotators 1 – – there is only one",
        page_26="Annotators' Spearman on preference agreement needs two raters",
        page_29="of the ratings of simulated annotators",
    )
