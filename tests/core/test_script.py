from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from samples import (
    APP_FILE,
    SENTINEL,
    UNIT,
    container_fact,
    fit,
    members,
    release,
    rendered,
    sent,
    settled,
    step,
    templates,
)

from ctl.core import probe, script
from ctl.core.history import About, parse_history
from ctl.core.plan import Plan, plan
from ctl.core.probe import FileFact
from ctl.core.release import Container, File, Release, load_release

SMALL = release()
ABOUT = About(release=SMALL.id, previous="", command="deploy h1", who="me@here", started=1700000000, changes=())


def shellcheck(text: str, *options: str) -> str:
    """What shellcheck complains about."""
    program = shutil.which("shellcheck", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    if program is None:
        pytest.skip("no shellcheck on the PATH")
    done = subprocess.run([program, "-s", "sh", *options, "-"], input=text, text=True, capture_output=True)
    return done.stdout + done.stderr


def main(found: Plan) -> list[str]:
    """The lines of the script's `main`: what is done, in order."""
    text = script.script(found, templates())
    return [line.strip() for line in text.split("main() {\n")[1].split("\n}\n")[0].splitlines()]


def test_the_script_of_a_bare_host() -> None:
    app, unit = SMALL.files
    assert main(plan(SMALL, fit())) == [
        f"begin {SMALL.id}",
        "event phase 1-setup",
        "step 1-setup/10-a step_1_setup_10_a 600 s1",
        "event phase 2-deploy",
        "pull app:1",
        "pull db:2",
        f"put {app.sha} 0644 root:root {APP_FILE}",
        "up 300 '' app db",
        "event phase 3-configure",
        f"put {unit.sha} 0644 root:root {UNIT}",
        "step 3-configure/10-units step_3_configure_10_units 600 s2",
        "step 3-configure/20-extra@app step_3_configure_20_extra_app 600 s3",
        f"settle {SMALL.id}",
    ]


ORPHAN = "/opt/small/stacks/gone/compose.yaml"
OLD = FileFact("0" * 64, 0o644, "root:root")


def test_the_script_of_a_mixed_plan() -> None:
    app, db = (container_fact(each) for each in SMALL.containers)
    there = settled(SMALL)
    facts = replace(
        there,
        files={**there.files, APP_FILE: OLD, ORPHAN: OLD},
        applied={**there.applied, APP_FILE: OLD, ORPHAN: OLD},
        containers=(app, replace(db, state="exited"), replace(app, name="old", id="o1d")),
    )
    assert main(plan(SMALL, facts)) == [
        f"begin {SMALL.id}",
        "event phase 2-deploy",
        "pull app:1",
        "pull db:2",
        f"put {SMALL.files[0].sha} 0644 root:root {APP_FILE}",
        "up 300 '' db",
        "up 300 --force-recreate app",
        "remove old o1d",
        "event phase 3-configure",
        f"del {ORPHAN}",
        f"settle {SMALL.id}",
    ]


def test_an_added_service_is_configured_once_it_is_healthy() -> None:
    added = release(
        steps=(step("2-deploy/10-prepare@web", 4, "s4"), step("3-configure/30-models@web", 4, "s5")),
        containers=(Container("web", "web", "web:3", "f3", 4),),
    )
    assert main(plan(added, fit()))[1:-1] == [
        "event phase 2-deploy",
        "pull web:3",
        f"put {SMALL.files[0].sha} 0644 root:root {APP_FILE}",
        "event phase 3-configure",
        f"put {SMALL.files[1].sha} 0644 root:root {UNIT}",
        "event phase 4-add-service",
        "pull web:3",
        "step 2-deploy/10-prepare@web step_2_deploy_10_prepare_web 600 s4",
        "up 300 '' web",
        "step 3-configure/30-models@web step_3_configure_30_models_web 600 s5",
    ]


def test_only_the_steps_of_the_plan_are_in_the_script() -> None:
    facts = replace(settled(SMALL), stamps={**settled(SMALL).stamps, "1-setup/10-a": "older"})
    text = script.script(plan(SMALL, facts), templates())
    assert "step_1_setup_10_a() {" in text
    assert "step_3_configure" not in text


def test_names_from_outside_are_quoted() -> None:
    app, db = (container_fact(each) for each in SMALL.containers)
    hostile = replace(app, name="x; rm -rf /", id="$(id)")
    lines = main(plan(SMALL, replace(settled(SMALL), containers=(app, db, hostile))))
    assert "remove 'x; rm -rf /' '$(id)'" in lines


WHOLE = rendered()


@pytest.mark.parametrize("facts", [fit(), settled(WHOLE)], ids=["bare", "settled"])
def test_equal_plans_give_equal_scripts_and_archives(facts: Any) -> None:
    def made() -> tuple[str, bytes]:
        todo = plan(rendered(), facts)
        return script.script(todo, templates()), script.archive(todo, templates(), about=ABOUT)

    assert made() == made()


VARIANTS: list[dict[str, Any]] = [
    {},
    {"vars": {"access": "internal", "docker_source": "distribution"}},
    {"vars": {"access": "public", "tls": "acme", "domain": "example.com", "address": "0.0.0.0"}},
]


@pytest.mark.parametrize("host", VARIANTS, ids=["ngrok", "internal", "public"])
def test_shellcheck_passes_on_what_runs_on_the_host(host: dict[str, Any]) -> None:
    wanted = rendered(**host)
    assert shellcheck(script.script(plan(wanted, fit()), templates())) == ""


def test_shellcheck_passes_on_the_probe_and_the_short_scripts() -> None:
    # The functions of the steps are called by their names.
    by_name = "--exclude=SC2317,SC2329"
    assert shellcheck("#!/bin/sh\n" + script.probe(WHOLE, templates(), live=True), by_name) == ""
    short = [
        script.start("/opt/x", "r1"),
        script.start("/opt/x", "r1", follow=False),
        script.follow("/opt/x", "r1", 17),
        script.history("/opt/x"),
        script.fetch(["/etc/a", "/etc/b"]),
    ]
    for text in short:
        assert shellcheck(f"#!/bin/sh\n{text}") == ""


def test_no_secret_is_in_what_travels_in_the_open() -> None:
    """The archive goes over stdin; commands and the script are seen in process lists and shown to people."""
    todo = plan(WHOLE, fit())
    archive = members(script.archive(todo, templates(), about=ABOUT))
    shown = [script.script(todo, templates()), script.probe(WHOLE, templates(), live=True)]
    shown += [content.decode() for name, content in archive.items() if not name.startswith("release/files/")]
    assert not any(SENTINEL in text for text in shown)
    assert any(SENTINEL.encode() in content for content in archive.values()), "the secrets can be found at all"


def test_the_archive_carries_the_script_and_the_whole_release() -> None:
    todo = plan(SMALL, fit())
    found = members(script.archive(todo, templates(), about=ABOUT))
    assert found["script"].decode() == script.script(todo, templates())
    assert found["applied"].decode() == todo.applied_after()
    blobs = {name.split("/")[-1]: content for name, content in found.items() if name.startswith("release/files/")}
    assert load_release(found["release/release.json"], blobs) == SMALL


def test_a_packed_archive_depends_on_its_members_only() -> None:
    one = {"b": (b"2", 0o600), "a": (b"1", 0o700)}
    assert script.pack(one) == script.pack(dict(reversed(one.items())))
    assert members(script.pack(one)) == {"a": b"1", "b": b"2"}


AWKWARD = "echo 'it'\"'\"'s' \"$HOME\" `id` \\ \n!history ~ é\n"


def test_a_command_for_any_login_shell() -> None:
    command = script.as_root(AWKWARD * 50)
    assert sent(command) == AWKWARD * 50
    assert "\n" not in command
    # Inside single quotes csh still expands `!`, and fish a backslash before a quote or a backslash.
    assert re.fullmatch(r"""sh -c '[A-Za-z0-9+/=$%&|;"()\[\] -]*'""", command)
    assert script.as_root("x") == script.as_root("x")


@pytest.mark.parametrize("shell", ["sh", "dash", "bash"])
def test_the_command_runs_the_text(shell: str) -> None:
    if os.geteuid() != 0:
        pytest.skip("sudo would be asked")
    if not shutil.which(shell):
        pytest.skip(f"no {shell} on the PATH")
    text = "printf '%s|' \"it's\" '\"$x\"'\ncat\n"
    done = subprocess.run([shell, "-c", script.as_root(text)], input=b"stdin", capture_output=True, check=True)
    assert done.stdout == b'it\'s|"$x"|stdin'


def many(folder: Path, count: int) -> Release:
    """A release of many files, which are there, and many steps, half of them done; nothing of it is harmful."""
    files = tuple(File(f"{folder}/f{number}", b"%d" % number, 2) for number in range(count))
    for file in files:
        Path(file.path).write_bytes(file.content)
    steps = [step(f"1-setup/{number:02}-a", mark=str(number)) for number in range(20)]
    steps = [replace(each, text=f"check() {{ [ $(({at} % 2)) = 0 ]; }}\n") for at, each in enumerate(steps)]
    return release(root=str(folder), files=files, steps=tuple(steps), containers=(), stack="no-such-stack")


def test_the_probe_runs_in_sh_and_its_answers_do_not_mix(tmp_path: Path) -> None:
    folder = tmp_path / "root"
    folder.mkdir()
    wanted = many(folder, 200)
    text = script.probe(wanted, templates())
    done = subprocess.run(["sh", "-c", text], capture_output=True, check=True, env={"TMPDIR": str(tmp_path)})
    facts = probe.parse(done.stdout)
    assert {path: fact.sha for path, fact in facts.files.items()} == {file.path: file.sha for file in wanted.files}
    assert all(fact.mode and fact.owner for fact in facts.files.values())
    assert facts.checks == {each.id: at % 2 == 0 for at, each in enumerate(wanted.steps)}
    assert facts.memory > 0
    assert facts.bits in {"32", "64"}
    assert [path.name for path in tmp_path.iterdir()] == ["root"], "the probe leaves nothing behind"


def functions(tmp_path: Path, text: str, log: str = "log") -> str:
    """What a piece of sh prints that has the functions of a run at hand."""
    whole = f"run={tmp_path} ctl={tmp_path} root={tmp_path}\n{templates().source('host/run.sh')}\n{text}"
    done = subprocess.run(["sh", "-uc", whole], capture_output=True, text=True)
    return done.stdout


def test_a_command_of_a_run_keeps_its_status_and_its_output_apart(tmp_path: Path) -> None:
    said = functions(tmp_path, "logged sh -c 'echo out; echo err >&2; exit 7'; echo $?; logged true; echo $?")
    assert sorted(said.split("\n")[:2]) == ["| err", "| out"]
    assert said.split("\n")[2:] == ["7", "0", ""]
    assert list(tmp_path.iterdir()) == [], "a full disk has no room for a status"


def test_a_full_disk_under_the_log_kills_no_command(tmp_path: Path) -> None:
    """Its output is lost, but it runs to its end, and its status arrives."""
    work = f"seq 100000; touch {tmp_path}/ended; exit 3"
    assert functions(tmp_path, f"(logged sh -c '{work}' >/dev/full; echo $?)") == "3\n"
    assert (tmp_path / "ended").exists()


def test_a_plan_that_was_overtaken_changes_nothing(tmp_path: Path) -> None:
    (tmp_path / "after").write_text("run-1")
    (tmp_path / "last").write_text("run-2\n")
    (tmp_path / "holder").write_text("you, since noon, deploy\n")
    functions(tmp_path, "begin r1")
    assert (tmp_path / "log").read_text() == "@ overtaken you, since noon, deploy\n@ exit 4\n"
    assert (tmp_path / "exit").read_text() == "4\n"
    assert (tmp_path / "last").read_text() == "run-2\n"


def test_two_that_unpack_the_same_run_do_not_disturb_each_other(tmp_path: Path) -> None:
    """The first one's connection is lost but nobody has noticed there: it waits for the rest, and ends later."""
    root = tmp_path / "root"
    run = root / ".ctl/runs/r1"
    whole = script.pack({"script": (b"touch ${0%/*}/begun; echo $$ >${0%/*}/pid; echo 0 >${0%/*}/exit\n", 0o700)})
    text = script.start(str(root), "r1", follow=False).replace("/run/systemd/system", "/nowhere")
    with subprocess.Popen(["sh", "-c", text], stdin=subprocess.PIPE) as first:
        assert first.stdin
        first.stdin.write(whole[:20])
        first.stdin.flush()
        while not list(run.parent.glob("r1.new.*")):
            pass
        subprocess.run(["sh", "-c", text], input=whole, check=True)
        assert (run / "script").is_file()
        first.stdin.close()
    assert [path.name for path in run.parent.iterdir()] == ["r1"]
    assert (run / "script").is_file()


def test_what_is_still_being_sent_is_no_run(tmp_path: Path) -> None:
    for name in ("r1", "r2.new.abc"):
        folder = tmp_path / ".ctl/runs" / name
        folder.mkdir(parents=True)
        (folder / "about.json").write_bytes(ABOUT.encode())
    done = subprocess.run(["sh", "-c", script.history(str(tmp_path))], capture_output=True, check=True)
    assert [past.id for past in parse_history(done.stdout).runs] == ["r1"]


def test_what_cannot_start_any_more_is_swept_before_containers_start(tmp_path: Path) -> None:
    """Compose gives the new container the old one's name at the end only; broken off before, it is in its own way.
    And what has stopped is in the way when a network that it was on is gone."""
    (tmp_path / "docker").write_text(
        f'#!/bin/sh\necho "$*" >>{tmp_path}/asked\n'
        "case $* in *created*) echo 0ld ;; *exited*) echo well; echo lost ;; inspect*well) echo here ;;"
        " inspect*lost) echo here gone ;; 'network inspect gone') exit 1 ;; esac\n"
    )
    (tmp_path / "docker").chmod(0o755)
    functions(tmp_path, f"PATH={tmp_path}:$PATH; up 300 '' app")
    networks = "inspect -f {{range .NetworkSettings.Networks}}{{.NetworkID}} {{end}}"
    asked = [line.split(f"{tmp_path}/compose.yaml ")[-1] for line in (tmp_path / "asked").read_text().splitlines()]
    assert asked == [
        "ps -aq --status created app",
        "rm 0ld",
        "ps -aq --status exited app",
        f"{networks} well",
        "network inspect here",
        f"{networks} lost",
        "network inspect here",
        "network inspect gone",
        "rm lost",
        "up -d --no-deps --no-build --wait --wait-timeout 300 app",
    ]


# A docker whose `up` succeeds at the nth time only, and whose containers become healthy when they have been looked at
# often enough, or not at all.
DOCKER = """#!/bin/sh
cd {place} || exit
count() {{ echo "$1" >>"$1.asked"; grep -c . "$1.asked"; }}
case $* in
*" up "*) echo up; [ "$(count up)" -ge {good} ] ;;
*" ps -aq --status "*) ;;
*" ps -aq "*) for name; do :; done; echo "$name" ;;
*RestartCount*" crashes") echo 3 ;;
*RestartCount*) echo 0 ;;
inspect*" slow") [ "$(count slow)" -gt 2 ] && echo healthy || echo starting ;;
inspect*" app") echo healthy ;;
inspect*" sick") echo unhealthy ;;
inspect*" crashes") echo starting ;;
inspect*) exit 1 ;;
logs*) for name; do :; done; echo "last words of $name" ;;
esac
"""


@pytest.mark.parametrize(
    ("good", "names", "said"),
    [
        (1, "app", "@ up app\n| up\n@ healthy app\n"),
        # The engine calls a container unhealthy that it has not begun to check: nobody is, when one looks.
        (2, "app slow", "@ up app slow\n| up\n| up\n@ healthy app\n@ healthy slow\n"),
        (3, "app", "@ up app\n| up\n| up\n@ fail up app\n@ exit 1\n"),
        (
            2,
            "app sick slow crashes gone",
            "@ up app sick slow crashes gone\n| up\n@ healthy app\n@ unhealthy sick unhealthy\n| last words of sick\n"
            "@ healthy slow\n@ unhealthy crashes starting\n| last words of crashes\n"
            "@ unhealthy gone missing\n| last words of gone\n@ exit 6\n",
        ),
    ],
    ids=["all well", "nobody is sick", "not what was asked for", "some are sick"],
)
def test_who_is_named_when_compose_gives_up(tmp_path: Path, good: int, names: str, said: str) -> None:
    (tmp_path / "docker").write_text(DOCKER.format(place=tmp_path, good=good))
    (tmp_path / "docker").chmod(0o755)
    (tmp_path / "sleep").symlink_to("/bin/true")
    assert functions(tmp_path, f"PATH={tmp_path}:$PATH; up 300 '' {names}") == said


@pytest.mark.parametrize(
    ("broken", "calls"),
    [
        ("no", ["apt-get install x"]),
        ("yes", ["dpkg --configure -a", "apt-get --fix-broken install", "apt-get install x"]),
    ],
)
def test_an_installation_that_was_broken_off_is_ended_first(tmp_path: Path, broken: str, calls: list[str]) -> None:
    audit = "echo in a mess" if broken == "yes" else "true"
    for name in ("dpkg", "apt-get"):
        (tmp_path / name).write_text(
            f'#!/bin/sh\n[ "$1" = --audit ] && {{ {audit}; exit; }}\necho "{name} $*" >>{tmp_path}/asked\n'
        )
        (tmp_path / name).chmod(0o755)
    text = f"PATH={tmp_path}:$PATH\n{templates().source('host/steps.sh')}\napt install x"
    subprocess.run(["sh", "-uc", text], check=True, capture_output=True)
    asked = (tmp_path / "asked").read_text().splitlines()
    assert [re.sub(r" (-y|-qq|-o \S+|--force-conf\S+)(?= )", "", line) for line in asked] == calls


@pytest.mark.parametrize(
    ("step", "said"),
    [
        ("apply", "@ step 3-c/x\n| no luck\n@ warn 3-c/x\n"),
        ("check", "@ step 3-c/x\n| no luck\n@ warn 3-c/x\n"),
        ("none", "@ step 3-c/x\n| no luck\n@ done 3-c/x SECONDS\n"),
    ],
)
def test_a_step_that_may_fail_does_not_end_the_run(tmp_path: Path, step: str, said: str) -> None:
    script = tmp_path / "script"
    script.write_text(f"[ $1 != apply ] || echo no luck\n[ $1 != {step} ]\n")
    told = functions(tmp_path, f"script={script}; attempt 3-c/x step_x 9 f1; touch {tmp_path}/on")
    assert re.sub(r"\d+$", "SECONDS", told, flags=re.MULTILINE) == said
    assert (tmp_path / "on").exists()
    assert (tmp_path / "stamps/3-c/x").exists() is (step == "none")
