"""Two engines behind LiteLLM: both are asked, one may die; and the cards of a host that says it has some.

The lab has no graphics card. What stands in says that there are two, as `nvidia-smi -L` does; that containers get them
is then between ctl and Docker, and the hook that would hand them over does nothing.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import pytest
from lab_enterprise import ROOT, Enterprise, Load, deployed
from lab_project import until

ENGINES = ("ollama", "ollama-2")
ALLOWED_TO_BREAK = 2.5
"""Seconds that an answer of the stand-in takes: one that was begun so long before its engine died may be cut short."""


@pytest.fixture(scope="module")
def enterprise(engine: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Enterprise]:
    settings = {"services": ["litellm"], "vars": {"ollama_engines": ["here:0", "here:1"]}}
    with deployed(tmp_path_factory, "engines", **settings) as made:
        yield made


def container(enterprise: Enterprise, name: str) -> str:
    return enterprise.server.sh(f"docker ps -aq --filter label=com.docker.compose.service={name}")


def asked(enterprise: Enterprise) -> dict[str, int]:
    """How many questions each engine has answered, or begun to."""
    count = "docker logs %s 2>&1 | grep -c '^POST /v1/chat/completions' || true"
    return {name: int(enterprise.server.sh(count % container(enterprise, name))) for name in ENGINES}


def test_the_models_were_fetched_once_and_every_engine_has_them(enterprise: Enterprise) -> None:
    for name in ENGINES:
        listed = enterprise.server.sh(f"docker exec {container(enterprise, name)} /bin/ollama list")
        assert listed.split() == ["NAME", "llama3.2:1b"]
    plan = enterprise.ctl("plan", "--detailed-exitcode")
    assert plan.code == 0, plan


def test_engines_are_on_the_inner_network_and_nowhere_else(enterprise: Enterprise) -> None:
    networks = "docker inspect -f '{{range $name, $_ := .NetworkSettings.Networks}}{{$name}} {{end}}' %s"
    for name in ENGINES:
        found = enterprise.server.sh(networks % container(enterprise, name))
        assert found.split() == ["enterprise-llm-engine"]
    assert set(enterprise.server.sh(networks % container(enterprise, "litellm")).split()) == {
        "enterprise-llm",
        "enterprise-llm-data",
        "enterprise-llm-engine",
    }
    probe = "import socket,sys; socket.create_connection((sys.argv[1], 11434), timeout=3)"
    assert enterprise.inside("auth", "python", "-c", probe, "ollama-2")[0] != 0


def test_both_engines_are_asked(enterprise: Enterprise) -> None:
    before = asked(enterprise)
    with Load(enterprise) as load:
        load.go_on(12)
    assert load.failed == []
    after = asked(enterprise)
    shares = [after[name] - before[name] for name in ENGINES]
    assert min(shares) >= 2, shares


def test_an_engine_that_is_killed_costs_its_own_answers_at_most_and_comes_back(enterprise: Enterprise) -> None:
    with Load(enterprise) as load:
        load.go_on(4)
        # Docker would take `docker kill` for somebody's wish.
        enterprise.server.sh(f"kill -9 $(docker inspect -f '{{{{.State.Pid}}}}' {container(enterprise, 'ollama-2')})")
        killed = time.monotonic()
        until("the engine to be back", enterprise.healthy, seconds=60, every=1)
        before = asked(enterprise)["ollama-2"]
        until("it to be asked again", lambda: asked(enterprise)["ollama-2"] > before + 2, every=1)
    late = [(round(began - killed, 1), what) for began, what in load.failed if began > killed]
    assert late == [], "what is asked later is answered"
    assert all(killed - began < ALLOWED_TO_BREAK for began, _ in load.failed), load.failed
    assert len(load.failed) <= load.people // 2, "the other engine's answers go on"


def test_an_engine_that_stays_away_is_not_missed(enterprise: Enterprise) -> None:
    with Load(enterprise) as load:
        load.go_on(4)
        enterprise.server.sh(f"docker stop -t 10 {container(enterprise, 'ollama')}")
        stopped = time.monotonic()
        load.go_on(8, seconds=120)
        enterprise.server.sh(f"docker start {container(enterprise, 'ollama')}")
        before = asked(enterprise)["ollama"]
        until("it to be asked again", lambda: asked(enterprise)["ollama"] > before, seconds=120, every=1)
    assert [(round(began - stopped, 1), what) for began, what in load.failed if began > stopped] == []


# --- graphics cards ---------------------------------------------------------------------------------------------------

SMI = """#!/bin/sh
# Stands in for nvidia-smi: two cards.
[ "$*" = -L ] || { echo "the stand-in knows nothing of $*" >&2; exit 2; }
echo 'GPU 0: NVIDIA L4 (UUID: GPU-00000000-0000-0000-0000-000000000000)'
echo 'GPU 1: NVIDIA L4 (UUID: GPU-11111111-1111-1111-1111-111111111111)'
"""
TOOLS = ("nvidia-smi", "nvidia-ctk", "nvidia-container-runtime-hook")


def given(enterprise: Enterprise, name: str) -> list[str]:
    """The numbers of the cards that Docker was told to hand to an engine."""
    told = "docker inspect -f '{{json .HostConfig.DeviceRequests}}' " + container(enterprise, name)
    return [number for request in json.loads(enterprise.server.sh(told)) or () for number in request["DeviceIDs"]]


def test_a_host_without_a_card_gives_none(enterprise: Enterprise) -> None:
    assert [given(enterprise, name) for name in ENGINES] == [[], []]
    said = enterprise.ctl("doctor", "--json").data
    assert [check["state"] for check in said["checks"] if check["name"] == "gpu"] == ["note"]


def test_cards_that_are_found_are_shared_out(enterprise: Enterprise) -> None:
    server = enterprise.server
    for name in TOOLS:
        text = SMI if name == "nvidia-smi" else "#!/bin/sh\n# Stands in for NVIDIA's, and does nothing.\n"
        server.sh(f"cat >/usr/local/bin/{name} <<'END'\n{text}END\nchmod 755 /usr/local/bin/{name}")
    plan = enterprise.ctl("plan", "--json").data
    changed = {change["name"] for change in plan["changes"] if change["type"] == "container"}
    assert changed == set(ENGINES), plan
    assert enterprise.ctl("plan", "--gpu", "none", "--json").data["changes"] == [], "--gpu none turns it off"

    deploy = enterprise.ctl("deploy", "--yes")
    assert deploy.code == 0, deploy
    assert [given(enterprise, name) for name in ENGINES] == [["0"], ["1"]]
    assert "cgroupfs" in server.read("/etc/docker/daemon.json").decode()
    # Docker was restarted for its new configuration, and begins all health checks anew.
    until("all to be healthy", enterprise.healthy, every=2)


def test_with_cards_too_nothing_to_do_is_one_look(enterprise: Enterprise) -> None:
    with enterprise.server.logged() as log:
        said = enterprise.ctl("deploy", "--yes", "--json")
    assert (said.code, said.data["result"], said.data["changes"]) == (0, "unchanged", []), said
    assert len([line for line in log if line.startswith("Accepted publickey for ")]) == 1, log
    assert 1 <= len([line for line in log if line.startswith("Starting session: ")]) <= 2, log
    assert len([line for line in log if "COMMAND=" in line]) == 1, log


def test_cards_that_are_gone_are_told_and_nothing_changes_in_silence(enterprise: Enterprise) -> None:
    enterprise.server.sh("mv /usr/local/bin/nvidia-smi /root/")
    said = enterprise.ctl("plan")
    assert said.code == 1, said
    assert "the NVIDIA card that services have is gone" in said.error
    assert "--gpu none" in said.error
    checks = {check["name"]: check["state"] for check in enterprise.ctl("doctor", "--json").data["checks"]}
    assert checks["gpu"] == "problem"
    without = enterprise.ctl("plan", "--gpu", "none", "--json")
    assert {change.get("name") for change in without.data["changes"]} >= set(ENGINES)
    assert any(change.get("path") == f"{ROOT}/stacks/ollama/compose.yaml" for change in without.data["changes"])
