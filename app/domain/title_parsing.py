"""Parse a model's reply to "write a title": models wrap the title, announce it, offer several, or decline.

Every rule is anchored at the start or the end of the reply, of a line, or of a JSON member: the words that wrap a
title ("title", "here is") are also words of titles.
"""

from __future__ import annotations

import contextlib
import html
import json
import re
from itertools import islice

from app.domain.markdown import TEXT, folded, plain_line

MAX_CHARACTERS = 4_000
"""Characters of a reply that are read."""

MAX_DEPTH = 6
"""Levels of JSON that are read."""

MAX_WRAPPINGS = 8
"""Nested wrappings that are removed from a line."""

_NOUN = (
    "(?:title|headline|titel|titre|título|titulo|titolo|titlu|tytuł|název|cím|rubrik|otsikko|başlık|judul|tiêu đề"
    "|заголовок|название|назва|τίτλος|כותרת|(?:ال)?عنوان|शीर्षक|ชื่อเรื่อง|หัวข้อ|标题|標題|题目|題目|タイトル|題名|제목)"
)
_COLON = r"\s*[*_]*\s*[:：]\s*[*_]*\s*(?:#{1,6} )?"
# Up to five words that describe a title; none that makes it a part of something else: "how to write a title".
_DESCRIBED = r"(?:(?!(?:to|of|for|on|in|about|how|why|and)\b)[\w'’-]+,? ){0,5}"
_ABOUT = r"(?: (?:for|of|to|based on|für|pour|para|per|voor) [^\n:：.!?]{1,60})?"

_THOUGHTS = re.compile(r"\s*<(think|thinking|thought|reasoning|analysis)>.*?(?:</\1>|\Z)", re.IGNORECASE | re.DOTALL)
_THOUGHTS_END = re.compile(r"\n[ \t]*</think(?:ing)?>|</think(?:ing)?>[ \t]*\n", re.IGNORECASE)
_TEMPLATE = re.compile(r"<\|[^|<>\n]{1,40}\|>|</?s>|<(?:eos|bos|(?:start|end)_of_turn)>|\[/?INST\]")
_FENCE = re.compile(r"^[ \t]*(?:`{3,}|~{3,})[\w+-]*[ \t]*$|^[ \t]*`{3,}(?:json|xml|html|markdown)[ \t]+", re.MULTILINE)
_TAGGED = re.compile(
    r"(?:^|\n|[:：])[\s*_\"'`]{0,20}<((?:\w{1,20}_)?title|answer|output|response|result|h[1-6])\b[^<>]*>"
    r"(?:(.*?)</\1\s*>|(?=\S)([^<]*)\Z)",
    re.IGNORECASE | re.DOTALL,
)
_UNOPENED = re.compile(r"(?!.*<title\b)(.*\S)</title\s*>", re.IGNORECASE)
_WRAPPED = re.compile(r"<(\w{1,20})\b[^<>]*>(.*)</\1\s*>", re.IGNORECASE)

_JSON = re.compile(r"(?:^|\n|[:：`])[ \t]*([{\[])")
_NAMED = re.compile(_NOUN, re.IGNORECASE)
_OBJECT = re.compile(r"""[{\[]+\s*["']\w+["']\s*:""")
_MEMBER = re.compile(r"""["']\w{0,20}title["']\s*:\s*(["'])(.*?)(?:(?<!\\)\1|\Z)""", re.IGNORECASE | re.DOTALL)
_KEYS = re.compile(r"name|subject|topic|text|content|message|answer|result|response|output", re.IGNORECASE)
_OTHER_KEYS = re.compile(
    r"error|refus|reason|explan|thought|lang|type|role|\bid\b|confiden|status|model", re.IGNORECASE
)

