"""The OpenAPI document is true: schemathesis compares it with what the gateway does."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from conftest import Model, Running


@pytest.mark.parametrize("who", ["ada", "nobody"])
def test_schemathesis_finds_nothing(gateway: Running, model: Model, who: str, tmp_path: Path) -> None:
    model.standin.ms, model.standin.any_model = 0, True
    token = gateway.issuer.token() if who == "ada" else "no-token"
    command = [
        str(Path(sys.executable).with_name("schemathesis")), "run", f"{gateway.url}/api/openapi.json",
        "--header", f"Authorization: Bearer {token}", "--max-examples", "8", "--seed", "1",
        "--workers", "2", "--no-color",
    ]  # fmt: skip
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert ran.returncode == 0, ran.stdout[-6000:] + ran.stderr[-2000:]
