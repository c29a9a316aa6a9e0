"""The wheel holds all that a fresh installation needs: it renders a stack in an empty folder."""

from __future__ import annotations

import os
import site
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest
from samples import REPOSITORY


def run(*command: str | Path, **options: object) -> str:
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, **options)  # type: ignore[call-overload]
    assert done.returncode == 0, done.stdout + done.stderr
    return str(done.stdout)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("hatchling", reason="hatchling is needed to build the wheel without the network")
    pytest.importorskip("build", reason="build is needed to build the wheel")
    out = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", out, REPOSITORY)
    return next(out.glob("*.whl"))


def test_templates_and_stacks_are_in_the_wheel(wheel: Path) -> None:
    inside = set(zipfile.ZipFile(wheel).namelist())
    for kind in ("templates", "stacks"):
        walked = os.walk(REPOSITORY / kind, followlinks=True)  # what two links lead to is there twice
        files = [Path(folder, name).relative_to(REPOSITORY) for folder, _, names in walked for name in names]
        kept = [path for path in files if not any(part.startswith((".", "__pycache__")) for part in path.parts)]
        missing = {f"ctl/data/{path.as_posix()}" for path in kept} - inside
        assert not missing
    assert not [name for name in inside if "__pycache__" in name or name.startswith("tests/")]


def test_a_fresh_installation_renders_a_stack(wheel: Path, tmp_path: Path) -> None:
    assert wheel.name.startswith("selfhostctl-")
    home, project = tmp_path / "venv", tmp_path / "empty"
    project.mkdir()
    venv.create(home, with_pip=False, symlinks=True)
    run(sys.executable, "-m", "pip", "--python", home / "bin/python", "install", "-q", "--no-deps", "--no-index", wheel)
    own = next((home / "lib").glob("python*/site-packages"))
    # The dependencies are those of this environment; the program itself is the installed one, being found first.
    (own / "dependencies.pth").write_text("\n".join(site.getsitepackages()) + "\n")
    environment = {"HOME": str(tmp_path), "PATH": os.environ["PATH"]}
    place = run(home / "bin/python", "-P", "-c", "import ctl; print(ctl.__file__)", env=environment, cwd=project)
    assert place.strip().startswith(str(own))
    assert run(home / "bin/ctl", "--version", env=environment, cwd=project).startswith("ctl ")
    words = ["render", "me@203.0.113.1", "--stack", "lean-llm", "--set", "access=internal", "--out", "out"]
    run(home / "bin/ctl", *words, env=environment, cwd=project)
    assert (project / "out/opt/lean-llm/stacks/n8n/compose.yaml").is_file()
    assert (project / "out/release.json").is_file()
