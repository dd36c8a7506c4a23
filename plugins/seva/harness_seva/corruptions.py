"""Every image corruption of SeVa by name, with its strength written beside it.

A corruption is written ``name`` or ``name:key=value,key=value``; a range is ``low..high``, from
which each prompt's strength is drawn. ``a+b`` does one after the other; ``edit:NAME`` hands the
image to a callable of another package (entry point ``harness.edits``). All but
``noise`` change the decoded image before the processor sees it, with torchvision's v2 transforms,
as SeVa's published code did at an earlier commit (arXiv 2404.10501; research/papers.md 3.2). The
default strengths are the ones found there. Unlike there, each is drawn from a seed of its own.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness.errors import HarnessError, near_miss
from harness.plugins import find, load
from harness.records import seed_of
from harness_seva.noise import STEPS, Noise, Views

if TYPE_CHECKING:
    import PIL.Image

Value = float | tuple[float, float]
Values = Mapping[str, Value]
Transform = Callable[[Any], Any]
View = Noise | Views
EDIT = "edit:"

DEFAULTS: Mapping[str, Values] = {
    "noise": {"step": 500},
    "pad": {"pixels": 50},
    "center_crop": {"size": 128},
    "random_crop": {"size": 224},
    "resized_crop": {"size": 224, "scale": (0.36, 0.64)},
    "flip": {"p": 0.5},
    "perspective": {"distortion": 0.6, "p": 1},
    "rotation": {"degrees": (0, 180)},
    "affine": {"degrees": (30, 70), "translate": (0.1, 0.3), "scale": (0.5, 0.75)},
    "grayscale": {},
    "jitter": {"brightness": 0.4, "contrast": 0.4, "saturation": 0.4, "hue": 0.1},
    "invert": {"p": 0.5},
    "posterize": {"bits": 2, "p": 0.5},
    "solarize": {"threshold": 128, "p": 0.5},
    "equalize": {"p": 0.5},
    "sharpness": {"factor": 0, "p": 0.5},
    "autocontrast": {"p": 0.5},
    "blur": {"sigma": (0.1, 2)},
    "randaugment": {"ops": 2, "magnitude": 9},
    "autoaugment": {},
    "moco": {"size": 224, "scale": (0.2, 1), "strength": 0.4, "hue": 0.1, "blur": (0.1, 2)},
    "byol": {"size": 224, "scale": (0.08, 1), "strength": 0.4, "hue": 0.1, "blur": (0.1, 2)},
    "simclr": {"size": 224, "scale": (0.2, 1), "strength": 0.4, "hue": 0.4},
}
"""Names and strengths. ``p`` is a probability: below 1, some images stay as they are."""


_LARGEST = 336  # longest side of a picture; LLaVA-1.5 looks at so many pixels


@dataclass(frozen=True)
class Corruption:
    """One corruption with all of its strengths, in the order of :data:`DEFAULTS`."""

    name: str
    values: tuple[tuple[str, Value], ...]

    def __str__(self) -> str:
        """Name it with whatever differs from the default; noise always tells its step."""
        usual = DEFAULTS.get(self.name, {})
        told = [
            f"{key}={_shown(value)}"
            for key, value in self.values
            if self.name == "noise" or value != usual[key]
        ]
        return self.name + (":" + ",".join(told) if told else "")

    def apply(self, image: PIL.Image.Image, seed: int) -> tuple[PIL.Image.Image, View | None]:
        """Return what to show instead of ``image``: an image, and a view of its pixels or ``None``.

        Args:
            image: RGB, any size; it is not changed.
            seed: decides every random draw of this corruption, and nothing else does.
        """
        values = dict(self.values)
        if self.name == "noise":
            return image, Noise(_drawn(values["step"], seed), seed)
        if self.name.startswith(EDIT):
            edit = load("edits", self.name.removeprefix(EDIT))
            return _edited(self.name, edit(image.copy(), seed)), None
        import torch

        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            return _transform(self.name, values)(image).convert("RGB"), None

    def picture(self, image: PIL.Image.Image, seed: int) -> PIL.Image.Image:
        """Return what the model sees instead of ``image``, as far as a picture can show it."""
        return _picture(*self.apply(image, seed))


@dataclass(frozen=True)
class Chain:
    """Several corruptions, one after the other; noise comes last, whatever its place."""

    parts: tuple[Corruption, ...]

    @property
    def name(self) -> str:
        """The names of the parts."""
        return "+".join(part.name for part in self.parts)

    def __str__(self) -> str:
        """Name every part as it is named alone."""
        return "+".join(map(str, self.parts))

    def apply(self, image: PIL.Image.Image, seed: int) -> tuple[PIL.Image.Image, View | None]:
        """Do as :meth:`Corruption.apply`; each part draws from a seed of its own."""
        views: list[Noise] = []
        for place, part in enumerate(self.parts):
            image, view = part.apply(image, seed_of(seed, place))
            views += [view] if isinstance(view, Noise) else []
        return image, (views[0] if len(views) == 1 else Views(tuple(views)) if views else None)

    def picture(self, image: PIL.Image.Image, seed: int) -> PIL.Image.Image:
        """Do as :meth:`Corruption.picture`."""
        return _picture(*self.apply(image, seed))


def _picture(worse: PIL.Image.Image, view: View | None) -> PIL.Image.Image:
    if view is None:
        return worse
    small = worse.copy()
    small.thumbnail((_LARGEST, _LARGEST))
    return view.picture(small)


def _drawn(value: Value, seed: int) -> int:
    """Return a whole number of a range, drawn by seed, or the number itself."""
    low, high = value if isinstance(value, tuple) else (value, value)
    return int(low) + seed_of(seed, "strength") % (int(high) - int(low) + 1)


def _edited(name: str, image: Any) -> PIL.Image.Image:
    import PIL.Image

    if not isinstance(image, PIL.Image.Image):
        raise HarnessError(
            f"The {name} returned {type(image).__name__} instead of a PIL image. An edit takes "
            "(image, seed) and returns the edited image."
        )
    return image.convert("RGB")


def parse(text: str) -> Corruption | Chain:
    """Read ``name:key=value,...``, or several joined by ``+``.

    Raises:
        ValueError: for an unknown name or strength (naming the near miss) or no number.
    """
    parts = tuple(_one(part) for part in text.split("+"))
    return parts[0] if len(parts) == 1 else Chain(parts)


def edits_of(texts: Sequence[str]) -> tuple[str, ...]:
    """Return the edits that corruptions use, as a method's ``uses`` names them."""
    parts = (part.strip() for text in texts for part in text.split("+"))
    names = (part.removeprefix(EDIT) for part in parts if part.startswith(EDIT))
    return tuple(f"edits/{name}" for name in names)


