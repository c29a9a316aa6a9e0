"""OpenAI's own client library against /v1, and a model server that speaks OpenAI's API."""

from __future__ import annotations

import openai
import pytest
from conftest import Model, Running, Start
from openai.types.chat import ChatCompletionMessageParam

ASK: list[ChatCompletionMessageParam] = [{"role": "user", "content": "Hello"}]
SAID = "This is the stand-in, no model."


def client_of(gateway: Running, token: str | None = None) -> openai.OpenAI:
    return openai.OpenAI(
        base_url=f"{gateway.url}/v1",
        api_key=token or gateway.issuer.token(f"{gateway.users}ada"),
        max_retries=0,
    )


def test_the_client_library_talks_to_it(gateway: Running, model: Model) -> None:
    with client_of(gateway) as client:
        assert "standin:latest" in [found.id for found in client.models.list()]
        answer = client.chat.completions.create(model="standin", messages=ASK, temperature=0.1, max_tokens=5)
        assert answer.choices[0].message.content == "This is the stand-in,"
        assert model.standin.asked[-1]["temperature"] == 0.1
        assert answer.usage is not None and answer.usage.completion_tokens == 5
        stream = client.chat.completions.create(
            model="standin", messages=ASK, stream=True, stream_options={"include_usage": True}
        )
        chunks = list(stream)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == SAID
    assert chunks[-1].usage is not None and chunks[-1].usage.completion_tokens == 8


def test_its_errors_are_the_librarys(gateway: Running, model: Model, start: Start) -> None:
    with client_of(gateway) as client:
        with pytest.raises(openai.NotFoundError) as missing:
            client.chat.completions.create(model="nonsense", messages=ASK)
        assert missing.value.code == "model_not_found"
        with pytest.raises(openai.UnprocessableEntityError):
            client.chat.completions.create(model="standin", messages=[])
        with pytest.raises(openai.APIError) as broken:
            list(client.chat.completions.create(model="broken", messages=ASK, stream=True))
        assert "does not answer" in broken.value.message
        model.down()
        with pytest.raises(openai.InternalServerError) as down:
            client.chat.completions.create(model="standin", messages=ASK, stream=True)
        assert down.value.status_code == 503 and down.value.response.headers["retry-after"]
    with client_of(gateway, "no-token") as client, pytest.raises(openai.AuthenticationError):
        client.models.list()
    strict = start(CHATS_PER_MINUTE="1")
    model.up()
    with client_of(strict) as client:
        client.chat.completions.create(model="standin", messages=ASK)
        with pytest.raises(openai.RateLimitError) as limited:
            client.chat.completions.create(model="standin", messages=ASK)
        assert limited.value.response.headers["ratelimit-limit"] == "1"


def test_a_model_server_that_speaks_openai(start: Start, model: Model) -> None:
    gateway = start(OLLAMA_URL="", OPENAI_URL=f"{model.url}/v1", OPENAI_KEY="sk-secret", SYSTEM_PROMPT="Be brief.")
    got = gateway.ask()
    assert "".join(event.data["text"] for event in got if event.name == "token") == SAID
    assert got[-1].data["message"]["usage"] == {"prompt_tokens": 5, "completion_tokens": 8}
    assert model.standin.asked[-1]["messages"][0] == {"role": "system", "content": "Be brief."}
    for name in ("broken", "failing"):
        assert gateway.ask(model=name)[-1].data["code"] == "model_unavailable"
    with client_of(gateway) as client:
        assert client.chat.completions.create(model="standin", messages=ASK).choices[0].message.content == SAID
    assert "sk-secret" not in gateway.log.read_text()
