"""Names and numbers of questions, and evidence that mentions them."""

from __future__ import annotations

import pytest

from app.domain.mentions import EvidenceText, mentions_of

MANUAL = (
    "The X100 moves 2,000 litres. Its warranty lasts three years. Harrow & Pike, 2024. Dana Whitlock signs on page 17."
)

MENTIONED = [
    ("What is the warranty of the X100?", MANUAL),
    ("what does the x-100 weigh", MANUAL),
    ("Does the X 100 move 2000 litres?", MANUAL),
    ("Is 2.000 enough in 2024?", MANUAL),
    ("Who signs after 3 years at Harrow & Pike?", MANUAL),
    ("Is Dana Whitlock's signature there?", MANUAL),
    ("Has anybody else signed?", MANUAL),
    ("Can You Tell Me The Price Of A Ticket?", MANUAL),
    ("IS THERE A WARRANTY IN GERMANY?", MANUAL),
    ("Is it open on Sunday at 18:30?", MANUAL),
    ("Who is the CEO?", "Ada Byron is the chief executive officer."),
    ("What happened in World War 2?", "World War II ended."),
    ("Are 21 days paid?", "Twenty-one days are paid."),
    ("Is the flat on the 2nd floor?", "It is on the second floor."),
    ("¿Es el 3er piso?", "Está en el tercer piso."),
    ("Is the term 1 year?", "It lasts a year."),
    ("Is there a 24/7 line?", "Calls are answered around the clock."),
    ("How much is it in USD?", "It costs 39 dollars."),
    ("Wie lange gilt die Gewährleistung?", "Die Garantie gilt zwei Jahre."),
    ("Wann hat Frau Lindner unterschrieben?", "Unterschrieben von Erika Lindner."),
    ("Где находится Садовая улица?", "Дом 17 стоит на Садовой улице."),
    ("Où est le musée d'Orsay ?", "Le musée d’Orsay est à Paris."),
    ("X100の保証期間は?", "保証期間はX100で三年です。"),
    ("七号线几点?", "7号线六点开。"),
    ("五〇二室在哪里?", "502室在五楼。"),
    ("٢٠٢٤ كم؟", "في عام 2024"),
]
NOT_MENTIONED = [
    ("What is the warranty of the X200?", MANUAL),
    ("What is the warranty of the X10?", MANUAL),
    ("When did Acme buy Globex?", MANUAL),
    ("Is Globex's offer there?", MANUAL),
    ("What is the limit in 2031?", MANUAL),
    ("Does it move 3,000 litres?", MANUAL),
    ("Does it blink nine times?", MANUAL),
    ("Is it on the 5th floor?", "It is on the second floor."),
    ("What did Dana Scully sign?", MANUAL),
    ("Who said \u201cnever surrender\u201d?", MANUAL),
    ("Does it support NMEA?", MANUAL),
    ("¿Cuándo compró Acme la empresa Globex?", "La empresa vende bombas."),
    ("Quand Acme a-t-elle racheté Globex ?", "La société vend des pompes."),
    ("Wann kaufte Acme Globex?", "Die Firma verkauft Pumpen."),
    ("Was bedeutet E41?", "E18 bedeutet, dass der Ablauf verstopft ist."),
    ("Когда компания купила Глобекс?", "Компания продаёт насосы."),
    ("X200の保証期間は?", "X100の保証期間は三年です。"),
    ("洗碗机显示“E9”是什么故障?", "E8表示排水故障。"),
    ("八号线几点?", "7号线六点开。"),
    ("Kubernetes 는 무엇입니까?", "문서는 도커를 설명한다."),
    ("कंपनी ने Globex कब खरीदी?", "कंपनी पंप बेचती है।"),
    ("متى اشترت الشركة Globex؟", "الشركة تبيع المضخات."),
]


@pytest.mark.parametrize(("question", "text"), MENTIONED)
def test_mentioned(question: str, text: str) -> None:
    """Names and numbers are found whatever their spelling; words that are no names for sure are not required."""
    assert EvidenceText(text).mentions_all(mentions_of(question))


@pytest.mark.parametrize(("question", "text"), NOT_MENTIONED)
def test_not_mentioned(question: str, text: str) -> None:
    """A name, number, quotation or identifier that is nowhere in the text is missing."""
    assert not EvidenceText(text).mentions_all(mentions_of(question))


def test_mentions_in_other_texts() -> None:
    """The name of the document and its headings count as its text."""
    assert EvidenceText("x100-manual.pdf", "Warranty", "It lasts three years.").mentions_all(
        mentions_of("Is X100 safe?")
    )
