"""Every bad input that needs no host to be seen: a clear message, the right exit code, and no host touched."""

from __future__ import annotations

import pytest
from conftest import INVENTORY, Ctl

HOST = "hosts:\n  h1:\n    address: 203.0.113.1\n    stack: lean-llm\n    vars: {access: internal}\n"

WORDS = [
    ("plan h1 --stack lean-lm", "no stack is named 'lean-lm'", "did you mean lean-llm?"),
    ("plan h2", "no host is named 'h2'", "did you mean h1?"),
    ("plan h1 --only flowwise", "no service on this host is named 'flowwise'", "did you mean flowise?"),
    ("plan h1 --set timzone=x", "no variable is named 'timzone'", "did you mean timezone?"),
    ("plan h1 --set timezone", "--set takes name=value, got 'timezone'", ""),
    ("plan h1 --set https_port=ssh", "hosts.h1.vars.https_port: expected an integer, got 'ssh'", ""),
    ("plan h1 --set access=telnet", "expected one of ngrok, public, internal, got 'telnet'", ""),
    ("plan h1 --set access=ngrok", "access through ngrok needs a domain", "ngrok_domain"),
    ("plan h1 --phase 5", "less than or equal to 4", "ctl plan --help"),
    ("plan h1 --nope", "No such option", "ctl plan --help"),
    ("plan h1 h2", "unexpected extra argument", "ctl plan --help"),
    ("paln h1", "No such command 'paln'", "ctl --help"),
    ("render h1", "Missing option '--out'", "ctl render --help"),
    ("-C nowhere plan h1", "nowhere is not a folder", "--project names the folder"),
    ("stacks show lean-lm", "no stack is named 'lean-lm'", "did you mean lean-llm?"),
    ("services show n8", "no service is named 'n8'", "did you mean n8n?"),
    ("plan me@203.0.113.9", "which stack is", ""),
    ("lab up production", "'production' is no name for a lab host", "lab, or lab-something"),
    ("deploy root@local --stack lean-llm", "local is no server to log in to", "write local alone"),
    ("deploy root@lab --stack lean-llm", "lab is no server to log in to", "write lab alone"),
]


@pytest.mark.parametrize(("words", "message", "hint"), WORDS, ids=[row[0] for row in WORDS])
def test_wrong_words(ctl: Ctl, words: str, message: str, hint: str) -> None:
    if "me@" in words:
        ctl.write("inventory.yaml", "")
    said = ctl(*words.split())
    assert said.code == 2
    assert said.out == ""
    assert message in said.err
    assert hint in said.err
    assert said.err.count("error: ") == 1
    assert not ctl.transports


TARGETS = [
    "a@b@c",
    "ssh://x",
    "h;ls",
    "",
    "x y",
    "$(id)",
    "a@",
    "@b",
    "a@b:0",
    "a@b:x",
    "a@-oX",
    "a@2001:db8::1",
    "a\nb",
]


@pytest.mark.parametrize("target", ["-oProxyCommand=x", *TARGETS])
@pytest.mark.parametrize("command", ["plan", "deploy", "status"])
def test_what_is_no_target(ctl: Ctl, command: str, target: str) -> None:
    said = ctl(command, "--", target)
    assert said.code == 2
    assert said.out == ""
    assert "is not a target" in said.err or "the target is empty" in said.err or "which host?" in said.err
    assert not ctl.transports


def test_a_target_that_looks_like_an_option(ctl: Ctl) -> None:
    said = ctl("deploy", "-oProxyCommand=x", "--yes")
    assert said.code == 2
    assert "No such option: -o" in said.err


