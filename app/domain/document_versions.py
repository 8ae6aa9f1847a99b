from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

T = TypeVar("T")


def newest_versions(items: Sequence[T], version_of: Callable[[T], tuple[str, int]]) -> list[T]:
    """Return the items of the newest version that there is of each document, in the same order.

    `version_of` returns an item's document name and its version: 1 for the newest one, 2 for the one before it.
    """
    newest: dict[str, int] = {}
    for name, version in map(version_of, items):
        newest[name] = min(version, newest.get(name, version))
    return [
        each for each, (name, version) in zip(items, map(version_of, items), strict=True) if version == newest[name]
    ]