def _one(text: str) -> Corruption:
    if text.strip().startswith(EDIT):
        find("edits", text.strip().removeprefix(EDIT))
        return Corruption(text.strip(), ())
    name, _, rest = text.strip().partition(":")
    if name not in DEFAULTS:
        raise ValueError(
            f"there is no corruption '{name}'.{near_miss(name, DEFAULTS)} "
            f"Known: {', '.join(DEFAULTS)}, edit:NAME"
        )
    values = dict(DEFAULTS[name])
    for part in filter(None, rest.split(",")):
        key, _, value = part.partition("=")
        if key not in values:
            raise ValueError(
                f"the corruption '{name}' has no strength '{key}'.{near_miss(key, values)} "
                f"It has: {', '.join(values) or 'none'}"
            )
        wide = isinstance(values[key], tuple) or name == "noise"
        values[key] = _parsed(name, key, value, wide)
        if name == "noise" and values[key][0] == values[key][1]:  # type: ignore[index]
            values[key] = values[key][0]  # type: ignore[index]
    if name == "noise":
        ends = values["step"] if isinstance(values["step"], tuple) else (values["step"],)
        if not all(0 <= end < STEPS for end in ends):
            raise ValueError(f"noise_step must lie in 0..{STEPS - 1}, not {_shown(values['step'])}")
    made = Corruption(name, tuple(values.items()))
    _check(made)
    return made


def show(image: PIL.Image.Image, text: str, seed: int) -> tuple[PIL.Image.Image, Noise | None]:
    """Show an image through a corruption: the view of a pair's answer (``harness.views``)."""
    return parse(text).apply(image, seed)


def _parsed(name: str, key: str, text: str, wide: bool) -> Value:
    try:
        numbers = [float(part) for part in text.split("..")]
    except ValueError:
        numbers = []
    fit = all(map(math.isfinite, numbers)) and len(numbers) in (1, 2)
    if not fit or (len(numbers) == 2 and not wide):
        form = "a number or a range low..high" if wide else "a number"
        raise ValueError(f"{name}:{key}={text} has no valid value; it takes {form}")
    return (numbers[0], numbers[-1]) if wide else numbers[0]


