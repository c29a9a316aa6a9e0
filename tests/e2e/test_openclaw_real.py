"""ai-platform's OpenClaw, the real one: it starts with what ctl writes for it, and asks models through LiteLLM."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator

import lab_server
import pytest
import yaml
from lab_project import Project
from lab_server import Server

TAGS = ("openclaw/openclaw:2026.6.8", "openclaw/openclaw:2026.9.6-npm")
# What it does not need stays away, so that this takes minutes.
WITHOUT = ["dify", "anythingllm", "n8n", "signal-api", "gdrive", "weaviate"]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    if os.environ.get("CTL_LAB_REAL") != "1":
        pytest.skip("make e2e-real runs this: CTL_LAB_REAL=1 lets the lab build OpenClaw from npm")
    with lab_server.fresh_host(tmp_path_factory.mktemp("host"), "openclaw") as server:
        project = Project(tmp_path_factory.mktemp("openclaw"))
        project.override("services/openclaw/compose.yaml.j2", *TAGS)
        variables = {"docker_source": "distribution", "access": "internal"}
        entry = {"stack": "ai-platform", "vars": variables, "without": WITHOUT}
        project.inventory.write_text(yaml.safe_dump({"hosts": {server.name: entry}}))
        said = project.ctl("deploy", server.name, "--yes", seconds=1500)
        if said.code:
            pytest.fail(f"the deploy failed: {said}")
        yield server


def test_its_page_is_at_the_path_and_asks_for_the_token(server: Server) -> None:
    page = server.sh("curl -sSk https://localhost:8443/clawdbot/")
    assert "<title>OpenClaw" in page
    assert "stand-in" not in page


def test_a_question_to_it_is_answered_by_a_model_behind_the_gateway(server: Server) -> None:
    words = ["node", "dist/index.js", "agent", "--agent", "main", "--message", "Hello", "--json"]
    said = server.sh(shlex.join(["docker", "exec", "ai-platform-openclaw-1", *words]))
    assert "This is the stand-in of the lab, no model." in said
    assert "POST /" in server.sh("docker logs ai-platform-ollama-1"), "it came to Ollama's stand-in, through LiteLLM"
