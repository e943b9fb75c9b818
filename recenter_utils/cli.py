"""The `recenter` command."""

from __future__ import annotations

import errno
import sys
from pathlib import Path
from typing import Annotated

import typer

from recenter_utils import __version__
from recenter_utils.errors import RecenterError, disk_problem

app = typer.Typer(
    help="Audit LLM personalization against people, stage by stage, and publish what was found as a book.",
    epilog="Start with: recenter run demo && recenter book demo. Your own logs: recenter new my-study --chats FILE.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

StudyName = Annotated[str, typer.Argument(help="A study under data/, or the path of its folder.", metavar="STUDY")]


@app.callback(invoke_without_command=True)
def version(show: Annotated[bool, typer.Option("--version", help="Print the version and stop.")] = False) -> None:
    """Print the version."""
    if show:
        print(f"recenter {__version__}")
        raise typer.Exit


@app.command()
def new(
    name: Annotated[str, typer.Argument(help="Name of the study: letters, digits, '-' and '_'.", metavar="NAME")],
    chats: Annotated[
        Path, typer.Option(help="Your chats: JSONL of messages, CSV, or a ChatGPT data export (.json or .zip).")
    ],
) -> None:
    """Make a study of your own chat logs, ready to run.

    The chats are looked at, so that mistakes show now; they stay where they are and are not copied.
    """
    from recenter_utils.scaffold import new_study

    folder, found = new_study(name, chats)
    print(f"Made {folder / 'study.yaml'}: {found}.")
    print(f"Look it over (who may publish what, which models), then: recenter run {name} && recenter book {name}")


@app.command()
def run(
    study: StudyName,
    only: Annotated[str | None, typer.Option(help="Only this notebook, by name or number, and what it needs.")] = None,
    parameter: Annotated[
        list[str] | None,
        typer.Option("-p", "--parameter", help="A notebook parameter for this run: name=value. Repeatable."),
    ] = None,
    jobs: Annotated[
        int | None, typer.Option(min=1, help="Notebooks at a time.", show_default="two, or as the profile says")
    ] = None,
    on: Annotated[
        str | None,
        typer.Option(
            help="A Ray cluster for what models on GPUs and the filters have to do: 'ray' (the one that RAY_ADDRESS "
            "names, else one of this machine), or the head's host:port, or ray://host:port.",
            show_default="this machine, without Ray",
        ),
    ] = None,
    profile: Annotated[
        str | None,
        typer.Option(
            help="Run notebooks as jobs of a scheduler: 'slurm' or 'kubernetes', of notebooks/profiles, or the path "
            "of a profile of your own.",
            show_default="this machine, without jobs",
        ),
    ] = None,
) -> None:
    """Execute the notebooks that are out of date, in order.

    What is finished stays finished: after a failure, a kill or an edit, the same command does only what is left.
    """
    from recenter_utils.cluster.connection import running_on
    from recenter_utils.study import Study
    from recenter_utils.workflow import run as run_study
    from recenter_utils.workflow import unfinished

    if on and profile:
        raise RecenterError(
            "--on and --profile exclude each other: --on spreads the work of notebooks that run here over a Ray "
            "cluster, --profile hands whole notebooks to a scheduler. Give one of them."
        )
    opened = Study.open(study)
    with running_on(on):
        done = run_study(opened, only, parameter or [], jobs, profile)
    if not done:
        raise typer.Exit(1)
    if waiting := unfinished(opened, only):
        left = ", ".join(f"{name} ({number:,})" for name, number in waiting.items())
        print(f"Study '{study}' has run, but requests of these notebooks got no answer: {left}. Run again to ask them.")
    else:
        print(f"Study '{study}' is up to date" + (f" as far as notebook {only} goes." if only else "."))


@app.command()
def status(study: StudyName) -> None:
    """Say which notebooks are up to date, or why not."""
    from recenter_utils.steps import steps
    from recenter_utils.study import Study

    plan = steps(Study.open(study))
    for step in plan:
        print(f"{step.name:<28} {step.condition()}")
    for step in plan:
        step.models()  # raises where one is not in the models file


@app.command()
def estimate(
    study: StudyName,
    model: Annotated[
        list[str] | None,
        typer.Option(help="A model to look at in every role, instead of the study's own. Repeatable."),
    ] = None,
    sample: Annotated[int, typer.Option(min=1, help="Prompts of each task whose tokens are counted.")] = 200,
    tokens_per_second: Annotated[
        float | None,
        typer.Option(min=0.001, help="Prompts and answers together, on one GPU.", show_default="as measured here"),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print it as JSON, with every model's numbers.")] = False,
) -> None:
    """Say what asking a study's models will take.

    Requests, tokens, money and GPU-hours, of what is still to be asked: what is stored is taken off. Nothing is asked,
    and nothing is written. Before the first notebook has run, the chats are read.
    """
    import json

    from recenter_utils.estimates.planner import estimates
    from recenter_utils.estimates.wording import worded

    found = estimates(study, model or [], sample, tokens_per_second)
    print(json.dumps([one.as_json() for one in found], indent=2) if as_json else worded(found))


@app.command()
def book(
    study: StudyName,
    output: Annotated[Path | None, typer.Option(help="Folder for the pages; default: under book/_build.")] = None,
) -> None:
    """Render the executed notebooks into a browsable book.

    Nothing is executed, and no network is needed.
    """
    from recenter_utils.book import build
    from recenter_utils.study import Study

    index, built = build(Study.open(study), output)
    print(f"{'Built' if built else 'Nothing changed:'} {index}")


@app.command()
def annotate(
    study: StudyName,
    task: Annotated[
        str, typer.Argument(help="attribute-quality, relevance, preference or refined-attributes.", metavar="TASK")
    ],
    annotators: Annotated[
        str | None,
        typer.Option(help="How many links to print, or names: anna,ben,eva. Default: as many as judge an item."),
    ] = None,
    prolific: Annotated[bool, typer.Option("--prolific", help="Let participants in who come from Prolific.")] = False,
    completion_code: Annotated[str | None, typer.Option(help="Prolific's code for finished work.")] = None,
    declined_code: Annotated[str | None, typer.Option(help="Its code for who does not consent.")] = None,
    failed_code: Annotated[str | None, typer.Option(help="Its code for who fails the check items.")] = None,
    min_passed: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="Share of check items to pass; default: half, where there is a failed code."),
    ] = None,
    per_item: Annotated[
        int | None, typer.Option(min=1, help="Annotators for each item; default: annotation.raters in study.yaml.")
    ] = None,
    overlap: Annotated[
        int | None, typer.Option(min=0, help="The first so many pages go to every annotator.", show_default="none")
    ] = None,
    cap: Annotated[int | None, typer.Option(min=1, help="Pages that one person may get.")] = None,
    checks: Annotated[int | None, typer.Option(min=0, help="Check items to mix in.", show_default="none")] = None,
    reclaim_hours: Annotated[
        float | None,
        typer.Option(min=0.01, help="Unfinished pages of who was away for so long may go to somebody else."),
    ] = None,
    pages: Annotated[Path | None, typer.Option(help="Pages of your own, one a line as JSON.")] = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0: any that is free.")] = 8765,
    public_url: Annotated[
        str | None, typer.Option(help="What links begin with, where a proxy stands before the app.")
    ] = None,
) -> None:
    """Open the judging screens in a browser, for annotators.

    Prints a personal link for each annotator, and serves until Ctrl-C. Every answer is saved on this machine
    at once. The same command again goes on where it stopped, and by the same rules where options are left out.
    """
    from recenter_utils.annotation.conduct import Codes
    from recenter_utils.annotation.serve import annotate as serve
    from recenter_utils.study import Study

    serve(
        Study.open(study),
        task,
        annotators=annotators,
        prolific=prolific,
        codes=Codes(completion_code, declined_code, failed_code),
        min_passed=min_passed,
        per_item=per_item,
        overlap=overlap,
        cap=cap,
        checks=checks,
        reclaim_hours=reclaim_hours,
        file=pages,
        host=host,
        port=port,
        public_url=public_url,
    )


