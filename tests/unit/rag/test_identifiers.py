import pytest

from app.rag.chunking.identifiers import MAX_NAMES_CHARACTERS, identifier_parts, searchable_names


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
    ],
)
def test_identifier_parts(identifier, parts):
    """An identifier is split into its parts."""
    assert identifier_parts(f"What is {identifier}?") == parts


def test_parts_are_not_repeated():
    """A part that is in the text as a word is not added again."""
    assert identifier_parts("The user calls getUserName and setUserName.") == ["get", "name", "set"]


def test_names_are_bounded():
    """The added words of a text have a limit, and no word is cut."""
    words = searchable_names(" ".join(f"aB{'x' * (n % 30 + 3)}" for n in range(3000)))
    assert len(words) <= MAX_NAMES_CHARACTERS
    assert all(set(word) <= {"b", "x"} for word in words.split())
