"""An upgrade of a service with data is a transaction: if it fails, data and configuration go back together."""

from __future__ import annotations

from lab_deployed import Deployed

N8N = "services/n8n/compose.yaml.j2"
IMAGE = "    image: docker.n8n.io/n8nio/n8n:2.30.4\n"
# A new version whose migration spoils the data, and that then never answers.
SPOILS = """    image: caddy:2.11.4-alpine
    user: "0"
    command: ["sh", "-c", "echo spoilt >/home/node/.n8n/precious; rm -f /home/node/.n8n/other; sleep 600"]
"""
PATIENCE = "      interval: 10s\n      timeout: 5s\n      retries: 12\n      start_period: 60s\n"
NONE = "      interval: 1s\n      timeout: 5s\n      retries: 2\n      start_period: 1s\n"
VOLUME = "/var/lib/docker/volumes/lean-llm_n8n/_data"
# The stand-in writes the time of its start into a file of its own.
DIGESTS = f"sudo sh -c 'cd {VOLUME} && find . -type f ! -name stand-in | sort | xargs sha256sum'"


def test_a_migration_that_fails_leaves_the_data_as_before(live: Deployed) -> None:
    server = live.server
    server.sh(f"echo before | sudo tee {VOLUME}/precious {VOLUME}/other >/dev/null")
    before, hashes = server.containers(), server.sh(DIGESTS)
    text = live.project.shipped(N8N)
    assert IMAGE in text
    assert PATIENCE in text
    live.project.override(N8N, text, text.replace(IMAGE, SPOILS).replace(PATIENCE, NONE))

    said = live.project.ctl("deploy", live.name, "--yes")
    assert said.code == 6, said
    assert "is back in its place" in said.error
    assert server.sh(DIGESTS) == hashes
    after = server.containers()
    assert {name: after[name] for name in ("caddy", "flowise")} == {name: before[name] for name in ("caddy", "flowise")}
    live.project.plain(live.name)
    assert live.plan()["empty"]
    assert live.status()["healthy"]
    assert server.sh("sudo ls /opt/lean-llm/backups/.kept 2>/dev/null || true") == "", "nothing is kept once it is over"
