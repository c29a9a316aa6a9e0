"""The life of a secret, from the command line, with hosts that exist only here."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from conftest import INVENTORY, Ctl
from samples import Machine, fit, members, sent, settled

from ctl.cli.workplace import Workplace
from ctl.core.errors import ConnectionLost
from ctl.core.ports import Result
from ctl.core.probe import Facts
from ctl.core.quoting import dotenv
from ctl.core.release import Release
from ctl.core.secret import KEEPSAKE, keepsake_digests
from ctl.edge.fake import FakeTransport

ROOT = "/opt/lean-llm"
STORE = """\
services:
  store:
    image: store:1
    environment: {STORE_PASSWORD: "{{ secret('STORE_PASSWORD') }}"}
    healthcheck: {test: ["CMD", "true"]}
    deploy: {resources: {limits: {memory: 64M}}}
x-ctl:
  summary: Keeps a password of its own
  secrets: {STORE_PASSWORD: {generate: alnum, bytes: 16, rotate: store}}
"""
RECIPE = "printf '%s' \"$new\" | compose exec -T store change {{ stack.name }}\n"


class Storing(Machine):
    """A host with a store in it, which has a password of its own; answers like one that runs what it is told."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.stored: list[str] = []
        self.recipe_fails: Result | Exception | None = None

    def __call__(self, command: str, stdin: bytes) -> Result | Exception:
        text = sent(command)
        if "IFS= read -r old" not in text:
            return super().__call__(command, stdin)
        self.texts.append(text)
        if self.recipe_fails:
            return self.recipe_fails
        old, new = stdin.decode().splitlines()
        assert not self.stored or self.stored[-1] == old
        self.stored.append(new)
        return Result(0, b"", b"")


@pytest.fixture
def store(ctl: Ctl) -> Storing:
    """The host h1 with the service `store`, as it was last deployed."""
    ctl.write("templates/services/store/compose.yaml.j2", STORE)
    ctl.write("templates/services/store/rotate/store.sh.j2", RECIPE)
    ctl.write("inventory.yaml", INVENTORY.replace("{timezone: Etc/UTC}", "{timezone: Etc/UTC}\n    services: [store]"))
    place = Workplace(ctl.folder)
    machine = Storing(deployed(place.aim(place.host("h1")).release))
    ctl.monkeypatch.setattr(Workplace, "transport", lambda place, host, **_: FakeTransport(machine))
    return machine


def deployed(release: Release) -> Facts:
    kept = release.file(f"{release.root}/{KEEPSAKE}")
    return settled(release, secrets=keepsake_digests(kept.content.decode()) if kept else {})


def value(ctl: Ctl, name: str) -> str:
    return ctl("secrets", "show", "h1", name).out.strip()


# --- list, show, set -------------------------------------------------------------------------------------------------


def test_list_tells_where_each_comes_from_and_never_what_it_is(ctl: Ctl) -> None:
    ctl.monkeypatch.setenv("BASIC_AUTH_PASSWORD", "typed by a person")
    ctl.write(".env", "FLOWISE_SESSION=from-the-file-1\n")
    rows = {row["name"]: row for row in json.loads(ctl("secrets", "list", "h1", "--json").out)}
    assert rows["BASIC_AUTH_PASSWORD"]["source"] == "environment or .env"
    assert rows["FLOWISE_SESSION"]["source"] == "environment or .env"
    assert rows["N8N_ENCRYPTION_KEY"] == {
        "name": "N8N_ENCRYPTION_KEY",
        "source": "generated at first use",
        "sticky": True,
        "rotate": None,
        "login": False,
        "about": "encrypts n8n's stored credentials",
    }
    ctl("plan", "h1", "--bare")
    text = ctl("secrets", "list", "h1").out
    assert "N8N_ENCRYPTION_KEY   vault" in text
    assert "sticky" in text
    assert value(ctl, "N8N_ENCRYPTION_KEY") not in text
    assert "typed by" not in text


def test_list_names_what_nobody_supplies(ctl: Ctl) -> None:
    ctl.write("inventory.yaml", INVENTORY.replace("access: internal", "access: ngrok, ngrok_domain: a.ngrok-free.app"))
    assert "NGROK_AUTHTOKEN      MISSING" in ctl("secrets", "list", "h1").out


