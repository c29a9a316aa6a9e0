"""What the stacks render to, as files that people read in a review; and what other programs say about these files.

`pytest tests/golden --update-golden` writes the folders anew after a change of the templates.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import judges
import pytest
from samples import NGROK, rendered

from ctl.core.release import Release

HERE = Path(__file__).parent
OPEN = {"n8n": ["/webhook/*"], "flowise": ["/api/v1/prediction/*"]}
VOLUME = {
    "data_device": "/dev/nvme1n1",
    "data_encryption": "luks",
    "gpu": "nvidia",
    "models": ["llama3.2:3b", "qwen2.5:14b"],
}
TAILNET = {"domain": "ai.tail1234.ts.net"}
PUBLIC = {"access": "public", "domain": "ai.example.com", "address": "0.0.0.0"}
WILDCARD = {"tls": "acme", "acme_dns": "rfc2136", "rfc2136_server": "192.0.2.53", "rfc2136_key": "acme."}
LEAN: dict[str, dict[str, Any]] = {
    "ngrok": {"vars": NGROK},
    "internal": {"vars": {"access": "internal"}},
    "public": {
        "root": "/srv/ai",
        "vars": {"access": "public", "tls": "acme", "domain": "ai.example.com", "address": "0.0.0.0"},
    },
    "flowise-in-front": {
        "vars": {**NGROK, "front": "flowise", "open_paths": OPEN, "https_port": 8443, "timezone": "Europe/Berlin"}
    },
    "without-flowise": {"vars": NGROK, "without": ("flowise",)},
}
PLATFORM: dict[str, dict[str, Any]] = {
    "tailnet": {"vars": TAILNET, "root": "/home/ubuntu/ai-platform"},
    "tailnet-gpu-volume": {"vars": {**TAILNET, **VOLUME}},
    "self-signed": {"vars": {"access": "internal", "address": "0.0.0.0"}},
    "subdomains": {"vars": {"access": "public", "doors": "subdomains", "domain": "ai.example.com", "https_port": 443}},
    "acme": {"vars": {**PUBLIC, "tls": "acme", "acme_email": "admin@example.com"}},
    "acme-wildcard": {"vars": {**PUBLIC, **WILDCARD, "doors": "subdomains", "https_port": 443}},
    "gateway-and-n8n": {
        "vars": {"access": "internal"},
        "without": ("dify", "weaviate", "redis", "anythingllm", "clawdbot", "signal-api", "gdrive"),
    },
}
ENTERPRISE: dict[str, dict[str, Any]] = {
    "public": {"vars": {"tls": "acme", "domain": "ai.example.com"}},
    "ngrok-and-gpu": {"vars": {"access": "ngrok", **NGROK, "gpu": "nvidia"}, "replicas": {"gateway": 1, "chat": 1}},
    "engines-behind-litellm": {
        "vars": {
            "access": "internal",
            "gpu": "nvidia",
            "ollama_engines": ["here:0", "here:1,2", "http://10.0.0.5:11434"],
            "models": ["llama3.2:3b", "qwen2.5:14b"],
        },
        "services": ("litellm",),
    },
}
CLOUD: dict[str, dict[str, Any]] = {
    "self-signed": {"vars": {"access": "internal", "domain": "cloud.example.com", "https_port": 8443}},
    "acme-wildcard": {"vars": {**WILDCARD, "domain": "cloud.example.com", "acme_email": "admin@example.com"}},
    "issuer-elsewhere": {
        "vars": {
            "domain": "cloud.example.com",
            "oidc_issuer": "https://example.eu.auth0.com/",
            "oidc_client": "portal1",
        },
        "without": ("auth",),
    },
    "portal-of-ones-own": {
        "vars": {
            "domain": "cloud.example.com",
            "portal": {"build": "flutter build web", "directory": "../app/build/web"},
        }
    },
    "monitored": {"vars": {"domain": "cloud.example.com"}, "services": ("prometheus", "grafana")},
}
STACKS = {"lean-llm": LEAN, "ai-platform": PLATFORM, "enterprise-llm": ENTERPRISE, "cloudtolocalllm": CLOUD}
NGINX = [f"ai-platform/{name}" for name in PLATFORM] + [f"cloudtolocalllm/{name}" for name in CLOUD]
VARIANTS = {f"{stack}/{name}": host for stack, hosts in STACKS.items() for name, host in hosts.items()}


@cache
def release(variant: str) -> Release:
    return rendered(variant.split("/")[0], **VARIANTS[variant])


def tree(whole: Release) -> dict[str, bytes]:
    """The release as files: those of the host under their paths, the steps, and what else there is to a release."""
    files = {f"host{file.path}": file.content for file in whole.files}
    steps = {f"steps/{step.id}.sh": step.text.encode() for step in whole.steps}
    manifest = json.loads(whole.manifest())
    # The digests change with every word; what they are made of stands beside them.
    for step in manifest["steps"]:
        del step["text"], step["fingerprint"]
    for file in manifest["files"]:
        del file["sha"]
    for container in manifest["containers"]:
        del container["fingerprint"]
    return files | steps | {"release.json": json.dumps(manifest, indent=1).encode() + b"\n"}


def without_digests(content: bytes) -> bytes:
    return b"".join(line for line in content.splitlines(keepends=True) if b"ctl.fingerprint:" not in line)


def written(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_rendered_files_are_the_golden_ones(variant: str, update_golden: bool) -> None:
    folder = HERE / variant
    now = {name: without_digests(content) for name, content in tree(release(variant)).items()}
    if update_golden:
        shutil.rmtree(folder, ignore_errors=True)
        for name, content in now.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content)
    golden = written(folder)
    assert sorted(now) == sorted(golden), "files came or went: pytest tests/golden --update-golden"
    for name in sorted(now):
        assert now[name].decode() == golden[name].decode(), f"{name} changed: pytest tests/golden --update-golden"


def test_no_golden_folder_is_left_over() -> None:
    folders = [path for stack in STACKS for path in (HERE / stack).iterdir()]
    assert sorted(str(path.relative_to(HERE)) for path in folders) == sorted(VARIANTS)


@pytest.mark.parametrize("variant", VARIANTS)
def test_two_renders_are_the_same_to_the_byte(variant: str) -> None:
    again = rendered(variant.split("/")[0], **VARIANTS[variant])
    assert tree(again) == tree(release(variant))
    assert again.manifest() == release(variant).manifest()


# Outside judges.


@pytest.fixture
def host(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """The files of the host, under a folder that stands for its root."""
    return judges.unpacked(release(request.param), tmp_path)


each_host = pytest.mark.parametrize(("host", "variant"), [(name, name) for name in VARIANTS], indirect=["host"])


@each_host
def test_docker_compose_takes_the_project(host: Path, variant: str) -> None:
    whole = release(variant)
    project = judges.compose_config(whole, host)
    name, variable = {
        "enterprise-llm": ("auth", "ADMIN_PASSWORD"),
        "cloudtolocalllm": ("user-manager", "MANAGER_KEY"),
    }.get(whole.stack, ("n8n", "N8N_ENCRYPTION_KEY"))
    key = project["services"][name]["environment"][variable].replace("$$", "$")
    assert key in [secret.reveal() for secret in whole.secrets], "the secret arrives as it is"


@pytest.mark.parametrize(
    ("host", "variant"), [(name, name) for name in VARIANTS if name not in NGINX], indirect=["host"]
)
def test_caddy_takes_its_configuration(host: Path, variant: str, tmp_path: Path) -> None:
    judges.caddy_validate(release(variant), host, tmp_path)


@pytest.mark.parametrize(("host", "variant"), [(name, name) for name in NGINX], indirect=["host"])
def test_nginx_takes_its_configuration(host: Path, variant: str, tmp_path: Path) -> None:
    judges.nginx_test(release(variant), host, tmp_path)


def test_gixy_has_nothing_to_say_about_nginx(tmp_path: Path) -> None:
    gixy = judges.tool("CTL_GIXY", "gixy")
    paths = []
    for name in NGINX:
        whole = release(name)
        paths.append(tmp_path / f"{name.replace('/', '-')}.conf")
        paths[-1].write_bytes(
            next(file.content for file in whole.files if file.path.endswith("/proxy/conf/nginx.conf"))
        )
    bad = tmp_path / "bad.conf"
    bad.write_text(paths[0].read_text().replace("Host $host$port_if_odd", "Host $http_host", 1))
    done = subprocess.run([gixy, "-f", "json", *paths, bad], capture_output=True, text=True)
    assert {issue["path"]: issue["plugin"] for issue in json.loads(done.stdout)} == {str(bad): "host_spoofing"}


@each_host
def test_systemd_takes_the_units(host: Path, variant: str) -> None:
    verify = judges.tool("CTL_SYSTEMD_ANALYZE", "systemd-analyze")
    units = [path for path in (host / "etc/systemd/system").iterdir() if path.is_file()]
    assert units
    # Programs and users that this machine lacks are not what is judged here.
    done = subprocess.run(
        [verify, "verify", "--man=no", "--recursive-errors=no", *map(str, units)],
        capture_output=True,
        text=True,
        env={"PATH": os.environ["PATH"], "SYSTEMD_UNIT_PATH": f"{host}/etc/systemd/system:"},
    )
    faults = [
        line for line in done.stderr.splitlines() if str(host) in line or "Unknown" in line or "Failed to" in line
    ]
    faults = [line for line in faults if "is not executable" not in line and "Command " not in line]
    assert not faults


@pytest.mark.parametrize("variant", VARIANTS)
def test_shellcheck_takes_every_step_and_script(variant: str, tmp_path: Path) -> None:
    judges.shellcheck(release(variant), tmp_path)


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_step_has_a_title_and_waits_for_nobody(variant: str) -> None:
    for step in release(variant).steps:
        assert step.title != "(a step without a title)", step.id
        assert 0 < step.timeout <= 3600, step.id
