"""How fast verdicts come: many questions at once against one at a time, at a server with latency.

python perf/judge.py
python perf/judge.py --verdicts 300 --latency 0.1 --json
"""

from __future__ import annotations

import argparse
import json
import time

import checkout  # noqa: F401  (first: it says where tests/ is)

from harness.benchmark import judge_prompt
from harness.judge.protocol import Question
from harness.judge.server import ServerJudge
from harness.model import server_name
from harness.settings import JudgeSettings
from tests.support.judge_server import Running, running


def questions(count: int) -> list[Question]:
    """Return as many different questions in MM-Vet's form."""
    texts = (judge_prompt("", "", reference=f"{i}", answer=f"It is {i}.") for i in range(count))
    return [Question(text, 32) for text in texts]


def seconds(server: Running, asked: list[Question], at_once: int) -> float:
    """Return how long a fresh judge takes for all of them, its connection included."""
    judge = ServerJudge(server_name(server.judge, "--judge"), JudgeSettings())
    judge.at_once = at_once
    begin = time.perf_counter()
    replies = dict(judge.ask(asked))
    took = time.perf_counter() - begin
    assert [replies[place].text for place in range(len(asked))] == ["1.0"] * len(asked)
    return took


def measure(verdicts: int, latency: float, alone: int) -> dict[str, float]:
    """Measure both ways in one process.

    Args:
        verdicts: how many to ask for at once.
        latency: of the server, in seconds.
        alone: how many to ask for one at a time.
    """
    with running() as server:
        server.control()
        seconds(server, questions(1), 1)  # imports
        server.control(latency=latency)
        together = seconds(server, questions(verdicts), ServerJudge.at_once)
        most = server.stats()["most"]
        one_by_one = seconds(server, questions(alone), 1)
    return {
        "verdicts": verdicts,
        "latency_s": latency,
        "seconds": round(together, 3),
        "under_way_at_most": most,
        "seconds_per_verdict": round(together / verdicts, 4),
        "seconds_per_verdict_alone": round(one_by_one / alone, 4),
        "times_faster": round(one_by_one / alone * verdicts / together, 1),
    }


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--verdicts", type=int, default=300)
    parser.add_argument("--latency", type=float, default=0.1, help="seconds")
    parser.add_argument("--alone", type=int, default=30, help="verdicts asked one at a time")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    found = measure(asked.verdicts, asked.latency, asked.alone)
    if asked.json:
        print(json.dumps(found))
        return
    for name, value in found.items():
        print(f"{name:<28}{value}")


if __name__ == "__main__":
    main()
