"""Chats, sessions, and what happens when the model or the client goes away."""

from __future__ import annotations

import json
import socket
import time
import uuid
from concurrent.futures import ThreadPoolExecutor, wait

import httpx
import psycopg
import pytest
from conftest import Model, Running, Start, events
from world import until

SAID = "This is the stand-in, no model."


def test_a_chat_comes_word_by_word_and_is_kept(gateway: Running, model: Model) -> None:
    got = gateway.ask("# What is *this*?\nSay more.", model="standin:latest")
    assert [event.name for event in got] == ["session", *["token"] * 8, "done"]
    assert "".join(event.data["text"] for event in got[1:-1]) == SAID
    session, done = got[0].data["session"], got[-1].data
    assert session["title"] == "What is this?" and session["model"] == "standin:latest"
    assert done["message"]["content"] == SAID and done["message"]["finish_reason"] == "stop"
    assert done["message"]["usage"] == {"prompt_tokens": 5, "completion_tokens": 8}
    with gateway.client() as client:
        kept = client.get(f"/api/sessions/{session['id']}").json()
    assert [(m["role"], m["content"]) for m in kept["messages"]] == [
        ("user", "# What is *this*?\nSay more."),
        ("assistant", SAID),
    ]
    assert kept["messages"][1]["id"] == done["message"]["id"]
    assert kept["messages"][0]["id"] == got[0].data["user_message"]["id"]
    assert model.standin.asked[-1]["options"] == {"num_ctx": 8192, "num_predict": 2048}


def test_tokens_are_not_held_back(gateway: Running, model: Model) -> None:
    model.standin.ms = 150
    arrived = []
    with gateway.client() as client, client.stream("POST", "/api/chat", json={"message": "x"}) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        for event in events(answer.iter_lines()):
            if event.name == "token":
                arrived.append(time.monotonic())
    assert arrived[-1] - arrived[0] > 0.15 * 7 * 0.8


def test_not_streaming(gateway: Running) -> None:
    with gateway.client() as client:
        answer = client.post("/api/chat", json={"message": "Hello", "stream": False}).json()
        assert answer["message"]["content"] == SAID
        again = client.post(
            "/api/chat", json={"message": "More", "session_id": answer["session"]["id"], "stream": False}
        ).json()
    assert again["session"]["id"] == answer["session"]["id"]
    assert again["session"]["title"] == "Hello"


def test_the_model_reads_the_history(gateway: Running, model: Model) -> None:
    session = gateway.ask("First")[0].data["session"]["id"]
    gateway.ask("Second", session_id=session)
    turns = [(turn["role"], turn["content"]) for turn in model.standin.asked[-1]["messages"]]
    assert turns == [("user", "First"), ("assistant", SAID), ("user", "Second")]


