"""The lab's recipes and its stand-in for ngrok, without an engine."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from ctl.lab import SECRETS, machine, recipes

HERE = machine.Machine("http://mirror.test/debian", "http://mirror.test/security", ("Acquire::Retries 3;",), (), b"")
NGROK = recipes.IMAGES / "host" / "ngrok"
GOOD = """\
version: 3
agent:
  authtoken: 'a #b'   # a comment
  web_addr: false
endpoints:
- name: ai
  url: https://ai.example.com
  upstream: {url: 8080}
  traffic_policy:
    on_http_request:
      - actions: [{type: basic-auth, config: {credentials: ["user:pass word"]}}]
"""


def load(**changes: object) -> dict[str, recipes.Recipe]:
    fields = {name: getattr(HERE, name) for name in HERE.__slots__} | changes
    return dict(recipes.load(machine.Machine(**fields), "ctl-lab/ground:trixie"))


def test_every_folder_with_a_dockerfile_is_a_recipe_after_its_bases() -> None:
    names = list(load())
    assert {"debian", "host", "registry", "caddy", "n8n", "flowise"} <= set(names)
    assert names.index("debian") < names.index("workshop") < names.index("standin") < names.index("n8n")


def test_the_names_that_the_stacks_pull() -> None:
    assert {str(recipe.serves) for recipe in load().values() if recipe.serves} >= {
        "docker.io/library/caddy:2.11.4-alpine",
        "docker.n8n.io/n8nio/n8n:2.30.4",
        "docker.io/flowiseai/flowise:3.1.3",
    }


def test_real_programs_have_tags_of_their_own_and_are_slow() -> None:
    slow = {str(recipe.serves) for recipe in load().values() if recipe.slow}
    assert slow == {
        "docker.n8n.io/n8nio/n8n:2.30.8-npm",
        "docker.io/flowiseai/flowise:3.1.3-npm",
        "ghcr.io/openclaw/openclaw:2026.9.6-npm",
    }


def test_the_name_of_an_image_follows_its_content_and_that_of_its_bases() -> None:
    before, again, after = load(), load(), load(debian="http://other.test/debian")
    assert before == again
    assert {name for name in before if before[name].image != after[name].image} == set(before)
    assert {name for name in before if before[name].own != after[name].own} == set()


def test_a_dockerfile_names_its_bases_by_their_images() -> None:
    book = load()
    text = next(file.data.decode() for file in book["n8n"].files if file.path == "Dockerfile")
    assert f"FROM {book['standin'].image}\n" in text
    assert "FROM lab/" not in text


def test_this_machine_goes_into_the_image_on_the_ground_and_into_no_other() -> None:
    holders = [name for name, recipe in load().items() if any(b"mirror.test" in file.data for file in recipe.files)]
    assert holders == ["debian"]


@pytest.mark.parametrize(
    ("targets", "mirrors"),
    [
        ("http://m/d/|Debian\nhttp://m/s/|Debian-Security\n", ("http://m/d", "http://m/s")),
        ("http://m/ubuntu/|Ubuntu\n", ("", "")),
        ("http://m/d/|\n", ("", "")),
        ("", ("", "")),
    ],
)
def test_mirrors_are_those_that_apt_names_for_debian(targets: str, mirrors: tuple[str, str]) -> None:
    assert machine._mirrors(targets) == mirrors


def ngrok(*words: str) -> subprocess.CompletedProcess[str]:
    if shutil.which("perl") is None:
        pytest.skip("no perl here")
    return subprocess.run(["perl", str(NGROK), *words], capture_output=True, text=True, check=False, timeout=10)


def written(folder: Path, text: str) -> str:
    (folder / "ngrok.yml").write_text(text)
    return str(folder / "ngrok.yml")


def test_ngrok_says_that_it_is_a_stand_in() -> None:
    assert ngrok("version").stdout == "ngrok version 3.0.0-ctl-lab-stand-in\n"


def test_ngrok_accepts_a_version_3_file(tmp_path: Path) -> None:
    done = ngrok("config", "check", "--config", written(tmp_path, GOOD))
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("version: 3", "version: 2", "version must be 3, got '2'"),
        ("web_addr", "webaddr", "field agent.webaddr not found"),
        ("  web_addr: false", "\tweb_addr: false", "line 4: found a tab"),
        ("endpoints:", "agent:", "line 5: key 'agent' is there twice"),
        ("  upstream: {url: 8080}\n", "", "endpoints.ai.upstream is required"),
        ("{url: 8080}", "{url: https://localhost}", "the stand-in has no TLS"),
        ("{url: 8080}", "{url: 8080", "ngrok.yml"),
        ("https://ai.example.com", "tcp://1.example.com:22", "is not an https address"),
        ("endpoints:", "tunnels: {}\nendpoints:", "tunnels are deprecated"),
    ],
)
def test_ngrok_refuses_what_ngrok_would_refuse(tmp_path: Path, old: str, new: str, problem: str) -> None:
    assert old in GOOD
    done = ngrok("config", "check", "--config", written(tmp_path, GOOD.replace(old, new, 1)))
    assert done.returncode == 1
    assert problem in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("words", [(), ("help",), ("http", "80"), ("start",), ("start", "--all", "--frobnicate")])
def test_ngrok_refuses_commands_it_does_not_know(words: tuple[str, ...]) -> None:
    assert ngrok(*words).returncode == 1


def test_ngrok_refuses_a_foreign_token_and_does_not_repeat_it(tmp_path: Path) -> None:
    done = ngrok("start", "--all", "--config", written(tmp_path, GOOD.replace("'a #b'", "foreign-token")))
    assert done.returncode == 1
    assert "ERR_NGROK_105" in done.stderr
    assert "foreign-token" not in done.stdout + done.stderr


def test_the_labs_secrets_are_not_in_the_images() -> None:
    for recipe in load().values():
        for file in recipe.files:
            assert all(value.encode() not in file.data for value in SECRETS.values()), file.path
