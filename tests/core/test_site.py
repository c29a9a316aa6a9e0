"""A static site of this machine: what it may be, the command that makes it, and how it travels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import samples
import yaml
from samples import rendered, selection

from ctl.core.errors import CtlError, InvalidFile, RunFailed, UsageError
from ctl.core.site import MAX_FILES, Site, check_site
from ctl.edge import site as sites
from ctl.edge.project import Project

PORTAL = {"build": "flutter build web", "directory": "../app/build/web"}


def test_the_variable_says_where_the_site_is_and_how_it_is_made() -> None:
    assert selection("cloudtolocalllm", vars={"portal": PORTAL}).sites == {"portal": Site(**PORTAL)}
    assert selection("cloudtolocalllm", vars={}).sites == {}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"build": "make"}, "vars.portal: Object missing required field `directory`"),
        ({"directory": ""}, "vars.portal: Expected `str` of length >= 1"),
        ({"directory": "x", "biuld": "make"}, "vars.portal: Object contains unknown field `biuld`"),
        ("../app", "vars.portal: Expected `object`, got `str`"),
    ],
)
def test_a_variable_that_is_no_site(given: Any, message: str) -> None:
    with pytest.raises(InvalidFile) as caught:
        selection("cloudtolocalllm", vars={"portal": given})
    assert message in caught.value.message and "directory: ../app/build/web" in caught.value.hint


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"main.js": 1}, "web: has no index.html"),
        ({"index.html": 1, **{f"{n}.js": 1 for n in range(MAX_FILES)}}, "web: holds 20001 files, and 20000 are the"),
        ({"index.html": 1, "film.mp4": 101 << 20}, "web: holds 101 MB, and 100 are the most"),
    ],
)
def test_what_cannot_travel(sizes: dict[str, int], message: str) -> None:
    with pytest.raises(InvalidFile, match=message) as caught:
        check_site(sizes, "web")
    assert "film.mp4" not in sizes or "film.mp4, 101 MB" in caught.value.hint


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """An inventory beside an application that makes a site."""
    (tmp_path / "app/lib").mkdir(parents=True)
    (tmp_path / "app/pubspec.yaml").write_text("name: app\n")
    (tmp_path / "ops").mkdir()
    return Project(tmp_path / "ops")


MAKE = "mkdir -p build/web/.well-known && echo '<p>hello' >build/web/index.html && pwd >build/web/made-in"
SITE = Site(directory="../app/build/web", build=MAKE)


def test_the_command_runs_at_the_top_of_the_project_that_the_folder_is_in(project: Project) -> None:
    with pytest.raises(UsageError, match="web is no folder") as caught:
        sites.ready(project, SITE)
    assert MAKE in caught.value.hint
    sites.build(project, SITE)
    sites.ready(project, SITE)
    made = project.folder / SITE.directory
    assert (made / "made-in").read_text() == f"{project.folder.parent / 'app'}\n"
    sites.build(project, Site(directory="../app/build/web", build="pwd >../where", inside="../app/lib"))
    assert (project.folder.parent / "app/where").read_text().endswith("/app/lib\n")
    with pytest.raises(UsageError, match="nowhere is no folder"):
        sites.build(project, Site(directory="x", build="true", inside="nowhere"))


def test_without_a_project_around_it_the_command_runs_beside_the_inventory(project: Project) -> None:
    sites.build(project, Site(directory="web", build="mkdir web && touch web/index.html"))
    assert (project.folder / "web/index.html").exists()


def test_a_command_that_fails_says_its_last_words(project: Project) -> None:
    with pytest.raises(RunFailed) as caught:
        sites.build(project, Site(directory="web", build="seq 100; echo oh >&2; exit 7"))
    assert caught.value.exit_code == 1
    assert "failed on this machine (exit code 7)" in caught.value.message
    lines = caught.value.message.splitlines()
    assert lines[-2:] == ["    100", "    oh"] and len(lines) == 1 + sites.LAST_LINES
    assert caught.value.hint == "nothing on a host has changed"


def test_a_site_is_in_the_build_context_without_what_is_hidden(project: Project) -> None:
    sites.build(project, SITE)
    made = project.folder / SITE.directory
    (made / ".env").write_text("SECRET=1")
    (made / ".well-known/security.txt").write_text("me")
    (made / "start.html").symlink_to("index.html")
    context = sites.contexts(project)("cloudtolocalllm/site", {"site": SITE.directory})
    inside = {name for name in context.files if name.startswith("site/")}
    assert inside == {"site/index.html", "site/made-in", "site/start.html", "site/.well-known/security.txt"}
    assert {"Dockerfile", "nginx.conf"} <= set(context.files)
    before = context.image
    (made / "index.html").write_text("<p>other")
    assert sites.contexts(project)("cloudtolocalllm/site", {"site": SITE.directory}).image != before


@pytest.mark.parametrize("goal", ["/etc/hostname", "../../..", "nowhere"])
def test_links_out_of_a_site_are_refused(project: Project, goal: str) -> None:
    sites.build(project, SITE)
    (project.folder / SITE.directory / "link").symlink_to(goal)
    with pytest.raises(CtlError, match="link is a link, and not one to a file of the site"):
        sites.contexts(project)("cloudtolocalllm/site", {"site": SITE.directory})


def test_the_portal_is_made_of_the_site_or_is_the_projects_own() -> None:
    whole = rendered("cloudtolocalllm", vars={"portal": PORTAL})
    file = whole.file("/opt/cloudtolocalllm/stacks/portal/compose.yaml")
    assert file and yaml.safe_load(file.content)["services"]["portal"]["image"].startswith("cloudtolocalllm/site:")
    assert whole.file("/opt/cloudtolocalllm/stacks/portal/site.tar")
    own = rendered("cloudtolocalllm", vars={})
    assert own.file("/opt/cloudtolocalllm/stacks/portal/portal.tar")
    assert [c.image for c in own.containers if c.name == "portal"] == [
        samples.context("cloudtolocalllm/portal", {}).image
    ]
