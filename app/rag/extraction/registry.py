"""All formats in which documents are read, by media type."""

from __future__ import annotations

import importlib
from collections.abc import Mapping

from app.rag.extraction.format import Format
from app.rag.extraction.formats import csv, docx, encrypted_office, html, markdown, pdf, plain, pptx

READERS = (plain, markdown, html, csv, pdf, docx, pptx, encrypted_office)
"""A new format is added here; the HTTP interface lists media types in this order."""
FORMATS: Mapping[str, Format] = {each.FORMAT.media_type: each.FORMAT for each in READERS}


def libraries() -> list[str]:
    """Return the modules that the formats are read with, each once."""
    return list(dict.fromkeys(library for each in FORMATS.values() for library in each.libraries))


def preload() -> None:
    """Import the libraries, so that processes forked from this one share them."""
    for library in libraries():
        importlib.import_module(library)


def readable_media_types() -> list[str]:
    """Return the media type of each format that is read, and not only recognised."""
    return [each.media_type for each in FORMATS.values() if each.extensions]


def readable_extensions() -> list[str]:
    """Return the usual file name extension of each format, with its dot."""
    return [f".{each.extensions[0]}" for each in FORMATS.values() if each.extensions]
