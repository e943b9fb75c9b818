"""Which users take part (Appendix A), with a reason for each who does not.

The paper's order is: English by metadata, a model's check of each conversation, templates, activity, assistant use.
Here a local language identifier comes second, and the model's check moves behind the activity threshold, next to the
assistant-use score: what costs nothing runs first, so that a model reads the conversations of about a sixth of the
users instead of everyone's. Activity is applied again after the check. What differs in the result: the template
detector still sees the turns of conversations that the check would have dropped.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import polars as pl

from recenter_utils import corpora
from recenter_utils.attributes import funnel, templates
from recenter_utils.attributes.activity import Activity, activity, counted, inactive, number
from recenter_utils.attributes.language import is_foreign, prose
from recenter_utils.cluster.partitions import in_order
from recenter_utils.corpora.batches import Batch
from recenter_utils.corpora.cleaning import language_name
from recenter_utils.settings import Source, UserRules
from recenter_utils.tables import table

#: The user's own turns of a conversation: a list of texts.
USER_TURNS = pl.col("turns").list.eval(
    pl.element().struct.field("content").filter(pl.element().struct.field("role") == "user")
)


@dataclass(frozen=True)
class Pool:
    """The users, and the conversations of those still in.

    conversations: the table, lazily, over parquet files in the staging folder. users, funnel, problems: the tables
    of these names; `users` has everyone who was loaded.
    """

    conversations: pl.LazyFrame
    users: pl.DataFrame
    funnel: pl.DataFrame
    problems: pl.DataFrame


def collect(
    sources: Sequence[Source],
    rules: UserRules,
    root: Path,
    staging: Path,
    progress: Callable[[int], object] | None = None,
) -> Pool:
    """Read every source and apply the filters that need no model, in the order of `tables.USER_FILTERS`.

    root: the study's folder. staging: a folder that the pool reads its conversations from; `passed`, `windows`,
    `known` and `conversations` in it are replaced. progress: called with the number of conversations of each batch.
    Memory holds a batch, counts a user, and what a source's reader knows conversations by. Sources whose
    `filters_apply` is false are kept whole.
    """
    names = ("passed", "windows", "known", "conversations")
    passed, windows, known, left = (_emptied(staging / name) for name in names)
    repeats, everyone = templates.Repeats(windows), Activity(known)
    problems = [table("problems").empty()]
    part = 0
    for source in sources:
        for found in in_order(partial(_sifted, source, rules), _ahead(corpora.read(source, root))):
            part += 1
            repeats.add(found.windows)
            _write(found.stays, _part(passed, part))
            everyone.add(found.counts)
            problems.append(found.problems)
            if progress:
                progress(int(found.counts["n_conversations_loaded"].sum()))
    users = _verdicts(everyone.users(), repeats.most(rules.template_turns), sources, rules)
    shutil.rmtree(windows)
    shutil.rmtree(known)
    _write_those_of(users.filter("kept"), passed, left)
    return Pool(
        pl.scan_parquet(left / "*.parquet"),
        users.select(list(table("users").columns)),
        funnel.of_local_filters(users, sources, rules),
        pl.concat(problems),
    )


def _emptied(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def _part(folder: Path, number: int) -> Path:
    return folder / f"{number:06}.parquet"


def _write(conversations: pl.DataFrame, file: Path) -> None:
    conversations.write_parquet(file, compression="lz4", statistics=False)


def _ahead(batches: Iterator[Batch]) -> Iterator[Batch]:
    """Yield the batches, the next of which is read while the caller works on one."""
    with ThreadPoolExecutor(1) as reader:
        following = reader.submit(next, batches, None)
        while batch := following.result():
            following = reader.submit(next, batches, None)
            yield batch


@dataclass(frozen=True)
class _Sifted:
    """What is left of a batch: conversations that stay, figures a user, windows of what was said, and problems."""

    stays: pl.DataFrame
    counts: pl.DataFrame
    windows: templates.Counted | None
    problems: pl.DataFrame


def _sifted(source: Source, rules: UserRules, batch: Batch) -> _Sifted:
    judged = _judged(batch.conversations, source, rules)
    stays = judged.filter("stays")
    windows = None
    if source.filters_apply:
        said = stays.select(user=pl.col("user_id").hash(), turn="said").explode("turn")
        windows = templates.counted(said["user"], said["turn"], rules.template_window)
    return _Sifted(stays.select(list(table("conversations").columns)), counted(judged), windows, batch.problems)


def _judged(conversations: pl.DataFrame, source: Source, rules: UserRules) -> pl.DataFrame:
    """Return conversations with `by_metadata`, `stays` (after both language filters) and `said`, the user's turns."""
    yes = pl.lit(value=True)
    if not source.filters_apply:
        return conversations.with_columns(by_metadata=yes, stays=yes, said=USER_TURNS)
    in_language = (pl.col("language") == language_name(rules.language)).fill_null(value=True)
    judged = conversations.with_columns(by_metadata=in_language, stays=in_language)
    judged = judged.with_columns(said=pl.when("stays").then(USER_TURNS))
    if rules.detect_language:
        foreign = is_foreign(judged.select(prose(pl.col("said")).fill_null("")).to_series(), rules.language)
        judged = judged.with_columns(stays=pl.col("stays") & ~foreign)
    return judged


