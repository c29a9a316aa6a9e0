"""Compose files of the shapes that people have (folders under `adopt/`), what becomes of them, and what is refused.

`pytest tests/core/test_adopt.py --update-golden` writes the expected folders anew.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st
from judges import compose_command, judged
from samples import make_templates, rendered, secrets_for, selection, texts

from ctl.core.adopt import Adopted, Wishes, adopt
from ctl.core.adopt.compose import Found
from ctl.core.adopt.images import floats
from ctl.core.adopt.secrets import is_secret_name
from ctl.core.adopt.text import Marks
from ctl.core.errors import CtlError, InvalidFile, UsageError
from ctl.core.release import Release
from ctl.core.render import render
from ctl.core.service import Catalogue
from ctl.edge.adoption import Beside

CASES = Path(__file__).parent / "adopt"
NAMES = sorted(path.name for path in CASES.iterdir())
WISHES = {"own-open-webui": Wishes(pins={"ghcr.io/open-webui/open-webui": "v0.6.34"})}
STACKS: Mapping[str, dict[str, Any]] = {"lean-llm": {}, "ai-platform": {"vars": {"access": "internal"}}}


@cache
def known() -> frozenset[str]:
    return frozenset({*Catalogue(texts()).names(), *Catalogue(texts()).names("proxy")})


@cache
def taken(case: str) -> Adopted:
    file = CASES / case / "compose.yaml"
    named = "" if "\nname:" in f"\n{file.read_text()}" else case
    return adopt(file.read_text(), "compose.yaml", Beside(file.parent), named, WISHES.get(case, Wishes()), known())


def adopted(
    text: str, beside: Mapping[str, str] | None = None, env: Mapping[str, str] | None = None, **wishes: Any
) -> Adopted:
    files = {name: Found(text=content) for name, content in (beside or {}).items()}
    if env:
        files[".env"] = Found(text="", values=lambda: env)
    return adopt(text, "compose.yaml", files.get, "app", Wishes(**wishes), known())


def own(found: Adopted) -> dict[str, str]:
    return {f"services/{found.name}/{path}": text for path, text in found.files.items()}


def fragments(found: Adopted) -> dict[str, Any]:
    """The template's services, with its Jinja as it stands there."""
    return dict(yaml.safe_load(found.files["compose.yaml.j2"])["services"])


def block(found: Adopted) -> dict[str, Any]:
    return dict(yaml.safe_load(found.files["compose.yaml.j2"])["x-ctl"])


def report(found: Adopted) -> str:
    lines = [f"{note.kind}: {note.about}: {note.text}\n" for note in found.notes]
    return "".join([*lines, *(f"kept: {name}\n" for name in found.kept)])


@pytest.mark.parametrize("case", NAMES)
def test_what_becomes_of_it(case: str, update_golden: bool) -> None:
    found = taken(case)
    now = {**found.files, "report.txt": report(found)}
    folder = CASES / case / "expected"
    if update_golden:
        shutil.rmtree(folder, ignore_errors=True)
        for name, text in now.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text)
    there = {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}
    assert now == there, "pytest tests/core/test_adopt.py --update-golden, and read the diff"


def in_stack(stack: str, found: Adopted) -> Release:
    host = {**STACKS[stack], "services": (found.name,)}
    needed = {name: "given" for name, var in block(found).get("vars", {}).items() if "default" not in var}
    if needed:
        host["vars"] = {**host.get("vars", {"ngrok_domain": "example.ngrok-free.app"}), **needed}
    return rendered(stack, own(found), **host)


def composed(release: Release, folder: Path) -> dict[str, Any]:
    """What Docker Compose makes of the release's project."""
    for file in release.files:
        path = folder / file.path.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(file.content)
    said = judged(
        *compose_command(),
        *("-f", "compose.yaml", "config", "--format", "json"),
        cwd=folder / release.root.lstrip("/"),
        env={"HOME": "/nonexistent", "PATH": os.environ["PATH"]},
    )
    assert "variable is not set" not in said
    return dict(json.loads(said[said.index("{") :]))


