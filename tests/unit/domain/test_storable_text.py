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
    """NUL and surrogates, even a matching pair, cannot be stored."""
    assert unstorable(text)


@pytest.mark.parametrize("text", ["", "a", "\x01\x7f\n", "\u00e9", "\u4e00", GRIN, "\ud7ff\ue000", LOST])
def test_other_text_is_storable(text):
    """All other text can be stored, control characters and the neighbours of surrogates included."""
    assert not unstorable(text)


@given(TEXT)
def test_storable_is_utf8_without_nul(text):
    """Text is storable exactly if it is valid UTF-8 without NUL, as PostgreSQL requires."""
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
def test_stream_is_made_storable(deltas, text):
    """NUL is dropped, surrogate pairs are joined across deltas, and a lone surrogate becomes U+FFFD."""
    assert streamed(deltas) == text


def test_storable_text_is_not_delayed():
    """A storable delta is returned at once as the same object."""
    storable = StorableText()
    delta = f"plain {GRIN}"
    assert storable.feed(delta) is delta
    assert storable.flush() == ""


def test_only_a_high_surrogate_waits():
    """Only a high surrogate at the end of a delta waits; a flush leaves nothing behind."""
    storable = StorableText()
    assert storable.feed(f"a{HIGH}") == "a"
    assert storable.flush() == LOST
    assert storable.flush() == ""


@given(st.lists(TEXT))
def test_split_makes_no_difference(deltas):
    """Any split into deltas gives the same storable text."""
    text = streamed(deltas)
    assert text == streamed(["".join(deltas)])
    assert not unstorable(text)
    text.encode()


@given(st.lists(st.text().map(lambda text: text.replace("\x00", ""))))
def test_storable_text_is_unchanged(deltas):
    """Text that was storable is not altered."""
    assert streamed(deltas) == "".join(deltas)
