"""Data that is backed up, lost and restored, against real restic, PostgreSQL and SFTP. One server keeps the archive."""

from __future__ import annotations

import shlex
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import lab_server
import pytest
import yaml
from lab_project import ROOT, VARS, Project, Said, until
from lab_server import Server

FOLDER = "/srv/backups"
SUM = "SELECT count(*), md5(string_agg(id || word, ',' ORDER BY id)) FROM words"
OTHER = "docker.n8n.io/n8nio/n8n:2.31.0"


@dataclass
class Kept:
    """A host with data, as it now is; `project` knows all hosts."""

    server: Server
    store: Server
    project: Project

    def psql(self, text: str, database: str = "n8n", user: str = "n8n") -> str:
        words = ["docker", "exec", "lean-llm-postgres-1", "psql", "-qXAt", "-U", user, "-d", database, "-c", text]
        return self.server.sh(shlex.join(words))

    def volume(self, name: str) -> str:
        return self.server.sh(f"docker volume inspect -f '{{{{.Mountpoint}}}}' lean-llm_{name}")

    def hashes(self, name: str) -> str:
        """Content, links, owners and modes of all that is in a volume; not what the stand-in notes at its start."""
        path = self.volume(name)
        return self.server.sh(
            f"cd {path} && find . ! -name stand-in -printf '%p %y %m %u %g %l\\n' | sort"
            " && find . -type f ! -name stand-in | sort | xargs -d '\\n' -r sha256sum"
        )

    def data(self) -> tuple[str, ...]:
        names = self.psql("SELECT datname, pg_get_userbyid(datdba) FROM pg_database ORDER BY 1", "postgres", "postgres")
        # Caddy notes the time of its last start in its volume; its authority is what people trust.
        authority = self.server.sh(f"sha256sum <{self.volume('caddy-data')}/caddy/pki/authorities/local/root.crt")
        return (self.psql(SUM), names, self.hashes("n8n"), authority)

    def ctl(self, *words: str) -> Said:
        said = self.project.ctl(*words)
        assert said.code == 0, said
        return said

    def states(self) -> set[str]:
        return {container.state for container in self.server.containers().values()}

    def assert_nothing_left(self) -> None:
        assert self.states() == {"running"}
        left = self.server.sh(f"ls -A {ROOT}/backups; ls -d {self.volume('n8n')}/../.ctl* 2>/dev/null || true").split()
        assert left == ["backup", "repository.env"]


def write(project: Project, store: Server, *hosts: str, **changes: Any) -> None:
    own = {**VARS, "backup_repository": f"sftp:root@{store.name}:{FOLDER}", "backup_keep": {"last": 2}, **changes}
    entry = {"stack": "lean-llm", "services": ["postgres"], "vars": own}
    project.inventory.write_text(yaml.safe_dump({"hosts": dict.fromkeys(hosts, entry)}))


def befriend(server: Server, store: Server) -> None:
    """What a person does once: a key for the backups, and the store's own key known."""
    server.sh("mkdir -p -m 0700 /root/.ssh; ssh-keygen -q -t ed25519 -N '' -f /root/.ssh/id_ed25519")
    server.sh(f"ssh-keyscan -t ed25519 {store.name} >/root/.ssh/known_hosts 2>/dev/null")
    store.sh(f"echo {shlex.quote(server.sh('cat /root/.ssh/id_ed25519.pub'))} >>/root/.ssh/authorized_keys")


@pytest.fixture(scope="module")
def store(engine: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with lab_server.fresh_host(tmp_path_factory.mktemp("store"), "store") as server:
        yield server


@pytest.fixture(scope="module")
def moved(store: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Kept, dict[str, Any]]]:
    """One host deployed, filled and backed up, and gone; another, bare, to which the backup is restored."""
    project = Project(tmp_path_factory.mktemp("project"))
    noted: dict[str, Any] = {}
    with lab_server.fresh_host(tmp_path_factory.mktemp("old"), "old") as old:
        write(project, store, old.name)
        befriend(old, store)
        kept = Kept(old, store, project)
        kept.ctl("deploy", old.name, "--yes")
        noted["timer"] = old.sh("systemctl is-active lean-llm-backup.timer; systemctl is-enabled lean-llm-backup.timer")
        fill(kept)
        noted["ids"] = {name: container.id for name, container in old.containers().items()}
        noted["backup"] = kept.ctl("backup", old.name, "--json").data
        noted["same ids"] = {name: container.id for name, container in old.containers().items()} == noted["ids"]
        noted["data"] = kept.data()
        kept.assert_nothing_left()
        noted["key"] = old.sh(f"grep N8N_ENCRYPTION_KEY {ROOT}/stacks/n8n/.env")
        noted["old"] = old.name
    with lab_server.fresh_host(tmp_path_factory.mktemp("new"), "new") as new:
        write(project, store, noted["old"], new.name)
        befriend(new, store)
        assert not new.inside.exists("docker")
        kept = Kept(new, store, project)
        noted["restore"] = kept.ctl("restore", new.name, "--from", noted["old"], "--yes", "--json").data
        yield kept, noted