@app.command()
def judgments(study: StudyName) -> None:
    """Say how far annotators are and how they agree so far.

    Also whose work to look at. Intervals of agreement are 95% intervals over pages.
    """
    from recenter_utils.annotation.overview import overview
    from recenter_utils.study import Study

    print(overview(Study.open(study)))


@app.command()
def import_judgments(
    study: StudyName,
    task: Annotated[str, typer.Argument(help="What was judged: attribute-quality, relevance ...", metavar="TASK")],
    file: Annotated[Path, typer.Argument(help="CSV, TSV or JSON lines, in UTF-8.", metavar="FILE")],
    column: Annotated[
        list[str] | None,
        typer.Option(
            "--map",
            help="What a column of the file is: item=, rater=, label=; note=, flagged=, answered_at=, attribute=, "
            "first_shown= if it has them. Repeatable.",
        ),
    ] = None,
    skip_faulty: Annotated[
        bool, typer.Option("--skip-faulty", help="Import the rows that are right, and report the others.")
    ] = False,
    pages: Annotated[
        Path | None, typer.Option(help="The pages that were judged, if they are not the study's own.")
    ] = None,
) -> None:
    """Import judgments that were collected elsewhere.

    The whole file or nothing; a second time changes nothing.
    """
    from recenter_utils.annotation.imports import import_file
    from recenter_utils.study import Study

    print(import_file(Study.open(study), task, file, column or [], skip_faulty, pages))


