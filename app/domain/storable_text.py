"""Text that both databases can store."""

import re

_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


def unstorable(text: str) -> bool:
    """Return whether `text` has NUL or a lone surrogate, which PostgreSQL refuses."""
    if text.isascii():
        return "\x00" in text
    return _UNSTORABLE.search(text) is not None


class StorableText:
    """A filter that makes a provider's text storable while it streams, independent of how it is split into deltas.

    NUL is dropped, surrogate halves that arrive apart are joined, and a lone half becomes U+FFFD.
    """

    def __init__(self) -> None:
        self._held = ""

    def feed(self, delta: str) -> str:
        """Return the text that can be sent and stored now; the first half of a surrogate pair waits for its second."""
        if not self._held and not unstorable(delta):
            return delta
        text = self._held + delta.replace("\x00", "")
        last = text[-1:]
        self._held = last if "\ud800" <= last <= "\udbff" else ""
        return _joined(text.removesuffix(self._held))

    def flush(self) -> str:
        """Return the rest at the end of the text: U+FFFD for half a surrogate pair, else nothing."""
        rest, self._held = _joined(self._held), ""
        return rest


def storable(text: str) -> str:
    """Make a whole text storable, see `StorableText`."""
    return _joined(text.replace("\x00", "")) if unstorable(text) else text


def _joined(text: str) -> str:
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
