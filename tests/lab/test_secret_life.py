"""Secrets on a real host: planted, looked for everywhere, lost, recovered, rotated."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from lab_project import ROOT, Project, Said
from lab_server import Server

MARK = "sentinel-"
SECRETS = [
    *("N8N_ENCRYPTION_KEY", "N8N_DB_PASSWORD", "POSTGRES_PASSWORD", "BASIC_AUTH_PASSWORD", "BASIC_AUTH_SALT"),
    *("FLOWISE_SECRETKEY", "FLOWISE_JWT_AUTH", "FLOWISE_JWT_REFRESH", "FLOWISE_SESSION", "FLOWISE_TOKEN_HASH"),
]
PLANTED = {name: f"{MARK}{number:02}-of-{name.lower()}" for number, name in enumerate(SECRETS)}
RELOAD = "proxy/caddy/steps/3-configure/20-reload.sh.j2"

# Where a value may stand: what its service reads, what the release keeps, what `ctl secrets pull` recovers from.
ALLOWED = re.compile(
    # Docker's own record of a container's environment, in a folder that root alone can enter.
    r"/run/containerd/io\.containerd\.runtime\.v2\.task/moby/\w{64}/config\.json|"
    rf"{ROOT}/(stacks/[a-z0-9]+/(\.env|databases?\.sql)|proxy/\.env|\.ctl/secrets\.env|\.ctl/releases/\w+/files/\w{{64}})"
)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, bare: Server) -> Project:
    made = Project(tmp_path_factory.mktemp("secrets"))
    made.write(bare.name, services=["postgres"])
    return made


class Watcher:
    """Every command line of this machine, while it is entered."""

    def __init__(self) -> None:
        self.seen: set[str] = set()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._look)

    def _look(self) -> None:
        while not self._stop.wait(0.02):
            for path in Path("/proc").glob("[0-9]*/cmdline"):
                try:
                    self.seen.add(path.read_text(errors="replace"))
                except OSError:
                    continue

    def __enter__(self) -> Watcher:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()


@pytest.fixture
def watched(bare: Server) -> Iterator[None]:
    """Every command line of the host goes to a file there meanwhile."""
    look = "while :; do cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' ' >>/run/seen; echo >>/run/seen; done"
    bare.sh(f'systemd-run -q --unit=watcher sh -c "{look}"')
    yield
    bare.sh("systemctl stop watcher; rm -f /run/seen")


def leaks(text: str) -> list[str]:
    return re.findall(rf".{{0,60}}{MARK}.{{0,40}}", text)


def test_no_value_is_anywhere_but_where_it_has_to_be(bare: Server, project: Project, watched: None) -> None:
    (project.folder / ".env").write_text("".join(f"{name}={value}\n" for name, value in PLANTED.items()))
    name = bare.name
    said: dict[str, Said] = {}

    def ctl(*words: str, code: int = 0) -> None:
        said[" ".join(words)] = answer = project.ctl(*words)
        assert answer.code == code, answer

    with Watcher() as here:
        ctl("doctor", name, code=said_code(project, name))
        ctl("plan", name, "--script")
        ctl("plan", name)
        ctl("deploy", name, "--yes")
        for words in (
            ["plan"],
            ["plan", "--json"],
            ["status"],
            ["status", "--json"],
            ["history"],
            ["history", "--json"],
        ):
            ctl(words[0], name, *words[1:])
        ctl("attach", name)
        ctl("secrets", "list", name)
        ctl("secrets", "list", name, "--json")
        # A step that fails, and a container that never gets healthy, with everything said that can be said.
        project.override(RELOAD, "check() { true; }", "check() { echo checking; false; }")
        ctl("deploy", name, "--yes", code=1)
        said["--debug"] = project.ctl("--debug", "deploy", name, "--yes", "--json")
        assert said["--debug"].code != 0
        (project.folder / "templates" / RELOAD).unlink()
        times = "      interval: {}s\n      timeout: 5s\n      retries: {}\n      start_period: {}s\n"
        check = '/ping >/dev/null || exit 1"]\n'
        project.override(
            "services/flowise/compose.yaml.j2",
            check + times.format(10, 12, 60),
            check.replace("exit", "false; exit").replace("||", "; ") + times.format(1, 2, 3),
        )
        ctl("deploy", name, "--yes", "--no-rollback", code=6)
        ctl("status", name)
        (project.folder / "templates/services/flowise/compose.yaml.j2").unlink()
        ctl("deploy", name, "--yes", "--json")
    for words, answer in said.items():
        assert not leaks(answer.stdout + answer.stderr), words
    assert not [line for line in here.seen if leaks(line)]
    assert bare.sh("wc -c </run/seen") > "1000"
    assert bare.sh("grep -ao '[s]entinel-.*' /run/seen || true") == ""
    assert bare.sh("journalctl --no-pager -o export | grep -ao '[s]entinel-.*' || true") == ""
    assert bare.sh("for id in $(docker ps -aq); do docker logs $id 2>&1; done | grep -ao '[s]entinel-.*' || true") == ""
    where = "/opt /etc /var/log /run /tmp /root /home /srv /var/tmp /var/lib/systemd /var/backups"
    found = bare.sh(f"grep -rlasF --exclude=seen {MARK} {where} || true").splitlines()
    assert [path for path in found if not ALLOWED.fullmatch(path)] == []
    assert f"{ROOT}/.ctl/secrets.env" in found, "the sentinel can be found"
    for path in found:
        read = bare.inside.run(f"setpriv --reuid=65534 --regid=65534 --clear-groups cat {path}")
        assert read.rc != 0, f"{path} can be read by anybody"
    # The password at the doors is there as a hash only.
    assert bare.sh(f"grep -rlasF --exclude=seen {PLANTED['BASIC_AUTH_PASSWORD']} {where} || true") == ""
    own = [path for path in (project.folder.rglob("*"), project.home.rglob("*")) for path in path]
    holding = [path.name for path in own if path.is_file() and MARK.encode() in path.read_bytes()]
    assert holding == [".env"]


def said_code(project: Project, name: str) -> int:
    """The lab cannot reach Docker's own packages, and needs not: whether the doctor minds is not asked here."""
    return project.ctl("doctor", name).code


