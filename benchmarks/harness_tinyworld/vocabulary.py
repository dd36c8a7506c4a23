"""The nouns, colours and written words of the small world, and how English joins them."""

from __future__ import annotations

from collections.abc import Sequence

SHAPES = {  # name: how often it is drawn, relative to the others
    "circle": 5,
    "square": 5,
    "triangle": 4,
    "star": 4,
    "diamond": 3,
    "cross": 3,
    "heart": 2,
    "ring": 3,
    "moon": 2,
    "hexagon": 2,
}
COLOURS = {  # name: (relative frequency, red, green, blue)
    "red": (5, 212, 44, 40),
    "blue": (5, 48, 88, 212),
    "green": (4, 52, 158, 66),
    "yellow": (4, 240, 212, 48),
    "orange": (3, 238, 136, 30),
    "purple": (3, 128, 58, 170),
    "pink": (2, 240, 138, 182),
    "brown": (2, 126, 80, 44),
    "gray": (2, 128, 128, 134),
    "black": (2, 34, 34, 36),
}
SIDES = {"triangle": 3, "square": 4, "diamond": 4, "hexagon": 6}
SIZES = ("small", "large")
WORDS = {
    "animal": [
        "CAT",
        "DOG",
        "COW",
        "FOX",
        "OWL",
        "BEE",
        "ANT",
        "PIG",
        "HEN",
        "RAT",
        "LION",
        "BEAR",
        "WOLF",
        "DEER",
        "FROG",
    ],
    "food": ["EGG", "PIE", "JAM", "FIG", "RICE", "CORN", "SOUP", "CAKE", "BREAD", "APPLE", "LEMON"],
    "vehicle": ["BUS", "CAR", "VAN", "SHIP", "TRAIN", "BIKE", "TAXI", "BOAT"],
    "tool": ["SAW", "AXE", "PEN", "DRILL", "KNIFE", "BRUSH", "SPOON"],
    "garment": ["HAT", "COAT", "SHOE", "SOCK", "SHIRT", "GLOVE", "SCARF", "BOOT"],
    "plant": ["OAK", "ROSE", "TULIP", "FERN", "MOSS", "PALM", "PINE", "GRASS"],
    "instrument": ["DRUM", "FLUTE", "HARP", "PIANO", "CELLO", "HORN"],
    "place": ["BANK", "SHOP", "PARK", "HOTEL", "FARM", "CAFE", "ZOO"],
}
THEMES = (  # kinds that are often drawn together: where habits of speech come from
    "yellow star, gray moon, black square, blue circle",
    "red heart, pink circle, red ring, pink star",
    "green triangle, brown square, yellow circle, green hexagon",
    "blue ring, black ring, yellow ring, red cross",
    "orange circle, brown diamond, orange hexagon, black moon",
    "purple diamond, blue diamond, pink heart, purple star",
    "red square, blue square, yellow square, green cross",
    "gray hexagon, black cross, gray square, orange triangle",
    "blue triangle, red triangle, purple circle, green circle",
    "red star, blue star, green ring, purple moon",
)
PLACES = (
    ("top left", "top", "top right"),
    ("left", "center", "right"),
    ("bottom left", "bottom", "bottom right"),
)
NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


def category_of(word: str) -> str:
    """Return the kind of thing that a written word names."""
    return next(kind for kind, words in WORDS.items() if word in words)


def plural(shape: str) -> str:
    """Return the plural of a shape's name."""
    return shape + ("es" if shape.endswith("s") else "s")


def a(noun: str) -> str:
    """Put the indefinite article before a noun phrase."""
    return ("an " if noun[0] in "aeiou" else "a ") + noun


def at(place: str) -> str:
    """Turn a place into an adverbial: "at the top left", "in the center"."""
    return {"center": "in", "left": "on", "right": "on"}.get(place, "at") + f" the {place}"


def listing(parts: Sequence[str]) -> str:
    """Join noun phrases with commas and a final "and"."""
    return parts[0] if len(parts) == 1 else ", ".join(parts[:-1]) + " and " + parts[-1]


def counted(count: int, noun: str) -> str:
    """Say how many of a thing there are: "a star", "two stars"."""
    if count == 1:
        return a(noun)
    head, _, last = noun.rpartition(" ")
    return f"{NUMBERS[count]} {head + ' ' if head else ''}{plural(last)}"


def capital(text: str) -> str:
    """Make the first letter a capital and leave the rest alone."""
    return text[:1].upper() + text[1:]
