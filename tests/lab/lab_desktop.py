"""Somebody's desktop: a lab host with a stand-in for a model server, and `ctl bridge` as docs/bridge.md has it run."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from lab_cloud import DOMAIN, PASSWORD, Cloud
from lab_project import DOOR, until
from lab_server import PREFIX

from ctl import lab
from ctl.core.errors import UnknownName

TOP = Path(__file__).parents[2]
MODEL = TOP / "stacks/enterprise-llm/images/gateway/bench/standin.py"
NGROK = TOP / "tests/bridge/standin/ngrok"
NGROK_SAYS = "/home/admin/ngrok.json"
NGROK_TOKEN = "a-token-of-the-stand-in"
WORDS, MS = 8, 300
"""What the stand-in says to everything, and how long it takes for each word."""
UNIT = "ctl-bridge"
AS_USER = ("runuser", "-u", "admin", "--", "env", "XDG_RUNTIME_DIR=/run/user/1000", "systemctl", "--user")


class Desktop:
    """Commands reach it through Docker, not through its network, which may be cut."""

    def __init__(self, host: lab.LabHost) -> None:
        self.lab, self._began = host, 0

    def command(self, *words: str) -> list[str]:
        return ["docker", "exec", self.lab.container, *words]

    def sh(self, text: str) -> str:
        """What a piece of sh prints, run as root; it has to succeed."""
        done = subprocess.run(self.command("sh", "-ec", text), capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, f"{text}: exit {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout.rstrip("\n")

    def put(self, path: str, text: str) -> None:
        """A file of the person's own."""
        write = f'install -D -m 0600 -o admin -g admin /dev/stdin "{path}"'
        command = ["docker", "exec", "-i", self.lab.container, "sh", "-ec", write]
        subprocess.run(command, input=text, text=True, check=True, timeout=60)

    def bridge(self, verb: str, *words: str) -> list[str]:
        """A command of this machine that does something to the bridge's unit."""
        return self.command(*AS_USER, verb, *words, UNIT)

    def start(self) -> None:
        """Nothing, if it runs."""
        if subprocess.run(self.bridge("is-active"), capture_output=True, timeout=60).returncode:
            self._began = len(self.said())
            subprocess.run(self.bridge("start"), check=True, timeout=60)

    def stop(self) -> None:
        subprocess.run(self.bridge("stop"), check=True, timeout=60)

    def said(self) -> list[str]:
        """What the bridge has printed since the desktop was there, without the times."""
        text = self.sh(f"journalctl -q -o cat _SYSTEMD_USER_UNIT={UNIT}.service _COMM=ctl")
        return [re.sub(r"^\d\d:\d\d:\d\d  ", "", line) for line in text.splitlines()]

    def until_said(self, text: str, past: int, *, seconds: float = 60) -> None:
        """Until it says something new, `past` being the number of lines that were there before."""
        until(f"the bridge to say {text!r}", lambda: any(text in line for line in self.said()[past:]), seconds=seconds)

    def connected(self) -> bool:
        ways = [line for line in self.said()[self._began :] if line.startswith("in use: ")]
        return ways[-1:] == ["in use: the cloud"]

    @contextlib.contextmanager
    def unplugged(self) -> Iterator[None]:
        """Its network is gone; afterwards it is there again, with an address that may be another."""
        subprocess.run(["docker", "network", "disconnect", "ctl-lab", self.lab.container], check=True, timeout=60)
        try:
            yield
        finally:
            subprocess.run(["docker", "network", "connect", "ctl-lab", self.lab.container], check=True, timeout=60)

    @contextlib.contextmanager
    def without(self, address: str) -> Iterator[None]:
        """Nothing leads there. Open connections end too: at once where the kernel can do that, else by their pings."""
        self.sh(f"ip route add unreachable {address}/32; ss -K dst {address} >/dev/null 2>&1 || true")
        try:
            yield
        finally:
            self.sh(f"ip route del unreachable {address}/32")

    @property
    def address(self) -> str:
        """On the lab's network, as it is now."""
        return self.sh("hostname -I").split()[0]

    def move(self) -> None:
        """To another address, as a laptop does with another Wi-Fi: open connections are lost without a word."""
        self.sh(
            "set -- $(ip -4 -o addr show scope global)\n"
            "gateway=$(ip -4 route show default | cut -d ' ' -f 3)\n"
            'ip addr del "$4" dev "$2"; ip addr add "${4%.*.*}.250.7/${4#*/}" dev "$2"\n'
            'ip route replace default via "$gateway"'
        )


