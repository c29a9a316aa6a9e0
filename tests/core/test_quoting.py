"""Every quoting against the program that reads it: what went in has to come out unchanged.

Docker Compose, Caddy and nginx are used where they are on the PATH or named by CTL_COMPOSE, CTL_CADDY, CTL_NGINX; the
written-down examples at the end hold everywhere.
"""

from __future__ import annotations

import http.client
import json
import os
import random
import re
import shlex
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from ctl.core.document import dump
from ctl.core.quoting import caddy, compose, dotenv, nginx, sh, systemd, systemd_exec

# What the languages treat specially, alone and together; a batch always holds all of these.
PIECES = [
    *" \t\n\r\"'`\\$%#{}()[]<>;:&|*?!~^=+-/@,.0123abnrtsux",
    *("é", "ß", "\x01", "\x1b", "\x7f", "\x85", "\xa0", "\u2028", "\ufeff", "\U0001f600"),
    *("$HOME", "${HOME}", "${HOME:-x}", "$$", "${", "$(id)", "%n", "%%", "&&", "\\$", "\\n", "\\x41", "\\0101", "\\\\"),
    *("{$HOME}", "{$", "{env.HOME}", "{host}", "{{ x }}", "{args[0]}", "{block}", "{header.X}", "{http.request.uri}"),
    *("\\{", "\\}", '\\"', "\\'", "<<EOF\n", "EOF", "---", "#x", " #x", "null", "on", "0o7", "404"),
]
TRICKY = [*PIECES, "", " x ", "\n\n", "'\"", "\\'\"$x", "p$a'ss\"w\\o#r d", "'\\", '"\\', "x" * 900]
VALUES = st.lists(
    st.one_of(st.sampled_from(PIECES), st.characters(exclude_characters="\0", exclude_categories=["Cs"])), max_size=8
).map("".join)
# Few examples, each a large batch: starting the program is what takes the time.
batches = settings(
    max_examples=4,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
batch = given(st.lists(VALUES, max_size=60), st.integers(0, 1 << 32))


def fill(drawn: Sequence[str], seed: int) -> list[str]:
    """What was drawn, all the tricky pieces, and some hundred random runs of them."""
    chance = random.Random(seed)
    return [*drawn, *TRICKY, *("".join(chance.choices(PIECES, k=chance.randint(2, 10))) for _ in range(200))]


def carried(quote: Callable[[str], str], values: Sequence[str]) -> dict[str, str]:
    """The values that the language can carry, each with its quoted form."""
    forms: dict[str, str] = {}
    for value in values:
        try:
            forms[value] = quote(value)
        except ValueError:
            continue
    return forms


def tool(variable: str, *names: str) -> str:
    """The path of a program that a variable names or that is on the PATH; the test is skipped if there is none."""
    found = os.environ.get(variable) or next(filter(None, map(shutil.which, names)), None)
    return found or pytest.skip(f"no {names[0]} on the PATH, and {variable} names none")


def compose_command() -> list[str]:
    if found := os.environ.get("CTL_COMPOSE") or shutil.which("docker-compose"):
        return [found]
    if shutil.which("docker") and subprocess.run(["docker", "compose", "version"], capture_output=True).returncode == 0:
        return ["docker", "compose"]
    pytest.skip("no docker-compose on the PATH, no compose plugin, and CTL_COMPOSE names none")


@contextmanager
def serving(command: Sequence[str], log: Path, port: int, **environment: str) -> Iterator[http.client.HTTPConnection]:
    """A server process, from the moment it answers until the block ends."""
    with log.open("wb") as stderr, subprocess.Popen(command, stderr=stderr, env=environment) as process:
        try:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
            for _ in range(100):
                try:
                    connection.connect()
                    break
                except OSError:
                    assert process.poll() is None, log.read_text()[-2000:]
                    time.sleep(0.05)
            yield connection
            connection.close()
        finally:
            process.kill()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def body(connection: http.client.HTTPConnection, path: str) -> str:
    connection.request("GET", path)
    return connection.getresponse().read().decode()


@pytest.mark.parametrize("shell", ["sh", "dash", "bash"])
def test_sh_arrives_in_the_shell(shell: str) -> None:
    if not shutil.which(shell):
        pytest.skip(f"no {shell} on the PATH")

    @batches
    @batch
    def arrives(drawn: list[str], seed: int) -> None:
        values = fill(drawn, seed)
        script = f"printf '%s\\0' {' '.join(map(sh, values))}\n"
        out = subprocess.run([shell], input=script.encode(), capture_output=True, check=True, env={"LC_ALL": "C"})
        assert out.stdout.decode().split("\0")[:-1] == values

    arrives()


def test_dotenv_and_compose_arrive_through_docker_compose(tmp_path: Path) -> None:
    command = [*compose_command(), "config", "--format", "json"]
    (tmp_path / "service").mkdir()

    @batches
    @batch
    def arrives(drawn: list[str], seed: int) -> None:
        values = fill(drawn, seed)
        variables = {f"SECRET_{n}": f"${{SECRET_{n}}}" for n in range(len(values))}
        literals = {f"LITERAL_{n}": compose(value) for n, value in enumerate(values)}
        lines = "".join(f"SECRET_{n}={dotenv(value)}\n" for n, value in enumerate(values))
        service = {"image": "x", "environment": {**variables, **literals}, "command": ["x", *map(compose, values)]}
        (tmp_path / "service" / ".env").write_bytes(lines.encode())
        (tmp_path / "service" / "compose.yaml").write_bytes(dump({"services": {"s": service}}).encode())
        (tmp_path / "compose.yaml").write_text(dump({"name": "t", "include": ["service/compose.yaml"]}))
        environment = {"HOME": "/nowhere", "PATH": os.environ["PATH"]}
        out = subprocess.run(command, cwd=tmp_path, capture_output=True, check=True, env=environment)
        read = json.loads(out.stdout)["services"]["s"]
        # The output is a Compose file again, so its dollars are doubled.
        assert [read["environment"][f"SECRET_{n}"] for n in range(len(values))] == list(map(compose, values))
        assert [read["environment"][f"LITERAL_{n}"] for n in range(len(values))] == list(map(compose, values))
        assert read["command"][1:] == list(map(compose, values))

    arrives()


def test_caddy_arrives_in_a_response(tmp_path: Path) -> None:
    program = tool("CTL_CADDY", "caddy")
    version = subprocess.run([program, "version"], capture_output=True, text=True, check=True).stdout
    release = tuple(map(int, re.findall(r"\d+", version)[:2]))

    @batches
    @batch
    def arrives(drawn: list[str], seed: int) -> None:
        values = fill(drawn, seed)
        if release < (2, 8):  # it leaves `\}` alone in a text without `{`
            values = [value for value in values if "{" in value or not ("\\}" in value or value == "}")]
        direct, imported = carried(caddy, values), carried(lambda value: caddy(value, imports=1), values)
        assert len(direct) > len(set(values)) * 0.9
        port = free_port()
        config = tmp_path / "Caddyfile"
        config.write_bytes(
            (
                "{\n\tadmin off\n}\n(snippet) {\n"
                + "".join(f"\trespond /imported{n} {form} 200\n" for n, form in enumerate(imported.values()))
                + f"}}\nhttp://127.0.0.1:{port} {{\n\timport snippet\n"
                + "".join(f"\trespond /{n} {form} 200\n" for n, form in enumerate(direct.values()))
                + "}\n"
            ).encode()
        )
        command = [program, "run", "--config", str(config), "--adapter", "caddyfile"]
        with serving(command, tmp_path / "log", port, HOME=str(tmp_path)) as connection:
            assert [body(connection, f"/{n}") for n in range(len(direct))] == list(direct)
            assert [body(connection, f"/imported{n}") for n in range(len(imported))] == list(imported)

    arrives()


def test_nginx_arrives_in_a_response(tmp_path: Path) -> None:
    program = tool("CTL_NGINX", "nginx", "/usr/sbin/nginx")

    @batches
    @batch
    def arrives(drawn: list[str], seed: int) -> None:
        forms = carried(nginx, fill(drawn, seed))
        port = free_port()
        kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        (tmp_path / "nginx.conf").write_bytes(
            (
                f"daemon off; master_process off; pid {tmp_path}/pid; error_log stderr; events {{}}\n"
                "http { access_log off; keepalive_requests 100000; "
                + "".join(f"{kind}_temp_path {tmp_path}/{kind}; " for kind in kinds)
                + f"server {{ listen 127.0.0.1:{port};\n"
                + "".join(f"location = /{n} {{ return 200 {form}; }}\n" for n, form in enumerate(forms.values()))
                + "}}\n"
            ).encode()
        )
        command = [program, "-p", str(tmp_path), "-c", "nginx.conf", "-e", "stderr"]
        with serving(command, tmp_path / "log", port) as connection:
            assert [body(connection, f"/{n}") for n in range(len(forms))] == list(forms)

    arrives()


@pytest.mark.parametrize(
    ("quote", "value", "written"),
    [
        (sh, "it's", """'it'"'"'s'"""),
        (sh, "", "''"),
        (dotenv, "", "''"),
        (dotenv, 'a "b" $c #d\n', "'a \"b\" $c #d\n'"),
        (dotenv, "it's $5", '"it\'s \\$5"'),
        (dotenv, "back\\", '"back\\\\"'),
        (dotenv, "a\\b", "'a\\b'"),
        (compose, "$a $$ {b}", "$$a $$$$ {b}"),
        (caddy, "", '""'),
        (caddy, 'say "hi"', '"say \\"hi\\""'),
        (caddy, "{host}", '"\\{host\\}"'),
        (caddy, "{$HOME}", '"\\{$:{$}HOME\\}"'),
        (caddy, "C:\\", "`C:\\`"),
        (caddy, "C:\\\\", '"C:\\\\"'),
        (caddy, "a}", '"a}"'),
        (systemd, 'A=50% of $x\n"é"\\\x1b', '"A=50%% of $x\\n\\"é\\"\\\\\\x1b"'),
        (systemd_exec, "$HOME ;", '"$$HOME ;"'),
        (nginx, 'a "b" \\d;\n{', '"a \\"b\\" \\\\d;\n{"'),
    ],
)
def test_how_it_is_written(quote: Callable[[str], str], value: str, written: str) -> None:
    assert quote(value) == written


def test_an_imported_text_is_escaped_once_more() -> None:
    assert caddy("{host}", imports=1) == '"\\\\{host\\\\}"'


@pytest.mark.parametrize("quote", [sh, dotenv, compose, caddy, systemd, systemd_exec, nginx])
def test_what_no_file_can_hold_is_refused(quote: Callable[[str], str]) -> None:
    for value in ("secret\0", "secret\ud800"):
        with pytest.raises(ValueError) as caught:
            quote(value)
        assert "secret" not in str(caught.value)


def test_what_one_language_cannot_carry_is_refused() -> None:
    for quote, value in ((nginx, "a$b"), (nginx, "é" * 2000), (caddy, '`\\"'), (caddy, "`\\")):
        with pytest.raises(ValueError, match="cannot carry"):
            quote(value)


@given(VALUES)
def test_systemd_and_sh_words_read_back_by_their_own_rules(value: str) -> None:
    """A second reading of the rules, in Python; the lab has the real systemd."""
    assert shlex.split(sh(value)) == [value]
    undone = {"n": "\n", "r": "\r", "t": "\t", "\\": "\\", '"': '"'}
    word = systemd_exec(value)[1:-1].replace("$$", "$").replace("%%", "%")
    assert "\n" not in word
    assert value == re.sub(
        r"\\(?:x(..)|(.))", lambda seen: chr(int(seen[1], 16)) if seen[1] else undone[seen[2]], word, flags=re.DOTALL
    )
