"""Pages whose text is none, since their fonts do not say which characters they draw, and texts that only look odd."""

# ruff: noqa: E501  letters of double width
import random

import pytest

from app.rag.extraction.errors import ExtractionError
from app.rag.extraction.limits import Limits
from app.rag.extraction.page_line import Line
from app.rag.extraction.plausibility import readable_lines
from app.rag.pipeline import extract_document
from tests.support.documents import PDF, page_stream, pdf_of_streams

ENGLISH = (
    "The reactor was designed by Ingrid Solberg, and its cooling circuit uses molten bismuth. The control rods are made "
    "of hafnium. The plant was closed because of corrosion; the site is now a museum that opens at nine in the morning."
)
RUSSIAN = "Реактор спроектировала Ингрид Сольберг, а в контуре охлаждения используется расплавленный висмут и гафний."
CHANCE = random.Random(7)


def readable(text: str) -> str:
    """Return what is left of a page's text, a line for each 60 characters."""
    lines = [Line(text[place : place + 60], 12.0, 800.0) for place in range(0, len(text), 60)]
    return "".join(line.text for line in readable_lines(lines))


def shifted(text: str, blank: str) -> str:
    """Return a text in the glyph numbers of a usual font, which are those of ASCII less 29."""
    return "".join(blank if each == " " else chr(ord(each) - 29) for each in text)


GARBAGE = {
    "glyph names": "".join(f"/g{ord(each)}" for each in ENGLISH[:150]),
    "other glyph names": "".join(f"/C{ord(each):04}" for each in ENGLISH[:150]),
    "glyph names in words": " ".join(
        "".join(f"/g{ord(each)}" for each in word) for word in ENGLISH.split() if len(word) > 2
    ),
    "glyph numbers": "".join(f"(cid:{ord(each)})" for each in ENGLISH[:150]),
    "private characters": "".join(chr(0xF000 + ord(each)) for each in ENGLISH),
    "private planes": "".join(chr(0xF0000 + ord(each)) for each in ENGLISH),
    "replacement characters": "\ufffd" * 100,
    "replacement characters in words": " ".join("\ufffd" * len(word) for word in ENGLISH.split()),
    "control characters": "".join(chr(1 + ord(each) % 28) for each in ENGLISH),
    "glyph numbers as letters": shifted(ENGLISH, "\x03"),
    "glyph numbers as letters between blanks": shifted(ENGLISH, " "),
    "unassigned characters": "".join(chr(0x40000 + ord(each)) for each in ENGLISH),
    "Russian read as Windows-1252": RUSSIAN.encode("cp1251").decode("cp1252"),
    "Greek read as Windows-1252": "ο αντιδραστήρας σχεδιάστηκε από την νορβηγική εταιρεία".encode("cp1253").decode(
        "latin-1"
    ),
    "letters of many scripts": "".join(CHANCE.choice("aжθשبकกあ한გአԱ") for _ in range(200)),
    "rare Chinese letters": "".join(chr(CHANCE.randrange(0x3400, 0x4DB0)) for _ in range(200)),
    "punctuation": "".join(CHANCE.choice("!\"#%&'()*,-./:;?@[]_{}") for _ in range(300)),
}


@pytest.mark.parametrize("kind", GARBAGE)
def test_no_text(kind):
    """Text that a font or an encoding has made unreadable is no text."""
    assert readable(GARBAGE[kind]) == ""


