"""Requests, users and their attributes that meet without a study, and a filter that answers by their words."""

from __future__ import annotations

import json
from typing import Any

import polars as pl

from recenter_utils.inference.requests import Answer, Request
from recenter_utils.relevance import pairing
from recenter_utils.relevance.draws import sampled
from recenter_utils.settings import Pairing
from recenter_utils.tables import check, table
from tests.instant import Instant


def requests(number: int = 12) -> pl.DataFrame:
    rows = [(f"q{n:02}", "file", f"Request {n}.") for n in range(number)]
    return pl.DataFrame(rows, schema=table("prompts").columns, orient="row")


def attributes(users: int = 9, each: int = 6) -> pl.DataFrame:
    rows = [(f"chat/u{u}", f"u{u}#{n}", f"Likes {n} of user {u}.") for u in range(users) for n in range(each)]
    return pl.DataFrame(rows, schema=pairing.ATTRIBUTES, orient="row")


def users_table(users: int = 9, synthetic: int = 0) -> pl.DataFrame:
    rows = [(f"chat/u{n}", "chat", "real", True) for n in range(users)]
    rows += [(f"cupid/s{n}", "cupid", "synthetic", True) for n in range(synthetic)]
    return pl.DataFrame(rows, schema=["user_id", "source", "kind", "kept"], orient="row")


def says(request: Request) -> Answer:
    """The first attributes, 0 to 4 of them as the request and the user have it."""
    most = sum(map(ord, json.dumps(request.slots, sort_keys=True))) % 5
    return Answer(json.dumps({"relevant": list(range(1, most + 1))[: len(request.slots["attributes"])]}))


def ask(prompts: pl.DataFrame, brought: pl.DataFrame, say: Any = says, least: int = 2) -> tuple[pl.DataFrame, int]:
    engine = Instant(say)
    return pairing.ask(prompts, brought, engine.model, least, progress=False, engine=engine)


def pair(
    seed: int = 1,
    prompts: pl.DataFrame | None = None,
    brought: pl.DataFrame | None = None,
    say: Any = says,
    rules: Pairing = Pairing(sample=8, prompts="q.jsonl"),  # noqa: B008
) -> pairing.Paired:
    """Pair as `pairing.pair` does, without a study."""
    file = requests() if prompts is None else prompts
    theirs = attributes() if brought is None else brought
    drawn = sampled(file, rules.sample, seed)
    found, worth_asking = ask(drawn, theirs, say, rules.least)
    chosen = pairing.choose(found, rules.users, seed)
    people = users_table()
    who = theirs["user_id"].unique().to_list()
    steps = pairing._steps(file, drawn, people, theirs, who, chosen, rules)
    pairs = check("pairs", pairing.pool(drawn, chosen, theirs, seed))
    return pairing.Paired(drawn, check("pairing", chosen), pairs, tuple(steps), worth_asking, "model")