def give(ctl: Ctl, text: str | bytes) -> None:
    raw = text if isinstance(text, bytes) else text.encode()
    ctl.monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(raw), encoding="utf-8"))


def test_set_reads_one_line_from_stdin_and_echoes_nothing(ctl: Ctl) -> None:
    give(ctl, "p $5 'x' \"y\" \\\n")
    said = ctl("secrets", "set", "h1", "BASIC_AUTH_PASSWORD")
    assert (said.code, said.out) == (0, "")
    assert "p $5" not in said.err
    assert value(ctl, "BASIC_AUTH_PASSWORD") == "p $5 'x' \"y\" \\"


@pytest.mark.parametrize("given", ["", "\n", "two\nlines\n", "a\0bcdefgh", b"\xff\xfe12345678"])
def test_set_refuses_what_is_no_line_of_text(ctl: Ctl, given: str | bytes) -> None:
    give(ctl, given)
    assert ctl("secrets", "set", "h1", "BASIC_AUTH_PASSWORD").code == 2


@pytest.mark.parametrize("weak", ["changeme", "password", "sk-1234", "admin", "your-token-here", "hunter2"])
def test_a_known_default_is_refused_wherever_it_comes_from(ctl: Ctl, weak: str) -> None:
    give(ctl, weak + "\n")
    said = ctl("secrets", "set", "h1", "BASIC_AUTH_PASSWORD")
    assert said.code == 2
    ctl.write(".env", f"BASIC_AUTH_PASSWORD={weak}\n")
    for words in ("plan h1", "deploy h1 --yes", "status h1", "render h1 --out out"):
        said = ctl(*words.split())
        assert said.code == 2
        assert "the secret BASIC_AUTH_PASSWORD is " in said.err
        assert weak not in said.err.replace("secrets set h1", "") or weak in {"password", "admin"}
    assert not ctl.transports


def test_set_warns_where_the_environment_comes_first(ctl: Ctl) -> None:
    ctl.monkeypatch.setenv("BASIC_AUTH_PASSWORD", "typed by a person")
    give(ctl, "a fine new one")
    assert "comes first" in ctl("secrets", "set", "h1", "BASIC_AUTH_PASSWORD").err


# --- lost, and pulled ------------------------------------------------------------------------------------------------


def on_host(ctl: Ctl, *but: str) -> dict[str, bytes]:
    """The files with secrets on the host, as the present release has them."""
    place = Workplace(ctl.folder)
    release = place.aim(place.host("h1")).release
    return {
        file.path: file.content
        for file in release.files
        if file.path.endswith((".env", "Caddyfile")) and not file.path.endswith(but or ("-",))
    }


@pytest.mark.parametrize("command", ["plan h1", "deploy h1 --yes", "deploy h1 --yes --phase 2 --only n8n"])
def test_a_lost_vault_does_not_cost_the_data_its_key(ctl: Ctl, command: str) -> None:
    there = deployed(Workplace(ctl.folder).aim(Workplace(ctl.folder).host("h1")).release)
    files, key = on_host(ctl), value(ctl, "N8N_ENCRYPTION_KEY")
    (ctl.folder / "vault.enc").unlink()
    ctl.facts, ctl.contents = lambda release: there, files
    for _ in range(2):  # the second time the vault holds a new key, and is refused all the same
        said = ctl(*command.split())
        assert said.code == 2
        assert "h1 holds another FLOWISE_SECRETKEY, N8N_ENCRYPTION_KEY than this release" in said.err
        assert "ctl secrets pull h1" in said.err
    assert not ctl.started
    said = ctl("secrets", "pull", "h1")
    assert said.code == 0
    assert "N8N_ENCRYPTION_KEY  replaced" in said.err
    assert "BASIC_AUTH_PASSWORD  not on the host" in said.err
    assert key not in said.out + said.err
    assert value(ctl, "N8N_ENCRYPTION_KEY") == key
    assert ctl(*command.split()).code == 0


def test_pull_needs_nothing_but_what_data_depends_on(ctl: Ctl) -> None:
    files, key = on_host(ctl, "n8n/.env", "flowise/.env"), value(ctl, "FLOWISE_SECRETKEY")
    (ctl.folder / "vault.enc").unlink()
    ctl.contents = files
    assert "FLOWISE_SECRETKEY  recovered" in ctl("secrets", "pull", "h1").err
    assert value(ctl, "FLOWISE_SECRETKEY") == key


