import pytest

from app.rag.extraction.blocks import TextBlocks
from app.rag.extraction.limits import Limits
from app.rag.extraction.media_types import detect_media_type
from app.rag.pipeline import read_blocks
from tests.support.documents import DOCX, docx_of
from tests.support.office import paragraph, root, run, strict, word_package

W14 = "http://schemas.microsoft.com/office/word/2010/wordml"


def read(package: bytes) -> TextBlocks:
    assert detect_media_type(package[:65536], package[-65536:], "a") == DOCX
    return read_blocks(package, DOCX, Limits(), lambda done, total: None)


def text(body: str, **parts: tuple[str, bytes]) -> str:
    """Return the text of a document with a body and related parts: their kind and content by file name."""
    return read(word_package(body, {f"{name}.xml": part for name, part in parts.items()})).text


@pytest.mark.parametrize(
    "kind",
    [
        "vnd.ms-word.document.macroEnabled",
        "vnd.ms-word.template.macroEnabledTemplate",
        "vnd.openxmlformats-officedocument.wordprocessingml.template",
    ],
)
def test_word_kinds(kind):
    """Documents with macros and templates are read as others are, wherever their main part is."""
    package = word_package(paragraph("Hello"), main="office/main.xml", kind=f"application/{kind}.main+xml")
    assert read(package).text == "Hello"


def test_strict_word_document():
    """A Strict document gives the text, headings and lists of a Transitional one."""
    package = docx_of("# Rates", "They hold.", "- one", [["a", "b"]], title="Rates")
    assert read(strict(package)) == read(package)


def test_missing_parts():
    """Relationships that lead to no part, and styles and lists that are not there, lose no text."""
    missing = {
        "r1": ("theme", "theme/theme1.xml"),
        "r2": ("image", "media/image1.png"),
        "r3": ("footnotes", "footnotes.xml"),
        "r4": ("styles", "../../styles.xml"),
        "r5": ("header", "NULL"),
    }
    section = '<w:sectPr><w:headerReference w:type="default" r:id="r5"/></w:sectPr>'
    note = '<w:r><w:footnoteReference w:id="1"/></w:r>'
    item = paragraph("b", properties='<w:numPr><w:ilvl w:val="0"/><w:numId w:val="9"/></w:numPr>')
    assert read(word_package(paragraph("a", note, style="X") + item + section, missing=missing)).text == "a\n\nb"


def test_headers_and_footers():
    """Headers stand before the section that has them first, footers after it, each text once."""
    parts = {
        f"{name}.xml": (kind, root(tag, paragraph(words)))
        for name, kind, tag, words in [
            ("h1", "header", "w:hdr", "Contract 7"),
            ("h2", "header", "w:hdr", "Annex"),
            ("f1", "footer", "w:ftr", "Confidential"),
            ("f2", "footer", "w:ftr", "- 12 -"),
        ]
    }
    footers = '<w:footerReference r:id="f1"/><w:footerReference r:id="f2"/>'
    used = f'<w:sectPr><w:headerReference r:id="{{}}"/>{footers}</w:sectPr>'
    body = paragraph("One", properties=used.format("h1")) + paragraph("Two", properties=used.format("h1"))
    body += paragraph("Three") + used.format("h2")
    assert read(word_package(body, parts)).text == "Contract 7\n\nOne\n\nConfidential\n\nTwo\n\nAnnex\n\nThree"


def test_title_after_a_header():
    """The first heading is the title also where a header stands before it."""
    styles = root("w:styles", '<w:style w:styleId="T"><w:name w:val="Title"/></w:style>')
    header = root("w:hdr", paragraph("Contract 7"))
    section = '<w:sectPr><w:headerReference r:id="h"/></w:sectPr>'
    parts = {"s.xml": ("styles", styles), "h.xml": ("header", header)}
    found = read(word_package(paragraph("Lease", style="T") + section, parts))
    assert (found.title, found.text) == ("Lease", "Contract 7\n\nLease")


