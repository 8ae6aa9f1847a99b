"""Titles in the answers of models."""

from __future__ import annotations

import json

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from app.domain.titles import title_in_reply

BARE = [
    ("Planning a trip to Rome", "Planning a trip to Rome"),
    ("  Planning a trip to Rome.\n", "Planning a trip to Rome"),
    ("Choosing a book title: five tips", "Choosing a book title: five tips"),
    ("How to write a title: a guide", "How to write a title: a guide"),
    ("Book title: how to choose one", "Book title: how to choose one"),
    ("A good title: why it matters", "A good title: why it matters"),
    ("Here is how to write a title: tips", "Here is how to write a title: tips"),
    ("Title insurance: what it covers", "Title insurance: what it covers"),
    ("Titles of books", "Titles of books"),
    ("Titles: a short history", "Titles: a short history"),
    ("A job title is not a job", "A job title is not a job"),
    ("Subtitle: how films get theirs", "Subtitle: how films get theirs"),
    ("Title IX - an overview", "Title IX - an overview"),
    ("Python: lists and tuples", "Python: lists and tuples"),
    ('The meaning of "love"', 'The meaning of "love"'),
    ('"Hamlet" in modern cinema', '"Hamlet" in modern cinema'),
    ('"Hamlet": a review', '"Hamlet": a review'),
    ('"Dune" (the film)', '"Dune" (the film)'),
    ("(Re)building trust", "(Re)building trust"),
    ('"Cats" and "Dogs"', '"Cats" and "Dogs"'),
    ("'Tis the season", "'Tis the season"),
    ("Rock 'n' roll of the '60s", "Rock 'n' roll of the '60s"),
    ("The dogs' breakfast", "The dogs' breakfast"),
    ('A screen of 27"', 'A screen of 27"'),
    ("The <title> tag in HTML", "The <title> tag in HTML"),
    ("How <think> tags work", "How <think> tags work"),
    ("<title> element in HTML explained", "<title> element in HTML explained"),
    ("Sure-fire ways to sleep", "Sure-fire ways to sleep"),
    ("OK, computer", "OK, computer"),
    ("Sorry for the delay", "Sorry for the delay"),
    ("Parsing {json} and [lists]", "Parsing {json} and [lists]"),
    ('Reading JSON: {"title": ...}', 'Reading JSON: {"title": ...}'),
    ('Reading JSON: {"a": 1}', 'Reading JSON: {"a": 1}'),
    ("Python slices: [1, 2, 3]", "Python slices: [1, 2, 3]"),
    ("Using <title> and </title>", "Using <title> and </title>"),
    ("Here you go again: a song", "Here you go again: a song"),
    ("Moving to the U.S.", "Moving to the U.S."),
    ("To be continued...", "To be continued..."),
    ("C# basics", "C# basics"),
    ("snake_case and obj.__dict__ in Python", "snake_case and obj.__dict__ in Python"),
    ("[1] citations explained", "[1] citations explained"),
    ("\U0001f389 Planning a party", "\U0001f389 Planning a party"),
    ("罗马旅行计划。", "罗马旅行计划"),
    ("《红楼梦》读后感", "《红楼梦》读后感"),
    ("「東京」の旅", "「東京」の旅"),
    ("Перевод названия: как выбрать", "Перевод названия: как выбрать"),
    ("כיצד לבחור כותרת: מדריך", "כיצד לבחור כותרת: מדריך"),
]
QUOTED = [
    ('"Planning a trip"', "Planning a trip"),
    ('"Planning a trip."', "Planning a trip"),
    ('"Planning a trip".', "Planning a trip"),
    ("“Planning a trip”", "Planning a trip"),
    ("'Planning a trip'", "Planning a trip"),
    ("'Mum's trip'", "Mum's trip"),
    ("`Planning a trip`", "Planning a trip"),
    ("„Reise planen“", "Reise planen"),
    ("»Reise planen«", "Reise planen"),
    ("« Un voyage à Rome »", "Un voyage à Rome"),
    ("「旅行の計画」", "旅行の計画"),
    ("《罗马旅行计划》", "罗马旅行计划"),
    ("【旅行の計画】", "旅行の計画"),
    ("[Planning a trip]", "Planning a trip"),
    ('"A "grand" tour"', 'A "grand" tour'),
    (r'"A \"grand\" tour"', 'A "grand" tour'),
    ('"Planning a trip', "Planning a trip"),
    ('Planning a trip"', "Planning a trip"),
    ('**"Within marks"**', "Within marks"),
    ('"**Within quotes**"', "Within quotes"),
    ("\u2067שלום\u2069", "שלום"),
]
LABELLED = [
    ("Title: Planning a trip", "Planning a trip"),
    ("title:Planning a trip", "Planning a trip"),
    ("TITLE: Planning a trip", "Planning a trip"),
    ("New title: Planning a trip", "Planning a trip"),
    ("**Title:** Planning a trip", "Planning a trip"),
    ("**Title**: Planning a trip", "Planning a trip"),
    ("**Title: Planning a trip**", "Planning a trip"),
    ("# Title: Planning a trip", "Planning a trip"),
    ("Title: # Planning a trip", "Planning a trip"),
    ("The title: Planning a trip", "Planning a trip"),
    ("Conversation title: Planning a trip", "Planning a trip"),
    ("Suggested Title: “Planning a trip”", "Planning a trip"),
    ("Title (6 words): Planning a trip", "Planning a trip"),
    ("Title for this conversation: Planning a trip", "Planning a trip"),
    ("Title: Choosing a book title: five tips", "Choosing a book title: five tips"),
    ("Title - Planning a trip", "Planning a trip"),
    ("Title:\nPlanning a trip", "Planning a trip"),
    ("Title\n=====\nPlanning a trip", "Planning a trip"),
    ("**Title**\n\nPlanning a trip", "Planning a trip"),
    ("Assistant: Planning a trip", "Planning a trip"),
    ("Final answer: **Planning a trip**", "Planning a trip"),
    ("Titel: Reise planen", "Reise planen"),
    ("Titre : Un voyage à Rome", "Un voyage à Rome"),
    ("Título: Un viaje a Roma", "Un viaje a Roma"),
    ("Заголовок: Поездка в Рим", "Поездка в Рим"),
    ("标题：罗马旅行计划", "罗马旅行计划"),
    ("タイトル：旅行の計画", "旅行の計画"),
    ("제목: 로마 여행 계획", "로마 여행 계획"),
    ("العنوان: رحلة إلى روما", "رحلة إلى روما"),
    ("שיחה", "שיחה"),
    ("---\ntitle: Planning a trip\n---", "Planning a trip"),
]
ANNOUNCED = [
    ("Sure! Here is a title: Planning a trip", "Planning a trip"),
    ("Sure! Here is a title:\nPlanning a trip", "Planning a trip"),
    ("Sure, here's a concise title for this conversation:\n\n**Planning a trip**", "Planning a trip"),
    ("Sure!\n\nPlanning a trip", "Planning a trip"),
    ("Sure! Planning a trip", "Planning a trip"),
    ("Certainly. Here’s a short, descriptive title: “Planning a trip”", "Planning a trip"),
    ("Of course! The title is: Planning a trip.", "Planning a trip"),
    ('A good title for this conversation would be "Planning a trip".', "Planning a trip"),
    ("A fitting title would be: Planning a trip", "Planning a trip"),
    ('I would title this conversation "Planning a trip"', "Planning a trip"),
    ("Based on the conversation, here is a title: Planning a trip", "Planning a trip"),
    ("Based on the conversation, I came up with this:\nPlanning a trip", "Planning a trip"),
    ("Here are three possible titles:\n\n1. Planning a trip\n2. Rome in spring\n3. Italy", "Planning a trip"),
    ("Got it. Here you go:\n\nPlanning a trip", "Planning a trip"),
    ("Sure! Here you go!\n\nPlanning a trip", "Planning a trip"),
    ("Here’s one: “Planning a trip”", "Planning a trip"),
    ('How about "Planning a trip"?', "Planning a trip"),
    ('I\'d go with "Planning a trip".', "Planning a trip"),
    ("Here is a title: Choosing a book title: five tips", "Choosing a book title: five tips"),
    ("Hier ist ein passender Titel: Reise planen", "Reise planen"),
    ("Gerne! Hier ist ein Titel:\n„Reise planen“", "Reise planen"),
    ("Bien sûr ! Voici un titre : « Un voyage à Rome »", "Un voyage à Rome"),
    ("¡Claro! Aquí tienes un título: Un viaje a Roma", "Un viaje a Roma"),
    ("Конечно! Вот заголовок: «Поездка в Рим»", "Поездка в Рим"),
    ("好的，以下是标题：\n罗马旅行计划", "罗马旅行计划"),
    ("はい、以下はタイトルです：「旅行の計画」", "旅行の計画"),
]
SEVERAL = [
    ("1. Planning a trip\n2. Rome in spring", "Planning a trip"),
    ("1) **Planning a trip**\n2) **Rome**", "Planning a trip"),
    ("- Planning a trip\n- Rome in spring", "Planning a trip"),
    ("Option 1: Planning a trip\nOption 2: Rome in spring", "Planning a trip"),
    ('1. "Planning a trip" – this captures the theme', "Planning a trip"),
    ("Planning a trip\n\nThis title captures the main theme.", "Planning a trip"),
    ('"Planning a trip" (this captures the theme)', "Planning a trip"),
    ('"Planning a trip". Let me know if you want another!', "Planning a trip"),
    ("Planning a trip. Let me know if you want another!", "Planning a trip"),
    ("Planning a trip (4 words)", "Planning a trip"),
    ("Planning a trip\n\n```python\nprint(1)\n```", "Planning a trip"),
    ("## A heading\n\nand more", "A heading"),
    ("«Bonjour.»\nIt says hello.", "Bonjour"),
    ("Suggested titles:\n- Planning a trip\n- Rome", "Planning a trip"),
    ("Trip to Rome:\n- day one", "Trip to Rome"),
    ("word " * 400, "word " * 11 + "word\u2026"),
    ('"' + "w" * 100 + '"', "w" * 59 + "\u2026"),
    ("\u4e2d" * 2_000, "\u4e2d" * 59 + "\u2026"),
]
MARKED_UP = [
    ('{"title": "Planning a trip"}', "Planning a trip"),
    ('{"title": "Planning a \\"grand\\" trip\\u2026"}', 'Planning a "grand" trip\u2026'),
    ('```json\n{"title": "Planning a trip"}\n```', "Planning a trip"),
    ('```\n{"title": "Planning a trip"}\n```', "Planning a trip"),
    ('```json {"title": "Planning a trip"} ```', "Planning a trip"),
    ('Here is the JSON:\n```json\n{\n  "title": "Planning a trip"\n}\n```\nLet me know!', "Planning a trip"),
    ('{"conversation": {"language": "en", "title": "Planning a trip"}}', "Planning a trip"),
    ('{"reasoning": "It is about Rome.", "chat_title": "Planning a trip"}', "Planning a trip"),
    ('{"subtitle": "Rome", "title": "Planning a trip"}', "Planning a trip"),
    ('{"titles": ["Planning a trip", "Rome"]}', "Planning a trip"),
    ('["Planning a trip", "Rome"]', "Planning a trip"),
    ('Here it is: {"title": "Planning a trip"}', "Planning a trip"),
    ('Here it is: {"title": "Planning a tr', "Planning a tr"),
    ('{"name": "Planning a trip"}', "Planning a trip"),
    ('{"result": {"text": "Title: **Planning a trip**"}}', "Planning a trip"),
    ('{"headline": "Planning a trip", "language": "en"}', "Planning a trip"),
    ("{'title': \"Mum's trip\"}", "Mum's trip"),
    ('{"title": "Planning a tr', "Planning a tr"),
    ("{Planning a trip}", "Planning a trip"),
    ("```\nPlanning a trip\n```", "Planning a trip"),
    ("```markdown\n# Planning a trip\n```", "Planning a trip"),
    ("```Planning a trip```", "Planning a trip"),
    ("Here is a title:\n```text\nPlanning a trip\n```", "Planning a trip"),
    ("<title>Planning a trip</title>", "Planning a trip"),
    ("<title>\n  Mum &amp; Dad&#39;s trip\n</title>", "Mum & Dad's trip"),
    ("Here is a title: <title>Planning a trip</title> as you wished", "Planning a trip"),
    ("<title>Planning a trip", "Planning a trip"),
    ("Planning a trip</title>", "Planning a trip"),
    ("Planning a trip</title>\nIt is about Rome.", "Planning a trip"),
    ("<answer><title>Planning a trip</title></answer>", "Planning a trip"),
    ("<chat_title>Planning a trip</chat_title>", "Planning a trip"),
    ("<h1>Planning a trip</h1>", "Planning a trip"),
    ("<b>Planning a trip</b>", "Planning a trip"),
    ("<b>Planning&#10;a&#x202e; trip</b>", "Planning a trip"),
    ("**Planning a trip**", "Planning a trip"),
    ("***Planning a trip***", "Planning a trip"),
    ("### Planning a trip ###", "Planning a trip"),
    ("> Planning a trip", "Planning a trip"),
    ("[Planning a trip](https://example.org)", "Planning a trip"),
    ("| Planning a trip |", "Planning a trip"),
    ("<think>Rome?\n</think>\n\nPlanning a trip", "Planning a trip"),
    ("<thinking>x</thinking>Planning a trip", "Planning a trip"),
    ("The user asks about Rome.\n</think>\n\nPlanning a trip", "Planning a trip"),
    ("<think>a</think><think>b</think>Title: Planning a trip", "Planning a trip"),
    ("Planning a trip<|im_end|>", "Planning a trip"),
    ("<|channel|>analysis<|message|>Rome<|end|><|channel|>final<|message|>Planning a trip", "Planning a trip"),
    ("Planning a trip</s>", "Planning a trip"),
]
NOTHING = [
    "",
    " \n ",
    '""',
    "**",
    "```\n```",
    "---",
    "Title:",
    "**Title:**",
    "Title",
    "Untitled",
    "N/A",
    "None",
    "null",
    "{}",
    '{"title": null}',
    '{"title": ""}',
    '{"error": "I cannot do that"}',
    "[" * 4_000,
    '{"a":' * 800,
    "<title></title>",
    "<think>for ever",
    "Sure!",
    "Sure! Here is a title:",
    "I'm sorry, but I can't help with that.",
    "I’m sorry, but I can’t assist with that request.\n\nPlease try another.",
    "I cannot create a title for this.",
    "Sorry, I am not able to do that",
    "As an AI language model, I do not have opinions.",
    "Unfortunately, I can't write a title without more context.",
    "I don't have enough information to write a title.",
    "Please provide the conversation.",
    "Could you please share more details?",
    "There is no conversation to title.",
    "Title: \"I'm sorry, but I can't assist with that.\"",
    "Es tut mir leid, dabei kann ich nicht helfen.",
    "Je suis désolé, mais je ne peux pas.",
    "Lo siento, no puedo ayudar con eso.",
    "Извините, но я не могу помочь.",
    "抱歉，我无法提供标题。",
    "申し訳ありませんが、お答えできません。",
]


