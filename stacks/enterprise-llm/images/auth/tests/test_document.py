"""users.json under many hands: several processes, a kill in the middle, a full disk."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import msgspec
import pytest
from auth.document import Document
from conftest import ADMIN, Running, Start

from webservice.web import Problem


class Count(msgspec.Struct):
    by: dict[str, int] = {}


COUNTING = """
import asyncio, sys
from pathlib import Path
import msgspec
from auth.document import Document

class Count(msgspec.Struct):
    by: dict[str, int] = {}

def edit(count):
    for key in (sys.argv[2], "all"):
        count.by[key] = count.by.get(key, 0) + 1

async def main():
    document = Document(Path(sys.argv[1]), Count)
    for _ in range(20):
        await asyncio.gather(*(document.change(edit) for _ in range(5)))
        print("acknowledged", flush=True)

asyncio.run(main())
"""


def test_processes_and_tasks_lose_no_change(tmp_path: Path) -> None:
    path = tmp_path / "count.json"
    source = str(Path(__file__).parents[1] / "src")
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", COUNTING, str(path), str(n)],
            env={"PYTHONPATH": source, "PYTHONDONTWRITEBYTECODE": "1"},
            stdout=subprocess.PIPE,
        )
        for n in range(4)
    ]
    while any(worker.poll() is None for worker in workers):
        if path.exists():
            json.loads(path.read_text())  # whole at every moment
    assert [worker.wait() for worker in workers] == [0] * 4
    for worker in workers:
        assert worker.stdout is not None
        worker.stdout.close()
    assert json.loads(path.read_text())["by"] == {"all": 400, "0": 100, "1": 100, "2": 100, "3": 100}
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_killed_writer_loses_nothing_acknowledged_and_leaves_the_lock(tmp_path: Path) -> None:
    path = tmp_path / "count.json"
    source = str(Path(__file__).parents[1] / "src")
    for n in range(5):
        worker = subprocess.Popen(
            [sys.executable, "-c", COUNTING, str(path), str(n)],
            env={"PYTHONPATH": source, "PYTHONDONTWRITEBYTECODE": "1"},
            stdout=subprocess.PIPE,
        )
        assert worker.stdout is not None
        seen = 0
        while seen < 3 + n:
            assert worker.stdout.readline()
            seen += 1
        worker.kill()
        seen += worker.stdout.read().count(b"acknowledged")
        worker.wait()
        worker.stdout.close()
        assert json.loads(path.read_text())["by"][str(n)] >= seen * 5
    asyncio.run(Document(path, Count).change(lambda count: count.by.update(after=1)))
    assert json.loads(path.read_text())["by"]["after"] == 1


def test_a_refused_edit_does_not_touch_the_others(tmp_path: Path) -> None:
    document = Document(tmp_path / "count.json", Count)

    def refuse(_count: Count) -> None:
        raise Problem(409, "no", "No.")

    async def both() -> list[object]:
        good = (document.change(lambda count, n=n: count.by.update({str(n): n})) for n in range(3))  # type: ignore[misc]
        return list(await asyncio.gather(*good, document.change(refuse), return_exceptions=True))

    results = asyncio.run(both())
    assert isinstance(results[-1], Problem) and results[:3] == [None] * 3
    assert document.read().by == {"0": 0, "1": 1, "2": 2}


def test_a_full_disk_is_said_and_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "count.json"
    document = Document(path, Count)
    asyncio.run(document.change(lambda count: count.by.update(a=1)))
    # a limit on the size of files is what a process without a disk of its own can have
    script = (
        "import asyncio, resource, signal, sys\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))\n"
        + COUNTING.partition("async def main")[0]
        + "from webservice.web import Problem\n"
        "try:\n"
        "    asyncio.run(Document(Path(sys.argv[1]), Count).change(lambda c: c.by.update({'x' * 999: 1})))\n"
        "except Problem as problem:\n"
        "    sys.exit(f'{problem.status} {problem.code}')\n"
    )
    source = str(Path(__file__).parents[1] / "src")
    ran = subprocess.run(
        [sys.executable, "-c", script, str(path), "0"],
        env={"PYTHONPATH": source, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
    )
    assert ran.stderr.strip() == "503 storage_unavailable"
    assert document.read().by == {"a": 1} and not list(tmp_path.glob(".count*"))


def test_a_damaged_file_is_said_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "count.json"
    path.write_text('{"by": {"a"')
    document = Document(path, Count)
    with pytest.raises(Problem) as caught:
        asyncio.run(document.change(lambda count: count.by.clear()))
    assert caught.value.code == "storage_damaged" and path.read_text() == '{"by": {"a"'


def test_two_services_on_one_folder_serve_concurrent_requests_and_survive_a_kill(start: Start) -> None:
    settings = {"REGISTRATION_DOMAINS": "example.com", "LOGIN_ATTEMPTS_ADDRESS": "1000", "DRAIN_SECONDS": "5"}
    one = start(**settings)
    two = start(data=one.data, **settings)
    acknowledged: list[str] = []
    stop = threading.Event()

    def register(worker: int) -> int:
        n = 0
        with (one if worker % 2 else two).client() as client:
            while not stop.is_set() and n < 40:
                n += 1
                email = f"user-{worker}-{n}@example.com"
                body = {"email": email, "password": "a-long-password", "name": "Somebody"}
                try:
                    if client.post("/auth/register", json=body).status_code == 201:
                        acknowledged.append(email)
                except httpx.TransportError:
                    return n
        return n

    with ThreadPoolExecutor(6) as pool:
        workers = [pool.submit(register, n) for n in range(6)]
        while len(acknowledged) < 12:
            time.sleep(0.05)
        one.stop(signal.SIGKILL)
        many = len(acknowledged)
        while len(acknowledged) < many + 6:
            time.sleep(0.05)
        stop.set()
        for worker in workers:
            worker.result()
    stored = {user["email"] for user in json.loads((two.data / "users.json").read_text())["users"].values()}
    assert set(acknowledged) <= stored
    again = start(data=one.data, **settings)
    for service in (again, two):
        assert set(acknowledged) <= emails(service)
    assert {key["kid"] for key in httpx.get(f"{two.url}/auth/jwks.json", trust_env=False).json()["keys"]} == {
        key["kid"] for key in httpx.get(f"{again.url}/auth/jwks.json", trust_env=False).json()["keys"]
    }


def test_several_first_boots_at_once_make_one_admin_and_one_key(start: Start, tmp_path: Path) -> None:
    data = tmp_path / "shared"
    data.mkdir()
    with ThreadPoolExecutor(3) as pool:
        services = list(pool.map(lambda _: start(data=data), range(3)))
    assert len(json.loads((data / "users.json").read_text())["users"]) == 1
    assert len(json.loads((data / "keys.json").read_text())["keys"]) == 1
    token = services[0].login()["access_token"]
    for service in services:
        assert httpx.get(
            f"{service.url}/auth/me", headers={"authorization": f"Bearer {token}"}, trust_env=False
        ).is_success
    assert ADMIN["password"] not in (data / "users.json").read_text()


def emails(service: Running) -> set[str]:
    found: set[str] = set()
    cursor: str | None = ""
    with service.client(headers={"authorization": f"Bearer {service.login()['access_token']}"}) as client:
        while cursor is not None:
            page = client.get("/auth/users", params={"limit": 200, "cursor": cursor}).json()
            found |= {user["email"] for user in page["users"]}
            cursor = page["next"]
    return found
