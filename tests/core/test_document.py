"""The strict YAML reader: what it takes, what it refuses on which line; and the writer that all readers agree on."""

from __future__ import annotations

import enum
import io
import math
from typing import Annotated, Any, Literal

import msgspec
import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from ctl.core.document import MAX_BYTES, convert, decode, dump, load
from ctl.core.errors import InvalidFile


class Kind(enum.Enum):
    NGINX = "nginx"
    CADDY = "caddy"


class Host(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    address: str
    port: Annotated[int, msgspec.Meta(ge=1, le=65535)] = 22
    user: Annotated[str, msgspec.Meta(pattern="^[a-z]+$")] = "root"
    services: tuple[str, ...] = ()
    proxy: Kind = Kind.NGINX
    access: Literal["public", "tailnet"] = "public"
    memory: int | str | None = None
    vars: dict[str, str] = {}
    pair: tuple[int, int] = (0, 0)
    some: Annotated[tuple[int, ...], msgspec.Meta(min_length=1)] = (1,)
    verbose: bool = False

    def __post_init__(self) -> None:
        if self.address == "nowhere":
            raise ValueError("nowhere is not an address")


class Ngrok(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="ngrok", tag_field="kind"):
    domain: str


class Public(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="public", tag_field="kind"):
    open: bool = True


class Inventory(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    hosts: dict[Annotated[str, msgspec.Meta(pattern="^[a-z0-9.-]+$")], Host]
    access: Ngrok | Public | None = None
    extra: dict[str, str] = msgspec.field(default_factory=dict, name="x-ctl")


def complaint(text: str, type_: Any = None) -> str:
    with pytest.raises(InvalidFile) as caught:
        decode(text, type_, file="f.yaml") if type_ else load(text, file="f.yaml")
    return caught.value.message


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("22:22", "22:22"),
        ("on", "on"),
        ("Yes", "Yes"),
        ("0777", "0777"),
        ("1_000", "1_000"),
        ("2024-01-31", "2024-01-31"),
        ("=", "="),
        ("0b1", "0b1"),
        ("truE", "truE"),
        ("'true'", "true"),
        ('"12"', "12"),
        ("1.121.3", "1.121.3"),
        ("True", True),
        ("false", False),
        ("~", None),
        ("null", None),
        ("''", ""),
        ("0", 0),
        ("-17", -17),
        ("+17", 17),
        ("0o17", 15),
        ("0x1f", 31),
        ("1.5", 1.5),
        ("1e3", 1000.0),
        (".5", 0.5),
        ("-.inf", -math.inf),
        ("|\n  a\n  b", "a\nb"),
        ("|\n  a\n  b\n", "a\nb\n"),
        ("[a, 1, {b: no}]", ["a", 1, {"b": "no"}]),
        ("", None),
        ("# nothing\n", None),
        ("---\n", None),
        ("\ufeffa: 1", {"a": 1}),
    ],
)
def test_reads_the_core_schema_of_yaml_1_2(text: str, value: Any) -> None:
    data = load(text, file="f.yaml").data
    assert data == value
    assert type(data) is type(value)


def test_not_a_number_is_a_float() -> None:
    assert math.isnan(load(".nan", file="f.yaml").data)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: 2\na: 3", "f.yaml:3: the key 'a' stands here and on line 1"),
        ("x:\n  a: 1\n  'a': 3", "f.yaml:3: the key 'a' stands here and on line 2"),
        ("a: 1\n8080: x", "f.yaml:2: the key '8080' is an integer; quote it to make it a string"),
        ("true: x", "f.yaml:1: the key 'true' is true or false; quote it to make it a string"),
        ("? [a]\n: 1", "f.yaml:1: a key has to be a plain string"),
        ("a: !!python/name:os.system x", "f.yaml:1: the tag 'tag:yaml.org,2002:python/name:os.system' is not"),
        ("a: 1\nb: !reset null", "f.yaml:2: the tag '!reset' is not supported here"),
        ("a: ! x", "f.yaml:1: the tag '!' is not supported here"),
        ("a: 1\n---\nb: 2", "f.yaml:2: holds more than one document"),
        ("a: *b", "f.yaml:1: the alias *b names no anchor above it"),
        ("a: &a [1, *a]", "f.yaml:1: the alias *a stands inside the value that it names"),
        ("<<: 3", "f.yaml:1: '<<' takes a mapping or a list of mappings"),
        ("a:\n\tb: 1", "f.yaml:2: is not YAML: a tab stands where only spaces may"),
        ("a: @b", "f.yaml:1: is not YAML: quote a text that begins with '@'"),
        ("a: {{ b }}", "f.yaml:1: a key has to be a plain string (quote a text that begins with '{')"),
        ("a: b: c", "f.yaml:1: is not YAML: a colon stands where no key can be"),
        ("a: [1, 2", "f.yaml:1: is not YAML: did not find expected ',' or ']'"),
        ("a: 1\nb: '", "f.yaml:2: is not YAML: found unexpected end of stream"),
        ("a: 1\nb: \x00", "f.yaml:2: is not YAML: the character U+0000 may not stand in it"),
        ("a: \ud800", "f.yaml:1: is not YAML: the character U+D800 may not stand in it"),
        ("a: 1\nb: 99999999999999999999", "f.yaml:2: a number does not fit into 64 bits"),
        ("9" * 9999, "f.yaml:1: a number does not fit into 64 bits"),
        ("1e999", "f.yaml:1: a number is too large"),
        ("[" * 200, "f.yaml:1: is nested more than 100 levels deep"),
        ("x" * (MAX_BYTES + 1), "f.yaml: is larger than 1024 KiB"),
        ("é" * (MAX_BYTES // 2 + 1), "f.yaml: is larger than 1024 KiB"),
    ],
)
def test_refuses_with_the_line(text: str, message: str) -> None:
    assert complaint(text).startswith(message)