# --- from here on the secrets are generated ones ----------------------------------------------------------------------


def query(bare: Server, user: str, password: str) -> bool:
    """Whether Postgres lets in by password, over TCP, from another container's address."""
    address = "$(docker inspect -f '{{(index .NetworkSettings.Networks \"lean-llm\").IPAddress}}' $id)"
    done = bare.inside.run(
        "id=$(docker ps -q --filter label=com.docker.compose.service=postgres) && "
        f"docker exec -e PGPASSWORD={password} $id psql -qAt -h {address} -U {user} -d postgres -c 'SELECT 1'"
    )
    assert done.rc == 0 or "password authentication failed" in done.stderr, done.stderr
    return bool(done.rc == 0)


@pytest.fixture(scope="module")
def generated(bare: Server, project: Project) -> str:
    """The host with generated secrets in place of the planted ones, from nothing."""
    (project.folder / ".env").unlink(missing_ok=True)
    bare.sh(
        f"cd {ROOT} 2>/dev/null && docker compose down -v --remove-orphans >/dev/null 2>&1; "
        f"systemctl stop 'lean-llm*' 2>/dev/null; rm -rf {ROOT}"
    )
    answer = project.ctl("deploy", bare.name, "--yes")
    assert answer.code == 0, answer
    return bare.name


def show(project: Project, host: str, name: str) -> str:
    answer = project.ctl("secrets", "show", host, name)
    assert answer.code == 0, answer
    return answer.stdout.strip()


