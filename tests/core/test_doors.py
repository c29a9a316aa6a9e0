from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest
from samples import fit, rendered, selection

from ctl.core.errors import CtlError, HostUnfit, InvalidFile, MissingValue
from ctl.core.fitness import preflight
from ctl.core.plan import plan
from ctl.core.stack import decode_stack

APP = """\
services:
  NAME:
    image: app:1
    healthcheck: {test: ["CMD", "true"]}
    deploy: {resources: {limits: {memory: 64M}}}
x-ctl:
  summary: NAME
  route: {port: 80, path: PATH}
"""
TAILNET = {"domain": "ai.tail1234.ts.net"}


def app(name: str, path: str = '""') -> dict[str, str]:
    return {f"services/{name}/compose.yaml.j2": APP.replace("NAME", name).replace("PATH", path)}


def doors(*services: dict[str, str], **host: Any) -> dict[str, tuple[str, str, str]]:
    own = {path: text for service in services for path, text in service.items()}
    host = {"vars": TAILNET, **host}
    return {route.name: (route.kind, route.url, route.path) for route in selection("ai-platform", own, **host).routes}


def test_who_cannot_live_under_a_path_has_a_port_to_which_the_path_leads() -> None:
    assert doors() == {
        "litellm": ("port", "https://ai.tail1234.ts.net:8447", "/litellm"),
        "anythingllm": ("port", "https://ai.tail1234.ts.net:8444", "/anythingllm"),
        "openclaw": ("path", "https://ai.tail1234.ts.net:8443/clawdbot", "/clawdbot"),
        "dify": ("port", "https://ai.tail1234.ts.net:8445", "/dify"),
        "n8n": ("port", "https://ai.tail1234.ts.net:8446", "/n8n"),
    }


def test_subdomains_where_there_is_a_domain_of_ones_own() -> None:
    found = doors(vars={"access": "public", "doors": "subdomains", "domain": "example.com", "https_port": 443})
    assert {kind for kind, _, _ in found.values()} == {"subdomain"}
    assert found["openclaw"] == ("subdomain", "https://openclaw.example.com", "/clawdbot")


@pytest.mark.parametrize("path", ["keep", "strip"])
def test_an_added_service_that_can_live_under_a_path_does(path: str) -> None:
    found = doors(app("a", path), services=("a",))
    assert found["a"] == ("path", "https://ai.tail1234.ts.net:8443/a", "/a")
    chosen = selection("ai-platform", app("a", path), services=("a",), vars=TAILNET)
    assert chosen.routes[-1].strip is (path == "strip")


def test_an_added_service_gets_a_port_in_reserve_and_keeps_it() -> None:
    alone = doors(app("a"), services=("a",))["a"]
    port = int(alone[1].rpartition(":")[2])
    assert 8448 <= port <= 8457
    assert doors(app("a"), app("b"), services=("b", "a"))["b"] != alone
    assert doors(app("a"), app("c"), services=("a", "c"))["a"] == alone


def test_there_are_only_so_many_ports_in_reserve() -> None:
    many = [app(f"a{number}") for number in range(11)]
    with pytest.raises(InvalidFile, match="there is no port left for a10, which cannot live under a path"):
        doors(*many, services=tuple(f"a{number}" for number in range(11)))


def test_ports_in_reserve_are_published_from_the_start_and_not_reachable() -> None:
    chosen = selection("ai-platform", vars={"access": "internal", "address": "0.0.0.0"})
    assert chosen.doors.published == ("8443", "8444", "8445", "8446", "8447", "8448-8457")
    assert chosen.doors.reachable == (8443, 8447, 8444, 8445, 8446)
    with_more = selection("ai-platform", app("a"), services=("a",), vars={"access": "internal", "address": "0.0.0.0"})
    assert with_more.doors.published == chosen.doors.published, "or the proxy would be made anew, and drop connections"
    assert len(with_more.doors.reachable) == 6
    with_less = selection("ai-platform", without=("n8n",), vars={"access": "internal", "address": "0.0.0.0"})
    assert with_less.doors.published == chosen.doors.published
    assert 8446 not in with_less.doors.reachable


