"""The record is what the user-manager has, whoever goes away meanwhile."""

from __future__ import annotations

import signal
import time
from datetime import timedelta
from typing import Any

import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from conftest import Running, Start
from standin import Manager
from streaming.schema import metadata
from world import Issuer, Postgres, until


def test_the_migrations_make_the_tables(start: Start) -> None:
    api = start()
    engine = sa.create_engine(api.database.replace("postgresql:", "postgresql+psycopg:"), poolclass=sa.NullPool)
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []


def test_bytes_go_on_when_a_proxy_is_started_again(start: Start, manager: Manager) -> None:
    api = start()
    session = api.create()["sessionId"]

    def told(bytes_in: int, bytes_out: int) -> bool:
        (one,) = api.sessions()
        return (one["bytesIn"], one["bytesOut"]) == (bytes_in, bytes_out)

    manager.count(session, 100, 2000)
    until(lambda: told(100, 2000), 20, "the count")
    assert api.sessions()[0]["desktop"] and api.sessions()[0]["lastActivity"]
    manager.count(session, 30, 500, desktop=False)
    until(lambda: told(130, 2500), 20, "the count of the new process")
    manager.live[session]["counters"] = None
    looks = manager.lists
    until(lambda: manager.lists > looks + 2, 20, "some looks")
    assert told(130, 2500)
    manager.count(session, 31, 501)
    until(lambda: told(131, 2501), 20, "the count that goes on")
    assert api.metric('streaming_bytes_total{direction="in"}') == 131
    assert api.metric('streaming_bytes_total{direction="out"}') == 2501
    assert api.metric("streaming_sessions_live") == api.metric("streaming_desktops") == 1


def test_why_a_session_ended(start: Start, manager: Manager) -> None:
    api = start()
    for user, reason in (("ada", "idle"), ("bob", "unhealthy"), ("eve", "lost")):
        session = api.create(user)["sessionId"]
        manager.count(session, 10, 20)
        manager.end(session, reason)
    until(lambda: all(not api.sessions(user)[0]["live"] for user in ("ada", "bob", "eve")), 20, "the ends")
    assert [api.sessions(user)[0]["reason"] for user in ("ada", "bob", "eve")] == ["idle", "unhealthy", "lost"]
    assert api.sessions("bob")[0]["bytesOut"] == 20
    assert {api.metric(f'streaming_sessions_ended_total{{reason="{r}"}}') for r in ("idle", "unhealthy", "lost")} == {1}
    assert api.metric("streaming_session_seconds_count") == 3


def test_a_session_that_the_manager_forgot(start: Start, manager: Manager) -> None:
    api = start()
    session = api.create()["sessionId"]
    forgotten = manager.live.pop(session)
    time.sleep(1.5)
    assert api.sessions()[0]["live"], "once not seen is not gone"
    until(lambda: not api.sessions()[0]["live"], 20, "the end")
    assert api.sessions()[0]["reason"] == "lost"
    manager.live[session] = forgotten
    until(lambda: bool(api.sessions()[0]["live"]), 20, "its return")
    assert api.sessions()[0]["ended"] is None and api.sessions()[0]["reason"] is None


def test_a_session_that_nobody_noted(start: Start, manager: Manager, postgres: Postgres) -> None:
    """As when the database went away between the manager's answer and the note."""
    api = start()
    made = api.create()
    database = api.database.rpartition("/")[2]
    manager.count(made["sessionId"], 5, 6)
    postgres.sql(database, "DELETE FROM sessions")
    until(lambda: bool(api.sessions()), 20, "the session")
    assert api.sessions()[0]["sessionId"] == made["sessionId"] and api.sessions()[0]["bytesOut"] == 6


def test_the_manager_is_away(start: Start, manager: Manager) -> None:
    api = start()
    session = api.create()["sessionId"]
    manager.down()
    with api.client("bob") as bob:
        answer = bob.post("/streaming/create")
        assert answer.status_code == 503 and int(answer.headers["retry-after"]) > 0
        assert answer.json()["error"]["code"] == "manager_unavailable"
    time.sleep(4)  # longer than a session may be unseen
    with api.client() as ada:
        assert ada.delete(f"/streaming/{session}").status_code == 503
        assert ada.post(f"/streaming/{session}/token", json={"role": "desktop"}).status_code == 200
    assert api.sessions()[0]["live"] and api.ready()
    assert api.metric('streaming_manager_errors_total{call="begin",kind="ClientConnectorError"}') == 1
    manager.up()
    assert api.create()["sessionId"] == session
    assert api.create("bob")
    assert api.sessions()[0]["live"]


