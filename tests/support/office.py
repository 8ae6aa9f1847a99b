"""Small packages of Word and PowerPoint, with parts that their libraries do not write."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Mapping, Sequence

from tests.support.documents import zip_with

OFFICE = "http://schemas.openxmlformats.org"
RELATION = f"{OFFICE}/officeDocument/2006/relationships"
NAMESPACES = " ".join(
    f'xmlns:{prefix}="{OFFICE}/{path}"'
    for prefix, path in {
        "w": "wordprocessingml/2006/main",
        "p": "presentationml/2006/main",
        "a": "drawingml/2006/main",
        "c": "drawingml/2006/chart",
        "dgm": "drawingml/2006/diagram",
        "wp": "drawingml/2006/wordprocessingDrawing",
        "m": "officeDocument/2006/math",
        "r": "officeDocument/2006/relationships",
        "mc": "markup-compatibility/2006",
    }.items()
)
WORD_TYPE = "application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml"
SLIDES_TYPE = "application/vnd.openxmlformats-officedocument.presentationml.presentation.main+xml"


def run(text: str, properties: str = "") -> str:
    return f'<w:r>{properties}<w:t xml:space="preserve">{text}</w:t></w:r>'


def paragraph(*runs: str, style: str = "", properties: str = "") -> str:
    """Return a paragraph of runs; one that is no element is text."""
    named = f'<w:pStyle w:val="{style}"/>' if style else ""
    return (
        f"<w:p><w:pPr>{named}{properties}</w:pPr>{''.join(each if '<' in each else run(each) for each in runs)}</w:p>"
    )


def relations(targets: Mapping[str, tuple[str, str]]) -> bytes:
    """Return the relationships to targets, each with its kind, by identifier."""
    found = "".join(
        f'<Relationship Id="{name}" Type="{RELATION}/{kind}" Target="{target}"/>'
        for name, (kind, target) in targets.items()
    )
    return f'<Relationships xmlns="{OFFICE}/package/2006/relationships">{found}</Relationships>'.encode()


def root(tag: str, content: str) -> bytes:
    return f"<{tag} {NAMESPACES}>{content}</{tag}>".encode()


def content_types(main: str, kind: str) -> bytes:
    types = f"{OFFICE}/package/2006/content-types"
    return f'<Types xmlns="{types}"><Override PartName="/{main}" ContentType="{kind}"/></Types>'.encode()


def word_package(
    body: str,
    parts: Mapping[str, tuple[str, bytes]] | None = None,
    *,
    missing: Mapping[str, tuple[str, str]] | None = None,
    main: str = "word/document.xml",
    kind: str = WORD_TYPE,
) -> bytes:
    """Return a Word document.

    Args:
        body: its paragraphs and tables.
        parts: related parts by file name, each with its kind and content; the name without `.xml` is its identifier.
        missing: further relationships, which lead nowhere, by identifier.
        main: the name of its main part.
        kind: the content type of that part.
    """
    folder, file = main.rsplit("/", 1)
    found = parts or {}
    targets = {name.partition(".")[0]: (each, name) for name, (each, _) in found.items()} | dict(missing or {})
    return zip_with(
        {
            "[Content_Types].xml": content_types(main, kind),
            "_rels/.rels": relations({"r1": ("officeDocument", main)}),
            main: root("w:document", f"<w:body>{body}</w:body>"),
            f"{folder}/_rels/{file}.rels": relations(targets),
            **{f"{folder}/{name}": content for name, (_, content) in found.items()},
        }
    )


def deck_package(
    slides: Sequence[str],
    parts: Mapping[str, bytes] | None = None,
    related: Mapping[str, Mapping[str, tuple[str, str]]] | None = None,
    *,
    kind: str = SLIDES_TYPE,
) -> bytes:
    """Return a presentation.

    Args:
        slides: the shapes of each slide.
        parts: further parts by name, or others in the place of the slides'.
        related: the relationships of parts by their name; of the package itself by an empty one.
        kind: the content type of its main part.
    """
    numbers = range(1, len(slides) + 1)
    main = "ppt/presentation.xml"
    targets = {f"s{number}": ("slide", f"slides/slide{number}.xml") for number in numbers}
    listed = "".join(f'<p:sldId id="{255 + number}" r:id="s{number}"/>' for number in numbers)
    known = {"": {"r1": ("officeDocument", main)}, main: targets, **(related or {})}
    known[main] = targets | dict(known[main])
    return zip_with(
        {
            "[Content_Types].xml": content_types(main, kind),
            main: root("p:presentation", f"<p:sldIdLst>{listed}</p:sldIdLst>"),
            **{f"ppt/slides/slide{number}.xml": slide(shapes) for number, shapes in zip(numbers, slides, strict=True)},
            **{re.sub(r"([^/]*)$", r"_rels/\1.rels", name, count=1): relations(each) for name, each in known.items()},
            **(parts or {}),
        }
    )


def slide(shapes: str, tag: str = "p:sld") -> bytes:
    return root(tag, f"<p:cSld><p:spTree>{shapes}</p:spTree></p:cSld>")


def shape(*paragraphs: str, placeholder: str = "") -> str:
    """Return a shape of paragraphs; one that is no element is text."""
    kind = f'<p:ph type="{placeholder}"/>' if placeholder else ""
    texts = "".join(each if "<" in each else f"<a:p><a:r><a:t>{each}</a:t></a:r></a:p>" for each in paragraphs)
    return f"<p:sp><p:nvSpPr><p:nvPr>{kind}</p:nvPr></p:nvSpPr><p:txBody>{texts}</p:txBody></p:sp>"


def strict(package: bytes) -> bytes:
    """Return a package with the namespaces of Strict documents (ISO/IEC 29500-1)."""
    pattern = re.compile(rb"http://schemas\.openxmlformats\.org/(?!package)(\w+)/2006/")
    with zipfile.ZipFile(io.BytesIO(package)) as old:
        parts = {name: old.read(name) for name in old.namelist()}
    return zip_with({name: pattern.sub(rb"http://purl.oclc.org/ooxml/\1/", each) for name, each in parts.items()})


def compound_file(*streams: str) -> bytes:
    """Return the header of a compound file ([MS-CFB]) and a directory that lists these streams."""
    entries = b"".join(name.encode("utf-16-le").ljust(128, b"\0") for name in ("Root Entry", *streams))
    return bytes.fromhex("d0cf11e0a1b11ae1").ljust(512, b"\0") + entries
