from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec
import pytest
import samples
import yaml
from samples import rendered

from ctl.core.errors import InvalidFile
from ctl.core.release import Release
from ctl.core.render import render
from ctl.core.secret import Secret
from ctl.core.stack import ServiceOverride

APP = """\
services:
  app:
    image: registry.example.com:5000/app:1.2
    environment: {TOKEN: "{{ secret('TOKEN') }}", MODE: "{{ vars.mode }}", LOAD: "50%"}
    volumes:
      - ./app.ini:/etc/app.ini:ro
      - {type: bind, source: ./conf.d, target: /etc/app.d}
      - data:/data
    healthcheck: {test: ["CMD", "true"]}
    deploy: {resources: {limits: {memory: 64M}}}
volumes: {data: {}}
x-ctl:
  summary: An app
  secrets: {TOKEN: {generate: hex}}
  vars: {mode: {about: the mode, default: fast}}
  reloaded: [./conf.d]
"""
OWN = {
    "services/app/compose.yaml.j2": APP,
    "services/app/app.ini.j2": "mode = {{ vars.mode | quote }}\n",
    "services/app/conf.d/one.conf": "one\n",
    "services/app/unused.txt": "unused\n",
}


def app(old: str = "", new: str = "", files: dict[str, str] | None = None, **variables: Any) -> Release:
    own = {**OWN, "services/app/compose.yaml.j2": APP.replace(old, new), **(files or {})}
    return rendered(own=own, services=("app",), vars={"access": "internal", **variables})


def container(release: Release) -> Any:
    return next(each for each in release.containers if each.name == "app")


def read(release: Release, path: str = "/opt/lean-llm/stacks/app/compose.yaml") -> Any:
    file = release.file(path)
    assert file is not None
    return yaml.safe_load(file.content)


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("/app:1.2", "/app", "the image 'registry.example.com:5000/app' is not pinned"),
        ("/app:1.2", "/app:latest", "the image 'registry.example.com:5000/app:latest' is not pinned"),
        ("/app:1.2", "/app:stable", "the image 'registry.example.com:5000/app:stable' is not pinned"),
        ("/app:1.2", "/app@sha256:12", "the image 'registry.example.com:5000/app@sha256:12' is not pinned"),
        ('healthcheck: {test: ["CMD", "true"]}', "stop_signal: SIGINT", "has no health check"),
        ('{test: ["CMD", "true"]}', "{disable: true}", "has no health check"),
        ('{test: ["CMD", "true"]}', '{test: ["NONE"]}', "has no health check"),
        ('{test: ["CMD", "true"]}', '{test: ["CMD", "true"], disable: true}', "has no health check"),
        ("{memory: 64M}", "{cpus: 1}", "has no memory limit"),
        ("    healthcheck", '    ports: ["8080:80"]\n    healthcheck', "publishes a port"),
        ("    healthcheck", "    network_mode: host\n    healthcheck", "publishes a port"),
    ],
)
def test_what_no_service_may_do(old: str, new: str, problem: str) -> None:
    with pytest.raises(InvalidFile) as caught:
        app(old, new)
    assert caught.value.message == f"templates/services/app/compose.yaml.j2: services.app: {problem}"
    assert caught.value.hint


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("services:\n  app:", "services:\n  app: {}\n  other:", "services.app: the image None is not pinned"),
        ("{resources: {limits: {memory: 64M}}}", "fast", "services.app.deploy: expected a mapping, got 'fast'"),
        ('{test: ["CMD", "true"]}', "often", "services.app.healthcheck: expected a mapping, got 'often'"),
        (APP.split("x-ctl:")[0], "services: [app]\n", "services: expected a mapping"),
        (APP.split("x-ctl:")[0], "services: {app: 1}\n", "services.app: expected a mapping, got 1"),
        (APP.split("x-ctl:")[0], "services: {}\n", "services: no service is in it"),
        (APP.split("x-ctl:")[0], "volumes: {}\n", "services: no service is in it"),
    ],
)
def test_what_is_no_compose_file(old: str, new: str, problem: str) -> None:
    with pytest.raises(InvalidFile) as caught:
        app(old, new)
    assert caught.value.message.startswith(f"templates/services/app/compose.yaml.j2: {problem}")


