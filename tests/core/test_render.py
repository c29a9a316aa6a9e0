from __future__ import annotations

import json
import re
from typing import Any

import pytest
import yaml
from samples import SENTINEL, rendered

from ctl.core.errors import CtlError, InvalidFile, MissingValue, TemplateFault
from ctl.core.plan import plan
from ctl.core.probe import Facts
from ctl.core.release import File, Release, Step

APP = """\
services:
  app:
    image: app:1
    healthcheck: {test: ["CMD", "true"]}
    deploy: {resources: {limits: {memory: 64M}}}
x-ctl:
  summary: An app
  secrets: {TOKEN: {generate: hex}}
  vars: {text: {about: any text, default: "it's: [50%]"}, nothing: {about: nothing, optional: true}}
  files: {given.ini: {owner: "1000:1000", mode: "0640"}}
"""
STEP = "# The title\ncheck() { true; }\napply() { true; }\n"
HERE = "/opt/lean-llm/stacks/app"


def app(files: dict[str, str], compose: str = APP, **host: Any) -> Release:
    base = {"compose.yaml.j2": compose, "given.ini.j2": "x = {{ vars.text | quote }}\n"}
    own = {f"services/app/{path}": text for path, text in {**base, **files}.items() if text}
    return rendered(own=own, **{"services": ("app",), "vars": {"access": "internal"}, **host})


def file(path: str, text: str) -> File | None:
    target = path.removesuffix(".j2").removeprefix("files")
    return app({path: text}).file(target if path.startswith("files/") else f"{HERE}/{target}")


def written(path: str, text: str) -> str:
    found = file(path, text)
    assert found is not None
    return found.content.decode()


@pytest.mark.parametrize(
    ("path", "text", "content"),
    [
        ("a.conf", "{{ as it is }}\n", "{{ as it is }}\n"),
        ("a.conf.j2", "x {{ vars.text | quote }}\n", "x 'it'\"'\"'s: [50%]'\n"),
        ("files/etc/app.conf.j2", "{{ stack.name }} {{ service.name }} {{ dir }}\n", f"lean-llm app {HERE}\n"),
        ("deep/er/a.conf", "x", "x"),
    ],
)
def test_files(path: str, text: str, content: str) -> None:
    assert written(path, text) == content


def test_structured_files_are_written_from_data() -> None:
    template = 'text: "{{ vars.text }}"\nlist: ["{{ secret(\'TOKEN\') }}"]\n'
    data = {"text": "it's: [50%]", "list": [f"{SENTINEL}token-'\"$x#\\ z"]}
    assert yaml.safe_load(written("a.yaml.j2", template)) == data
    assert json.loads(written("a.json.j2", template)) == data


@pytest.mark.parametrize(
    ("path", "text", "expected"),
    [
        ("a.conf", "x", (0o644, "root:root", False)),
        ("a.sh", "#!/bin/sh\n", (0o755, "root:root", False)),
        ("a.conf.j2", "{{ secret('TOKEN') | quote }}", (0o600, "root:root", True)),
        ("a.sh.j2", "#!/bin/sh\n{{ secret('TOKEN') | quote }}", (0o700, "root:root", True)),
        ("a.yaml.j2", "a: {{ secret('TOKEN') }}", (0o600, "root:root", True)),
        ("given.ini.j2", "x", (0o640, "1000:1000", False)),
        ("given.ini.j2", "{{ secret('TOKEN') | quote }}", (0o640, "1000:1000", True)),
    ],
)
def test_modes_and_owners(path: str, text: str, expected: tuple[int, str, bool]) -> None:
    found = file(path, text)
    assert found is not None
    assert (found.mode, found.owner, found.sensitive) == expected


@pytest.mark.parametrize("path", ["a.conf.j2", "a.yaml.j2", "files/etc/a.conf.j2"])
def test_what_renders_to_nothing_is_no_file(path: str) -> None:
    assert file(path, "{% if vars.nothing %}\nx\n{% endif %}\n") is None


def step(text: str, files: dict[str, str] | None = None) -> Step | None:
    release = app({"steps/3-configure/50-x.sh.j2": text, **(files or {})})
    return next((each for each in release.steps if each.id == "3-configure/50-x@app"), None)


def test_the_head_of_a_step() -> None:
    text = f"""
# shellcheck disable=SC1000
# The title
# inputs: {HERE}/a.conf {HERE}/b.conf
# timeout: 30
# interactive: true
# failure: warning
check() {{ :; }}
# timeout: 99
"""
    found = step(text, {"a.conf": "a", "b.conf": "b"})
    assert found is not None
    assert (found.title, found.timeout, found.interactive, found.vital) == ("The title", 30, True, False)
    assert found.inputs == (f"{HERE}/a.conf", f"{HERE}/b.conf")
    assert (found.folder, found.phase) == (3, 4), "what configures an added service comes when that runs"


def test_a_step_without_a_head() -> None:
    found = step("check() { :; }\n")
    assert found is not None
    assert (found.title, found.timeout, found.interactive, found.vital, found.inputs) == (
        "(a step without a title)",
        600,
        False,
        True,
        (),
    )


def test_a_step_that_renders_to_nothing_does_not_exist() -> None:
    assert step("{% if vars.nothing %}\n" + STEP + "{% endif %}\n") is None


