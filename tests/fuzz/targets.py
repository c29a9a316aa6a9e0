"""Every reader of data from outside, as a function of bytes that returns, or fails this way and no other.

Both fuzzers use them: hypothesis (`test_parsers.py`, with every test run) and atheris (`atheris_*.py`, by hand, for as
long as one likes). An error of the documented tree is a good answer; any other exception is what they look for.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping

from ctl.core import surroundings
from ctl.core.adopt import Wishes, adopt
from ctl.core.adopt.compose import Found
from ctl.core.document import decode
from ctl.core.errors import CtlError, InvalidFile
from ctl.core.history import parse_history
from ctl.core.inventory import decode_inventory, find_host
from ctl.core.probe import clean, parse
from ctl.core.quoting import dotenv, read_dotenv
from ctl.core.release import load_release
from ctl.core.report import Log, Outcome
from ctl.core.secret import SecretSpec, keepsake_digests, weakness
from ctl.core.service import Catalogue
from ctl.core.stack import decode_stack
from ctl.core.target import parse_target


def _text(data: bytes) -> str:
    """As files are read: what is no UTF-8 is refused before any parser sees it."""
    return data.decode("utf-8", "replace")


def _told(error: CtlError) -> None:
    """An error is a sentence for a terminal: not endless, and nothing in it moves the cursor."""
    assert len(error.message) < 100_000
    assert "\x1b" not in error.message


def inventory(data: bytes) -> None:
    try:
        found = decode_inventory(_text(data), file="inventory.yaml")
        for name in found.hosts:
            find_host(found, name)
    except InvalidFile as error:
        _told(error)


def stack(data: bytes) -> None:
    try:
        decode_stack(_text(data), file="stack.yaml")
    except InvalidFile as error:
        _told(error)


def service(data: bytes) -> None:
    """The x-ctl block, in a Compose file and alone."""
    for path in ("services/app/compose.yaml.j2", "services/app/x-ctl.yaml"):
        try:
            Catalogue({path: _text(data)}).get("services", "app")
        except CtlError as error:
            _told(error)


def secret_spec(data: bytes) -> None:
    try:
        decode(_text(data), SecretSpec, file="x")
    except InvalidFile as error:
        _told(error)


def probe(data: bytes) -> None:
    for output in (data, b"ctl-probe\t1\n" + data + b"\nend\n"):
        try:
            facts = parse(output)
        except CtlError as error:
            _told(error)
        else:
            assert "\x1b" not in repr(facts).replace("\\x1b", "")


def doctor(data: bytes) -> None:
    around = surroundings.parse(data)
    assert "\x1b" not in "".join(program for _, program in around.held)


def release(data: bytes) -> None:
    manifest, _, blob = data.partition(b"\0")
    try:
        found = load_release(manifest, {"0" * 64: blob})
    except CtlError as error:
        _told(error)
    else:
        assert load_release(found.manifest(), {file.sha: file.content for file in found.files}).id == found.id


def log(data: bytes) -> None:
    """Cut anywhere, a run's log gives the same events as in one piece."""
    whole, cut, outcome = Log(), Log(), Outcome(run="r")
    events = list(whole.feed(data))
    middle = len(data) // 3
    assert [*cut.feed(data[:middle]), *cut.feed(data[middle:])] == events
    assert cut.seen == whole.seen <= len(data)
    for event in events:
        outcome.take(event)
        assert clean(event.text) == event.text
    try:
        outcome.raise_for_failure("h1")
    except CtlError as error:
        _told(error)


def history(data: bytes) -> None:
    try:
        parse_history(data)
    except CtlError as error:
        _told(error)


def env_file(data: bytes) -> None:
    text = _text(data)
    try:
        values = read_dotenv(text)
    except ValueError as error:
        assert len(str(error)) < 80
    else:
        assert read_dotenv(
            "".join(f"{name}={dotenv(value)}\n" for name, value in values.items() if "\0" not in value)
        ) == {name: value for name, value in values.items() if "\0" not in value}
    keepsake_digests(text)
    weakness(text)


def target(data: bytes) -> None:
    try:
        parse_target(_text(data))
    except CtlError as error:
        assert len(error.message) < 100_000


def compose_file(data: bytes) -> None:
    """Taken over or refused; what is taken over is a template that the catalogue reads. It stands beside itself too."""
    text = _text(data)
    beside = {".env": Found(text="", values=lambda: {"A": "{{ x }}", "B": "s3cret-enough"}), "x.yaml": Found(text=text)}
    wishes = Wishes(pins={"p": "1.0"} if "image: p" in text else {})
    try:
        found = adopt(text, "compose.yaml", beside.get, "app", wishes)
    except CtlError as error:
        _told(error)
        assert not set(error.message) & {"\ue0f0", "\ue0f1"}, "a mark of ours is shown"
    else:
        Catalogue({f"services/app/{path}": content for path, content in found.files.items()}).get("services", "app")
        assert not set("".join(found.files.values())) & {"\ue0f0", "\ue0f1"}


TARGETS: Mapping[str, Callable[[bytes], None]] = {
    "inventory": inventory,
    "stack": stack,
    "service": service,
    "secret_spec": secret_spec,
    "compose_file": compose_file,
    "probe": probe,
    "doctor": doctor,
    "release": release,
    "log": log,
    "history": history,
    "env_file": env_file,
    "target": target,
}