@pytest.mark.parametrize("image", ["app:1", "app@sha256:" + "0" * 64, "ghcr.io/a/b:v1.2-alpine", "app:main-1.2"])
def test_pinned_images(image: str) -> None:
    assert container(app("registry.example.com:5000/app:1.2", image)).image == image


def test_the_file_on_the_host() -> None:
    release = app()
    data = read(release)
    assert "x-ctl" not in data
    assert data["networks"] == {"default": {"name": "lean-llm", "external": True}}
    service = data["services"]["app"]
    assert service["environment"] == {"TOKEN": "${TOKEN}", "MODE": "fast", "LOAD": "50%"}
    assert service["restart"] == "unless-stopped"
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["labels"] == {"ctl.fingerprint": container(release).fingerprint, "ctl.service": "app"}
    environment = release.file("/opt/lean-llm/stacks/app/.env")
    assert environment is not None
    assert (environment.mode, environment.sensitive) == (0o600, True)
    assert environment.content.startswith(b"TOKEN=")
    assert b"N8N" not in environment.content, "a service gets its own secrets only"


def test_labels_may_be_a_list() -> None:
    labels = read(app("    healthcheck", "    labels: [a=b]\n    healthcheck"))["services"]["app"]["labels"]
    assert labels["a"] == "b"
    assert labels["ctl.service"] == "app"


def test_the_project_includes_every_service() -> None:
    assert read(app(), "/opt/lean-llm/compose.yaml") == {
        "name": "lean-llm",
        "include": [
            "proxy/compose.yaml",
            "stacks/app/compose.yaml",
            "stacks/flowise/compose.yaml",
            "stacks/n8n/compose.yaml",
        ],
    }


def test_mounts_are_the_managed_files_but_those_that_are_reloaded() -> None:
    assert container(app()).mounts == ("/opt/lean-llm/stacks/app/app.ini",)


def test_the_same_input_gives_the_same_fingerprint() -> None:
    assert container(app()).fingerprint == container(app()).fingerprint


@pytest.mark.parametrize(
    "changed",
    [
        lambda: app("MODE:", "MODUS:"),
        lambda: app(mode="slow"),
        lambda: app("app:1.2", "app:1.3"),
        lambda: app(files={"services/app/app.ini.j2": "other\n"}),
        lambda: app("64M", "65M"),
    ],
    ids=["fragment", "variable", "image", "mounted file", "limit"],
)
def test_what_a_container_reads_changes_its_fingerprint(changed: Any) -> None:
    assert container(changed()).fingerprint != container(app()).fingerprint


def test_the_value_of_a_secret_changes_the_fingerprint(monkeypatch: pytest.MonkeyPatch) -> None:
    before = container(app()).fingerprint
    usual = samples.secrets_for
    other = Secret("TOKEN", "another value")
    monkeypatch.setattr(samples, "secrets_for", lambda chosen: {**usual(chosen), "TOKEN": other})
    assert container(app()).fingerprint != before


@pytest.mark.parametrize(
    "changed",
    [
        lambda: app(files={"services/app/conf.d/one.conf": "two\n"}),
        lambda: app(files={"services/app/unused.txt": "used\n"}),
        lambda: app("summary: An app", "summary: The app"),
        lambda: app(timezone="Europe/Berlin"),
    ],
    ids=["reloaded file", "file that is not mounted", "x-ctl", "another service's variable"],
)
def test_what_a_container_does_not_read_leaves_it_alone(changed: Any) -> None:
    assert container(changed()).fingerprint == container(app()).fingerprint


def test_a_stack_may_override_memory_and_environment() -> None:
    chosen = samples.selection(vars={"access": "internal"})
    override = ServiceOverride(memory="2G", env={"A": "x$y"})
    stack = msgspec.structs.replace(chosen.stack, services={**chosen.stack.services, "n8n": override})
    release = render(replace(chosen, stack=stack), samples.secrets_for(chosen), samples.templates())
    service = read(release, "/opt/lean-llm/stacks/n8n/compose.yaml")["services"]["n8n"]
    assert service["deploy"]["resources"]["limits"]["memory"] == "2G"
    assert service["environment"]["A"] == "x$$y"
