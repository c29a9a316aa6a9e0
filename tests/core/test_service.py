from __future__ import annotations

import pytest

from ctl.core.errors import InvalidFile, TemplateFault, UnknownName
from ctl.core.render import check_phase_folders
from ctl.core.service import Catalogue, FileSpec, Meta, Probe, RouteSpec, megabytes

COMPOSE = """\
services:
  app: {image: "app:{{ vars.tag }}"}
x-ctl:
  summary: An app
  category: things

  # what it listens on
  route: {port: 80, websocket: true}
  needs: [db]
  verify: [{path: /health, status: 204}]
  files: {app.ini: {owner: "1000:1000", mode: "0640"}}
volumes: {}
"""


def meta(compose: str) -> Meta:
    return Catalogue({"services/app/compose.yaml.j2": compose}).get("services", "app").meta


def test_the_block_is_read_from_the_template_without_rendering_it() -> None:
    assert meta(COMPOSE) == Meta(
        summary="An app",
        category="things",
        route=RouteSpec(port=80, websocket=True),
        needs=("db",),
        verify=(Probe("/health", 204),),
        files={"app.ini": FileSpec("1000:1000", "0640")},
    )


def test_the_block_may_end_the_file_without_a_newline() -> None:
    assert meta("services: {}\nx-ctl:\n  summary: An app").summary == "An app"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("x-ctl:", "x-other:", "templates/services/app/compose.yaml.j2: has no x-ctl block"),
        ("An app", "{{ x }}", "x-ctl: the x-ctl block is read before rendering and holds no Jinja"),
        ("An app", "{% if x %}", "x-ctl: the x-ctl block is read before rendering and holds no Jinja"),
        ("summary:", "sumary:", ".j2:4: x-ctl: unknown key 'sumary'; did you mean 'summary'?"),
        ("port: 80", "port: http", ".j2:8: x-ctl.route.port: expected an integer, got 'http'"),
        ("An app", "An app\n  auth: some", ".j2:5: x-ctl.auth: expected one of builtin, none, proxy, got 'some'"),
        ('"0640"', '"rw-r"', '.j2:11: x-ctl.files."app.ini".mode: expected a string that matches '),
        ("1000:1000", "root root", '.j2:11: x-ctl.files."app.ini".owner: expected a string that matches '),
        (
            "needs: [db]",
            "vars: {tag: {about: t, pattern: '('}}",
            ".j2:9: x-ctl.vars.tag: the pattern '(' is no regular expression",
        ),
    ],
)
def test_a_faulty_block_is_refused_by_file_and_line(old: str, new: str, message: str) -> None:
    with pytest.raises(InvalidFile) as caught:
        meta(COMPOSE.replace(old, new))
    assert message in caught.value.message
    assert caught.value.message.startswith("templates/services/app/compose.yaml.j2")


def test_a_folder_without_containers_has_a_file_of_its_own() -> None:
    tunnel = Catalogue({"tunnel/t/x-ctl.yaml": "summary: A tunnel\n", "tunnel/t/files/etc/t.j2": "x"}).get(
        "tunnel", "t"
    )
    assert tunnel.meta == Meta(summary="A tunnel")
    assert tunnel.folder == "tunnel/t"


def test_files_beside_the_folders_are_no_services() -> None:
    assert Catalogue({"services/README.md": "x", "services/app/compose.yaml.j2": COMPOSE}).names() == ("app",)


def test_an_unknown_service_comes_with_the_nearest_name() -> None:
    with pytest.raises(UnknownName) as caught:
        Catalogue({"services/flowise/compose.yaml.j2": COMPOSE}).get("services", "flowwise")
    assert caught.value.message == "no service is named 'flowwise'"
    assert caught.value.hint == "did you mean flowise?; ctl services lists them"


@pytest.mark.parametrize(
    ("text", "size"), [("0", 0), ("512M", 512), ("2G", 2048), ("1T", 1048576), ("2048K", 2), ("1048576", 1)]
)
def test_sizes(text: str, size: int) -> None:
    assert megabytes(text, file="f", path="p") == size


@pytest.mark.parametrize("text", ["", "M", "1.5G", "-1M", "512m", "512 M", "512MB", "²M", "many"])
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(InvalidFile, match=r"f: p: expected a size such as 512M or 2G"):
        megabytes(text, file="f", path="p")


@pytest.mark.parametrize(
    "path",
    [
        "phases/5-more/10-a.sh.j2",
        "phases/setup/10-a.sh.j2",
        "phases/10-a.sh.j2",
        "services/app/steps/10-a.sh.j2",
        "services/app/steps/setup/10-a.sh.j2",
        "tunnel/t/steps/9-x/10-a.sh.j2",
    ],
)
def test_a_step_outside_the_four_phases_is_refused(path: str) -> None:
    with pytest.raises(TemplateFault) as caught:
        check_phase_folders({path: "x"})
    assert caught.value.message.startswith(f"templates/{path}: ")
    assert "1-setup, 2-deploy, 3-configure, 4-add-service" in caught.value.message


def test_the_four_phases_are_accepted() -> None:
    paths = ["phases/x-ctl.yaml", "phases/1-setup/10-a.sh.j2", "services/app/steps/4-add-service/10-a.sh.j2"]
    check_phase_folders(dict.fromkeys([*paths, "services/app/compose.yaml.j2", "host/run.sh"], "x"))