def test_pull_from_a_bare_host_says_that_there_is_nothing(ctl: Ctl) -> None:
    said = ctl("secrets", "pull", "h1")
    assert said.code == 1
    assert f"h1 holds no secrets under {ROOT}" in said.err


def test_pull_takes_only_what_is_declared(ctl: Ctl) -> None:
    ctl.contents = {f"{ROOT}/stacks/n8n/.env": b"N8N_ENCRYPTION_KEY='from-the-host-1'\nPATH='/evil'\n"}
    assert ctl("secrets", "pull", "h1").code == 0
    assert "PATH" not in Workplace(ctl.folder).vault.read("h1")


@pytest.mark.parametrize("content", [b"N8N_ENCRYPTION_KEY=bare-value-1\n", b"\xff\n", b"X='open\n"])
def test_a_file_that_somebody_else_wrote_is_named_by_line_and_not_shown(ctl: Ctl, content: bytes) -> None:
    ctl.contents = {f"{ROOT}/stacks/n8n/.env": content}
    said = ctl("secrets", "pull", "h1")
    assert said.code == 2
    assert f"h1:{ROOT}/stacks/n8n/.env" in said.err
    assert "bare-value" not in said.err


def test_pull_says_where_the_environment_disagrees(ctl: Ctl) -> None:
    ctl.monkeypatch.setenv("N8N_ENCRYPTION_KEY", "another-of-mine-1")
    ctl.contents = {f"{ROOT}/stacks/n8n/.env": b"N8N_ENCRYPTION_KEY='from-the-host-1'\n"}
    assert "says something else for N8N_ENCRYPTION_KEY" in ctl("secrets", "pull", "h1").err


# --- rotate ----------------------------------------------------------------------------------------------------------


def test_rotate_runs_the_recipe_then_deploys_what_uses_it(ctl: Ctl, store: Storing) -> None:
    old = value(ctl, "STORE_PASSWORD")
    said = ctl("secrets", "rotate", "h1", "STORE_PASSWORD", "--yes")
    assert said.code == 0, said.err
    new = value(ctl, "STORE_PASSWORD")
    assert store.stored == [new] != [old]
    assert "container store  recreate" in said.err
    assert "container n8n" not in said.err
    (archive,) = store.started
    assert f"STORE_PASSWORD={dotenv(new)}\n".encode() in members(archive).values()
    everywhere = said.out + said.err + "".join(store.texts) + members(archive)["script"].decode()
    assert old not in everywhere
    assert new not in everywhere
    assert "change lean-llm" in "".join(store.texts)


def test_rotate_without_a_recipe_is_a_new_value_and_a_deploy(ctl: Ctl, store: Storing) -> None:
    old = value(ctl, "FLOWISE_SESSION")
    assert ctl("secrets", "rotate", "h1", "FLOWISE_SESSION", "--yes").code == 0
    assert value(ctl, "FLOWISE_SESSION") != old
    assert (len(store.stored), len(store.started)) == (0, 1)


@pytest.mark.parametrize(
    ("log", "code"),
    [(b"@ release r\n@ unhealthy store unhealthy\n@ exit 6\n", 6), (b"@ release r\n@ fail put /x\n@ exit 1\n", 1)],
)
def test_what_does_not_come_up_has_its_old_value_back(ctl: Ctl, store: Storing, log: bytes, code: int) -> None:
    old = value(ctl, "STORE_PASSWORD")
    store.log = log
    said = ctl("secrets", "rotate", "h1", "STORE_PASSWORD", "--yes")
    assert said.code == code
    assert "the old STORE_PASSWORD is back" in said.err
    assert len(store.stored) == 2
    assert store.stored[-1] == old
    assert value(ctl, "STORE_PASSWORD") == old
    assert set(Workplace(ctl.folder).vault.read("h1")) >= {"STORE_PASSWORD"}
    assert "STORE_PASSWORD.next" not in Workplace(ctl.folder).vault.read("h1")


def test_a_recipe_that_fails_says_why_without_the_values(ctl: Ctl, store: Storing) -> None:
    old = value(ctl, "STORE_PASSWORD")
    store.recipe_fails = Result(1, b"", f"\x1b[31mcannot change {old}\n".encode())
    said = ctl("secrets", "rotate", "h1", "STORE_PASSWORD", "--yes")
    assert said.code == 1
    assert "the recipe for STORE_PASSWORD failed on h1 (exit code 1): [31mcannot change ••••" in said.err
    assert "could not be brought back" in said.err
    assert old not in said.err
    assert not store.started
    assert value(ctl, "STORE_PASSWORD") == old


