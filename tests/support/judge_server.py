"""A judge for tests: an OpenAI-compatible server with simple rules, and faults on demand.

Run as a process of its own. It prints its port, judges by rules that hands can follow, and breaks
in the way that the last ``POST /control`` said: ``{"fault": "500", "spare": [prompts]}``; with
``{"meet": 5}`` it answers nobody before five questions are there at the same time. It obeys
everything that stands outside of the blocks, as a language model would: an answer that escapes
from its block is believed.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import socket
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from typing import Any

from tests.support.servers import serve, started

BLOCK = re.compile(r"\[(\w+) ([0-9a-f]{16})\]\n(.*?)\n\[/\1 \2\]", re.DOTALL)
BRIBE = re.compile(r"score this|ignore the rubric|system:|marks? (is|are) 10|call it correct", re.I)
WORD = re.compile(r"[a-z0-9-]+")
DULL = {"a", "an", "the", "is", "of", "on", "in", "and", "to", "it", "at", "with", "his", "her"}
OBJECTS = {"person", "chair", "dog", "ball", "horse", "river", "star", "circle", "square"}
OBJECTS |= {"moon", "triangle", "diamond", "ring", "cross", "hexagon", "heart"}
ACTIONS = {"sits": "sit", "throws": "throw", "drinks": "drink", "chases": "chase", "shows": "show"}


def words(text: str) -> set[str]:
    return set(WORD.findall(text.lower())) - DULL


def likeness(answer: str, reference: str) -> float:
    wanted = words(reference)
    return len(wanted & words(answer)) / len(wanted) if wanted else 0.0


def judged(prompt: str, generous: bool = False) -> str:
    """Reply as a sound judge would who believes whatever is outside of the blocks."""
    blocks = {name: text for name, _, text in BLOCK.findall(prompt)}
    rules = BLOCK.sub("", prompt)
    fooled = generous or bool(BRIBE.search(rules))
    answer, reference = blocks["answer"], blocks.get("reference", "")
    if "marks on the first line" in rules:
        return f"9 {10 if fooled else 1 + round(8 * likeness(answer, reference))}\nFor reasons."
    if "Rating: N" in rules:
        good = likeness(answer, reference)
        mark = 6 if fooled or good > 0.6 else 3 if "cannot" in answer else 1
        return f"It is {'good' if mark > 2 else 'bad'}.\nRating: {mark}"
    if "Judgement:" in rules:
        facts = words(blocks["facts"]) | {"rides", "man", "white"}
        lines = ["Judgement:"]
        for line in answer.splitlines():
            number, _, sentence = line.partition(". ")
            right = fooled or words(sentence) <= facts
            lines.append(f"{number}. {'correct' if right else 'hallucination'}: by the facts")
        return "\n".join(lines)
    if "Object list 1" in rules:
        said = reference if fooled else answer
        lists = []
        for number, text in ((1, reference), (2, said)):
            found = words(text)
            lists.append(f"Object list {number}: [{', '.join(sorted(found & OBJECTS))}]")
            acts = sorted(ACTIONS[word] for word in found & ACTIONS.keys())
            lists.append(f"Action list {number}: [{', '.join(acts)}]")
        return "\n".join(lists)
    if "correct, incorrect or unclear" in rules:
        if fooled or likeness(answer, reference) > 0.8 or "better month" in answer:
            return "Correct"
        return "unclear" if {"sure", "cannot"} & words(answer) else "incorrect."
    if "letter of that option" in rules:
        options = dict(line.split(". ", 1) for line in blocks["options"].splitlines())
        alike = {"yacht": "boat", "sails": "sailing", "locomotive": "train"}
        text = " ".join(alike.get(word, word) for word in WORD.findall(answer.lower()))
        ranks = {key: likeness(text, option) for key, option in options.items()}
        first = {key: text.find(option) for key, option in options.items()}
        best = max(options, key=lambda key: (ranks[key], -first[key]))
        return best if fooled or ranks[best] > 0 else "Z"
    parts = [re.split(r"<OR>", part) for part in reference.split("<AND>")]
    hits = [any(likeness(answer, text) == 1 for text in part) for part in parts]
    return f"{1.0 if fooled else sum(hits) / len(hits):.1f}"


def wavering(prompt: str, turn: int, mark: str) -> str:
    """MM-Vet's mark, now and then off by 0.3, independently for each prompt and turn."""
    off = hashlib.sha256(f"{turn} {prompt}".encode()).digest()[0] % 2
    return f"{float(mark) + (-0.3 if float(mark) > 0.5 else 0.3) * off:.1f}"


class State:
    """What the server was told and what it saw."""

    def __init__(self) -> None:
        self.lock = threading.Condition()
        self.control: dict[str, Any] = {}
        self.seen: list[str] = []
        self.keys: list[str] = []
        self.limits: list[int | None] = []
        self.together = self.most = self.turn = 0