@pytest.fixture
def kept(moved: tuple[Kept, dict[str, Any]]) -> Kept:
    return moved[0]


def fill(kept: Kept) -> None:
    kept.psql("CREATE TABLE words AS SELECT id, md5(id::text) AS word FROM generate_series(1, 20000) id")
    kept.psql("CREATE DATABASE \"odd 'name'\"", "postgres", "postgres")
    path = kept.volume("n8n")
    kept.server.sh(
        f"cd {path} && head -c 3000000 /dev/urandom >blob && mkdir -m 0750 'a folder' && ln -s ../blob 'a folder/link'"
        " && echo x >'a folder/.hidden' && chown -R 1000:1000 . && chmod 0400 blob"
    )


def test_a_timer_makes_backups(moved: tuple[Kept, dict[str, Any]]) -> None:
    assert moved[1]["timer"].split() == ["active", "enabled"]


def test_a_backup_recreates_nothing(moved: tuple[Kept, dict[str, Any]]) -> None:
    assert moved[1]["same ids"]
    assert moved[1]["backup"]["snapshot"]["host"] == moved[1]["old"]


def test_the_same_data_on_a_new_host(moved: tuple[Kept, dict[str, Any]]) -> None:
    kept, noted = moved
    assert kept.data() == noted["data"]
    assert noted["restore"]["snapshot"] == noted["backup"]["snapshot"]
    kept.assert_nothing_left()


def test_the_new_host_has_the_keys_that_the_data_needs(moved: tuple[Kept, dict[str, Any]]) -> None:
    kept, noted = moved
    assert kept.server.sh(f"grep N8N_ENCRYPTION_KEY {ROOT}/stacks/n8n/.env") == noted["key"]


def test_the_role_has_the_password_of_the_new_host(kept: Kept) -> None:
    password = kept.server.sh(f'. {ROOT}/stacks/n8n/.env; echo "$N8N_DB_PASSWORD"')
    url = shlex.quote(f"postgresql://n8n:{password}@postgres/n8n")
    asked = f"docker run --rm --network lean-llm postgres:18.6 psql -At {url} -c 'SELECT count(*) FROM words'"
    assert kept.server.sh(asked) == "20000"


def test_nothing_is_to_be_done_afterwards(kept: Kept) -> None:
    assert kept.ctl("plan", kept.server.name, "--json").data["changes"] == []


def test_retention_and_a_restore_in_place(kept: Kept) -> None:
    name = kept.server.name
    for _ in range(3):
        kept.ctl("backup", name)
    ids = [snapshot["id"] for snapshot in kept.ctl("backup", name, "--list", "--json").data]
    assert len(ids) == 2
    before = kept.data()
    kept.psql("DROP TABLE words; CREATE TABLE later (i int)")
    kept.server.sh(f"cd {kept.volume('n8n')} && rm -r blob 'a folder' && echo later >later")
    kept.ctl("restore", name, ids[0], "--yes")
    assert kept.data() == before
    kept.assert_nothing_left()


def test_a_restore_is_confirmed(kept: Kept) -> None:
    said = kept.project.ctl("restore", kept.server.name)
    assert (said.code, "--yes" in said.error) == (2, True)


def test_a_backup_waits_for_no_deploy_when_asked_by_hand(kept: Kept) -> None:
    kept.server.sh(f"systemd-run --quiet --unit=holder flock {ROOT}/.ctl/lock sleep 60")
    said = kept.project.ctl("backup", kept.server.name)
    kept.server.sh("systemctl stop holder")
    assert said.code == 4, said


