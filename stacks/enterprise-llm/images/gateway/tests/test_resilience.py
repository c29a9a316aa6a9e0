"""Starts, ends and restarts: of the gateway, of several, of the database."""

from __future__ import annotations

import json
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import httpx
import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from conftest import Event, Model, Running, Start, events
from gateway.schema import metadata
from world import Postgres, free_port, until


@dataclass
class Load:
    """People who chat without a pause and remember what was acknowledged."""

    gateways: list[Running]
    asked: list[str] = field(default_factory=list)
    answered: list[str] = field(default_factory=list)
    failed: int = 0

    def __enter__(self) -> Load:
        self._done = threading.Event()
        self._threads = [threading.Thread(target=self._work, args=(n,)) for n in range(4)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        for thread in self._threads:
            thread.join()

    def _work(self, number: int) -> None:
        turn = number
        while not self._done.is_set():
            turn += 1
            gateway = self.gateways[turn % len(self.gateways)]
            try:
                client = gateway.client(f"load{number}")
                with client, client.stream("POST", "/api/chat", json={"message": "Hello"}) as answer:
                    if answer.status_code != 200:
                        self.failed += 1
                        continue
                    for event in events(answer.iter_lines()):
                        if event.name == "session":
                            self.asked.append(event.data["user_message"]["id"])
                        if event.name == "done":
                            self.answered.append(event.data["message"]["id"])
            except httpx.TransportError:
                self.failed += 1
                time.sleep(0.05)

    def goes_on(self, many: int = 12) -> None:
        before = len(self.answered)
        until(lambda: len(self.answered) > before + many, 60, "some answers")

    def lost(self, postgres: Postgres) -> set[str]:
        database = self.gateways[0].database.rpartition("/")[2]
        stored = {str(row[0]) for row in postgres.sql(database, "SELECT id FROM messages")}
        return set(self.asked + self.answered) - stored


def test_three_replicas_start_at_once_on_an_empty_database(start: Start, postgres: Postgres) -> None:
    database = postgres.create()
    with ThreadPoolExecutor(3) as pool:
        gateways = list(pool.map(lambda _: start(DATABASE_URL=database), range(3)))
    assert postgres.sql(database.rpartition("/")[2], "SELECT count(*) FROM alembic_version") == [(1,)]
    said = [line["message"] for gateway in gateways for line in gateway.lines()]
    assert said.count("the database was migrated") == 1
    for gateway in gateways:
        assert gateway.ask()[-1].name == "done"


def test_the_migrations_give_the_schema(gateway: Running) -> None:
    engine = sa.create_engine(gateway.database.replace("postgresql://", "postgresql+psycopg://"))
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    engine.dispose()


def test_a_newer_database_is_left_alone(start: Start, postgres: Postgres) -> None:
    first = start()
    first.stop()
    name = first.database.rpartition("/")[2]
    postgres.sql(name, "UPDATE alembic_version SET version_num = '9999'")
    again = start(DATABASE_URL=first.database)
    assert any(line["message"] == "the database is of a newer version" for line in again.lines())
    assert again.ask()[-1].name == "done"


@pytest.fixture
def own() -> Iterator[Postgres]:
    """A server that this test alone may break."""
    try:
        server = Postgres()
    except Exception as error:
        pytest.skip(str(error))
    yield server
    server.remove()


def test_a_database_that_comes_late(start: Start, own: Postgres) -> None:
    database = own.create()
    own.stop()
    gateway = start(wait=False, DATABASE_URL=database)

    def alive() -> bool:
        try:
            return httpx.get(f"{gateway.url}/healthz", trust_env=False).status_code == 200
        except httpx.TransportError:
            return False

    until(alive)
    assert not gateway.ready()
    with gateway.client() as client:
        answer = client.post("/api/chat", json={"message": "x"})
        assert answer.status_code == 503 and answer.headers["retry-after"]
    own.start()
    until(gateway.ready)
    assert gateway.ask()[-1].name == "done"


@pytest.mark.parametrize("sig", [signal.SIGINT, signal.SIGKILL])
def test_postgres_restarts_under_load(start: Start, own: Postgres, sig: int) -> None:
    database = own.create()
    gateways = [start(DATABASE_URL=database, DB_WAIT_SECONDS="60") for _ in range(2)]
    with Load(gateways) as load:
        load.goes_on()
        own.stop(sig)
        time.sleep(1)
        assert all(not gateway.ready() for gateway in gateways)
        own.start()
        load.goes_on()
    assert load.lost(own) == set()
    assert load.failed == 0  # a short restart is waited for
    assert all(gateway.ready() for gateway in gateways)


def test_postgres_stays_away(start: Start, own: Postgres, model: Model) -> None:
    gateway = start(DATABASE_URL=own.create(), DB_WAIT_SECONDS="1")
    gateway.ask()
    own.stop()
    with gateway.client() as client:
        for path in ("/api/sessions", "/readyz"):
            answer = client.get(path)
            assert answer.status_code == 503 and answer.json()["error"]["code"] == "storage_unavailable"
            assert answer.headers["retry-after"]
        for more in ({}, {"stream": False}):
            refused = client.post("/api/chat", json={"message": "x", "model": "silent:latest", **more})
            assert refused.status_code == 503 and refused.json()["error"]["code"] == "storage_unavailable"
            assert "user_message" not in refused.json()  # which is how one is told that it is kept
            until(lambda: model.standin.running == 0, 10, "the end of the inference")
        chat = {"model": "standin", "messages": [{"role": "user", "content": "x"}]}
        assert client.post("/v1/chat/completions", json=chat).status_code == 200
    own.start()
    until(gateway.ready)


def test_a_gateway_is_killed_under_load(start: Start, postgres: Postgres) -> None:
    first = start()
    second = start(DATABASE_URL=first.database)
    with Load([first, second]) as load:
        load.goes_on()
        first.stop(signal.SIGKILL)
        load.goes_on()
    assert load.failed > 0 and load.lost(postgres) == set()


def test_term_lets_answers_end(start: Start, model: Model, postgres: Postgres) -> None:
    gateway = start(DRAIN_DELAY_SECONDS="1", DRAIN_SECONDS="30")
    model.standin.ms, model.standin.tokens = 100, 30
    with gateway.client() as client, client.stream("POST", "/api/chat", json={"message": "x"}) as answer:
        got = events(answer.iter_lines())
        assert next(got).name == "session"
        gateway.process.send_signal(signal.SIGTERM)
        with httpx.Client(base_url=gateway.url, trust_env=False) as proxy:
            # the port is still open, and the proxy can see that it should not come here
            until(lambda: proxy.get("/readyz").status_code == 503, 5)
            ready = proxy.get("/readyz")
            assert ready.json()["error"]["code"] == "draining" and ready.headers["connection"] == "close"
            with gateway.client() as late:
                assert late.get("/api/sessions").status_code == 200
        *tokens, done = list(got)
        assert done.name == "done" and len(tokens) == 30
    assert gateway.process.wait(20) == 0


def test_term_stops_what_takes_too_long_and_keeps_it(start: Start, model: Model, postgres: Postgres) -> None:
    gateway = start(DRAIN_SECONDS="1")
    got: list[Event] = []
    with (
        gateway.client() as client,
        client.stream("POST", "/api/chat", json={"message": "x", "model": "silent:latest"}) as answer,
    ):
        for event in events(answer.iter_lines()):
            if not got:
                gateway.process.send_signal(signal.SIGTERM)
            got.append(event)
    assert got[-1].name == "error" and got[-1].data["code"] == "draining" and got[-1].data["retry_after"] == 1
    assert gateway.process.wait(20) == 0
    until(lambda: model.standin.running == 0, 5)
    name = gateway.database.rpartition("/")[2]
    [(reason, content)] = postgres.sql(name, "SELECT finish_reason, content FROM messages WHERE role = 'assistant'")
    said = "".join(event.data["text"] for event in got if event.name == "token")
    assert reason == "stopped" and content.startswith(said) and said


def test_a_wrong_setting_ends_the_process_with_one_line(start: Start) -> None:
    gateway = start(wait=False, REDIS_URL="http://nowhere", CONTEXT_TOKENS="many", JWKS_FILE="", PORT=str(free_port()))
    assert gateway.process.wait(30) == 1
    [line] = gateway.log.read_text().splitlines()
    assert all(name in line for name in ("REDIS_URL", "CONTEXT_TOKENS", "JWKS_FILE"))


def test_every_line_of_the_log_is_json(start: Start) -> None:
    gateway = start()
    gateway.ask()
    assert gateway.stop() == 0
    for line in gateway.log.read_text().splitlines():
        assert {"time", "level", "message", "request_id"} <= set(json.loads(line))
