"""One host at a time: bare hosts belong to a module, the deployed one to the modules that come last (`test_live_*`)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import lab_server
import pytest
from lab_deployed import Deployed
from lab_project import Project
from lab_server import Server

from ctl.core.errors import MissingTool

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.lab)


@pytest.fixture(scope="session")
def engine() -> None:
    """A Docker engine on this machine, and nothing in the lab of a run that was killed."""
    try:
        lab_server.sweep()
    except MissingTool as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def bare(engine: None, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Server]:
    """A host of this module's own, without Docker."""
    with lab_server.fresh_host(tmp_path_factory.mktemp("bare"), "bare") as server:
        yield server


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """An empty project of this test's own."""
    return Project(tmp_path)


@pytest.fixture(scope="session")
def deployed(engine: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployed]:
    """The first deploy, on a host that was bare."""
    with lab_server.fresh_host(tmp_path_factory.mktemp("live"), "live") as server:
        assert not server.inside.exists("docker")
        project = Project(tmp_path_factory.mktemp("deployed"))
        project.write(server.name)
        script = project.ctl("plan", server.name, "--script")
        deploy = project.ctl("deploy", server.name, "--yes", "--json")
        if deploy.code:
            pytest.fail(f"the first deploy failed: {deploy}")
        words = project.ctl("secrets", "show", server.name, "--login").stdout.split()
        yield Deployed(server, project, script, deploy, ":".join(words))


@pytest.fixture
def live(deployed: Deployed) -> Iterator[Deployed]:
    """The deployed host as the plain inventory has it, whatever an earlier test left there."""
    deployed.project.plain(deployed.name)
    deployed.bring()
    yield deployed
