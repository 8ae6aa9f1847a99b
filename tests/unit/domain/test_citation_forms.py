"""Forms of citation marks, and brackets that are none; each is streamed by one character, by three, and whole."""

from __future__ import annotations

import re

import pytest

from app.domain.citations import CitationFilter, citations_in, without_marks
from tests.support.citations import candidates

KNOWN = range(1, 7)

MARKS = [
    ("Paris [1].", "Paris [1].", [1]),
    ("Paris [1][2].", "Paris [1][2].", [1, 2]),
    ("Paris [1] [2].", "Paris [1] [2].", [1, 2]),
    ("Paris [9].", "Paris .", []),
    ("Paris [0] or [01].", "Paris  or .", []),
    ("Paris [1, 2].", "Paris [1][2].", [1, 2]),
    ("_[1, 2]_ and __[3;9]__", "_[1][2]_ and __[3]__", [1, 2, 3]),
    ("Paris [1,2].", "Paris [1][2].", [1, 2]),
    ("Paris [2, 1].", "Paris [2][1].", [1, 2]),
    ("Paris [1, 1, 2].", "Paris [1][2].", [1, 2]),
    ("Paris [1, 9].", "Paris [1].", [1]),
    ("Paris [8, 9].", "Paris .", []),
    ("Paris [1;2].", "Paris [1][2].", [1, 2]),
    ("Paris [1; 2; 7].", "Paris [1][2].", [1, 2]),
    ("Paris [1-3].", "Paris [1][2][3].", [1, 2, 3]),
    ("Paris [1–3].", "Paris [1][2][3].", [1, 2, 3]),
    ("Paris [1 — 3].", "Paris [1][2][3].", [1, 2, 3]),
    ("Paris [5-9].", "Paris [5][6].", [5, 6]),
    ("Paris [1-2, 5].", "Paris [1][2][5].", [1, 2, 5]),
    ("Paris [1 to 3].", "Paris [1][2][3].", [1, 2, 3]),
    ("Paris [1 and 2].", "Paris [1][2].", [1, 2]),
    ("Paris [1, 2 and 4-6].", "Paris [1][2][4][5][6].", [1, 2, 4, 5, 6]),
    ("Paris [1, 2, and 4].", "Paris [1][2][4].", [1, 2, 4]),
    ("Paris [1 & 2].", "Paris [1][2].", [1, 2]),
    ("Paris [1&2].", "Paris [1][2].", [1, 2]),
    ("Berlin [1 und 2].", "Berlin [1][2].", [1, 2]),
    ("Lyon [1 et 2].", "Lyon [1][2].", [1, 2]),
    ("Madrid [1 y 2].", "Madrid [1][2].", [1, 2]),
    ("Roma [1 e 2].", "Roma [1][2].", [1, 2]),
    ("Москва [1 и 2].", "Москва [1][2].", [1, 2]),
    ("北京[1和2]。", "北京[1][2]。", [1, 2]),
    ("北京[1、2]。", "北京[1][2]。", [1, 2]),
    ("القاهرة [1 و 2].", "القاهرة [1][2].", [1, 2]),
    ("القاهرة [١، ٢].", "القاهرة [1][2].", [1, 2]),
    ("दिल्ली [1 और 2]।", "दिल्ली [1][2]।", [1, 2]),
    ("서울[1, 2].", "서울[1][2].", [1, 2]),
    ("東京【1】。", "東京[1]。", [1]),
    ("東京【1】【2】。", "東京[1][2]。", [1, 2]),
    ("東京【1，2】。", "東京[1][2]。", [1, 2]),
    ("Paris 【1†source】.", "Paris [1].", [1]),
    ("Paris【1:0†source】.", "Paris[1].", [1]),
    ("Paris【1†L3-L9】【9†report.pdf】.", "Paris[1].", [1]),
    ("Paris [2†source].", "Paris [2].", [2]),
    ("東京［1］。", "東京[1]。", [1]),
    ("東京［１，２］。", "東京[1][2]。", [1, 2]),
    ("東京[１]。", "東京[1]。", [1]),
    ("Paris[^1].", "Paris[1].", [1]),
    ("Paris [^1][^2].", "Paris [1][2].", [1, 2]),
    ("Paris [^1, ^2].", "Paris [1][2].", [1, 2]),
    ("Paris [^9].", "Paris .", []),
    ("Paris [passage 1].", "Paris [1].", [1]),
    ("Paris [Passage 1, 2].", "Paris [1][2].", [1, 2]),
    ("Paris [passages 1 and 2].", "Paris [1][2].", [1, 2]),
    ("Paris [passage 1, passage 3].", "Paris [1][3].", [1, 3]),
    ("Paris [Passage 1; Passage 9].", "Paris [1].", [1]),
    ("Paris [source: 1].", "Paris [1].", [1]),
    ("Paris [Source: passage 1].", "Paris [1].", [1]),
    ("Paris [Sources: 1, 2].", "Paris [1][2].", [1, 2]),
    ("Paris [Source #1].", "Paris [1].", [1]),
    ("Paris (source: [1]).", "Paris (source: [1]).", [1]),
    ("Paris [doc 1].", "Paris [1].", [1]),
    ("Paris [doc1][doc2].", "Paris [1][2].", [1, 2]),
    ("Paris [document 1].", "Paris [1].", [1]),
    ("Paris [ref 3].", "Paris [3].", [3]),
    ("Paris [Ref. 3].", "Paris [3].", [3]),
    ("Paris [citation:1].", "Paris [1].", [1]),
    ("Paris [cite: 1, 2].", "Paris [1][2].", [1, 2]),
    ("Paris [see 1].", "Paris [1].", [1]),
    ("Paris [see passage 2].", "Paris [2].", [2]),
    ("Paris [1, p. 3].", "Paris [1].", [1]),
    ("Berlin [Quelle 1].", "Berlin [1].", [1]),
    ("Berlin [Quellen: 1 und 2].", "Berlin [1][2].", [1, 2]),
    ("Madrid [fuente 1].", "Madrid [1].", [1]),
    ("Москва [источник 2].", "Москва [2].", [2]),
    ("北京[来源：1]。", "北京[1]。", [1]),
    ("Paris [ 1 ].", "Paris [1].", [1]),
    ("Paris [[1]].", "Paris [1].", [1]),
    ("Paris [Passage [1]].", "Paris [1].", [1]),
    ("Paris [sources [1], [2]].", "Paris [1][2].", [1, 2]),
    ("Paris [[1], [2]].", "Paris [1][2].", [1, 2]),
    ("Paris [[1][9]].", "Paris [1].", [1]),
    ("**Paris** [1], *Rome* [2]", "**Paris** [1], *Rome* [2]", [1, 2]),
    ("**Paris [1, 2]** is", "**Paris [1][2]** is", [1, 2]),
    ("- [1] one\n- [2, 3] two\n* [4]", "- [1] one\n- [2][3] two\n* [4]", [1, 2, 3, 4]),
    ("| Paris | [1, 2] |\n", "| Paris | [1][2] |\n", [1, 2]),
    ("> Paris [1, 2]", "> Paris [1][2]", [1, 2]),
    ("1. Paris\n\n    Then [1, 2].", "1. Paris\n\n    Then [1][2].", [1, 2]),
    ("Sources: [1, 2]", "Sources: [1][2]", [1, 2]),
    ("C++ [1, 2], Disney+ [3]", "C++ [1][2], Disney+ [3]", [1, 2, 3]),
    ("It costs $5 [1] and $7 [2].", "It costs $5 [1] and $7 [2].", [1, 2]),
    ("In US$ [1] or A$5 [2]$", "In US$ [1] or A$5 [2]$", [1, 2]),
    ("A $HOME [1].\nB", "A $HOME [1].\nB", [1]),
    ("$x$ is [1]; \\(y\\) is [2]", "$x$ is [1]; \\(y\\) is [2]", [1, 2]),
    ("`x` is [1]", "`x` is [1]", [1]),
    ("A ` b\n\nParis [1]", "A ` b\n\nParis [1]", [1]),
    ("- a ` b\n- Paris [1]", "- a ` b\n- Paris [1]", [1]),
    ("<code>a[1]</code> is [2]", "<code>a[1]</code> is [2]", [2]),
    ("<b>Paris</b>[1]", "<b>Paris</b>[1]", [1]),
    ("[1]: The tower was built.", "[1]: The tower was built.", [1]),
    ("[Paris][1] is", "[Paris][1] is", [1]),
    ("x\n    Paris [1]", "x\n    Paris [1]", [1]),
]