def test_the_fingerprint_of_a_step_is_over_its_text_and_its_inputs() -> None:
    texts = [STEP, STEP + "\n# more\n", f"# inputs: {HERE}/a.conf\n{STEP}", f"# inputs: {HERE}/a.conf\n{STEP}"]
    files = [{"a.conf": "1"}] * 3 + [{"a.conf": "2"}]
    marks = [found.fingerprint for text, own in zip(texts, files, strict=True) if (found := step(text, own))]
    assert len(set(marks)) == 4
    other = step(STEP, {"a.conf": "2"})
    assert other is not None
    assert other.fingerprint == marks[0], "a file that is no input does not count"


def test_the_phase_of_a_service() -> None:
    added = app({})
    assert {each.service: each.phase for each in added.containers} == {"n8n": 2, "flowise": 2, "caddy": 2, "app": 4}
    compose = added.file(f"{HERE}/compose.yaml")
    assert compose is not None
    assert compose.phase == 2, "the project's Compose file, which is needed in phase 2, includes it"
    later = {each.id for each in added.steps if each.phase == 4}
    assert later == {"4-add-service/10-units"}, "and systemd hears of it once it is healthy"
    alone = plan(added, Facts(), phases=(4,))
    assert {change.path for change in alone.files} >= {compose.path, "/opt/lean-llm/compose.yaml"}
    assert [change.name for change in alone.containers] == ["app"]
    assert not {change.path for change in alone.files} & {"/opt/lean-llm/stacks/n8n/compose.yaml"}


def test_every_service_with_containers_has_a_unit() -> None:
    units = {path.rsplit("/", 1)[1] for each in app({}).files if (path := each.path).startswith("/etc/systemd/system/")}
    assert {f"lean-llm-{name}.service" for name in ("n8n", "flowise", "caddy", "app")} | {"lean-llm.target"} <= units


FAULTS: list[tuple[dict[str, str], str, type[CtlError], str]] = [
    (
        {"steps/3-configure/50-x.sh.j2": f"# inputs: /etc/nope\n{STEP}"},
        APP,
        TemplateFault,
        "templates/services/app/steps/3-configure/50-x.sh.j2: the input /etc/nope is no managed file",
    ),
    (
        {"steps/3-configure/50-x.sh.j2": f"# timeout: soon\n{STEP}"},
        APP,
        TemplateFault,
        "templates/services/app/steps/3-configure/50-x.sh.j2: the timeout 'soon' is no number of seconds",
    ),
    (
        {"steps/3-configure/50-x.sh.j2": "echo {{ secret('TOKEN') | quote }}"},
        APP,
        TemplateFault,
        "templates/services/app/steps/3-configure/50-x.sh.j2:1: the secret TOKEN cannot stand here",
    ),
    ({"a.conf": "x", "a.conf.j2": "y"}, APP, TemplateFault, f"{HERE}/a.conf: two templates write this file"),
    ({"files/etc/a b": "x"}, APP, InvalidFile, "/etc/a b: is not a path that this program writes to a host"),
    ({"files/etc/{{ vars.text }}": "x"}, APP, InvalidFile, "/etc/it's: [50%]: is not a path that this program"),
    ({"files/etc/{{ nope }}": "x"}, APP, TemplateFault, "templates/services/app/files/etc/{{ nope }}: "),
    ({"given.ini.j2": ""}, APP, TemplateFault, "templates/services/app: x-ctl.files names 'given.ini', which is no "),
    ({"a.conf.j2": "{{ secret('OTHER') }}"}, APP, MissingValue, "the secret OTHER is not declared under x-ctl.secrets"),
    ({}, APP + "  requires: {memory: lots}\n", InvalidFile, "services/app: requires.memory: expected a size"),
]


@pytest.mark.parametrize(("files", "compose", "kind", "message"), FAULTS, ids=[row[3] for row in FAULTS])
def test_faults(files: dict[str, str], compose: str, kind: type[CtlError], message: str) -> None:
    with pytest.raises(kind, match=f"^{re.escape(message)}"):
        app(files, compose)


@pytest.mark.parametrize("url", ["ftp://x", "http://", "host:11434", "http://x/$(id)", "http://a b", "http://x:port"])
def test_a_server_outside_the_stack_has_an_http_address(url: str) -> None:
    with pytest.raises(InvalidFile, match=r"^stacks/lean-llm/stack\.yaml: external\.ollama\.url: "):
        rendered(vars={"access": "internal", "ollama_url": url})


def test_a_secret_is_shared_with_the_service_at_which_it_is_shown() -> None:
    hub = {
        "services/hub/compose.yaml.j2": APP.replace("app", "hub").split("x-ctl:")[0] + "x-ctl:\n  summary: A hub\n",
        "services/hub/clients.j2": "{% for name, key in clients.items() %}{{ name }} {{ key | line }}\n{% endfor %}",
    }
    own = {f"services/app/{path}": text for path, text in {"compose.yaml.j2": APP, "given.ini.j2": "x"}.items()}
    hosts = {"services": ("app", "hub"), "vars": {"access": "internal"}}
    place = "/opt/lean-llm/stacks/hub/clients"
    assert rendered(own=own | hub, **hosts).file(place) is None
    own["services/app/compose.yaml.j2"] = APP.replace("generate: hex", "generate: hex, shared_with: hub")
    shared = rendered(own=own | hub, **hosts).file(place)
    assert shared and shared.sensitive
    assert shared.content.decode().startswith(f"app {SENTINEL}token-")
