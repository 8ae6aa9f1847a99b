"""Decoding of text files in any common encoding."""

from __future__ import annotations

import codecs
import re
from collections.abc import Mapping

from app.rag.extraction.blocks import leading_words, normalize_text
from app.rag.extraction.errors import TOO_MUCH_TEXT, ExtractionError
from app.rag.extraction.limits import Limits
from app.rag.extraction.wide_encodings import marked_encoding, unmarked_wide_encoding

DECLARATION = re.compile(
    rb"""<meta[^>]{0,200}?charset\s*=\s*["']?([\w:.-]{2,40})|encoding\s*=\s*["']([\w:.-]{2,40})""", re.IGNORECASE
)
DECLARATION_BYTES = 4096

DETECTED = (
    *("ascii", "utf-8", "cp1250", "cp1251", "cp1252", "cp1253", "cp1254", "cp1255", "cp1256", "cp1257", "cp1258"),
    *("iso-8859-1", "iso-8859-2", "iso-8859-5", "iso-8859-6", "iso-8859-7", "iso-8859-8", "iso-8859-9", "iso-8859-13"),
    *("iso-8859-15", "koi8-r", "koi8-u", "mac-roman", "mac-cyrillic", "cp437", "cp850", "cp866", "cp874"),
    *("gb18030", "big5", "shift_jis", "cp932", "euc-jp", "iso-2022-jp", "iso-2022-kr", "hz", "euc-kr", "cp949"),
)
"""Encodings that are detected: those that files are in. Rare ones make short texts ambiguous."""
SUPERSETS = {
    "ascii": "cp1252",
    "iso8859-1": "cp1252",
    "iso8859-9": "cp1254",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "big5": "big5hkscs",
    "shift_jis": "cp932",
    "euc_kr": "cp949",
    "tis-620": "cp874",
}
"""Encodings that have all characters of another, by the names of Python's codecs: programs use them under its name."""
LABELS = {
    "macintosh": "mac-roman",
    "x-mac-roman": "mac-roman",
    "x-mac-cyrillic": "mac-cyrillic",
    "x-sjis": "cp932",
    "windows-31j": "cp932",
    "windows-874": "cp874",
    "windows-949": "cp949",
    "ks_c_5601-1987": "cp949",
    "iso-8859-8-i": "iso-8859-8",
    "x-euc-jp": "euc-jp",
    "x-gbk": "gb18030",
    "x-x-big5": "big5hkscs",
}
"""Names of the WHATWG Encoding Standard that Python does not know."""
CHARACTER_SET = re.compile(
    r"iso-?8859|latin|windows-|cp-?\d|koi8|mac|gb|big5|euc|shift|sjis|ms_?kanji|iso-?2022|hz|tis|utf-?(?:16|32)",
    re.IGNORECASE,
)
"""Beginnings of the names of character sets; Python's codecs include others, such as `rot13` and `zip`."""

MULTI_BYTE = re.compile(rb"[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}")
VALID_TO_INVALID = 5
"""Characters per invalid sequence in a text that is UTF-8 with errors."""
SEVEN_BIT = re.compile(rb"\x1b[$(]|~\{[\x21-\x7e]{2}")
"""Escape sequences of ISO 2022 and HZ, which are texts of ASCII bytes."""
NOT_ASCII = re.compile(rb"[\x80-\xff\x1b]|~\{")
SAMPLE_BYTES = 60_000
SHORT_BYTES = 60
"""Of a sample in which an error shows that the detected encoding is wrong."""
HAN = re.compile("[\u4e00-\u9fff]")
EASTERN = ("cp1250", "iso8859-2", "cp1257", "iso8859-13")
EASTERN_CONFIDENCE, EASTERN_RATIO = 0.08, 1.5
CHINESE_RATIO = 0.4
"""Names in Chinese letters in a Korean text reach a fourth, Chinese words in an English text two fifths and more."""
OTHER_SCRIPT = re.compile(r"[^\x00-\u036f\u1e00-\u20ff]+")
FEW_MARKS = 3
"""Characters of a text outside of ASCII that are too few for statistics."""
MIXED_WORD = re.compile(r"[A-Za-z][^\x00-\u036f\u1e00-\u20ff]|[^\x00-\u036f\u1e00-\u20ff][a-z]")
"""A letter from A to Z next to a character that is not Latin."""
NOT_WESTERN = re.compile(
    r"[a-z][\xc0-\xd6\xd8-\xde\u0152\u0160\u0178\u017d\xa1-\xa8\xbc-\xbf]|[\xa2-\xa5\xa8\xac\xaf\xb4\xb8\u20ac][A-Za-z]"
    r"|[A-Za-z][\xa9\xab-\xaf\xb1-\xb8\xbb\u0192\u02c6\u02dc\u2020-\u2022\u2026\u2030\u201a\u201c-\u201e\u2122][A-Za-z]"
    r"|[A-Za-z]{3}\u2019[a-z]{3}|[\xa4\xa6\xa8\xac\xaf\xb8\xd0\xdd\xde\xf0\xfd\xfe\u0192\u02c6\u02dc]"
)
"""Marks of other encodings in what is read as Windows-1252: symbols in words, capitals after small letters."""


def decode_text(content: bytes, limits: Limits, *, charset: str = "", declared: bool = False) -> str:
    """Decode a file and normalise its characters.

    Encodings are tried in this order: the byte order mark's, UTF-8, UTF-16 and UTF-32 without a mark, `charset`, the
    one that the file declares in its first 4 KB (if `declared`), the detected one. Bytes that do not fit are replaced.

    Raises:
        ExtractionError: the text is longer than the limit.
    """
    text = decoded(content, charset, declared=declared)
    if len(text) > limits.characters:
        raise ExtractionError(TOO_MUCH_TEXT)
    return normalize_text(text)


