"""The images that this project builds itself, from outside; their own tests: make test-images."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

IMAGES = Path(__file__).parents[2] / "stacks/enterprise-llm/images"
SHARED = ("api", "batch", "environment", "serve", "web")


@pytest.mark.parametrize("name", SHARED)
def test_both_services_hold_the_same_copy(name: str) -> None:
    auth, gateway = (IMAGES / service / "src" / service / f"{name}.py" for service in ("auth", "gateway"))
    assert auth.read_bytes() == gateway.read_bytes()


@pytest.mark.parametrize("service", ["auth", "gateway"])
@pytest.mark.parametrize("name", ["requirements.lock", "requirements-dev.lock"])
def test_a_lock_has_a_hash_for_everything_and_names_no_index(service: str, name: str) -> None:
    text = (IMAGES / service / name).read_text()
    assert not re.search(r"://|--(extra-)?index-url|--find-links", text)
    pinned = re.findall(r"^[a-z0-9].*?(?=^[a-z0-9]|\Z)", text, re.MULTILINE | re.DOTALL)
    assert len(pinned) > 10
    for requirement in pinned:
        assert "==" in requirement and "--hash=sha256:" in requirement


@pytest.mark.parametrize("service", ["auth", "gateway"])
def test_an_image_is_pinned_and_not_roots(service: str) -> None:
    text = (IMAGES / service / "Dockerfile").read_text()
    assert set(re.findall(r"^FROM (\S+)", text, re.MULTILINE)) == {"python:3.13-slim-trixie"}
    assert re.search(r"^USER app$", text, re.MULTILINE) and "--require-hashes" in text
