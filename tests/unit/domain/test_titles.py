import unicodedata
from itertools import accumulate

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from app.domain.titles import title_from

ACUTE = "\u0301"
ZWJ = "\u200d"
RLO = "\u202e"
KEYCAP = "\ufe0f\u20e3"
FAMILY = ZWJ.join("\U0001f468\U0001f469\U0001f467\U0001f466")
THUMB = "\U0001f44d\U0001f3fd"
FLAG = "\U0001f1f3\U0001f1f1"
HEART = "\u2764\ufe0f"
ENGLAND = "\U0001f3f4" + "".join(chr(0xE0000 + ord(letter)) for letter in "gbeng") + "\U000e007f"
HAN = "\u1112\u1161\u11ab"
KSSA = "\u0915\u094d\u0937\u093f"
ARABIC = "\u0645\u0631\u062d\u0628\u0627"
HEBREW = "\u05e9\u05dc\u05d5\u05dd"
CHINESE = "\u8bf7\u89e3\u91ca\u4e00\u4e0b"


@pytest.mark.parametrize(
    ("message", "title"),
    [
        ("# Heading", "Heading"),
        ("###### Deep heading", "Deep heading"),
        ("## Closed heading ##", "Closed heading"),
        ("# C#", "C#"),
        ("- item", "item"),
        ("* item", "item"),
        ("+ item", "item"),
        ("\u2022 item", "item"),
        ("- [ ] to do", "to do"),
        ("- [x] done", "done"),
        ("1. first", "first"),
        ("12) twelfth", "twelfth"),
        ("> quoted", "quoted"),
        (">quoted", "quoted"),
        ("> > # - 1. deep", "deep"),
        ("*slanted*", "slanted"),
        ("_slanted_", "slanted"),
        ("**bold**", "bold"),
        ("__bold__", "bold"),
        ("***both***", "both"),
        ("~~gone~~", "gone"),
        ("**bold with *slanted* inside**", "bold with slanted inside"),
        ("*slanted with **bold** inside*", "slanted with bold inside"),
        ("_about snake_case names_", "about snake_case names"),
        ("Say **this**, and _that_.", "Say this, and that."),
        (f"{CHINESE}**{CHINESE}**{CHINESE}", CHINESE * 3),
        ("Run `ls -l` now", "Run ls -l now"),
        ("Run ```ls``` now", "Run ls now"),
        ("Read [the docs](https://example.org/a_(b) 'A title') first", "Read the docs first"),
        ("![a cat](cat.png) purrs", "a cat purrs"),
        ("[![build](b.svg)](https://example.org) passes", "build passes"),
        ("[a](b)[c](d)", "ac"),
        ("[**bold**](x) **[link](y)**", "bold link"),
        (r"\*not slanted\* and \# so on", "*not slanted* and # so on"),
    ],
)
def test_marks_are_dropped(message, title):
    """Markdown marks are dropped and their text is kept."""
    assert title_from(message) == title


@pytest.mark.parametrize(
    "message",
    [
        "snake_case_name and a_b",
        "2 * 3 * 4 and 2*3*4 and 2**3**4",
        "C# or F#",
        "#hashtag",
        "#1 fan",
        "-5 degrees",
        "+1 to that",
        "3.5 stars",
        "2024. A good year",
        "5 > 3",
        ">= 5 is enough",
        ">18 only",
        ">:( is a face",
        "*args in prose",
        "f(*args, **kwargs)",
        "**kwargs and **more",
        "src/*.c and lib/*.h",
        "ls *.py,*.txt",
        ".*middle.*",
        "int *p, *q;",
        "obj.__class__ and __init__() and __init__.py",
        "about ~5 or ~6",
        "it`s fine",
        "[not a link] (see below)",
        "handlers[i](event)",
        r"\(x^2\) and C:\Users",
        f"*{KEYCAP}star*{KEYCAP} and #{KEYCAP} hash",
    ],
)
def test_apparent_marks_stay(message):
    """Code, arithmetic, names and emoticons that resemble marks are unchanged."""
    assert title_from(message) == message


@pytest.mark.parametrize("code", ["__init__", "**kwargs", "[a](b)", r"\*", "a  _b_"])
def test_inline_code_is_verbatim(code):
    """Marks within inline code are text."""
    assert title_from(f"What is `{code}` for?") == " ".join(f"What is {code} for?".split())


