"""Pages for judging attribute quality, made from a study's tables: a page a user (§4.1, Appendix G)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import polars as pl

from recenter_utils.annotation.pages import Conversation, Evidence, Item, Page, Turn
from recenter_utils.lots import drawn, place
from recenter_utils.settings import Annotation

if TYPE_CHECKING:
    from recenter_utils.study import Study

#: What a careful annotator may say of an attribute that is somebody else's.
CHECK_LABELS = ("rejected", "uncertain")
CHECK_PREFIX = "check:"

#: Words that say nothing of what an attribute is about.
_COMMON = """
about after also always been from have into likes more most much over that their them they this uses using very wants
when which with works would enjoys prefers interested someone user
"""
_WORD = re.compile(r"[^\W\d_]{4,}")


def sample_users(users: pl.DataFrame, rules: Annotation, seed: int) -> list[str]:
    """Return who is judged, in the order of the pages: of each source so many users as `rules` say for its kind.

    users: columns user_id, source and kind, and `kept` where it is known; nobody who was dropped is taken. Who is
    drawn depends on the seed and on the ids of the source's users alone. Sources stand mixed, so that the first
    pages, which a pilot judges, hold some of each.
    """
    if "kept" in users.columns:
        users = users.filter("kept")
    wanted = {"real": rules.real_users, "synthetic": rules.synthetic_users}
    chosen: list[str] = []
    for (_, kind), part in users.group_by("source", "kind"):
        chosen += drawn(part["user_id"].unique(), wanted[str(kind)], seed)
    return drawn(chosen, None, seed)


def quality_pages(
    conversations: pl.DataFrame,
    attributes: pl.DataFrame,
    merged: pl.DataFrame,
    user_ids: Sequence[str],
    *,
    seed: int,
    checks: int = 0,
) -> list[Page]:
    """Return a page for each user who has merged attributes, in the order of `user_ids`.

    A page shows all of the user's conversations, in the order of the table, and the user's merged attributes in an
    order drawn with the seed. An attribute has the reason of the member that represents it, and the evidence of all.

    Args:
        conversations: The table `conversations`.
        attributes: The table `attributes`.
        merged: The table `merged_attributes`.
        user_ids: Whose pages; a user without merged attributes or conversations has none.
        seed: Where the draws start.
        checks: Check items over all pages: attributes of other users with not one word of theirs in this user's
            chats. Where too few such attributes are there, there are fewer checks.
    """
    wanted = set(user_ids)
    chats = _by_user(conversations.filter(pl.col("user_id").is_in(wanted)))
    extracted = {row["attribute_id"]: row for row in attributes.filter(pl.col("user_id").is_in(wanted)).to_dicts()}
    own = _by_user(merged.filter(pl.col("user_id").is_in(wanted)))
    shown = [user for user in dict.fromkeys(user_ids) if user in own and user in chats]
    extra = _checks({user: own[user] for user in shown}, chats, extracted, seed, checks) if checks else {}
    pages = []
    for user in shown:
        items = [_item(row, extracted, chats[user]) for row in own[user]] + extra.get(user, [])
        order = {name: place for place, name in enumerate(drawn((item.item_id for item in items), None, seed))}
        pages.append(
            Page(
                page_id=user,
                items=tuple(sorted(items, key=lambda item: order[item.item_id])),
                conversations=tuple(
                    Conversation(
                        conversation_id=chat["conversation_id"], turns=tuple(Turn(**turn) for turn in chat["turns"])
                    )
                    for chat in chats[user]
                ),
            )
        )
    return pages


def study_pages(study: Study, checks: int = 0) -> list[Page]:
    """Return the pages of a study for the users that its settings sample, from its tables as they are now."""
    merged = study.frame("merged_attributes")
    users = study.frame("users").join(merged.select("user_id"), on="user_id", how="semi")
    seed = study.settings.seed
    chosen = sample_users(users, study.settings.annotation, seed)
    conversations = study.scan("conversations").filter(pl.col("user_id").is_in(chosen)).collect()
    return quality_pages(conversations, study.frame("attributes"), merged, chosen, seed=seed, checks=checks)


def _item(row: Mapping[str, Any], extracted: Mapping[str, Mapping[str, Any]], chats: Sequence[Mapping]) -> Item:
    places = {chat["conversation_id"]: number for number, chat in enumerate(chats)}
    cited = {
        (places[member["conversation_id"]], turn)
        for member in (extracted[name] for name in row["members"] if name in extracted)
        if member["conversation_id"] in places
        for turn in member["evidence_turns"]
        if turn < len(chats[places[member["conversation_id"]]]["turns"])
    }
    return Item(
        item_id=row["attribute_id"],
        attribute=row["attribute"],
        reason=extracted.get(row["attribute_id"], {}).get("reason", ""),
        evidence=tuple(Evidence(conversation=chat, turn=turn) for chat, turn in sorted(cited)),
    )


def _checks(
    own: Mapping[str, Sequence[Mapping]],
    chats: Mapping[str, Sequence[Mapping]],
    extracted: Mapping[str, Mapping[str, Any]],
    seed: int,
    count: int,
) -> dict[str, list[Item]]:
    """Return check items by user, spread evenly. A page tells them from others by nothing but what they say."""
    donors = {row["attribute_id"]: row for rows in own.values() for row in rows}
    order = drawn(donors, None, seed)
    said = {user: _words(turn["content"] for chat in chats[user] for turn in chat["turns"]) for user in own}
    found: dict[str, list[Item]] = {user: [] for user in own}
    used: set[str] = set()
    spent: set[str] = set()  # users for whom no attribute is left
    while sum(map(len, found.values())) < count and len(spent) < len(own):
        for user in drawn(own, None, seed):
            if user in spent or sum(map(len, found.values())) == count:
                continue
            theirs = said[user] | _words(row["attribute"] for row in own[user])
            donor = next((name for name in order if name not in used and _foreign(donors[name], user, theirs)), None)
            if donor is None:
                spent.add(user)
                continue
            used.add(donor)
            item = f"{CHECK_PREFIX}{user}:{donor}"
            spoken = [
                Evidence(conversation=number, turn=place)
                for number, chat in enumerate(chats[user])
                for place, turn in enumerate(chat["turns"])
                if turn["role"] == "user"
            ]
            found[user].append(
                Item(
                    item_id=item,
                    attribute=donors[donor]["attribute"],
                    reason=extracted.get(donor, {}).get("reason", ""),
                    evidence=tuple(spoken[place(seed, item) % len(spoken) :][:1]) if spoken else (),
                    expected=CHECK_LABELS,
                )
            )
    return found


def _foreign(donor: Mapping[str, Any], user: str, theirs: set[str]) -> bool:
    """Whether an attribute is another user's, is about something, and this user's chats have none of its words."""
    about = _words([donor["attribute"]]) - _words([_COMMON])
    return donor["user_id"] != user and len(about) >= 2 and not about & theirs


def _words(texts: Iterable[str]) -> set[str]:
    # The first six letters stand for a word: "gardening" is no stranger to who speaks of a garden.
    return {word[:6] for text in texts for word in _WORD.findall(text.lower())}


def _by_user(rows: pl.DataFrame) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for row in rows.to_dicts():
        found.setdefault(row["user_id"], []).append(row)
    return found