@pytest.mark.parametrize("stack", STACKS)
@pytest.mark.parametrize("case", NAMES)
def test_it_renders_in_the_stacks_and_compose_takes_it(case: str, stack: str, tmp_path: Path) -> None:
    found = taken(case)
    release = in_stack(stack, found)
    mine = {container.name for container in release.containers if container.service == found.name}
    project = composed(release, tmp_path)
    assert mine == set(fragments(found)) and mine <= set(project["services"])
    for name in mine:
        assert project["services"][name]["healthcheck"]["test"]
        assert not project["services"][name].get("ports")
    for file in found.files:
        if file.startswith("conf/"):
            assert f"{release.root}/stacks/{found.name}/{file}" in {each.path for each in release.files}


@pytest.mark.parametrize("case", NAMES)
def test_no_value_that_is_kept_stands_in_the_template(case: str) -> None:
    found = taken(case)
    whole = "".join(text for name, text in found.files.items() if not name.startswith("conf/"))
    assert not [name for name, value in found.kept.items() if value in whole]
    assert set(found.kept) <= set(block(found).get("secrets", {}))


# Values.


PIECES = [*"$'\"\\#{}%` :-!&*|>@=\n\tx0é", "{{", "}}", "{%", "%}", "{#", "${A}", "$$", "- ", ": "]
HOSTILE = st.lists(st.sampled_from(PIECES), max_size=16).map("".join)


def quoted(text: str) -> str:
    """As a literal in a Compose file."""
    return json.dumps(text.replace("$", "$$"), ensure_ascii=False)


@settings(max_examples=25, deadline=None)
@given(st.lists(HOSTILE, min_size=1, max_size=12))
@example(
    [
        "{",
        "{{",
        "{{{",
        "{{{%",
        "{#",
        "a{",
        "$",
        "$$",
        "${A}",
        "{{ secret('A') }}",
        "{% raw %}\n{% endif",
        "x\n",
        "\n",
        " ",
    ]
)
def test_environment_values_arrive_unchanged(values: list[str]) -> None:
    environment = "".join(f"      V{at}: {quoted(value)}\n" for at, value in enumerate(values))
    found = adopted(f"services:\n  a:\n    image: a:1\n    environment:\n{environment}")
    chosen = selection("lean-llm", own(found), services=("app",))
    whole = render(chosen, secrets_for(chosen), make_templates({**texts(), **own(found)}))
    file = next(file for file in whole.files if file.path.endswith("/stacks/app/compose.yaml"))
    written = yaml.safe_load(file.content)["services"]["app"]["environment"]
    assert [written[f"V{at}"].replace("$$", "$") for at in range(len(values))] == values


def test_hostile_values_arrive_at_compose(tmp_path: Path) -> None:
    values = ["$'\"\\#{{%}} `", "{% raw %}\nline two ${A} $B\n", "{# #} {{ secret('X') }}", "a\\", "'", "$", "é—\t."]
    secret = "p$'\"\\#{{%}} w`-long enough"
    environment = "".join(f"      V{at}: {quoted(value)}\n" for at, value in enumerate(values))
    command = f"    command: run --password ${{APP_PASSWORD}} --say {quoted('$HOME {{ x }}')}\n"
    found = adopted(
        f"services:\n  a:\n    image: a:1\n{command}    environment:\n      P: ${{APP_PASSWORD}}\n{environment}",
        env={"APP_PASSWORD": secret},
    )
    assert found.kept == {"APP_PASSWORD": secret}
    chosen = selection("lean-llm", own(found), services=("app",))
    values_of = {**secrets_for(chosen)}
    values_of["APP_PASSWORD"] = type(values_of["APP_PASSWORD"])("APP_PASSWORD", secret)
    project = composed(render(chosen, values_of, make_templates({**texts(), **own(found)})), tmp_path)
    app = project["services"]["app"]
    assert [app["environment"][f"V{at}"].replace("$$", "$") for at in range(len(values))] == values
    assert app["environment"]["P"].replace("$$", "$") == secret
    assert [word.replace("$$", "$") for word in app["command"]][1:4] == ["--password", secret, "--say"]


