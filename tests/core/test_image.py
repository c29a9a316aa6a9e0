"""Images that a stack builds itself, and services of which there are several containers."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path
from typing import Any

import pytest
import samples
import yaml
from samples import container_fact, make_templates, names, release, settled

from ctl.core.errors import InvalidFile, UnknownName
from ctl.core.image import Context
from ctl.core.plan import plan
from ctl.core.release import Container, Release
from ctl.core.render import render
from ctl.core.route import Part
from ctl.core.script import script
from ctl.core.selection import select
from ctl.core.service import Catalogue
from ctl.core.stack import decode_stack
from ctl.edge.project import Project

STACK = """\
name: small
summary: A page and what answers behind it
network: {subnet: 172.30.0.0/16, inner: [data]}
proxy: caddy
access: {kind: internal}
doors: {domain: example.com}
vars: {user: {about: name, default: admin}}
services:
  page: {}
  api: {replicas: 3, networks: [default, data]}
"""
PAGE = """\
services:
  page:
    image: page:1
    healthcheck: {test: ["CMD", "true"]}
    deploy: {resources: {limits: {memory: 64M}}}
x-ctl:
  summary: The page
  route: {port: 8080}
  auth: builtin
  requires: {memory: 64M}
"""
API = """\
services:
  api:
    build: small/api
    networks: {default: {aliases: [engine]}}
    healthcheck: {test: ["CMD", "true"]}
    deploy: {resources: {limits: {memory: 64M}}}