def test_what_the_manager_refuses(start: Start, manager: Manager) -> None:
    api = start()
    for given, wanted, code, after in (
        ((503, {}), 503, "manager_unavailable", "7"),
        ((500, {}), 503, "manager_unavailable", "5"),
        ((401, {}), 502, "manager_refused", None),
        ((409, {}), 502, "manager_refused", None),
        ((200, {"no": "session"}), 503, "manager_unavailable", "5"),
    ):
        manager.refuses = given
        with api.client() as client:
            answer = client.post("/streaming/create")
        assert (answer.status_code, answer.json()["error"]["code"]) == (wanted, code)
        assert answer.headers.get("retry-after") == after
    manager.refuses = None
    assert api.create()


def test_nonsense_from_the_manager_ends_nothing(start: Start, manager: Manager) -> None:
    api = start()
    session = api.create()["sessionId"]
    began, manager.live[session]["created"] = manager.live[session]["created"], 1e20
    looks = manager.lists
    until(lambda: manager.lists > looks + 1, 20, "some looks")
    manager.live[session]["created"] = began
    manager.count(session, 8, 9)
    until(lambda: api.sessions()[0]["bytesOut"] == 9, 20, "the count")
    assert api.sessions()[0]["live"]


def test_one_replica_follows_and_another_takes_over(start: Start, manager: Manager) -> None:
    first = start()
    second = start(DATABASE_URL=first.database)
    until(lambda: first.metric("streaming_follows") + second.metric("streaming_follows") == 1, 20, "a follower")
    follower, other = (first, second) if first.metric("streaming_follows") else (second, first)
    session = follower.create()["sessionId"]
    until(lambda: follower.metric("streaming_sessions_live") == 1, 20, "the session")
    assert other.metric("streaming_sessions_live") == other.metric("streaming_follows") == 0
    follower.stop(signal.SIGKILL)
    until(lambda: other.metric("streaming_follows") == 1, 30, "the other")
    manager.count(session, 1, 2)
    until(lambda: other.sessions()[0]["bytesOut"] == 2, 20, "the count")


def test_a_restart_of_postgres(start: Start, manager: Manager, postgres: Postgres) -> None:
    api = start()
    session = api.create()["sessionId"]
    until(lambda: api.metric("streaming_follows") == 1, 20, "following")
    postgres.stop(signal.SIGKILL)
    try:
        assert not api.ready()
        with api.client() as client:
            answer = client.get("/streaming/sessions")
            assert answer.status_code == 503 and answer.headers["retry-after"]
    finally:
        postgres.start()
    until(api.ready, 30, "the service")
    manager.count(session, 3, 4)
    until(lambda: api.sessions()[0]["bytesOut"] == 4, 30, "the count")


def test_old_sessions_are_forgotten(start: Start, manager: Manager, postgres: Postgres) -> None:
    api = start(AUDIT_DAYS="2")
    database = api.database.rpartition("/")[2]
    until(lambda: api.metric("streaming_follows") == 1, 20, "following")
    sessions = []
    for hours in (0, 47, 49):
        sessions.append(api.create()["sessionId"])
        over = manager.end(sessions[-1], "idle")
        over["created"] -= hours * 3600
        over["ended"] -= hours * 3600
        sql = "UPDATE sessions SET started_at = started_at - interval '{0} h', seen_at = seen_at - interval '{0} h'"
        postgres.sql(database, f"{sql.format(hours)} WHERE id = '{sessions[-1]}'")
    until(lambda: all(not one["live"] for one in api.sessions()), 20, "their ends")
    api.stop()
    again = start(AUDIT_DAYS="2", DATABASE_URL=api.database)
    until(lambda: len(again.sessions()) == 2, 20, "the forgetting")
    looks = manager.lists
    until(lambda: manager.lists > looks + 2, 20, "some looks")
    assert [one["sessionId"] for one in again.sessions()] == sessions[:2], "the manager remembers the third"
    age = postgres.sql(database, "SELECT max(now() - ended_at) FROM sessions")[0][0]
    assert isinstance(age, timedelta) and age < timedelta(days=2)


def test_it_ends_in_order(start: Start, manager: Manager) -> None:
    api: Running = start(DRAIN_DELAY_SECONDS="1")
    manager.busy = 1.0
    import threading

    answers: list[dict[str, Any]] = []
    asking = threading.Thread(target=lambda: answers.append(api.create()))
    asking.start()
    until(lambda: manager.puts == 1, 10, "the request")
    assert api.stop(signal.SIGTERM) == 0
    asking.join()
    assert answers and answers[0]["sessionId"] in manager.live


def test_without_keys_it_is_not_ready(start: Start, tmp_path: Any, issuer: Issuer) -> None:
    api = start(wait=False, JWKS_FILE=str(tmp_path / "late.json"))
    until(lambda: "the database was migrated" in api.log.read_text(), 30, "the tables")
    assert not api.ready()
    issuer.write(tmp_path / "late.json", issuer.jwks())
    until(api.ready, 20, "the service")