@app.command()
def export_grpo(
    study: StudyName,
    to: Annotated[str, typer.Option(help="Folder for the files: a new or an empty one, or that of an earlier export.")],
) -> None:
    """Write what verl needs to train a reasoning model.

    That is data from the study's pairs, a reward and settings, for training on a cluster.
    """
    from recenter_utils.relevance.verl import to_verl
    from recenter_utils.study import Study

    if not to.strip():
        raise RecenterError("--to is empty: name a folder for the files.")
    print(to_verl(Study.open(study), Path(to)))


@app.command()
def doctor(
    study: Annotated[str | None, typer.Argument(help="Also look at this study's models.", metavar="[STUDY]")] = None,
) -> None:
    """Say what this machine can do, and why.

    Processors, GPU, engines, keys and disk, each with the reason.
    """
    from recenter_utils.doctor import examine

    print(examine(study))


@app.command()
def repair(study: StudyName) -> None:
    """Save what can be read of a damaged cache.

    Stored answers that can be read are kept, the others are asked again by the next run. The damaged file stays.
    """
    from recenter_utils.inference.repair import repair as repair_study
    from recenter_utils.study import Study

    print(repair_study(Study.open(study)))


@app.command()
def fetch(
    name: Annotated[
        str, typer.Argument(help="wildchat, lima, cupid, prefeval, personalens or oasst.", metavar="CORPUS")
    ],
    into: Annotated[Path | None, typer.Option(help="Folder for it; default: data/fetched.")] = None,
) -> None:
    """Download a public corpus, or say how to get it by hand."""
    from recenter_utils.corpora.fetch import fetch as fetch_corpus
    from recenter_utils.study import find_root

    print(fetch_corpus(name, into or find_root() / "data" / "fetched"))


def main() -> None:
    """Run the command; a problem that the user can mend is one sentence on standard error, and exit code 1."""
    try:
        app()
    except RecenterError as problem:
        print(f"recenter: {problem}", file=sys.stderr)
        sys.exit(1)
    except OSError as problem:
        if problem.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES):
            raise
        print(f"recenter: {disk_problem(problem)}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print("recenter: stopped; what is finished is kept.", file=sys.stderr)
        sys.exit(130)


if __name__ == "__main__":
    main()
