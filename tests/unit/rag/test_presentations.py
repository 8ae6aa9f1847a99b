import pytest

from app.rag.extraction.blocks import TextBlocks
from app.rag.extraction.limits import Limits
from app.rag.extraction.media_types import detect_media_type
from app.rag.pipeline import read_blocks
from tests.support.documents import PPTX
from tests.support.office import SLIDES_TYPE, deck_package, root, shape, slide, strict

MAIN = "ppt/presentation.xml"
SLIDE = "ppt/slides/slide1.xml"
P188 = 'xmlns:p188="http://schemas.microsoft.com/office/powerpoint/2018/8/main"'


def read(package: bytes) -> TextBlocks:
    assert detect_media_type(package[:65536], package[-65536:], "a") == PPTX
    return read_blocks(package, PPTX, Limits(), lambda done, total: None)


def pages(package: bytes) -> list[tuple[int | None, str]]:
    """Return the page and the text of each block."""
    found = read(package)
    return [(block.page, found.text[block.start : block.end]) for block in found.blocks]


@pytest.mark.parametrize(
    "kind",
    [
        "vnd.openxmlformats-officedocument.presentationml.slideshow",
        "vnd.openxmlformats-officedocument.presentationml.template",
        "vnd.ms-powerpoint.presentation.macroEnabled",
        "vnd.ms-powerpoint.slideshow.macroEnabled",
        "vnd.ms-powerpoint.template.macroEnabled",
    ],
)
def test_presentation_kinds(kind):
    """Slide shows, templates and presentations with macros are read as others are."""
    package = deck_package([shape("Plans", placeholder="title")], kind=f"application/{kind}.main+xml")
    assert pages(package) == [(1, "Plans")]


def test_strict_presentation():
    """A Strict presentation gives the text of a Transitional one."""
    package = deck_package([shape("Plans", placeholder="ctrTitle") + shape("One", "Two")])
    assert read(strict(package)) == read(package)
    assert pages(package) == [(1, "Plans"), (1, "One\nTwo")]


@pytest.mark.parametrize(
    ("given", "title"), [("Présentation PowerPoint", "Plans"), ("Budget", "Budget"), ("", "Plans")]
)
def test_title(given, title):
    """The title is that of the properties, or the first slide's if PowerPoint has made one up."""
    namespace = 'xmlns:dc="http://purl.org/dc/elements/1.1/"'
    core = f"<coreProperties {namespace}><dc:title>{given}</dc:title></coreProperties>".encode()
    package = deck_package(
        [shape("Plans", placeholder="title")],
        {"docProps/core.xml": core},
        {"": {"r1": ("officeDocument", MAIN), "r2": ("metadata/core-properties", "docProps/core.xml")}},
    )
    assert read(package).title == title


def test_slides_in_order():
    """Slides come in the order of the presentation, hidden ones included; a missing one has a number and no text."""
    listed = "".join(f'<p:sldId r:id="{name}"/>' for name in ("s2", "gone", "s1"))
    parts = {MAIN: root("p:presentation", f"<p:sldIdLst>{listed}</p:sldIdLst>")}
    package = deck_package([shape("First"), shape("Second")], parts, {MAIN: {"gone": ("slide", "slides/slide9.xml")}})
    assert pages(package) == [(1, "Second"), (3, "First")]
    assert (read(package).page_count, read(package).textless_pages) == (3, [2])