@pytest.mark.parametrize(
    ("answer", "title"),
    [*BARE, *QUOTED, *LABELLED, *ANNOUNCED, *SEVERAL, *MARKED_UP, *((each, None) for each in NOTHING)],
)
def test_title_is_found(answer: str, title: str | None) -> None:
    """A title is found bare, quoted, labelled, announced, among several or in markup; its words are unchanged."""
    assert title_in_reply(answer) == title


WORDS = (
    "title",
    "Title:",
    "Sure!",
    "here",
    "is",
    "a",
    '"',
    "'",
    "**",
    "`",
    "{",
    "}",
    "[",
    "]",
    ":",
    ".",
    "(",
    "<title>",
)
PIECES = st.lists(
    st.sampled_from([*WORDS, "</title>", "\n", " ", "#", "1.", "-", "I'm", "sorry", "can't", "Rome", "中", "：", "」"])
)


@given(st.text() | PIECES.map(" ".join) | PIECES.map("".join))
@example("(" * 5_000)
@settings(max_examples=500)
def test_title_is_one_short_line(answer: str) -> None:
    """Any answer gives a title of one line with 1 to 60 characters, or None."""
    title = title_in_reply(answer)
    assert title is None or (1 <= len(title) <= 60 and title == " ".join(title.split()))