OTHERS = [
    "In [2024] and [2019-2024], [2023, 2024], [1, 2024]",
    "[12345] [1.5] [1:2] [3-1] [1-99] [0, 1] [0,5] [1 2] [1,]",
    "[ ] [x] [] [a] [a1] [1a] [note] [section 1] [page 3] [Table 1] [",
    "[1",
    "[passage",
    "a[1] x[2] A[1] α[1]",
    "items[0], arr[1], arr[i][1], data_x[1], x1[2], arr2[0], myArray[3]",
    "f(x)[1], foo()[2], obj.items[1], df.iloc[1], self.x[2], p->q[1]",
    "items[1] = 5; rows[2].name; count[1]++; y = rows[1]; print(rows[1])",
    "a[1, 2], m[1;2], a[1-2], x[1][2]",
    r"\sqrt[3]{x} \sqrt[3] x \item[1] \frac{a}{b}[1]",
    "$a[1]$, $x + [1, 2]$, $$ v [1] $$, $$\nv = [3, 4] [1]\n$$",
    "$3x = [1]$ and $\\frac{1}{2} [1]$",
    r"\(v [1]\) and \[ w [1, 2] \] and \[1\]",
    "v = [3, 4], v=[3,4], x == [1]",
    "x: [1, 2], \"ids\": [1, 2], 'ids': [1, 2]",
    "[1, 2] + [3, 4], [1, 2] = v, [3, 4].sum(), [1, 2]^T, 2 * [3, 4]",
    "f([1, 2]), np.array([[1, 2], [3, 4]]), f(x, [1, 2])",
    "the vector [3, 4], the point P [3, 4], x ∈ [1, 2], das Intervall [1, 2], 向量[1, 2]",
    "`a[1]` `[1]` ``[1] ` [2]``",
    "`a\nb [1]` c",
    "```\n[1]\n```",
    "~~~ py\n[1]\n~~~",
    "- x\n\n  ```\n  [1]\n  ```",
    "An open `code [1]",
    "An open ``code [1] and ` [2]\nnext [1]",
    "    [1] in indented code",
    "text\n\n    [1] in code\n\n    [2] in code",
    "text\n\n\t[1] in code",
    "- item\n\n      [1] in code",
    "<code>[1]</code> <pre>[1, 2]</pre> <kbd>[3]</kbd>",
    '<pre class="x">\na\n\n[1]\n</pre>',
    "<code>[1] open",
    "[1](https://x.example) [passage 1](https://x.example) [1, 2](#x)",
    "![1](https://x.example/a.png) [[1]](https://x.example)",
    "[1]: https://x.example",
    'x\n\n[1]: <https://x.example> "Title"\n[2]: /path\n',
    "[^1]: A note.",
    "Text\r\n\r\n[1]: https://x.example [2]\r\n",
    "Paris[^1] is\n\n[^1]: A note.",
    "[^1]: A note.\n\nParis[^1] is",
    "[Paris][1] is\n\n[1]: https://x.example\n",
    "[1]: https://x.example\n[Paris][1] is",
    r"\[1] \[1\]",
]