def test_notes_and_comments():
    """Notes and comments stand on their slide's page; a missing part of notes is as none."""
    notes = slide(shape("Say this.") + shape("1", placeholder="sldNum") + shape("HQ", placeholder="ftr"), "p:notes")
    old = root("p:cmLst", '<p:cm authorId="0"><p:text>Why?</p:text></p:cm>')
    body = "<a:p><a:r><a:t>{}</a:t></a:r></a:p>"
    reply = f'<p188:reply authorId="{{B}}"><p188:txBody>{body.format("Because.")}</p188:txBody></p188:reply>'
    new = f'<p188:cm {P188} authorId="{{A}}"><p188:replyLst>{reply}</p188:replyLst>'
    new += f"<p188:txBody>{body.format('Is it so?')}</p188:txBody></p188:cm>"
    parts = {
        "ppt/notesSlides/n1.xml": notes,
        "ppt/comments/c1.xml": old,
        "ppt/comments/c2.xml": root("p:cmLst", new),
        "ppt/commentAuthors.xml": root("p:cmAuthorLst", '<p:cmAuthor id="0" name="Ada"/>'),
        "ppt/authors.xml": root("p:authorLst", '<p:author id="{A}" name="Grace"/><p:author id="{B}" name="Alan"/>'),
    }
    related = {
        MAIN: {"a1": ("commentAuthors", "commentAuthors.xml"), "a2": ("authors", "authors.xml")},
        SLIDE: {"n": ("notesSlide", "../notesSlides/n1.xml"), "c": ("comments", "../comments/c1.xml")},
        "ppt/slides/slide2.xml": {"n": ("notesSlide", "NULL"), "c": ("comments", "../comments/c2.xml")},
    }
    assert pages(deck_package([shape("One"), shape("Two")], parts, related)) == [
        (1, "One"),
        (1, "Say this."),
        (1, "HQ"),
        (1, "Ada: Why?"),
        (2, "Two"),
        (2, "Grace: Is it so?"),
        (2, "Alan: Because."),
    ]


def test_footers_stand_once():
    """Footers, dates and a layout's own text stand on the first slide that has them; slide numbers are not text."""
    running = shape("HQ", placeholder="ftr") + shape("May 2023", placeholder="dt") + shape("7", placeholder="sldNum")
    layout = slide(shape("Click to edit", placeholder="body") + shape("Confidential"), "p:sldLayout")
    related = {f"ppt/slides/slide{n}.xml": {"l": ("slideLayout", "../slideLayouts/l.xml")} for n in (1, 2)}
    field = '<a:p><a:r><a:t>Slide </a:t></a:r><a:fld type="slidenum"><a:t>2</a:t></a:fld></a:p>'
    slides = [shape("One") + running, shape(field) + running]
    assert pages(deck_package(slides, {"ppt/slideLayouts/l.xml": layout}, related)) == [
        *((1, text) for text in ("One", "HQ", "May 2023", "Confidential")),
        (2, "Slide"),
    ]


def numbered(text: str, scheme: str, level: int = 0, start: str = "") -> str:
    started = f' startAt="{start}"' if start else ""
    bullet = f'<a:pPr lvl="{level}"><a:buAutoNum type="{scheme}"{started}/></a:pPr>'
    return f"<a:p>{bullet}<a:r><a:t>{text}</a:t></a:r></a:p>"


def test_list_numbers():
    """Numbers of items are counted by level, and begin again after other text."""
    items = [
        numbered("a", "arabicPeriod", start="3"),
        numbered("b", "alphaLcParenR", 1),
        numbered("c", "alphaLcParenR", 1),
        numbered("d", "arabicPeriod"),
        "Text",
        numbered("e", "romanUcParenBoth"),
    ]
    assert read(deck_package([shape(*items)])).text == "3. a\n  a) b\n  b) c\n4. d\nText\n(I) e"


def test_line_breaks_and_symbols():
    """A break within a paragraph is one; a symbol is read, while its font does not change other text."""
    arrow = '<a:r><a:rPr><a:sym typeface="Wingdings"/></a:rPr><a:t>{}</a:t></a:r>'
    broken = f"<a:p><a:r><a:t>One</a:t></a:r><a:br/><a:r><a:t>two </a:t></a:r>{arrow.format('à')}</a:p>"
    assert read(deck_package([shape(broken, f"<a:p>{arrow.format('done à fond')}</a:p>")])).text == (
        "One\n  two →\ndone à fond"
    )
    title = shape(broken, placeholder="title")
    assert read(deck_package([title])).title == "One two →"


