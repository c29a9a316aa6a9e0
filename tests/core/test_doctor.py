"""What the doctor makes of a host, as a table: what it said, and the finding."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from typing import Any

import pytest
from samples import fit, release, rendered, settled, templates

from ctl.core import surroundings
from ctl.core.doctor import Check, Plans, examine, secrets
from ctl.core.probe import Cards, Facts
from ctl.core.release import File
from ctl.core.script import probe
from ctl.core.secret import KEEPSAKE, Secret, SecretSpec, keepsake
from ctl.core.surroundings import Surroundings, parse, registry

COMPOSE = b"services:\n  proxy:\n    ports: ['0.0.0.0:443:443', '127.0.0.1:8080:80/tcp', '80:80']\n"
NOW = 1700000000
SMALL = release(files=(*release().files, File("/opt/small/proxy/compose.yaml", COMPOSE, 2)))
ASKED = Plans(asked=(NOW - 1.0, NOW + 1.0), address="203.0.113.1")
HERE = Surroundings(engine=("/usr/bin/docker", "Docker version 29.1"), images=frozenset({"app:1", "db:2"}))


def found(facts: Facts | None = None, plans: Plans = ASKED, wanted: Any = SMALL, **around: Any) -> list[Check]:
    base = {name: getattr(HERE, name) for name in ("engine", "images")}
    return examine(wanted, facts or fit(docker="running"), Surroundings(**{**base, **around}), plans)


def states(checks: list[Check]) -> dict[str, str]:
    """The worst state under each name."""
    order = ["ok", "note", "warning", "problem"]
    worst: dict[str, str] = {}
    for check in checks:
        worst[check.name] = max(worst.get(check.name, "ok"), check.state, key=order.index)
    return worst


def test_a_good_host_has_nothing_but_good_findings() -> None:
    assert set(states(found()).values()) == {"ok"}
    assert set(states(found(settled(SMALL, time=NOW))).values()) == {"ok"}


HOSTS: list[tuple[str, dict[str, Any], str, str]] = [
    ("host", {"os": "fedora", "os_name": "Fedora 42"}, "problem", "Fedora 42 is not supported"),
    ("host", {"arch": "armv7l", "bits": "32"}, "problem", "armv7l (32 bit) is not supported"),
    ("host", {"systemd": False}, "problem", "does not run systemd"),
    ("host", {"missing_tools": ("flock", "tar")}, "problem", "the host has no flock, tar"),
    ("host", {"memory": 400}, "problem", "the stack declares 512 MB of memory, the host has 400 MB"),
    ("host", {"disk_free": 1000}, "problem", "the stack declares 1024 MB of disk, 1000 MB are free"),
    ("memory", {"memory_free": 300}, "warning", "300 MB of 8000 MB are free now"),
    ("memory", {"memory_free": 300, "current": "r"}, "ok", "300 of 8000 MB free"),
    ("clock", {"time": NOW + 20}, "ok", "19 s ahead of"),
    ("clock", {"time": NOW + 1}, "ok", "agrees"),
    ("clock", {"time": NOW + 90}, "warning", "89 s ahead of"),
    ("clock", {"time": NOW - 90}, "warning", "89 s behind"),
    ("clock", {"time": NOW - 86400}, "problem", "86399 s behind"),
    ("lock", {"locked": True, "lock": "me since noon"}, "warning", "a run is at work: me since noon"),
    ("docker", {"docker": "stopped"}, "warning", "does not answer"),
    ("network", {"docker": "stopped"}, "note", "nobody can tell whose the subnets are"),
    ("neighbours", {"neighbours": (("blog", "blog-web-1", ""),)}, "warning", "of others run here: blog-web-1"),
    ("neighbours", {"neighbours": tuple(("", f"c{n}", "") for n in range(7))}, "warning", "c4 and 2 more"),
    ("network", {"networks": (("small", "172.30.0.0/24"),)}, "ok", "172.30.0.0/24 is ours"),
    ("network", {"networks": (("blog", "172.30.0.0/16"),)}, "problem", "the Docker network blog has 172.30.0.0/16"),
    ("network", {"routes": (("default", "eth0"), ("10.0.0.0/8", "eth0"))}, "ok", "172.30.0.0/24 is free"),
    ("ports", {"listeners": (("0.0.0.0", 443, "nginx"),)}, "problem", "0.0.0.0:443 is wanted, and nginx listens there"),
    ("ports", {"listeners": (("10.0.0.1", 8080, "java"),)}, "ok", "80, 443, 8080 are ours to use"),
]


@pytest.mark.parametrize(("name", "facts", "state", "text"), HOSTS)
def test_what_the_host_is(name: str, facts: dict[str, Any], state: str, text: str) -> None:
    checks = found(fit(**{"docker": "running", **facts}))
    check = next(check for check in checks if check.name == name and text in check.text)
    assert check.state == state
    assert bool(check.remedy) is (state in {"warning", "problem"})


CARDS: list[tuple[Cards, str, str]] = [
    (Cards(), "note", "no NVIDIA card is here"),
    (Cards(("0000:01:00.0",), "550.54.14", ("NVIDIA L4",)), "ok", "NVIDIA L4; services get"),
    (Cards(("0000:01:00.0",)), "warning", "stays unused, for no driver is loaded"),
    (Cards(given=True), "problem", "is gone"),
]


@pytest.mark.parametrize(("cards", "state", "text"), CARDS)
def test_its_graphics_cards(cards: Cards, state: str, text: str) -> None:
    checks = [each for each in found(fit(cards=cards), wanted=replace(SMALL, gpu="auto")) if each.name == "gpu"]
    assert [check.state for check in checks] == [state]
    assert text in checks[0].text
    assert bool(checks[0].remedy) is (state in {"warning", "problem"})


def test_who_wants_no_card_hears_of_none() -> None:
    assert "gpu" not in states(found(fit(cards=Cards(("0000:01:00.0",)))))


def test_every_problem_is_told_and_not_the_first_alone() -> None:
    problems = [check for check in found(fit(os="fedora", memory=1, disk_free=1)) if check.state == "problem"]
    assert len(problems) == 3


AROUND: list[tuple[str, dict[str, Any], str, str]] = [
    ("packages", {"held": (("/var/lib/dpkg/lock", "apt-get"), ("/x", "apt-get"))}, "warning", "apt-get is at work"),
    ("docker", {"engine": ("/snap/docker/1/bin/docker", "Docker version 28")}, "problem", "a snap"),
    ("docker", {"engine": ("/usr/bin/podman", "podman version 5")}, "problem", "Podman"),
    ("reach", {"images": frozenset(), "reached": (("https://registry-1.docker.io/v2/", "401"),)}, "ok", "answers"),
    (
        "reach",
        {"images": frozenset(), "reached": (("https://registry-1.docker.io/v2/", "000"),)},
        "problem",
        "does not",
    ),
    ("reach", {"images": frozenset(), "reached": (("https://registry-1.docker.io/v2/", "-"),)}, "note", "curl"),
    ("reach", {"reached": (("https://registry-1.docker.io/v2/", "000"),)}, "ok", "all images are on the host"),
    ("reach", {"reached": (("https://evil.example/", "000"),)}, "ok", "all images"),
]


@pytest.mark.parametrize(("name", "around", "state", "text"), AROUND)
def test_what_is_around_it(name: str, around: dict[str, Any], state: str, text: str) -> None:
    checks = [check for check in found(**around) if check.name == name]
    assert any(text in check.text for check in checks), checks
    assert states(checks)[name] == state


PUBLIC: list[tuple[dict[str, tuple[str, ...]], bool, frozenset[str], str, str]] = [
    ({"a.example.com": ("203.0.113.1",)}, True, frozenset(), "ok", "a.example.com resolves"),
    ({"a.example.com": ("2001:db8::1",)}, True, frozenset({"2001:db8::1"}), "ok", "resolves"),
    ({"a.example.com": ()}, True, frozenset(), "problem", "a.example.com does not resolve"),
    ({"a.example.com": ()}, False, frozenset(), "warning", "does not resolve"),
    ({"a.example.com": ("198.51.100.7",)}, True, frozenset(), "warning", "leads to 198.51.100.7, not to this host"),
]


@pytest.mark.parametrize(("names", "acme", "addresses", "state", "text"), PUBLIC)
def test_names(names: Any, acme: bool, addresses: frozenset[str], state: str, text: str) -> None:
    plans = Plans(access="public", acme=acme, address="203.0.113.1", names=names, asked=ASKED.asked)
    (check,) = [check for check in found(plans=plans, addresses=addresses) if check.name == "dns"]
    assert (check.state, text in check.text) == (state, True)


def test_certificates_are_told_as_far_as_they_are_known() -> None:
    plans = Plans(access="public", acme=True, asked=ASKED.asked)
    assert states(found(plans=plans))["certificates"] == "note"
    stored = (("a.crt", "/v/caddy/certificates/acme-v02.api.letsencrypt.org-directory/a"),)
    assert states(found(plans=plans, certificates=stored))["certificates"] == "ok"
    own = (("n8n.localhost.crt", "/v/caddy/certificates/local/n8n.localhost"),)
    assert states(found(plans=plans, certificates=own))["certificates"] == "note"
    assert "certificates" not in states(found())


def test_another_sticky_secret_than_the_hosts_is_a_problem() -> None:
    kept = File(f"/opt/small/{KEEPSAKE}", keepsake([Secret("KEY", "ours")]).encode(), 2, 0o600, sensitive=True)
    checks = found(fit(secrets={"KEY": "0" * 16}), wanted=release(files=(kept,)))
    assert states(checks)["secrets"] == "problem"


def test_secrets_missing_and_weak_ones_are_all_told_without_their_values() -> None:
    specs = {"GIVEN": SecretSpec(about="a token"), "MADE": SecretSpec(generate="hex"), "WEAK": SecretSpec()}
    checks = secrets(specs, {"WEAK": "hunter2"}, {}, "h1")
    assert [check.text for check in checks] == [
        "the secret GIVEN (a token) has no value",
        "the secret WEAK is shorter than 8 characters",
    ]
    assert not any("hunter2" in check.text + check.remedy for check in checks)
    assert states(secrets(specs, {"GIVEN": "a fine one", "WEAK": "a fine one"}, {}, "h1")) == {"secrets": "ok"}


@pytest.mark.parametrize(
    ("image", "host"),
    [
        ("caddy:2", "registry-1.docker.io"),
        ("flowiseai/flowise:3", "registry-1.docker.io"),
        ("docker.n8n.io/n8nio/n8n:2", "docker.n8n.io"),
        ("localhost:5000/x", "localhost:5000"),
        ("localhost/x", "localhost"),
    ],
)
def test_registries(image: str, host: str) -> None:
    assert registry(image) == host


SAID = """\
engine\t/usr/bin/docker\tDocker version 29
image\tapp:1
address\t203.0.113.1
held\t/var/lib/dpkg/lock\tapt-get
certificate\ta.crt\t/v
reach\thttps://ghcr.io/v2/\t401
evil\x1b[31m\tx
"""


def test_reading_what_the_host_said() -> None:
    around = parse(SAID.encode())
    assert around == Surroundings(
        engine=("/usr/bin/docker", "Docker version 29"),
        images=frozenset({"app:1"}),
        addresses=frozenset({"203.0.113.1"}),
        held=(("/var/lib/dpkg/lock", "apt-get"),),
        certificates=(("a.crt", "/v"),),
        reached=(("https://ghcr.io/v2/", "401"),),
    )
    assert parse(b"") == Surroundings()


def test_escape_sequences_of_a_hostile_host_are_gone() -> None:
    assert parse(b"held\t/x\t\x1b[31mapt\x07\n").held == (("/x", "[31mapt"),)


def test_the_script_is_one_text_that_a_posix_shell_can_read() -> None:
    wanted = rendered()
    text = surroundings.script(probe(wanted, templates()), wanted, templates(), official_docker=True)
    done = subprocess.run(["sh", "-n"], input=text.encode(), capture_output=True)
    assert (done.returncode, done.stderr) == (0, b"")
    assert "reach https://docker.n8n.io/v2/ &" in text
    assert "reach https://download.docker.com/linux/ &" in text
    assert not any(secret.reveal() in text for secret in wanted.secrets)