def test_a_service_by_its_old_name() -> None:
    assert "openclaw" not in doors(without=("clawdbot",))


def test_a_tailnet_needs_the_hosts_name() -> None:
    with pytest.raises(MissingValue, match="access through tailscale needs a domain") as caught:
        selection("ai-platform", vars={})
    assert "hosts.h1.vars.domain" in caught.value.hint


# --- addresses --------------------------------------------------------------------------------------------------------

STACK = """\
name: s
summary: s
network: {subnet: 172.20.0.0/16, proxy: 172.20.0.2}
proxy: nginx
access: {kind: internal}
doors: {domain: localhost}
services:
  a: {address: ONE}
  b: {address: TWO}
"""


@pytest.mark.parametrize(
    ("one", "two", "message"),
    [
        ("172.21.0.10", "172.20.0.11", "services.a.address: 172.21.0.10 is outside of the subnet 172.20.0.0/16"),
        ("172.20.0.10", "172.20.0.10", "services.b.address: 172.20.0.10 is the address of a already"),
        ("172.20.0.2", "172.20.0.10", "services.a.address: 172.20.0.2 is the address of nginx already"),
        ("172.20.0.1", "172.20.0.10", "services.a.address: 172.20.0.1 is the network's own, its gateway's or for "),
        ("172.20.200.1", "172.20.0.10", "services.a.address: 172.20.200.1 is in 172.20.128.0/17, where containers "),
        ("172.20.0", "172.20.0.10", "services.a.address: '172.20.0' is not an IP address"),
        ("fd00::1", "172.20.0.10", "services.a.address: fd00::1 is outside of the subnet"),
    ],
)
def test_an_address_that_no_container_can_have(one: str, two: str, message: str) -> None:
    with pytest.raises(CtlError, match=re.escape(message)):
        decode_stack(STACK.replace("ONE", one).replace("TWO", two), file="stacks/s/stack.yaml")


def test_fixed_addresses_are_the_documents() -> None:
    assert selection("ai-platform", vars=TAILNET).stack.addresses == {
        "nginx": "172.20.0.2",
        "ollama": "172.20.0.10",
        "litellm": "172.20.0.11",
        "anythingllm": "172.20.0.20",
        "openclaw": "172.20.0.21",
        "dify": "172.20.0.30",
        "n8n": "172.20.0.40",
        "signal-api": "172.20.0.50",
        "gdrive": "172.20.0.60",
    }


# --- memory -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("memory", "advice"),
    [
        (13000, "or leave out openclaw"),
        (10000, "or leave out dify"),
        (8000, "or leave out dify, anythingllm, openclaw"),
    ],
)
def test_too_little_memory_says_what_to_leave_out(memory: int, advice: str) -> None:
    whole = rendered("ai-platform", vars=TAILNET)
    with pytest.raises(HostUnfit) as caught:
        preflight(plan(whole, fit(memory=memory, disk_free=90000)))
    assert advice in caught.value.hint
    preflight(plan(whole, fit(memory=whole.memory, disk_free=90000)))


def test_without_services_to_spare_only_a_larger_host_helps() -> None:
    whole = replace(rendered("ai-platform", vars=TAILNET), spare=())
    with pytest.raises(HostUnfit) as caught:
        preflight(plan(whole, fit(memory=100)))
    assert caught.value.hint == "take a larger host"


@pytest.mark.parametrize(
    ("stack", "auth", "bearer", "password"),
    [
        ("lean-llm", "builtin", "false", True),
        ("lean-llm", "builtin", "true", False),
        ("lean-llm", "proxy", "true", True),
        ("ai-platform", "builtin", "false", False),
        ("ai-platform", "proxy", "false", True),
    ],
)
def test_no_password_beside_a_header_of_the_clients_own(stack: str, auth: str, bearer: str, password: bool) -> None:
    own = {path: f"{text}  auth: {auth}\n" for path, text in app("a").items()}
    own = {path: text.replace("{port: 80", f"{{port: 80, bearer: {bearer}") for path, text in own.items()}
    routes = selection(stack, own, services=("a",), vars={"access": "internal"}).routes
    assert [route.password for route in routes if route.name == "a"] == [password]
