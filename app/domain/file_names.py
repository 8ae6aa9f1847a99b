"""What files are called."""

from __future__ import annotations

import re
import unicodedata

MAX_NAME = 200
MAX_ENDING = 16
NAMELESS = "document"
UNSEEN = {"Cc", "Cf", "Cs"}
"""Unicode's categories of what cannot be seen, or turns the writing of what stands beside it."""


def display_name(given: str) -> str:
    """What a file is shown as: its own name, without folders, on one line and within 200 characters.

    It names nothing on any disk. A long name keeps its ending.
    """
    base = re.split(r"[/\\]", given)[-1]
    spaced = " ".join(unicodedata.normalize("NFC", base).split())
    name = "".join(each for each in spaced if unicodedata.category(each) not in UNSEEN).strip()
    if not name.strip("."):
        return NAMELESS
    stem, dot, ending = name.rpartition(".")
    if not stem or len(ending) > MAX_ENDING:
        return name[:MAX_NAME]
    return stem[: MAX_NAME - 1 - len(ending)] + dot + ending
