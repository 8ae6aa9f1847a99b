"""Encodings of texts: what is marked, declared or detected."""

from __future__ import annotations

import unicodedata

import pytest

from app.rag.extraction.limits import Limits
from app.rag.extraction.media_types import detect_media_type
from app.rag.extraction.text_decoding import codec_of, decode_text

TEXTS = {
    "de": "Die Straße nach Überlingen ist gesperrt, die Umleitung führt über Göppingen.",
    "fr": "Le château fut bâti près de la forêt ; le musée est fermé à Noël.",
    "pl": "Łódź leży w środkowej Polsce. Żółte światło oznacza ostrzeżenie.",
    "cs": "Příliš žluťoučký kůň úpěl ďábelské ódy. Město Plzeň leží na západě Čech.",
    "hu": "Árvíztűrő tükörfúrógép. A szerződés tizenkét hónapra szól.",
    "ru": "Гарантийный срок составляет два года. Покупатель должен зарегистрировать изделие.",
    "uk": "Гарантійний термін становить два роки. Покупець повинен зареєструвати виріб.",
    "el": "Η διάρκεια της εγγύησης είναι δύο έτη. Ο αγοραστής πρέπει να δηλώσει το προϊόν.",
    "tr": "Kira sözleşmesi on iki ay için yapılır. Şişli'de çığlık atıldı, ödeme ağırdır.",
    "he": "תקופת האחריות היא שנתיים. על הקונה לרשום את המוצר בתוך שלושים יום.",
    "ar": "مدة الضمان سنتان. يجب على المشتري تسجيل المنتج خلال ثلاثين يوما.",
    "th": "ระยะเวลารับประกันสองปี ผู้ซื้อต้องลงทะเบียนสินค้าภายในสามสิบวัน",
    "lt": "Garantijos laikotarpis yra dveji metai. Pirkėjas privalo užregistruoti gaminį.",
    "zh": "本公司的保修期为两年。客户应在购买后三十天内登记产品。",
    "zh-Hant": "租賃合約的期限為十二個月，租金應於每月五日之前支付。",
    "ja": "日本語の文書です。保証期間は二年間です。購入後三十日以内に登録してください。",
    "ko": "보증 기간은 이 년입니다. 구매자는 삼십 일 이내에 제품을 등록해야 합니다.",
}
ENCODINGS = {
    "de": "utf-8 utf-8-sig cp1252 iso-8859-1 iso-8859-15 mac-roman cp850",
    "fr": "cp1252 iso-8859-1 iso-8859-15 mac-roman",
    "pl": "cp1250 iso-8859-2",
    "cs": "cp1250 iso-8859-2",
    "hu": "cp1250 iso-8859-2",
    "ru": "cp1251 koi8-r iso-8859-5 cp866 mac-cyrillic",
    "uk": "cp1251 koi8-u",
    "el": "cp1253 iso-8859-7",
    "tr": "cp1254 iso-8859-9",
    "he": "cp1255 iso-8859-8",
    "ar": "cp1256 iso-8859-6",
    "th": "cp874 tis-620",
    "lt": "cp1257 iso-8859-13",
    "zh": "gb18030 gbk gb2312 hz",
    "zh-Hant": "big5",
    "ja": "shift_jis cp932 euc-jp iso-2022-jp",
    "ko": "euc-kr cp949 iso-2022-kr",
}
WIDE = ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be"]


def decoded(content: bytes, **options: str) -> str:
    return decode_text(content, Limits(), **options)  # type: ignore[arg-type]  # only `charset` is given


@pytest.mark.parametrize(
    ("language", "encoding"), [(language, each) for language, names in ENCODINGS.items() for each in names.split()]
)
def test_encodings_are_detected(language: str, encoding: str) -> None:
    """A short text is read in the encoding that it was written in, and is a text by its bytes."""
    content = TEXTS[language].encode(encoding)
    assert decoded(content) == TEXTS[language]
    assert detect_media_type(content, content, "a.txt") == "text/plain"