def within_limit(content: bytes, limits: Limits, *, charset: str, declared: bool) -> bytes:
    """Return a file's text up to the limit of characters, as UTF-8 with a byte order mark; all of it if it is within.

    The arguments are those of `decode_text`.
    """
    if len(content) <= limits.characters:
        return content
    text = decoded(content, charset, declared=declared)
    if len(text) <= limits.characters:
        return content
    return leading_words(text, limits.characters).encode("utf-8-sig", "replace")


def decoded(content: bytes, charset: str, *, declared: bool) -> str:
    text = decoded_strictly(content, charset, declared=declared)
    return content.decode(detected_encoding(content), "replace") if text is None else text


def decoded_strictly(content: bytes, charset: str, *, declared: bool) -> str | None:
    """Decode a file by its mark, as Unicode, or as it is declared; None if it is in none of these encodings."""
    seven_bit = detected_encoding(content) if SEVEN_BIT.search(content) and content.isascii() else ""
    declaration = DECLARATION.search(content[:DECLARATION_BYTES]) if declared else None
    name = (declaration[1] or declaration[2]).decode("ascii") if declaration else ""
    named = [codec for each in (charset, name) if (codec := codec_of(each))]
    marked = marked_encoding(content)
    if marked is not None:
        return content.decode(marked, "replace")
    for encoding in filter(None, (seven_bit, unicode_encoding(content), *named)):
        try:
            return content.decode(encoding)
        except UnicodeDecodeError:
            continue
    return None


def unicode_encoding(content: bytes) -> str:
    """Return the encoding of a file that is UTF-8, or else UTF-16 or UTF-32; an empty string for others."""
    try:
        content.decode("utf-8")
    except UnicodeDecodeError:
        return unmarked_wide_encoding(content) or ""
    return ("utf-8" if b"\x00" not in content else unmarked_wide_encoding(content)) or "utf-8"


def codec_of(label: str) -> str:
    """Return the codec of an encoding's name, or that of its superset; an empty string if the name is unknown."""
    label = label.strip().strip("\"'").lower()
    label = LABELS.get(label, label)
    if not CHARACTER_SET.match(label):
        return ""
    try:
        name = codecs.lookup(label).name
    except LookupError:
        return ""
    return SUPERSETS.get(name, name)


def detected_encoding(content: bytes) -> str:
    """Return the encoding that a file is most probably in."""
    import chardet

    sample = sample_of(content)
    if is_utf8_with_errors(sample):
        return "utf-8"
    found = chardet.detect_all(sample, compat_names=False, include_encodings=DETECTED)
    confidences = {each["encoding"] or "": each["confidence"] for each in reversed(found)}
    if is_plainly_western(sample) and not is_eastern(confidences):
        return "cp1252"
    for name in reversed(confidences):
        encoding = SUPERSETS.get(codecs.lookup(name).name, name) if name else "cp1252"
        text = sample.decode(encoding, "replace")
        if encoding == "cp949" and HAN.search(text) and is_chinese(confidences):
            return "gb18030"
        if not mixes_scripts(text) and (len(sample) > SHORT_BYTES or "\ufffd" not in text):
            return encoding
    return "cp1252"


def is_eastern(confidences: Mapping[str, float]) -> bool:
    """Return whether a Latin encoding of Eastern Europe is far more probable than Windows-1252."""
    highest = max(confidences.values(), default=0.0)
    eastern = max((confidences.get(each, 0.0) for each in EASTERN), default=0.0)
    return eastern == highest >= max(EASTERN_CONFIDENCE, EASTERN_RATIO * confidences.get("cp1252", 0.0))


def is_chinese(confidences: Mapping[str, float]) -> bool:
    """Return whether what may be Korean with Chinese characters is as probably Chinese."""
    return confidences.get("gb18030", 0.0) >= CHINESE_RATIO * confidences.get("cp949", 0.0)


def sample_of(content: bytes) -> bytes:
    """Return the lines that are not ASCII, as far as they fit a sample; all encodings that are detected have lines."""
    lines: list[bytes] = []
    size = end = 0
    while size < SAMPLE_BYTES and (mark := NOT_ASCII.search(content, end)):
        start = max(content.rfind(b"\n", end, mark.start()) + 1, mark.start() - SAMPLE_BYTES // 4, end)
        end = content.find(b"\n", mark.end()) + 1 or len(content)
        end = min(end, start + SAMPLE_BYTES - size)
        lines.append(content[start:end])
        size += end - start
    return b"".join(lines)


def is_utf8_with_errors(sample: bytes) -> bool:
    """Return whether a sample of a file that is not UTF-8 has many characters of UTF-8 for each error."""
    errors = sample.decode("utf-8", "replace").count("\ufffd")
    valid = sum(1 for _ in MULTI_BYTE.finditer(sample))
    return valid > 0 and valid >= VALID_TO_INVALID * errors


def is_plainly_western(sample: bytes) -> bool:
    """Return whether a sample is a text of Western Europe with few letters that are not ASCII, or one repeatedly.

    For more the languages' statistics decide.
    """
    try:
        text = sample.decode("cp1252")
    except UnicodeDecodeError:
        return False
    letters = {each.lower() for each in set(text) if not each.isascii() and each.isalpha()}
    few = len(letters) <= 1 or sum(not each.isascii() for each in text) <= FEW_MARKS
    return not text.isascii() and few and NOT_WESTERN.search(text) is None


def mixes_scripts(text: str) -> bool:
    """Return whether most characters that are not Latin stand within Latin words, as in a text that is not in them."""
    others = sum(1 for _ in OTHER_SCRIPT.finditer(text))
    return others > 0 and sum(1 for _ in MIXED_WORD.finditer(text)) > others / 2