def test_notes_and_comments():
    """Footnotes and comments follow the paragraph that refers to them; endnotes and other comments the whole text."""
    footnotes = root("w:footnotes", f'<w:footnote w:id="1">{paragraph("Foot")}</w:footnote>')
    endnotes = root("w:endnotes", f'<w:endnote w:id="1">{paragraph("End")}</w:endnote>')
    remarks = (
        f'<w:comment w:id="5">{paragraph("Last")}</w:comment><w:comment w:id="4" w:author="Ada">{paragraph("Why?")}'
    )
    comments = root("w:comments", f"{remarks}</w:comment>")
    marks = '<w:r><w:footnoteReference w:id="1"/><w:endnoteReference w:id="1"/><w:commentReference w:id="4"/></w:r>'
    body = paragraph("One", marks) + paragraph("Two")
    found = text(body, f=("footnotes", footnotes), e=("endnotes", endnotes), c=("comments", comments))
    assert found == "One\n\nFoot\n\nAda: Why?\n\nTwo\n\nEnd\n\nLast"


def test_chain_of_footnotes():
    """Footnotes that refer to each other, which Word does not write, are read one after the other."""
    mark = '<w:r><w:footnoteReference w:id="{}"/></w:r>'.format
    notes = "".join(f'<w:footnote w:id="{n}">{paragraph(f"Note {n}", mark(n + 1))}</w:footnote>' for n in range(500))
    found = text(paragraph("Text", mark(0)), f=("footnotes", root("w:footnotes", notes)))
    assert found.split("\n\n") == ["Text", *(f"Note {n}" for n in range(500))]


def level(place: int, form: str, shape: str, more: str = "") -> str:
    start = "" if "w:start " in more else '<w:start w:val="1"/>'
    return f'<w:lvl w:ilvl="{place}">{start}<w:numFmt w:val="{form}"/><w:lvlText w:val="{shape}"/>{more}</w:lvl>'


def item(words: str, number: int, place: int = 0) -> str:
    return paragraph(words, properties=f'<w:numPr><w:ilvl w:val="{place}"/><w:numId w:val="{number}"/></w:numPr>')


def numbering(levels: str, *numbers: str) -> tuple[str, bytes]:
    """Return the lists 1, 2 … of one kind, each with these changes."""
    lists = "".join(
        f'<w:num w:numId="{place}"><w:abstractNumId w:val="0"/>{changes}</w:num>'
        for place, changes in enumerate(numbers, 1)
    )
    return "numbering", root("w:numbering", f'<w:abstractNum w:abstractNumId="0">{levels}</w:abstractNum>{lists}')


def test_list_numbers():
    """Items have the numbers that Word shows, counted over text between them and begun again below a new item."""
    levels = level(0, "decimal", "%1.") + level(1, "lowerLetter", "%2)") + level(2, "upperRoman", "%1.%2.%3")
    body = item("a", 1) + item("b", 1, 1) + item("c", 1, 1) + item("d", 1, 2) + paragraph("Text")
    body += item("e", 1) + item("f", 1, 1)
    assert text(body, n=numbering(levels, "")).split("\n") == [
        *("1. a", "  a) b", "  b) c", "    1.b.I d", "", "Text", "", "2. e", "  a) f")
    ]


def test_list_starts():
    """Lists begin where they say, go on where they are one, and a bullet is a dash."""
    levels = level(0, "decimal", "%1.", '<w:start w:val="3"/>') + level(1, "bullet", "\uf0b7")
    again = '<w:lvlOverride w:ilvl="0"><w:startOverride w:val="10"/></w:lvlOverride>'
    body = item("a", 1) + item("b", 1, 1) + item("c", 2) + item("d", 3) + item("e", 3)
    assert text(body, n=numbering(levels, "", "", again)) == "3. a\n  - b\n4. c\n10. d\n11. e"


def test_styles_of_lists():
    """A style for items marks them also if their list is missing; one for text below an item does not."""
    named = '<w:style w:styleId="{0}"><w:name w:val="List {0}"/></w:style>'
    styles = root("w:styles", named.format("Bullet") + named.format("Paragraph"))
    body = paragraph("a", style="Bullet") + paragraph("b", "<w:r><w:br/><w:t>c</w:t></w:r>", style="Paragraph")
    assert text(body, s=("styles", styles)) == "- a\nb\n  c"


