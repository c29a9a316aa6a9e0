"""One nginx for all proxies, told the way of the stack's wildcard server (templates/proxy/nginx/parts/wildcard.j2)."""

from __future__ import annotations

import secrets
import socket
import subprocess
import time
from pathlib import Path

from world import free_port

CONFIG = """
worker_processes auto;
worker_rlimit_nofile 20000;
error_log /dev/stderr warn;
pid /tmp/nginx.pid;
events { worker_connections 8192; }
http {
    access_log off;
    map $http_upgrade $connection_upgrade { '' ''; default upgrade; }
    proxy_http_version 1.1;
    proxy_set_header Host $host;
    proxy_set_header Upgrade $http_upgrade;
    proxy_set_header Connection $connection_upgrade;
    server {
        listen 127.0.0.1:PORT backlog=1024;
        server_name "~^p(?<port>[0-9]+)[.]bench$";
        proxy_request_buffering off;
        proxy_buffering off;
        proxy_read_timeout 1d;
        proxy_send_timeout 1d;
        location / { proxy_pass http://127.0.0.1:$port; }
    }
}
"""
IMAGES = ("nginx", "ctl-lab/nginx")


def docker(*words: str) -> str:
    return subprocess.run(["docker", *words], check=True, capture_output=True, text=True).stdout.strip()


class Ingress:
    """nginx, in a container on the network of the host. `end()` removes it."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self._name = f"bench-ingress-{secrets.token_hex(3)}"
        found = [line for name in IMAGES for line in docker("images", "-q", name).splitlines()]
        if not found:
            raise SystemExit("there is no image of nginx: docker pull nginx, or ctl lab images")
        config = folder / "nginx.conf"
        config.write_text(CONFIG.replace("PORT", str(self.port)))
        docker(
            *("run", "--detach", "--rm", "--name", self._name, "--network", "host", "--ulimit", "nofile=20000"),
            *("--volume", f"{config}:/etc/bench.conf:ro", found[0]),
            *("nginx", "-c", "/etc/bench.conf", "-g", "daemon off;"),
        )
        deadline = time.monotonic() + 20
        while not self._answers():
            if time.monotonic() > deadline:
                self.end()
                raise SystemExit("nginx did not come")
            time.sleep(0.05)

    def _answers(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def processes(self) -> list[int]:
        """Master and workers."""
        master = docker("inspect", "--format", "{{.State.Pid}}", self._name)
        workers = Path(f"/proc/{master}/task/{master}/children").read_text().split()
        return [int(master), *map(int, workers)]

    def end(self) -> None:
        docker("rm", "--force", self._name)
