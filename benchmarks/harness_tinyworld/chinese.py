"""A handful of questions in Chinese, for benchmarks that ask in it."""

from __future__ import annotations

import random

from harness_tinyworld.questions import Answer, Question, named, some_of
from harness_tinyworld.scenes import Scene
from harness_tinyworld.vocabulary import COLOURS, SHAPES

SHAPE_NAMES = dict(
    zip(
        SHAPES,
        ["圆形", "正方形", "三角形", "星形", "菱形", "十字形", "心形", "圆环", "月牙", "六边形"],
        strict=True,
    )
)
COLOUR_NAMES = dict(
    zip(
        COLOURS,
        ["红色", "蓝色", "绿色", "黄色", "橙色", "紫色", "粉色", "棕色", "灰色", "黑色"],
        strict=True,
    )
)


def _question(kind: str, text: str, right: str, others: list[str]) -> Question:
    return Question(kind, text, Answer(right, right), tuple(Answer(x, x) for x in others))


def _colour(scene: Scene, rng: random.Random) -> Question | None:
    found = named(scene, rng, hide="colour")
    if not found:
        return None
    others = [COLOUR_NAMES[c] for c in some_of(rng, list(COLOURS), found[1].colour)]
    text = f"图中的{SHAPE_NAMES[found[0]]}是什么颜色？"
    return _question("chinese", text, COLOUR_NAMES[found[1].colour], others)


def _shape(scene: Scene, rng: random.Random) -> Question | None:
    found = named(scene, rng, hide="shape")
    if not found:
        return None
    others = [SHAPE_NAMES[s] for s in some_of(rng, list(SHAPES), found[1].shape)]
    text = f"图中{COLOUR_NAMES[found[1].colour]}的是什么形状？"
    return _question("chinese", text, SHAPE_NAMES[found[1].shape], others)


def _count(scene: Scene, rng: random.Random) -> Question | None:
    shape = rng.choice(scene.things).shape
    number = sum(thing.shape == shape for thing in scene.things)
    others = some_of(rng, [str(n) for n in range(1, number + 4)], str(number))
    return _question("chinese", f"图中有几个{SHAPE_NAMES[shape]}？", str(number), others)


def _number(scene: Scene, rng: random.Random) -> Question | None:
    number = len(scene.things)
    others = some_of(rng, [str(n) for n in range(1, 9)], str(number))
    return _question("chinese", "图中一共有几个图形？", str(number), others)


def chinese(scene: Scene, rng: random.Random) -> Question | None:
    """Ask one of four kinds of question in Chinese."""
    return rng.choice((_colour, _shape, _count, _number))(scene, rng)
