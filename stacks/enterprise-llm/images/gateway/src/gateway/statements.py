"""What is said to the database in its own words. Everything may be done twice with the same result."""

from __future__ import annotations

import sqlalchemy as sa

from .schema import sessions

COLUMNS = (sessions.c.id, sessions.c.title, sessions.c.model, sessions.c.created_at, sessions.c.updated_at)


BEGIN = sa.text("""
    WITH given AS (
        SELECT * FROM unnest(
            CAST(:id AS uuid[]), CAST(:owner AS text[]), CAST(:title AS text[]), CAST(:model AS text[]),
            CAST(:at AS timestamptz[]), CAST(:message AS uuid[]), CAST(:content AS text[])
        ) AS given (id, owner, title, model, at, message, content)
    ), new AS (
        INSERT INTO sessions (id, owner, title, model, created_at, updated_at)
        SELECT id, owner, title, model, at, at FROM given ON CONFLICT DO NOTHING
    )
    INSERT INTO messages (id, session_id, role, content, created_at)
    SELECT message, id, 'user', content, at FROM given ON CONFLICT DO NOTHING
""")
"""New sessions with their first messages."""

APPEND = sa.text("""
    WITH mine AS (
        UPDATE sessions SET updated_at = :at, model = CAST(:model AS text)
        WHERE id = :session AND owner = :owner RETURNING id
    ), new AS (
        INSERT INTO messages (id, session_id, role, content, created_at)
        SELECT CAST(:id AS uuid), id, 'user', CAST(:content AS text), CAST(:at AS timestamptz) FROM mine
        ON CONFLICT DO NOTHING
    )
    SELECT id FROM mine
""")
"""A message at the end of one's own session; no row if there is none."""

ANSWER = sa.text("""
    WITH given AS (
        SELECT * FROM unnest(
            CAST(:id AS uuid[]), CAST(:session AS uuid[]), CAST(:content AS text[]), CAST(:model AS text[]),
            CAST(:finish AS text[]), CAST(:prompt AS integer[]), CAST(:completion AS integer[]),
            CAST(:at AS timestamptz[]), CAST(:replaces AS uuid[])
        ) AS given (id, session, content, model, finish, prompt, completion, at, replaces)
    ), there AS (
        -- in the same order everywhere, so that two replicas do not wait for each other
        SELECT id FROM sessions WHERE id IN (SELECT session FROM given) ORDER BY id FOR UPDATE
    ), replaced AS (
        DELETE FROM messages USING given WHERE messages.id = given.replaces
    ), new AS (
        INSERT INTO messages
            (id, session_id, role, content, model, finish_reason, prompt_tokens, completion_tokens, created_at)
        SELECT given.id, session, 'assistant', content, model, finish, prompt, completion, at
        FROM given JOIN there ON there.id = session ON CONFLICT DO NOTHING
    ), touched AS (
        UPDATE sessions SET updated_at = given.at, model = given.model
        FROM given JOIN there ON there.id = given.session WHERE sessions.id = given.session
    )
    SELECT id FROM there
""")
"""Answers, to sessions that are still there; those sessions."""

LATEST = sa.text("""
    SELECT role, content FROM (
        SELECT role, content, position, sum(octet_length(content)) OVER (ORDER BY position DESC) AS upto
        FROM messages WHERE session_id = :session
    ) AS latest
    WHERE upto - octet_length(content) < :most ORDER BY position
""")
"""The latest messages of a session, up to the one with which they are `most` bytes."""
