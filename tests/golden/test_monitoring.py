"""What Prometheus is to gather and Grafana to show, judged by Prometheus's own promtool and Grafana's own SDK."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import judges
import pytest
import yaml
from samples import REPOSITORY, rendered

from ctl.core.release import Release

MONITORED: dict[str, dict[str, Any]] = {
    "cloudtolocalllm": {"services": ("prometheus", "grafana", "qdrant")},
    "enterprise-llm": {"services": ("prometheus", "grafana"), "vars": {"access": "internal"}},
}
SOURCES = [
    REPOSITORY / "stacks/cloudtolocalllm/images" / path
    for path in ("api/src/streaming/metrics.py", "users/src/users/metrics.py")
]


def release(stack: str) -> Release:
    return rendered(stack, **{"vars": {}, **MONITORED[stack]})


def content(whole: Release, end: str) -> bytes:
    return next(file.content for file in whole.files if file.path.endswith(end))


def dashboards(whole: Release) -> dict[str, dict[str, Any]]:
    paths = [file for file in whole.files if "/grafana/conf/dashboards/" in file.path]
    return {file.path.rsplit("/", 1)[1]: json.loads(file.content) for file in paths}


def expressions() -> list[str]:
    boards = dashboards(release("cloudtolocalllm"))
    return [target["expr"] for board in boards.values() for panel in board["panels"] for target in panel["targets"]]


@pytest.mark.parametrize("stack", MONITORED)
def test_promtool_takes_the_configuration(stack: str, tmp_path: Path) -> None:
    config = tmp_path / "prometheus.yml"
    config.write_bytes(content(release(stack), "/prometheus/conf/prometheus.yml"))
    assert "SUCCESS" in judges.judged(judges.tool("CTL_PROMTOOL", "promtool"), "check", "config", config)


def test_promtool_takes_every_query_of_the_dashboards(tmp_path: Path) -> None:
    rules = [{"record": f"panel:{number}", "expr": expr} for number, expr in enumerate(expressions())]
    file = tmp_path / "rules.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
    said = judges.judged(judges.tool("CTL_PROMTOOL", "promtool"), "check", "rules", file)
    assert f"{len(rules)} rules found" in said


def test_every_figure_that_is_asked_for_is_one_that_the_services_have() -> None:
    there = set()
    for source in SOURCES:
        text = source.read_text()
        there |= set(re.findall(r'"((?:users|streaming)_[a-z_]+)"', text))
        there |= {f"users_proxy_{name}" for name in re.findall(r'self\._(?:usage|told)\(live, "([a-z_]+)"', text)}
    asked = {name for expr in expressions() for name in re.findall(r"\b(?:users|streaming)_[a-z_]+", expr)}
    assert {re.sub(r"_(total|bucket|count|sum)$", "", name) for name in asked} <= there
    assert len(asked) > 20


def test_who_has_figures_is_asked_wherever_it_runs() -> None:
    config = yaml.safe_load(content(release("cloudtolocalllm"), "/prometheus/conf/prometheus.yml"))
    jobs = {job["job_name"]: job for job in config["scrape_configs"]}
    assert set(jobs) == {"prometheus", "node", "qdrant", "streaming-api", "user-manager"}
    assert jobs["qdrant"]["authorization"]["credentials"].startswith("sentinel-qdrant_api_key")
    compose = yaml.safe_load(content(release("cloudtolocalllm"), "/prometheus/compose.yaml"))
    # The user manager is on inner networks alone, and Prometheus on one of these; not on those that nobody else is on.
    assert list(compose["services"]["prometheus"]["networks"]) == ["default", "user-network"]


@pytest.mark.parametrize("name", ["host.json", "sessions.json"])
def test_grafanas_sdk_knows_all_that_a_dashboard_says(name: str) -> None:
    models = pytest.importorskip("grafana_foundation_sdk.models.dashboard")
    encoder = pytest.importorskip("grafana_foundation_sdk.cog.encoder")
    board = dashboards(release("cloudtolocalllm"))[name]
    read = json.loads(encoder.JSONEncoder(sort_keys=True).encode(models.Dashboard.from_json(board)))
    assert lost(board, read) == []
    board["panels"][0]["gridPoss"] = board["panels"][0].pop("gridPos")
    read = json.loads(encoder.JSONEncoder(sort_keys=True).encode(models.Dashboard.from_json(board)))
    assert lost(board, read) == ["panels.0.gridPoss"], "what it does not know it drops"


def lost(given: Any, read: Any, path: str = "") -> list[str]:
    """What of a text has not come through."""
    if isinstance(given, dict) and isinstance(read, dict):
        return [word for key in given for word in lost(given[key], read.get(key), f"{path}.{key}".strip("."))]
    if isinstance(given, list) and isinstance(read, list) and len(given) == len(read):
        return [word for number, one in enumerate(given) for word in lost(one, read[number], f"{path}.{number}")]
    return [] if given == read else [path]


def test_a_stack_without_sessions_has_no_dashboard_of_them() -> None:
    assert set(dashboards(release("enterprise-llm"))) == {"host.json"}
    ids = [panel["id"] for panel in dashboards(release("cloudtolocalllm"))["sessions.json"]["panels"]]
    assert len(set(ids)) == len(ids) > 10
