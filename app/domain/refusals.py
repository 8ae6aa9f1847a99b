"""Replies that no model writes, in the language of the question."""

from __future__ import annotations

NOTHING_FOUND = {
    "ar": "لا تذكر المستندات شيئًا عن ذلك.",
    "bg": "Документите не казват нищо за това.",
    "cs": "Dokumenty o tom nic neříkají.",
    "da": "Dokumenterne siger intet om det.",
    "de": "Die Dokumente sagen dazu nichts.",
    "el": "Τα έγγραφα δεν λένε τίποτα γι' αυτό.",
    "en": "The documents do not say anything about that.",
    "es": "Los documentos no dicen nada sobre eso.",
    "fi": "Asiakirjat eivät kerro siitä mitään.",
    "fr": "Les documents ne disent rien à ce sujet.",
    "he": "המסמכים אינם אומרים על כך דבר.",
    "hi": "दस्तावेज़ों में इसके बारे में कुछ नहीं कहा गया है।",
    "hu": "A dokumentumok erről semmit sem mondanak.",
    "it": "I documenti non dicono nulla al riguardo.",
    "ja": "文書にはそれについて何も書かれていません。",
    "ko": "문서에는 그에 대한 내용이 없습니다.",
    "nl": "De documenten zeggen daar niets over.",
    "no": "Dokumentene sier ingenting om det.",
    "pl": "Dokumenty nic o tym nie mówią.",
    "pt": "Os documentos não dizem nada sobre isso.",
    "ro": "Documentele nu spun nimic despre asta.",
    "ru": "В документах об этом ничего не сказано.",
    "sv": "Dokumenten säger inget om det.",
    "th": "เอกสารไม่ได้กล่าวถึงเรื่องนี้",
    "tr": "Belgeler bu konuda bir şey söylemiyor.",
    "uk": "У документах про це нічого не сказано.",
    "zh": "文档中没有提到这一点。",
}
NOT_SEARCHED = {
    "ar": "تعذّر البحث في المستندات الآن، لذلك لا توجد إجابة منها. يُرجى المحاولة مرة أخرى.",
    "de": "Die Dokumente konnten gerade nicht durchsucht werden, daher gibt es keine Antwort aus ihnen. "
    "Bitte versuchen Sie es noch einmal.",
    "en": "The documents could not be searched just now, so there is no answer from them. Please try again.",
    "es": "Ahora mismo no se han podido consultar los documentos, así que no hay respuesta a partir de ellos. "
    "Inténtelo de nuevo.",
    "fr": "Les documents n'ont pas pu être consultés à l'instant ; il n'y a donc pas de réponse tirée de ceux-ci. "
    "Veuillez réessayer.",
    "hi": "अभी दस्तावेज़ों में खोज नहीं हो सकी, इसलिए उनसे कोई उत्तर नहीं है। कृपया फिर से प्रयास करें।",
    "it": "In questo momento non è stato possibile cercare nei documenti, quindi non c'è una risposta tratta da essi. "
    "Riprovare.",
    "ja": "ただいま文書を検索できなかったため、文書からの回答はありません。もう一度お試しください。",
    "ko": "지금은 문서를 검색할 수 없어 문서에서 찾은 답변이 없습니다. 다시 시도해 주세요.",
    "nl": "De documenten konden zojuist niet worden doorzocht, dus er is geen antwoord uit die documenten. "
    "Probeer het opnieuw.",
    "pl": "Nie udało się teraz przeszukać dokumentów, więc nie ma z nich odpowiedzi. Proszę spróbować ponownie.",
    "pt": "Não foi possível pesquisar os documentos agora, por isso não há resposta a partir deles. Tente novamente.",
    "ru": "Сейчас не удалось выполнить поиск по документам, поэтому ответа из них нет. Попробуйте ещё раз.",
    "sv": "Dokumenten kunde inte genomsökas just nu, så det finns inget svar från dem. Försök igen.",
    "tr": "Belgeler şu anda aranamadı, bu yüzden onlardan bir yanıt yok. Lütfen yeniden deneyin.",
    "uk": "Зараз не вдалося виконати пошук у документах, тому відповіді з них немає. Спробуйте ще раз.",
    "zh": "刚才无法搜索文档，因此没有来自文档的答案。请重试。",
}


def nothing_found(language: str | None) -> str:
    """Return the reply to a question that the documents do not answer; in English where its language has no text."""
    return NOTHING_FOUND.get(language or "", NOTHING_FOUND["en"])


def not_searched(language: str | None) -> str:
    """Return the reply to a question for which the search failed; in English where its language has no text."""
    return NOT_SEARCHED.get(language or "", NOT_SEARCHED["en"])