def test_the_history_fits_the_context(start: Start, model: Model) -> None:
    gateway = start(CONTEXT_TOKENS="600", ANSWER_TOKENS="100", SYSTEM_PROMPT="Be brief.")
    session = gateway.ask("Begin")[0].data["session"]["id"]
    for n in range(6):
        gateway.ask(f"{n} " + "word " * 60, session_id=session)
    turns = model.standin.asked[-1]["messages"]
    assert turns[0] == {"role": "system", "content": "Be brief."} and turns[1]["role"] == "user"
    assert turns[-1]["content"].startswith("5 ") and len(turns) < 13
    assert sum(len(turn["content"]) // 3 for turn in turns) < 500
    with gateway.client() as client:
        answer = client.post("/api/chat", json={"message": "word " * 600})
    assert answer.status_code == 413 and answer.json()["error"]["code"] == "message_too_long"


def test_sessions_are_listed_searched_renamed_deleted(gateway: Running) -> None:
    ids = [gateway.ask(f"Question {n} about 100%_ü")[0].data["session"]["id"] for n in range(5)]
    with gateway.client() as client:
        seen: list[str] = []
        cursor: str | None = ""
        while cursor is not None:
            page = client.get("/api/sessions", params={"limit": 2, "cursor": cursor}).json()
            seen += [session["id"] for session in page["sessions"]]
            cursor = page["next"]
        assert seen == ids[::-1]

        def found(query: str) -> list[str]:
            return [s["id"] for s in client.get("/api/sessions", params={"query": query}).json()["sessions"]]

        assert found("question 3") == [ids[3]]
        assert found("STAND-IN") == ids[::-1]
        assert found("%_Ü") == ids[::-1] and found("100_") == []
        path = f"/api/sessions/{ids[0]}"
        assert client.patch(path, json={"title": "Renamed"}).json()["session"]["title"] == "Renamed"
        assert found("renamed") == [ids[0]]
        assert client.delete(path).status_code == 204
        assert client.get(path).status_code == client.delete(path).status_code == 404


def test_sessions_are_ones_own(gateway: Running) -> None:
    session = gateway.ask("Secret", user="ada")[0].data["session"]["id"]
    path = f"/api/sessions/{session}"
    with gateway.client("eve") as eve:
        assert eve.get("/api/sessions").json()["sessions"] == []
        assert eve.get("/api/sessions", params={"query": "Secret"}).json()["sessions"] == []
        for answer in (
            eve.get(path),
            eve.patch(path, json={"title": "mine"}),
            eve.delete(path),
            eve.post(f"{path}/retry"),
            eve.post("/api/chat", json={"message": "hi", "session_id": session}),
            eve.get(f"/api/sessions/{uuid.uuid4()}"),
        ):
            assert answer.status_code == 404 and answer.json()["error"]["code"] == "session_not_found"
    with gateway.client("ada") as ada:
        assert len(ada.get(path).json()["messages"]) == 2


def test_the_model_is_down_and_the_message_is_not_lost(gateway: Running, model: Model) -> None:
    with gateway.client() as client:
        assert client.get("/api/models").json()["default"] == "standin:latest"
        model.down()
        answer = client.post("/api/chat", json={"message": "Are you there?"})
        assert answer.status_code == 503 and int(answer.headers["retry-after"]) > 0
        body = answer.json()
        assert body["error"]["code"] == "model_unavailable"
        path = f"/api/sessions/{body['session']['id']}"
        kept = client.get(path).json()["messages"]
        assert [(m["id"], m["content"]) for m in kept] == [(body["user_message"]["id"], "Are you there?")]
        model.up()
        with client.stream("POST", f"{path}/retry") as answer:
            assert [event.name for event in events(answer.iter_lines())][-1] == "done"
        assert [m["role"] for m in client.get(path).json()["messages"]] == ["user", "assistant"]


def test_the_model_was_never_there_and_the_message_is_not_lost(start: Start, model: Model) -> None:
    model.down()
    gateway = start()
    with gateway.client() as client:
        for stream in (True, False):
            answer = client.post("/api/chat", json={"message": "Hello", "stream": stream})
            assert answer.status_code == 503 and answer.headers["retry-after"]
            assert len(client.get(f"/api/sessions/{answer.json()['session']['id']}").json()["messages"]) == 1
        assert client.get("/api/models").status_code == 503
        model.up()
        retried = client.post(f"/api/sessions/{answer.json()['session']['id']}/retry", json={"stream": False})
        assert retried.status_code == 200 and retried.json()["session"]["model"] == "standin:latest"


@pytest.mark.parametrize("name", ["broken", "failing"])
def test_a_model_that_fails_in_the_middle(gateway: Running, model: Model, name: str) -> None:
    model.standin.ms = 200 if name == "broken" else 5  # what has come when a connection breaks may be lost with it
    got = gateway.ask(model=f"{name}:latest")
    assert [event.name for event in got] == ["session", "token", "token", "token", "error"]
    assert got[-1].data["code"] == "model_unavailable" and got[-1].data["retry_after"] > 0
    with gateway.client() as client:
        kept = client.get(f"/api/sessions/{got[0].data['session']['id']}").json()["messages"]
        assert kept[1]["content"] == "This is the" and kept[1]["finish_reason"] == "error"
        assert client.post(
            "/api/chat", json={"message": "x", "model": f"{name}:latest", "stream": False}
        ).status_code in (200, 503)


def test_an_unknown_model(gateway: Running) -> None:
    with gateway.client() as client:
        answer = client.post("/api/chat", json={"message": "x", "model": "nonsense"})
    assert answer.status_code == 404 and answer.json()["error"]["code"] == "model_not_found"


def test_only_the_models_of_the_list(start: Start) -> None:
    gateway = start(MODELS="standin:latest", MODEL_NOTICE="A stand-in.")
    with gateway.client() as client:
        listed = client.get("/api/models").json()
        assert listed["models"] == [{"id": "standin:latest", "name": "standin"}] and listed["notice"] == "A stand-in."
        assert client.post("/api/chat", json={"message": "x", "model": "silent:latest"}).status_code == 404


def test_a_client_that_goes_away_stops_the_inference(gateway: Running, model: Model) -> None:
    with gateway.client() as client:
        for path in ("/api/chat", "/v1/chat/completions"):
            body = {"message": "x", "model": "silent:latest"}
            if path.startswith("/v1"):
                body = {"model": "silent:latest", "messages": [{"role": "user", "content": "x"}], "stream": True}  # type: ignore[dict-item]
            with client.stream("POST", path, json=body) as answer:
                lines = answer.iter_lines()
                while "stand-in" not in next(lines):
                    pass
                assert model.standin.running == 1
            until(lambda: model.standin.running == 0, 10, "the end of the inference")
        until(lambda: len(kept(client)) == 2, 10, "the stored answer")
        message = kept(client)[1]
        assert message["finish_reason"] == "stopped" and message["content"].startswith("This is the stand-in")


def test_a_client_that_goes_away_while_the_model_loads_or_without_a_stream(gateway: Running, model: Model) -> None:
    model.standin.loading_seconds = 60
    for body in (
        {"message": "x", "model": "loading:latest"},
        {"message": "x", "model": "loading:latest", "stream": False},
    ):
        with gateway.client() as client, pytest.raises(httpx.ReadTimeout):
            client.post("/api/chat", json=body, timeout=1)
        until(lambda: model.standin.running == 0, 10, "the end of the inference")
    with gateway.client() as client:
        assert [m["role"] for m in kept(client)] == ["user"]


def test_a_client_that_does_not_read_counts_as_gone(start: Start, model: Model) -> None:
    gateway = start(HEARTBEAT_SECONDS="1", STALL_SECONDS="1")
    model.standin.ms = 0
    body = json.dumps({"message": "x", "model": "silent:latest"}).encode()
    port = int(gateway.url.rpartition(":")[2])
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(("127.0.0.1", port))
        head = f"POST /api/chat HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {gateway.issuer.token()}\r\n"
        head += f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        client.sendall(head.encode() + body)
        until(lambda: model.standin.running == 1, 20, "the inference")
        until(lambda: model.standin.running == 0, 90, "its end")
        with gateway.client() as reader:
            until(lambda: len(kept(reader)) == 2, 20, "the stored answer")
            assert kept(reader)[1]["finish_reason"] == "stopped"


def test_the_model_is_asked_while_the_message_is_stored_and_heard_when_it_is(gateway: Running, model: Model) -> None:
    session = gateway.ask("First")[0].data["session"]["id"]
    body = {"message": "Second", "session_id": session, "model": "silent:latest"}
    with psycopg.connect(gateway.database) as other, gateway.client() as client, ThreadPoolExecutor(1) as beside:
        other.execute("SELECT id FROM sessions WHERE id = %s FOR UPDATE", [session])
        asked = beside.submit(client.send, client.build_request("POST", "/api/chat", json=body), stream=True)
        until(lambda: model.standin.running == 1, 10, "the inference")
        assert [turn["content"] for turn in model.standin.asked[-1]["messages"]][::2] == ["First", "Second"]
        assert not wait([asked], timeout=1).done  # it has been saying things for a while
        other.rollback()
        answer = asked.result(10)
        got = events(answer.iter_lines())
        assert [next(got).name for _ in range(2)] == ["session", "token"]
        answer.close()
    with gateway.client() as client:
        until(lambda: len(kept(client)) == 4, 10, "the stored answer")


def kept(client: httpx.Client) -> list[dict[str, str]]:
    session = client.get("/api/sessions").json()["sessions"][0]["id"]
    return list(client.get(f"/api/sessions/{session}").json()["messages"])


def test_a_model_that_loads_is_waited_for_with_signs_of_life(start: Start, model: Model) -> None:
    gateway = start(FIRST_BYTE_SECONDS="0", HEARTBEAT_SECONDS="1")
    model.standin.loading_seconds = 2.5
    with (
        gateway.client() as client,
        client.stream("POST", "/api/chat", json={"message": "x", "model": "loading:latest"}) as answer,
    ):
        lines = list(answer.iter_lines())
    assert lines[0] == "event: session" and lines.count(":") >= 2
    assert [event.name for event in events(iter(lines))][-1] == "done"


def test_retry_replaces_the_last_answer_and_only_when_there_is_another(gateway: Running, model: Model) -> None:
    first = gateway.ask("One")
    session = first[0].data["session"]["id"]
    path = f"/api/sessions/{session}"
    with gateway.client() as client:
        with client.stream("POST", f"{path}/retry") as answer:
            got = list(events(answer.iter_lines()))
        assert got[0].data["user_message"] == first[0].data["user_message"]
        messages = client.get(path).json()["messages"]
        assert [m["role"] for m in messages] == ["user", "assistant"]
        assert messages[1]["id"] == got[-1].data["message"]["id"] != first[-1].data["message"]["id"]
        assert [turn["content"] for turn in model.standin.asked[-1]["messages"]] == ["One"]
        model.down()
        assert client.post(f"{path}/retry").status_code == 503
        assert client.get(path).json()["messages"] == messages


def test_a_session_deleted_while_it_is_answered(gateway: Running, model: Model) -> None:
    model.standin.ms = 100
    with gateway.client() as client, client.stream("POST", "/api/chat", json={"message": "x"}) as answer:
        got = events(answer.iter_lines())
        assert client.delete(f"/api/sessions/{next(got).data['session']['id']}").status_code == 204
        assert list(got)[-1].data["code"] == "session_not_found"


def test_too_long_an_answer_is_cut(start: Start, model: Model) -> None:
    gateway = start(STREAM_SECONDS="1", HEARTBEAT_SECONDS="1")
    got = gateway.ask(model="silent:latest")
    assert got[-1].name == "done" and got[-1].data["message"]["finish_reason"] == "length"
    assert model.standin.running == 0


def test_many_chats_at_once_are_all_stored_each_once(gateway: Running, model: Model, postgres: object) -> None:
    with ThreadPoolExecutor(24) as pool:
        done = list(pool.map(lambda n: gateway.ask(f"Q{n}", user=f"u{n % 12}"), range(96)))
    assert all(got[-1].name == "done" for got in done)
    stored = postgres.sql(  # type: ignore[attr-defined]
        gateway.database.rpartition("/")[2],
        "SELECT role, count(*), count(DISTINCT m.id) FROM messages m JOIN sessions s ON s.id = m.session_id "
        f"WHERE s.owner LIKE '{gateway.users}%' GROUP BY role",
    )
    assert sorted(stored) == [("assistant", 96, 96), ("user", 96, 96)]


def test_logs_hold_ids_and_no_words(gateway: Running) -> None:
    with gateway.client() as client:
        client.post(
            "/api/chat",
            json={"message": "a very secret question", "stream": False},
            headers={"x-request-id": "request-0001"},
        )
        client.get("/api/sessions", params={"query": "a very secret search"})
        token = client.headers["authorization"].partition(" ")[2]
    text = gateway.log.read_text()
    line = next(line for line in gateway.lines() if line["request_id"] == "request-0001")
    assert line["request_id"] == "request-0001" and line["status"] == 200 and line["user"] == f"{gateway.users}ada"
    for secret in ("secret", "stand-in", token):
        assert secret not in text


def test_metrics(start: Start) -> None:
    gateway = start()
    gateway.ask()
    text = httpx.get(f"{gateway.url}/metrics", trust_env=False).text
    for line in (
        'gateway_requests_total{method="POST",route="/api/chat",status="200"} 1.0',
        'gateway_tokens_total{kind="completion",model="standin:latest"} 8.0',
        'gateway_answers_total{finish="stop"} 1.0',
        "gateway_streams_open 0.0",
        "gateway_first_token_seconds_count 1.0",
    ):
        assert line in text, text


def test_wrong_input(gateway: Running) -> None:
    with gateway.client() as client:
        for body, status in (
            ({"message": ""}, 422),
            ({"message": "a\x00b"}, 422),
            ({"message": "x", "session_id": "7"}, 422),
            ({"message": "x", "sesion_id": None}, 422),
            ({"message": "x" * 5_000_000}, 413),
        ):
            answer = client.post("/api/chat", json=body)
            assert answer.status_code == status, answer.text
            assert answer.json()["error"]["request_id"] == answer.headers["x-request-id"]
        bad = client.post("/api/chat", content=b"{", headers={"content-type": "application/json"})
        assert bad.status_code == 400
        assert client.post("/api/chat", content=b"x=1").status_code == 415
        assert client.put("/api/chat").headers["allow"] == "POST"
        surrogate = client.post(
            "/api/chat",
            content=json.dumps({"message": "\ud800"}).encode(),
            headers={"content-type": "application/json"},
        )
        assert surrogate.status_code == 400