DOLLARS = [
    *(
        *"ab ?-+:{}$",
        "$$",
        "$SET",
        "$UNSET",
        "${SET}",
        "${EMPTY:-d}",
        "${EMPTY-d}",
        "${UNSET:-${SET}}",
        "${UNSET:-",
        "$1",
    ),
    *(
        "${SET:+",
        "${UNSET+x}",
        "${SET:-{a}}",
        '${UNSET:-{"a":1}}',
        "}",
        "${UNSET:-a$$b}",
        "${SET:?must}",
        "${SET:+y${SET}}",
    ),
]
INTERPOLATED = st.lists(st.sampled_from(DOLLARS), max_size=6).map("".join)


@settings(max_examples=8, deadline=None)
@given(st.lists(INTERPOLATED, min_size=1, max_size=30))
@example(
    ["a$1b", "$", "$ b", "$$x", "${UNSET:-a}b}", "${SET:-{a}}", "${UNSET:-${EMPTY:-n}}", "$$$SET", "${SET:+x${SET}}"]
)
def test_variables_are_read_as_compose_reads_them(texts_: list[str]) -> None:
    known_values = {"SET": "val", "EMPTY": ""}
    marks = Marks(known_values)
    read: dict[str, str] = {}
    for at, text in enumerate(texts_):
        try:
            read[f"V{at}"] = str(marks.replace(marks.read(text), lambda variable: variable.value or ""))
        except ValueError:
            continue  # what is refused here is a case of its own below
    lines = {f"V{at}": text for at, text in enumerate(texts_) if f"V{at}" in read}
    file = json.dumps({"services": {"a": {"image": "a:1", "environment": lines}}})
    done = subprocess.run(
        [*compose_command(), "-f", "-", "config", "--format", "json"],
        input=file,
        capture_output=True,
        text=True,
        env={"HOME": "/nonexistent", "PATH": os.environ["PATH"], "COMPOSE_PROJECT_NAME": "x", **known_values},
    )
    assert done.returncode == 0, done.stderr
    theirs = json.loads(done.stdout)["services"]["a"].get("environment", {})
    assert {key: value.replace("$", "$$") for key, value in read.items()} == theirs


@pytest.mark.parametrize("text", ["${UNSET", "${}", "${1}", "${A/x/y}", "${ A }", "${A:-${B}"])
def test_what_compose_refuses_is_refused(text: str) -> None:
    with pytest.raises(InvalidFile, match=r"compose\.yaml:4: services\.a\.environment\.V: "):
        adopted(f"services:\n  a:\n    image: a:1\n    environment: {{V: '{text}'}}\n")


# What is refused.


def service(line: str) -> str:
    return f"services:\n  a:\n    image: a:1\n    {line}\n"


DANGEROUS = [
    ("privileged: true", "privileged"),
    ("privileged: ${PRIVILEGED:-yes}", "privileged"),
    ("pid: host", "pid"),
    ("ipc: host", "ipc"),
    ("uts: host", "uts"),
    ("userns_mode: host", "userns_mode"),
    ("cgroup: host", "cgroup"),
    ("use_api_socket: true", "use_api_socket"),
    ("cap_add: [CHOWN, SYS_ADMIN]", "SYS_ADMIN"),
    ("cap_add: [cap_sys_ptrace]", "SYS_PTRACE"),
    ("cap_add: [ALL]", "ALL"),
    ("devices: ['/dev/dri:/dev/dri']", "/dev/dri"),
    ("device_cgroup_rules: ['c 1:3 mr']", "device_cgroup_rules"),
    ("security_opt: ['seccomp:unconfined']", "seccomp:unconfined"),
    ("volumes: ['/:/host:ro']", "/"),
    ("volumes: ['/etc:/host-etc']", "/etc"),
    ("volumes: ['/etc/../etc/passwd:/x']", "/etc/passwd"),
    ("volumes: ['/var/run/docker.sock:/var/run/docker.sock']", "/var/run/docker.sock"),
    ("volumes: ['${SOCK:-/run/docker.sock}:/var/run/docker.sock']", "/run/docker.sock"),
    ("volumes: [{type: bind, source: /srv/films, target: /films}]", "/srv/films"),
]


