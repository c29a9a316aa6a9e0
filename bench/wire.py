"""What a deploy costs on the wire, beside `tar | ssh` doing a comparable job in the same run.

    .venv/bin/python bench/wire.py [--rounds 7] [--ahead-of-others] [--json FILE]

Needs root, for a lab host (`ctl lab up lab-bench`) and the tun devices of the long line (see line.py). Both lines lead
to the sshd of that host, which does the same work for either: 40 files (60 KB, with their modes), 10 folders, 5 trivial
commands, nothing of Docker. The rounds are interleaved, so that whatever else the machine does meets all alike.

Each is a process of its own, started anew for each time, except `in one process`, which leaves out the start of the
program and the rendering: what the host and the wire alone cost.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shlex
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from time import monotonic, time
from typing import Any

import product

LAB = "lab-bench"
NEAR, FAR = "ctlbench0", "ctlbench1"
OURS, THEIRS = "10.213.77.1", "10.213.77.2"
PRIORITY = 10
DELAYS = (0, 50)  # milliseconds there and back
JOBS = {"first": "first apply", "nothing": "nothing to do", "change": "one file changed"}
FLOOR = "tar | ssh"
ANEW = f"rm -rf {product.TREE} {product.ROOT} /etc/systemd/system/bench.target"


@dataclass(frozen=True)
class Place:
    """One line to the host: its address there, a project that names it, and what OpenSSH is to be called with."""

    address: str
    project: Path
    ssh: tuple[str, ...]


class Bench:
    """A lab host at the end of two lines, the product to put on it, and the contenders."""

    def __init__(self, folder: Path, stack: contextlib.ExitStack) -> None:
        self.product = product.make(_new(folder / "product"))
        self.plain = product.plain(folder / "plain")
        self.home = _new(folder / "home")
        # From here on `ctl` is the program with the benchmark's templates, in this process too.
        sys.path.insert(0, str(self.product))
        from ctl import lab

        if LAB not in {host.name for host in lab.hosts()}:
            stack.callback(lab.down, LAB, say=lambda _: None)
        self.host = lab.up(LAB, say=lambda text: print(text, file=sys.stderr))
        stack.enter_context(far_line(self.host.container, DELAYS[-1] / 2))
        lines = self.host.known_hosts.read_text().splitlines()
        keys = [line.split(" ", 1)[1] for line in lines]
        addresses = dict(zip(DELAYS, (self.host.ip, THEIRS), strict=True))
        self.known_hosts = _new(self.home / ".ssh") / "known_hosts"
        self.known_hosts.write_text("".join(f"{to} {key}\n" for to in addresses.values() for key in keys))
        self.places = {delay: self._place(folder / f"{delay}", address) for delay, address in addresses.items()}
        self.environment = {
            **{name: os.environ[name] for name in ("PATH", "LANG", "DOCKER_HOST") if name in os.environ},
            "HOME": str(self.home),
            "PYTHONPATH": str(self.product),
        }
        self.edition = count(1)

    def _place(self, folder: Path, address: str) -> Place:
        options = ["-F", "none", "-i", str(self.host.key), "-o", f"UserKnownHostsFile={self.known_hosts}"]
        return Place(
            address,
            product.project(_new(folder), address, self.host.key),
            ("ssh", *options, "-o", "BatchMode=yes", f"root@{address}"),
        )

    def on_host(self, command: str) -> None:
        subprocess.run(["docker", "exec", self.host.container, "sh", "-c", command], check=True)

    def tar(self, place: Place, job: str) -> None:  # noqa: ARG002  it does the same whatever stands there
        marks = " && ".join(f"touch {product.TREE}/done-{at}" for at in range(product.STEPS))
        there = f"tar -xzf - -C / && {marks}"
        tar = f"tar -czf - -C {shlex.quote(str(self.plain))} --owner=root --group=root srv"
        self._run(["sh", "-c", f"{tar} | {shlex.join(place.ssh)} {shlex.quote(there)}"])

    def ssh_true(self, place: Place, job: str) -> None:  # noqa: ARG002
        self._run([*place.ssh, "true"])

    def command(self, place: Place, job: str) -> None:
        arguments = ["-C", str(place.project), "deploy", "bench", "--yes", "--set", f"edition='{self._edition(job)}'"]
        self._run([sys.executable, "-m", "ctl", *arguments])

    def inside(self, place: Place, job: str) -> Callable[[], None]:
        """The rendered release and a transport that has yet to connect; what is returned is what is timed."""
        from ctl import run
        from ctl.cli.workplace import Wish, Workplace
        from ctl.edge.ssh import SshTransport
        from ctl.run.following import Watch

        workplace = Workplace(place.project, Wish(vars={"edition": self._edition(job)}))
        aim = workplace.aim(workplace.host("bench"))
        transport = SshTransport(
            address=place.address, port=22, user="root", key=self.host.key, known_hosts=self.known_hosts
        )

        def work() -> None:
            with transport:
                todo = run.propose(transport, aim)
                if todo:
                    watch = Watch(f"bench-{os.urandom(4).hex()}", "bench", "bench", int(time()), lambda _: None)
                    run.contents(transport, todo.files)
                    run.apply(transport, todo, aim, watch)
                if bool(todo) != (job != "nothing"):
                    raise SystemExit(f"expected {job}, found {len(todo.changes)} changes")

        return work

    def _edition(self, job: str) -> str:
        if job == "change":
            self.now = str(next(self.edition))
        elif job == "first":
            self.now = "0"
        return self.now

    def _run(self, command: list[str]) -> None:
        done = subprocess.run(command, env=self.environment, cwd=self.home, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"{shlex.join(command)}\n{done.stdout}{done.stderr}")

    def times(self, rounds: int) -> dict[str, dict[str, list[float]]]:
        """Seconds by line and job, by contender, one for each round."""
        found: dict[str, dict[str, list[float]]] = {}
        for at in range(rounds + 1):
            for delay, place in self.places.items():
                for who, prepare in self._contenders().items():
                    for job in JOBS:
                        if job == "first":
                            self.on_host(ANEW)
                        work = prepare(place, job)
                        began = monotonic()
                        work()
                        taken = monotonic() - began
                        # The first round warms caches, here and on the host.
                        if at:
                            found.setdefault(f"{delay} {job}", {}).setdefault(who, []).append(taken)
            print(f"round {at} of {rounds}", file=sys.stderr)
        return found

    def _contenders(self) -> dict[str, Callable[[Place, str], Callable[[], None]]]:
        return {
            "ssh true": lambda place, job: lambda: self.ssh_true(place, job),
            FLOOR: lambda place, job: lambda: self.tar(place, job),
            "ctl deploy": lambda place, job: lambda: self.command(place, job),
            "in one process": self.inside,
        }


@contextlib.contextmanager
def far_line(container: str, milliseconds: float) -> Iterator[None]:
    """A line of that length each way between here and the container's network: OURS to THEIRS."""
    program = [sys.executable, str(Path(__file__).with_name("line.py")), NEAR, FAR, str(milliseconds)]
    pid = _said("docker", "inspect", "-f", "{{.State.Pid}}", container)
    inside = ("nsenter", "-t", pid, "-n")
    with subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as line:
        try:
            if not line.stdout or not line.stdout.readline():
                raise SystemExit("no tun devices can be had here: the benchmark needs root and /dev/net/tun")
            _said("ip", "link", "set", FAR, "netns", pid)
            for where, name, address in (((), NEAR, OURS), (inside, FAR, THEIRS)):
                _said(*where, "ip", "addr", "add", f"{address}/30", "dev", name)
                _said(*where, "ip", "link", "set", name, "up")
            yield
        finally:
            if line.stdin:
                line.stdin.close()


