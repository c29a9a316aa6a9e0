"""The whole stack with the programs it is for: run by `make e2e-real`. What a lab host is stands in tests/lab."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "lab"))

import lab_server  # noqa: E402
from lab_deployed import Deployed  # noqa: E402
from lab_project import Project  # noqa: E402
from visitor import Visitor  # noqa: E402

from ctl.core.errors import MissingTool  # noqa: E402

# What the lab serves with CTL_LAB_REAL=1: releases that npm has, under tags that say where they come from.
TAGS = {"n8n": ("n8nio/n8n:2.30.4", "n8nio/n8n:2.30.8-npm"), "flowise": ("flowise:3.1.3", "flowise:3.1.3-npm")}
OPEN = {"n8n": ["/webhook/*"], "flowise": ["/api/v1/prediction/*"]}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.lab)


@pytest.fixture(scope="session")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployed]:
    """The first deploy of lean-llm with the real n8n and Flowise, on a host that was bare."""
    if os.environ.get("CTL_LAB_REAL") != "1":
        pytest.skip("make e2e-real runs this: CTL_LAB_REAL=1 lets the lab build n8n and Flowise from npm")
    try:
        lab_server.sweep()
    except MissingTool as error:
        pytest.skip(str(error))
    with lab_server.fresh_host(tmp_path_factory.mktemp("host"), "real") as server:
        project = Project(tmp_path_factory.mktemp("real"))
        for service, (stand_in, npm) in TAGS.items():
            project.override(f"services/{service}/compose.yaml.j2", stand_in, npm)
        project.write(server.name, vars={"open_paths": OPEN})
        script = project.ctl("plan", server.name, "--script")
        # Two images of more than a gigabyte are pulled and unpacked.
        deploy = project.ctl("deploy", server.name, "--yes", "--json", seconds=1500)
        if deploy.code:
            pytest.fail(f"the first deploy failed: {deploy}")
        words = project.ctl("secrets", "show", server.name, "--login").stdout.split()
        yield Deployed(server, project, script, deploy, ":".join(words))


@pytest.fixture(scope="session")
def n8n(real: Deployed) -> Visitor:
    """Someone with the password of the door, at n8n."""
    # n8n ties a session to the browser that says this.
    return Visitor(real.server, "n8n.localhost", real.login, {"browser-id": "a-test"})


@pytest.fixture(scope="session")
def flowise(real: Deployed) -> Visitor:
    """Someone with the password of the door, at Flowise."""
    # What Flowise's own pages say of themselves; without it the API wants a key.
    return Visitor(real.server, "flowise.localhost", real.login, {"x-request-from": "internal"})
