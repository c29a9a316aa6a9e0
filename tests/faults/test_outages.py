"""What a deploy needs goes away in the middle: Docker, the registry, the right time; or what it brings never works."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator

import pytest
from fault_results import Results, trials
from fault_site import ZONES, Site
from lab_faults import Visitor, assert_sound, kill_inside, picture, steady
from lab_project import until

N8N = "services/n8n/compose.yaml.j2"
CHECK = """      test: ["CMD-SHELL", "wget -qO- http://127.0.0.1:5678/healthz/readiness >/dev/null || exit 1"]
      interval: 10s
      timeout: 5s
      retries: 12
      start_period: 60s
"""
FAILS = """      test: ["CMD-SHELL", "exit 1"]
      interval: 1s
      timeout: 5s
      retries: 3
      start_period: 1s
"""


@pytest.fixture(autouse=True)
def plain(site: Site) -> Iterator[None]:
    yield
    site.project.plain(site.name)


def test_never_healthy(site: Site, results: Results) -> None:
    site.reset(ZONES[0])
    login = ":".join(site.project.ctl("secrets", "show", site.name, "--login").stdout.split())
    with results.case(
        "unhealthy",
        "a health check of n8n that never passes, with clients asking at the other doors all the time",
        "exit 6, release before is back; Flowise and the proxy answer every request",
    ) as case:
        answers = 0
        for number in trials(3):
            with case.trial(f"{number}"):
                site.reset(ZONES[0])
                before = picture(site.server)
                site.project.override(N8N, CHECK, FAILS)
                visitors = [Visitor(site.server, "flowise.localhost", "/api/v1/ping", login) for _ in range(2)]
                with visitors[0].at_work(), visitors[1].at_work():
                    said = site.deploy()
                assert said.code == 6, said
                assert before["current"][0] in said.error
                assert [failure for one in visitors for failure in one.failures] == []
                assert all(one.answers > 20 for one in visitors)
                answers += sum(one.answers for one in visitors)
                site.project.plain(site.name)
                site.assert_as(ZONES[0])
                site.assert_nothing_to_do()
        case.note(f"{answers} requests answered, each through the proxy; none failed" if not case.failures else "")


def test_docker_killed(site: Site, results: Results) -> None:
    with results.case(
        "dockerd-killed",
        "dockerd killed (SIGKILL) at a random moment of a change of settings; systemd starts it again",
        "exit 0, 1 or 6 and never silence; nobody holds the lock; the next deploy ends equal to an undisturbed one",
    ) as case:
        endings: dict[int, int] = {}
        for number in trials(6):
            moment = case.random.uniform(0, 4)
            with case.trial(f"{number}: {moment:.1f} s after the containers were touched"):
                zone = ZONES[(number + 1) % 2]
                site.reset(ZONES[number % 2])
                site.want(zone)
                with site.project.start("deploy", site.name, "--yes") as client:
                    client.wait_for("starting n8n")
                    time.sleep(moment)
                    kill_inside(site.server, "dockerd")
                    said = client.end(seconds=400)
                endings[said.code] = endings.get(said.code, 0) + 1
                assert said.code in {0, 1, 6}, said
                if said.code:
                    assert "n8n" in said.error
                until("docker", lambda: site.server.inside.run("docker ps").rc == 0, seconds=60)
                assert_sound(picture(site.server))
                site.bring()
                site.assert_as(zone)
                site.assert_nothing_to_do()
        case.note(", ".join(f"{count} × exit {code}" for code, count in sorted(endings.items())))


def test_registry_gone(site: Site, results: Results) -> None:
    """The host's way to the registry is closed before or after the first bytes of an image."""
    rule = "OUTPUT -p tcp --dport 443 -j"
    with results.case(
        "registry-gone",
        "the registry cannot be reached (refused, or silent) when an image is to be pulled",
        "exit 1, the image named; release before still running; once it is back the next deploy works",
    ) as case:
        for number in trials(2):
            how = ("REJECT --reject-with tcp-reset", "DROP")[number % 2]
            with case.trial(how.split()[0]):
                site.want(ZONES[0], without=["flowise"])
                site.bring()
                before = picture(site.server)
                site.server.sh("docker image ls -q flowiseai/flowise | xargs -r docker image rm -f >/dev/null")
                site.server.sh(f"iptables -I {rule} {how}")
                try:
                    site.want(ZONES[0])
                    said = site.deploy()
                finally:
                    site.server.sh(f"iptables -D {rule} {how}")
                assert said.code == 1, said
                assert "flowiseai/flowise" in said.error, said
                now = steady(site.server)
                assert_sound(now)
                assert now["containers"] == before["containers"]
                assert now["current"] == before["current"]
                assert now["files"] == before["files"], "the image is missing before anything is changed"
                site.bring()
                site.assert_as(ZONES[0])


def test_wrong_clock(site: Site, results: Results) -> None:
    """The kernel's clock is this machine's and stays; libfaketime shows another one to what is linked to the C library.

    That is the shell, apt, curl, sshd and systemd's tools, and not dockerd.
    """
    with results.case(
        "clock",
        "the host's clock is moved by two years, forward and back, between deploys (by libfaketime: not for dockerd)",
        "exit 0; host equal to an undisturbed one; history and the way back in the order of the runs",
    ) as case:
        installed = site.server.inside.run("apt-get -y -qq install libfaketime >/dev/null 2>&1")
        if installed.rc != 0:
            case.note("not measured: libfaketime could not be installed in the lab host")
            pytest.skip("no libfaketime")
        library = site.server.sh("ls /usr/lib/*/faketime/libfaketime.so.1")
        for undisturbed in site.pictures.values():
            undisturbed["packages"] = picture(site.server)["packages"]
        for number in trials(2):
            shift = ("+2y", "-2y")[number % 2]
            with case.trial(shift):
                site.reset(ZONES[0])
                site.server.sh(f"echo '{shift}' >/etc/faketimerc && echo {library} >/etc/ld.so.preload")
                try:
                    assert abs(int(site.server.sh("date +%Y")) - time.gmtime().tm_year) == 2
                    site.want(ZONES[1])
                    said = site.deploy()
                    assert said.code == 0, said
                    site.assert_told_whole(said.data["run"])
                    back = site.project.ctl("rollback", site.name, "--yes", "--json")
                    assert back.code == 0, back
                finally:
                    site.server.sh("rm -f /etc/ld.so.preload /etc/faketimerc")
                site.assert_as(ZONES[0])
                site.want(ZONES[0])
                site.assert_nothing_to_do()


def test_lock_is_free_after_all_of_this(site: Site, results: Results) -> None:
    with results.case(
        "lock",
        "the lock, after every single trial of every case here, and after the run itself is killed (SIGKILL)",
        "free; a stale one has never to be removed by hand",
    ) as case:
        for number in trials(5):
            moment = random.Random(case.seed + number).uniform(0.1, 4)
            with case.trial(f"{number}: run killed {moment:.1f} s after the containers were touched"):
                zone = ZONES[(number + 1) % 2]
                site.reset(ZONES[number % 2])
                site.want(zone)
                with site.project.start("deploy", site.name, "--yes") as client:
                    client.wait_for("starting n8n")
                    time.sleep(moment)
                    run = site.runs()[-1]
                    site.server.sh(f"kill -KILL $(cat /opt/lean-llm/.ctl/runs/{run}/pid) 2>/dev/null || true")
                    said = client.end()
                assert said.code in {0, 1}, said
                assert_sound(steady(site.server))
                site.bring()
                site.assert_as(zone)
