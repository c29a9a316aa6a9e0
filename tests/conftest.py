"""Options and fixtures of all suites."""

from __future__ import annotations

from functools import cache

import pytest
from hypothesis import settings

from ctl.core.secret import bcrypt_hash

# Enough for every day, and no limit on time, which a busy machine would break.
# `--hypothesis-profile=thorough` looks longer.
settings.register_profile("suite", max_examples=40, deadline=None)
settings.register_profile("thorough", max_examples=2000, deadline=None)
settings.load_profile("suite")

bcrypt_hash_once = cache(bcrypt_hash)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--update-golden", action="store_true", help="write tests/golden/<stack>/ anew instead of comparing"
    )


@pytest.fixture(autouse=True)
def _bcrypt_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """bcrypt takes its time on purpose; the same password and salt give the same hash."""
    monkeypatch.setattr("ctl.core.template.bcrypt_hash", bcrypt_hash_once)


@pytest.fixture
def update_golden(request: pytest.FixtureRequest) -> bool:
    return bool(request.config.getoption("--update-golden"))