_YES = re.compile(
    r"¡?(?:sure(?: thing)?|certainly|of course|absolutely|okay|ok|alright|got it|understood|gladly|no problem|gerne"
    r"|klar|natürlich|bien sûr|d'accord|claro(?: que sí)?|por supuesto|certo|certamente|natuurlijk|конечно|хорошо"
    r"|tabii|elbette|好的|当然|當然|はい|承知しました|わかりました|もちろん|네|물론입니다|بالتأكيد|بالطبع)"
    r"(?P<stop>\s*[!.！。]+|(?P<pause>\s*[,，、–—:-]|(?=\s*\Z)))\s*",
    re.IGNORECASE,
)
_HERE_IS = (
    r"(?:here(?:['’]s| is| are)|this is|below (?:is|are)|i(?:['’]d| would)? (?:suggest|propose|recommend)|how about"
    r"|hier (?:ist|sind|is|zijn)|voici|aquí (?:está|tienes)|aqui (?:está|vai)|ecco|вот|إليك)"
)
_GIVEN = r"(?:(?:based on|given|for) [^\n:：.!?]{1,80}, )?"
_ANNOUNCED = re.compile(
    rf"{_GIVEN}{_HERE_IS} {_DESCRIBED}{_NOUN}s?{_ABOUT}{_COLON}"
    r"|(?:以下是|这是|這是|以下は|こちらは|다음은)[^\n:：]{0,30}[:：]\s*"
    rf"|{_GIVEN}(?:a|an|the|one|my|der|le|el|il|o) {_DESCRIBED}{_NOUN}{_ABOUT} "
    r"(?:(?:would|could|might) be\s*[:：]?\s*|(?:is|lautet|ist|est|es|é|è)\s*(?:[:：]\s*|(?=[\"“«„「])))"
    r"|i(?:['’]d| would) (?:title|call|name) (?:this|the|it)\b[^\n\"“«„「:]{0,60}[:,]? (?=[\"“«„「])"
    r"|(?:here you (?:go|are)|here['’]s (?:one|mine|my suggestion))\s*(?:[:：!.]+\s*|\Z)"
    r"|(?:how about|i(?:['’]d| would)? (?:go with|suggest|propose|recommend)):? (?=[\"“«„「])"
    rf"|(?:{_HERE_IS}|based on|given)\b[^\n]*[:：]\Z",
    re.IGNORECASE,
)
_LABEL = re.compile(
    rf"(?:(?:the|your|my|new|suggested|proposed|possible|recommended|final|generated|short|concise|conversation|chat"
    rf"|thread|对话|對話|会话|會話|聊天|建议|建議|推荐)(?:的| )?){{0,3}}"
    rf"{_NOUN}(?: ?(?:案|是|[#№]?\d{{1,2}}|\([^()\n]{{1,40}}\)))?"
    rf"(?: for (?:this|the|our|your) (?:conversation|chat|thread|discussion))?{_COLON}"
    r"|(?:assistant|final answer|answer|response|output|option ?#?[\dA-C]"
    r"|subject|topic|betreff|thema|sujet|asunto|тема|主题)"
    rf"{_COLON}|{_NOUN} [–—-] ",
    re.IGNORECASE,
)
_ALONE = re.compile(
    rf"(?:(?:the|a|your|suggested|possible|proposed|conversation|chat) ){{0,2}}{_NOUN}s?", re.IGNORECASE
)

_DECLINED = re.compile(
    r"(?:i(?:['’]m| am) (?:\w+ )?sorry|sorry|i apologi[sz]e|unfortunately|as an? ai)\b.{0,80}?"
    r"\b(?:can(?:['’]?t|not| not)|unable|not able|won['’]?t|do(?:n['’]t| not)|language model)\b"
    r"|i (?:can(?:['’]?t|not| not)|am unable|am not able|won['’]t|don['’]t have) "
    r"(?:to )?(?:help|assist|create|generate|provide|write|give|comply|fulfil|title|enough|any)"
    r"|(?:please|could you(?: please)?|can you(?: please)?) (?:provide|share|clarify|give me|send)\b"
    r"|there is no (?:conversation|content|text)\b"
    r"|it (?:seems|looks|appears) (?:like |that )?(?:there|you|the conversation)\b"
    r"|es tut mir leid|leider kann ich|je suis désolée?\b|désolée?, (?:mais )?je|lo siento, (?:pero )?no"
    r"|desculpe, (?:mas )?não|mi dispiace, (?:ma )?non|извините, (?:но )?я|к сожалению, я"
    r"|(?:很)?抱歉[，,]|对不起[，,]|我无法|申し訳(?:ありません|ございません)|죄송(?:합니다|하지만)"
    r"|(?:n/?a|none|null|undefined|untitled(?: conversation| chat)?|no title|\.\.\.|your title here|title here)\W*\Z",
    re.IGNORECASE,
)
_COUNTED = re.compile(r"\s*\((?:\d+|one|two|three|four|five|six) (?:words?|characters?)\)\W*\Z", re.IGNORECASE)
_FOLLOW_UP = re.compile(
    r"(?<=[.!?。！？\"”»])\s+(?:let me know|i hope|feel free|would you like|do you want|does this|is there anything"
    r"|this title|this captures|(?:the|this) conversation (?:is|was)\b|note:|explanation:).*",
    re.IGNORECASE,
)
_EXPLANATION = re.compile(
    r"\s*(?:[.!?。]?\s*\Z|[.。]\s|\((?:this|because)\b|[–—,-]*\s*(?:this|because|captures|reflects)\b)",
    re.IGNORECASE,
)

_PAIRS = {
    '"': '"', "'": "'", "`": "`", "“": "”", "„": "“”", "”": "”", "‘": "’", "‚": "‘’", "«": "»", "»": "«", "‹": "›",
    "「": "」", "『": "』", "《": "》", "〈": "〉", "【": "】", "＂": "＂", "[": "]", "{": "}", "(": ")", "|": "|",
}  # fmt: skip
"""Opening marks around a whole title, each with its possible closing marks."""