@pytest.mark.parametrize("encoding", WIDE)
@pytest.mark.parametrize("language", TEXTS)
def test_wide_encodings_without_mark(language: str, encoding: str) -> None:
    """UTF-16 and UTF-32 are read with and without a byte order mark."""
    content = TEXTS[language].encode(encoding)
    assert decoded(content) == TEXTS[language]
    assert detect_media_type(content, content, "a.txt") == "text/plain"


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"Caf\xe9 au lait", "Café au lait"),
        (b"It\x92s \x93ok\x94 \x96 for \x80 20", "It’s “ok” – for € 20"),
        (b"price \xa3 10", "price £ 10"),
        (b"\xa9 2020 Acme Inc.", "© 2020 Acme Inc."),
        (b"a na\xefve man", "a naïve man"),
        (b"water at 25\xb0C, 3 m\xb2", "water at 25°C, 3 m²"),
        (b"plain text with one odd byte \xff here", "plain text with one odd byte ÿ here"),
        (b"\xc4\xd6\xdc", "ÄÖÜ"),
    ],
)
def test_few_odd_bytes_are_western(content: bytes, text: str) -> None:
    """A text with few bytes outside of ASCII is read as Windows-1252."""
    assert decoded(content) == text


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("Okres gwarancji wynosi dwa lata. Nabywca powinien zarejestrować produkt w ciągu miesiąca.", "cp1250"),
        ("Jamstveni rok je dvije godine, a kupac mora registrirati proizvod, što će biti kratko.", "iso-8859-2"),
        ("Smlouva o nájmu bytu č. 17", "cp1250"),
        ("The 保修期 is 两年 and 客户 must register.", "gb18030"),
        ("대한민국 헌법 第一條", "euc-kr"),
        ("We met José and María in Málaga.", "cp1252"),
    ],
)
def test_few_letters_of_other_encodings(text: str, encoding: str) -> None:
    """Few letters outside of ASCII are read in the encoding whose language is far more probable."""
    assert decode_text(text.encode(encoding), Limits()) == text


def test_utf8_with_an_error() -> None:
    """UTF-8 with a broken character stays UTF-8, also where the error is far behind."""
    assert decoded(TEXTS["ru"].encode() + b"\xff.") == TEXTS["ru"] + "�."
    assert decoded(TEXTS["de"].encode() * 2000 + b"\xfc").endswith("Göppingen.�")


def test_marks_after_plain_lines() -> None:
    """The lines that show an encoding may come after any number of others."""
    assert decoded(b"plain\n" * 100_000 + TEXTS["ja"].encode("cp932")).endswith(TEXTS["ja"])


@pytest.mark.parametrize(
    ("label", "codec"),
    [
        ("ISO-8859-1", "cp1252"),
        ("GB2312", "gb18030"),
        ("Shift_JIS", "cp932"),
        ("x-sjis", "cp932"),
        ("windows-874", "cp874"),
        ("ks_c_5601-1987", "cp949"),
        ("Macintosh", "mac-roman"),
        ('"koi8-r"', "koi8-r"),
        ("rot13", ""),
        ("zip", ""),
        ("nothing", ""),
        ("", ""),
    ],
)
def test_labels_of_encodings(label: str, codec: str) -> None:
    """Declared names are those of the web, and only those of character sets."""
    assert codec_of(label) == codec


def test_given_charset_is_used() -> None:
    """The encoding that a client gives is used where the text is valid in it; UTF-8 always is UTF-8."""
    word = "Łódź"
    assert decoded(word.encode("iso-8859-2"), charset="iso-8859-2") == word
    assert decoded(word.encode("iso-8859-2"), charset="utf-8") != ""
    assert decoded(word.encode(), charset="iso-8859-2") == word
    assert decoded(TEXTS["ja"].encode("cp932"), charset="euc-jp") == TEXTS["ja"]


@pytest.mark.parametrize(
    "content",
    [
        b"a\x00b",
        bytes(range(256)),
        b"\x00" * 64,
        b"\x7fELF\x02\x01\x01" + bytes(57),
        b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x01\x00",
        bytes(each * 37 % 256 for each in range(600)),
    ],
)
def test_binary_bytes_are_no_text(content: bytes) -> None:
    """Bytes that are no characters of a script are not taken for UTF-16 or UTF-32."""
    assert detect_media_type(content, content, "a.txt") is None


def test_vietnamese() -> None:
    """Windows-1258, whose tones are characters of their own, is read."""
    text = "Thời hạn bảo hành là hai năm. Người mua phải đăng ký sản phẩm."
    tones = "\u0300\u0301\u0303\u0309\u0323"
    spread = (unicodedata.normalize("NFD", each) for each in text)
    parts = ((unicodedata.normalize("NFC", each.translate({ord(t): None for t in tones})), each) for each in spread)
    content = "".join(base + "".join(t for t in each if t in tones) for base, each in parts).encode("cp1258")
    assert unicodedata.normalize("NFC", decoded(content)) == text