def test_groups_and_tables():
    """Shapes of groups are read in order; merged cells of tables stand as in Word."""
    cells = "<a:tr><a:tc rowSpan='2'>{}</a:tc><a:tc gridSpan='2'>{}</a:tc><a:tc hMerge='1'>{}</a:tc></a:tr>"
    below = "<a:tr><a:tc vMerge='1'>{}</a:tc><a:tc>{}</a:tc><a:tc>{}</a:tc></a:tr>"
    body = "<a:txBody><a:p><a:r><a:t>{}</a:t></a:r></a:p></a:txBody>".format
    rows = cells.format(*map(body, ("Flat", "Rent", ""))) + below.format(*map(body, ("", "1", "2")))
    table = (
        f"<p:graphicFrame><a:graphic><a:graphicData><a:tbl>{rows}</a:tbl></a:graphicData></a:graphic></p:graphicFrame>"
    )
    group = f"<p:grpSp>{shape('One')}<p:grpSp>{shape('Two')}</p:grpSp></p:grpSp>"
    assert pages(deck_package([group + table])) == [(1, "One\nTwo"), (1, "Flat | Rent\nFlat | 1 | 2")]


def cached(tag: str, *values: str, form: str = "") -> str:
    points = "".join(f'<c:pt idx="{place}"><c:v>{value}</c:v></c:pt>' for place, value in enumerate(values))
    return (
        f"<c:{tag}><c:numRef><c:numCache><c:formatCode>{form}</c:formatCode>{points}</c:numCache></c:numRef></c:{tag}>"
    )


def test_chart():
    """A chart is its titles and a table of its categories and series, as numbers are shown."""
    years, title = cached("cat", "2022", "2023"), "<c:title><a:t>Rents</a:t></c:title>"
    series = "<c:ser>{}{}{}</c:ser>".format
    flats = series("<c:tx><c:v>Flats</c:v></c:tx>", years, cached("val", "900.10000000000002", "950"))
    share = series("<c:tx><c:v>Share</c:v></c:tx>", years, cached("val", "0.25", "0.3", form="0%"))
    axis = "<c:valAx><c:title><a:t>Euros</a:t></c:title></c:valAx>"
    chart = root(
        "c:chartSpace",
        f"<c:chart>{title}<c:plotArea><c:barChart>{flats}{share}</c:barChart>{axis}</c:plotArea></c:chart>",
    )
    frame = (
        '<p:graphicFrame><c:chart r:id="c"/></p:graphicFrame><p:graphicFrame><c:chart r:id="gone"/></p:graphicFrame>'
    )
    package = deck_package([frame], {"ppt/charts/chart1.xml": chart}, {SLIDE: {"c": ("chart", "../charts/chart1.xml")}})
    assert read(package).text == "Rents\n\nEuros\n\n | Flats | Share\n2022 | 900.1 | 25%\n2023 | 950 | 30%"


def test_diagram():
    """A diagram's texts come in its order, those below others with blanks before them."""
    point = '<dgm:pt modelId="{0}"><dgm:t><a:p><a:r><a:t>{0}</a:t></a:r></a:p></dgm:t></dgm:pt>'
    points = '<dgm:pt modelId="0" type="doc"/>' + "".join(map(point.format, ("Board", "Sales", "Law")))
    link = '<dgm:cxn srcId="{}" destId="{}" srcOrd="{}"/>'.format
    links = link("0", "Board", 0) + link("Board", "Sales", 1) + link("Board", "Law", 0)
    data = root("dgm:dataModel", f"<dgm:ptLst>{points}</dgm:ptLst><dgm:cxnLst>{links}</dgm:cxnLst>")
    frame = '<p:graphicFrame><dgm:relIds r:dm="d"/></p:graphicFrame>'
    package = deck_package([frame], {"ppt/d.xml": data}, {SLIDE: {"d": ("diagramData", "../d.xml")}}, kind=SLIDES_TYPE)
    assert read(package).text == "Board\n  Law\n  Sales"