def test_a_billion_laughs_stop_early() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    assert complaint("\n".join(lines)) == "f.yaml:6: holds more than 100000 values, its aliases expanded"


def test_aliases_do_not_hide_depth() -> None:
    deep = "[" * 60 + "]" * 60
    assert "100 levels" in complaint(f"a: &a {deep}\nb: {'[' * 60}*a{']' * 60}")


def test_anchors_aliases_and_merges() -> None:
    text = """
base: &base {image: a, restart: always}
more: &more {restart: never, tty: true}
one: {<<: *base, image: b}
two:
  <<: [*base, *more]
  tty: false
three: *base
"""
    document = load(text, file="f.yaml")
    data = document.data
    assert data["one"] == {"image": "b", "restart": "always"}
    assert data["two"] == {"image": "a", "restart": "always", "tty": False}
    assert data["three"] == data["base"]
    assert data["three"] is not data["base"]
    assert document.line(("three",)) == 8
    assert document.line(("two", "restart")) == 2


def test_lines() -> None:
    text = "a: 1\nhosts:\n  # the first\n  prod-1:\n    port:\n      22\n    services:\n    - x\n    - y: 1\n"
    document = load(text, file="f")
    assert document.line(()) == 1
    assert document.line(("hosts",)) == 2
    assert document.line(("hosts", "prod-1")) == 4
    assert document.line(("hosts", "prod-1", "port")) == 6
    assert document.line(("hosts", "prod-1", "services")) == 7
    assert document.line(("hosts", "prod-1", "services", 0)) == 8
    assert document.line(("hosts", "prod-1", "services", 1, "y")) == 9
    assert document.line(("hosts", "prod-2")) is None
    assert load("", file="f").line(()) is None


def test_decodes_into_the_type() -> None:
    text = "hosts:\n  prod-1: {address: 203.0.113.10, services: [qdrant], proxy: caddy}\nx-ctl: {a: b}\n"
    inventory = decode(text, Inventory, file="f.yaml")
    host = Host(address="203.0.113.10", services=("qdrant",), proxy=Kind.CADDY)
    assert inventory == Inventory(hosts={"prod-1": host}, extra={"a": "b"})
    assert convert(load(text, file="f.yaml"), Inventory) == inventory


