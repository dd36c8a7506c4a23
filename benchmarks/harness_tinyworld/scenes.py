"""Scenes: drawn at random from a seed, with everything that is true about them.

A scene is a few coloured shapes, later ones in front of earlier ones, and up to two written labels.
Kinds (a colour with a shape) come partly from themes, so that some go together more often than
others: that is what popular and adversarial questions, and a model's false memories, live on.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from math import hypot

import numpy as np

from harness_tinyworld.glyphs import CHARACTERS, glyph
from harness_tinyworld.vocabulary import COLOURS, PLACES, SHAPES, SIZES, THEMES, WORDS

SIDE = 80
CELL = 8
# First seed of each use of the world. The ranges are a billion long and never meet.
TRAIN, HELD_OUT, PROMPT, POPE, MMVET = (n * 1_000_000_000 for n in range(5))


@dataclass(frozen=True, slots=True)
class Level:
    """How hard scenes are to see.

    `counts` are the odds of two things, of three, ...; radii are in pixels; `tint` is how far a
    channel strays from its colour; `apart` is the least distance of two things, in radii.
    """

    counts: tuple[int, ...]
    small: tuple[float, float]
    large: tuple[float, float]
    tint: int
    apart: float


EASY = Level((2, 5, 6, 5, 3), (4.6, 6.2), (8.2, 11.0), 20, 0.78)  # where learning begins
PLAIN = Level((1, 3, 5, 5, 4, 2), (3.4, 4.8), (7.0, 10.0), 30, 0.66)  # where it ends
HARD = Level((1, 2, 4, 5, 5, 3), (2.8, 3.8), (5.0, 7.5), 44, 0.58)  # what is asked about later


@dataclass(frozen=True, slots=True)
class Thing:
    """One drawn shape; `x`, `y` (its centre) and `radius` are in pixels."""

    shape: str
    colour: str
    size: str
    x: float
    y: float
    radius: float
    tint: tuple[int, int, int]

    @property
    def kind(self) -> str:
        """Colour and shape, as one speaks of it: "red circle"."""
        return f"{self.colour} {self.shape}"

    @property
    def place(self) -> str:
        """Which of nine parts of the image its centre lies in."""
        return place_of(self.x, self.y)


@dataclass(frozen=True, slots=True)
class Label:
    """A written word or number; `column` and `row` count cells of 8 pixels, `nudge` pixels."""

    text: str
    column: int
    row: int
    nudge: tuple[int, int]

    @property
    def is_number(self) -> bool:
        """Whether digits are written."""
        return self.text.isdigit()

    @property
    def place(self) -> str:
        """Which of nine parts of the image its middle lies in."""
        return place_of((self.column + len(self.text) / 2) * CELL, (self.row + 0.5) * CELL)


@dataclass(frozen=True, slots=True)
class Scene:
    """Everything that is true about one image; `things` are in drawing order."""

    seed: int
    things: tuple[Thing, ...]
    labels: tuple[Label, ...]
    background: tuple[int, int, int]

    @property
    def kinds(self) -> frozenset[str]:
        """The kinds that are there."""
        return frozenset(thing.kind for thing in self.things)

    @property
    def words(self) -> tuple[str, ...]:
        """The written words."""
        return tuple(label.text for label in self.labels if not label.is_number)

    @property
    def numbers(self) -> tuple[int, ...]:
        """The written numbers, the upper one first."""
        return tuple(int(label.text) for label in self.labels if label.is_number)


def place_of(x: float, y: float) -> str:
    """Name the ninth of the image that a point in pixels lies in."""
    third = SIDE / 3
    return PLACES[min(int(y / third), 2)][min(int(x / third), 2)]


def random_kind(rng: random.Random) -> tuple[str, str]:
    """Draw a colour and a shape by how common they are."""
    colour = rng.choices(list(COLOURS), [value[0] for value in COLOURS.values()])[0]
    return colour, rng.choices(list(SHAPES), list(SHAPES.values()))[0]


def _kinds(rng: random.Random, level: Level) -> list[tuple[str, str]]:
    theme = [tuple(kind.split()) for kind in rng.choice(THEMES).split(", ")]
    kinds: list[tuple[str, str]] = []
    for _ in range(2 + rng.choices(range(len(level.counts)), level.counts)[0]):
        draw = rng.random()
        if kinds and draw < 0.14:
            kinds.append(rng.choice(kinds))
        elif kinds and draw < 0.26:
            kinds.append((random_kind(rng)[0], rng.choice(kinds)[1]))
        elif draw < 0.64:
            colour, shape = rng.choice(theme)
            kinds.append((colour, shape))
        else:
            kinds.append(random_kind(rng))
    return kinds


def _texts(rng: random.Random) -> list[str]:
    draw = rng.random()
    word = rng.choice(WORDS[rng.choice(list(WORDS))])
    if draw < 0.2:
        return []
    if draw < 0.55:
        return [word]
    if draw < 0.7:
        return [str(rng.randrange(1, 100))]
    if draw < 0.83:
        return [word, str(rng.randrange(1, 10))]
    return [str(rng.randrange(1, 10)), str(rng.randrange(1, 10))]


def _labels(rng: random.Random) -> tuple[Label, ...]:
    texts = _texts(rng)
    rows = sorted(rng.sample(range(SIDE // CELL), len(texts)))
    return tuple(
        Label(
            text,
            rng.randrange(SIDE // CELL - len(text) + 1),
            row,
            (rng.randrange(3), rng.randrange(2)),
        )
        for text, row in zip(texts, rows, strict=True)
    )


def _free(
    x: float, y: float, radius: float, things: list[Thing], labels: tuple[Label, ...], apart: float
) -> bool:
    for label in labels:
        left, top = label.column * CELL, label.row * CELL
        near_x = min(max(x, left), left + len(label.text) * CELL)
        near_y = min(max(y, top), top + CELL)
        if hypot(x - near_x, y - near_y) < radius * 0.95:
            return False
    return all(hypot(x - t.x, y - t.y) > apart * (radius + t.radius) for t in things)


def make_scene(seed: int, level: Level = HARD) -> Scene:
    """Draw the scene of a seed; the same seed gives the same scene on every machine."""
    rng = random.Random(f"tinyworld scene {seed}")
    labels = _labels(rng)
    things: list[Thing] = []
    for colour, shape in _kinds(rng, level):
        size = rng.choice(SIZES)
        tint = tuple(
            min(max(c + rng.randrange(-level.tint, level.tint + 1), 0), 255)
            for c in COLOURS[colour][1:]
        )
        for _ in range(60):
            radius = rng.uniform(*(level.small if size == "small" else level.large))
            x, y = (rng.uniform(radius + 1, SIDE - radius - 1) for _ in range(2))
            if _free(x, y, radius, things, labels, level.apart):
                things.append(Thing(shape, colour, size, x, y, radius, tint))
                break
    light = rng.randrange(176, 246)
    background = tuple(min(light + rng.randrange(-10, 11), 250) for _ in range(3))
    return Scene(seed, tuple(things), labels, background)


def _inside(shape: str, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Say which points of the square [-1, 1] belong to a shape (`v` points down)."""
    wide, high, round_ = np.abs(u), np.abs(v), u * u + v * v
    if shape == "circle":
        return round_ <= 0.92
    if shape == "ring":
        return (round_ <= 1.0) & (round_ >= 0.3)
    if shape == "square":
        return np.maximum(wide, high) <= 0.84
    if shape == "diamond":
        return 1.25 * wide + high <= 1.05
    if shape == "triangle":
        return (v <= 0.8) & (wide <= 0.54 * (v + 0.95))
    if shape == "cross":
        return np.minimum(wide, high) <= np.where(np.maximum(wide, high) <= 0.95, 0.32, -1.0)
    if shape == "hexagon":
        return (high <= 0.84) & (0.87 * wide + 0.5 * high <= 0.86)
    if shape == "moon":
        return (round_ <= 1.0) & ((u - 0.5) ** 2 + v * v >= 0.7)
    if shape == "heart":
        lobes = (wide - 0.46) ** 2 + (v + 0.36) ** 2 <= 0.27
        return lobes | ((v >= -0.3) & (wide <= 0.74 * (0.98 - v)))
    turn = np.pi / 5
    angle = np.abs((np.arctan2(u, -v) + turn) % (2 * turn) - turn)
    along, across = np.sqrt(round_) * np.cos(angle), np.sqrt(round_) * np.sin(angle)
    tip_x, tip_y = 0.42 * np.cos(turn) - 1.0, 0.42 * np.sin(turn)
    return tip_x * across - tip_y * (along - 1.0) >= 0.0


