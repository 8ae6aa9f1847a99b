import pytest

from app.rag.chunking.identifiers import MAX_NAMES_CHARACTERS, identifier_parts, joined_identifiers, searchable_names
from app.rag.ranking import terms


@pytest.mark.parametrize(
    ("code", "name"),
    [
        ("def parse(x):", "parse"),
        ("class Pump(Base):", "Pump"),
        ("class Pump extends Base {", "Pump"),
        ("export const fetch = async () => 1", "fetch"),
        ("func (p *Pump) Start(flow int) error {", "Start"),
        ("pub fn open<T>(x: T)", "open"),
        ("type Flow struct {", "Flow"),
        ("interface Valve {", "Valve"),
        ("CREATE TABLE IF NOT EXISTS pumps (id int)", "pumps"),
        ('create unique index "pumps" on p (x)', "pumps"),
    ],
)
def test_defined_names(code, name):
    """Names that code defines are searchable words."""
    assert name in searchable_names(f"Some text.\n\n{code}\n").split()


def test_prose_defines_nothing():
    """Words like `class` and `let` define nothing in prose."""
    assert (
        searchable_names("A class of pumps that let water in. The type is good, and the function of it well-known.")
        == ""
    )


@pytest.mark.parametrize(
    ("identifier", "parts"),
    [
        ("getUserName", ["get", "user", "name"]),
        ("HTTPServer2", ["http", "server"]),
        ("MAX_BODY_BYTES", ["max", "body", "bytes"]),
        ("snake_case", ["snake", "case"]),
        ("os.path.join", ["os", "path", "join"]),
        ("src/main/pump.rs", ["src", "main", "pump", "rs"]),
        ("KX1000A", ["kx", "1000"]),
    ],
)
def test_identifier_parts(identifier, parts):
    """An identifier is split into its parts."""
    assert identifier_parts(f"What is {identifier}?") == parts


def test_parts_are_not_repeated():
    """A part that is in the text as a word is not added again."""
    assert identifier_parts("The user calls getUserName and setUserName.") == ["get", "name", "set"]


@pytest.mark.parametrize(
    ("text", "joined"),
    [
        ("KX-1000-A", ["kx1000a"]),
        ("kx_1000_a", ["kx1000a"]),
        ("KX 1000 A", ["kx1000a"]),
        ("KX\u20111000\u2011A", ["kx1000a"]),
        ("ZX-77.1/A", ["zx771a"]),
        ("ISO 9001 and RFC-2616", ["iso9001", "rfc2616"]),
        ("Ж-1000", ["ж1000"]),
        ("978-3-16-148410-0", ["9783161484100"]),
        ("3.14, 24/7, 10/12/2024 and 192.168.0.1", []),
        ("well-known, and/or, end.Start", []),
        ("In 2019 a KX1000A", []),
        ("https://example.com/a/very/long/path/to-a-page-of-2024/index.html", []),
    ],
)
def test_joined_identifiers(text, joined):
    """Identifiers with digits are joined over their separators; numbers, dates and words are not."""
    assert joined_identifiers(text) == joined


@pytest.mark.parametrize("query", ["kx1000a", "KX1000A", "KX-1000-A", "KX 1000 A", "kx/1000/a", "kx.1000.a", "KX-1000"])
@pytest.mark.parametrize("written", ["KX-1000-A", "KX_1000.A", "KX 1000 A", "kx1000a"])
def test_identifiers_are_found(query, written):
    """An identifier is found in any way of writing it."""
    text = f"The pump {written} is dry."
    indexed = {*terms.stems(text), *terms.stems(searchable_names(text))}
    assert indexed & {form for word in terms.query_forms(query) for form in word} - {"a"}


def test_names_are_bounded():
    """The added words of a text have a limit, and no word is cut."""
    words = searchable_names(" ".join(f"aB{'x' * (n % 30 + 3)}" for n in range(3000)))
    assert len(words) <= MAX_NAMES_CHARACTERS
    assert all(set(word) <= {"b", "x"} for word in words.split())
