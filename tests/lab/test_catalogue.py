"""Services that the inventory adds to a stack: one with a database in Postgres, one with a door, one that is internal.

Prometheus, its exporter and Postgres are the real programs; Forgejo and ntfy are stand-ins.
"""

from __future__ import annotations

import json
import shlex
import ssl
from collections.abc import Iterator

import lab_server
import pytest
from lab_deployed import Deployed, names
from lab_project import ROOT, Project, until

ADDED = ("postgres", "forgejo", "ntfy", "prometheus")


@pytest.fixture(scope="module")
def catalogue(engine: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployed]:
    with lab_server.fresh_host(tmp_path_factory.mktemp("catalogue"), "catalogue") as server:
        project = Project(tmp_path_factory.mktemp("deployed"))
        project.write(server.name, services=list(ADDED), without=["flowise"])
        # Another registry: the lab's does not answer to this name.
        project.override("services/forgejo/compose.yaml.j2", "image: codeberg.org/", "image: quay.io/")
        script = project.ctl("plan", server.name, "--script")
        deploy = project.ctl("deploy", server.name, "--yes", "--json", seconds=600)
        if deploy.code:
            pytest.fail(f"the deploy failed: {deploy}")
        words = project.ctl("secrets", "show", server.name, "--login").stdout.split()
        yield Deployed(server, project, script, deploy, ":".join(words))


def test_all_of_them_are_healthy_and_there_is_nothing_left_to_do(catalogue: Deployed) -> None:
    status = catalogue.status()
    assert {service["name"]: service["healthy"] for service in status["services"]} == dict.fromkeys(
        ("caddy", "n8n", *ADDED), True
    )
    assert names(catalogue.plan()) == []


def test_a_service_with_a_database_has_a_role_of_its_own(catalogue: Deployed) -> None:
    compose = f"docker compose -f {ROOT}/compose.yaml exec -T"
    ask = "SELECT current_user, current_database(), has_database_privilege('n8n', 'CONNECT')"
    psql = f"psql -qXAt -h postgres -U forgejo forgejo -c {shlex.quote(ask)}"
    password = f"{compose} forgejo sh -c {shlex.quote('echo $FORGEJO__database__PASSWD')}"
    said = catalogue.server.sh(
        f"PGPASSWORD=$({password}) && export PGPASSWORD && {compose} -e PGPASSWORD postgres {psql}"
    )
    assert said == "forgejo|forgejo|f", "it is let in, and not into the database of another"


def test_the_first_account_was_made_once_and_its_password_told_to_nobody(catalogue: Deployed) -> None:
    accounts = f"docker compose -f {ROOT}/compose.yaml exec -T forgejo cat /var/lib/gitea/accounts"
    assert catalogue.server.sh(accounts) == "1 owner admin@example.com"
    password = catalogue.project.ctl("secrets", "show", catalogue.name, "FORGEJO_PASSWORD").stdout.strip()
    assert len(password) > 16
    assert password not in catalogue.script.stdout
    assert password not in catalogue.server.sh(f"cat {ROOT}/.ctl/runs/*/log")


def test_a_door_whose_clients_bring_their_own_header_has_no_password_of_the_proxys(catalogue: Deployed) -> None:
    server = catalogue.server
    assert server.https("n8n.localhost").status == 401
    for name, path in (("ntfy", "/v1/health"), ("forgejo", "/api/healthz")):
        assert server.https(f"{name}.localhost", path).status == 200
    answer = server.https("ntfy.localhost", "/alerts", headers={"Authorization": "Bearer tk_ours"})
    assert answer.status == 200
    assert json.loads(answer.body)["authorization"], "the application gets it"


def test_an_internal_service_has_no_door_and_does_its_work(catalogue: Deployed) -> None:
    server = catalogue.server
    with pytest.raises(ssl.SSLError):
        server.https("prometheus.localhost", "/-/ready")
    inside = f"docker compose -f {ROOT}/compose.yaml exec -T prometheus wget -qO- "

    def up() -> dict[str, str]:
        answer = json.loads(server.sh(f"{inside} 'http://127.0.0.1:9090/api/v1/query?query=up'"))
        return {row["metric"]["job"]: row["value"][1] for row in answer["data"]["result"]}

    until("both to be scraped", lambda: up() == {"prometheus": "1", "node": "1"})
    exporter = server.sh(f"{inside} http://prometheus-node:9100/metrics")
    total = int(server.sh("awk '/^MemTotal:/ {print $2}' /proc/meminfo")) * 1024
    said = next(line.split()[1] for line in exporter.splitlines() if line.startswith("node_memory_MemTotal_bytes "))
    assert float(said) == total, "it tells of the host"
