"""Stems of words by language."""

from __future__ import annotations

import threading

import pytest

from app.domain.ids import new_id
from app.rag.ranking import terms
from app.rag.ranking.stemming import SCRIPTS, parts_of, snowball, stems_of

INFLECTED = [
    ("de", "Rechnungen", "Rechnung"),
    ("de", "Häuser", "Haus"),
    ("es", "información", "informaciones"),
    ("es", "pagos", "pago"),
    ("fr", "utilisée", "utilisés"),
    ("fr", "réparations", "réparation"),
    ("pt", "informações", "informação"),
    ("pt", "pagamentos", "pagamento"),
    ("ru", "договорами", "договор"),
    ("ru", "синего", "синий"),
    ("ru", "Ёлки", "елка"),
    ("ar", "الكتاب", "كتاب"),
    ("ar", "أحمد", "احمد"),
    ("ar", "كِتَاب", "كتاب"),
    ("hi", "किताबें", "किताब"),
    ("hi", "लड़के", "लड़का"),
    ("en", "invoices", "invoice"),
    ("tr", "kitapları", "kitaplar"),
    ("pl", "umowami", "umowach"),
    ("it", "contratti", "contratto"),
    ("nl", "rekeningen", "rekening"),
    ("sv", "bilarna", "bilar"),
    ("fi", "taloissa", "talossa"),
    ("el", "δρόμοι", "δρόμος"),
    ("fa", "کتابها", "کتاب"),
    ("ja", "東京都", "東京"),
    ("zh", "合同期限", "合同"),
    ("ko", "계약서", "계약"),
]
TYPED = [
    ("es", "información", "informacion"),
    ("pt", "ação", "acao"),
    ("fr", "réparée", "reparee"),
    ("de", "Größe", "grosse"),
    ("ru", "ёлка", "елка"),
    ("tr", "güneş", "gunes"),
    ("pl", "książka", "ksiazka"),
    ("sv", "räkning", "rakning"),
    ("el", "βιβλίο", "βιβλιο"),
]


def forms(word: str, language: str) -> set[str]:
    """Return what a word is searched by in documents of a language."""
    return {form for each in terms.query_forms(word, [language]) for form in each}


@pytest.mark.parametrize(("language", "written", "searched"), INFLECTED)
def test_inflected_words_match(language: str, written: str, searched: str) -> None:
    """A word is found by another form of it, in a document of its language."""
    assert forms(searched, language) & set(terms.stems(written, language))


@pytest.mark.parametrize(("language", "written", "typed"), TYPED)
def test_words_without_accents_match(language: str, written: str, typed: str) -> None:
    """A word with accents is found without them, and the other way round."""
    assert forms(typed, language) & set(terms.stems(written, language))
    assert forms(written, language) & set(terms.stems(typed, language))


@pytest.mark.parametrize(("word", "language"), [(word, language) for language, word, _ in INFLECTED])
def test_every_language_finds_same_word(word: str, language: str) -> None:
    """A word is found as it is written, also in a document of another or no language."""
    for other in (language, "de", "ur", "xx", None):
        searched = {form for each in terms.query_forms(word, ["ru", other]) for form in each}
        assert searched.issuperset({*terms.stems(word, other)} - {*parts_of(word.casefold(), other)})


@pytest.mark.parametrize(
    ("word", "language", "stem"),
    [
        *(("b12", "de", "b12"), ("größe5", "de", "große5"), ("ad", "sv", "ad"), ("\u0301", "fr", None)),
        *(("وقت", "ur", "وقت"), ("שלום", "he", "שלום"), ("invoices", "ru", "invoic"), ("договоры", "en", "договор")),
        *(("kuće", "hr", "kuce"), ("contracts", "hr", "contract")),
    ],
)
def test_words_of_other_scripts(word: str, language: str, stem: str | None) -> None:
    """Words with digits, short ones and those of a script without stemmer are folded only, others by their script."""
    assert stems_of(word.replace("ß", "ss"), language) == (() if stem is None else (stem.replace("ß", "ss"),))


def test_english_terms_are_those_of_porter() -> None:
    """A document in English, or in no known language, has one term a word, as it always had."""
    text = "Café invoices were paid; the KX-1000 runs."
    assert list(terms.stems(text, "en")) == ["cafe", "invoic", "were", "paid", "the", "kx", "1000", "run"]
    owner, document = new_id(), new_id()
    assert terms.index_chunk(owner, document, text, language="en") == terms.index_chunk(owner, document, text)


def test_stemmers_exist() -> None:
    """Each stemmer that a script names is one of the library."""
    for _, stemmers in SCRIPTS:
        for name in filter(None, stemmers.values()):
            assert snowball(name).stemWord("a") is not None


def test_stemmers_are_not_shared_by_threads() -> None:
    """Each thread has its own, since a stemmer keeps the word that it works on."""
    others = []
    thread = threading.Thread(target=lambda: others.append(snowball("russian")))
    thread.start()
    thread.join()
    assert others[0] is not snowball("russian")
    assert snowball("russian") is snowball("russian")