@pytest.mark.parametrize(("line", "name"), DANGEROUS)
def test_what_gives_the_host_away_is_refused_unless_it_is_allowed(line: str, name: str) -> None:
    with pytest.raises(InvalidFile) as caught:
        adopted(service(line))
    assert caught.value.exit_code == 2
    assert caught.value.message.startswith("compose.yaml:4: services.a.")
    assert f"--allow {name} " in caught.value.hint
    found = adopted(service(line), allow=(name,))
    assert [note for note in found.notes if note.kind == "open" and note.about == name]
    with pytest.raises(UsageError):
        adopted(service(line), allow=("something-else",))


def test_a_volume_that_is_a_folder_of_the_host_is_no_way_around() -> None:
    text = "volumes:\n  v:\n    driver_opts: {type: none, o: bind, device: /etc}\n" + service("volumes: ['v:/x']")
    with pytest.raises(InvalidFile, match=r"compose.yaml:2: volumes.v: mounts /etc"):
        adopted(text)


REFUSED = [
    ("network_mode: host", "shares the host's network"),
    ("network_mode: container:x", "has no place in a stack"),
    ("imagee: a", "unknown key 'imagee'"),
    ("volumes: ['~/x:/x']", "the home of whoever starts Compose"),
    ("volumes: ['../x:/x']", "outside of the file's folder"),
    ("volumes: ['./a.conf:/etc/a.conf']", "a.conf is not beside the file"),
    ("volumes: ['${FILMS}:/films']", "FILMS has no value"),
    ("env_file: a.env", "a.env is not beside the file"),
    ("depends_on: [b]", "there is no service 'b'"),
    ("ports: ['http']", "'http' is no port"),
    ("ports: ['${PORT}']", "PORT has no value"),
    ("secrets: [s]", "there is no secret 's'"),
    ("configs: [s]", "there is no config 's'"),
    ("volumes_from: [b]", "has no place in a stack"),
    ("profiles: [x]", "every service has a profile"),
    ("extends: {service: a}", "extends itself"),
    ("environment: {A: \ue000}", "U+E000 may not stand in it"),
]


@pytest.mark.parametrize(("line", "problem"), REFUSED)
def test_what_cannot_be_is_refused_with_its_line(line: str, problem: str) -> None:
    with pytest.raises(InvalidFile, match=re.escape(problem)) as caught:
        adopted(service(line))
    assert caught.value.line == 4


def test_a_job_that_ends_is_no_service() -> None:
    text = service("depends_on: {b: {condition: service_completed_successfully}}") + "  b: {image: 'b:1'}\n"
    with pytest.raises(InvalidFile, match=r"compose.yaml:4: services.a.depends_on.b: waits for b to end"):
        adopted(text)


def test_images_that_float_are_named_all_at_once_and_can_be_pinned() -> None:
    text = "services:\n  a: {image: a}\n  b: {image: 'ghcr.io/x/b:latest'}\n  c: {image: 'c:1'}\n"
    with pytest.raises(InvalidFile, match=r"compose\.yaml:2: .*not pinned: a, ghcr.io/x/b:latest") as caught:
        adopted(text)
    assert "--pin a=VERSION --pin ghcr.io/x/b=VERSION" in caught.value.hint
    found = adopted(text, pins={"a": "1.2", "ghcr.io/x/b": f"sha256:{'0' * 64}"})
    images = {fragment["image"] for fragment in fragments(found).values()}
    assert images == {"a:1.2", f"ghcr.io/x/b@sha256:{'0' * 64}", "c:1"}
    with pytest.raises(UsageError, match="--pin d"):
        adopted(text, pins={"a": "1", "ghcr.io/x/b": "1", "d": "1"})


def test_a_name_that_is_taken_or_none() -> None:
    for name in ("n8n", "caddy", "Bad Name", "../x"):
        with pytest.raises(UsageError):
            adopt(service("init: true"), "compose.yaml", lambda _: None, name, Wishes(), known())


# What is worked out.