x-ctl:
  summary: What answers
  scales: true
  auth: builtin
  route: {port: 8000, under: page, paths: [/api/*, /v1/models], stream: true}
  requires: {memory: 100M}
  verify: [{path: /api/health, status: 200}]
"""
CONTEXT = Context("small/api", {"Dockerfile": (b"FROM scratch\n", False), "run": (b"#!/bin/sh\n", True)})


def rendered(stack: str = STACK, api: str = API, **host_has: Any) -> Release:
    own = {"services/page/compose.yaml.j2": PAGE, "services/api/compose.yaml.j2": api}
    catalogue = Catalogue({**samples.texts(), **own})
    host = samples.selection().host
    host = type(host)(name="h1", address="203.0.113.1", user="root", port=22, stack="small", **host_has)
    templates = make_templates(catalogue.templates)
    chosen = select(host, decode_stack(stack, file="stack.yaml"), catalogue, templates, source="inventory.yaml")
    return render(chosen, samples.secrets_for(chosen), templates, lambda name, folders: {"small/api": CONTEXT}[name])


def text(whole: Release, path: str) -> str:
    file = whole.file(path)
    assert file is not None
    return file.content.decode()


def api_file(whole: Release) -> Any:
    return yaml.safe_load(text(whole, "/opt/small/stacks/api/compose.yaml"))


def test_the_same_context_is_the_same_image() -> None:
    turned = Context("small/api", dict(reversed(CONTEXT.files.items())))
    assert turned.tar() == CONTEXT.tar()
    assert turned.image == CONTEXT.image
    assert Context("small/api", {**CONTEXT.files, "more": (b"", False)}).image != CONTEXT.image
    with tarfile.open(fileobj=io.BytesIO(CONTEXT.tar())) as tar:
        assert {entry.name: (entry.mode, entry.mtime) for entry in tar} == {"Dockerfile": (0o644, 0), "run": (0o755, 0)}


def test_a_context_needs_a_dockerfile() -> None:
    with pytest.raises(InvalidFile, match="stacks/small/images/api: has no Dockerfile"):
        Context("small/api", {})


def test_a_context_is_read_without_what_is_to_be_ignored(tmp_path: Path) -> None:
    folder = tmp_path / "stacks/mine/images/app"
    for name in ("Dockerfile", "app.py", "tests/test_app.py", "node_modules/x/y.js"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("#!/bin/sh\n" if name == "app.py" else "")
    (folder / ".dockerignore").write_text("# not needed\n**/node_modules\ntests\n")
    files = Project(tmp_path).context("mine/app").files
    assert {name: executable for name, (_, executable) in files.items()} == {"Dockerfile": False, "app.py": True}
    with pytest.raises(UnknownName, match="no image is named 'mine/ap'"):
        Project(tmp_path).context("mine/ap")


def test_a_context_holds_what_its_links_lead_to(tmp_path: Path) -> None:
    shared, app = tmp_path / "stacks/other/images/shared", tmp_path / "stacks/mine/images/app"
    for path in (shared / "inner/x.py", shared / "__pycache__/x.pyc", app / "Dockerfile", app / "src/app.py"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(path.name)
    (app / ".dockerignore").write_text("*\n!src\n**/__pycache__\n")
    (app / "src/shared").symlink_to("../../../../other/images/shared")
    (app / "src/alias.py").symlink_to("app.py")
    (app / "left-out").symlink_to("/etc")
    files = Project(tmp_path).context("mine/app").files
    held = {name: content.decode() for name, (content, _) in files.items()}
    assert held.pop("Dockerfile") == "Dockerfile"
    assert held == {"src/app.py": "app.py", "src/alias.py": "app.py", "src/shared/inner/x.py": "x.py"}


@pytest.mark.parametrize(
    ("goal", "problem"),
    [
        ("/etc/hostname", "leads out of"),
        ("../../../../..", "leads out of"),
        ("nothing", "leads nowhere"),
        ("..", "leads in a circle"),
        (".", "leads in a circle"),
        ("../../../..", "leads in a circle"),
        ("link", "leads nowhere"),
    ],
)
def test_links_that_a_context_may_not_hold(tmp_path: Path, goal: str, problem: str) -> None:
    app = tmp_path / "stacks/mine/images/app"
    (app / "src").mkdir(parents=True)
    (app / "Dockerfile").write_text("")
    (app / "src/link").symlink_to(goal)
    with pytest.raises(InvalidFile, match=f"src/link: is a link that {problem}"):
        Project(tmp_path).context("mine/app")


@pytest.mark.parametrize(
    "name", ["enterprise-llm/auth", "enterprise-llm/gateway", "enterprise-llm/ui", "cloudtolocalllm/api"]
)
def test_what_is_shipped_holds_no_tests_and_nothing_that_was_made(name: str) -> None:
    files = samples.PROJECT.context(name).files
    parts = {part for path in files for part in path.split("/")}
    assert not parts & {"tests", "bench", "node_modules", "dist", "__pycache__", ".mypy_cache", "README.md"}
    assert len(files) > 5


def test_what_is_built_is_never_pulled() -> None:
    whole = rendered()
    service = api_file(whole)["services"]["api"]
    assert (service["image"], service["pull_policy"]) == (CONTEXT.image, "never")
    assert "build" not in service
    api = next(each for each in whole.containers if each.name == "api")
    assert (api.image, api.context) == (CONTEXT.image, "/opt/small/stacks/api/api.tar")
    lines = script(plan(whole, samples.fit()), samples.templates()).splitlines()
    sha = whole.file(api.context).sha  # type: ignore[union-attr]
    assert f"    build {CONTEXT.image} {sha}" in lines
    assert not any(line.startswith("    pull small/") for line in lines)


def test_inner_networks() -> None:
    whole = rendered()
    data = api_file(whole)
    assert data["networks"] == {
        "default": {"name": "small", "external": True},
        "data": {"name": "small-data", "external": True},
    }
    assert data["services"]["api"]["networks"] == {"default": {"aliases": ["engine"]}, "data": None}
    step = next(each for each in whole.steps if each.id == "1-setup/30-network")
    assert "docker network create --internal small-data" in step.text
    with pytest.raises(InvalidFile, match=r"services.api.networks: 'date' is none of the networks default, data"):
        rendered(STACK.replace("[default, data]", "[date]"))


def test_another_number_of_replicas_is_not_another_container() -> None:
    marks = {rendered(STACK.replace("replicas: 3", f"replicas: {n}")).containers[1].fingerprint for n in (2, 3)}
    assert len(marks) == 1


def test_replicas_want_memory_each() -> None:
    assert rendered().memory - rendered(STACK.replace("replicas: 3, ", "")).memory == 200


def test_a_host_has_the_last_word_on_replicas() -> None:
    assert api_file(rendered(replicas={"api": 5}))["services"]["api"]["deploy"]["replicas"] == 5
    with pytest.raises(UnknownName, match="no service of this host is named 'ape'"):
        rendered(replicas={"ape": 5})
    with pytest.raises(InvalidFile, match="has no replicas: page does not say of itself that it scales"):
        rendered(replicas={"page": 2})


def test_who_keeps_state_has_no_replicas() -> None:
    with pytest.raises(InvalidFile, match="has no replicas: api does not say of itself that it scales"):
        rendered(api=API.replace("  scales: true\n", ""))
    with pytest.raises(InvalidFile, match="has no replicas: api has a fixed address"):
        rendered(STACK.replace("replicas: 3,", "replicas: 3, address: 172.30.0.9,"))


def test_a_service_under_the_door_of_another() -> None:
    whole = rendered()
    (page,) = whole.routes
    assert page.parts == (Part("api", ("/api/*", "/v1/models"), "api:8000", stream=True, scales=True),)
    assert page.checks == (("/api/health", 200),)
    caddyfile = text(whole, "/opt/small/proxy/conf/Caddyfile")
    assert '@api path "/api/*" "/v1/models"' in caddyfile
    assert "dynamic a api 8000 {" in caddyfile
    assert "import password" not in caddyfile, "the page has a login of its own"


def test_without_that_other_it_has_a_door_of_its_own() -> None:
    whole = rendered(STACK.replace("  page: {}\n", ""))
    assert [(route.name, route.url) for route in whole.routes] == [("api", "https://api.example.com")]


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("paths: [/api/*, /v1/models], ", "", "names no paths"),
        ("under: page", "under: api", "api has no door of its own that could be shared"),
    ],
)
def test_doors_that_cannot_be_shared(old: str, new: str, problem: str) -> None:
    with pytest.raises(InvalidFile, match=problem):
        rendered(api=API.replace(old, new))


THREE = Container("api", "api", "api:2", "new", replicas=3, rolling=True)
FRESH, STALE = container_fact(THREE), container_fact(THREE, fingerprint="old", image="api:1")


@pytest.mark.parametrize(
    ("there", "wanted", "changes"),
    [
        ([], THREE, ["create api"]),
        ([FRESH] * 3, THREE, []),
        ([FRESH] * 2, THREE, ["scale api"]),
        ([FRESH] * 4, THREE, ["scale api"]),
        ([STALE] * 3, THREE, ["roll api"]),
        ([FRESH, STALE, STALE], THREE, ["roll api"]),
        ([FRESH, FRESH, container_fact(THREE, health="unhealthy")], THREE, ["roll api"]),
        ([FRESH, FRESH, container_fact(THREE, state="exited", health="")], THREE, ["start api"]),
        ([STALE, container_fact(THREE, fingerprint="old", state="exited")], THREE, ["recreate api"]),
        ([STALE], Container("api", "api", "api:2", "new", rolling=True), ["roll api"]),
        ([STALE], Container("api", "api", "api:2", "new"), ["recreate api"]),
        ([FRESH] * 2, Container("api", "api", "api:2", "new"), ["scale api"]),
    ],
)
def test_what_is_done_about_replicas(there: list[Any], wanted: Container, changes: list[str]) -> None:
    whole = release(containers=(wanted,), files=(), steps=(), routes=())
    assert names(plan(whole, settled(whole, containers=tuple(there)))) == changes


def test_surplus_containers_of_a_service_that_went() -> None:
    whole = release(containers=(), files=(), steps=(), routes=())
    assert names(plan(whole, settled(whole, containers=(FRESH, FRESH)))) == ["remove api", "remove api"]


def test_a_roll_in_the_script() -> None:
    whole = release(containers=(THREE,), files=(), steps=(), routes=())
    lines = script(plan(whole, settled(whole, containers=(STALE,) * 3)), samples.templates()).splitlines()
    assert "    roll 300 api" in lines
    assert not any(line.startswith("    up ") for line in lines)