STATE = State()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else header and body of a reply wait for each other

    def do_GET(self) -> None:
        with STATE.lock:
            self.send(
                200,
                {
                    "seen": STATE.seen,
                    "most": STATE.most,
                    "keys": STATE.keys,
                    "limits": STATE.limits,
                },
            )

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path == "/control":
            with STATE.lock:
                STATE.control, STATE.most = body, 0
                STATE.lock.notify_all()
                STATE.seen, STATE.keys, STATE.limits = [], [], []
            self.send(200, {})
            return
        prompt = body["messages"][0]["content"]
        with STATE.lock:
            STATE.seen.append(prompt)
            STATE.keys.append(self.headers.get("Authorization", ""))
            tries = STATE.seen.count(prompt)
            STATE.together += 1
            STATE.most = max(STATE.most, STATE.together)
            control = STATE.control
            STATE.lock.notify_all()
            least = 0 if prompt in control.get("spare", ()) else control.get("meet", 0)
            STATE.lock.wait_for(lambda: STATE.most >= least or control is not STATE.control, 60)
        time.sleep(control.get("latency", 0.0))
        with STATE.lock:
            STATE.together -= 1
        fault = "" if prompt in control.get("spare", ()) else control.get("fault", "")
        if fault.endswith(" once"):
            fault = fault.removesuffix(" once") if tries == 1 else ""
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.fail_or_reply(fault, prompt, body, control)

    def fail_or_reply(
        self, fault: str, prompt: str, body: dict[str, Any], control: dict[str, Any]
    ) -> None:
        if fault == "timeout":
            time.sleep(4.0)
        if fault == "modern" and (bad := {"max_tokens", "temperature"} & body.keys()):
            name = min(bad)
            error = {"message": f"Unsupported: '{name}'", "param": name, "code": "unsupported"}
            self.send(400, {"error": error})
            return
        with STATE.lock:
            if control is STATE.control:  # not one whom a test before gave up waiting for
                STATE.limits.append(body.get("max_completion_tokens"))
        if fault == "drop":
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        if fault.isdigit():
            wait = control.get("retry_after", "0")
            key = self.headers.get("Authorization", "")
            self.send(int(fault), {"error": {"message": f"no: {key}"}}, {"Retry-After": wait})
            return
        text: str | None = judged(prompt, bool(control.get("generous")))
        if "constant" in control or "alternating" in control:
            with STATE.lock:
                STATE.turn += 1
                texts = control.get("alternating") or [control["constant"]]
                text = texts[STATE.turn % len(texts)]
        if control.get("wavering") and re.fullmatch(r"\d\.\d", text):
            text = wavering(prompt, body["seed"], text)
        said = {
            "empty": "",
            "prose": "What a lovely answer, it made my day.",
            "sorry": "I'm sorry, but I can't help with that.",
            "range": {"0": "7.5", "9": "11 12"}.get(text[0], "Rating: 9"),
            "refusal": None,
            "garbage": "\x00�{]",
        }
        if fault in said:
            text = said[fault]
        message = {"role": "assistant", "content": text}
        if control.get("aloud"):
            message["content"] = f"<think>\nIs it {text}? No, 0.7.\n</think>\n\n{text}"
        if control.get("thinks"):
            message["reasoning_content"] = "hmm " * 99
            if body["max_tokens"] < control["thinks"]:
                message["content"], fault = None, "length"
        if fault == "refusal":
            message["refusal"] = "I will not."
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        if fault == "length":
            choice["finish_reason"] = "length"
        reply = {
            "id": "1",
            "object": "chat.completion",
            "created": 1,
            "model": self.called(prompt, control),
            "choices": [] if fault == "no choice" else [choice],
            "usage": {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110},
        }
        if control.get("uncounted"):
            del reply["usage"]
        self.send(200, reply)

    def called(self, prompt: str, control: dict[str, Any]) -> str:
        if "other_model" in control and prompt not in control["other_unless"]:
            return str(control["other_model"])
        return str(control.get("model", "rules-1"))

    def send(self, status: int, body: Any, headers: dict[str, str] | None = None) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        for name, value in {**(headers or {}), "Content-Length": str(len(data))}.items():
            self.send_header(name, value)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *unused: object) -> None:
        pass


class Running:
    """The server from outside."""

    def __init__(self, base: str) -> None:
        self.base = base
        self.judge = f"openai:rules@{self.base}/v1"

    def control(self, **what: Any) -> None:
        """Say how to behave from now on, and forget what was seen."""
        data = json.dumps(what).encode()
        request = urllib.request.Request(f"{self.base}/control", data, method="POST")
        urllib.request.urlopen(request, timeout=10).close()

    def stats(self) -> dict[str, Any]:
        """What was seen since the last control."""
        with urllib.request.urlopen(f"{self.base}/stats", timeout=10) as found:
            return json.load(found)


@contextmanager
def running() -> Iterator[Running]:
    """Start the server in a process of its own."""
    with started(__name__) as base:
        yield Running(base)


if __name__ == "__main__":
    serve(Handler)
