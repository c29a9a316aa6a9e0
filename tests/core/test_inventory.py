from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from samples import REPOSITORY

from ctl.core.document import load
from ctl.core.errors import InvalidFile, UnknownName
from ctl.core.inventory import Host, Inventory, decode_inventory, find_host

EXAMPLE = (REPOSITORY / "inventory.yaml").read_text()

TEXT = """\
defaults: {user: ubuntu, port: 2222, key: ~/.ssh/id, stack: lean-llm, vars: {timezone: Etc/UTC, domain: example.com}}
hosts:
  plain: {}
  own:
    address: 203.0.113.10
    user: root
    port: 22
    key: /k
    stack: other
    root: /srv/other
    vars: {domain: ai.example.com}
    services: [qdrant]
    without: [flowise]
groups:
  all: [plain, own]
"""


def read(text: str) -> Inventory:
    return decode_inventory(text, file="inventory.yaml")


def test_a_host_takes_the_defaults() -> None:
    assert find_host(read(TEXT), "plain") == Host(
        name="plain",
        address="plain",
        user="ubuntu",
        port=2222,
        key="~/.ssh/id",
        stack="lean-llm",
        vars={"timezone": "Etc/UTC", "domain": "example.com"},
    )


def test_what_a_host_says_itself_wins_and_variables_are_merged() -> None:
    assert find_host(read(TEXT), "own") == Host(
        name="own",
        address="203.0.113.10",
        user="root",
        port=22,
        key="/k",
        stack="other",
        root="/srv/other",
        vars={"timezone": "Etc/UTC", "domain": "ai.example.com"},
        services=("qdrant",),
        without=("flowise",),
    )


def test_groups_name_hosts() -> None:
    assert read(TEXT).groups == {"all": ("plain", "own")}


@pytest.mark.parametrize("text", ["", "\n  \n", "# no hosts yet\n", "---\n"])
def test_a_file_that_says_nothing_is_an_empty_inventory(text: str) -> None:
    assert read(text) == Inventory()


def test_an_unknown_host_comes_with_the_nearest_name() -> None:
    with pytest.raises(UnknownName) as caught:
        find_host(read(TEXT), "plan")
    assert caught.value.message == "no host is named 'plan'"
    assert "did you mean plain?" in caught.value.hint


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("hosts: [", "inventory.yaml:1: is not YAML: "),
        ("hosts:\n  a: {adress: x}", "inventory.yaml:2: hosts.a: unknown key 'adress'; did you mean 'address'?"),
        ("host:\n  a: {}", "inventory.yaml:1: unknown key 'host'; did you mean 'hosts'?"),
        (
            "hosts:\n  prod-1:\n    port: ssh",
            "inventory.yaml:3: hosts.prod-1.port: expected an integer or nothing, got 'ssh'",
        ),
        ("hosts:\n  a:\n    port: 0", "inventory.yaml:3: hosts.a.port: expected an integer of at least 1, got 0"),
        ("hosts:\n  a:\n    address: -oProxyCommand=x", "inventory.yaml:3: hosts.a.address: expected a string that "),
        ("hosts:\n  a:\n    root: ../x", "inventory.yaml:3: hosts.a.root: expected a string that matches "),
        ("hosts:\n  a:\n    root: /x y", "inventory.yaml:3: hosts.a.root: expected a string that matches "),
        ("hosts:\n  a:\n    user: -l", "inventory.yaml:3: hosts.a.user: expected a string that matches "),
        ("hosts:\n  a:\n    services: n8n", "inventory.yaml:3: hosts.a.services: expected a list, got 'n8n'"),
        ("hosts:\n  'a;b': {}", "inventory.yaml:2: hosts: expected a string that matches "),
        ("hosts:\n  a: {}\n  b: {}\n  a: {}", "inventory.yaml:4: the key 'a' stands here and on line 2"),
        ("hosts:", "inventory.yaml:1: hosts: expected a mapping, got nothing"),
        ("hosts:\n  a: {}\ngroups:\n  g:\n    - b", "inventory.yaml:4: groups.g: no host is named 'b'"),
        ("hosts:\n  a: {}\ngroups:\n  a: [a]", "inventory.yaml:4: groups.a: a host has this name too"),
    ],
)
def test_faults_name_file_line_and_path(text: str, message: str) -> None:
    with pytest.raises(InvalidFile) as caught:
        read(text)
    assert caught.value.message.startswith(message)
    assert caught.value.exit_code == 2


def test_the_example_is_an_inventory() -> None:
    inventory = decode_inventory(EXAMPLE, file="inventory.yaml")
    assert inventory.hosts
    for name in inventory.hosts:
        assert find_host(inventory, name).stack


def known_keys(kind: Any, path: str) -> Iterator[tuple[str, str]]:
    """(path, key) for every key of a structure and of those in it; `*` stands for the keys that people choose."""
    for field in msgspec.inspect.type_info(kind).fields:  # type: ignore[attr-defined]
        yield path, field.encode_name
        yield from _inside(field.type, f"{path}.{field.encode_name}")


def _inside(kind: Any, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(kind, msgspec.inspect.StructType):
        yield from known_keys(kind.cls, path)
    elif isinstance(kind, msgspec.inspect.UnionType):
        for one in kind.types:
            yield from _inside(one, path)
    elif isinstance(kind, msgspec.inspect.DictType):
        yield from _inside(kind.value_type, f"{path}.*")


def used_keys(data: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """The same of a document; each mapping counts as one with names and as one with chosen keys."""
    if isinstance(data, dict):
        for key, value in data.items():
            yield path, key
            yield from used_keys(value, f"{path}.{key}")
            yield from used_keys(value, f"{path}.*")


def test_the_example_uses_every_known_key() -> None:
    known = set(known_keys(Inventory, ""))
    assert {("", "hosts"), (".hosts.*", "without"), (".defaults", "key")} <= known
    assert known - set(used_keys(load(EXAMPLE, file="inventory.yaml").data)) == set()
