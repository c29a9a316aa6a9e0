"""Quoted values through a real systemd: one unit with some hundred variables and as many arguments."""

from __future__ import annotations

import random
import subprocess

from lab_server import Server

from ctl.core.quoting import systemd, systemd_exec

PIECES = [
    *" \t\n\r\"'`\\$%#{}()[]<>;:&|*?!~^=+-/@,.0123abnrtsux",
    *("é", "\x01", "\x1b", "\x7f", "\x85", "\xa0", "\u2028", "\ufeff", "\U0001f600"),
    *("$HOME", "${HOME}", "$$", "${", "%n", "%%", "%i", "\\n", "\\$", '\\"', "\\'", "\\x41", "\\101", "\\s"),
    *(" ; ", " \\"),
]
SCRIPT = 'env -0 > /run/ctl-quoting.variables && printf "%s\\0" "$@" > /run/ctl-quoting.arguments'


def inside(container: str, *command: str, stdin: bytes = b"") -> bytes:
    done = subprocess.run(["docker", "exec", "-i", container, *command], input=stdin, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def test_systemd_hands_every_value_on_unchanged(bare: Server) -> None:
    container = bare.lab.container
    chance = random.Random(20)
    values = ["", *PIECES, *("".join(chance.choices(PIECES, k=chance.randint(2, 12))) for _ in range(500)), "x" * 4000]
    unit = "".join(
        [
            "[Service]\nType=oneshot\n",
            *(f"Environment={systemd(f'VALUE_{n}={value}')}\n" for n, value in enumerate(values)),
            f"ExecStart=/bin/sh -c {systemd_exec(SCRIPT)} sh {' '.join(map(systemd_exec, values))}\n",
        ]
    )
    start = (
        "cat > /run/systemd/system/ctl-quoting.service && systemctl daemon-reload"
        " && { systemctl start ctl-quoting.service || { journalctl -u ctl-quoting.service >&2; exit 1; }; }"
    )
    inside(container, "sh", "-c", start, stdin=unit.encode())
    assert inside(container, "cat", "/run/ctl-quoting.arguments").decode().split("\0")[:-1] == values
    variables = inside(container, "cat", "/run/ctl-quoting.variables").decode().split("\0")
    read = dict(variable.split("=", 1) for variable in variables if variable)
    assert [read.get(f"VALUE_{n}") for n in range(len(values))] == values
