"""Files of values: delimiters, quotes, headers and long rows."""

from __future__ import annotations

import pytest

from app.domain.documents import ExtractedDocument
from app.rag.extraction.limits import Limits
from app.rag.pipeline import extract_document
from tests.support.documents import CSV


def read(source: str) -> ExtractedDocument:
    return extract_document(source.encode(), CSV, Limits(), lambda done, total: None)


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("a,b\n1,2\n", "a: 1; b: 2"),
        ("a;b\n1;2\n", "a: 1; b: 2"),
        ("a\tb\n1\t2\n", "a: 1; b: 2"),
        ("a|b\n1|2\n", "a: 1; b: 2"),
        ("\ufeffa,b\r\n1,2\r\n", "a: 1; b: 2"),
        ("name;x\nAnna;1,5\nBert;2,5\n", "name: Anna; x: 1,5\nname: Bert; x: 2,5"),
        ("Anna;1,5;2,3\nBert;2,5;7,1\n", "Anna | 1,5 | 2,3\nBert | 2,5 | 7,1"),
        ("sep=;\nname;city\nAnna;Bonn\n", "name: Anna; city: Bonn"),
        ('"sep=^"\nname^city\nAnna^Bonn\n', "name: Anna; city: Bonn"),
        ('a,b\n"x, ""y"" z",1\n', 'a: x, "y" z; b: 1'),
        ('a, b\n1, "x, y"\n', "a: 1; b: x, y"),
        ('a,b\n"x\n\ny",1\n', "a: x y; b: 1"),
        ("a,b\n'x, y','1'\n'z','2'\n", "a: x, y; b: 1\na: z; b: 2"),
        ('a,b\n"x \\"y\\" z",1\n', 'a: x "y" z; b: 1'),
        (
            'size,n\n5" pipe,10\n6" pipe,20\n7" pipe,3\n',
            'size: 5" pipe; n: 10\nsize: 6" pipe; n: 20\nsize: 7" pipe; n: 3',
        ),
        ('n,size\n1,"big\n2,small\n3,large\n', 'n: 1; size: "big\nn: 2; size: small\nn: 3; size: large'),
        ("name\nAnna\nBert\n", "name: Anna\nname: Bert"),
        ("a,,c,\n1,2,,\n", "a: 1; 2"),
        ("a,b\n1,2,3\n", "a: 1; b: 2; 3"),
        ("a,b\n1,2\na,b\n3,4\n", "a: 1; b: 2\na: 3; b: 4"),
    ],
)
def test_dialects(source: str, text: str) -> None:
    """Rows are read with any usual delimiter, quotes and number format."""
    assert read(source).text == text


def test_quotes_late_in_a_file() -> None:
    """Quotes that are doubled for the first time after many rows are read as quotes."""
    plain = "".join(f"SKU-{n:04},plain article number {n},{n}.50\n" for n in range(300))
    text = read(f'sku,description,price\n{plain}SKU-9001,"Monitor 24"" wide, with stand",199.00\n').text
    assert text.endswith('sku: SKU-9001; description: Monitor 24" wide, with stand; price: 199.00')
    assert text.count("\n") == 300


@pytest.mark.parametrize(
    ("source", "first"),
    [
        ("Region,2021,2022\nN,5,7\nS,9,8\n", "Region: N; 2021: 5; 2022: 7"),
        ("Region,2021,2022,2023\nN,1000,2000,3000\n", "Region: N; 2021: 1000; 2022: 2000; 2023: 3000"),
        ("Country,2020\nNorway,5.4\n", "Country: Norway; 2020: 5.4"),
        ("Size,36,38,40\nA,1,0,4\n", "Size: A; 36: 1; 38: 0; 40: 4"),
        ("Name,Amount,Amount\nA,1,2\n", "Name: A; Amount: 1; Amount (2): 2"),
        ("date,open\n2024-01-01,1.5\n", "date: 2024-01-01; open: 1.5"),
        ("Item;01.01.2023;01.03.2023\nA;1;2\n", "Item: A; 01.01.2023: 1; 01.03.2023: 2"),
        ("Item,2010,2015,2020,2021\nA,1,2,3,4\n", "Item: A; 2010: 1; 2015: 2; 2020: 3; 2021: 4"),
        ("2019,2020,2021\n5,6,7\n", "2019: 5; 2020: 6; 2021: 7"),
        ("Item,10%,20%\nA,1,2\n", "Item: A; 10%: 1; 20%: 2"),
        ("Time,08:00,09:00\nA,1,2\n", "Time: A; 08:00: 1; 09:00: 2"),
        ("name,colour\nLantern,red\nRope,blue\n", "name: Lantern; colour: red"),
    ],
)
def test_headers(source: str, first: str) -> None:
    """Years, sizes and repeated names are headers too."""
    assert read(source).text.split("\n")[0] == first