def coverage(thing: Thing) -> np.ndarray:
    """Return how much of each pixel a thing covers, in ninths: integers of shape (80, 80)."""
    reach = 1.1 * thing.radius
    left, top = (max(int(c - reach), 0) for c in (thing.x, thing.y))
    right, bottom = (min(int(c + reach) + 1, SIDE) for c in (thing.x, thing.y))
    u = ((np.arange(left * 3, right * 3) + 0.5) / 3.0 - thing.x) / thing.radius
    v = ((np.arange(top * 3, bottom * 3) + 0.5) / 3.0 - thing.y) / thing.radius
    inside = _inside(thing.shape, u[None, :], v[:, None])
    ninths = np.zeros((SIDE, SIDE), dtype=np.int64)
    ninths[top:bottom, left:right] = inside.reshape(bottom - top, 3, right - left, 3).sum((1, 3))
    return ninths


def _write(image: np.ndarray, label: Label) -> None:
    top, left = label.row * CELL, label.column * CELL
    image[top : top + CELL, left : left + CELL * len(label.text)] = 255
    for index, character in enumerate(label.text):
        y, x = top + label.nudge[1], left + index * CELL + label.nudge[0]
        image[y : y + 7, x : x + 5][glyph(character)] = 10


def render(scene: Scene) -> np.ndarray:
    """Paint a scene: RGB bytes of shape (80, 80, 3)."""
    image = np.empty((SIDE, SIDE, 3), dtype=np.int32)
    image[:] = scene.background
    for thing in scene.things:
        part = coverage(thing)[..., None]
        image = (image * (9 - part) + np.array(thing.tint) * part + 4) // 9
    for label in scene.labels:
        _write(image, label)
    return image.astype(np.uint8)


def patch_truth(scene: Scene, least: int = 90) -> np.ndarray:
    """Say what each 8-pixel patch shows, for pre-training the vision tower.

    Args:
        scene: What is there.
        least: How much of a patch a thing must cover to count, in ninths of a pixel: the 64 pixels
            of a patch are 576.

    Returns:
        Integers of shape (3, 100): shape, colour and written character; 0 means none.
    """
    grid = SIDE // CELL
    truth = np.zeros((3, grid, grid), dtype=np.int64)
    most = np.full((grid, grid), least)
    for thing in scene.things:
        covered = coverage(thing).reshape(grid, CELL, grid, CELL).sum((1, 3))
        wins = covered >= most
        truth[0][wins] = list(SHAPES).index(thing.shape) + 1
        truth[1][wins] = list(COLOURS).index(thing.colour) + 1
        most = np.where(wins, covered, most)
    for label in scene.labels:
        for index, character in enumerate(label.text):
            truth[2, label.row, label.column + index] = CHARACTERS.index(character) + 1
    return truth.reshape(3, -1)
