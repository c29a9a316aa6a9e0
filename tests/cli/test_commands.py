"""What the commands do and print, with hosts that exist only here."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from conftest import INVENTORY, Ctl
from samples import SENTINEL, container_fact, der, fit, members, settled

from ctl.core.errors import ConnectFailed, HostKeyUnknown
from ctl.core.inventory import decode_inventory, find_host
from ctl.core.probe import Facts, FileFact
from ctl.core.release import Release
from ctl.edge.fake import FakeTransport

N8N = "/opt/lean-llm/stacks/n8n/compose.yaml"
OLD = FileFact("0" * 64, 0o644, "root:root")


def drifted(release: Release) -> Facts:
    done = settled(release)
    return replace(done, files={**done.files, N8N: OLD})


def test_plan_of_a_bare_host(ctl: Ctl) -> None:
    said = ctl("plan", "h1")
    assert (said.code, said.err) == (0, "")
    assert said.out.startswith("h1: lean-llm, release ")
    for line in ("1-setup", "+ file      /opt/lean-llm/compose.yaml", "+ container n8n  create: not there"):
        assert line in said.out
    assert not ctl.started


@pytest.mark.parametrize(("facts", "code"), [(fit(), 3), (settled, 0), (drifted, 3)])
def test_detailed_exitcode(ctl: Ctl, facts: Any, code: int) -> None:
    ctl.facts = facts
    for command in ("plan", "status"):
        assert ctl(command, "h1", "--detailed-exitcode").code == code
        assert ctl(command, "h1").code == 0


def test_nothing_to_do_costs_one_connection_and_one_command(ctl: Ctl) -> None:
    ctl.facts = settled
    said = ctl("deploy", "h1")
    assert said.code == 0
    assert "nothing to do" in said.err
    assert [(each.connections, each.channels) for each in ctl.transports] == [(1, 1)]


def test_drift_is_told(ctl: Ctl) -> None:
    ctl.facts, ctl.contents = drifted, {N8N: b"edited by hand\n"}
    said = ctl("plan", "h1")
    assert "drift: changed on the host" in said.out
    assert "-edited by hand" in said.out
    assert "not as it should be" in ctl("status", "h1").out


@pytest.mark.parametrize("facts", [fit(), settled, drifted])
@pytest.mark.parametrize("words", ["plan h1", "status h1", "deploy h1 --yes", "setup h1 --yes", "configure h1 --yes"])
def test_json_is_all_that_is_on_stdout(ctl: Ctl, facts: Any, words: str) -> None:
    ctl.facts = facts
    said = ctl(*words.split(), "--json")
    assert said.code == 0
    assert json.loads(said.out)["host"] == "h1"


@pytest.mark.parametrize("words", ["stacks", "services", "stacks show lean-llm", "secrets list h1"])
def test_json_of_the_catalogue(ctl: Ctl, words: str) -> None:
    said = ctl(*words.split(), "--json")
    assert (said.code, said.err) == (0, "")
    assert json.loads(said.out)


def test_the_catalogue_fits_a_terminal_of_80_columns(ctl: Ctl, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    lines = ctl("services").out.splitlines()
    assert max(map(len, lines)) <= 80
    names = [service["name"] for service in json.loads(ctl("services", "--json").out)]
    assert len(names) > 25
    assert {line.split()[0] for line in lines if line[:1] == " " and line[1:2] != " "} == set(names)


def test_json_of_two_hosts_is_a_list(ctl: Ctl) -> None:
    ctl.write("inventory.yaml", INVENTORY.replace("groups: {all: [h1]}", "  h2: {}\ngroups: {all: [h1, h2]}"))
    for words in ("status all", "deploy all --yes"):
        assert [each["host"] for each in json.loads(ctl(*words.split(), "--json").out)] == ["h1", "h2"]
    assert len(ctl.started) == 2


def test_the_script_that_is_shown_is_the_one_that_runs(ctl: Ctl) -> None:
    shown = ctl("plan", "h1", "--script").out
    assert ctl("deploy", "h1", "--yes").code == 0
    assert members(ctl.started[0])["script"].decode() == shown
    assert shown.startswith("#!/bin/sh\n")


def test_a_bare_plan_asks_nobody(ctl: Ctl) -> None:
    assert ctl("plan", "h1", "--bare", "--script").out == ctl("plan", "h1", "--script").out
    assert len(ctl.transports) == 1


def test_rendering_twice_gives_the_same_bytes(ctl: Ctl) -> None:
    for out in ("one", "two"):
        assert ctl("render", "h1", "--out", out).code == 0
    assert not ctl.transports
    one, two = ({path.relative_to(out): path for path in out.rglob("*")} for out in map(Path, ("one", "two")))
    assert one.keys() == two.keys()
    assert all(one[name].is_dir() or one[name].read_bytes() == two[name].read_bytes() for name in one)
    assert (Path("one").stat().st_mode & 0o777, Path("one/opt/lean-llm/stacks/n8n/.env").stat().st_mode & 0o777) == (
        0o700,
        0o600,
    )
    assert ctl("render", "h1", "--out", "one", "--force").code == 0


@pytest.mark.parametrize("command", ["deploy", "setup", "configure"])
def test_nobody_at_the_terminal_and_no_yes(ctl: Ctl, command: str) -> None:
    said = ctl(command, "h1")
    assert said.code == 2
    assert "--yes" in said.err
    assert not ctl.started


@pytest.mark.parametrize(
    ("answer", "code"), [("y", 0), ("YES", 0), ("n", 130), ("", 130), (KeyboardInterrupt, 130), (EOFError, 130)]
)
def test_the_prompt(ctl: Ctl, answer: Any, code: int) -> None:
    ctl.answer(answer)
    said = ctl("deploy", "h1")
    assert said.code == code
    assert bool(ctl.started) == (code == 0)
    assert said.out == ""
    if code:
        assert "error: " in said.err


def test_ctrl_c_while_the_run_is_at_work(ctl: Ctl) -> None:
    def interrupted(*_: Any) -> Any:
        raise KeyboardInterrupt

    ctl.monkeypatch.setattr("ctl.cli.progress.Progress.take", interrupted)
    said = ctl("deploy", "h1", "--yes")
    assert said.code == 130
    assert "goes on on h1" in said.err


def test_the_events_of_a_run_are_told(ctl: Ctl) -> None:
    ctl.log = b"@ phase 2-deploy\n@ put /a\n@ put /b\n@ up n8n\n| [31mred[/]\n@ healthy n8n\n@ exit 0\n"
    said = ctl("deploy", "h1", "--yes")
    assert said.code == 0
    for words in ("2 files written", "n8n is healthy", "h1 runs lean-llm", "https://n8n.localhost"):
        assert words in said.err
    assert said.out == ""


FAILURES = [
    (b"@ step 1-setup/10-packages\n| no space\n@ fail step 1-setup/10-packages 1\n@ exit 1\n", 1, "no space"),
    (b"@ up n8n\n@ unhealthy n8n starting\n@ exit 6\n", 6, "n8n did not become healthy"),
    (b"@ locked you since noon\n@ exit 4\n", 4, "another run is at work on h1: you since noon"),
]


@pytest.mark.parametrize(("log", "code", "message"), FAILURES)
def test_exit_codes_of_runs(ctl: Ctl, log: bytes, code: int, message: str) -> None:
    ctl.log = log
    said = ctl("deploy", "h1", "--yes")
    assert said.code == code
    assert message in said.err


@pytest.mark.parametrize(
    ("facts", "code", "message"),
    [
        (fit(os="fedora", os_name="Fedora"), 1, "Fedora is not supported"),
        (fit(bits="32", arch="i686"), 1, "i686 (32 bit) is not supported"),
        (fit(memory=100), 1, "MB of memory, the host has 100 MB"),
        (fit(disk_free=100), 1, "MB of disk, 100 MB are free"),
        (fit(listeners=(("*", 443, "apache2"),)), 1, "127.0.0.1:443 is wanted, and apache2 listens there"),
        (fit(routes=(("172.21.8.0/24", "wg0"),)), 1, "172.21.0.0/16 is wanted, and the route over wg0 has 172.21.8.0"),
        (fit(locked=True, lock="you since noon"), 4, "another run is at work on h1: you since noon"),
    ],
)
def test_hosts_that_are_left_alone(ctl: Ctl, facts: Facts, code: int, message: str) -> None:
    ctl.facts = facts
    said = ctl("deploy", "h1", "--yes")
    assert said.code == code
    assert message in said.err
    assert not ctl.started


@pytest.mark.parametrize(
    "error", [ConnectFailed("port closed", hint="try"), HostKeyUnknown("who is it", hint="accept")]
)
@pytest.mark.parametrize("command", ["plan", "deploy", "status"])
def test_hosts_that_are_not_reached(ctl: Ctl, command: str, error: Any) -> None:
    ctl.monkeypatch.setattr(Ctl, "transport", lambda self, place, host: FakeTransport([("", error)]))
    said = ctl(command, "h1")
    assert said.code == 5
    assert said.err.splitlines()[-2:] == [f"error: {error.message}", f"hint:  {error.hint}"]


def test_one_unfit_host_of_two_and_neither_is_touched(ctl: Ctl) -> None:
    ctl.write("inventory.yaml", INVENTORY.replace("groups: {all: [h1]}", "  h2: {}\ngroups: {all: [h1, h2]}"))
    ctl.facts = lambda release: fit(memory=100) if release.host == "h2" else fit()
    said = ctl("deploy", "all", "--yes")
    assert said.code == 1
    assert "h2:" in said.err
    assert not ctl.started


# Hosts that are in no inventory.

NEW = ["--stack", "lean-llm", "--set", "access=internal", "--yes"]


@pytest.mark.parametrize(
    ("target", "name", "expected"),
    [
        ("me@203.0.113.9", "203.0.113.9", ("203.0.113.9", "me", 22)),
        ("root@example.com:2222", "example.com", ("example.com", "root", 2222)),
        ("me@[2001:db8::1]:22", "2001-db8-1", ("2001:db8::1", "me", 22)),
        ("me@[::1]", "1", ("::1", "me", 22)),
        (
            f"{'u' * 64}@{'a' * 60}.{'b' * 60}.example.com",
            f"{'a' * 60}.bb",
            (f"{'a' * 60}.{'b' * 60}.example.com", "u" * 64, 22),
        ),
    ],
)
def test_a_new_host_is_written_into_the_inventory(ctl: Ctl, target: str, name: str, expected: Any) -> None:
    said = ctl("deploy", target, *NEW)
    assert said.code == 0
    assert "inventory.yaml now says:" in said.err
    text = (ctl.folder / "inventory.yaml").read_text()
    for kept in ("# The hosts of this project.", "# the first", "groups: {all: [h1]}", "h1:"):
        assert kept in text
    host = find_host(decode_inventory(text, file="inventory.yaml"), name)
    assert (host.address, host.user, host.port) == expected
    ctl.facts = settled
    said = ctl("deploy", target)
    assert (said.code, "nothing to do" in said.err) == (0, True), "the second time it is known, with its settings"
    assert (ctl.folder / "inventory.yaml").read_text() == text


def test_a_new_inventory_is_begun(ctl: Ctl) -> None:
    (ctl.folder / "inventory.yaml").unlink()
    assert ctl("deploy", "me@203.0.113.9", *NEW).code == 0
    host = find_host(decode_inventory((ctl.folder / "inventory.yaml").read_text(), file="i"), "203.0.113.9")
    assert (host.user, host.stack, host.vars) == ("me", "lean-llm", {"access": "internal"})


@pytest.mark.parametrize("command", ["plan", "status"])
def test_looking_at_a_new_host_writes_nothing(ctl: Ctl, command: str) -> None:
    ctl.write("inventory.yaml", INVENTORY)
    assert ctl(command, "me@203.0.113.9", "--stack", "lean-llm").code in {0, 2}
    assert (ctl.folder / "inventory.yaml").read_text() == INVENTORY


def test_a_known_host_by_its_address_is_that_host(ctl: Ctl) -> None:
    assert ctl("plan", "root@203.0.113.1").out.startswith("h1: lean-llm")


# Secrets.

TOKEN = f"{SENTINEL}ngrok-token"
ON_NGROK = ["--set", "access=ngrok", "--set", "ngrok_domain=x.ngrok-free.app"]


def secrets(ctl: Ctl) -> list[str]:
    """All values that this project has: the supplied one, and those that were generated."""
    from ctl.edge.vault import Vault

    kept = Vault(ctl.folder).read("h1")
    assert "BASIC_AUTH_PASSWORD" in kept
    return [TOKEN, *kept.values()]


def test_no_secret_is_in_any_output(ctl: Ctl, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(0)
    ctl.monkeypatch.setenv("NGROK_AUTHTOKEN", TOKEN)
    shown = []
    commands = ["plan h1", "plan h1 --json", "plan h1 --script", "plan h1 --bare", "status h1", "status h1 --json"]
    commands += ["deploy h1 --yes", "deploy h1 --yes --json", "render h1 --out rendered --force"]
    env = "/opt/lean-llm/stacks/n8n/.env"
    for facts in (fit(), settled, drifted):
        ctl.facts = facts
        ctl.log = b"@ up n8n\n| said\n@ unhealthy n8n starting\n@ exit 6\n" if facts is drifted else b"@ exit 0\n"
        ctl.contents = {N8N: f"# {TOKEN}\n".encode(), env: TOKEN.encode()}
        for command in commands:
            said = ctl(*command.split(), *(ON_NGROK if "status" not in command else []))
            assert said.code in {0, 2, 6}, said.err
            shown += [said.out, said.err]
    shown += [ctl("secrets", "list", "h1").out, ctl("secrets", "list", "h1", "--json").out, caplog.text]
    shown += [text for machine in ctl.machines.values() for text in machine.texts]
    for value in secrets(ctl):
        assert not any(value in text for text in shown)
    assert any(TOKEN.encode() in content for content in members(ctl.started[0]).values()), "the sentinel can be found"


def test_a_secret_stays_what_it_is(ctl: Ctl) -> None:
    first = ctl("plan", "h1", "--json").out
    assert ctl("plan", "h1", "--json").out == first
    assert (ctl.folder / "vault.enc").stat().st_mode & 0o777 == 0o600


def test_the_login_can_be_read_later(ctl: Ctl) -> None:
    ctl("plan", "h1")
    user, password = ctl("secrets", "show", "h1", "--login").out.split()
    assert user == "admin"
    assert password in secrets(ctl)


# Status.


def broken(release: Release) -> Facts:
    """n8n is unhealthy, and Flowise is not there."""
    ill = {"health": "unhealthy", "status": "Up 2 hours (unhealthy)"}
    there = [each for each in release.containers if each.service != "flowise"]
    facts = [container_fact(each, **(ill if each.name == "n8n" else {})) for each in there]
    return replace(settled(release), containers=tuple(facts))


@pytest.mark.parametrize(("facts", "ill"), [(settled, set()), (broken, {"n8n", "flowise"})])
def test_status(ctl: Ctl, facts: Any, ill: set[str]) -> None:
    ctl.facts = facts
    report = json.loads(ctl("status", "h1", "--json").out)
    assert {service["name"] for service in report["services"]} >= {"n8n", "flowise", "caddy"}
    assert {service["name"] for service in report["services"] if not service["healthy"]} == ill
    assert report["healthy"] == (not ill)
    assert {change["name"] for change in report["drift"]} == ill
    assert ("not healthy" in ctl("status", "h1").out) == bool(ill)


def test_status_shows_what_certificates_the_doors_have(ctl: Ctl) -> None:
    ends = datetime.fromtimestamp(fit().time, UTC) + timedelta(days=10, hours=1)
    shown = der("n8n.localhost", begins=ends - timedelta(days=90), ends=ends, issuer="Some Authority")
    found = {"certificates": {"n8n.localhost": shown, "flowise.localhost": ""}, "refused": "too many, wait"}
    ctl.facts = lambda release: settled(release, **found)
    report = json.loads(ctl("status", "h1", "--json").out)
    assert report["certificates"] == [
        {
            "names": ["n8n.localhost", "*.n8n.localhost"],
            "issuer": "Some Authority",
            "self_signed": False,
            "serial": "1234",
            "expires": ends.isoformat(),
            "days": 10,
            "warning": "it expires in 10 days and was not renewed",
        }
    ]
    assert report["certificate_refused"] == "too many, wait"
    said = ctl("status", "h1").out
    assert "! certificate n8n.localhost, *.n8n.localhost, signed by Some Authority, 10 days left" in said
    assert "the authority gave none when last asked: too many, wait" in said


def test_a_deploy_tells_what_failed_and_could(ctl: Ctl) -> None:
    ctl.log = b"@ release r\n@ step 3-configure/25-x\n| the reason\n@ warn 3-configure/25-x\n@ exit 0\n"
    said = ctl("deploy", "h1", "--yes", "--json")
    assert (said.code, json.loads(said.out)["warnings"]) == (0, ["the reason"])
    assert "! the reason" in said.err


# The program itself.

HEAVY = ("fabric", "paramiko", "docker", "cryptography", "jinja2", "yaml", "aiohttp", "jwt")


@pytest.mark.parametrize(
    "words", [["--help"], ["--version"], ["deploy", "--help"], ["lab", "--help"], ["bridge", "--help"]]
)
def test_help_and_version_import_nothing_heavy(words: list[str]) -> None:
    code = (
        "import sys; from ctl.__main__ import run; code = run(sys.argv[1:]); "
        f"found = [name for name in {HEAVY!r} if name in sys.modules]; sys.exit(repr(found) if found else code)"
    )
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "ctl" in done.stdout


def commands(group: Any, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    found = [path]
    for name, command in getattr(group, "commands", {}).items():
        found += commands(command, (*path, name))
    return found


def all_commands() -> list[tuple[str, ...]]:
    import typer.main

    from ctl.cli.app import app

    return commands(typer.main.get_command(app))


@pytest.mark.parametrize("path", all_commands(), ids=lambda path: " ".join(path) or "ctl")
def test_every_command_has_help(ctl: Ctl, path: tuple[str, ...]) -> None:
    import typer.main

    from ctl.cli.app import app

    command: Any = typer.main.get_command(app)
    for name in path:
        command = command.commands[name]
    assert command.help
    assert not [each.name for each in command.params if each.param_type_name == "option" and not each.help]
    assert ctl(*path, "--help").code == 0


def test_an_output_that_nobody_reads_is_no_fault() -> None:
    done = subprocess.run(
        f"{sys.executable} -m ctl services show n8n | true", shell=True, capture_output=True, text=True
    )
    assert done.stderr == ""
