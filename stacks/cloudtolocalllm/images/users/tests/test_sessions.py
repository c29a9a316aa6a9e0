"""The manager's work on the real Docker engine, through the real HAProxy and a real nginx."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from ipaddress import ip_network
from typing import Any

import pytest
from users.app import Users
from users.metrics import Metrics
from users.settings import from_environment
from world import Running, Site, until

from webservice.web import Problem

ATTEMPTS = """
import socket, sys, threading
def attempt(host, port):
    try:
        socket.create_connection((host, port), 2)
        print(host, port)
    except OSError:
        pass
for given in sys.argv[1:]:
    host, _, port = given.partition(" ")
    threading.Thread(target=attempt, args=(host, int(port))).start()
"""


def reached(container: Any, *places: tuple[str, int]) -> set[tuple[str, int]]:
    """Where of these places a connection can be opened to from inside a container."""
    done = container.exec_run(["python3", "-c", ATTEMPTS, *(f"{host} {port}" for host, port in places)])
    assert done.exit_code == 0, done.output
    lines = (line.split() for line in done.output.decode().splitlines())
    return {(host, int(port)) for host, port in lines}


def first_host(network: Any) -> str:
    """The address that Docker gives to the host on it, if it gives one."""
    return str(next(ip_network(network.attrs["IPAM"]["Config"][0]["Subnet"]).hosts()))


def address(container: Any, network: str | None) -> str:
    container.reload()
    return str(container.attrs["NetworkSettings"]["Networks"][str(network)]["IPAddress"])


def test_a_session_from_its_beginning_to_its_end(site: Site, manager: Running) -> None:
    begun = manager.begin("ada-k3x9ab")
    assert len(begun["sessionId"]) == 26 and begun["name"] == "ada-k3x9ab" and abs(begun["created"] - time.time()) < 60
    given = site.container("ada-k3x9ab").attrs
    host = given["HostConfig"]
    assert host["ReadonlyRootfs"] and host["CapDrop"] == ["ALL"] and not host["CapAdd"] and not host["Privileged"]
    assert host["Memory"] == host["MemorySwap"] == 512 * 2**20
    assert host["NanoCpus"] == 5 * 10**8 and host["PidsLimit"] == 64
    assert host["SecurityOpt"] == ["no-new-privileges:true"] and host["RestartPolicy"]["Name"] == "unless-stopped"
    assert not given["Mounts"] and not host["Binds"]
    assert host["LogConfig"]["Config"] == {"max-size": "1m", "max-file": "2"}
    assert given["Config"]["User"] == "1001:1001"
    assert list(given["NetworkSettings"]["Networks"]) == [f"{site.stack}-user-{begun['sessionId']}"]
    labels = given["Config"]["Labels"]
    ours = {name.removeprefix(site.stack) for name in labels if name.startswith(site.stack)}
    assert ours == {".proxy", ".created"} and labels[f"{site.stack}.proxy"] == begun["sessionId"]
    assert 0 <= begun["created"] - int(labels[f"{site.stack}.created"]) < 30
    (network,) = site.networks()
    assert network.name == f"{site.stack}-user-{begun['sessionId']}" and network.attrs["Internal"]
    assert network.attrs["IPAM"]["Config"][0]["Subnet"].endswith("/28")
    over = manager.end(begun["sessionId"])
    assert over.status_code == 200
    told = over.json()
    assert told["reason"] == "asked" and told["counters"]["bytesOut"] == 2000 and told["ended"] >= begun["created"]
    assert not site.containers() and not site.networks()
    listed = manager.all()
    assert not listed["sessions"] and [one["sessionId"] for one in listed["ended"]] == [begun["sessionId"]]
    assert manager.end(begun["sessionId"]).status_code == 404


def test_a_users_session_is_given_again(site: Site, manager: Running) -> None:
    assert manager.begin("ada") == manager.begin("ada")
    assert len(site.containers()) == 1


def test_many_at_once_for_one_user_get_one_container(site: Site, manager: Running) -> None:
    with ThreadPoolExecutor(12) as pool:
        begun = list(pool.map(lambda _: manager.begin("ada"), range(12)))
    assert len({one["sessionId"] for one in begun}) == 1
    assert len(site.containers()) == len(site.networks()) == 1


def test_many_users_at_once(site: Site, manager: Running) -> None:
    names = [f"user-{number}" for number in range(20)]
    with ThreadPoolExecutor(20) as pool:
        begun = list(pool.map(manager.begin, names))
    assert len({one["sessionId"] for one in begun}) == 20
    assert len(site.containers()) == 20
    assert len({network.attrs["IPAM"]["Config"][0]["Subnet"] for network in site.networks()}) == 20
    with ThreadPoolExecutor(20) as pool:
        assert {over.status_code for over in pool.map(lambda one: manager.end(one["sessionId"]), begun)} == {200}
    assert not site.containers() and not site.networks()


def test_users_cannot_reach_each_other_nor_the_host(site: Site, manager: Running) -> None:
    manager.begin("ada")
    manager.begin("bob")
    ada, bob, nginx = site.container("ada"), site.container("bob"), site.engine.containers.get(f"{site.stack}-nginx-1")
    networks = {name: site.network_of(name) for name in ("ada", "bob")}
    its = address(bob, networks["bob"].name)
    # These can be opened, so that those below could be.
    own = (("127.0.0.1", 3001), (f"{site.stack}-proxy-ada", 3001), (address(nginx, networks["ada"].name), 8081))
    assert reached(ada, *own) == set(own)
    assert reached(bob, (its, 3001))
    bobs = [its, f"{site.stack}-proxy-bob"]
    bobs += [address(nginx, networks["bob"].name), address(nginx, site.front.name)]
    with socket.create_server(("0.0.0.0", 0)) as listening:
        port = listening.getsockname()[1]
        near = (*networks.values(), site.front, site.engine.networks.get("bridge"))
        hosts = [first_host(network) for network in near]
        socket.create_connection((hosts[-1], port), 2).close()  # the host listens there
        places = [(host, inner) for host in bobs for inner in (3001, 8081, 80)] + [(host, port) for host in hosts]
        assert reached(ada, *places) == set()


def test_what_nobody_uses_is_removed(site: Site) -> None:
    """The clock goes on by ten minutes and a second; a session that was used since stays."""

    async def pass_time() -> None:
        users = Users(from_environment(site.variables()), Metrics())
        ahead = 0.0
        users.sessions.now = lambda: time.time() + ahead
        async with users.running():
            while not users.adopted:
                await asyncio.sleep(0.05)
            first = await users.sessions.open("ada")
            watch = users.watch
            await watch.health()
            await watch.sweep()
            ahead = 590
            await watch.sweep()
            assert users.sessions.find(first.id), "too early"
            ahead = 601
            second = await users.sessions.open("bob")
            await watch.health()
            bob = users.sessions.find(second.id)
            assert bob and bob.counters
            bob.counters.last_activity += 601
            await watch.sweep()
            assert not users.sessions.find(first.id) and users.sessions.find(second.id)
            assert [(one.session, one.reason) for one in users.sessions.ended] == [(first, "idle")]
            assert b'users_sessions_ended_total{reason="idle"} 1.0' in users.metrics.text()

    asyncio.run(pass_time())
    assert [one.name for one in site.containers()] == [f"{site.stack}-proxy-bob"]
    assert [one.name for one in site.networks()] == [site.network_of("bob").name]


def test_who_was_used_while_it_was_looked_at_stays(site: Site) -> None:
    """The last look, with the name held, decides."""

    async def look() -> None:
        users = Users(from_environment(site.variables()), Metrics())
        async with users.running():
            while not users.adopted:
                await asyncio.sleep(0.05)
            session = await users.sessions.open("ada")
            await users.watch.health()
            live = users.sessions.find(session.id)
            assert live and live.counters
            live.counters.last_activity -= 700
            live.asked -= 700
            assert users.watch.idle(live)
            await users.watch.sweep()
            assert users.sessions.find(session.id)

    asyncio.run(look())


def test_a_manager_that_was_killed_finds_its_sessions_again(site: Site, manager: Running) -> None:
    ada, bob = manager.begin("ada"), manager.begin("bob")
    manager.kill()
    os.kill(site.container("bob").attrs["State"]["Pid"], signal.SIGKILL)
    site.container("bob").kill()
    again = site.start()
    assert {one["sessionId"] for one in again.all()["sessions"]} == {ada["sessionId"], bob["sessionId"]}
    assert again.begin("ada")["sessionId"] == ada["sessionId"]
    assert again.begin("bob")["sessionId"] == bob["sessionId"]
    assert again.end(ada["sessionId"]).status_code == again.end(bob["sessionId"]).status_code == 200
    assert not site.containers() and not site.networks()


@pytest.mark.parametrize("seed", range(9))
def test_a_manager_killed_at_any_moment_leaves_nothing(site: Site, seed: int) -> None:
    chance = random.Random(seed)
    ahead = str(seed % 3)
    manager = site.start(SPARES=ahead)
    staying = manager.begin("stay")
    ending = manager.begin("ends")

    def work() -> None:
        with ThreadPoolExecutor(5) as pool:
            for name in ("a", "b", "c", "d"):
                pool.submit(manager.put, name)
            pool.submit(manager.end, ending["sessionId"])

    working = threading.Thread(target=work)
    working.start()
    time.sleep(chance.uniform(0.02, 2.5))
    manager.kill()
    working.join()
    again = site.start(SWEEP_SECONDS="1", SPARES=ahead)
    listed = {one["name"]: one["sessionId"] for one in again.all()["sessions"]}
    assert listed["stay"] == staying["sessionId"]

    def settled() -> bool:
        there = site.containers()
        spare = spares(site)
        names = {f"{site.stack}-proxy-{name}" for name in listed} | {one.name for one in spare.values()}
        networks = {f"{site.stack}-user-{session}" for session in (*listed.values(), *spare)}
        return (
            {one.name for one in there} == names
            and all(one.status == "running" for one in there)
            and {one.name for one in site.networks()} == networks
            and len(spare) == seed % 3
        )

    until(settled, f"only what is listed: {sorted(listed)}", 15)
    for name in ("a", "b", "c", "d"):
        again.begin(name)


def test_what_a_crash_left_is_swept(site: Site) -> None:
    """A network without a container, a container that was never started; what is not ours stays."""
    label = {f"{site.stack}.proxy": "a" * 26}
    site.engine.networks.create(f"{site.stack}-user-{'a' * 26}", labels=label, internal=True)
    half = {f"{site.stack}.proxy": "b" * 26, f"{site.stack}.created": "1"}
    site.engine.containers.create(site.proxy_image, name=f"{site.stack}-spare-{'b' * 26}", labels=half)
    site.engine.containers.create(site.proxy_image, name=f"{site.stack}-proxy-half", labels=half)
    manager = site.start(SWEEP_SECONDS="1")
    assert not site.containers() and not site.networks()
    site.engine.networks.create(f"{site.stack}-user-{'c' * 26}", labels=label, internal=True)
    until(lambda: not site.networks(), "the sweep", 20)
    assert site.front.name in {one.name for one in site.engine.networks.list()}
    assert manager.all()["sessions"] == []


def test_what_is_left_under_a_name_is_in_nobodys_way(site: Site, manager: Running) -> None:
    label = {f"{site.stack}.proxy": "a" * 26, f"{site.stack}.created": "1"}
    site.engine.containers.create(site.proxy_image, name=f"{site.stack}-proxy-ada", labels=label)
    manager.begin("ada")
    assert len(site.containers()) == len(site.networks()) == 1
    assert site.container("ada").status == "running"


def test_nginx_is_joined_again_after_it_was_made_anew(site: Site) -> None:
    manager = site.start(DOOR_SECONDS="1")
    begun = manager.begin("ada")
    site.engine.containers.get(f"{site.stack}-nginx-1").remove(force=True)
    door = site.open_door()

    def joined() -> bool:
        door.reload()
        return f"{site.stack}-user-{begun['sessionId']}" in door.attrs["NetworkSettings"]["Networks"]

    until(joined, "nginx on the user's network", 20)
    assert manager.begin("ada") == begun, "and asked through it, the proxy answers"


def test_a_killed_proxy_comes_back_as_the_same_session(site: Site) -> None:
    manager = site.start(SWEEP_SECONDS="1")
    begun = manager.begin("ada")
    before = site.container("ada").attrs["State"]["StartedAt"]
    os.kill(site.container("ada").attrs["State"]["Pid"], signal.SIGKILL)  # as the kernel does when memory is out
    until(lambda: site.container("ada").attrs["State"]["StartedAt"] != before, "Docker starts it again", 20)
    assert manager.begin("ada") == begun
    site.container("ada").kill()  # after which Docker leaves it alone
    until(lambda: site.container("ada").status == "running", "the manager starts it again", 20)
    assert manager.begin("ada") == begun


def test_a_container_that_somebody_removed_is_a_session_that_has_ended(site: Site) -> None:
    manager = site.start(SWEEP_SECONDS="1")
    begun = manager.begin("ada")
    site.container("ada").remove(force=True)
    until(lambda: not site.networks(), "its network goes with it", 20)
    until(lambda: manager.session("ada") is None, "the session has ended", 5)
    (over,) = manager.all()["ended"]
    assert (over["sessionId"], over["reason"]) == (begun["sessionId"], "lost")
    assert manager.begin("ada")["sessionId"] != begun["sessionId"]


def test_a_proxy_that_does_not_answer_is_started_again(site: Site) -> None:
    manager = site.start(HEALTH_SECONDS="1")
    begun = manager.begin("ada")
    pid = site.container("ada").attrs["State"]["Pid"]
    os.kill(pid, signal.SIGSTOP)
    until(lambda: site.container("ada").attrs["State"]["Pid"] not in (0, pid), "another process", 60)
    assert manager.begin("ada") == begun
    until(lambda: (manager.session("ada") or {}).get("healthy"), "it is healthy", 20)
    with manager.client() as client:
        assert 'users_restarts_total{why="silent"} 1.0' in client.get("/metrics").text


def test_without_docker_it_says_so_and_goes_on_when_it_is_back(site: Site, manager: Running) -> None:
    begun = manager.begin("ada")
    site.close_docker()
    answer = manager.put("bob")
    assert answer.status_code == 503 and answer.json()["error"]["code"] == "not_started"
    later = site.start(wait=False)
    until(lambda: later.log.read_text().count("not ready"), "it waits", 20)
    assert not later.ready()
    later.kill()
    site.open_docker()
    manager.begin("bob")
    assert manager.begin("ada") == begun


def test_what_is_wanted_has_to_be_a_name(manager: Running) -> None:
    with manager.client() as client:
        for wrong in ("A", "", "a/../b", "a\n", "a" * 41):
            assert client.put("/sessions", json={"name": wrong}).status_code == 422, wrong
        assert client.put("/sessions", json={"name": "a", "more": 1}).status_code == 422
        client.headers["authorization"] = "Bearer wrong"
        assert client.put("/sessions", json={"name": "a"}).status_code == 401
        assert client.get("/sessions").status_code == client.delete("/sessions/x").status_code == 401


def test_prometheus_is_told_of_each_proxy(site: Site) -> None:
    manager = site.start(HEALTH_SECONDS="1")
    manager.begin("ada")
    told = {
        'users_proxy_latency_seconds{proxy="ada",quantile="0.95"} 0.002',
        'users_proxy_out_bytes_total{proxy="ada"} 2000.0', 'users_proxy_clients{proxy="ada"} 2.0', "users_sessions 1.0",
        'users_health_checks_total{result="ok"}', "users_start_seconds_count 1.0",
        'users_docker_seconds_count{call="start"} 1.0', 'users_docker_seconds_count{call="rename"} 1.0',
    }  # fmt: skip

    def text() -> str:
        with manager.client() as client:
            return client.get("/metrics").text

    until(lambda: all(line in text() for line in told), "all figures", 20)
    raw = site.container("ada").stats(stream=False)
    lines = dict(line.rsplit(" ", 1) for line in text().splitlines() if line.startswith("users_proxy_"))
    names = ("cpu_seconds_total", "memory_bytes", "received_bytes_total")
    usage = [f'users_proxy_{name}{{proxy="ada"}}' for name in names]
    if raw["memory_stats"]:
        assert all(float(lines[name]) > 0 for name in usage) and float(lines[usage[1]]) < 512 * 2**20
    else:  # an engine without figures: then there are none, and no zeros
        assert not set(usage) & set(lines)


# --- sessions that are begun ahead of time --------------------------------------------------------------------------


def spares(site: Site) -> dict[str, Any]:
    """Running ones, by the ids of their sessions."""
    found = (one for one in site.containers() if one.name.startswith(f"{site.stack}-spare-"))
    return {one.name.removeprefix(f"{site.stack}-spare-"): one for one in found if one.status == "running"}


def test_a_session_that_was_begun_ahead_of_time_becomes_somebodys(site: Site) -> None:
    manager = site.start(SPARES="2")
    until(lambda: len(spares(site)) == 2, "two of them", 20)
    ahead = spares(site)
    assert manager.all()["sessions"] == [], "they are nobody's"
    begun = manager.begin("ada")
    assert begun["sessionId"] in ahead and site.container("ada").id == ahead[begun["sessionId"]].id
    until(lambda: len(spares(site)) == 2, "another in its place", 20)
    assert len(site.containers()) == len(site.networks()) == 3
    with manager.client() as client:
        assert "users_spares 2.0" in client.get("/metrics").text
    assert manager.end(begun["sessionId"]).status_code == 200
    assert {one.name for one in site.networks()} == {f"{site.stack}-user-{session}" for session in spares(site)}


def test_more_people_than_spares(site: Site) -> None:
    manager = site.start(SPARES="3")
    until(lambda: len(spares(site)) == 3, "three of them", 20)
    with ThreadPoolExecutor(6) as pool:
        begun = list(pool.map(manager.begin, [f"user-{number}" for number in range(6)]))
    assert len({one["sessionId"] for one in begun}) == 6
    assert len({site.network_of(one["name"]).id for one in begun}) == 6


def test_nobody_reaches_a_spare_one_and_it_reaches_nobody(site: Site) -> None:
    manager = site.start(SPARES="1")
    until(lambda: len(spares(site)) == 1, "one of them", 20)
    (spare,) = spares(site).values()
    manager.begin("ada")
    until(lambda: len(spares(site)) == 1, "another one", 20)
    (other,) = spares(site).values()
    (network,) = (name for name in other.attrs["NetworkSettings"]["Networks"])
    ada = site.container("ada")
    assert ada.id == spare.id
    until(lambda: reached(other, (address(other, network), 3001)), "it listens", 20)
    assert reached(ada, (address(other, network), 3001)) == set()
    assert reached(other, (address(ada, site.network_of("ada").name), 3001)) == set()


def test_a_new_manager_makes_spares_of_its_own(site: Site) -> None:
    """They have the settings of the process that made them; sessions stay as they are."""
    manager = site.start(SPARES="2")
    until(lambda: len(spares(site)) == 2, "two of them", 20)
    begun = manager.begin("ada")
    until(lambda: len(spares(site)) == 2, "two of them", 20)
    before = set(spares(site))
    manager.kill()
    again = site.start(SPARES="1")
    assert not before & set(spares(site))
    until(lambda: len(spares(site)) == 1, "one of its own", 20)
    assert again.begin("ada")["sessionId"] == begun["sessionId"]
    assert len(site.containers()) == len(site.networks()) == 2


def test_a_spare_one_that_somebody_removed_is_in_nobodys_way(site: Site) -> None:
    manager = site.start(SPARES="1", SWEEP_SECONDS="600")
    until(lambda: len(spares(site)) == 1, "one of them", 20)
    for container in spares(site).values():
        container.remove(force=True)
    manager.begin("ada")
    until(lambda: len(site.networks()) == len(site.containers()), "nothing of it is left", 20)


def test_a_spare_one_that_has_stopped_is_replaced(site: Site) -> None:
    site.start(SPARES="1", SWEEP_SECONDS="1")
    until(lambda: len(spares(site)) == 1, "one of them", 20)
    before = spares(site)
    for container in before.values():
        container.kill()
    until(lambda: len(spares(site)) == 1 and not before.keys() & spares(site).keys(), "another one", 20)
    until(lambda: len(site.containers()) == len(site.networks()) == 1, "the stopped one is gone", 20)


def test_a_spare_one_that_has_stopped_is_started_for_who_gets_it(site: Site) -> None:
    manager = site.start(SPARES="1", SWEEP_SECONDS="600")
    until(lambda: len(spares(site)) == 1, "one of them", 20)
    ((session, container),) = spares(site).items()
    container.kill()
    assert manager.begin("ada")["sessionId"] == session


def test_without_docker_no_address_is_lost(site: Site) -> None:
    """What was never made takes no subnet, however often it was tried."""

    async def fail() -> None:
        users = Users(from_environment(site.variables()), Metrics())
        async with users.running():
            while not users.adopted:
                await asyncio.sleep(0.05)
            site.close_docker()
            for _ in range(3):
                with pytest.raises(Problem):
                    await users.sessions.open("ada")
            site.open_docker()
            await users.sessions.adopt()
            await users.sessions.open("bob")
            assert len(users.sessions.stock._taken) == 1

    asyncio.run(fail())


def test_who_gets_a_session_that_waited_long_has_all_of_the_time(site: Site) -> None:
    """A proxy's own clock began when it did; nobody is sent away for what was before."""

    async def wait() -> None:
        users = Users(from_environment(site.variables(SPARES="1")), Metrics())
        async with users.running():
            while not users.sessions.stock.spares:
                await asyncio.sleep(0.05)
            ahead = 3600.0
            users.sessions.now = lambda: time.time() + ahead
            session = await users.sessions.open("ada")
            await users.watch.health()
            live = users.sessions.find(session.id)
            assert live and live.counters and live.counters.last_activity >= session.created
            assert not users.watch.idle(live)
            ahead += 599
            assert not users.watch.idle(live)
            await users.sessions.open("ada")
            ahead += 599
            assert not users.watch.idle(live), "asked for again"
            ahead += 2
            assert users.watch.idle(live)

    asyncio.run(wait())
