from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

T = TypeVar("T")


def newest_versions(
    items: Sequence[T], version_of: Callable[[T], tuple[str, int]], counts: Callable[[T], bool] = lambda _: True
) -> list[T]:
    """Leave out the items of documents of which there are items of a newer version, and keep the order.

    Args:
        items: Such as passages.
        version_of: Returns an item's document name and its version: 1 for the newest one, 2 for the one before it.
        counts: Returns False for an item for which no older one is left out.
    """
    versions = [version_of(each) for each in items]
    newest: dict[str, int] = {}
    for each, (name, version) in zip(items, versions, strict=True):
        if counts(each):
            newest[name] = min(version, newest.get(name, version))
    return [each for each, (name, version) in zip(items, versions, strict=True) if version <= newest.get(name, version)]