@pytest.mark.parametrize(
    "source",
    [
        "1,2,3\n4,5,6\n",
        "Anna,Bonn\nBert,Rom\nCarl,Bonn\n",
        "Anna,1984,2001\nBert,1975,2003\n",
        "Anna,2001,2002\nBert,2003,2004\n",
        "Anna,2024-01-01,2024-02-01\nBert,2024-03-01,2024-02-01\n",
        "Anna,10%,20%\nBert,30%,5%\n",
        "Anna,1984,2001,2002\nBert,1985,1999,2005\n",
        "2024-01-01,1.5\n2024-01-02,1.7\n",
        "anna@a.example,Anna\nbert@b.example,Bert\n",
    ],
)
def test_files_without_header(source: str) -> None:
    """A first row of values is a row like the others."""
    assert read(source).text == source.strip().replace(",", " | ")


@pytest.mark.parametrize(
    "titles", ["Sales report,,\n", "Sales report,,\n,,\n", "Sales report\nCreated by,Anna\n\n", "Sales report\n"]
)
def test_titles_above_the_header(titles: str) -> None:
    """Rows of few cells above the header are titles."""
    document = read(f"{titles}Region,Q1,Q2,Q3\nN,1,2,3\nS,2,3,4\n")
    assert document.title == "Sales report"
    assert document.text.startswith("Sales report\n")
    assert document.text.endswith("\nRegion: N; Q1: 1; Q2: 2; Q3: 3\nRegion: S; Q1: 2; Q2: 3; Q3: 4")


def test_long_names_of_columns() -> None:
    """Long names, such as questions, are read in full once, and stand before each value without their middle."""
    questions = [f"How would you rate the service of our house in general, and here that of {each}?" for each in "AB"]
    text = read(f"id,{','.join(f'{chr(34)}{each}{chr(34)}' for each in questions)}\nx,good,bad\n").text
    first, _, row = text.partition("\n\n")
    assert first == f"id | {questions[0]} | {questions[1]}"
    assert row == (
        "id: x; How would you rate the service of our … and here that of A?: good"
        "; How would you rate the service of our … and here that of B?: bad"
    )


def test_long_rows_are_cut_between_pairs() -> None:
    """Chunks of a wide table begin with a name, end with a value, and name their row."""
    header = ["id", *(f"No. {n} of all" for n in range(90))]
    rows = [[f"row{r}", *(f"value {r}-{n}" for n in range(90))] for r in range(4)]
    document = read("\n".join(",".join(each) for each in [header, *rows]))
    for chunk in document.chunks:
        for line in chunk.content.split("\n"):
            pairs = line.split("; ")
            assert pairs[0].startswith("id: row")
            assert all(": " in each and not each.endswith(":") for each in pairs)
    assert all(f"No. {n} of all: value 3-{n}" in document.text for n in range(90))


def test_long_values_keep_their_names() -> None:
    """A value that is longer than a chunk is not cut from its name, also where the name has a full stop."""
    value = "Some words of prose stand here. " * 60
    document = read(f'id,Ref. No. In Full\n17,"{value}"\n')
    starts = [chunk.content[:60] for chunk in document.chunks]
    assert len(starts) > 1
    assert starts[0].startswith("id: 17; Ref. No. In Full: Some words")
    assert value.strip() in document.text