def test_numbered_headings():
    """A heading has the number that its style gives it, with those of the levels above."""
    styles = "".join(
        f'<w:style w:styleId="H{n}"><w:name w:val="heading {n}"/><w:pPr><w:numPr><w:ilvl w:val="{n - 1}"/>'
        f'<w:numId w:val="1"/></w:numPr></w:pPr></w:style><w:style w:styleId="M{n}"><w:basedOn w:val="H{n}"/></w:style>'
        for n in (1, 2)
    )
    levels = level(0, "upperRoman", "%1") + level(1, "decimal", "%1.%2", "<w:isLgl/>")
    body = paragraph("Scope", style="H1") + paragraph("Terms", style="M2") + paragraph("Rent", style="H2")
    found = text(body, n=numbering(levels, ""), s=("styles", root("w:styles", styles)))
    assert found == "I Scope\n\n1.1 Terms\n\n1.2 Rent"


def test_line_breaks_and_characters():
    """Breaks, tabs, hyphens and symbols are those that a reader sees."""
    between = "<w:r><w:t>one</w:t><w:br/><w:t>two</w:t><w:cr/><w:t>three</w:t><w:tab/><w:t>four</w:t></w:r>"
    hyphens = "<w:r><w:t>x</w:t><w:noBreakHyphen/><w:t>ray ex</w:t><w:softHyphen/><w:t>am\xadple</w:t></w:r>"
    sign = '<w:r><w:sym w:font="{}" w:char="{}"/></w:r>'
    signs = sign.format("Wingdings", "F0FE") + sign.format("Symbol", "F061") + sign.format("Arial", "00E9")
    assert text(paragraph(between) + paragraph(hyphens) + paragraph(signs)) == (
        "one\ntwo\nthree\tfour\n\nx-ray example\n\n☑αé"
    )


def test_fields():
    """The results of fields are read, not their instructions, those of fields within them included."""
    mark = '<w:r><w:fldChar w:fldCharType="{}"/></w:r>'.format
    inner = (
        mark("begin") + "<w:r><w:instrText>MERGEFIELD</w:instrText></w:r>" + mark("separate") + run("no") + mark("end")
    )
    outer = (
        mark("begin") + "<w:r><w:instrText>IF</w:instrText></w:r>" + inner + mark("separate") + run("yes") + mark("end")
    )
    simple = f'<w:fldSimple w:instr="DATE">{run("12 May")}</w:fldSimple>'
    assert text(paragraph("a ", outer, " b ", simple)) == "a yes b 12 May"
    assert text(paragraph("a ", mark("begin"), "lost") + paragraph("b")) == "a\n\nb"


def test_forms():
    """Check boxes and choices of forms and of content controls have their state."""
    data = '<w:r><w:fldChar w:fldCharType="begin"><w:ffData>{}</w:ffData></w:fldChar></w:r>'.format
    end = '<w:r><w:fldChar w:fldCharType="end"/></w:r>'
    choice = '<w:ddList><w:result w:val="1"/><w:listEntry w:val="red"/><w:listEntry w:val="blue"/></w:ddList>'
    boxes = data('<w:checkBox><w:default w:val="0"/><w:checked/></w:checkBox>') + end
    boxes += data("<w:checkBox><w:default w:val='0'/></w:checkBox>") + end
    control = (
        f'<w:sdt><w:sdtPr><w14:checkbox xmlns:w14="{W14}"><w14:checked w14:val="1"/></w14:checkbox></w:sdtPr>'
        f"<w:sdtContent>{run('☒')}</w:sdtContent></w:sdt>"
    )
    assert text(paragraph(boxes, run(" "), data(choice), end, run(" "), control)) == "☒☐ blue ☒"


