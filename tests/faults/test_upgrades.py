"""A deployed host, moved between two states: the line is cut, clients are killed or come in pairs, the power fails."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import time
from collections.abc import Iterator

import pytest
from fault_results import Case, Results, trials
from fault_site import ZONES, Site
from lab_faults import MEMORY, Cut, assert_sound, differences, picture, power_off, steady
from lab_project import until

HANDSHAKE = 9000
N8N = "services/n8n/compose.yaml.j2"


@pytest.fixture(scope="module")
def upgrade(site: Site) -> tuple[int, float]:
    """Bytes and seconds of an undisturbed upgrade, there and back."""
    began = time.monotonic()
    site.want(ZONES[1])
    site.bring()
    seconds, passed = time.monotonic() - began, site.relay.passed
    site.reset(ZONES[0])
    return passed, seconds


def cuts(case: Case, number: int, size: int, seconds: float) -> list[Cut]:
    at = case.random
    first = (
        Cut(bytes=at.randrange(HANDSHAKE, int(size * 0.9)))
        if number % 2
        else Cut(seconds=at.uniform(0.6, seconds * 0.7))
    )
    return [first, Cut(bytes=at.randrange(1, 3 * HANDSHAKE))] if at.random() < 0.5 else [first]


def test_connection_cut(site: Site, upgrade: tuple[int, float], results: Results) -> None:
    with results.case(
        "upgrade-cut",
        "change of settings: connection reset (RST) at a random byte or second, and half of the time the next one too",
        "the client comes back by itself, exit 0; host equal to an undisturbed one; every line of the log told once",
    ) as case:
        for number in trials(20):
            broken = cuts(case, number, *upgrade)
            with case.trial(f"{number}: {', '.join(map(str, broken))}"):
                zone = ZONES[(number + 1) % 2]
                site.reset(ZONES[number % 2])
                site.want(zone)
                site.relay.expect(*broken)
                said = site.deploy()
                assert said.code == 0, said
                assert site.relay.broken >= 1, "nothing was cut"
                site.assert_told_whole(said.data["run"])
                site.assert_as(zone)


def test_connection_cut_while_an_image_changes(site: Site, upgrade: tuple[int, float], results: Results) -> None:
    """The registry has each image under a second tag, of which nothing but the name is new."""
    tag = next(
        line.split()[0]
        for line in site.server.sh(
            "curl -s https://docker.n8n.io/v2/n8nio/n8n/tags/list | tr ',[]\"' '\\n' | grep ^lab- | head -n 1"
        ).splitlines()
    )
    site.reset(ZONES[0])
    site.project.override(N8N, "n8nio/n8n:2.30.4", f"n8nio/n8n:{tag}")
    site.bring()
    wanted = steady(site.server)
    with results.case(
        "image-cut",
        "another image: connection reset at a random byte or second",
        "the client comes back by itself, exit 0; host equal to an undisturbed one; every line of the log told once",
    ) as case:
        for number in trials(5):
            broken = cuts(case, number, *upgrade)
            with case.trial(f"{number}: {', '.join(map(str, broken))}"):
                site.project.plain(site.name)
                site.bring()
                site.project.override(N8N, "n8nio/n8n:2.30.4", f"n8nio/n8n:{tag}")
                site.server.sh(f"docker image rm docker.n8n.io/n8nio/n8n:{tag} >/dev/null 2>&1 || true")
                site.relay.expect(*broken)
                said = site.deploy()
                assert said.code == 0, said
                assert site.relay.broken >= 1, "nothing was cut"
                site.assert_told_whole(said.data["run"])
                now = steady(site.server)
                assert_sound(now)
                assert differences(now, wanted) == []
    site.project.plain(site.name)
    site.bring()


def test_line_falls_silent(site: Site, results: Results) -> None:
    """No reset: packets are dropped, as by a modem that is switched off, for longer than the client is patient."""
    with results.case(
        "silence",
        "change of settings: the line is dead for 70 s, and nobody is told",
        "the client notices, comes back by itself, exit 0; host equal to an undisturbed one; every line told once",
    ) as case:
        for number in trials(2):
            with case.trial(f"{number}"):
                zone = ZONES[(number + 1) % 2]
                site.reset(ZONES[number % 2])
                # Straight to the host: a relay would go on to acknowledge.
                lab = site.server.lab
                site.project.write(site.name, vars={"timezone": zone})
                text = site.project.inventory.read_text()
                text = text.replace("address: 127.0.0.1", f"address: {lab.ip}")
                text = text.replace(f"port: {site.relay.port}", "port: 22")
                site.project.inventory.write_text(text)
                keys = site.project.known_hosts.read_text()
                site.project.known_hosts.write_text(keys.replace(f"[127.0.0.1]:{site.relay.port}", lab.ip))
                try:
                    with site.project.start("deploy", site.name, "--yes") as client:
                        client.wait_for("starting n8n")
                        _silence(site, 70)
                        said = client.end(seconds=300)
                finally:
                    site.project.meet()
                assert said.code == 0, said
                site.assert_told_whole(site.runs()[-1])
                site.assert_as(zone)


def _silence(site: Site, seconds: int) -> None:
    """From inside, past SSH, which is what falls silent."""
    rules = "iptables -w {0} INPUT -p tcp --dport 22 -j DROP; iptables -w {0} OUTPUT -p tcp --sport 22 -j DROP"
    text = f"({rules.format('-I')}; sleep {seconds}; {rules.format('-D')}) >/dev/null 2>&1"
    subprocess.run(["docker", "exec", "-d", site.server.lab.container, "sh", "-c", text], check=True)


def test_client_killed(site: Site, upgrade: tuple[int, float], results: Results) -> None:
    _, seconds = upgrade
    with results.case(
        "client-killed",
        "client killed (SIGKILL) at a random moment of a change of settings",
        "the run goes on; `ctl attach` follows it to its end; then nothing to do (killed before it began: no change)",
    ) as case:
        began = 0
        for number in trials(10):
            # Two before anything has begun, the others from the plan on.
            moment = case.random.uniform(0.7, 2) if number < 2 else case.random.uniform(0, seconds * 0.8)
            with case.trial(f"{number}: after {moment:.1f} s"):
                old, zone = ZONES[number % 2], ZONES[(number + 1) % 2]
                site.reset(old)
                before = site.runs()
                site.want(zone)
                with site.project.start("deploy", site.name, "--yes") as client:
                    if number >= 2:
                        client.wait_for("recreate")
                    time.sleep(moment)
                    client.process.send_signal(signal.SIGKILL)
                    client.end()
                time.sleep(1)
                if site.runs() == before:
                    site.want(old)
                    site.assert_as(old)
                    continue
                began += 1
                run = site.runs()[-1]
                said = site.project.ctl("attach", site.name)
                assert said.code == 0, said
                site.assert_told_whole(run)
                site.assert_nothing_to_do()
                site.assert_as(zone)
        case.note(f"{began} of {len(case.seconds)} runs had begun")


@pytest.mark.parametrize("wait", [False, True], ids=["refused", "waiting"])
def test_two_clients_at_once(site: Site, results: Results, wait: bool) -> None:
    with results.case(
        "two-wait" if wait else "two",
        f"two clients at once, with different settings{', both with --wait 120' if wait else ''}",
        "both get through, one after the other; host equal to one of the two"
        if wait
        else "one gets through; the other exits 4 and names it; host equal to what the winner wanted",
    ) as case:
        endings: dict[str, int] = {}
        for number in trials(5):
            gap = case.random.choice([0, 0, 0.05, 0.3, 1])
            with case.trial(f"{number}: {gap} s apart"):
                site.project.write(site.name, vars={"timezone": "Europe/Paris"})
                site.bring()
                words = ["deploy", site.name, "--yes", *(["--wait", "120"] if wait else [])]
                with (
                    site.project.start(*words, "--set", f"timezone={ZONES[0]}") as one,
                    _after(gap),
                    site.project.start(*words, "--set", f"timezone={ZONES[1]}") as other,
                ):
                    said = [one.end(), other.end()]
                codes = [each.code for each in said]
                if wait:
                    assert codes == [0, 0], said
                    assert any(_is(site, zone) for zone in ZONES), picture(site.server)["current"]
                    continue
                assert sorted(codes) == [0, 4], [str(each) for each in said]
                lost = said[codes.index(4)]
                assert "tester@" in lost.error
                assert "ctl deploy" in lost.error
                kind = "met the run" if "is at work" in lost.error else "was overtaken by the run"
                endings[kind] = endings.get(kind, 0) + 1
                zone = ZONES[codes.index(0)]
                site.want(zone)
                site.assert_as(zone)
                site.assert_nothing_to_do()
        for kind, count in endings.items():
            case.note(f"{count} {kind}")


@contextlib.contextmanager
def _after(seconds: float) -> Iterator[None]:
    time.sleep(seconds)
    yield


def _is(site: Site, zone: str) -> bool:
    now = steady(site.server)
    assert_sound(now)
    return not differences(now, site.pictures[zone])


def test_power_cut(site: Site, upgrade: tuple[int, float], results: Results) -> None:
    _, seconds = upgrade
    with results.case(
        "power-cut",
        "every process of the host killed at a random moment of a change of settings, then booted",
        "the client is told; the lock is free; the next deploy ends equal to an undisturbed one",
    ) as case:
        endings: dict[str, int] = {}
        for number in trials(10):
            moment = case.random.uniform(0.3, seconds * 0.6)
            with case.trial(f"{number}: after {moment:.1f} s"):
                zone = ZONES[(number + 1) % 2]
                site.reset(ZONES[number % 2])
                site.want(zone)
                with site.project.start("deploy", site.name, "--yes") as client:
                    client.wait_for("recreate")
                    time.sleep(moment)
                    power_off(site.server)
                    site.power_on()
                    said = client.end()
                ending = {0: "had ended before", 1: "broken off, and the client told so"}.get(
                    said.code, f"exit {said.code}"
                )
                endings[ending] = endings.get(ending, 0) + 1
                assert said.code in {0, 1}, said
                assert site.server.sh(f"flock -n {MEMORY}/lock echo free") == "free"
                until("docker", lambda: site.server.inside.run("docker ps").rc == 0, seconds=60)
                site.bring()
                site.assert_as(zone)
                site.assert_nothing_to_do()
        for ending, count in endings.items():
            case.note(f"{count} {ending}")
