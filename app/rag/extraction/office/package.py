"""An Office package: the parts of an archive and the relationships between them (ECMA-376, part 2)."""

from __future__ import annotations

import posixpath
import re
import zipfile
from functools import cached_property
from typing import Any, TypeAlias
from urllib.parse import unquote

from app.rag.extraction.errors import CORRUPT, ExtractionError
from app.rag.extraction.limits import Limits
from app.rag.extraction.zip_guard import open_checked

Element: TypeAlias = Any
"""An element of lxml's tree, which has no types."""

OFFICE = "http://schemas.openxmlformats.org"
RELATIONSHIP_ID = f"{{{OFFICE}/officeDocument/2006/relationships}}"
"""Namespace of attributes that name a relationship of their part."""
STRICT_NAMESPACE = re.compile(
    rb"""(\bxmlns(?::[\w.-]{1,64})?\s{0,9}=\s{0,9}["'])http://purl\.oclc\.org/ooxml/(\w{1,64})/(\w{1,64})(?=["'])"""
)
"""A declaration in a Strict document (ISO/IEC 29500-1) of a namespace that other documents name otherwise."""


class OfficePackage:
    """The parts of a document; relationships that lead to no part are as if they were not there."""

    def __init__(self, content: bytes, limits: Limits) -> None:
        self._archive = zipfile.ZipFile(open_checked(content, limits))
        self._names = {part_name(name): name for name in self._archive.namelist()}
        self._parts: dict[str, Part] = {}

    def main_part(self, usual_name: str) -> Part:
        """Return the part that holds the document itself, by the package's relationships or else by its usual name."""
        found = next(iter(Part(self, "").related("officeDocument")), None) or self.part(usual_name)
        if found is None:
            raise ExtractionError(CORRUPT)
        return found

    def part(self, name: str) -> Part | None:
        """Return a part, always the same object for a name; None if there is none."""
        name = part_name(name)
        if name not in self._names:
            return None
        return self._parts.setdefault(name, Part(self, name))

    def read(self, name: str) -> bytes:
        return self._archive.read(self._names[name])

    def title(self) -> str | None:
        """Return the title in the document's properties."""
        for part in Part(self, "").related("core-properties"):
            title: str | None = part.root.findtext("{http://purl.org/dc/elements/1.1/}title")
            return title
        return None


class Part:
    """A part of a package. Its XML is parsed when it is first used; an empty name stands for the package itself."""

    def __init__(self, package: OfficePackage, name: str) -> None:
        self._package = package
        self.name = name

    @cached_property
    def root(self) -> Element:
        """The root of its XML; raises lxml's errors."""
        from lxml import etree

        content = STRICT_NAMESPACE.sub(rb"\g<1>http://schemas.openxmlformats.org/\2/2006/\3", self._read())
        parser = etree.XMLParser(resolve_entities=False, no_network=True, remove_comments=True, remove_pis=True)
        return etree.fromstring(content, parser)

    def related(self, kind: str) -> list[Part]:
        """Return the parts that relationships of a kind lead to, in the package's order, each once."""
        return list({part.name: part for found, part in self._relationships.values() if found == kind}.values())

    def by_id(self, relationship_id: str | None) -> Part | None:
        """Return the part that a relationship leads to; None if there is none."""
        found = self._relationships.get(relationship_id or "")
        return None if found is None else found[1]

    @cached_property
    def _relationships(self) -> dict[str, tuple[str, Part]]:
        """The relationships within the package, by identifier: the last word of their type, and their part."""
        folder, file = posixpath.split(self.name)
        relations = self._package.part(f"{folder}/_rels/{file}.rels")
        found: dict[str, tuple[str, Part]] = {}
        for each in () if relations is None else relations.root:
            target = self._package.part(posixpath.join("/", folder, unquote(each.get("Target", ""))))
            if target is not None and each.get("TargetMode") != "External":
                found[each.get("Id", "")] = each.get("Type", "").rpartition("/")[2], target
        return found

    def _read(self) -> bytes:
        return self._package.read(self.name)


def part_name(name: str) -> str:
    """Return a part's name as it is compared: from the root of the package, in lower case."""
    return posixpath.normpath("/" + name.replace("\\", "/")).lower().lstrip("/")


def whole_number(value: str | None, default: int = 0) -> int:
    """Return an attribute's whole number, or the default where it has none."""
    return int(value) if value is not None and re.fullmatch(r"-?[0-9]{1,9}", value) else default


def is_on(element: Element | None, name: str) -> bool:
    """Return whether a switch, such as `<w:vanish/>`, is there and not turned off by its attribute."""
    return element is not None and element.get(name, "1") not in {"0", "false", "off"}
