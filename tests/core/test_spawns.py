"""Containers that a service starts itself: their image, and that they are counted and otherwise left alone."""

from __future__ import annotations

import re
from dataclasses import replace

import samples
from samples import PROJECT, probe_output, rendered, settled

from ctl.cli.status import lines, report
from ctl.core import probe as probes
from ctl.core.plan import plan
from ctl.core.release import load_release
from ctl.core.script import probe, script

WHOLE = rendered("cloudtolocalllm", vars={"domain": "example.com"})
MANAGER = next(container for container in WHOLE.containers if container.name == "user-manager")


def test_their_image_is_built_on_the_host_and_the_service_is_told_its_name() -> None:
    assert MANAGER.spawns
    image = MANAGER.spawns.image
    assert image.startswith("cloudtolocalllm/proxy:")
    file = WHOLE.file(MANAGER.spawns.context)
    text = WHOLE.file("/opt/cloudtolocalllm/stacks/user-manager/compose.yaml")
    assert file and text and f"PROXY_IMAGE: {image}" in text.content.decode()
    commands = script(plan(WHOLE, samples.fit()), samples.templates()).splitlines()
    assert f"    build {image} {file.sha}" in commands


def test_their_image_is_kept_for_as_long_as_the_release() -> None:
    assert MANAGER.spawns and MANAGER.spawns.image in WHOLE.images
    blobs = {file.sha: file.content for file in WHOLE.files}
    assert load_release(WHOLE.manifest(), blobs).images == WHOLE.images


def test_another_image_for_them_is_another_container_of_the_service_alone() -> None:
    chosen = samples.selection("cloudtolocalllm", vars={"domain": "example.com"})

    def other(name: str, folders: dict[str, str]) -> samples.Context:
        files = {"Dockerfile": (b"FROM scratch\n", False)}
        return samples.Context(name, {**files, "more": (b"", False)} if name.endswith("/proxy") else files)

    whole = samples.render(chosen, samples.secrets_for(chosen), samples.templates(), other)
    assert samples.names(replace(plan(whole, settled(WHOLE)), changes=plan(whole, settled(WHOLE)).containers)) == [
        "recreate user-manager"
    ]


def test_a_probe_counts_them_in_its_one_round_trip() -> None:
    text = probe(WHOLE, samples.templates())
    assert re.search(r"^spawned cloudtolocalllm\.proxy >", text, re.MULTILINE)
    there = settled(WHOLE, spawned={"cloudtolocalllm.proxy": 3})
    assert probes.parse(probe_output(there)).spawned == {"cloudtolocalllm.proxy": 3}


def test_the_status_has_their_number_and_they_are_no_drift() -> None:
    todo = plan(WHOLE, settled(WHOLE, spawned={"cloudtolocalllm.proxy": 3}))
    assert not todo
    data = report(todo)
    assert [s["spawned"] for s in data["services"] if "spawned" in s] == [{"sessions": 3}]
    (line,) = [text.plain for text in lines(data) if "user-manager" in text.plain]
    assert "running, 3 sessions" in line


def test_the_firewall_lets_them_ask_nobody() -> None:
    file = WHOLE.file("/usr/local/sbin/cloudtolocalllm-firewall")
    assert file
    forward = file.content.decode().split("chain forward", 1)[1]
    rules = [line.strip() for line in forward.splitlines()]
    drop = rules.index("ip saddr 10.201.0.0/16 ip daddr != 10.201.0.0/16 drop")
    assert rules.index("ct state established,related accept") < drop < rules.index('iifname "br-*" accept')


def test_the_stack_is_shipped() -> None:
    assert "cloudtolocalllm" in PROJECT.stack_names()
