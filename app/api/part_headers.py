"""Headers of a form's part: their parameters, and the file name that those of its Content-Disposition give."""

from __future__ import annotations

import binascii
import encodings
import pkgutil
import quopri
import re
from collections.abc import Mapping
from encodings.aliases import aliases
from itertools import groupby
from urllib.parse import unquote_to_bytes

CHARSETS = {*aliases, *(each.name for each in pkgutil.iter_modules(encodings.__path__))} - {
    "idna",
    "punycode",
    "raw_unicode_escape",
    "unicode_escape",
}
"""Names of codecs, in Python's form, without those of other purposes; Python would remember each unknown name."""
CHARSET_NAME = re.compile(r"[\w:.+-]{2,40}", re.ASCII)
PARAMETER = re.compile(r';\s*([^\s=;"]+)\s*=\s*("(?:\\.|[^"\\])*"|[^;]*)', re.DOTALL)
ENCODED_WORD = re.compile(r"=\?([^?*\s]+)(?:\*[^?\s]*)?\?([BbQq])\?([^?]*)\?=")
"""Charset, encoding and text of a word (RFC 2047, section 2), with a language (RFC 2231, section 5)."""
ENCODED_WORDS = re.compile(rf"{ENCODED_WORD.pattern}(?:\s*{ENCODED_WORD.pattern})*")
ESCAPED_NON_ASCII = re.compile("%[89A-Fa-f][0-9A-Fa-f]")
ESCAPED_BY_BROWSERS = {"%22": '"', "%0D": "\r", "%0A": "\n"}
"""WHATWG HTML, "multipart/form-data encoding algorithm"; no other character is escaped."""


def header_parameters(raw: bytes | bytearray) -> dict[str, str]:
    """Parse the parameters of a header by their names in lower case; the first one of a name counts."""
    parameters: dict[str, str] = {}
    for name, value in PARAMETER.findall(decode_header(raw)):
        parameters.setdefault(name.lower(), unquoted(value.strip()))
    return parameters


def decode_header(raw: bytes | bytearray) -> str:
    """Decode a header as UTF-8, or as Windows-1252 if it is not valid."""
    return decode(raw, "utf-8") or decode(raw, "cp1252") or raw.decode("latin-1")


def unquoted(value: str) -> str:
    """Remove quotes and the backslashes before quotes and backslashes; others belong to the paths of a browser."""
    if not value.startswith('"'):
        return value
    return re.sub(r'\\(["\\])', r"\1", value[1:].removesuffix('"'))


def file_name(parameters: Mapping[str, str]) -> str:
    """Return the file name of a part: `filename*` before `filename`; empty if there is neither.

    A `filename*` that cannot be decoded counts only if it is alone.
    """
    plain = parameters.get("filename")
    for charset, content in (extended_value(parameters.get("filename*")), continued_value(parameters)):
        if not content:
            continue
        decoded = decode(content, charset) or decode(content, "utf-8")
        if decoded is not None:
            return decoded
        if plain is None:
            return content.decode(errors="replace")
    return decode_plain(plain or "")


def extended_value(value: str | None) -> tuple[str, bytes]:
    """Parse charset and bytes of an extended parameter (RFC 8187, section 3.2); without a charset it is UTF-8."""
    parts = (value or "").split("'", 2)
    return (parts[0] or "utf-8") if len(parts) == 3 else "utf-8", unquote_to_bytes(parts[-1])


def continued_value(parameters: Mapping[str, str]) -> tuple[str, bytes]:
    """Join charset and bytes of the sections `filename*0`, `filename*1*` and so on (RFC 2231, sections 3 and 4.1)."""
    charset, content = extended_value(parameters.get("filename*0*"))
    content += parameters.get("filename*0", "").encode()
    section = 1
    while content:
        name = f"filename*{section}"
        if (encoded := parameters.get(f"{name}*")) is not None:
            content += unquote_to_bytes(encoded)
        elif (plain := parameters.get(name)) is not None:
            content += plain.encode()
        else:
            break
        section += 1
    return charset, content


def decode_plain(name: str) -> str:
    """Decode what clients put into `filename`: words of RFC 2047, a percent-encoded name, or browsers' escapes.

    A percent sign stands for itself elsewhere: browsers send "50%20off.txt" as it is.
    """
    if ENCODED_WORD.search(name):
        return ENCODED_WORDS.sub(lambda found: decode_words(found[0]), name)
    if name.isascii() and ESCAPED_NON_ASCII.search(name) and (decoded := decode(unquote_to_bytes(name), "utf-8")):
        return decoded
    return re.sub("%22|%0D|%0A", lambda found: ESCAPED_BY_BROWSERS[found[0].upper()], name, flags=re.IGNORECASE)


def decode_words(words: str) -> str:
    """Decode encoded words that follow each other; one that is malformed stays as it is.

    A character may be divided between two words of one charset, although RFC 2047 forbids it.
    """
    parts: list[str] = []
    for charset, group in groupby(ENCODED_WORD.finditer(words), lambda word: word[1].lower()):
        found = list(group)
        contents = [word_bytes(word[2], word[3]) for word in found]
        joined = None if None in contents else decode(b"".join(each or b"" for each in contents), charset)
        if joined is not None:
            parts.append(joined)
            continue
        for word, content in zip(found, contents, strict=True):
            decoded = None if content is None else decode(content, charset)
            parts.append(word[0] if decoded is None else decoded)
    return "".join(parts)


def word_bytes(encoding: str, text: str) -> bytes | None:
    """Decode the text of an encoded word; None if it is malformed."""
    if not text.isascii():
        return None
    if encoding in "Bb":
        try:
            bare = text.rstrip("=")
            return binascii.a2b_base64(bare + "=" * (-len(bare) % 4), strict_mode=True)
        except binascii.Error:
            return None
    if re.search("=(?![0-9A-Fa-f]{2})", text):
        return None
    return quopri.decodestring(text.encode(), header=True)


def declared_charset(parameters: Mapping[str, str]) -> str | None:
    """Return the charset of a Content-Type; None if there is none, or it is no name of one."""
    charset = parameters.get("charset", "")
    return charset if CHARSET_NAME.fullmatch(charset) else None


def decode(content: bytes | bytearray, charset: str) -> str | None:
    """Decode bytes; None if they are not valid in a charset, or it is unknown."""
    if re.sub("[^a-z0-9.]+", "_", charset.lower()) not in CHARSETS:
        return None
    try:
        return content.decode(charset)
    except (LookupError, ValueError):
        return None