_RELEASE = {
    "host": "h1",
    "stack": "s",
    "root": "/opt/s",
    "subnet": "172.30.0.0/24",
    "files": [{"path": "/opt/s/a", "sha": "0" * 64, "phase": 2, "mode": 420, "owner": "root:root", "sensitive": False}],
    "steps": [{"id": "1-setup/10-a", "title": "t", "text": "x", "phase": 1, "fingerprint": "f", "inputs": []}],
    "containers": [{"name": "a", "service": "a", "image": "a:1", "fingerprint": "f", "phase": 2, "mounts": []}],
    "routes": [{"name": "a", "urls": ["https://a"], "upstream": "a:1", "checks": [["/", 200]]}],
    "externals": [{"name": "e", "url": "http://e:1", "health": "/"}],
    "memory": 1,
    "disk": 1,
}
_ABOUT = {"release": "r2", "previous": "r1", "command": "ctl deploy", "who": "a@b", "started": 1, "changes": ["x"]}
SEEDS: Mapping[str, list[bytes]] = {
    "inventory": [
        b"defaults: {user: u, port: 22}\n"
        b"hosts:\n  a: {address: 1.2.3.4, stack: s, vars: {x: [1, y]}}\ngroups: {g: [a]}\n",
        b"hosts: {a: &a {port: 22}, b: {<<: *a, services: [x]}}\n",
    ],
    "stack": [
        b"name: s\nsummary: x\nnetwork: {subnet: 172.21.0.0/16}\nproxy: caddy\n"
        b"access: {kind: ngrok, domain: '{{ vars.d }}'}\ndoors: {domain: localhost, port: 443}\n"
        b"vars: {d: {about: x, default: y}}\nservices: {n8n: {memory: 1G, env: {A: b}}}\n"
    ],
    "service": [
        b"services: {a: {image: a:1}}\nx-ctl:\n  summary: x\n  route: {port: 80, stream: true}\n"
        b"  secrets: {A: {generate: hex, bytes: 32, sticky: true}}\n  requires: {memory: 512M}\n",
        b"summary: x\nvars: {a: {about: b, choices: [c]}}\n",
    ],
    "compose_file": [
        b"services:\n  w:\n    image: w:1\n    ports: ['80:80', {target: 81}]\n    environment: {A: '${A:-b}', PW: x}\n"
        b"    volumes: ['d:/d', './x.yaml:/etc/x.yaml:ro', {type: bind, source: ./e, target: /e}]\n"
        b"    depends_on: {db: {condition: service_healthy}}\n    networks: {n: {aliases: [w]}}\n    secrets: [s]\n"
        b"    healthcheck: {test: curl http://localhost:80/}\n    command: run --pass ${B}\n    mem_limit: 1g\n"
        b"  db:\n    image: postgres:17\n    environment: [POSTGRES_PASSWORD=abc, 'U=a://b:c@d']\n    networks: [n]\n"
        b"volumes: {d: {driver_opts: {type: none, o: bind, device: ./d}}}\nnetworks: {n: {internal: true}}\n"
        b"secrets: {s: {environment: B}}\nconfigs: {c: {content: 'x $$ ${A}'}}\n",
        b"include: [x.yaml]\nservices:\n  a:\n    extends: {service: b, file: x.yaml}\n    image: p\n    cap_add: [A]\n"
        b"  b: {image: 'b:1', env_file: [{path: .env, required: false}], links: ['a:b'], labels: [a=b]}\n",
        b"services:\n  a:\n    extends: {service: b}\n    restart: always\n  b: {image: p, init: true, tmpfs: /x}\n",
    ],
    "secret_spec": [b"{about: x, generate: hex, bytes: 32, sticky: true, rotate: r, pattern: 'a+'}\n"],
    "probe": [
        b"os\tdebian\t\t13\ttrixie\tDebian\narch\tx86_64\t64\nmemory\t8000\t10\ndisk\t5\t6\ntime\t1700000000\nsystemd\tyes\n"
        b"sha\tabc\t/x\nmode\t644\troot:root\t/x\napplied\tabc\t0644\troot:root\t/x\nstamp\ta\tb\nsecret\tA\t0123\n"
        b"container\tid\tn\trunning\tUp (healthy)\tf\ti:1\ts\nunit\ta\tb\tc\td\ncheck\ta\tyes\n"
        b"external\ta\t200\nlock\tme\n"
    ],
    "doctor": [
        b"listen\t[::]:80\tx\nengine\t/a\tb\nneighbour\tp\tn\t0.0.0.0:80->80/tcp\nnetwork\tn\t10.0.0.0/8 x\n"
        b"route\tdefault\te\n"
        b"held\t/x\ty\nimage\ta\naddress\t1.2.3.4\ncertificate\ta\t/b\nreach\thttps://x/\t401\n"
    ],
    "release": [json.dumps(_RELEASE).encode() + b"\0content"],
    "log": [
        b"@ release r\n@ phase 2-deploy\n@ put /x\n@ step a\n| said\n@ done a 1\n"
        b"@ unhealthy a b\n@ fail step a\n@ exit 6\n"
    ],
    "history": [
        b"current\tr2\nsettled\t1\tr2\tx\nrelease\tr2\nrun\t20260101T000000Z-ab\t0\t"
        + json.dumps(_ABOUT).encode()
        + b"\nend\n"
    ],
    "env_file": [b'# digest A 0123456789abcdef\nA=\'x\'\nB="y\\\\\\"\\$"\n'],
    "target": [b"user@host:22", b"[::1]:22", b"ssh://a@b:1"],
}
