from __future__ import annotations

from collections.abc import Iterator

import pytest
from world import Missing, Running, Site


@pytest.fixture(scope="session")
def place() -> Iterator[Site]:
    try:
        made = Site()
    except Missing as missing:
        pytest.skip(str(missing))
    yield made
    made.close()


@pytest.fixture
def site(place: Site) -> Iterator[Site]:
    """Nothing of an earlier test is there."""
    yield place
    place.clear()


@pytest.fixture
def manager(site: Site) -> Running:
    return site.start()