INVENTORIES = [
    ("hosts: [", "inventory.yaml:1: is not YAML: "),
    ("hosts:\n\th1: {}", "inventory.yaml:2: is not YAML: a tab stands where only spaces may"),
    ("hosts:\n  h1: {adress: x}", "inventory.yaml:2: hosts.h1: unknown key 'adress'; did you mean 'address'?"),
    ("hosts:\n  h1:\n    port: ssh", "inventory.yaml:3: hosts.h1.port: expected an integer or nothing, got 'ssh'"),
    ("hosts:\n  h1: {}\n  h1: {}", "inventory.yaml:3: the key 'h1' stands here and on line 2"),
    ("hosts: {h1: {}}\ngroups: {g: [h2]}", "inventory.yaml:2: groups.g: no host is named 'h2'"),
    (HOST + "    services: [qdrand]", "no service is named 'qdrand'"),
    (HOST + "    services: [n8n]", "inventory.yaml: hosts.h1.services: n8n is in the stack already"),
    (HOST + "    without: [flowwise]", "no service of the stack is named 'flowwise'"),
    (HOST.replace("stack: lean-llm", "stack: lean-lm"), "no stack is named 'lean-lm'"),
    (HOST.replace("internal", "[]"), "inventory.yaml: hosts.h1.vars.access: expected a string, got []"),
    (HOST.replace("access: internal", "access: internal, tz: x"), "no variable is named 'tz'"),
    (HOST.replace("    stack: lean-llm\n", ""), "which stack is h1 to run?"),
]


@pytest.mark.parametrize(("text", "message"), INVENTORIES, ids=[row[1] for row in INVENTORIES])
@pytest.mark.parametrize("command", ["plan", "deploy", "status"])
def test_a_faulty_inventory(ctl: Ctl, command: str, text: str, message: str) -> None:
    ctl.write("inventory.yaml", text)
    said = ctl(command, "h1")
    assert said.code == 2
    assert said.out == ""
    assert f"error: {message}" in said.err
    assert not ctl.transports


def test_an_inventory_that_cannot_be_read(ctl: Ctl) -> None:
    (ctl.folder / "inventory.yaml").write_bytes(b"hosts: {h\xff: {}}")
    said = ctl("plan", "h1")
    assert (said.code, "inventory.yaml: is not UTF-8 text (byte 9)" in said.err) == (2, True)
    (ctl.folder / "inventory.yaml").unlink()
    (ctl.folder / "inventory.yaml").mkdir()
    said = ctl("plan", "h1")
    assert (said.code, "Is a directory" in said.err) == (2, True)


APP = """\
services:
  app:
    image: app:1
    environment:
      MODE: "{{ vars.mode }}"
    healthcheck: {test: ["CMD", "true"]}
    deploy: {resources: {limits: {memory: 64M}}}
x-ctl:
  summary: An app
"""
TEMPLATES = [
    ({"services/app/compose.yaml.j2": APP}, "templates/services/app/compose.yaml.j2:5: 'dict object' has no attribute"),
    (
        {
            "services/app/compose.yaml.j2": APP.replace("{{ vars.mode }}", "x"),
            "services/app/a.conf.j2": "\n{{ nope }}\n",
        },
        "templates/services/app/a.conf.j2:2: 'nope' is undefined",
    ),
    (
        {"services/app/compose.yaml.j2": APP.replace("{{ vars.mode }}", "{{ x")},
        "templates/services/app/compose.yaml.j2:5: ",
    ),
    (
        {"services/app/compose.yaml.j2": APP.replace("{{ vars.mode }}", "x").replace("app:1", "app")},
        "services.app: the image 'app' is not pinned",
    ),
    ({"services/app/compose.yaml.j2": APP.replace("x-ctl:", "x:")}, "compose.yaml.j2: has no x-ctl block"),
    ({"services/app/compose.yaml.j2": APP.replace("summary:", "sumary:")}, "compose.yaml.j2:9: x-ctl: unknown key "),
    (
        {"services/app/compose.yaml.j2": APP.replace("{{ vars.mode }}", "{{ secret('S') }}")},
        "the secret S is not declared",
    ),
    ({"phases/5-more/10-a.sh.j2": "x"}, "templates/phases/5-more/10-a.sh.j2: is in no phase"),
]


@pytest.mark.parametrize(("files", "message"), TEMPLATES, ids=[row[1] for row in TEMPLATES])
def test_a_faulty_template_of_the_project(ctl: Ctl, files: dict[str, str], message: str) -> None:
    ctl.write("inventory.yaml", HOST + "    services: [app]\n")
    for path, text in files.items():
        ctl.write(f"templates/{path}", text)
    said = ctl("plan", "h1")
    assert said.code == 2
    assert message in said.err
    assert not any(link.calls for link in ctl.transports), "it may have been connected to, nothing was asked"