@pytest.mark.parametrize(
    ("message", "title"),
    [
        ("\n\n  Hello   there\t friend \n second", "Hello there friend"),
        ("one\u2028two", "one"),
        ("one\x0btwo", "one"),
        ("one\x85two", "one"),
        ("---\n***\n___\n===\nAfter rules", "After rules"),
        ("|---|:-:|\n| --- |\nAfter separators", "After separators"),
        ("Title\n=====", "Title"),
        ("#\n-\n>\nAfter bare marks", "After bare marks"),
        ("\u200b\u200d\nAfter the unseen", "After the unseen"),
        ("![](cat.png)\nAfter an image", "After an image"),
        ("{\n" + '"key": 1', '"key": 1'),
        (" " * 5_000 + "far", "far"),
        ("\n" * 5_000 + "**far**", "far"),
        ("\U0001f44d\nthanks", "\U0001f44d"),
    ],
)
def test_first_line_with_text(message, title):
    """Blank lines, rules, separators and lines of punctuation are skipped."""
    assert title_from(message) == title


@pytest.mark.parametrize(
    ("message", "title"),
    [
        ("```python\n# __init__  *here*\n```", "# __init__ *here*"),
        ("```\n\nx = 1", "x = 1"),
        ("~~~~ text\n~~~\nlong\n~~~~", "long"),
        ("> ```js\nlet a", "let a"),
        ("```\n```\n**After** the fence", "After the fence"),
        ("```json\n{\n```\n## After", "After"),
        ("~~~\n```\n~~~\n_after_", "after"),
        ("Look:\n```\ncode\n```", "Look:"),
    ],
)
def test_fenced_code_is_verbatim(message, title):
    """A fence's own line is skipped; the first line with text inside it keeps its marks."""
    assert title_from(message) == title


@pytest.mark.parametrize("message", ["", " ", "\n\t\u3000\xa0\r\n", "\x00\x1b", "\u200b\ufeff", ZWJ, RLO])
def test_invisible_text_has_no_title(message):
    """White space, control and invisible characters alone give None."""
    assert title_from(message) is None


@pytest.mark.parametrize(
    ("message", "title"),
    [("***", "***"), ("# ", "#"), ("?", "?"), ("```python\n```", "```python ```"), ("---\n  ---", "--- ---")],
)
def test_marks_alone_are_the_title(message, title):
    """A message of visible marks without text is its own title."""
    assert title_from(message) == title


@pytest.mark.parametrize(
    ("message", "title"),
    [
        ("\ufeffHello", "Hello"),
        ("a\x00b\x07c", "abc"),
        (f"abc{RLO}def", "abcdef"),
        (f"\u2067{HEBREW}\u2069 ok", f"{HEBREW} ok"),
        ("soft\u00adhyphen", "softhyphen"),
        ("half \ud83d of one", "half of one"),
        ("fdd0 \ufdd0 stays out", "fdd0 stays out"),
    ],
)
def test_invisible_characters_are_dropped(message, title):
    """Control characters, bidirectional controls and the like are dropped."""
    assert title_from(message) == title


@pytest.mark.parametrize(
    "message",
    [FAMILY, THUMB, FLAG, HEART, ENGLAND, f"e{ACUTE}", "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645"],
)
def test_grapheme_parts_are_kept(message):
    """Joiners, selectors, tags and combining marks are kept without normalisation."""
    assert title_from(message) == message


def test_sixty_characters_fit():
    """A line of exactly 60 characters is not cut."""
    assert title_from("x" * 30 + " " + "y" * 29) == "x" * 30 + " " + "y" * 29


@pytest.mark.parametrize(
    ("message", "title"),
    [
        ("word " * 20, "word " * 11 + "word\u2026"),
        ("x" * 59 + " y", "x" * 59 + "\u2026"),
        ("x" * 58 + " yy", "x" * 58 + "\u2026"),
        ("a " + "x" * 100, "a " + "x" * 57 + "\u2026"),
        ("x" * 40 + ", - " + "y" * 40, "x" * 40 + "\u2026"),
        (f"{ARABIC} " * 15, " ".join([ARABIC] * 9) + " " + ARABIC + "\u2026"),
        (f"{HEBREW}, " * 15, f"{HEBREW}, " * 9 + f"{HEBREW}\u2026"),
        (f"**{'long ' * 20}end**", "long " * 11 + "long\u2026"),
        ("," * 100, "," * 59 + "\u2026"),
    ],
)
def test_long_line_is_cut_at_a_word(message, title):
    """A long line is cut at the last white space of its later half, otherwise within the word."""
    assert title_from(message) == title