@pytest.mark.parametrize(
    ("image", "answer"),
    [
        ("a", True),
        ("a:latest", True),
        ("r:5000/a", True),
        ("a:main", True),
        ("a:3-alpine", False),
        ("a:release", True),
        ("a:v1.2.3", False),
        (f"a@sha256:{'a' * 64}", False),
        ("a:nightly-2024", True),
        ("r:5000/a:17.2-beta", False),
    ],
)
def test_images_that_float(image: str, answer: bool) -> None:
    assert floats(image) == answer


@pytest.mark.parametrize(
    "name",
    [
        "DB_PASSWORD",
        "PAPERLESS_DBPASS",
        "dbPassword",
        "N8N_ENCRYPTION_KEY",
        "JWT_SECRET",
        "API_KEY",
        "REDIS_AUTH",
        "salt",
        "A__B__TOKEN",
    ],
)
def test_names_of_secrets(name: str) -> None:
    assert is_secret_name(name)


@pytest.mark.parametrize(
    "name",
    [
        "MAX_TOKENS",
        "PASSWORD_FILE",
        "JWT_PUBLIC_KEY",
        "TOKEN_EXPIRES_IN",
        "KEYBOARD",
        "PASSWORD_RESET_ENABLED",
        "SECRET_NAME",
        "AUTH",
    ],
)
def test_names_of_none(name: str) -> None:
    assert not is_secret_name(name)


def test_one_value_in_a_password_and_an_address_is_one_secret() -> None:
    found = adopted(
        "services:\n"
        "  web: {image: 'w:1', ports: ['80:80'], environment: {DATABASE_URL: 'postgres://app:wuqu2Rotebi@db/app'}}\n"
        "  db: {image: 'postgres:17', environment: {POSTGRES_PASSWORD: wuqu2Rotebi, POSTGRES_USER: app}}\n"
    )
    assert found.kept == {"APP_POSTGRES_PASSWORD": "wuqu2Rotebi"} or found.kept == {"APP_DATABASE_URL": "wuqu2Rotebi"}
    (name,) = found.kept
    parts = fragments(found)
    assert parts["app"]["environment"]["DATABASE_URL"] == f"postgres://app:{{{{ secret('{name}') }}}}@db/app"
    assert parts["app-db"]["environment"]["POSTGRES_PASSWORD"] == f"{{{{ secret('{name}') }}}}"
    assert block(found)["backup"]["databases"] == [{"container": "app-db", "user": "app"}]


def test_a_password_that_only_the_database_is_told_stays() -> None:
    found = adopted(
        "services:\n  web: {image: 'w:1', ports: ['80:80']}\n"
        "  db: {image: 'postgres:17', environment: {POSTGRES_PASSWORD: postgres}}\n"
    )
    assert fragments(found)["app-db"]["environment"]["POSTGRES_PASSWORD"] == "postgres"
    assert any("stays as it is" in note.text for note in found.notes)


@pytest.mark.parametrize(
    ("lines", "port", "http"),
    [
        ("ports: ['8080:80']", 80, True),
        ("ports: ['127.0.0.1:9000:3000/tcp', '22:22']", 3000, True),
        ("ports: ['22:22', '6881:6881/udp', '4711:4711']", 4711, True),
        ("ports: [{target: 7575, published: '80'}]", 7575, True),
        ("ports: ['3000-3005:3000-3005']", 3000, True),
        ("ports: ['[::1]:8080:8000']", 8000, True),
        ("expose: ['8123']", 8123, True),
        ("labels: ['traefik.http.services.x.loadbalancer.server.port=9999']", 9999, True),
        ("healthcheck: {test: curl -f http://localhost:8181/ping}", 8181, True),
        ("ports: ['25:25']", 25, False),
        ("init: true", 0, False),
    ],
)
def test_the_door(lines: str, port: int, http: bool) -> None:
    found = adopted(service(lines))
    assert block(found).get("route", {}).get("port") == (port if http else None)
    if not http:
        assert any(note.kind == "open" and "no door" in note.text for note in found.notes)


def test_errors_show_no_marks() -> None:
    for text in (
        service("image: ${A}\n    depends_on: ['${B}']"),
        service("ports: ['${A}:x']"),
        service("links: '${A}'"),
    ):
        with pytest.raises(CtlError) as caught:
            adopted(text)
        assert not re.search("[\ue000-\ue0ff]", caught.value.message)
