from __future__ import annotations

from typing import Any

import pytest

from ctl.core.document import decode
from ctl.core.errors import InvalidFile, MissingValue, UnknownName
from ctl.core.service import Var
from ctl.core.stack import decode_stack, resolve_vars

STACK = """\
name: small
summary: a small one
network: {subnet: 172.30.0.0/24}
proxy: caddy
access: {kind: internal}
doors: {domain: localhost}
"""


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("proxy: caddy", "proxy: apache", "stack.yaml:4: proxy: expected one of caddy, nginx, got 'apache'"),
        ("172.30.0.0/24", "172.30.0.1/24", "stack.yaml: network.subnet: 172.30.0.1/24 has host bits set"),
        ("172.30.0.0/24", "everything", "stack.yaml: network.subnet: 'everything' does not appear to be an IPv4"),
        ("name: small", "name: Small!", "stack.yaml:1: name: expected a string that matches"),
        ("access: {kind: internal}\n", "", "stack.yaml:1: the key 'access' is missing"),
        ("doors:", "dors:", "stack.yaml:6: unknown key 'dors'; did you mean 'doors'?"),
        (
            "proxy: caddy",
            "proxy: caddy\nservices: {n8n: {memory: much}}",
            "stack.yaml:5: services.n8n.memory: expected a string that matches",
        ),
        (
            "proxy: caddy",
            "proxy: caddy\nvars: {x: {about: a, pattern: '['}}",
            "stack.yaml:5: vars.x: the pattern '[' is no regular expression",
        ),
    ],
)
def test_a_faulty_stack_is_refused(old: str, new: str, message: str) -> None:
    decode_stack(STACK, file="stack.yaml")
    with pytest.raises(InvalidFile) as caught:
        decode_stack(STACK.replace(old, new), file="stack.yaml")
    assert caught.value.message.startswith(message)


def declared(text: str) -> dict[str, Var]:
    return decode(text, dict[str, Var], file="vars")


def resolve(text: str, given: dict[str, Any]) -> dict[str, Any]:
    return resolve_vars(declared(text), given, source="inventory.yaml", who="h1")


@pytest.mark.parametrize(
    ("text", "given", "value"),
    [
        ("{about: a, default: 443}", {}, 443),
        ("{about: a, default: 443}", {"x": 8443}, 8443),
        ("{about: a, optional: true}", {}, None),
        ("{about: a, optional: true}", {"x": "y"}, "y"),
        ("{about: a, optional: true, default: z}", {}, "z"),
        ("{about: a, optional: true, choices: [y, z]}", {}, None),
        ("{about: a, optional: true, pattern: '[a-z]'}", {}, None),
        ("{about: a}", {"x": [1, 2]}, [1, 2]),
        ("{about: a, choices: [y, z]}", {"x": "z"}, "z"),
        ("{about: a, pattern: '[a-z]+'}", {"x": "abc"}, "abc"),
        ("{about: a, default: {}}", {"x": {"n8n": ["/webhook/*"]}}, {"n8n": ["/webhook/*"]}),
    ],
)
def test_variables_get_their_values(text: str, given: dict[str, Any], value: Any) -> None:
    assert resolve(f"x: {text}", given) == {"x": value}


@pytest.mark.parametrize(
    ("text", "given", "kind", "message"),
    [
        ("{about: the door}", {}, MissingValue, "the variable x (the door) has no value for h1"),
        ("{about: a, default: 443}", {"x": "ssh"}, InvalidFile, "hosts.h1.vars.x: expected an integer, got 'ssh'"),
        ("{about: a, default: 443}", {"x": True}, InvalidFile, "hosts.h1.vars.x: expected an integer, got True"),
        ("{about: a, default: y}", {"x": 1}, InvalidFile, "hosts.h1.vars.x: expected a string, got 1"),
        ("{about: a, default: y}", {"x": None}, InvalidFile, "hosts.h1.vars.x: expected a string, got None"),
        ("{about: a, default: {}}", {"x": []}, InvalidFile, "hosts.h1.vars.x: expected a mapping, got []"),
        ("{about: a, optional: true}", {"x": None}, InvalidFile, "hosts.h1.vars.x: a variable needs a value"),
        ("{about: a, choices: [y, z]}", {"x": "w"}, InvalidFile, "hosts.h1.vars.x: expected one of y, z, got 'w'"),
        ("{about: a name, pattern: '[a-z]+'}", {"x": "A"}, InvalidFile, "hosts.h1.vars.x: 'A' is not a name"),
        ("{about: a name, pattern: '[a-z]+'}", {"x": "a\n"}, InvalidFile, "hosts.h1.vars.x: 'a\\n' is not a name"),
        ("{about: a}", {"x": "y", "xx": 1}, UnknownName, "no variable is named 'xx'"),
    ],
)
def test_what_a_variable_refuses(text: str, given: dict[str, Any], kind: type[Exception], message: str) -> None:
    with pytest.raises(kind) as caught:
        resolve(f"x: {text}", given)
    assert str(caught.value).removeprefix("inventory.yaml: ") == message


def test_an_unknown_variable_comes_with_the_nearest_name() -> None:
    with pytest.raises(UnknownName) as caught:
        resolve("timezone: {about: a, default: b}", {"timzone": "x"})
    assert "did you mean timezone?" in caught.value.hint
    assert "given for h1 in inventory.yaml" in caught.value.hint
