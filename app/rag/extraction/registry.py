"""All formats in which documents are read, by media type."""

from __future__ import annotations

import importlib
from collections.abc import Mapping

from app.rag.extraction.format import BASE_EXTRA, Format
from app.rag.extraction.formats import csv, docx, html, markdown, pdf, plain, pptx

FORMATS: Mapping[str, Format] = {
    each.media_type: each
    for each in (plain.FORMAT, markdown.FORMAT, html.FORMAT, csv.FORMAT, pdf.FORMAT, docx.FORMAT, pptx.FORMAT)
}
"""A new format is added here; the HTTP interface lists media types in this order."""


def base_libraries() -> list[str]:
    """Return the modules that formats of `BASE_EXTRA` are read with."""
    return [library for each in FORMATS.values() if each.extra == BASE_EXTRA for library in each.libraries]


def preload() -> None:
    """Import the libraries of `BASE_EXTRA`, so that processes forked from this one share them."""
    for library in base_libraries():
        importlib.import_module(library)


def readable_extensions() -> list[str]:
    """Return the usual file name extension of each available format, with its dot."""
    return [f".{each.extensions[0]}" for each in FORMATS.values() if each.available]
