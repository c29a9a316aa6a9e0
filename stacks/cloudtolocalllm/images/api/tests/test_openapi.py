"""The OpenAPI document is true: schemathesis compares it with what the service does."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from conftest import Running


@pytest.mark.parametrize("role", ["admin", "user", "nobody"])
def test_schemathesis_finds_nothing(api: Running, role: str, tmp_path: Path) -> None:
    api.create()
    token = "no-token" if role == "nobody" else api.issuer.token(f"{api.users}ada", role=role)
    command = [
        str(Path(sys.executable).with_name("schemathesis")), "run", f"{api.url}/api/openapi.json",
        "--header", f"Authorization: Bearer {token}", "--max-examples", "12", "--seed", "1",
        "--workers", "2", "--no-color",
    ]  # fmt: skip
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert ran.returncode == 0, ran.stdout[-6000:] + ran.stderr[-2000:]
