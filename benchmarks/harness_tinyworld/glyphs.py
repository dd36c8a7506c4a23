"""Bitmap letters and digits, 5 pixels wide and 7 high, so that no font is ever needed."""

from __future__ import annotations

import numpy as np

CHARACTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"

_ROWS = [
    "0E11111F111111",
    "1E11111E11111E",
    "0E11101010110E",
    "1E11111111111E",
    "1F10101E10101F",
    "1F10101E101010",
    "0E11101711110F",
    "1111111F111111",
    "0E04040404040E",
    "0702020202120C",
    "11121418141211",
    "1010101010101F",
    "111B1515111111",
    "11111915131111",
    "0E11111111110E",
    "1E11111E101010",
    "0E11111115120D",
    "1E11111E141211",
    "0F10100E01011E",
    "1F040404040404",
    "1111111111110E",
    "11111111110A04",
    "11111115151B11",
    "11110A040A1111",
    "11110A04040404",
    "1F01020408101F",
    "0E11131519110E",
    "040C040404040E",
    "0E11010204081F",
    "1F02040201110E",
    "02060A121F0202",
    "1F101E0101110E",
    "0608101E11110E",
    "1F010204080808",
    "0E11110E11110E",
    "0E11110F01020C",
]


def glyph(character: str) -> np.ndarray:
    """Return the bitmap of one character.

    Args:
        character: One of `CHARACTERS`.

    Returns:
        Boolean array of shape (7, 5); true where ink lies.
    """
    rows = bytes.fromhex(_ROWS[CHARACTERS.index(character)])
    return np.array([[row >> (4 - column) & 1 for column in range(5)] for row in rows], dtype=bool)
