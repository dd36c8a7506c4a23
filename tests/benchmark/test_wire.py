"""What a task's scoring asks over the network is caught, whichever library it asks with."""

from __future__ import annotations

import asyncio
import json
import socket
import time

import httpx
import openai
import pytest
import requests

from harness.benchmark.wire import Asked, AskedAgain, Unanswerable, scored, watch_openai

SAID = [
    {"role": "system", "content": "You grade."},
    {"role": "user", "content": [{"type": "text", "text": "Is it right?"}]},
]
IMAGE = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]


def by_requests(messages):
    sent = requests.post("http://judge.test/v1", json={"messages": messages, "max_tokens": 7})
    return sent.json()["choices"][0]["message"]["content"]


def by_data(messages):
    sent = requests.post("http://judge.test/v1", data=json.dumps({"messages": messages}))
    return sent.json()["choices"][0]["message"]["content"]


def by_openai(messages):
    client = openai.OpenAI(api_key="k", base_url="http://judge.test/v1")
    made = client.chat.completions.create(model="m", messages=messages, max_tokens=7)
    return made.choices[0].message.content


def later_client():
    return openai.AsyncOpenAI(api_key="k", base_url="http://judge.test/v1", max_retries=0)


def by_openai_later(messages):
    async def ask():
        asked = {"model": "m", "messages": messages, "max_tokens": 7}
        made = await later_client().chat.completions.create(**asked)
        return made.choices[0].message.content

    return asyncio.run(ask())


async def by_responses():
    await later_client().responses.create(model="m", input="Is it right?")


async def by_httpx(host="judge.test"):
    await httpx.AsyncClient().get(f"http://{host}/data")


def by_group(messages):
    async def ask():
        async with asyncio.TaskGroup() as group:
            asked = {"model": "m", "messages": messages, "max_tokens": 7}
            made = group.create_task(later_client().chat.completions.create(**asked))
        return made.result().choices[0].message.content

    return asyncio.run(ask())


@pytest.fixture(autouse=True)
def watched():
    watch_openai()


@pytest.mark.parametrize("ask", [by_requests, by_data, by_openai, by_openai_later, by_group])
def test_a_question_is_caught_and_its_reply_given(ask):
    with pytest.raises(Asked, match="You grade") as asked:
        scored(lambda: ask(SAID))
    assert asked.value.prompt == "You grade.\n\nIs it right?"
    assert asked.value.max_tokens == (1024 if ask is by_data else 7)
    assert scored(lambda: ask(SAID), "yes") == "yes"
    with pytest.raises(AskedAgain):
        scored(lambda: [ask(SAID), ask(SAID)], "yes")
    with pytest.raises(Unanswerable, match="several questions"):
        scored(lambda: [ask(SAID), ask(SAID[1:])], "yes")
    with pytest.raises(Unanswerable, match="an image"):
        scored(lambda: ask(IMAGE), "yes")


@pytest.mark.parametrize(
    "ask",
    [
        lambda: requests.get("http://judge.test/data"),
        lambda: requests.post("http://judge.test/v1", data="no JSON"),
        lambda: socket.create_connection(("judge.test", 80)),
        lambda: socket.getaddrinfo("judge.test", 80),
        lambda: httpx.get("http://judge.test/data"),
        lambda: asyncio.run(by_responses()),
        lambda: asyncio.run(by_httpx()),
        lambda: asyncio.run(by_httpx("127.0.0.1:9")),
    ],
)
def test_anything_else_over_the_network_is_unanswerable(ask):
    with pytest.raises(Unanswerable, match="over the network"):
        scored(ask)


def test_nobody_waits_inside_and_calls_from_elsewhere_pass():
    began = time.monotonic()
    assert scored(lambda: time.sleep(60)) is None
    assert time.monotonic() - began < 30
    with pytest.raises(requests.ConnectionError):
        requests.get("http://127.0.0.1:9/")
    with pytest.raises(httpx.ConnectError):
        asyncio.run(by_httpx("127.0.0.1:9"))