PROSE = """
Paris Umsatz tower France café Größe NASA 1889 CO2 Q3 iPhone U.S. GitHub paris.txt km/h 50% “x” (1889) it's 巴黎 Node.js
MP3 mp3 config.yaml data_x.csv
Paris, Paris! COVID-19 well-known example.com items data results in and/or Straße Москва пример
"""
PHRASES = [
    "built in iron",
    "on return flights",
    "a viral vector",
    "vitamin C",
    "Plan B",
    "Henry V",
    "a speed of 5 m",
    "30 °C",
    "100 W",
    "a (French) tower",
    "the EU (2020)",
]


def streamed(text: str, size: int, known: range = KNOWN) -> str:
    """Return a filtered text that was fed in pieces of a size."""
    citation_filter = CitationFilter(known)
    pieces = [citation_filter.feed(text[start : start + size]) for start in range(0, len(text), size)]
    return "".join(pieces) + citation_filter.flush()


@pytest.mark.parametrize("size", [1, 3, 10_000])
@pytest.mark.parametrize(("text", "written", "cited"), MARKS, ids=[each[0] for each in MARKS])
def test_mark_is_written_as_number(text: str, written: str, cited: list[int], size: int) -> None:
    """Each form is written as `[n]`, without unknown numbers, and the stored text has the same citations."""
    assert streamed(text, size) == written
    assert [each.marker for each in citations_in(written, candidates(6))] == cited
    assert streamed(written, size) == written


@pytest.mark.parametrize("size", [1, 3, 10_000])
@pytest.mark.parametrize("text", OTHERS)
def test_other_brackets_are_unchanged(text: str, size: int) -> None:
    """Brackets that are no marks stay, cite nothing, and stay in earlier replies, whether numbers are known or not."""
    assert streamed(text, size) == text
    assert streamed(text, size, range(7, 9)) == text
    assert citations_in(text, candidates(6)) == []
    assert without_marks(text) == text


@pytest.mark.parametrize("words", PROSE.split() + PHRASES)
def test_mark_behind_words(words: str) -> None:
    """A bracket directly behind a word of a sentence is a mark."""
    assert streamed(f"So {words}[1]. {words}[9], {words}[2]", 1) == f"So {words}[1]. {words}, {words}[2]"


@pytest.mark.parametrize(("text", "written"), [each[:2] for each in MARKS])
def test_marks_are_removed_from_history(text: str, written: str) -> None:
    """Earlier replies reach a model without marks in any form, and otherwise unchanged."""
    kept = re.sub(r"(?<!a)\[[1-9]\]", "", written)
    assert without_marks(text) == without_marks(written) == kept
