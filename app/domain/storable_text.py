"""Text that both databases can store."""

import re

_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


def unstorable(text: str) -> bool:
    """Whether `text` has NUL or a lone surrogate; PostgreSQL refuses both."""
    if text.isascii():
        return "\x00" in text
    return _UNSTORABLE.search(text) is not None


class StorableText:
    """Makes a provider's text storable while it streams, the same however it was split into deltas.

    NUL is dropped, surrogate halves that arrive apart are joined, and a lone half becomes U+FFFD.
    """

    def __init__(self) -> None:
        self._held = ""

    def feed(self, delta: str) -> str:
        """What can be sent and stored now; a first half is held back until its second can have come."""
        if not self._held and not unstorable(delta):
            return delta
        text = self._held + delta.replace("\x00", "")
        last = text[-1:]
        self._held = last if "\ud800" <= last <= "\udbff" else ""
        return _joined(text.removesuffix(self._held))

    def flush(self) -> str:
        """The rest at the end of the text: U+FFFD for a half whose other never came, else nothing."""
        rest, self._held = _joined(self._held), ""
        return rest


def storable(text: str) -> str:
    """A whole text made storable, the same way."""
    return _joined(text.replace("\x00", "")) if unstorable(text) else text


def _joined(text: str) -> str:
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
