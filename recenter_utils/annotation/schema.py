"""The tables of a store of answers, which of its answers hold, and how a preference is kept.

Times are milliseconds since 1970, UTC.
"""

from __future__ import annotations

from recenter_utils.scales import Scale

SCHEMA = """
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS pages (
    page TEXT PRIMARY KEY, place INTEGER NOT NULL, version TEXT NOT NULL, content TEXT NOT NULL,
    current INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS former_pages (
    page TEXT NOT NULL, version TEXT NOT NULL, content TEXT NOT NULL, until INTEGER NOT NULL,
    PRIMARY KEY (page, version)
);
CREATE TABLE IF NOT EXISTS items (
    item TEXT PRIMARY KEY, page TEXT NOT NULL, place INTEGER NOT NULL, version TEXT NOT NULL, expected TEXT,
    current INTEGER NOT NULL
);
CREATE INDEX IF NOT EXISTS items_of_page ON items (page, place);
CREATE TABLE IF NOT EXISTS raters (
    rater TEXT PRIMARY KEY, kind TEXT NOT NULL DEFAULT 'human',
    prolific_pid TEXT UNIQUE, prolific_study TEXT, prolific_session TEXT UNIQUE,
    came_at INTEGER, consented_at INTEGER, declined_at INTEGER, started_at INTEGER,
    share INTEGER, finished_at INTEGER, outcome TEXT
);
CREATE TABLE IF NOT EXISTS assignments (
    page TEXT NOT NULL, rater TEXT NOT NULL, place INTEGER NOT NULL, shown TEXT,
    assigned_at INTEGER NOT NULL, opened_at INTEGER, released_at INTEGER,
    PRIMARY KEY (page, rater), UNIQUE (rater, place)
);
CREATE TABLE IF NOT EXISTS answers (
    answer INTEGER PRIMARY KEY AUTOINCREMENT, rater TEXT NOT NULL, item TEXT NOT NULL, version TEXT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('label', 'flag', 'note')), value TEXT NOT NULL,
    first_shown TEXT CHECK (first_shown IN ('generic', 'personalised')), seconds REAL, answered_at INTEGER,
    via TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS answers_to_item ON answers (rater, item, kind, version);
CREATE INDEX IF NOT EXISTS answers_of_rater ON answers (rater);
CREATE TRIGGER IF NOT EXISTS answers_are_not_changed BEFORE UPDATE ON answers
    BEGIN SELECT RAISE(ABORT, 'answers are only ever added'); END;
CREATE TRIGGER IF NOT EXISTS answers_are_not_removed BEFORE DELETE ON answers
    BEGIN SELECT RAISE(ABORT, 'answers are only ever added'); END;
"""
#: The newest row of each (rater, item, kind, wording); where an item has several wordings, the label for the one that
#: it has now counts before newer labels for others, and flag and note are those to the label's wording.
HOLDING = """
WITH newest AS (
    SELECT *, row_number() OVER (PARTITION BY rater, item, kind, version ORDER BY answer DESC) AS age FROM answers
), labels AS (
    SELECT l.*, i.page AS page, i.version AS current_version, i.expected AS expected,
        row_number() OVER (
            PARTITION BY l.rater, l.item ORDER BY coalesce(l.version = i.version, 0) DESC, l.answer DESC
        ) AS choice
    FROM newest l LEFT JOIN items i ON i.item = l.item WHERE l.kind = 'label' AND l.age = 1
)
SELECT l.item, l.page, l.version, l.current_version, l.rater, l.value, nullif(trim(n.value), ''),
    coalesce(f.value = 'yes', 0), l.first_shown, l.seconds, l.answered_at, l.expected,
    coalesce(a.released_at IS NOT NULL, 0), l.via
FROM labels l
LEFT JOIN newest n ON n.rater = l.rater AND n.item = l.item AND n.version = l.version AND n.kind = 'note' AND n.age = 1
LEFT JOIN newest f ON f.rater = l.rater AND f.item = l.item AND f.version = l.version AND f.kind = 'flag' AND f.age = 1
LEFT JOIN assignments a ON a.page = l.page AND a.rater = l.rater
WHERE l.choice = 1 ORDER BY l.answer
"""


def recoded(label: str, first_shown: str | None, scale: Scale) -> str:
    """Turn a preference from A-to-B, as it is kept, to generic-to-personalised, or back; other answers stay."""
    return scale.labels[::-1][scale.labels.index(label)] if first_shown == "personalised" else label
