"""Doors with names of their own choice, and names below them that containers come and go behind."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import pytest
import samples
from samples import make_templates, rendered, selection

from ctl.core.errors import CtlError, InvalidFile, MissingValue
from ctl.core.inventory import Host
from ctl.core.selection import Selection, select
from ctl.core.service import Catalogue
from ctl.core.stack import decode_stack

STACK = """\
name: small
summary: A page, and users behind it
network: {subnet: 172.30.0.0/16, name: proxy-network, inner: {users: 172.31.0.0/24, data: ""}, front: [users]}
proxy: nginx
access: {kind: internal}
doors: {domain: example.com, tls: self-signed}
services:
  page: {subdomain: "@"}
  api: {}
  keeper: {subdomain: people, networks: [users, data]}
"""
SERVICE = """\
services:
  NAME:
    image: NAME:1
    healthcheck: {test: ["CMD", "true"]}
    deploy: {resources: {limits: {memory: 64M}}}
x-ctl:
  summary: NAME
  auth: builtin
"""
WILDCARD = "{port: 8000, wildcard: {label: guest, port: 3001, missing: /gone, inside: [/health]}}"
OWN = {
    "services/page/compose.yaml.j2": SERVICE.replace("NAME", "page") + "  route: {port: 80}\n",
    "services/api/compose.yaml.j2": SERVICE.replace("NAME", "api")
    + "  route: {port: 80, under: [desk, page], paths: [/api/*]}\n",
    "services/keeper/compose.yaml.j2": SERVICE.replace("NAME", "keeper")
    + f"  route: {WILDCARD}\n"
    + "  spawns: {title: guests, label: guest, subnet: guest_subnet}\n"
    + "  vars: {guest_subnet: {about: addresses of guests, default: 10.9.0.0/16}}\n",
}


def chosen(stack: str = STACK, own: Mapping[str, str] = OWN, **host: Any) -> Selection:
    known = Catalogue({**samples.texts(), **own})
    entry = Host(name="h1", address="203.0.113.1", user="root", port=22, stack="small", **host)
    templates = make_templates(known.templates)
    return select(entry, decode_stack(stack, file="stacks/small/stack.yaml"), known, templates, source="inventory.yaml")


def test_a_service_answers_at_the_domain_itself_and_another_under_a_name_of_the_stacks_choice() -> None:
    found = chosen()
    assert {route.name: route.url for route in found.routes} == {
        "page": "https://example.com",
        "keeper": "https://people.example.com",
    }
    assert [part.name for part in found.routes[0].parts] == ["api"]


def test_of_several_doors_a_service_shares_the_first_that_is_there() -> None:
    with_desk = STACK + "  desk: {}\n"
    own = {**OWN, "services/desk/compose.yaml.j2": SERVICE.replace("NAME", "desk") + "  route: {port: 80}\n"}
    parts = {route.name: [part.name for part in route.parts] for route in chosen(with_desk, own).routes}
    assert (parts["desk"], parts["page"]) == (["api"], [])


def test_two_services_with_one_name() -> None:
    with pytest.raises(InvalidFile, match=re.escape("services.page.subdomain: two services have the name people.ex")):
        chosen(STACK.replace('"@"', "people"))


@pytest.mark.parametrize(("tls", "dns"), [("self-signed", ""), ("acme", "rfc2136")])
def test_a_wildcard_stands_for_one_label_so_the_names_below_a_door_need_another(tls: str, dns: str) -> None:
    stack = STACK.replace("tls: self-signed", f"tls: {tls}, dns: '{dns}'")
    host = {"vars": {"rfc2136_server": "192.0.2.53", "rfc2136_key": "acme."}} if dns else {}
    assert chosen(stack, **host).doors.names == ("example.com", "*.example.com", "*.people.example.com")


def test_no_authority_vouches_for_names_below_a_door_over_port_80() -> None:
    with pytest.raises(InvalidFile, match=re.escape("*.people.example.com is not to be had over port 80")) as caught:
        chosen(STACK.replace("self-signed", "acme"))
    assert "acme_dns" in caught.value.hint


@pytest.mark.parametrize("change", [("proxy: nginx", "proxy: caddy"), ("doors: {", "doors: {kind: ports, ")])
def test_names_below_a_door_are_for_subdomains_behind_nginx(change: tuple[str, str]) -> None:
    stack = STACK.replace(*change)
    if "caddy" in change[1]:
        stack = stack.replace("doors:", "vars: {user: {about: name, default: admin}}\ndoors:")
    with pytest.raises(InvalidFile, match="keeper has names below its own, for which doors have to be subdomains"):
        chosen(stack)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("172.31.0.0/24", "172.30.4.0/24", "network.inner.users: 172.30.4.0/24 and 172.30.0.0/16 overlap"),
        ("172.31.0.0/24", '"300"', "network.inner.users: '300' does not appear to be an IPv4 or IPv6 network"),
        ("front: [users]", "front: [data]", "network.front: data is no inner network with a subnet"),
        ("front: [users]", "front: [else]", "network.front: else is no inner network with a subnet"),
    ],
)
def test_networks_that_cannot_be(old: str, new: str, message: str) -> None:
    with pytest.raises(CtlError, match=re.escape(message)):
        decode_stack(STACK.replace(old, new), file="stacks/small/stack.yaml")


@pytest.mark.parametrize(
    ("subnet", "message"),
    [("172.30.0.0/20", "overlaps 172.30.0.0/16, a network of the stack"), ("10.9.0.1/16", "is no network: ")],
)
def test_addresses_of_containers_that_a_service_starts(subnet: str, message: str) -> None:
    with pytest.raises(InvalidFile, match=re.escape(message)):
        chosen(vars={"guest_subnet": subnet})


CLOUD: dict[str, Any] = {"vars": {}}


def test_nginx_leads_names_below_a_door_by_dockers_dns_alone() -> None:
    whole = rendered("cloudtolocalllm", **CLOUD)
    text = next(file.content.decode() for file in whole.files if file.path.endswith("/nginx.conf"))
    assert "[.]users[.]localhost$" in text
    assert text.count("http://cloudtolocalllm-proxy-$name:3001") == 2
    assert not re.search(r"^\s*upstream ", text, re.MULTILINE), (
        "a name that is looked up once would be that of a container that is gone"
    )
    inside = text[text.index("listen 8081;") :].split("    server {", 1)[0]
    assert re.findall(r"allow (\S+);", inside) == ["172.24.0.0/16", "172.25.0.0/24"]
    assert "deny all;" in inside


@pytest.mark.parametrize("path", ["/metrics", "/sessions", "/sessions/"])
def test_what_is_for_the_stacks_own_containers_is_not_at_a_door(path: str) -> None:
    whole = rendered("cloudtolocalllm", **CLOUD)
    text = next(file.content.decode() for file in whole.files if file.path.endswith("/nginx.conf"))
    server = text[text.index("server_name users.localhost;") :].split("    server {", 1)[0]
    location = server[server.index(f'"{path}" {{') :].split("}", 1)[0]
    assert "return 404;" in location and "proxy_pass" not in location


def test_an_issuer_is_needed_where_the_auth_service_is_left_out() -> None:
    with pytest.raises(MissingValue, match="without auth, streaming-api needs the variable oidc_issuer"):
        selection("cloudtolocalllm", vars={}, without=("auth",))
    selection("cloudtolocalllm", vars={"oidc_issuer": "https://example.eu.auth0.com/"}, without=("auth",))