def test_a_full_disk_leaves_the_services_running(kept: Kept) -> None:
    stage = f"{ROOT}/backups/.stage"
    kept.server.sh(f"mkdir -p {stage} && mount -t tmpfs -o size=512k none {stage}")
    try:
        said = kept.project.ctl("backup", kept.server.name)
        assert said.code == 1, said
        assert "no space left" in said.error
        assert "could not be dumped, 0 MB are free in" in said.error
        assert kept.states() == {"running"}
        assert kept.server.sh(f"ls -A {stage}") == ""
    finally:
        kept.server.sh(f"umount {stage}; rmdir {stage}")
    kept.assert_nothing_left()


def test_a_killed_backup_leaves_nobody_paused(kept: Kept) -> None:
    """Killed as hard as can be while it holds the services; the unit starts them again."""
    kept.psql("CREATE TABLE more AS SELECT id, md5(id::text) FROM generate_series(1, 400000) id")
    kept.server.sh("systemctl start --no-block lean-llm-backup.service")
    until("the services to be held", lambda: "paused" in kept.states(), every=0.05)
    kept.server.sh("systemctl kill -s KILL lean-llm-backup.service")
    until("the services to run", lambda: kept.states() == {"running"}, seconds=20)
    kept.server.sh("systemctl reset-failed lean-llm-backup.service")
    kept.psql("DROP TABLE more")


def test_damage_is_found(kept: Kept) -> None:
    pack = kept.store.sh(
        f"cp -a {FOLDER} {FOLDER}.good; find {FOLDER}/data -type f -printf '%s %p\\n' | sort -n | tail -n 1"
    )
    path = shlex.quote(pack.split()[1])
    kept.store.sh(f"chmod u+w {path} && printf damage | dd of={path} bs=1 seek=200000 conv=notrunc status=none")
    before = kept.data()
    try:
        backup, restore = (
            kept.project.ctl("backup", kept.server.name),
            kept.project.ctl("restore", kept.server.name, "--yes"),
        )
    finally:
        kept.store.sh(f"rm -rf {FOLDER} && mv {FOLDER}.good {FOLDER}")
    assert backup.code == restore.code == 1
    assert "is damaged: it does not read back" in backup.error
    assert "ciphertext verification failed" in restore.error
    assert kept.data() == before
    kept.assert_nothing_left()


def test_a_restore_that_does_not_come_up_gives_back_what_was_there(kept: Kept) -> None:
    """In the snapshot n8n's stand-in may not write its file, and does not start without."""
    note = f"{kept.volume('n8n')}/stand-in"
    kept.server.sh(f"chown root:root {note} && chmod 0400 {note}")
    kept.ctl("backup", kept.server.name)
    kept.server.sh(f"chown 1000:1000 {note} && chmod 0644 {note} && echo >{kept.volume('n8n')}/newer")
    kept.psql("CREATE TABLE newer (i int)")
    before = kept.data()
    said = kept.project.ctl("restore", kept.server.name, "--yes")
    assert said.code == 6, said
    assert "what was there before is back" in said.error
    assert kept.data() == before
    assert kept.psql("SELECT count(*) FROM newer") == "0"
    kept.assert_nothing_left()


def test_an_upgrade_that_fails_gives_the_data_back(kept: Kept) -> None:
    """The new image spoils n8n's volume and its database, and never becomes healthy."""
    spoil = 'CMD ["sh", "-c", "rm -f /home/node/.n8n/blob; echo >/home/node/.n8n/migrated; exec sleep 600"]'
    kept.server.sh(
        "docker create --name other docker.n8n.io/n8nio/n8n:2.30.4 >/dev/null"
        f" && docker commit -c {shlex.quote(spoil)} other {OTHER} && docker rm other"
    )
    template = "services/n8n/compose.yaml.j2"
    kept.project.override(template, "n8nio/n8n:2.30.4", "n8nio/n8n:2.31.0")
    own = kept.project.folder / "templates" / template
    own.write_text(
        own.read_text().replace("retries: 12", "retries: 2").replace("start_period: 60s", "start_period: 5s")
    )
    before = kept.data()
    migration = threading.Thread(target=migrate, args=(kept,))
    migration.start()
    said = kept.project.ctl("deploy", kept.server.name, "--yes")
    migration.join()
    own.unlink()
    assert said.code == 6, said
    assert kept.data() == before
    kept.assert_nothing_left()
    assert kept.ctl("plan", kept.server.name, "--json").data["changes"] == []


def migrate(kept: Kept) -> None:
    look = "docker inspect -f '{{.Config.Image}} {{.State.Running}}' lean-llm-n8n-1 2>/dev/null || true"
    until("the new image", lambda: kept.server.sh(look) == f"{OTHER} true", seconds=100)
    kept.psql("DROP TABLE words")