def _verdicts(users: pl.DataFrame, repeated: pl.DataFrame, sources: Sequence[Source], rules: UserRules) -> pl.DataFrame:
    """Return the table `users` with the columns `n_by_metadata` and `repeats` beside it."""
    users = users.join(repeated, left_on=pl.col("user_id").hash(), right_on="user", how="left", maintain_order="left")
    filtered = pl.col("source").is_in([source.name for source in sources if source.filters_apply])
    turns, repeats = pl.col("n_user_turns"), pl.col("repeats").fill_null(0)
    often = (repeats >= rules.template_turns) & (repeats > rules.template_coverage * turns)
    users = users.with_columns(
        kind=pl.col("source").replace_strict({source.name: source.kind for source in sources}, return_dtype=pl.String),
        scripted=often | (repeats >= rules.template_turns_absolute),
        repeats=repeats,
        assistant_score=pl.lit(None, pl.Float64),
    )
    where = f"none in {rules.language} by"
    tests = {
        "language_metadata": (
            pl.col("n_by_metadata") == 0,
            pl.format(f"{{}}, {where} the source's metadata", number("n_conversations_loaded", "conversation")),
        ),
        "language_detected": (
            pl.col("n_conversations") == 0,
            pl.format(f"{{}}, {where} the local identifier", number("n_by_metadata", "conversation")),
        ),
        "template": (
            pl.col("scripted"),
            pl.format(
                f"the same {rules.template_window} characters stand in {{}} of {{}}",
                "repeats",
                number("n_user_turns", "user turn"),
            ),
        ),
        "activity": (inactive(rules), activity(rules)),
    }
    dropped, reason = pl.lit(None, pl.String), pl.lit(None, pl.String)
    for name, (fails, why) in reversed(tests.items()):
        dropped = pl.when(filtered & fails).then(pl.lit(name)).otherwise(dropped)
        reason = pl.when(filtered & fails).then(why).otherwise(reason)
    return users.with_columns(dropped_by=dropped, reason=reason).with_columns(kept=pl.col("dropped_by").is_null())


def _write_those_of(users: pl.DataFrame, passed: Path, left: Path) -> None:
    table("conversations").empty().write_parquet(_part(left, 0))
    for part in sorted(passed.iterdir()):
        theirs = pl.read_parquet(part).join(users, on="user_id", how="semi", maintain_order="left")
        if len(theirs):
            _write(theirs, left / part.name)
        part.unlink()
    passed.rmdir()