_APOSTROPHE = re.compile(r"'\w")
_ABBREVIATED = re.compile(r"(?:\.|\.\w|\b(?:inc|ltd|co|corp|jr|sr|etc|vs))\.\Z", re.IGNORECASE)


def parse_title(reply: str) -> str | None:
    """Return the title in a model's reply, on one line and without marks; None where there is none."""
    text = _TEMPLATE.sub("", reply[:MAX_CHARACTERS].rpartition("<|message|>")[2])
    while thoughts := _THOUGHTS.match(text):
        text = text[thoughts.end() :]
    text = _FENCE.sub("", _THOUGHTS_END.split(text)[-1]).strip()
    if (found := _in_json(text)) is not None:
        text = found
    elif (tagged := _TAGGED.search(text)) and (inner := tagged[2] or tagged[3]):
        text = html.unescape(inner)
    return _first_title(text)


def _in_json(text: str) -> str | None:
    """Return the title in a JSON value that starts a line: empty where it has no title, None without such a value."""
    if text.startswith('"'):
        with contextlib.suppress(ValueError):
            return str(json.loads(text))
    for start in islice(_JSON.finditer(text), 3):
        behind_words = start[0].startswith((":", "："))  # of a title that is about JSON, perhaps
        try:
            value, end = json.JSONDecoder(strict=False).raw_decode(text, start.start(1))
        except (ValueError, RecursionError):
            if cut_off := _MEMBER.search(text, start.start(1)):
                return cut_off[2].replace('\\"', '"')
            if _OBJECT.match(text, start.start(1)) and not behind_words:
                return ""
            continue
        if behind_words and not _names_title(value):
            continue
        if not text[end:].partition("\n")[0].strip(" \t.`"):
            return _string_in(value, MAX_DEPTH) or ""
    return None


def _names_title(value: object) -> bool:
    """Return whether a JSON value is an object with a member named like a title."""
    return isinstance(value, dict) and any(map(_NAMED.search, value))


def _string_in(value: object, depth: int) -> str | None:
    """Return the string in a JSON value that is most likely the title; None where there is no string."""
    if isinstance(value, str):
        return value
    if isinstance(value, dict):
        keys = sorted((key for key in value if not _OTHER_KEYS.search(key)), key=_rank)
        value = [value[key] for key in keys]
    if not isinstance(value, list) or not depth:
        return None
    found = (_string_in(each, depth - 1) for each in value)
    return next((each for each in found if each and each.strip()), None)


def _rank(key: str) -> int:
    """Rank the name of a JSON member: the lower, the more likely it is the title."""
    named = _NAMED.search(key)
    return int(named[0] != key) if named else 2 if _KEYS.fullmatch(key) else 3


def _first_title(text: str) -> str | None:
    """Return the first line that may be a title, unwrapped; None without one, or where the reply declines first."""
    for line in map(plain_line, text.splitlines()):
        title = _unwrapped(line)
        if _DECLINED.match(line) or _DECLINED.match(title):
            return None
        if TEXT.search(title) and not _ALONE.fullmatch(title):
            return title
    return None


def _unwrapped(line: str) -> str:
    """Remove announcement, label, enclosing marks and explanation from a line."""
    for _ in range(MAX_WRAPPINGS):
        before = line
        line = _unquoted(_unannounced(_FOLLOW_UP.sub("", _COUNTED.sub("", line)).strip()))
        if wrapped := _WRAPPED.fullmatch(line):
            line = folded(html.unescape(wrapped[2]))
        if unopened := _UNOPENED.fullmatch(line):  # where the prompt or a server has opened it
            line = unopened[1]
        line = line if _ABBREVIATED.search(line) else re.sub(r"\s*[.。:：]\Z", "", line)
        if line == before:
            break
    return line


def _unannounced(line: str) -> str:
    if (yes := _YES.match(line)) and (not yes["pause"] or _ANNOUNCED.match(line, yes.end())):
        line = line[yes.end() :]
    if wrapping := _ANNOUNCED.match(line) or _LABEL.match(line):
        line = line[wrapping.end() :]
    return line


def _unquoted(line: str) -> str:
    """Remove quotes or brackets around the whole line; those around a part of it stay."""
    closing = _PAIRS.get(line[:1])
    if closing is None:
        alone = line[-1:] in {'"', "”"} and not re.search('["“”„]', line[:-1]) and not line[-2:-1].isdigit()
        return line[:-1] if alone else line
    ends = [at for at, mark in enumerate(line) if at and mark in closing and not _APOSTROPHE.match(line, at)]
    if not ends:
        return line[1:] if line[0] in '"“„«「《' and closing not in line[1:] else line
    if _EXPLANATION.match(line, ends[0] + 1):
        return line[1 : ends[0]].strip()
    whole = ends[-1] == len(line.rstrip(".")) - 1 and line[ends[0] - 1].isspace()
    return line[1 : ends[-1]].strip() if whole else line