HOSTS = "hosts:\n  prod-0: {address: a}\n  prod-1:\n    address: b\n    "


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (HOSTS + "port: ssh", "f.yaml:5: hosts.prod-1.port: expected an integer, got 'ssh'"),
        (HOSTS + "port:", "f.yaml:5: hosts.prod-1.port: expected an integer, got nothing"),
        (HOSTS + "port: 70000", "f.yaml:5: hosts.prod-1.port: expected an integer of at most 65535, got 70000"),
        (HOSTS + "port: true", "f.yaml:5: hosts.prod-1.port: expected an integer, got true"),
        (HOSTS + "prot: 22", "f.yaml:5: hosts.prod-1: unknown key 'prot'; did you mean 'port'?"),
        (HOSTS + "user: A", "f.yaml:5: hosts.prod-1.user: expected a string that matches '^[a-z]+$', got 'A'"),
        (HOSTS + "services: x", "f.yaml:5: hosts.prod-1.services: expected a list, got 'x'"),
        (HOSTS + "services:\n    - x\n    - 3", "f.yaml:7: hosts.prod-1.services[1]: expected a string, got 3"),
        (HOSTS + "proxy: apache", "f.yaml:5: hosts.prod-1.proxy: expected one of nginx, caddy, got 'apache'"),
        (HOSTS + "access: all", "f.yaml:5: hosts.prod-1.access: expected one of public, tailnet, got 'all'"),
        (HOSTS + "memory: 1.5", "f.yaml:5: hosts.prod-1.memory: expected an integer or a string or nothing, got 1.5"),
        (HOSTS + "vars: {a: x, b.c: [], d: 1}", 'f.yaml:5: hosts.prod-1.vars."b.c": expected a string, got a list'),
        (HOSTS + "pair: [1]", "f.yaml:5: hosts.prod-1.pair: expected a list of length 2, got 1"),
        (HOSTS + "some: []", "f.yaml:5: hosts.prod-1.some: expected a list of length at least 1, got 0"),
        (HOSTS + "verbose: yes", "f.yaml:5: hosts.prod-1.verbose: expected true or false, got 'yes'"),
        ("hosts:\n  a: {address: a}\n  b:\n    port: 22", "f.yaml:3: hosts.b: the key 'address' is missing"),
        ("hosts:\n  a: {address: a}\n  b: {address: nowhere}", "f.yaml:3: hosts.b: nowhere is not an address"),
        ("hosts:\n  a: {address: a}\n  b: 3", "f.yaml:3: hosts.b: expected a mapping, got 3"),
        ("hosts:\n  a: {address: a}\n  B C: {address: a}", "f.yaml:3: hosts: expected a string that matches "),
        ("hosts: {}\naccess: {kind: ngork}", "f.yaml:2: access.kind: expected one of ngrok, public, got 'ngork'"),
        ("hosts: {}\naccess: {}", "f.yaml:2: access: the key 'kind' is missing"),
        ("hosts: {}\naccess: {kind: public, doman: 3}", "f.yaml:2: access: unknown key 'doman'; did you"),
        ("hosts: {}\nx-ctl: {a: 1}", "f.yaml:2: x-ctl.a: expected a string, got 1"),
        ("hosts: {}\nzzz: 1", "f.yaml:2: unknown key 'zzz'; known: access, hosts, x-ctl"),
        ("hosts: {}\n'a - at `$.hosts`': 1", "f.yaml:2: unknown key 'a - at `$.hosts`'; known: "),
        ("a: 1", "f.yaml:1: unknown key 'a'; known: "),
        ("- 1", "f.yaml:1: expected a mapping, got a list"),
        ("", "f.yaml: is empty"),
    ],
)
def test_faults_name_line_path_and_remedy(text: str, message: str) -> None:
    assert complaint(text, Inventory).startswith(message)


def test_the_first_of_many_culprits_is_found() -> None:
    hosts = {f"h{n}": {"address": "a", "port": "x" if n in (613, 700) else 22} for n in range(1000)}
    assert ": hosts.h613.port: expected an integer, got 'x'" in complaint(dump({"hosts": hosts}), Inventory)


def test_long_values_are_cut() -> None:
    assert len(complaint(HOSTS + "port: " + "x" * 5000, Inventory)) < 150


YAMLISH = st.text(alphabet="ab01.:-#&*!|>'\"%@`{}[], \n\t?~<e_\\\x00\x85\ud800é", max_size=60)
WORDS = ["a", "hosts", "port", "address", ": ", "\n", "\n  ", "\n    ", "- ", "&x ", "*x", "<<: ", "!t ", "1", "["]
TOKENS = st.lists(st.sampled_from(WORDS)).map("".join)


@settings(max_examples=400, deadline=None)
@given(st.one_of(st.text(), YAMLISH, TOKENS, st.binary().map(lambda raw: raw.decode("latin-1"))))
@example("a: &a\n  <<: *a")
@example("%TAG ! tag:x,2000:\n---\n!x")
@example("%YAML 9.9\n---\n")
def test_any_text_is_read_or_refused(text: str) -> None:
    for type_ in (None, Inventory, dict[str, int], list[Host | None]):
        try:
            decode(text, type_, file="f.yaml") if type_ else load(text, file="f.yaml")
        except InvalidFile as error:
            assert error.message.startswith("f.yaml")


SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(1 << 63), (1 << 64) - 1),
    st.floats(allow_nan=False),
    st.text(st.characters(exclude_categories=["Cs"])),
    st.text(alphabet="ab \n\t:#-'\"\\", max_size=20),
    st.from_regex(r"[-+.]?[0-9][0-9_:.xobeE+-]{0,8}", fullmatch=True),
)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
DATA = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(TEXTS, inner, max_size=4)),
    max_leaves=12,
)
AMBIGUOUS = [
    "on",
    "off",
    "yes",
    "no",
    "y",
    "n",
    "Y",
    "N",
    "true",
    "TRUE",
    "null",
    "~",
    "NULL",
    "22:22",
    "1:2:3.4",
    "0o7",
    "0777",
    "0x1F",
    "0b1",
    "1e3",
    "1_000",
    ".5",
    "5.",
    ".inf",
    "-.INF",
    ".NaN",
    "+1",
    "-",
    "-1",
    "2024-01-31",
    "2024-1-1T1:1:1Z",
    "=",
    "<<",
    "?",
    ":",
    ",",
    "[",
    "]",
    "{",
    "}",
    "#",
    "&",
    "*",
    "!",
    "|",
    ">",
    "'",
    '"',
    "%",
    "@",
    "`",
    "--",
    "---",
    "...",
    "..",
    ".",
    "12e5",
    "_",
    "__",
    "0",
    "00",
    "1.2.3",
    "1,000",
    "::1",
    "a:",
    "a:b",
    ":a",
    "a#b",
    "#a",
    "!x",
    "&a",
    "*a",
    "-a",
    "?a",
    "%a",
    "@a",
    "0x1p-2",
    "1-2-3",
    "12:30:45",
    "0.0.0.0",
    "1e1000",
    "...a",
]


@settings(max_examples=200, deadline=None)
@given(DATA)
@example({word: word for word in AMBIGUOUS})
@example(AMBIGUOUS)
@example(["", " ", "a ", " a", "a #b", "a: b", "a\n", "a\nb", "a\n\n", "\na", "\n", "a\n b\n", " a\nb", "a\n \nb"])
@example(["--- a\nb"])
@example("--- a\n... b\n")
@example(["a\r\nb", "a\x85b\nc", "\u2028", "\ufeff\na", "\x7f", "\U0001f600\nx", "a\tb\n\tc", "a\nb\t", "\0"])
@example({"a": {}, "b": [], "c": [[], [[1, 2], {"x": [1]}], {}], "d": [{"a": 1, "b": [{"c": "x\ny"}]}]})
@example({"d": {"e": {"f": "a\n\nb\n"}}, "e": ["a\nb\n", {"k": "a\nb"}, ["a\nb"]]})
def test_every_reader_agrees_on_what_was_dumped(data: Any) -> None:
    text = dump(data)
    assert load(text, file="f.yaml").data == data
    assert yaml.safe_load(text) == data
    modern = YAML(typ="safe", pure=True)
    modern.version = (1, 2)
    if text.isascii() and "\\u" not in text:
        assert modern.load(io.StringIO(text)) == data


def test_dumps_the_way_a_person_writes() -> None:
    data = {
        "services": {
            "n8n": {
                "image": "docker.n8n.io/n8nio/n8n:1.121.3",
                "ports": ["22:22", "127.0.0.1:80:80/tcp"],
                "command": ["sh", "-c", 'echo "$$HOME" {}'],
                "environment": {"ON": "on", "EMPTY": "", "SCRIPT": "set -e\n\nexit 0\n", "LONG": "word " * 60 + "end"},
                "healthcheck": {"interval": "10s", "retries": 12, "start_period": None},
                "cap_drop": (),
            },
        },
    }
    assert dump(data) == (
        "services:\n"
        "  n8n:\n"
        "    image: docker.n8n.io/n8nio/n8n:1.121.3\n"
        "    ports:\n"
        '      - "22:22"\n'
        "      - 127.0.0.1:80:80/tcp\n"
        "    command:\n"
        "      - sh\n"
        '      - "-c"\n'
        "      - 'echo \"$$HOME\" {}'\n"
        "    environment:\n"
        '      "ON": "on"\n'
        '      EMPTY: ""\n'
        "      SCRIPT: |\n"
        "        set -e\n"
        "\n"
        "        exit 0\n"
        f"      LONG: {'word ' * 60}end\n"
        "    healthcheck:\n"
        "      interval: 10s\n"
        "      retries: 12\n"
        "      start_period: null\n"
        "    cap_drop: []\n"
    )


def nested(levels: int) -> Any:
    data: Any = "x"
    for _ in range(levels):
        data = [data]
    return data


def test_what_load_would_refuse_is_not_dumped() -> None:
    assert load(dump(nested(100)), file="f.yaml").data == nested(100)
    refused: list[Any] = [nested(101), {1: "a"}, {"k" * 1001: 1}, "\ud800", object(), 1 << 64, b"x", {"a": {1, 2}}]
    for data in refused:
        with pytest.raises(ValueError):
            dump(data)
    assert load(dump({"k" * 998: 1}), file="f.yaml").data == {"k" * 998: 1}