def test_text_boxes_and_changes():
    """A text box is read once, after its paragraph; deleted, moved and hidden text is left out."""
    box = f"<w:txbxContent>{paragraph('In the box')}</w:txbxContent>"
    both = f"<mc:Choice>{box}</mc:Choice><mc:Fallback>{box}</mc:Fallback>"
    both = f"<w:r><mc:AlternateContent>{both}</mc:AlternateContent></w:r>"
    changes = f"<w:ins>{run('new')}</w:ins><w:del><w:r><w:delText>old</w:delText></w:r></w:del>"
    moved = f"<w:moveFrom>{run('gone')}</w:moveFrom><w:moveTo>{run(' here')}</w:moveTo>"
    hidden = run("secret", "<w:rPr><w:vanish/></w:rPr>") + run(" seen", '<w:rPr><w:vanish w:val="0"/></w:rPr>')
    link = f'<w:hyperlink r:id="x">{run(" link")}</w:hyperlink>'
    assert text(paragraph(changes, moved, both, hidden, link)) == "new here seen link\n\nIn the box"


def cell(words: str, properties: str = "") -> str:
    return f"<w:tc><w:tcPr>{properties}</w:tcPr>{paragraph(words)}</w:tc>"


def test_merged_cells():
    """A cell over several rows stands in each, one over several columns keeps the others in their columns."""
    wide, first, on = '<w:gridSpan w:val="2"/>', '<w:vMerge w:val="restart"/>', "<w:vMerge/>"
    rows = [
        cell("Item") + cell("Rent", wide) + cell("Note"),
        cell("Flat", first) + cell("1") + cell("2") + cell("x"),
        cell("", on) + cell("3") + cell("4") + cell("y"),
    ]
    table = f"<w:tbl>{''.join(f'<w:tr>{row}</w:tr>' for row in rows)}</w:tbl>"
    assert text(table) == "Item | Rent |  | Note\nFlat | 1 | 2 | x\nFlat | 3 | 4 | y"


def test_table_rows_that_are_deleted():
    """Deleted rows are left out; a table within a cell has its cells between commas, its rows between semicolons."""
    inner = f"<w:tbl><w:tr>{cell('a')}{cell('b')}</w:tr><w:tr>{cell('c')}{cell('d')}</w:tr></w:tbl>"
    deleted = f"<w:tr><w:trPr><w:del/></w:trPr>{cell('no')}{cell('no')}</w:tr>"
    nested = f"<w:tc>{inner}{paragraph('')}</w:tc>"
    assert text(f"<w:tbl>{deleted}<w:tr>{cell('x')}{nested}</w:tr></w:tbl>") == "x | a, b; c, d"


@pytest.mark.parametrize(
    ("formula", "expected"),
    [
        ("<m:r><m:t>a+b</m:t></m:r>", "a+b"),
        ("<m:f><m:num><m:r><m:t>a+b</m:t></m:r></m:num><m:den><m:r><m:t>2</m:t></m:r></m:den></m:f>", "(a+b)/2"),
        ("<m:sSup><m:e><m:r><m:t>x</m:t></m:r></m:e><m:sup><m:r><m:t>2</m:t></m:r></m:sup></m:sSup>", "x^2"),
        ("<m:rad><m:deg/><m:e><m:r><m:t>y</m:t></m:r></m:e></m:rad>", "√(y)"),
        ("<m:d><m:dPr><m:begChr m:val='['/><m:endChr m:val=''/></m:dPr><m:e><m:r><m:t>z</m:t></m:r></m:e></m:d>", "[z"),
        (
            "<m:nary><m:naryPr><m:chr m:val='∑'/></m:naryPr><m:sub><m:r><m:t>i</m:t></m:r></m:sub>"
            "<m:sup><m:r><m:t>n</m:t></m:r></m:sup><m:e><m:r><m:t>k</m:t></m:r></m:e></m:nary>",
            "∑_i^n k",
        ),
    ],
)
def test_formulas(formula, expected):
    """A formula is a line of text in its place."""
    assert text(paragraph("It is ", f"<m:oMath>{formula}</m:oMath>", ".")) == f"It is {expected}."


def test_descriptions_of_pictures():
    """The description of a picture is read unless it is the name of a file."""
    picture = '<w:r><w:drawing><wp:inline><wp:docPr descr="{}"/></wp:inline></w:drawing></w:r>'.format
    body = paragraph("See", picture("A map of the port"), picture("my photo.png"), picture("logo"))
    assert text(body) == "See\n\nA map of the port"
