"""inventory.yaml is changed where it has to be, and nowhere else."""

from __future__ import annotations

import difflib
import re
from dataclasses import replace
from typing import Any

import pytest

from ctl.core.errors import InvalidFile
from ctl.core.inventory import Host, decode_inventory, find_host
from ctl.core.inventory_text import amend


def host(text: str, name: str = "h1") -> Host:
    return find_host(decode_inventory(text, file="inventory.yaml"), name)


def amended(text: str, name: str = "h1", **changes: Any) -> str:
    before = host(text, name)
    return amend(text, before, replace(before, **changes), file="inventory.yaml")


def changed(old: str, new: str) -> list[str]:
    """The lines that went and came."""
    lines = difflib.ndiff(old.splitlines(keepends=True), new.splitlines(keepends=True))
    return [line.rstrip("\n") for line in lines if line[0] in "+-"]


BLOCK = """\
# Ours.
defaults: {user: ubuntu,   port: 22}   # odd spacing, kept

hosts:
  h1:
    address: 203.0.113.1     # the first
    stack: "lean-llm"

  # The second one.
  h2:
    stack: 'lean-llm'
    services:
    - redis                  # for queues
    - weaviate
    vars:
      a: 1

groups:
    all:   [h1, h2]  # both
"""


def test_a_first_service_goes_to_the_end_of_its_host() -> None:
    new = amended(BLOCK, services=("redis",))
    assert changed(BLOCK, new) == ["+     services: [redis]"]
    assert new.splitlines()[6:9] == ['    stack: "lean-llm"', "    services: [redis]", ""]
    assert amended(new, services=()) == BLOCK


def test_a_further_one_in_the_style_of_the_list() -> None:
    new = amended(BLOCK, "h2", services=("redis", "weaviate", "hello"))
    assert changed(BLOCK, new) == ["+     - hello"]
    assert amended(new, "h2", services=("redis", "weaviate")) == BLOCK
    new = amended(BLOCK, "h2", services=("weaviate",))
    assert changed(BLOCK, new) == ["-     - redis                  # for queues"]


def test_variables() -> None:
    assert changed(BLOCK, amended(BLOCK, vars={"word": "on"})) == ['+     vars: {word: "on"}']
    new = amended(BLOCK, "h2", vars={"a": 1, "b": ["x y", 2], "c": {"d": True}})
    assert changed(BLOCK, new) == ['+       b: ["x y", 2]', "+       c: {d: true}"]
    assert changed(BLOCK, amended(BLOCK, "h2", vars={"a": 2})) == ["-       a: 1", "+       a: 2"]


@pytest.mark.parametrize(
    ("line", "services", "wanted"),
    [
        ("services: []   # none yet", ("a",), "services: [a]   # none yet"),
        ("services: [a] # one", (), "services: [] # one"),
        ("services: [a, b]", ("b",), "services: [b]"),
        ("services: [ a, b ]", ("a",), "services: [ a ]"),
        ("services: [a, b]", ("a", "b", "c"), "services: [a, b, c]"),
        ("services: [a, b, c,]", ("a", "c"), "services: [a, c,]"),
    ],
)
def test_a_list_on_one_line(line: str, services: tuple[str, ...], wanted: str) -> None:
    text = f"hosts:\n  h1:\n    address: x\n    {line}\n"
    assert amended(text, services=services) == text.replace(line, wanted)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("hosts: {h1: {}}", "hosts: {h1: {services: [a]}}"),
        ("hosts: {h1: {address: x}}  # all\n", "hosts: {h1: {address: x, services: [a]}}  # all\n"),
        ("hosts:\n  h1: {\n    address: x,   # here\n  }\n", None),
        ("hosts:\n  h1:\n    address: x", "hosts:\n  h1:\n    address: x\n    services: [a]"),
        ("hosts:\n  h1:\n    vars:\n      a:\n        b: c # d\n# e\n", None),
        ("\ufeff# ü\nhosts:\n  h1:\n    address: x\n    vars: {a: ü}\n", None),
    ],
)
def test_other_spellings(text: str, wanted: str | None) -> None:
    new = amended(text, services=("a",))
    assert wanted is None or new == wanted
    assert host(new).services == ("a",)
    assert re.findall("#.*", new) == re.findall("#.*", text)


def test_a_list_of_one_line_each_ends_where_its_comment_stays() -> None:
    text = "hosts:\n  h1:\n    services:  # more\n      - a\n    stack: s\n"
    assert amended(text, services=()) == "hosts:\n  h1:\n    services: []  # more\n    stack: s\n"
    bare = text.replace("  # more", "")
    assert amended(bare, services=()) == "hosts:\n  h1:\n    stack: s\n"
    assert amended("hosts:\n  h1:\n    services:\n    - a\n", services=()) == "hosts:\n  h1:\n    services: []\n"


def test_moving_from_one_list_to_the_other() -> None:
    text = "hosts:\n  h1:\n    without: [n8n]\n    stack: s\n"
    assert amended(text, without=(), services=("a",)) == "hosts:\n  h1:\n    stack: s\n    services: [a]\n"


SHARED = "hosts:\n  h1: &one\n    address: x\n  h2: *one\n"
MERGED = "hosts:\n  h1: &one {address: x, services: [a]}\n  h2:\n    <<: *one\n    user: root\n"


@pytest.mark.parametrize(("text", "name"), [(SHARED, "h1"), (SHARED, "h2"), (MERGED, "h1")])
def test_lines_that_others_share_are_left_to_a_person(text: str, name: str) -> None:
    with pytest.raises(InvalidFile, match="shares its lines with others") as caught:
        amended(text, name, services=("a", "b"))
    assert "by hand" in caught.value.hint


def test_a_host_that_takes_its_list_from_another_gets_one_of_its_own() -> None:
    new = amended(MERGED, "h2", services=("a", "b"))
    assert (host(new).services, host(new, "h2").services) == (("a",), ("a", "b"))
