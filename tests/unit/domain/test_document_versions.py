from __future__ import annotations

from app.domain.document_versions import newest_versions


def test_newest_versions() -> None:
    """Of each name the items of the newest version are left, in their order, though it is not the very newest."""
    items = [("a", 2, 1), ("b", 3, 2), ("a", 1, 3), ("b", 2, 4), ("c", 1, 5), ("a", 1, 6), ("b", 2, 7)]
    assert [number for *_, number in newest_versions(items, lambda each: each[:2])] == [3, 4, 5, 6, 7]
    assert newest_versions([], lambda each: each) == []
