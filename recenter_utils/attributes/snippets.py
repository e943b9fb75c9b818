"""Snippets: the part of the chats that verifiers, categorisers and the refiner read beside an attribute (§4.3, I.6).

A snippet holds the turns that an attribute rests on, the turns around them, so that a role, a draft or the
assistant's words can be told from the user's own, and the opening of each conversation, where such things are set up.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import polars as pl

#: Most characters of a conversation's opening where it is there for its frame alone.
OPENING = 400
#: Fewest characters a turn is worth showing with: where there are too many turns, later ones are left out.
SHORTEST = 160
#: Stands where text was left out.
GAP = " […] "

SCHEMA: dict[str, Any] = {
    "attribute_id": pl.String,
    "user_id": pl.String,
    "attribute": pl.String,
    "reason": pl.String,
    "snippet": pl.List(
        pl.Struct({"turn": pl.Int64, "conversation": pl.Int64, "role": pl.String, "content": pl.String})
    ),
    "evidence_turns": pl.List(pl.Int64),
    "places": pl.List(pl.Struct({"conversation_id": pl.String, "turn": pl.Int64})),
}

_WORD = re.compile(r"\w{3,}")


class _Place(NamedTuple):
    """A turn on its way into a snippet."""

    conversation_id: str
    turn: int
    wanted: int  # 2 evidence, 1 beside it, 0 an opening


def snippets(
    items: pl.DataFrame,
    attributes: pl.DataFrame,
    conversations: pl.DataFrame,
    context: int = 1,
    longest: int = 4000,
) -> pl.DataFrame:
    """Return one row an item, in order: what to read beside it.

    Args:
        items: Columns attribute_id, user_id, attribute and members, as in the table `merged_attributes`; a column
            `reason`, where there is one, is used instead of the extractor's.
        attributes: The table `attributes`, with the members.
        conversations: The table `conversations`.
        context: Turns before and after each evidence turn.
        longest: Most characters of all turns together. Long turns are cut around the words that they share with the
            attribute and its reason; evidence keeps its text longest.

    Returns:
        attribute_id, user_id, attribute, reason (of the member that stands for the cluster), snippet (a list of
        {turn, conversation, role, content}, turns numbered from 0 through the snippet and conversations from 0),
        evidence_turns (those numbers that the attribute rests on) and places (which turn of which conversation each
        turn of the snippet is). A member whose conversation is not there adds nothing; with none left, the snippet is
        empty.
    """
    wanted = items.select(pl.col("members").explode().alias("attribute_id")).unique()
    columns = ("attribute_id", "conversation_id", "reason", "evidence_turns")
    known = {row[0]: row[1:] for row in attributes.join(wanted, on="attribute_id").select(columns).iter_rows()}
    needed = {conversation_id for conversation_id, _, _ in known.values()}
    turns = dict(
        conversations.filter(pl.col("conversation_id").is_in(needed)).select("conversation_id", "turns").iter_rows()
    )
    rows = []
    for item in items.iter_rows(named=True):
        # The member that gave the cluster its words comes first, should there be no room for all.
        first = item["attribute_id"]
        members = sorted(item["members"], key=lambda member: member != first)
        cited = [(known[member][0], known[member][2]) for member in members if member in known]
        reason = item["reason"] if "reason" in items.columns else known.get(first, ("", "", ()))[1]
        picked = _places([(name, cites) for name, cites in cited if name in turns], turns, context, longest)
        said = {place: turns[place.conversation_id][place.turn] for place in picked}
        shown = _fitted([said[place]["content"] for place in picked], picked, f"{item['attribute']} {reason}", longest)
        order = {name: number for number, name in enumerate(dict.fromkeys(place.conversation_id for place in picked))}
        rows.append(
            {
                "attribute_id": first,
                "user_id": item["user_id"],
                "attribute": item["attribute"],
                "reason": reason,
                "snippet": [
                    {
                        "turn": number,
                        "conversation": order[place.conversation_id],
                        "role": said[place]["role"],
                        "content": content,
                    }
                    for number, (place, content) in enumerate(zip(picked, shown, strict=True))
                ],
                "evidence_turns": [number for number, place in enumerate(picked) if place.wanted == 2],
                "places": [{"conversation_id": place.conversation_id, "turn": place.turn} for place in picked],
            }
        )
    return pl.DataFrame(rows, schema=SCHEMA)


def plain_text(snippet: Sequence[Mapping[str, Any]], evidence_turns: Iterable[int] = ()) -> str:
    """Return a snippet as an encoder reads it: a turn a line with its role, evidence first: the end may be cut."""
    cited = set(evidence_turns)
    ordered = sorted(snippet, key=lambda turn: turn["turn"] not in cited)
    return "\n".join(f"{turn['role']}: {' '.join(turn['content'].split())}" for turn in ordered)


def _places(
    cited: Sequence[tuple[str, Sequence[int]]],
    turns: Mapping[str, Sequence[Mapping[str, str]]],
    context: int,
    longest: int,
) -> list[_Place]:
    """Return the turns of a snippet in reading order, conversations in the order in which they are cited."""
    best: dict[tuple[str, int], int] = {}
    kept: set[str] = set()
    most = max(1, longest // SHORTEST)
    for conversation_id, evidence in cited:
        length = len(turns[conversation_id])
        around = {turn: 2 for turn in evidence if 0 <= turn < length}
        for turn in list(around):
            for near in range(max(0, turn - context), min(length, turn + context + 1)):
                around.setdefault(near, 1)
        if around:
            around.setdefault(0, 0)
        for turn, rank in sorted(around.items(), key=lambda entry: -entry[1]):
            place = (conversation_id, turn)
            if place in best or len(best) < most:
                best[place] = max(rank, best.get(place, 0))
                kept.add(conversation_id)
    order = [name for name in dict.fromkeys(name for name, _ in cited) if name in kept]
    return [
        _Place(name, turn, rank)
        for name in order
        for (owner, turn), rank in sorted(best.items(), key=lambda entry: entry[0][1])
        if owner == name
    ]


def _fitted(texts: Sequence[str], places: Sequence[_Place], about: str, longest: int) -> list[str]:
    """Return the texts, together at most `longest` characters: evidence gets its room before what stands around it."""
    lengths = [
        len(text) if place.wanted else min(len(text), OPENING) for text, place in zip(texts, places, strict=True)
    ]
    rooms = [0] * len(texts)
    left = longest
    for rank in (2, 1, 0):
        group = [number for number, place in enumerate(places) if place.wanted == rank]
        # What ranks lower is never squeezed out altogether: it says whose voice the evidence is in.
        floor = sum(min(lengths[n], SHORTEST) for n, place in enumerate(places) if place.wanted < rank)
        for number, room in zip(group, _shares([lengths[n] for n in group], left - floor), strict=True):
            rooms[number] = room
            left -= room
    words = set(_WORD.findall(about.lower()))
    return [
        cut(text, room, words if place.wanted else set())
        for text, room, place in zip(texts, rooms, places, strict=True)
    ]


def _shares(lengths: Sequence[int], room: int) -> list[int]:
    """Return how much of `room` each gets: none more than its length, and what short ones leave goes to long ones."""
    shares = [0] * len(lengths)
    for done, number in enumerate(sorted(range(len(lengths)), key=lengths.__getitem__)):
        shares[number] = min(lengths[number], max(0, room) // (len(lengths) - done))
        room -= shares[number]
    return shares


def cut(text: str, room: int, words: Iterable[str] = ()) -> str:
    """Return `text` in at most `room` characters: its beginning, and the stretch that shares most with `words`.

    Without words that occur in it, its beginning and its end.
    """
    if len(text) <= room:
        return text
    if room <= 2 * len(GAP) + 20:
        return text[: max(0, room)]
    head = room // 4
    size = room - head - 2 * len(GAP)
    wanted = set(words)
    hits = [found.start() for found in _WORD.finditer(text, head) if found[0].lower() in wanted]
    if not hits:
        return text[: room // 2] + GAP + text[len(text) - (room - room // 2 - len(GAP)) :]
    best, last, most = hits[0], hits[0], 0
    end = 0
    for start, hit in enumerate(hits):
        while end < len(hits) and hits[end] < hit + size - 20:
            end += 1
        if end - start > most:
            best, last, most = hit, hits[end - 1], end - start
    begin = max(head, min(best - (size - (last - best)) // 2, len(text) - size))
    stop = begin + size
    middle = text[:stop] if begin == head else text[:head] + GAP + text[begin:stop]
    return middle + (GAP if stop < len(text) else "")