@pytest.mark.parametrize(
    "grapheme",
    ["x", CHINESE[0], f"e{ACUTE}", f"e{ACUTE * 3}", FAMILY, THUMB, FLAG, HEART, ENGLAND, HAN, KSSA],
)
@pytest.mark.parametrize("lead", range(8))
def test_long_word_is_cut_between_graphemes(grapheme, lead):
    """Whole graphemes fill the 59 characters before the ellipsis."""
    fitting = (59 - lead) // len(grapheme)
    assert title_from("a" * lead + grapheme * 61) == "a" * lead + grapheme * fitting + "\u2026"


def test_oversized_grapheme_is_cut():
    """A letter with a hundred accents still gives a title."""
    assert title_from("e" + ACUTE * 100) == "e" + ACUTE * 58 + "\u2026"


def test_data_url_is_left_out():
    """A picture embedded as a long data URL gives its description."""
    assert title_from(f"![My cat](data:image/png;base64,{'A' * 20_000}) hello") == "My cat"


@pytest.mark.parametrize(
    "part",
    [
        *(
            "`",
            "[",
            "*",
            "_",
            " ",
            "\n",
            "\t",
            "#",
            "> ",
            "- ",
            "1. ",
            "\\",
            "\\*",
            "~~",
            "a_",
            "_a ",
            "*a*",
            "**a ",
        ),
        *("[](", "](", "[a](", "[](()", "[[a]", "![](x)\n", "*\n", "`` ` ", "```\n", "```a\n\n```\n", "***a"),
        *(ACUTE, ZWJ, FLAG[0], FAMILY + ZWJ, "\u200b", "*\u200b\n"),
    ],
)
@pytest.mark.parametrize("start", ["", "a", "[", "```\n"])
def test_hostile_messages_are_parsed_quickly(start, part):
    """The longest message made of one repeated mark is parsed in linear time."""
    title = title_from((start + part * 32_000)[:32_000])
    assert title is None or len(title) <= 60


ANY_TEXT = st.text(st.characters(categories=["C", "L", "M", "N", "P", "S", "Z"]))
MARKDOWN = st.lists(
    st.sampled_from(
        [
            *"*_`~#>-+|[]()!\\ \n1.ax",
            "**",
            "```",
            "](",
            "![",
            FAMILY,
            FLAG,
            ACUTE,
            ZWJ,
            CHINESE,
            RLO,
            "\r\n",
            "\ufdd1",
        ]
    )
).map("".join)


@given(ANY_TEXT | MARKDOWN | st.text(min_size=61))
@example("\ud800")
@settings(max_examples=500)
def test_title_is_one_short_line(message):
    """Any title has 1 to 60 storable characters on one line without superfluous white space."""
    title = title_from(message)
    if title is not None:
        assert 1 <= len(title) <= 60
        assert title == " ".join(title.split())
        assert title.splitlines() == [title]
        assert not any(unicodedata.category(character) in {"Cc", "Cs"} for character in title)


@given(ANY_TEXT | MARKDOWN)
@settings(max_examples=500)
def test_title_of_a_title(message):
    """The title of a title exists."""
    title = title_from(message)
    assert title is None or title_from(title) is not None


GRAPHEMES = st.lists(
    st.sampled_from(["a", "b", "7", " ", CHINESE[1], f"o{ACUTE}", FAMILY, THUMB, FLAG, HEART, ENGLAND, HAN, KSSA]),
    min_size=20,
    max_size=80,
)


@given(GRAPHEMES)
@settings(max_examples=500)
def test_cut_title_has_whole_graphemes(graphemes):
    """The part before the ellipsis is a prefix of the line that ends with a whole grapheme."""
    title = title_from("".join(["a", *graphemes]))
    assert title is not None
    beginnings = {" ".join(text.split()) for text in accumulate(["a", *graphemes])}
    assert title.removesuffix("\u2026") in beginnings


@given(st.text(st.sampled_from("ab" + ACUTE + "\u0308"), min_size=1).map(lambda text: "a" + text))
def test_title_starts_with_a_letter(message):
    """No title starts with the combining mark of a letter that was cut off."""
    title = title_from(message)
    assert title is not None
    assert title[0] == "a"
