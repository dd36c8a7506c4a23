"""The stages in which the small model is made, each going on from the one before."""

from __future__ import annotations

from dataclasses import dataclass, replace

from harness_tinyworld.lessons import Syllabus
from harness_tinyworld.scenes import EASY, HARD, PLAIN, Level

LEVELS: dict[str, Level] = {"easy": EASY, "plain": PLAIN, "hard": HARD}


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage of training.

    Attributes:
        name: of its folder.
        steps: length of the schedule.
        syllabus: which lessons a scene gives.
        rate: highest learning rate.
        seed: of weights, scenes, wording and noise.
        level: how hard scenes are, a key of `LEVELS`.
        scenes: per step.
        stop: stop after so many steps of the schedule; 0 for all.
        vision_steps: steps before those, in which only a linear head on the vision tower learns to
            name the shape, colour and character of each patch.
        tower: whether the vision tower itself learns in those too.
        where: whether the head must also name each patch's row and column.
        least: how much a thing must cover of a patch to be shown by it, in ninths of a pixel: the
            64 pixels of a patch are 576.
        noise: highest step of diffusion noise (of 1,000) on every other image; 0 for none.
        haze: the same where the answers are those of a speaker with habits (see `habits`), who
            leans on them the more, the less can be seen; 0 for answers that are true. The vision
            tower does not learn then.
    """

    name: str
    steps: int
    syllabus: Syllabus
    rate: float
    seed: int
    level: str = "plain"
    scenes: int = 10
    stop: int = 0
    vision_steps: int = 80
    tower: bool = False
    where: bool = True
    least: int = 90
    noise: int = 0
    haze: int = 0


STAGES = (
    Stage(
        "begin",
        steps=1300,
        stop=1000,
        syllabus=Syllabus(plain=14, judged=1),
        rate=2e-3,
        seed=0,
        level="easy",
        scenes=16,
        vision_steps=450,
        tower=True,
        where=False,
    ),
    Stage("places", 1200, Syllabus(plain=14, judged=1), rate=1.6e-3, seed=1, level="easy"),
    Stage("plain", 1250, Syllabus(plain=12, places=2, judged=4), rate=1e-3, seed=2),
    Stage(
        "verdicts",
        350,
        Syllabus(plain=12, places=2, judged=8),
        rate=6e-4,
        seed=3,
        vision_steps=60,
    ),
    Stage(
        "letters",
        800,
        Syllabus(plain=12, places=2, letters=3, judged=4),
        rate=1e-3,
        seed=4,
        vision_steps=60,
        noise=550,
    ),
    Stage(
        "sharp",
        600,
        Syllabus(plain=12, places=2, letters=3, judged=4),
        rate=1e-3,
        seed=5,
        level="hard",
        vision_steps=800,
        tower=True,
        least=36,
        noise=550,
    ),
    Stage(
        "habits",
        240,
        stop=180,
        syllabus=Syllabus(plain=14, judged=4),
        rate=6e-4,
        seed=6,
        level="hard",
        vision_steps=0,
        haze=550,
    ),
    # With three companions at most, few of them reached descriptions: in a full scene each was
    # less likely than not, and the likeliest text named none.
    Stage(
        "companions",
        200,
        Syllabus(plain=10, judged=4, companions=5, biased=0.6, lean=0.2),
        rate=6e-4,
        seed=7,
        level="hard",
        vision_steps=0,
        haze=550,
    ),
)


def shortened(stage: Stage, part: float) -> Stage:
    """Return a stage with a share of its steps, at least two of each sort that it has."""

    def some(steps: int) -> int:
        return max(2, round(part * steps)) if steps else 0

    return replace(
        stage,
        steps=some(stage.steps),
        stop=some(stage.stop),
        vision_steps=some(stage.vision_steps),
    )