def test_a_lost_vault_is_refilled_and_nothing_on_the_host_changes(project: Project, generated: str) -> None:
    names = [name for name in SECRETS if not name.startswith("BASIC_AUTH")]
    before = {name: show(project, generated, name) for name in names}
    (project.folder / "vault.enc").unlink()
    refused = project.ctl("deploy", generated, "--yes")
    assert refused.code == 2
    assert "FLOWISE_SECRETKEY, N8N_ENCRYPTION_KEY, POSTGRES_PASSWORD than this release" in refused.error
    assert project.ctl("secrets", "pull", generated).code == 0
    assert {name: show(project, generated, name) for name in names} == before
    plan = project.ctl("plan", generated, "--json").data
    containers = {change["name"] for change in plan["changes"] if change["type"] == "container"}
    assert containers <= {"caddy"}, "only the password at the doors is a new one"
    assert project.ctl("deploy", generated, "--yes").code == 0


def test_rotate_by_recipe_changes_the_password_in_the_database(bare: Server, project: Project, generated: str) -> None:
    old = show(project, generated, "POSTGRES_PASSWORD")
    assert query(bare, "postgres", old)
    answer = project.ctl("secrets", "rotate", generated, "POSTGRES_PASSWORD", "--yes")
    assert answer.code == 0, answer
    new = show(project, generated, "POSTGRES_PASSWORD")
    assert new != old
    assert query(bare, "postgres", new)
    assert not query(bare, "postgres", old)
    assert old not in str(answer)
    assert new not in str(answer)
    assert project.ctl("plan", generated, "--detailed-exitcode").code == 0


def test_rotate_of_what_a_step_sets_reaches_both_sides(bare: Server, project: Project, generated: str) -> None:
    old = show(project, generated, "N8N_DB_PASSWORD")
    answer = project.ctl("secrets", "rotate", generated, "N8N_DB_PASSWORD", "--yes")
    assert answer.code == 0, answer
    new = show(project, generated, "N8N_DB_PASSWORD")
    assert query(bare, "n8n", new)
    assert not query(bare, "n8n", old)


def test_what_does_not_become_healthy_gets_its_old_value_back(bare: Server, project: Project, generated: str) -> None:
    old = show(project, generated, "POSTGRES_PASSWORD")
    check = 'pg_isready -q -h 127.0.0.1 -U postgres"]\n'
    times = "      interval: {}s\n      timeout: 5s\n      retries: {}\n      start_period: {}s\n"
    project.override(
        "services/postgres/compose.yaml.j2",
        check + times.format(10, 12, 60),
        f"test $$POSTGRES_PASSWORD = {old} && {check}" + times.format(1, 3, 10),
    )
    try:
        assert project.ctl("deploy", generated, "--yes").code == 0
        answer = project.ctl("secrets", "rotate", generated, "POSTGRES_PASSWORD", "--yes")
        assert answer.code == 6, answer
        assert "the old POSTGRES_PASSWORD is back" in answer.error
        assert show(project, generated, "POSTGRES_PASSWORD") == old
        assert query(bare, "postgres", old)
        assert project.ctl("plan", generated, "--detailed-exitcode").code == 0
        assert project.ctl("status", generated, "--json").data["healthy"]
    finally:
        (project.folder / "templates/services/postgres/compose.yaml.j2").unlink()
    assert project.ctl("deploy", generated, "--yes").code == 0


def test_a_rotation_whose_client_is_killed_is_ended_by_the_next(bare: Server, project: Project, generated: str) -> None:
    old = show(project, generated, "POSTGRES_PASSWORD")
    with project.start("secrets", "rotate", generated, "POSTGRES_PASSWORD", "--yes") as watched:
        watched.wait_for("files written")
        os.kill(watched.process.pid, 9)
    again = project.ctl("secrets", "rotate", generated, "POSTGRES_PASSWORD", "--yes")
    for _ in range(60):
        if again.code != 4:  # the run of the one that was killed goes on to its end
            break
        again = project.ctl("secrets", "rotate", generated, "POSTGRES_PASSWORD", "--yes")
    assert again.code == 0, again
    assert "was cut short" in again.stderr
    new = show(project, generated, "POSTGRES_PASSWORD")
    assert new != old
    assert query(bare, "postgres", new)
    assert project.ctl("plan", generated, "--detailed-exitcode").code == 0
