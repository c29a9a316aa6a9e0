"""What is said to the database in its own words. Everything may be done twice with the same result."""

from __future__ import annotations

import sqlalchemy as sa

BEGIN = sa.text("""
    WITH others AS (
        UPDATE sessions SET ended_at = seen_at, reason = 'lost', desktop = false
        WHERE user_id = :user AND id <> :id AND ended_at IS NULL
        RETURNING reason, EXTRACT(epoch FROM ended_at - started_at) AS seconds
    ), mine AS (
        INSERT INTO sessions (id, user_id, started_at, seen_at) VALUES (:id, :user, :started, now())
        ON CONFLICT (id) DO UPDATE SET seen_at = now(), ended_at = NULL, reason = NULL
        RETURNING xmax = 0 AS new
    )
    SELECT new, NULL AS reason, 0 AS seconds FROM mine UNION ALL SELECT false, reason, seconds FROM others
""")
"""A session that there is; the user's others are over. Whether it is new, and what ended."""

FOLLOW = sa.text("""
    WITH given AS (
        SELECT * FROM unnest(
            CAST(:id AS text[]), CAST(:name AS text[]), CAST(:started AS timestamptz[]), CAST(:active AS timestamptz[]),
            CAST(:desktop AS boolean[]), CAST(:counted_in AS bigint[]), CAST(:counted_out AS bigint[]),
            CAST(:ended AS timestamptz[]), CAST(:reason AS text[])
        ) AS given (id, name, started, active, desktop, counted_in, counted_out, ended, reason)
    ), there AS (
        SELECT given.*, known.started_at, known.ended_at IS NULL AS was_live,
            -- a proxy that was started again counts from nothing
            CASE WHEN given.counted_in >= known.counted_in THEN given.counted_in - known.counted_in
                ELSE COALESCE(given.counted_in, 0) END AS more_in,
            CASE WHEN given.counted_out >= known.counted_out THEN given.counted_out - known.counted_out
                ELSE COALESCE(given.counted_out, 0) END AS more_out
        FROM given JOIN sessions AS known ON known.id = given.id
        WHERE known.ended_at IS NULL
            -- thought to be over, and it was not
            OR given.ended IS NULL AND known.ended_at < :asked
            -- now it is known why
            OR given.ended IS NOT NULL AND known.reason = 'lost' AND given.reason <> 'lost'
        ORDER BY known.id FOR UPDATE OF known
    ), done AS (
        UPDATE sessions SET
            seen_at = GREATEST(sessions.seen_at, COALESCE(there.ended, :asked)),
            active_at = GREATEST(sessions.active_at, there.active),
            desktop = there.desktop AND there.ended IS NULL,
            bytes_in = sessions.bytes_in + more_in,
            bytes_out = sessions.bytes_out + more_out,
            counted_in = COALESCE(there.counted_in, sessions.counted_in),
            counted_out = COALESCE(there.counted_out, sessions.counted_out),
            ended_at = there.ended,
            reason = there.reason
        FROM there WHERE sessions.id = there.id
    ), new AS (
        INSERT INTO sessions (
            id, user_id, started_at, seen_at, active_at, desktop, ended_at, reason,
            bytes_in, bytes_out, counted_in, counted_out
        )
        SELECT given.id, users.id, given.started, COALESCE(given.ended, :asked), given.active,
            given.desktop AND given.ended IS NULL, given.ended, given.reason,
            COALESCE(given.counted_in, 0), COALESCE(given.counted_out, 0),
            COALESCE(given.counted_in, 0), COALESCE(given.counted_out, 0)
        FROM given JOIN users ON users.name = given.name
        WHERE NOT EXISTS (SELECT FROM sessions WHERE sessions.id = given.id)
            -- the manager remembers longer than this is kept
            AND (given.ended IS NULL OR given.ended > :oldest)
        ON CONFLICT DO NOTHING
        RETURNING id, bytes_in, bytes_out, ended_at, reason, started_at
    )
    SELECT false AS new, more_in, more_out, was_live AND ended IS NOT NULL AS over, reason,
        EXTRACT(epoch FROM ended - started_at) AS seconds FROM there
    UNION ALL
    SELECT true, bytes_in, bytes_out, ended_at IS NOT NULL, reason, EXTRACT(epoch FROM ended_at - started_at) FROM new
""")
"""What the manager says of sessions, noted or not. What is new, what was transferred since, and what ended."""

LOST = sa.text("""
    UPDATE sessions SET ended_at = seen_at, reason = 'lost', desktop = false
    WHERE ended_at IS NULL AND seen_at < :before AND id <> ALL(CAST(:there AS text[]))
    RETURNING reason, EXTRACT(epoch FROM ended_at - started_at) AS seconds
""")
"""The manager does not know them any more."""

GONE = sa.text("""
    UPDATE sessions SET ended_at = now(), reason = 'lost', desktop = false WHERE id = :id AND ended_at IS NULL
    RETURNING reason, EXTRACT(epoch FROM ended_at - started_at) AS seconds
""")
"""The manager does not know it any more; why it ended, its list may tell later."""

PRUNE = sa.text("DELETE FROM sessions WHERE ended_at < :oldest RETURNING id")