def test_a_faulty_stack_of_the_project(ctl: Ctl) -> None:
    ctl.write("stacks/mine/stack.yaml", "name: mine\nsumary: x\n")
    said = ctl("plan", "h1", "--stack", "mine")
    assert said.code == 2
    assert "stacks/mine/stack.yaml:2: unknown key 'sumary'; did you mean 'summary'?" in said.err


MINE = """\
name: mine
summary: two services with addresses of their own
network: {{subnet: 172.20.0.0/16}}
proxy: nginx
access: {{kind: internal}}
doors: {{domain: localhost}}
services: {{weaviate: {{address: {one}}}, redis: {{address: {other}}}}}
"""


@pytest.mark.parametrize(
    ("one", "other", "message"),
    [
        ("172.21.0.10", "172.20.0.11", "services.weaviate.address: 172.21.0.10 is outside of the subnet 172.20.0.0/16"),
        ("172.20.0.10", "172.20.0.10", "services.redis.address: 172.20.0.10 is the address of weaviate already"),
        ("172.20.0.1", "172.20.0.11", "services.weaviate.address: 172.20.0.1 is the network's own, its gateway's"),
    ],
)
@pytest.mark.parametrize("command", ["plan", "deploy", "setup"])
def test_an_address_that_no_container_can_have(ctl: Ctl, command: str, one: str, other: str, message: str) -> None:
    ctl.write("stacks/mine/stack.yaml", MINE.format(one=one, other=other))
    said = ctl(command, "h1", "--stack", "mine", *(["--yes"] if command != "plan" else []))
    assert (said.code, said.out) == (2, "")
    assert f"stacks/mine/stack.yaml: {message}" in said.err
    assert not ctl.transports


NGROK = ["--set", "access=ngrok", "--set", "ngrok_domain=x.ngrok-free.app"]


def test_a_secret_that_nobody_supplied(ctl: Ctl) -> None:
    said = ctl("plan", "h1", *NGROK)
    assert said.code == 2
    assert "the secret NGROK_AUTHTOKEN (the authtoken of the ngrok account) has no value" in said.err
    assert "ctl secrets set h1 NGROK_AUTHTOKEN" in said.err
    assert not ctl.transports


@pytest.mark.parametrize("key", ["too short", "!" * 44, "ßß"])
def test_a_vault_key_that_is_none(ctl: Ctl, key: str) -> None:
    ctl.monkeypatch.setenv("CTL_VAULT_KEY", key)
    said = ctl("plan", "h1")
    assert said.code == 2
    assert "32 bytes in URL-safe base64 are expected" in said.err
    assert key not in said.err


def test_the_vault_of_another_key(ctl: Ctl) -> None:
    assert ctl("plan", "h1", "--bare").code == 0
    ctl.monkeypatch.setenv("CTL_VAULT_KEY", "MTEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=")
    said = ctl("plan", "h1", "--bare")
    assert said.code == 2
    assert "vault.enc" in said.err
    assert "does not open with this key" in said.err


def test_which_host_of_two(ctl: Ctl) -> None:
    ctl.write("inventory.yaml", INVENTORY.replace("groups: {all: [h1]}", "  h2: {}\ngroups: {all: [h1, h2]}"))
    said = ctl("plan")
    assert (said.code, "which host?" in said.err, "h1, h2" in said.err) == (2, True, True)
    said = ctl("plan", "all")
    assert (said.code, "all is a group of 2 hosts" in said.err) == (2, True)


def test_rendering_into_what_is_not_an_empty_folder(ctl: Ctl) -> None:
    ctl.write("full/precious.txt", "keep me")
    said = ctl("render", "h1", "--out", "full")
    assert (said.code, "full is not empty" in said.err) == (2, True)
    said = ctl("render", "h1", "--out", "full", "--force")
    assert (said.code, "full is not empty" in said.err) == (2, True)
    assert (ctl.folder / "full/precious.txt").read_text() == "keep me"
    said = ctl("render", "h1", "--out", "full/precious.txt")
    assert (said.code, "is not a folder" in said.err) == (2, True)


def test_debug_shows_where(ctl: Ctl) -> None:
    from ctl.__main__ import run
    from ctl.core.errors import UnknownName

    with pytest.raises(UnknownName):
        run(["--debug", "plan", "h2"])
