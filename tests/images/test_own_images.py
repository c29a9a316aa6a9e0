"""The images that this project builds itself, from outside; their own tests: make test-images."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

STACKS = Path(__file__).parents[2] / "stacks"
SHARED = STACKS / "enterprise-llm/images/webservice"
SERVICES = sorted(path.parent for path in STACKS.glob("*/images/*/requirements.lock"))
NAMES = [f"{path.parents[1].name}/{path.name}" for path in SERVICES]


def test_there_are_services() -> None:
    assert {"enterprise-llm/auth", "enterprise-llm/gateway"} <= set(NAMES)


def test_services_share_one_package_by_links() -> None:
    """A relative link, so that it leads there in every checkout, and nobody has a copy of a module beside it."""
    links = [folder / "src/webservice" for folder in SERVICES if (folder / "src/webservice").exists()]
    assert len(links) >= 2
    for link in links:
        assert link.is_symlink() and not link.readlink().is_absolute() and link.resolve() == SHARED
        assert "/src/webservice" in (link.parents[1] / "Dockerfile").read_text()
    texts = [path.read_bytes() for path in SHARED.glob("*.py")]
    for folder in SERVICES:
        for path in folder.glob("src/*/*.py"):
            assert path.resolve().parent == SHARED or not path.read_bytes() or path.read_bytes() not in texts


@pytest.mark.parametrize("folder", SERVICES, ids=NAMES)
@pytest.mark.parametrize("name", ["requirements.lock", "requirements-dev.lock"])
def test_a_lock_has_a_hash_for_everything_and_names_no_index(folder: Path, name: str) -> None:
    text = (folder / name).read_text()
    assert not re.search(r"://|--(extra-)?index-url|--find-links", text)
    pinned = re.findall(r"^[a-z0-9].*?(?=^[a-z0-9]|\Z)", text, re.MULTILINE | re.DOTALL)
    assert pinned
    for requirement in pinned:
        assert "==" in requirement and "--hash=sha256:" in requirement


@pytest.mark.parametrize("folder", SERVICES, ids=NAMES)
def test_an_image_is_pinned_and_not_roots(folder: Path) -> None:
    text = (folder / "Dockerfile").read_text()
    assert set(re.findall(r"^FROM (\S+)", text, re.MULTILINE)) == {"python:3.13-slim-trixie"}
    assert re.search(r"^USER (?!root|0)\S+$", text, re.MULTILINE) and "--require-hashes" in text
