"""Names of uploaded files."""

from __future__ import annotations

import re
import unicodedata

MAX_NAME = 200
MAX_EXTENSION = 16
DEFAULT_NAME = "document"
INVISIBLE = {"Cc", "Cf", "Cs"}
"""Unicode categories of invisible characters and of those that change the direction of others."""


def display_name(given: str) -> str:
    """Return the name to show for a file: without folders, on one line, in at most 200 characters.

    It is never used as a path. A long name keeps its extension.
    """
    base = re.split(r"[/\\]", given)[-1]
    spaced = " ".join(unicodedata.normalize("NFC", base).split())
    name = "".join(each for each in spaced if unicodedata.category(each) not in INVISIBLE).strip()
    if not name.strip("."):
        return DEFAULT_NAME
    stem, dot, extension = name.rpartition(".")
    if not stem or len(extension) > MAX_EXTENSION:
        return name[:MAX_NAME]
    return stem[: MAX_NAME - 1 - len(extension)] + dot + extension