PLAIN = st.lists(
    st.sampled_from(["Rome", "lists", "and", "weather", "42", "Über", "罗马", "Рим"]), min_size=1, max_size=6
)


@given(
    PLAIN.map(" ".join),
    st.sampled_from(["{}", '"{}"', "Title: {}", "**{}**", "# {}", "Sure! Here is a title:\n{}", "1. {}\n2. x"]),
)
def test_wrapped_title_is_unwrapped(title: str, wrapping: str) -> None:
    """A title of plain words is the same in any wrapping."""
    assert title_in_reply(wrapping.format(title)) == title


@given(st.text(max_size=50))
def test_title_in_json(title: str) -> None:
    """JSON gives the same title as its text alone, unless that is JSON or a fence itself."""
    if not any(mark in title for mark in '{}[]"`<~'):
        assert title_in_reply(json.dumps({"title": title})) == title_in_reply(title)


@pytest.mark.parametrize(
    "part",
    [
        "Sure! ",
        "Title: ",
        '"',
        "'",
        "a title ",
        "here is a ",
        "<title>",
        "x</title>",
        "</think>\n",
        "{",
        "[",
        "{\n",
        ": [",
        "(",
        "1. ",
        "I'm sorry ",
        "**",
        "<b>",
        "```\n",
        ". let me know ",
        "the title is ",
    ],
)
def test_hostile_answers_are_parsed_quickly(part: str) -> None:
    """The longest answer made of one repeated part is parsed in about linear time."""
    title = title_in_reply(part * 50_000)
    assert title is None or len(title) <= 60
