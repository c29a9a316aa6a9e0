"""What a host is told of its data, and the texts that back it up and put it back."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import samples

from ctl.core import backup
from ctl.core.errors import InvalidFile, RunFailed
from ctl.core.quoting import sql, systemd_calendar
from ctl.core.release import Release
from ctl.core.secret import SecretSpec, settle

ROOT = "/opt/lean-llm"
REPOSITORY = {**samples.NGROK, "backup_repository": "/srv/backups"}


def content(release: Release, path: str) -> str:
    file = release.file(f"{ROOT}/{path}")
    assert file, path
    return file.content.decode()


def lines(release: Release) -> list[list[str]]:
    return [line.split("\t") for line in content(release, backup.TABLE).splitlines()]


def test_every_release_says_where_its_data_is() -> None:
    assert lines(samples.rendered()) == [
        ["stack", "lean-llm"],
        ["volume", "n8n", "lean-llm_n8n", "pause"],
        ["volume", "flowise", "lean-llm_flowise", "pause"],
        ["volume", "caddy", "lean-llm_caddy-data", "pause"],
    ]


def test_with_postgres_there_are_databases_too() -> None:
    found = lines(samples.rendered(services=("postgres",)))
    assert ["volume", "postgres", "lean-llm_postgres", "stop"] in found
    assert ["database", "postgres", "postgres", "postgres", "-"] in found
    assert ["database", "n8n", "postgres", "postgres", "n8n"] in found


def test_what_a_service_uses_comes_up_before_it() -> None:
    release = samples.rendered(services=("postgres",))
    order = [container.name for container in release.containers]
    assert order.index("postgres") < order.index("n8n")
    assert {container.phase for container in release.containers} == {2}
    assert [step.id for step in release.steps if "@postgres" in step.id] == ["2-deploy/10-databases@postgres"]


def test_without_postgres_n8n_knows_nothing_of_it() -> None:
    release = samples.rendered()
    assert "DB_TYPE" not in content(release, "stacks/n8n/compose.yaml")


def test_the_clients_passwords_stand_in_a_file_for_root_alone() -> None:
    file = samples.rendered(services=("postgres",)).file(f"{ROOT}/stacks/postgres/databases.sql")
    assert file and file.sensitive and file.mode == 0o600
    assert b"CREATE DATABASE n8n OWNER n8n" in file.content


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("volumes: [n8n]", "volumes: [n9n]", "x-ctl.backup.volumes: there is no volume 'n9n'"),
        ("container: postgres", "container: postgers", "x-ctl.backup.databases: there is no container 'postgers'"),
        ("volumes: [n8n]", "volumes: ['n8n x']", "volumes"),
    ],
)
def test_a_misspelt_name_is_refused(old: str, new: str, message: str) -> None:
    path = "services/n8n/compose.yaml.j2"
    head, mark, rest = samples.texts()[path].rpartition("  backup: ")
    with pytest.raises(InvalidFile, match="n8n") as caught:
        samples.rendered(own={path: head + mark + rest.replace(old, new)})
    assert message in caught.value.message


def test_without_a_repository_there_is_nothing_of_backups() -> None:
    release = samples.rendered()
    assert not [file.path for file in release.files if "backup" in file.path]
    assert not [step.id for step in release.steps if "restic" in step.id]


def test_with_one_there_are_units_and_a_script() -> None:
    release = samples.rendered(vars=REPOSITORY)
    assert {file.path: file.mode for file in release.files if "backup" in file.path} == {
        "/etc/systemd/system/lean-llm-backup.service": 0o644,
        "/etc/systemd/system/lean-llm-backup.timer": 0o644,
        f"{ROOT}/backups/backup": 0o700,
        f"{ROOT}/backups/repository.env": 0o600,
    }
    assert "--keep-daily 7 --keep-weekly 4" in content(release, "backups/backup")


def test_what_is_not_supplied_is_left_out_and_what_is_there_arrives_unchanged() -> None:
    chosen = samples.selection(vars={**samples.NGROK, "backup_repository": "s3:https://s3.example.com/a'b$HOME"})
    values = {"BACKUP_PASSWORD": "p'w $x"}
    text = backup.settings({"RESTIC_REPOSITORY": chosen.vars["backup_repository"], **values})
    shown = subprocess.run(
        ["sh"], input=text + b'printf "%s|%s" "$RESTIC_REPOSITORY" "$BACKUP_PASSWORD"', capture_output=True
    )
    assert shown.stdout.decode() == "s3:https://s3.example.com/a'b$HOME|p'w $x"


@pytest.mark.parametrize("keep", [{}, {"daily": 0}, {"daily": "7"}, {"daily": True}, {"days": 7}])
def test_a_retention_that_keeps_nothing_is_refused(keep: dict[str, Any]) -> None:
    with pytest.raises(InvalidFile, match="backup_keep"):
        backup.retention(keep, source="inventory.yaml")


@pytest.mark.parametrize("place", ["backups", "ftp:server/x", "/srv/with blank", ""])
def test_a_place_that_restic_does_not_know_is_refused(place: str) -> None:
    with pytest.raises(InvalidFile, match="backup_repository"):
        samples.selection(vars={**samples.NGROK, "backup_repository": place})


def shell_texts() -> dict[str, str]:
    release = samples.rendered(vars=REPOSITORY, services=("postgres",))
    return {
        "backup": content(release, backup.PROGRAM),
        "start": backup.start(ROOT, samples.templates()),
        "restore": backup.restore(ROOT, samples.templates(), "0123abcd"),
        "snapshots": "#!/bin/sh\n" + backup.snapshots(ROOT, samples.templates(), host="h 1", stack="lean-llm"),
    }


@pytest.mark.parametrize("name", ["backup", "start", "restore", "snapshots"])
def test_shellcheck_finds_nothing(name: str, tmp_path: Path) -> None:
    program = shutil.which("shellcheck", path=str(Path(sys.executable).parent)) or shutil.which("shellcheck")
    if not program:
        pytest.skip("no shellcheck")
    path = tmp_path / name
    path.write_text(shell_texts()[name])
    # Functions of the shared libraries of which this text uses a part only; commands in places where they may fail.
    off = "SC2317,SC2329,SC2034,SC2154,SC2015,SC1091,SC1090,SC2016"
    done = subprocess.run([program, "-s", "sh", "-e", off, str(path)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


LIST = b"""[{"time":"2026-01-02T03:04:05Z","hostname":"h1","short_id":"bbbb2222","id":"bbbb2222ff","paths":["/x"]},
{"time":"2026-01-01T03:04:05Z","hostname":"h\\u001b[31m1","short_id":"aaaa1111","id":"aaaa1111ff"}]"""


def test_snapshots_are_read_oldest_first_and_cleaned() -> None:
    found = backup.parse_snapshots(LIST)
    assert [snapshot.id for snapshot in found] == ["aaaa1111", "bbbb2222"]
    assert found[0].host == "h[31m1"
    assert backup.parse_snapshots(b"") == backup.parse_snapshots(b"null") == ()


@pytest.mark.parametrize("output", [b"{}", b"[{}]", b"no", b"[1]"])
def test_what_is_no_list_is_refused(output: bytes) -> None:
    with pytest.raises(RunFailed, match="snapshots"):
        backup.parse_snapshots(output)


@pytest.mark.parametrize(
    ("wanted", "chosen"),
    [
        ("latest", "bbbb2222"),
        ("aaaa", "aaaa1111"),
        ("aaaa1111ff", "aaaa1111"),
        ("cccc", None),
        ("aa", None),
        ("", None),
    ],
)
def test_a_snapshot_is_chosen_by_the_beginning_of_its_id(wanted: str, chosen: str | None) -> None:
    found = backup.choose(backup.parse_snapshots(LIST), wanted)
    assert (found.id if found else None) == chosen


@pytest.mark.parametrize("time", ["03:30", "Sun *-*-* 04:00", "Mon..Fri 22:30:00", "*-*-01/2 03:00 Europe/Berlin"])
def test_times_for_systemd_pass(time: str) -> None:
    assert systemd_calendar(time) == time


@pytest.mark.parametrize("time", ["", "03:30\nUnit=x", "%h", "$(x)", "03:30;"])
def test_what_no_time_can_be_is_refused(time: str) -> None:
    with pytest.raises(ValueError, match="time"):
        systemd_calendar(time)


def test_a_quote_in_sql_is_doubled_and_nothing_else_is_touched() -> None:
    assert sql("a'b\\c\"$x;--") == "'a''b\\c\"$x;--'"


def test_an_optional_secret_may_have_no_value() -> None:
    values, fresh = settle({"KEY": SecretSpec(optional=True)}, {}, {}, lambda n: b"x" * n, "h1")
    assert values == fresh == {}