def documented_unit() -> str:
    """The unit that docs/bridge.md has for a bridge that starts with its desktop."""
    found = re.search(r"```ini\n(.*?)```", (TOP / "docs/bridge.md").read_text(), re.DOTALL)
    assert found
    return found[1]


def install(desktop: Desktop, folder: Path) -> None:
    """ctl from this tree, as a wheel with what it needs from PyPI; and the stand-in for a model."""
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(TOP)]
    subprocess.run(build, check=True, capture_output=True, timeout=120)
    for path in (*folder.glob("*.whl"), MODEL, NGROK):
        subprocess.run(["docker", "cp", "-q", str(path), f"{desktop.lab.container}:/opt/"], check=True, timeout=60)
    desktop.sh(
        "apt-get -qq update\n"
        "DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends python3-venv >/dev/null 2>&1\n"
        "loginctl enable-linger admin\n"
        "cd /home/admin\n"
        "runuser -u admin -- python3 -m venv .local\n"
        "runuser -u admin -- .local/bin/pip install -q --disable-pip-version-check /opt/*.whl\n"
        "install -m 0755 /opt/ngrok .local/bin/ngrok\n"
    )
    # Its own start would bring uvloop, which only measuring needs.
    run = "import asyncio, standin; asyncio.run(standin.main())"
    words = ["python3", "-c", run, "11434", "--ms", str(MS), "--tokens", str(WORDS)]
    desktop.sh(f"systemd-run -q --unit model-standin -p WorkingDirectory=/opt {shlex.join(words)}")
    until("the stand-in", lambda: "127.0.0.1:11434" in desktop.sh("ss -Hltn"))


def set_up(desktop: Desktop, cloud: Cloud, email: str, names: list[str], *, ngrok: bool = False) -> None:
    """The bridge's unit, its password, the platform's certificate, and names that no DNS knows."""
    home, config = "/home/admin", "/home/admin/.config/ctl"
    unit = documented_unit()
    for old, new in (
        ("https://ai.example.com", f"https://{DOMAIN}:{DOOR} --ca {config}/ca.pem" + " --ngrok" * ngrok),
        ("ada@example.com", email),
    ):
        assert unit.count(old) == 1
        unit = unit.replace(old, new)
    desktop.put(f"{home}/.config/systemd/user/{UNIT}.service", unit)
    desktop.put(f"{config}/.env", f"CTL_BRIDGE_PASSWORD={PASSWORD}\nNGROK_AUTHTOKEN={NGROK_TOKEN}\n")
    more = f"PATH={home}/.local/bin:/usr/bin:/bin STANDIN_FILE={NGROK_SAYS}"
    desktop.put(f"{home}/.config/systemd/user/{UNIT}.service.d/lab.conf", f"[Service]\nEnvironment={more}\n")
    desktop.put(f"{config}/ca.pem", cloud.certificate())
    known = " ".join((cloud.server.lab.ip, DOMAIN, f"api.{DOMAIN}", *names))
    desktop.sh(f"chown -R admin: {home}/.config; grep -qxF '{known}' /etc/hosts || echo '{known}' >>/etc/hosts")
    subprocess.run(desktop.command(*AS_USER, "daemon-reload"), check=True, timeout=60)


@contextlib.contextmanager
def fresh() -> Iterator[Desktop]:
    """A bare desktop on the lab's network; removed at the end whatever happens, unless CTL_LAB_KEEP=1."""
    name = f"{PREFIX}{os.getpid()}-desktop"
    try:
        yield Desktop(lab.up(name, say=print))
    finally:
        if os.environ.get("CTL_LAB_KEEP") != "1":
            with contextlib.suppress(UnknownName):
                lab.down(name, say=print)
