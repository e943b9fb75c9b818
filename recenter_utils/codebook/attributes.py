"""Stage 1, the models' half: conversations, users, and the attributes read out of them."""

from __future__ import annotations

import polars as pl

from recenter_utils.codebook.columns import KIND, SOURCE, USER, column, count, one_of, share, table, text

ROLES = ("user", "assistant", "system", "other")
TURNS = pl.List(pl.Struct({"role": pl.String, "content": pl.String}))

#: Why a user is out, in the order in which the filters run (Appendix A).
USER_FILTERS = (
    "language_metadata",
    "language_detected",
    "template",
    "activity",
    "language_checked",
    "assistant_use",
)

TABLES = (
    table(
        "conversations",
        "a conversation of a user who passes the filters that need no model",
        {
            "conversation_id": text("Identifier, unique in the study."),
            "user_id": USER,
            "source": SOURCE,
            "language": text("Language by the source's metadata; null where it has none.", nullable=True),
            "turns": column(TURNS, f"Turns in order, each a role ({', '.join(ROLES)}) and its text.", unit="list"),
        },
        ["conversation_id"],
    ),
    table(
        "problems",
        "a row of a corpus that was refused, or repaired while it was loaded",
        {
            "source": SOURCE,
            "file": text("File the row stands in."),
            "row": column(pl.Int64, "Row in that file, from 1.", unit="row"),
            "conversation_id": text("Its identifier where it has one.", nullable=True),
            "action": one_of(("refused", "repaired"), "What was done with it."),
            "reason": text("Why, in words."),
        },
        [],
    ),
    table(
        "users",
        "a user, and why they were kept or dropped",
        {
            "user_id": USER,
            "source": SOURCE,
            "kind": KIND,
            "n_conversations_loaded": count("Conversations as loaded."),
            "n_conversations": count("Conversations left after the language filters that ran."),
            "n_user_turns": count("The user's own turns in those."),
            "scripted": column(pl.Boolean, "Flagged by the template detector."),
            "assistant_score": share("Assistant-use score; null where it was not asked.", nullable=True),
            "kept": column(pl.Boolean, "Passed every filter."),
            "dropped_by": one_of(USER_FILTERS, "The first filter that dropped the user.", nullable=True),
            "reason": text("That filter's reason in words.", nullable=True),
        },
        ["user_id"],
    ),
    table(
        "funnel",
        "a filter and what it left, for one source",
        {
            "source": SOURCE,
            "step": one_of(("loaded", *USER_FILTERS), "The filter; `loaded` is before any."),
            "rule": text("The rule with its threshold."),
            "conversations": count("Conversations left after it."),
            "users": count("Users left after it."),
            "conversations_dropped": count("Conversations it dropped."),
            "users_dropped": count("Users it dropped."),
        },
        ["source", "step"],
    ),
    table(
        "extractions",
        "a request for attributes: one chunk of one conversation",
        {
            "conversation_id": text("The conversation."),
            "chunk": count("The chunk's place in the conversation, from 0."),
            "user_id": USER,
            "model": text("The extractor, as named in the models file."),
            "prompt_version": text("Version of the prompt, from its content."),
            "n_attributes": count("Attributes it answered with."),
            "n_kept": count("Those at or over the confidence threshold that rest on the user's turns."),
            "error": text(
                "Why there is no answer: context_length, unparsed, truncated, refused, server, budget.",
                nullable=True,
            ),
        },
        ["conversation_id", "chunk", "model"],
    ),
    table(
        "attributes",
        "an attribute as extracted",
        {
            "attribute_id": text("Identifier: conversation, chunk and place in the answer."),
            "user_id": USER,
            "conversation_id": text("The conversation it was read from."),
            "attribute": text("The statement about the user."),
            "reason": text("Why the extractor inferred it."),
            "confidence": share("The extractor's own confidence."),
            "evidence_turns": column(
                pl.List(pl.Int64),
                "Turns of the conversation it rests on, from 0; the user's own.",
                unit="list",
            ),
            "model": text("The extractor."),
        },
        ["attribute_id"],
    ),
    table(
        "merged_attributes",
        "a cluster of one user's attributes that say the same",
        {
            "attribute_id": text("Identifier of the member that represents the cluster."),
            "user_id": USER,
            "source": SOURCE,
            "attribute": text("The representative: the member closest to the confidence-weighted centroid."),
            "confidence": share("Independence-aware aggregate of the members' confidences."),
            "members": column(pl.List(pl.String), "attribute_id of every member.", unit="list"),
            "n_conversations": count("Distinct conversations among the members."),
        },
        ["attribute_id"],
    ),
    table(
        "diversity",
        "a group of users and how far apart they are (Table 1)",
        {
            "group": text("A source, or a source and how its users were chosen."),
            "kind": KIND,
            "n_users": count("Users with at least one attribute."),
            "n_attributes": count("Their merged attributes."),
            "inter_user": column(pl.Float64, "Mean pairwise inter-user cosine distance.", unit="0 to 2", nullable=True),
            "low": column(pl.Float64, "Lower end of the 95% interval over users.", unit="0 to 2", nullable=True),
            "high": column(pl.Float64, "Upper end.", unit="0 to 2", nullable=True),
            "note": text("Why a value is undefined.", nullable=True),
        },
        ["group"],
    ),
    table(
        "user_diversity",
        "a user of the pool that the diverse sample is drawn from",
        {
            "user_id": USER,
            "source": SOURCE,
            "n_attributes": count("Merged attributes."),
            "generalist_score": column(
                pl.Float64,
                "Mean pairwise cosine distance within the user; null under two attributes.",
                unit="0 to 2",
                nullable=True,
            ),
            "bin": column(
                pl.Int64,
                "Equal-frequency bin on that score, 1 = most specialised; null where the score is.",
                unit="bin",
                nullable=True,
            ),
            "sampled": column(pl.Boolean, "In the diverse sample."),
            "draw": column(
                pl.Int64,
                "Order in which the bin's farthest-point sampling chose the user, from 1.",
                unit="rank",
                nullable=True,
            ),
        },
        ["user_id"],
    ),
)
