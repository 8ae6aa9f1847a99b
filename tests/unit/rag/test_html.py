"""HTML pages: lists, tables, and what belongs to a page's text."""

from __future__ import annotations

import pytest

from app.domain.documents import ExtractedDocument
from app.rag.extraction.limits import Limits
from app.rag.pipeline import extract_document
from tests.support.documents import HTML


def read(body: str) -> ExtractedDocument:
    return extract_document(f"<html><body>{body}".encode(), HTML, Limits(), lambda done, total: None)


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("<ol start=5><li>x</li><li>y</li></ol>", "5. x\n6. y"),
        ("<ol type=a><li value=3>x<li>y</ol>", "c. x\nd. y"),
        ("<ol type=A start=27><li>x</ol>", "AA. x"),
        ("<ol type=i start=4><li>x</ol>", "iv. x"),
        ("<ol type=I start=5000><li>x</ol>", "5000. x"),
        ("<ol reversed><li>x<li>y</ol>", "2. x\n1. y"),
        ("<ol reversed start=9><li>x<li>y</ol>", "9. x\n8. y"),
        ("<ol start=x><li>x<ul><li>y</ul><li>z</ol>", "1. x\n  - y\n2. z"),
    ],
)
def test_list_numbers(source: str, text: str) -> None:
    """Items have the numbers that a browser shows."""
    assert read(source).text == text


@pytest.mark.parametrize(
    ("rows", "text"),
    [
        ("<tr><td rowspan=2>N<td>a<td>1<tr><td>b<td>2", "N | a | 1\nN | b | 2"),
        ("<tr><td colspan=2>Total<td>3<tr><td>a<td>b<td>c", "Total | Total | 3\na | b | c"),
        ("<tr><td>a<td>b<tr><td colspan=2>All of it", "a | b\nAll of it"),
        ("<tr><td>a<td rowspan=0>x<tr><td>b<tr><td>c", "a | x\nb | x\nc | x"),
        ("<tr><td>a<td rowspan=2 colspan=2>x<td>1<tr><td>b<td>2", "a | x | x | 1\nb | x | x | 2"),
        ("<tr><td rowspan=2>a<td>b<tr><td rowspan=2>c<tr><td>d", "a | b\na | c\nd | c"),
        ("<tr><td rowspan=x>a<td colspan=-1>b", "a | b"),
        ("<tr><td>Steps<td><ol start=3><li>Mix<li>Bake</ol><ul><li>x</ul>", "Steps | 3. Mix 4. Bake x"),
    ],
)
def test_cells_over_rows_and_columns(rows: str, text: str) -> None:
    """A cell stands in each place that it covers."""
    assert read(f"<table>{rows}</table>").text == text


@pytest.mark.parametrize(
    ("head", "header"),
    [
        ("<tr><td>Product<td>Price", "Product | Price"),
        ("<tr><th>Product<th>Price", "Product | Price"),
        ("<thead><tr><td>Product<td>Price<tbody>", "Product | Price"),
        ("<tr><th>Name<th>Value<tr><th>of it<th>", "Name of it | Value"),
        ("", ""),
    ],
)
def test_table_headers(head: str, header: str) -> None:
    """Later chunks of a table have its header as their heading, also one of ordinary cells."""
    rows = "".join(f"<tr><td>Item {n} of the list<td>{n}.50" for n in range(100))
    chunks = read(f"<table>{head}{rows}</table>").chunks
    assert len(chunks) > 2
    assert {each.heading for each in chunks[1:]} == {header}


@pytest.mark.parametrize("style", ["display:none", "color: red; DISPLAY : none !important", ";display: none;"])
def test_hidden_text(style: str) -> None:
    """Text that its style hides is not read."""
    assert read(f'<p style="{style}">secret</p><p style="display: block">Shown.</p>').text == "Shown."


def test_header_below_a_title() -> None:
    """A first row that is one cell over all columns is a title, and the next one the header."""
    rows = "".join(f"<tr><td>Item {n} of the list<td>{n}.50" for n in range(100))
    chunks = read(f"<table><tr><td colspan=2>Prices of 2024<tr><td>Product<td>Price{rows}</table>").chunks
    assert {each.heading for each in chunks[1:]} == {"Product | Price"}


@pytest.mark.parametrize("name", ["sidebar", "layout sidebar", "toc", "footer", "navigation", "cookie-notice", "ad"])
@pytest.mark.parametrize("attribute", ["class", "id"])
def test_names_remove_no_content(name: str, attribute: str) -> None:
    """Text is read whatever its element is named."""
    refund = "Refunds are paid within ten days."
    assert refund in read(f'<div {attribute}="{name}"><h2>Refunds</h2><p>{refund}</p></div><p>Shop</p>').text
    assert refund in read(f'<div {attribute}="{name}">{refund}</div><p>Shop</p>').text


@pytest.mark.parametrize(
    "content",
    [
        '<nav><a href="/">Home</a> <a href="/x">Goods</a></nav>',
        "<nav><ul><li>Home<li>Goods</ul></nav>",
        '<div class="sidebar"><a href="/">Home</a> | <a href="/x">Goods</a></div>',
        "<footer>\u00a9 2024 Home of Goods. All rights reserved.</footer>",
        '<header><a href="/">Home</a></header>',
        "<button>Home</button><template>Home</template><noscript>Home</noscript><script>Home</script>",
        '<p hidden>Home</p><p style="display:none">Home</p><i aria-hidden="true">Home</i>',
    ],
)
def test_surroundings_are_left_out(content: str) -> None:
    """Navigation, labels, copyrights, scripts and hidden text are left out."""
    assert read(f"{content}<p>Text.</p>").text == "Text."


@pytest.mark.parametrize("tag", ["nav", "aside", "footer", "header"])
def test_landmarks_with_text_are_read(tag: str) -> None:
    """A page's text is read also where its markup is wrong."""
    text = "The shop in the harbour is open from Monday to Friday, 9 to 17."
    assert text in read(f"<{tag}><p>{text}</p></{tag}><p>More.</p>").text


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("<ruby>東<rp>(</rp><rt>とう</rt><rp>)</rp>京<rt>きょう</rt></ruby>", "東京"),
        ("10<sup>6</sup> m<sup>2</sup> and a price<sup>1</sup>", "10^6 m2 and a price 1"),
        ("Do&shy;nau<wbr>dampf &amp; &euro;", "Donaudampf & €"),
        ("<h3><button>What is it?</button></h3>A pump.", "What is it?\n\nA pump."),
        ("<details><summary>More</summary>Inner text</details>", "More\n\nInner text"),
        ('<figure><img alt="A red pump" src="x"><figcaption>Fig. 1</figcaption></figure>', "A red pump\n\nFig. 1"),
        ('<img alt="pump.png"><img alt="logo">x', "x"),
        ('<label>Name <input value="Anna"></label> <input type=hidden value="secret">', "Name Anna"),
        ("<input type=checkbox checked> yes <input type=checkbox> no", "☒ yes ☐ no"),
        ("<select><option>a<option selected>b</select>", "b"),
        ("<dl><dt>Flow<dd>Litres<dt>Head<dd>Metres</dl>", "Flow\n\nLitres\n\nHead\n\nMetres"),
        ("<p hidden=until-found>Found</p>", "Found"),
        ("<noscript>All there is</noscript>", "All there is"),
    ],
)
def test_other_elements(source: str, text: str) -> None:
    """Annotations, fields, captions and pictures are read as their text."""
    assert read(source).text == text
