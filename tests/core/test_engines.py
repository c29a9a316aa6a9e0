"""Several engines of Ollama: their containers, their cards, and the way of LiteLLM to each."""

from __future__ import annotations

from typing import Any

import pytest
from samples import rendered

from ctl.core.document import load
from ctl.core.errors import InvalidFile, UsageError
from ctl.core.release import Release

ROOT = "/opt/enterprise-llm/stacks"
ELSEWHERE = "http://10.0.0.5:11434"


def enterprise(engines: list[str] | None = None, services: tuple[str, ...] = ("litellm",), **variables: Any) -> Release:
    given = {"access": "internal", **({"ollama_engines": engines} if engines is not None else {}), **variables}
    return rendered("enterprise-llm", vars=given, services=services)


def data(release: Release, path: str) -> Any:
    file = release.file(f"{ROOT}/{path}")
    assert file is not None
    return load(file.content.decode(), file=path).data


def deployments(release: Release, model: str) -> list[tuple[str, str]]:
    listed = data(release, "litellm/conf/config.yaml")["model_list"]
    return [
        (each["litellm_params"]["model"], each["litellm_params"]["api_base"])
        for each in listed
        if each["model_name"] == model
    ]


def test_one_engine_is_as_it_was() -> None:
    alone = enterprise()
    assert list(data(alone, "ollama/compose.yaml")["services"]) == ["ollama"]
    assert deployments(alone, "llama3.2:3b") == [("ollama_chat/llama3.2:3b", "http://ollama:11434")]
    assert "routing_strategy" not in data(alone, "litellm/conf/config.yaml")["router_settings"]


def test_every_model_is_at_every_engine() -> None:
    several = enterprise(["here", ELSEWHERE, "here"], models=["llama3.2:3b", "qwen2.5:14b"])
    assert list(data(several, "ollama/compose.yaml")["services"]) == ["ollama", "ollama-2"]
    places = ["http://ollama:11434/v1", f"{ELSEWHERE}/v1", "http://ollama-2:11434/v1"]
    for model in ("llama3.2:3b", "qwen2.5:14b"):
        assert deployments(several, model) == [(f"openai/{model}", place) for place in places]
    assert deployments(several, "simple") == deployments(several, "llama3.2:3b")
    assert data(several, "litellm/conf/config.yaml")["router_settings"]["routing_strategy"] == "least-busy"
    assert data(several, "gateway/compose.yaml")["services"]["gateway"]["environment"]["OPENAI_URL"]


def test_cards_are_shared_out_where_there_are_some() -> None:
    def cards(release: Release) -> list[Any]:
        engines = data(release, "ollama/compose.yaml")["services"].values()
        return [each["deploy"]["resources"].get("reservations", {}).get("devices") for each in engines]

    words = ["here:0", "here:1,2", "here"]
    rest = {"driver": "nvidia", "capabilities": ["gpu"]}
    assert cards(enterprise(words, gpu="nvidia")) == [
        [{**rest, "device_ids": ["0"]}],
        [{**rest, "device_ids": ["1", "2"]}],
        [{**rest, "count": "all"}],
    ]
    assert cards(enterprise(words, gpu="none")) == [None, None, None]


def test_the_first_engine_alone_tidies_up() -> None:
    engines = data(enterprise(["here", "here"]), "ollama/compose.yaml")["services"]
    assert [each["environment"].get("OLLAMA_NOPRUNE") for each in engines.values()] == [None, "1"]
    assert {tuple(each["volumes"]) for each in engines.values()} == {("ollama_models:/root/.ollama",)}


def test_engines_are_on_the_inner_network_and_who_asks_them_is_too() -> None:
    several = enterprise(["here", "here"])
    engines = data(several, "ollama/compose.yaml")["services"]
    assert [list(each["networks"]) for each in engines.values()] == [["engine"], ["engine"]]
    assert list(data(several, "litellm/compose.yaml")["services"]["litellm"]["networks"]) == [
        "default",
        "data",
        "engine",
    ]


def test_who_reaches_all_by_the_common_network_is_on_no_other() -> None:
    added = enterprise(services=("uptime-kuma",))
    assert "networks" not in data(added, "uptime-kuma/compose.yaml")["services"]["uptime-kuma"]


def test_several_engines_want_litellm() -> None:
    with pytest.raises(UsageError, match="several engines want LiteLLM before them") as caught:
        enterprise(["here", "here"], services=())
    assert "add litellm" in caught.value.hint


@pytest.mark.parametrize("engines", [[], [ELSEWHERE]])
def test_an_engine_is_here(engines: list[str]) -> None:
    with pytest.raises(UsageError, match="no engine on this host"):
        enterprise(engines)


@pytest.mark.parametrize("engine", ["there", "here:", "here:a", "here:0;1", "ftp://x", f"{ELSEWHERE}/v1", "http://a b"])
def test_words_that_are_no_engine(engine: str) -> None:
    with pytest.raises(InvalidFile, match="is not where models run"):
        enterprise(["here", engine])