def test_a_rotation_that_was_cut_short_is_ended_by_the_next(ctl: Ctl, store: Storing) -> None:
    old = value(ctl, "STORE_PASSWORD")
    store.recipe_fails = ConnectionLost("gone")
    assert ctl("secrets", "rotate", "h1", "STORE_PASSWORD", "--yes").code == 5
    pending = Workplace(ctl.folder).vault.read("h1")["STORE_PASSWORD.next"]
    assert value(ctl, "STORE_PASSWORD") == old
    store.recipe_fails = None
    said = ctl("secrets", "rotate", "h1", "STORE_PASSWORD", "--yes")
    assert said.code == 0
    assert "was cut short" in said.err
    assert store.stored == [pending]
    assert value(ctl, "STORE_PASSWORD") == pending
    assert "STORE_PASSWORD.next" not in Workplace(ctl.folder).vault.read("h1")


def test_a_host_that_got_the_new_value_already_is_not_sent_away(ctl: Ctl, store: Storing) -> None:
    """The client was killed after the apply, before the vault knew: only a rotation may go on from there."""
    place = Workplace(ctl.folder)
    place.vault.keep("h1", {"STORE_PASSWORD.next": "the-new-value-1"})
    from ctl.core.secret import Secret

    new = place.aim(place.host("h1"), instead=(Secret("STORE_PASSWORD", "the-new-value-1"),)).release
    store.facts = deployed(new)
    said = ctl("deploy", "h1", "--yes")
    assert said.code == 2
    assert "ctl secrets rotate" in said.err
    said = ctl("secrets", "rotate", "h1", "STORE_PASSWORD", "--yes")
    assert said.code == 0
    assert value(ctl, "STORE_PASSWORD") == "the-new-value-1"
    assert not store.started
    assert ctl("plan", "h1", "--detailed-exitcode").code == 0


Change = Callable[[Facts], Facts]
REFUSED: list[tuple[str, Change, int, str]] = [
    ("N8N_ENCRYPTION_KEY", lambda facts: facts, 2, "is sticky and never changes: encrypts n8n's stored credentials"),
    ("NOPE", lambda facts: facts, 2, "no secret of this host is named 'NOPE'"),
    ("STORE_PASSWORD", lambda facts: fit(), 1, "nothing is deployed on h1"),
    ("STORE_PASSWORD", lambda facts: replace(facts, files={}), 2, "is to be the only change"),
    ("STORE_PASSWORD", lambda facts: replace(facts, locked=True, lock="me"), 4, "another run is at work on h1: me"),
]


@pytest.mark.parametrize(("name", "change", "code", "message"), REFUSED)
def test_what_cannot_be_rotated_is_left_alone(
    ctl: Ctl, store: Storing, name: str, change: Change, code: int, message: str
) -> None:
    assert isinstance(store.facts, Facts)
    store.facts = change(store.facts)
    said = ctl("secrets", "rotate", "h1", name, "--yes")
    assert said.code == code
    assert message in said.err
    assert not store.stored
    assert not store.started


def test_rotate_refuses_what_it_would_not_change(ctl: Ctl, store: Storing) -> None:
    ctl.monkeypatch.setenv("STORE_PASSWORD", "typed by a person")
    assert "comes from the environment or .env" in ctl("secrets", "rotate", "h1", "STORE_PASSWORD", "--yes").err


def test_rotate_asks_first(ctl: Ctl, store: Storing) -> None:
    said = ctl("secrets", "rotate", "h1", "STORE_PASSWORD")
    assert said.code == 2
    assert "nobody is here to confirm" in said.err
    assert not store.stored
    assert "STORE_PASSWORD.next" not in Workplace(ctl.folder).vault.read("h1")


def test_a_value_changed_by_hand_does_not_reach_a_store_that_has_another(ctl: Ctl, store: Storing) -> None:
    give(ctl, "a fine new password")
    assert ctl("secrets", "set", "h1", "STORE_PASSWORD").code == 0
    said = ctl("deploy", "h1", "--yes")
    assert said.code == 2
    assert "h1 holds another STORE_PASSWORD than this release" in said.err
