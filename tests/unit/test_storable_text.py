import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.storable_text import StorableText, unstorable

HIGH, LOW, GRIN = "\ud83d", "\ude00", "\U0001f600"
LOST = "\ufffd"

TEXT = st.text(st.characters() | st.characters(categories=["Cs"]) | st.sampled_from([HIGH, LOW, GRIN, "\x00", "a"]))


def streamed(deltas: list[str]) -> str:
    storable = StorableText()
    return "".join([*map(storable.feed, deltas), storable.flush()])


@pytest.mark.parametrize("text", ["\x00", "a\x00b", HIGH, f"\u4e00{LOW}", f"{HIGH}{LOW}", "\udfff", "\ud800"])
def test_nul_and_surrogates_are_unstorable(text):
    """NUL and surrogate halves, even two that belong together, cannot be stored."""
    assert unstorable(text)


@pytest.mark.parametrize("text", ["", "a", "\x01\x7f\n", "\u00e9", "\u4e00", GRIN, "\ud7ff\ue000", LOST])
def test_other_text_is_storable(text):
    """Everything else can be stored, control characters and the neighbours of surrogates included."""
    assert not unstorable(text)


@given(TEXT)
def test_unstorable_is_what_postgresql_refuses(text):
    """Text is storable when it is UTF-8 without NUL."""
    try:
        refused = b"\x00" in text.encode()
    except UnicodeEncodeError:
        refused = True
    assert unstorable(text) is refused


@pytest.mark.parametrize(
    ("deltas", "text"),
    [
        (["a\x00b"], "ab"),
        ([HIGH, LOW], GRIN),
        ([f"a{HIGH}", f"{LOW}b"], f"a{GRIN}b"),
        ([HIGH, "\x00", "", LOW], GRIN),
        ([HIGH, "a"], f"{LOST}a"),
        ([LOW, "a"], f"{LOST}a"),
        ([HIGH, HIGH, LOW], f"{LOST}{GRIN}"),
        ([GRIN, LOW], f"{GRIN}{LOST}"),
        ([f"a{HIGH}"], f"a{LOST}"),
    ],
)
def test_a_stream_is_made_storable(deltas, text):
    """NUL is dropped, halves are joined over deltas, and a lone half becomes U+FFFD."""
    assert streamed(deltas) == text


def test_storable_text_is_not_delayed():
    """A delta that can be stored comes back at once, the same object."""
    storable = StorableText()
    delta = f"plain {GRIN}"
    assert storable.feed(delta) is delta
    assert storable.flush() == ""


def test_only_the_first_half_is_held_back():
    """What comes before a first half is given at once, and a flush leaves nothing behind."""
    storable = StorableText()
    assert storable.feed(f"a{HIGH}") == "a"
    assert storable.flush() == LOST
    assert storable.flush() == ""


@given(st.lists(TEXT))
def test_how_a_text_is_split_makes_no_difference(deltas):
    """Any split into deltas gives what the whole text gives, and that can be stored."""
    text = streamed(deltas)
    assert text == streamed(["".join(deltas)])
    assert not unstorable(text)
    text.encode()


@given(st.lists(st.text().map(lambda text: text.replace("\x00", ""))))
def test_storable_text_passes_unchanged(deltas):
    """Text that was storable is not altered."""
    assert streamed(deltas) == "".join(deltas)