def ahead_of_others(*pids: int) -> None:
    """Let these processes, and what they will start, go before whatever else runs on this machine."""
    for pid in pids:
        os.sched_setscheduler(pid, os.SCHED_RR, os.sched_param(PRIORITY))


def table(found: dict[str, dict[str, list[float]]]) -> str:
    """Medians in seconds, and how they stand to the floor."""
    who = ("ssh true", FLOOR, "ctl deploy", "in one process")
    rows = [
        f"| round trip | job | {' | '.join(who)} | ctl ÷ floor | in one process ÷ floor |",
        "|---" * (len(who) + 4) + "|",
    ]
    for name, times in found.items():
        delay, job = name.split()
        middle = {one: statistics.median(times[one]) for one in who}
        ratios = (middle[one] / middle[FLOOR] for one in who[2:])
        cells = [f"{delay} ms", JOBS[job], *(f"{middle[one]:.2f}" for one in who), *(f"{r:.2f}" for r in ratios)]
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


def _said(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def _new(folder: Path) -> Path:
    folder.mkdir(parents=True, mode=0o700)
    return folder


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--ahead-of-others", action="store_true", help="for a machine that is not at rest")
    parser.add_argument("--json", type=Path, help="write every single time into this file")
    wish = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="ctl-bench-") as folder, contextlib.ExitStack() as stack:
        if wish.ahead_of_others:
            ahead_of_others(os.getpid())
        bench = Bench(Path(folder), stack)
        if wish.ahead_of_others:
            ahead_of_others(*map(int, _said("docker", "top", bench.host.container, "-eo", "pid").split()[1:]))
        found: Any = bench.times(wish.rounds)
    if wish.json:
        wish.json.write_text(json.dumps(found, indent=1))
    print(table(found))


if __name__ == "__main__":
    main()
