"""The `Accept` header (RFC 9110, section 12.5.1)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.request import parse_http_list

MEDIA_RANGE = re.compile(r"\*/\*|[\w!#$%&'*+.^`|~-]+/[\w!#$%&'*+.^`|~-]+", re.ASCII)
WEIGHT = re.compile(r"q=(0(\.[0-9]*)?|1(\.0*)?)", re.IGNORECASE)


def prefers(accept: str, wanted: str, usual: str) -> bool:
    """Return whether a media type is preferred to the usual one: it is named, and weighs no less.

    A wildcard names nothing: a client that accepts anything gets the usual type.
    """
    if wanted not in accept.lower():
        return False
    given = dict(weights(accept))
    ranges = (usual, f"{usual.partition('/')[0]}/*", "*/*")  # the most specific that matches decides
    weight_of_usual = next((given[each] for each in ranges if each in given), 0.0)
    return given.get(wanted, 0.0) > 0 and given[wanted] >= weight_of_usual


def weights(accept: str) -> Iterator[tuple[str, float]]:
    """Parse each media range, in lower case, with its weight from 0 to 1; malformed elements are skipped."""
    for element in parse_http_list(accept):
        media_range, *parameters = (each.strip() for each in element.split(";"))
        given = [each for each in parameters if each.lower().startswith("q=")] or ["q=1"]
        weight = WEIGHT.fullmatch(given[0])
        if MEDIA_RANGE.fullmatch(media_range) and weight is not None and len(given) == 1:
            yield media_range.lower(), float(weight[1])
