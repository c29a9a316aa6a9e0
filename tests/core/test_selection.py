from __future__ import annotations

import re
from typing import Any

import pytest
from samples import NGROK, selection

from ctl.core.errors import CtlError, InvalidFile, MissingValue, UnknownName

APP = """\
services:
  NAME:
    image: app:1
    healthcheck: {test: ["CMD", "true"]}
    deploy: {resources: {limits: {memory: 64M}}}
x-ctl:
  summary: NAME
  BLOCK
"""


def app(name: str, block: str = "category: x") -> dict[str, str]:
    return {f"services/{name}/compose.yaml.j2": APP.replace("NAME", name).replace("BLOCK", block)}


def chosen(*services: dict[str, str], **host: Any) -> tuple[str, ...]:
    own = {path: text for service in services for path, text in service.items()}
    return tuple(service.name for service in selection(own=own, **host).services)


def test_the_order_is_the_stacks_where_nothing_is_needed() -> None:
    assert chosen() == ("n8n", "flowise")


def test_what_is_needed_comes_first() -> None:
    services = app("a", "needs: [b, c]"), app("b", "needs: [c]"), app("c")
    assert chosen(*services, services=("a", "b", "c")) == ("n8n", "flowise", "c", "b", "a")


def test_a_server_outside_the_stack_fills_a_need() -> None:
    assert chosen(app("a", "needs: [ollama]"), services=("a",)) == ("n8n", "flowise", "a")


def test_a_variable_of_a_service_that_is_not_here_waits_for_it() -> None:
    own = app("a", "vars: {greeting: {about: a}}")
    assert "greeting" not in selection(own=own, vars={**NGROK, "greeting": "hello"}).vars
    assert selection(own=own, services=("a",), vars={**NGROK, "greeting": "hello"}).vars["greeting"] == "hello"


def test_a_service_left_out() -> None:
    assert chosen(without=("flowise",)) == ("n8n",)


@pytest.mark.parametrize(
    ("services", "host", "kind", "message"),
    [
        ([app("a", "needs: [b]")], {"services": ("a",)}, MissingValue, "a needs b, which is neither a service of "),
        (
            [app("a", "needs: [b]"), app("b", "needs: [c]"), app("c", "needs: [a]")],
            {"services": ("a", "b", "c")},
            InvalidFile,
            "templates/services/a: needs itself: a → b → c → a",
        ),
        ([app("a", "needs: [a]")], {"services": ("a",)}, InvalidFile, "templates/services/a: needs itself: a → a"),
        ([], {"services": ("n8n",)}, InvalidFile, "inventory.yaml: hosts.h1.services: n8n is in the stack already"),
        ([], {"services": ("qdrand",)}, UnknownName, "no service is named 'qdrand'"),
        ([], {"without": ("flowwise",)}, UnknownName, "no service of the stack is named 'flowwise'"),
        ([], {"vars": {**NGROK, "front": "caddy"}}, UnknownName, "no routed service is named 'caddy'"),
        ([], {"vars": {}}, MissingValue, "access through ngrok needs a domain"),
        ([], {"vars": {**NGROK, "domain": "a b"}}, InvalidFile, "stacks/lean-llm/stack.yaml: doors.domain: 'a b' is "),
        ([], {"vars": {**NGROK, "https_port": 0}}, InvalidFile, "stacks/lean-llm/stack.yaml: doors.port: 0 is not "),
    ],
)
def test_what_does_not_fit_together(
    services: list[dict[str, str]], host: dict[str, Any], kind: type[CtlError], message: str
) -> None:
    with pytest.raises(kind, match=f"^{re.escape(message)}"):
        chosen(*services, **host)


def test_added_services_are_known_as_such() -> None:
    assert selection(own=app("a"), services=("a",)).added == {"a"}


def doors(**variables: Any) -> dict[str, tuple[str, ...]]:
    return {route.name: route.urls for route in selection(vars={**NGROK, **variables}).routes}


def test_the_front_service_answers_at_the_tunnels_domain_too() -> None:
    assert doors() == {
        "n8n": ("https://example.ngrok-free.app", "https://n8n.localhost"),
        "flowise": ("https://flowise.localhost",),
    }


def test_another_front_port_and_domain() -> None:
    assert doors(front="flowise", https_port=8443, domain="ai.example.com") == {
        "n8n": ("https://n8n.ai.example.com:8443",),
        "flowise": ("https://example.ngrok-free.app", "https://flowise.ai.example.com:8443"),
    }


def test_only_the_tunnel_of_the_access_takes_part() -> None:
    with_tunnel, without = selection(), selection(vars={"access": "internal"})
    assert with_tunnel.tunnel is not None
    assert without.tunnel is None
    assert set(with_tunnel.secrets) - set(without.secrets) == {"NGROK_AUTHTOKEN"}


def test_the_root_is_the_hosts_or_opt() -> None:
    assert (selection().root, selection(root="/srv/x").root) == ("/opt/lean-llm", "/srv/x")


def test_an_added_service_comes_in_phase_4_unless_it_is_needed_before() -> None:
    services = app("a", "needs: [b]"), app("b", "needs: [c]"), app("c"), app("d")
    own = {path: text for service in services for path, text in service.items()}
    assert selection(own=own, services=("a", "b", "c", "d")).added == {"a", "b", "c", "d"}
    assert selection(services=("litellm", "ollama", "postgres")).added == set()
