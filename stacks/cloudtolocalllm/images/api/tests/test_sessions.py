"""Sessions: begun, told of, ended."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any

import httpx
import pytest
from conftest import ORIGIN, Running, Start
from standin import Manager
from world import until


def test_one_session_a_user(api: Running, everyones: Manager) -> None:
    made = api.create(email="Ada.L@example.com")
    assert made["name"].startswith("ada-l-") and len(made["sessionId"]) == 26
    assert made["endpoint"] == f"https://{made['name']}.users.cloud.example"
    again = api.create(email="another@example.com")
    assert (again["sessionId"], again["name"]) == (made["sessionId"], made["name"]), "a name is kept"
    assert everyones.live[made["sessionId"]]["name"] == made["name"]
    (told,) = api.sessions()
    assert told["sessionId"] == made["sessionId"] and told["live"] and told["ended"] is None and told["reason"] is None
    assert (told["endpoint"], told["bytesIn"], told["desktop"]) == (made["endpoint"], 0, False)


def test_people_who_share_a_local_part_have_names_of_their_own(api: Running) -> None:
    ours = [api.create(user, email=f"ada@{user}.example") for user in ("one", "two", "three")]
    assert len({made["name"] for made in ours}) == len({made["sessionId"] for made in ours}) == 3
    assert all(made["name"].startswith("ada-") for made in ours)


def test_a_name_that_somebody_has_is_not_given_again(start: Start, manager: Manager, postgres: Any) -> None:
    api = start()
    first = api.create(email="ada@example.com")["name"]
    database = api.database.rpartition("/")[2]
    # as if another user's hash began with the same letters
    postgres.sql(database, "UPDATE users SET subject = 'somebody else'")
    manager.live.clear()
    second = api.create(email="ada@example.com")["name"]
    assert second != first and second.startswith("ada-")
    assert postgres.sql(database, "SELECT count(*) FROM users") == [(2,)]


def test_concurrent_creates_of_one_user(start: Start, manager: Manager) -> None:
    api = start()
    other = start(DATABASE_URL=api.database)
    manager.busy = 0.5
    with ThreadPoolExecutor(16) as pool:
        made = list(pool.map(lambda n: (api, other)[n % 2].create(), range(16)))
    assert len({(one["sessionId"], one["name"]) for one in made}) == 1
    assert len({one["token"] for one in made}) == 16
    assert len(api.sessions()) == len(manager.live) == 1
    assert sum(one.metric("streaming_sessions_created_total") for one in (api, other)) == 1


def test_sessions_of_others_are_not_there(api: Running) -> None:
    session = api.create("ada")["sessionId"]
    with api.client("eve", role="admin") as eve:
        for method, path, body in (
            ("POST", "/token", {"role": "client"}), ("PUT", "/tunnel", {"url": None}), ("DELETE", "", None),
        ):  # fmt: skip
            theirs = eve.request(method, f"/streaming/{session}{path}", json=body)
            nobodys = eve.request(method, f"/streaming/{'a' * 26}{path}", json=body)
            assert theirs.status_code == nobodys.status_code == 404
            assert theirs.json()["error"]["code"] == nobodys.json()["error"]["code"] == "session_not_found"
        assert eve.get("/streaming/sessions").json()["sessions"] == []
    assert api.sessions("ada")[0]["live"]


@pytest.mark.parametrize("session", ["x", "a%00b", "A" * 26, "a" * 27, "..%2fadmin", "%F0%9F%98%80"])
def test_what_can_be_no_session(api: Running, session: str) -> None:
    with api.client() as client:
        assert client.delete(f"/streaming/{session}").status_code == 404


def test_ending(api: Running, everyones: Manager) -> None:
    session = api.create()["sessionId"]
    everyones.count(session, 700, 9000)
    with api.client() as client:
        assert client.delete(f"/streaming/{session}").status_code == 204
        assert client.delete(f"/streaming/{session}").status_code == 204, "it is over, as was wanted"
        assert client.post(f"/streaming/{session}/token", json={"role": "client"}).status_code == 404
        assert client.put(f"/streaming/{session}/tunnel", json={"url": None}).status_code == 404
    (told,) = api.sessions()
    assert (told["live"], told["reason"], told["bytesIn"], told["bytesOut"]) == (False, "asked", 700, 9000)
    assert told["ended"] and not told["desktop"] and told["seconds"] >= 0
    assert session not in everyones.live
    assert api.create()["sessionId"] != session
    assert sorted(one["live"] for one in api.sessions()) == [False, True]


def test_ending_what_the_manager_does_not_have(api: Running, everyones: Manager) -> None:
    session = api.create()["sessionId"]
    everyones.end(session, "idle")
    with api.client() as client:
        assert client.delete(f"/streaming/{session}").status_code == 204
    # why it ended is known when the manager was asked
    until(lambda: api.sessions()[0]["reason"] == "idle", 20, "the reason")


def test_a_tunnel_for_when_the_proxy_is_out_of_reach(api: Running) -> None:
    session = api.create()["sessionId"]
    address = "https://abc-1.ngrok-free.example"
    with api.client() as client:
        for url in (address, None, address):
            assert client.put(f"/streaming/{session}/tunnel", json={"url": url}).status_code == 204
            assert api.sessions()[0]["tunnel"] == url
        for wrong in ("http://plain.example", "https://", "javascript:alert(1)", "https://x.example/ y", 5):
            assert client.put(f"/streaming/{session}/tunnel", json={"url": wrong}).status_code == 422, wrong
        client.delete(f"/streaming/{session}")
    assert api.sessions()[0]["tunnel"] is None


def test_pages(api: Running, everyones: Manager) -> None:
    made: list[str] = []
    for _ in range(5):
        made.append(api.create()["sessionId"])
        everyones.end(made[-1], "idle")
    live = api.create()["sessionId"]
    with api.client() as client:
        found: list[str] = []
        cursor: str | None = ""
        while cursor is not None:
            page = client.get("/streaming/sessions", params={"limit": "2", "cursor": cursor}).json()
            found += [one["sessionId"] for one in page["sessions"]]
            cursor = page["next"]
        assert sorted(found) == sorted([*made, live])
        # sessions began within one second, so that only the id tells them apart
        only = client.get("/streaming/sessions", params={"live": "true"}).json()["sessions"]
        assert [one["sessionId"] for one in only] == [live]
        assert client.get("/streaming/sessions", params={"cursor": "9" * 16 + "." + "a" * 26}).status_code in (200, 422)
        assert client.get("/streaming/sessions", params={"limit": 0}).status_code == 422


def test_everybodys_sessions_for_admins(api: Running) -> None:
    mine, theirs = api.create("ada"), api.create("bob")
    with api.client("root", role="admin") as admin:
        told = {one["sessionId"]: one for one in admin.get("/admin/streaming/sessions?live=true").json()["sessions"]}
    assert told[mine["sessionId"]]["user"] == f"{api.users}ada"
    assert told[theirs["sessionId"]]["user"] == f"{api.users}bob"
    assert "token" not in json.dumps(list(told.values()))


def test_creating_is_limited(start: Start) -> None:
    api = start(CREATES_PER_MINUTE="3")
    with api.client() as client:
        answers = [client.post("/streaming/create") for _ in range(5)]
        assert [answer.status_code for answer in answers] == [200, 200, 200, 429, 429]
        assert [answer.headers["ratelimit-remaining"] for answer in answers[:3]] == ["2", "1", "0"]
        assert 1 <= int(answers[3].headers["retry-after"]) <= 21
        assert answers[3].json()["error"]["code"] == "rate_limited"
        assert client.get("/streaming/sessions").status_code == 200, "what is asked for is counted by itself"
    assert api.create("bob")


def test_only_the_portal_may_read(api: Running) -> None:
    asked = {"access-control-request-method": "POST", "access-control-request-headers": "authorization,content-type"}
    with httpx.Client(base_url=api.url, trust_env=False) as client:
        good = client.options("/api/streaming/create", headers={"origin": ORIGIN, **asked})
        assert good.status_code == 200 and good.headers["access-control-allow-origin"] == ORIGIN
        assert "access-control-allow-credentials" not in good.headers
        for origin in ("https://evil.example", "https://x.cloud.example", "http://cloud.example", "null"):
            bad = client.options("/api/streaming/create", headers={"origin": origin, **asked})
            assert "access-control-allow-origin" not in bad.headers
            assert "access-control-allow-origin" not in client.get("/readyz", headers={"origin": origin}).headers
        refused = client.get("/api/streaming/sessions", headers={"origin": ORIGIN})
        assert refused.status_code == 401 and refused.headers["access-control-allow-origin"] == ORIGIN


def test_logs_say_who_and_what_and_hold_no_token(api: Running) -> None:
    with api.client() as client:
        answer = client.post("/streaming/create", headers={"x-request-id": f"{api.users}0123456789"})
    assert answer.headers["x-request-id"] == f"{api.users}0123456789"
    lines = [line for line in api.lines() if line["request_id"] == f"{api.users}0123456789"]
    assert {line["message"] for line in lines} == {"session begun", "request"}
    asked = next(line for line in lines if line["message"] == "request")
    assert (asked["path"], asked["status"], asked["user"]) == ("/api/streaming/create", 200, f"{api.users}ada")
    log = api.log.read_text()
    assert answer.json()["token"] not in log and answer.request.headers["authorization"][7:] not in log


def test_times_are_told_as_others_read_them(api: Running) -> None:
    api.create()
    (told,) = api.sessions()
    assert datetime.fromisoformat(told["started"]).tzinfo is not None
