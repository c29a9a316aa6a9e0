"""Things break on purpose: run by `make faults`. What a lab host is, and how to break it, is in tests/lab."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "lab"))

pytest.register_assert_rewrite("fault_site", "lab_faults")

import lab_server  # noqa: E402
from fault_results import Results  # noqa: E402
from fault_site import PREFIX, Site  # noqa: E402
from lab_faults import Relay, TappedProject  # noqa: E402
from lab_project import Project  # noqa: E402

from ctl.core.errors import MissingTool  # noqa: E402


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.lab)


@pytest.fixture(scope="session")
def results() -> Results:
    return Results(HERE.parent.parent / "docs" / "reliability.json")


@pytest.fixture(scope="session")
def engine() -> None:
    """A Docker engine on this machine, and nothing in the lab of a run that was killed."""
    try:
        lab_server.sweep(PREFIX)
    except MissingTool as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def new_site(
    engine: None, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], contextlib.AbstractContextManager[Site]]:
    """Makes bare hosts with a project of their own; the host is gone at the end, the project stays for the next one."""
    projects: dict[str, Project] = {}

    @contextlib.contextmanager
    def make(suffix: str) -> Iterator[Site]:
        folder = tmp_path_factory.mktemp(suffix)
        projects.setdefault(suffix, Project(folder))
        with (
            lab_server.fresh_host(folder, suffix, prefix=PREFIX) as server,
            Relay(lambda: (server.lab.ip, 22)) as relay,
        ):
            project = TappedProject(projects[suffix], server, relay)
            project.write(server.name)
            yield Site(server, project, relay)

    return make


@pytest.fixture(scope="module")
def site(
    new_site: Callable[[str], contextlib.AbstractContextManager[Site]], request: pytest.FixtureRequest
) -> Iterator[Site]:
    """A host of this module's own, with the stack deployed."""
    with new_site(request.module.__name__.removeprefix("test_").replace("_", "-")) as made:
        made.settle()
        yield made
