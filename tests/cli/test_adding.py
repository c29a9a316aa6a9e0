"""add-service and remove-service: words, questions, and what the inventory says in the end; hosts exist only here."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from typing import Any

import pytest
from conftest import INVENTORY, Ctl, Said
from samples import fit, members, settled

from ctl.cli.workplace import Workplace
from ctl.core.errors import ConnectionLost
from ctl.core.probe import Facts
from ctl.core.release import Release

HELLO = """\
services:
  hello:
    image: redis:8.10.1-alpine
    environment: {WORD: "{{ vars.word }}", TOKEN: "{{ secret('HELLO_TOKEN') }}"}
    volumes: ["hello:/data", "{{ data }}/hello:/more"]
    healthcheck: {test: ["CMD", "true"]}
    deploy: {resources: {limits: {memory: 64M}}}
volumes: {hello: {}}
x-ctl:
  summary: Says hello
  category: examples
  also: [greeter]
  route: {port: 8080}
  vars:
    word: {about: what it says, pattern: '[a-z]+'}
    mood: {about: how, default: gladly}
  secrets: {HELLO_TOKEN: {about: what callers show}, HELLO_KEY: {generate: hex}}
  requires: {memory: 64M, disk: 100M}
  NEEDS
"""
REDIS_LINE = "    services: [redis]\n"


@pytest.fixture
def host(ctl: Ctl) -> Ctl:
    """A project whose host h1 is as its inventory has it."""
    ctl.facts = as_before(ctl)
    return ctl


def as_before(ctl: Ctl, **changes: Any) -> Callable[[Release], Facts]:
    """The host as the inventory has it when it is asked, whatever is to become of it."""

    def facts(release: Release) -> Facts:
        place = Workplace(ctl.folder)
        return settled(place.aim(place.host(release.host)).release, **changes)

    return facts


def hello(ctl: Ctl, needs: str = "") -> None:
    ctl.write("templates/services/hello/compose.yaml.j2", HELLO.replace("  NEEDS\n", needs))


def inventory(ctl: Ctl) -> str:
    return (ctl.folder / "inventory.yaml").read_text()


def script(ctl: Ctl) -> list[str]:
    """What the run that was started does, in its own words."""
    text = members(ctl.started[-1])["script"].decode()
    return [line.strip() for line in text[text.index("\nmain() {") :].splitlines()]


# --- adding -----------------------------------------------------------------------------------------------------------


def test_a_service_is_added_alone(host: Ctl) -> None:
    said = host("add-service", "redis", "h1", "--yes")
    assert said.code == 0, said.err
    assert inventory(host) == INVENTORY.replace("Etc/UTC}\n", f"Etc/UTC}}\n{REDIS_LINE}")
    assert "+    services: [redis]" in said.err
    work = script(host)
    assert "up 300 '' redis" in work
    assert not [line for line in work if line.startswith("up") and "redis" not in line]
    assert not [line for line in work if "/stacks/n8n/" in line or "/proxy/compose.yaml" in line]
    assert [line.split()[1] for line in work if line.startswith("step ")] == ["4-add-service/10-units"]


def test_a_service_with_a_door_has_the_proxy_reloaded(host: Ctl) -> None:
    host.write("inventory.yaml", INVENTORY.replace("Etc/UTC}", "Etc/UTC}\n    without: [flowise]"))
    said = host("add-service", "flowise", "--yes", "--json")
    assert said.code == 0, said.err
    assert inventory(host) == INVENTORY, "one of the stack's own is left out no more"
    assert json.loads(said.out)["result"] == "changed"
    steps = [line.split()[1] for line in script(host) if line.startswith("step ")]
    assert steps == ["3-configure/10-units", "3-configure/20-reload@caddy"]
    assert not [line for line in script(host) if line.startswith("up") and "caddy" in line]


def test_what_is_pending_besides_stays_pending(host: Ctl) -> None:
    def edited(release: Release) -> Facts:
        there = as_before(host)(release)
        gone = "/opt/lean-llm/stacks/n8n/compose.yaml"
        return settled(release, files={path: was for path, was in there.files.items() if path != gone}, current="older")

    host.facts = edited
    assert host("add-service", "redis", "--yes").code == 0
    assert not [line for line in script(host) if "/stacks/n8n/" in line]


def test_a_service_that_is_there_already(host: Ctl) -> None:
    host.write("inventory.yaml", INVENTORY.replace("Etc/UTC}\n", f"Etc/UTC}}\n{REDIS_LINE}"))
    text = inventory(host)
    for name, why in (("redis", "inventory.yaml adds it"), ("n8n", "it is one of the stack lean-llm's own")):
        said = host("add-service", name, "h1", "--yes")
        assert (said.code, f"h1 has {name} already: {why}" in said.err) == (2, True), said.err
    hello(host)
    host.write("inventory.yaml", text.replace("redis", "greeter"))
    said = host("add-service", "hello", "--yes")
    assert (said.code, "h1 has hello already" in said.err) == (2, True), said.err
    said = host("add-service", "greeter", "--yes")
    assert (said.code, "h1 has hello, which is greeter, already" in said.err) == (2, True), said.err
    assert not host.transports


WORDS = [
    ("add-service redsi", "no service is named 'redsi'", "did you mean redis?"),
    ("add-service", "which service?", "ctl services lists"),
    ("add-service redis h2", "no host is named 'h2'", "did you mean h1?"),
    ("add-service redis me@198.51.100.7", "198.51.100.7 is not in inventory.yaml", "ctl deploy me@198.51.100.7"),
    ("add-service redis lab-x", "lab-x is not in inventory.yaml", "hosts.lab-x with its stack has to be written"),
    ("add-service redis local", "local is not in inventory.yaml", "hosts.local with its stack"),
    ("add-service redis --set wrod=x", "no variable of what is added is named 'wrod'", ""),
    ("add-service redis --set timezone=x", "no variable of what is added is named 'timezone'", ""),
    ("add-service redis h1 extra", "unexpected extra argument", "ctl add-service --help"),
    ("remove-service", "Missing argument 'NAME'", "ctl remove-service --help"),
    ("remove-service redis", "no service of h1 is named 'redis'", "known: flowise, n8n"),
    ("remove-service n8", "no service of h1 is named 'n8'", "did you mean n8n?"),
]


@pytest.mark.parametrize(("words", "message", "hint"), WORDS, ids=[row[0] for row in WORDS])
def test_wrong_words(host: Ctl, words: str, message: str, hint: str) -> None:
    said = host(*words.split(), "--yes")
    assert (said.code, said.out) == (2, "")
    assert message in said.err
    assert hint in said.err
    assert not host.transports
    assert inventory(host) == INVENTORY


def test_nobody_to_confirm(host: Ctl) -> None:
    said = host("add-service", "redis")
    assert (said.code, "--yes goes ahead" in said.err) == (2, True)
    assert (inventory(host), host.started) == (INVENTORY, [])


@pytest.mark.parametrize(("answer", "code"), [("y", 0), ("n", 130), (KeyboardInterrupt, 130)])
def test_the_prompt(host: Ctl, answer: Any, code: int) -> None:
    host.answer(answer)
    said = host("add-service", "redis")
    assert (said.code, said.out) == (code, "")
    assert "Add redis to h1? [y/N]" in said.err
    assert bool(host.started) == (inventory(host) != INVENTORY) == (code == 0)


# --- questions --------------------------------------------------------------------------------------------------------


def test_nobody_to_ask(host: Ctl) -> None:
    hello(host)
    said = host("add-service", "hello", "--yes")
    assert said.code == 2
    assert "hello lacks the variable word (what it says) and the secret HELLO_TOKEN (what callers show)" in said.err
    assert "--set word=VALUE, HELLO_TOKEN in the environment or in .env" in said.err
    assert not host.transports


def test_all_is_given_in_advance(host: Ctl) -> None:
    hello(host)
    host.monkeypatch.setenv("HELLO_TOKEN", "k3-Zq81vTx0w")
    said = host("add-service", "greeter", "--yes", "--set", "word=hi")
    assert said.code == 0, said.err
    wanted = INVENTORY.replace("Etc/UTC}\n", "Etc/UTC, word: hi}\n    services: [hello]\n")
    assert inventory(host) == wanted
    assert "https://hello.localhost" in said.err


def test_only_what_is_missing_is_asked_for(host: Ctl) -> None:
    hello(host)
    typed = iter(["not it", "not it", "short", "short", "k3-Zq81vTx0w", "k3-Zq81vTx0w"])
    host.monkeypatch.setattr("getpass.getpass", lambda *_: next(typed))
    keyboard("H i\n\nhi\ny\n", host)
    said = host("add-service", "hello")
    assert said.code == 0, said.err
    assert said.err.count("word (what it says): ") == 3
    assert "'H i' is not what it says" in said.err
    assert "mood" not in said.err.split("inventory.yaml")[0], "it has a default"
    assert "word: hi" in inventory(host)
    assert Workplace(host.folder).vault.read("h1")["HELLO_TOKEN"] == "k3-Zq81vTx0w"
    assert "k3-Zq81vTx0w" not in said.err


def keyboard(typed: str, ctl: Ctl) -> None:
    stdin = io.StringIO(typed)
    stdin.isatty = lambda: True  # type: ignore[method-assign]
    ctl.monkeypatch.setattr("sys.stdin", stdin)


def test_nothing_is_kept_of_questions_that_were_not_answered(host: Ctl) -> None:
    hello(host)
    keyboard("hi\n", host)

    def interrupted(*_: Any) -> str:
        raise KeyboardInterrupt

    host.monkeypatch.setattr("getpass.getpass", interrupted)
    assert host("add-service", "hello").code == 130
    assert inventory(host) == INVENTORY
    assert not (host.folder / "vault.enc").exists()
    assert not host.transports


def test_what_it_needs_comes_too(host: Ctl) -> None:
    hello(host, "  needs: [redis, ollama]\n")
    host.monkeypatch.setenv("HELLO_TOKEN", "k3-Zq81vTx0w")
    words = ("add-service", "hello", "--set", "word=hi")
    said = host(*words)
    assert (said.code, "hello needs redis, which h1 does not have" in said.err) == (2, True), said.err
    keyboard("n\n", host)
    assert host(*words).code == 130
    assert inventory(host) == INVENTORY
    keyboard("y\ny\n", host)
    said = host(*words)
    assert said.code == 0, said.err
    assert "services: [redis, hello]" in inventory(host)
    assert "ollama" not in inventory(host), "that is outside of the stack"


COMPOSE = """\
services:
  web:
    image: example/notes:1.2
    ports: ["8080:80"]
    environment: {API_TOKEN: zu4-geheim-aber-echt}