_STRONGEST = 4096
"""Of any strength, such as pixels of a border: beyond it memory is what it takes."""


def _check(corruption: Corruption) -> None:
    """Refuse strengths that torchvision would refuse later, in the middle of a run."""
    for key, value in corruption.values:
        low, high = value if isinstance(value, tuple) else (value, value)
        # Translation is a pair of limits (horizontal, vertical), not a range.
        wrong = low < 0 or (key != "translate" and low > high)
        wrong |= key in ("p", "distortion", "translate") and high > 1
        wrong |= key == "hue" and high > 0.5
        wrong |= key in ("size", "scale", "sigma", "blur", "bits") and low <= 0
        wrong |= high > _STRONGEST
        wrong |= key in ("bits", "magnitude") and high > (8 if key == "bits" else 30)
        if wrong:
            raise ValueError(f"{corruption.name}:{key}={_shown(value)} lies outside of its range")


def _transform(name: str, values: Values) -> Transform:
    """Build the torchvision v2 transform of a corruption."""
    from torchvision.transforms import v2

    def number(key: str) -> float:
        return _number(values[key])

    def whole(key: str) -> int:
        return int(number(key))

    def jitter() -> Transform:
        s = number("strength")
        made: Transform = v2.ColorJitter(s, s, s, number("hue"))
        return made

    def mix() -> Transform:
        steps: list[Transform] = [
            v2.RandomResizedCrop(whole("size"), scale=values["scale"], antialias=True),
            v2.RandomHorizontalFlip(0.5),
            jitter(),
            v2.RandomGrayscale(0.2),
        ]
        if "blur" in values:
            steps.append(_Blur(values["blur"]))
        made: Transform = v2.Compose(steps)
        return made

    makers: Mapping[str, Callable[[], Transform]] = {
        "pad": lambda: v2.Pad(whole("pixels")),
        "center_crop": lambda: v2.CenterCrop(whole("size")),
        "random_crop": lambda: v2.RandomCrop(whole("size"), pad_if_needed=True),
        "resized_crop": lambda: v2.RandomResizedCrop(
            whole("size"), scale=values["scale"], antialias=True
        ),
        "flip": lambda: v2.RandomHorizontalFlip(number("p")),
        "perspective": lambda: v2.RandomPerspective(number("distortion"), number("p")),
        "rotation": lambda: v2.RandomRotation(values["degrees"]),
        "affine": lambda: v2.RandomAffine(values["degrees"], values["translate"], values["scale"]),
        "grayscale": lambda: v2.Grayscale(3),
        "jitter": lambda: v2.ColorJitter(**{key: number(key) for key in values}),
        "invert": lambda: v2.RandomInvert(number("p")),
        "posterize": lambda: v2.RandomPosterize(whole("bits"), number("p")),
        "solarize": lambda: v2.RandomSolarize(number("threshold"), number("p")),
        "equalize": lambda: v2.RandomEqualize(number("p")),
        "sharpness": lambda: v2.RandomAdjustSharpness(number("factor"), number("p")),
        "autocontrast": lambda: v2.RandomAutocontrast(number("p")),
        "blur": lambda: _Blur(values["sigma"]),
        "randaugment": lambda: v2.RandAugment(whole("ops"), whole("magnitude")),
        "autoaugment": lambda: v2.AutoAugment(),
        "moco": mix,
        "byol": mix,
        "simclr": mix,
    }
    return makers[name]()


class _Blur:
    """Pillow's Gaussian blur with its radius drawn from a range; torchvision's has a fixed window.

    Drawn from torch's stream, like everything else here.
    """

    def __init__(self, sigma: Value) -> None:
        self.low, self.high = sigma if isinstance(sigma, tuple) else (sigma, sigma)

    def __call__(self, image: PIL.Image.Image) -> PIL.Image.Image:
        import torch
        from PIL import ImageFilter

        sigma = self.low + (self.high - self.low) * torch.rand(()).item()
        return image.filter(ImageFilter.GaussianBlur(sigma))


def _number(value: Value) -> float:
    assert not isinstance(value, tuple)
    return value


def _shown(value: Value) -> str:
    return "..".join(f"{part:g}" for part in (value if isinstance(value, tuple) else (value,)))
