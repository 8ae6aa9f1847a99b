"""Office documents with a password: a compound file ([MS-CFB]) that holds the encrypted document ([MS-OFFCRYPTO])."""

from __future__ import annotations

from typing import NoReturn

from app.rag.extraction.errors import ENCRYPTED, ExtractionError
from app.rag.extraction.format import Format, ReadOptions, ReportProgress
from app.rag.extraction.limits import Limits

COMPOUND_FILE = bytes.fromhex("d0cf11e0a1b11ae1")
ENCRYPTED_STREAM = "EncryptedPackage".encode("utf-16-le")


def is_encrypted(head: bytes, tail: bytes) -> bool:
    """Return whether a compound file lists an encrypted document; those of old Word, Excel and PowerPoint do not."""
    return head.startswith(COMPOUND_FILE) and (ENCRYPTED_STREAM in head or ENCRYPTED_STREAM in tail)


def refuse(_content: bytes, _limits: Limits, _report: ReportProgress, _options: ReadOptions) -> NoReturn:
    raise ExtractionError(ENCRYPTED)


FORMAT = Format("application/encrypted", (), refuse, signature=is_encrypted)