"""


def test_a_compose_file_of_ones_own(host: Ctl) -> None:
    host.write("elsewhere/notes/compose.yaml", COMPOSE)
    said = host("add-service", "--from", "elsewhere/notes/compose.yaml", "--yes")
    assert said.code == 0, said.err
    assert "services: [notes]" in inventory(host)
    assert "up 300 '' notes" in script(host)
    assert Workplace(host.folder).vault.read("h1")["NOTES_API_TOKEN"] == "zu4-geheim-aber-echt"
    assert "zu4" not in said.err
    said = host("add-service", "--from", "elsewhere/notes/compose.yaml", "--yes")
    assert (said.code, inventory(host).count("notes")) == (2, 1), said.err


def test_a_compose_file_that_is_refused(host: Ctl) -> None:
    host.write("elsewhere/notes/compose.yaml", COMPOSE + "    privileged: true\n")
    words = ("add-service", "--from", "elsewhere/notes/compose.yaml", "notes", "h1", "--yes")
    assert host(*words).code == 2
    assert (inventory(host), host.transports) == (INVENTORY, [])
    assert not (host.folder / "templates/services/notes").exists()
    assert host(*words, "--allow", "privileged").code == 0
    said = host("add-service", "redis", "--pin", "redis=8", "--yes")
    assert (said.code, "--allow and --pin are for --from" in said.err) == (2, True)


# --- what stops it ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("facts", "code", "words"),
    [
        ({"memory": 1200}, 1, ["with redis its services declare 1536 MB: 336 MB are missing"]),
        ({"memory": 1200}, 1, ["take a larger host, or first ctl remove-service n8n h1"]),
        ({"disk_free": 100}, 1, ["redis declares 512 MB of disk, 100 MB are free at /opt/lean-llm"]),
        ({"locked": True, "lock": "deploy h1\tme@here\t1700000000"}, 4, ["another run is at work on h1"]),
        ({"current": ""}, 1, ["nothing is deployed on h1", "ctl deploy h1"]),
    ],
)
def test_a_host_that_cannot_take_it(ctl: Ctl, facts: dict[str, Any], code: int, words: list[str]) -> None:
    ctl.facts = as_before(ctl, **facts)
    said = ctl("add-service", "redis", "--yes")
    assert said.code == code, said.err
    assert all(word in said.err for word in words), said.err
    assert (inventory(ctl), ctl.started) == (INVENTORY, [])


def test_a_bare_host(ctl: Ctl) -> None:
    ctl.facts = fit()
    said = ctl("add-service", "redis", "--yes")
    assert (said.code, "nothing is deployed on h1" in said.err) == (1, True)


@pytest.mark.parametrize("end", [b"@ fail pull redis:8\n@ exit 1\n", b"@ unhealthy redis starting\n@ exit 6\n"])
def test_what_fails_is_not_left_in_the_inventory(host: Ctl, end: bytes) -> None:
    host.log = b"@ release r\n" + end
    said = host("add-service", "redis", "--yes")
    assert said.code in {1, 6}
    assert "inventory.yaml is put back" in said.err
    assert inventory(host) == INVENTORY


def test_a_failure_beside_which_somebody_edits(host: Ctl) -> None:
    host.log = b"@ release r\n@ fail pull redis:8\n@ exit 1\n"
    host.monkeypatch.setattr(
        "ctl.cli.progress.Progress.take", lambda *_: host.write("inventory.yaml", inventory(host) + "# mine\n")
    )
    said = host("add-service", "redis", "--yes")
    assert "was changed meanwhile" in said.err
    assert "# mine" in inventory(host)


def test_a_lost_connection_leaves_it_open(host: Ctl) -> None:
    def lost(*_: Any, **__: Any) -> Any:
        raise ConnectionLost("the connection to h1 was lost")

    host.monkeypatch.setattr("ctl.run.bring", lost)
    said = host("add-service", "redis", "--yes")
    assert said.code == 5
    assert "inventory.yaml keeps the change, for the run may go through" in said.err
    assert REDIS_LINE in inventory(host)


# --- removing ---------------------------------------------------------------------------------------------------------


def test_removing_is_the_inverse(host: Ctl) -> None:
    assert host("add-service", "redis", "--yes").code == 0
    secrets = Workplace(host.folder).vault.read("h1")
    said = host("remove-service", "redis", "--yes")
    assert said.code == 0, said.err
    assert inventory(host) == INVENTORY
    work = script(host)
    assert "remove redis id-of-redis" in work
    assert "del /opt/lean-llm/stacks/redis/compose.yaml" in work
    assert "del /etc/systemd/system/lean-llm-redis.service" in work
    assert not [line for line in work if line.startswith("up")]
    assert "volume lean-llm_redis_data" in said.err
    assert "ctl add-service redis h1" in said.err
    assert Workplace(host.folder).vault.read("h1") == secrets
    assert host("add-service", "redis", "--yes").code == 0
    assert Workplace(host.folder).vault.read("h1") == secrets


def test_one_of_the_stacks_own_is_left_out(host: Ctl) -> None:
    said = host("remove-service", "n8n", "h1", "--yes")
    assert said.code == 0, said.err
    assert "    without: [n8n]\n" in inventory(host)
    assert "timezone" in inventory(host), "what was said of it waits for it"
    assert "step 3-configure/20-reload@caddy" in "\n".join(script(host))
    assert host("plan", "h1").code == 0
    assert host("add-service", "n8n", "h1", "--yes").code == 0
    assert inventory(host) == INVENTORY


def test_where_the_data_is(host: Ctl) -> None:
    hello(host)
    host.monkeypatch.setenv("HELLO_TOKEN", "k3-Zq81vTx0w")
    host.write("inventory.yaml", INVENTORY.replace("Etc/UTC}\n", "Etc/UTC, word: hi}\n    services: [greeter]\n"))
    said = host("remove-service", "hello", "--yes")
    assert said.code == 0, said.err
    assert "volume lean-llm_hello, folder /opt/lean-llm/data/hello" in said.err
    assert "services" not in inventory(host)


@pytest.mark.parametrize(
    ("needs", "why"),
    [
        ("  needs: [redis]\n", "hello needs it"),
        ("  uses: [redis]\n  backup: {databases: [{container: redis}]}\n", "hello has its data in it"),
    ],
)
def test_a_service_that_another_one_needs_stays(host: Ctl, needs: str, why: str) -> None:
    hello(host, needs)
    text = INVENTORY.replace("Etc/UTC}\n", "Etc/UTC, word: hi}\n    services: [redis, hello]\n")
    host.write("inventory.yaml", text)
    said = host("remove-service", "redis", "--yes")
    assert said.code == 2
    assert f"redis has to stay on h1: {why}" in said.err
    assert "ctl remove-service hello h1 first" in said.err
    assert (inventory(host), host.transports) == (text, [])


def test_a_service_that_the_inventory_speaks_of_stays(host: Ctl) -> None:
    text = INVENTORY.replace("Etc/UTC}", "Etc/UTC, open_paths: {n8n: [/webhook/*]}}")
    host.write("inventory.yaml", text)
    said = host("remove-service", "n8n", "--yes")
    assert said.code == 2
    assert "n8n has to stay on h1: without it no routed service is named 'n8n'" in said.err
    assert "doors.open names paths of it" in said.err
    assert (inventory(host), host.transports) == (text, [])


def test_a_removal_that_fails_is_not_in_the_inventory(host: Ctl) -> None:
    host.log = b"@ release r\n@ fail remove n8n\n@ exit 1\n"
    said = host("remove-service", "n8n", "--yes")
    assert (said.code, "inventory.yaml is put back" in said.err) == (1, True)
    assert inventory(host) == INVENTORY


# --- several hosts ----------------------------------------------------------------------------------------------------

TWO = INVENTORY.replace("groups: {all: [h1]}", "  h2:\n    address: 203.0.113.2\ngroups: {all: [h1, h2]}")


def test_a_group_gets_it_everywhere(host: Ctl) -> None:
    host.write("inventory.yaml", TWO)
    said = host("add-service", "redis", "all", "--yes", "--json")
    assert said.code == 0, said.err
    assert [each["host"] for each in json.loads(said.out)] == ["h1", "h2"]
    assert inventory(host).count("services: [redis]") == 2
    assert len(host.started) == 2
    assert host("remove-service", "redis", "all", "--yes").code == 0
    assert inventory(host) == TWO


def test_or_nowhere(host: Ctl) -> None:
    text = TWO.replace("203.0.113.2\n", f"203.0.113.2\n{REDIS_LINE}")
    host.write("inventory.yaml", text)
    said = host("add-service", "redis", "all", "--yes")
    assert (said.code, "h2 has redis already" in said.err) == (2, True)
    assert (inventory(host), host.transports) == (text, [])


def test_which_of_two(host: Ctl) -> None:
    host.write("inventory.yaml", TWO)
    said = host("add-service", "redis", "--yes")
    assert (said.code, "which host?" in said.err) == (2, True)


# --- the picker -------------------------------------------------------------------------------------------------------

DOWN, ENTER, CTRL_C, BACK = "\x1b[B", "\r", "\x03", "\x7f"


def keys(ctl: Ctl, typed: str, *words: str) -> Said:
    """The command with somebody at the terminal who types this into the list."""
    from prompt_toolkit.application import create_app_session
    from prompt_toolkit.input import create_pipe_input
    from prompt_toolkit.output import DummyOutput

    ctl.monkeypatch.setattr("ctl.cli.picking.can_pick", lambda: True)
    ctl.monkeypatch.setattr("prompt_toolkit.output.create_output", lambda **_: DummyOutput())
    with create_pipe_input() as pipe, create_app_session(input=pipe):
        pipe.send_text(typed)
        return ctl(*words)


@pytest.mark.parametrize(
    ("typed", "picked"),
    [
        ("redis" + ENTER, "redis"),
        ("QUEUES cach" + ENTER, "redis"),
        ("weavi zz" + ENTER + BACK * 2 + ENTER, "weaviate"),
        (DOWN * 5 + "\x1b[A" * 9 + "weavi" + ENTER, "weaviate"),
    ],
)
def test_picking(host: Ctl, typed: str, picked: str) -> None:
    said = keys(host, typed, "add-service", "--yes")
    assert said.code == 0, said.err
    assert (said.out, f"services: [{picked}]" in inventory(host)) == ("", True)
    assert f"Add to h1: {picked}" in said.err


@pytest.mark.parametrize("typed", [CTRL_C, "red" + CTRL_C, DOWN + "\x04"])
def test_leaving_the_list(host: Ctl, typed: str) -> None:
    said = keys(host, typed, "add-service", "--yes")
    assert (said.code, said.out, inventory(host)) == (130, "", INVENTORY)
    assert not (host.folder / "vault.enc").exists()
    assert not host.transports
