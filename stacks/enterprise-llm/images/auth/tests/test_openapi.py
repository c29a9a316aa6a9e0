"""The OpenAPI document is true: schemathesis compares it with what the service does."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from conftest import Start


@pytest.mark.parametrize("role", ["admin", "nobody"])
def test_schemathesis_finds_nothing(start: Start, role: str, tmp_path: Path) -> None:
    service = start(
        LOGIN_ATTEMPTS_ADDRESS="100000", LOGIN_ATTEMPTS_ACCOUNT="100000", REGISTRATION_DOMAINS="example.com"
    )
    token = service.login()["access_token"] if role == "admin" else "no-token"
    command = [
        str(Path(sys.executable).with_name("schemathesis")), "run", f"{service.url}/auth/openapi.json",
        "--header", f"Authorization: Bearer {token}", "--max-examples", "8", "--seed", "1", "--workers", "2",
        "--exclude-operation-id", "rotate_keys", "--no-color",
    ]  # fmt: skip
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert ran.returncode == 0, ran.stdout[-6000:] + ran.stderr[-2000:]