TEXTS = {
    "English": ENGLISH,
    "capitals": ENGLISH.upper(),
    "Russian": RUSSIAN,
    "German": "Während der Prüfung müssen sämtliche Türen geöffnet sein, größere Möbel dürfen nicht übrig bleiben. ÄÖÜ äöü ß",
    "French": "Où étaient passés les élèves âgés, demandèrent-ils à l'été dernier, çà et là, près de la forêt brûlée ?",
    "Icelandic": "Það á að gæta þess að ávallt sé nægilegt vatn í kælirásinni, þó að það kólni óðum úti á víðavangi þar.",
    "Vietnamese": "Lò phản ứng được thiết kế bởi một kỹ sư người Na Uy và mạch làm mát sử dụng chất lỏng ở nhiệt độ cao.",
    "Czech": "Strč prst skrz krk. Vlk zmrzl, zhltl hrst zrn. Chrt pln skvrn vtrhl skrz trs chrp v čtvrť Krč. Škrt plch z mlh.",
    "Polish": "Źródło chłodzenia w obiegu wtórnym; w Szczebrzeszynie chrząszcz brzmi w trzcinie i Szczebrzeszyn z tego słynie.",
    "Greek": "Ο αντιδραστήρας σχεδιάστηκε από την Ίνγκριντ Σόλμπεργκ και το κύκλωμα ψύξης χρησιμοποιεί τηγμένο βισμούθιο.",
    "Hindi": "रिएक्टर को इंग्रिड सोलबर्ग ने डिज़ाइन किया था और शीतलन परिपथ में पिघला हुआ बिस्मथ उपयोग होता है।",
    "Arabic": "صممت المفاعل إنغريد سولبرغ، وتستخدم دائرة التبريد البزموت المنصهر، وقضبان التحكم مصنوعة من الهافنيوم.",
    "Hebrew": "הכור תוכנן על ידי אינגריד סולברג ומעגל הקירור משתמש בביסמוט מותך ומוטות הבקרה עשויים מהפניום טהור.",
    "Chinese": "反应堆由英格丽德设计，冷却回路使用熔融的铋。控制棒由铪制成。涡轮机大厅位于特隆赫姆。该电厂因腐蚀而关闭。",
    "Japanese": "この原子炉はイングリッドが設計し、冷却にはビスマスを使用します。APIのKEYをJSONでPOSTする。A社とB社のC案です。",
    "Korean": "원자로는 잉그리드 솔베르그가 설계했으며 냉각 회로는 녹은 비스무트를 사용한다. A4용지와 B형을 C사에서 산다.",
    "Thai": "เครื่องปฏิกรณ์ออกแบบโดยวิศวกรชาวนอร์เวย์ และวงจรหล่อเย็นใช้บิสมัทหลอมเหลว แท่งควบคุมทำจากแฮฟเนียม",
    "numbers": "\n".join(
        f"{n} {n * 37 % 1000}.{n % 10} ({n * 91 % 777}) -{n} % | 12.5/3 {n}:{n + 4}" for n in range(30)
    ),
    "contents": "\n".join(f"{n}.{n} Pump {'.' * 50} {n}" for n in range(20)),
    "form": "Name: ______________________ Date: ____/____/______ [ ] yes [ ] no (*) - - - - - - - - - - - - ........",
    "formulas": "∑ αᵢ·xᵢ² ≤ ∫ f(x)dx, ∀ε>0 ∃δ: |x−y|<δ ⇒ |f(x)−f(y)|<ε; E=mc²; ∇×B=μ₀J+μ₀ε₀∂E/∂t; 𝑎²+𝑏²=𝑐²; Δx·Δp≥ħ/2; λν=c",
    "code": "for (i = 0; i < n; ++i) { if (!p[i]) { *q++ = ~x & 0xff; } else { ptr->fn(&str, len); } } #define MAX(a,b) \\\n",
    "assembly": "mov rax, [rbp-8]\ncmp rdx, rcx\njmp str\nldr r0, [sp]\npush rbx\npop rbp\nsub rsp, 16\nxor rdx, rdx\nret\n"
    * 6,
    "tickers": "MSFT AAPL GOOG TSLA NVDA AMZN META NFLX INTC CSCO ORCL CRM AMD QCOM TXN IBM ADBE PYPL SBUX PEP KO WMT "
    * 4,
    "hashes": "f0d2873b877409f61da7dbdddd22d279 775449d1aa187ec5 c7030403177d9d 04f83f1199c7ce4d7bef50be70f2db73 " * 6,
    "sequence": "ACGTTGCAAC GGTACCATGC CCGTAGGTCA TTGACCGGTA ACGGTTCCAA GGCATTCGCG CGCGATATTA GGCCTTAACC " * 4,
    "paths": "GET /v1/users/12 POST /v1/users/12/keys /usr/lib64/x86 /a1 and /b2, or /api/v2/items/7 (id:12) (cid:3)",
    "units": "5 μm, 10 kΩ, 25 °C, Δt = 3 μs, α-helix, β-blocker, γ-rays, σ² and π/2, in Ωm, µg/l and Å, twice the ΔpH.",
    "short": "№ 7 – ¿Qué?",
}


@pytest.mark.parametrize("kind", TEXTS)
def test_text_stays(kind):
    """Texts of all languages, formulas, tables, code and keys are text."""
    assert "".join(readable(TEXTS[kind].replace("\n", " ")).split()) == "".join(TEXTS[kind].split())


def test_icons_in_a_text():
    """Bullets of icon fonts are taken out of a page of text, and a line of garbage is left out."""
    lines = [Line(f"\uf0b7 {ENGLISH[n:]}", 12.0, 800.0 - n) for n in range(6)]
    made = readable_lines([*lines, Line("\uf0a7", 12.0, 700.0), Line("/g12/g13/g14/g15", 12.0, 690.0)])
    assert [line.text for line in made] == [ENGLISH[n:].strip() for n in range(6)]


def test_unreadable_pages_are_listed():
    """A page of glyph names counts as one without text; a document of such pages alone is empty."""
    garbage, text = page_stream([(GARBAGE["glyph names"], 12.0)]), page_stream([("The pump.", 12.0)])
    made = extract_document(pdf_of_streams([garbage, text]), PDF, Limits(), lambda done, total: None)
    assert (made.text, made.textless_pages) == ("The pump.", [1])
    with pytest.raises(ExtractionError) as raised:
        extract_document(pdf_of_streams([garbage, garbage]), PDF, Limits(), lambda done, total: None)
    assert raised.value.failure.code == "document-empty"
