"""Answers of providers, observed or in unusual forms of real servers, with the expected reply or failure."""

from __future__ import annotations

import gzip
import json
import zlib
from dataclasses import dataclass
from pathlib import Path

from tests.support.answers import DONE, choice, chunk, document, event, given, stream, usage
from tests.support.replies import Raw

GIVEN = given()
PAIR = chunk("Hi ") + chunk("you")
STOP = chunk(finish="stop")
WHOLE = PAIR + STOP + DONE


@dataclass(frozen=True)
class Made:
    """The reply that an answer becomes."""

    text: str = "Hi you"
    reason: str = "stop"
    reasoning: str = ""
    tokens: tuple[int, int] | None = None
    """The provider's usage; None where it is estimated."""
    seconds: float = 0
    """Duration of the answer, with the pauses of the provider."""


@dataclass(frozen=True)
class Failed:
    """The failure that an answer becomes."""

    code: str
    attempts: int = 1
    text: str = ""
    says: str = ""


REFUSED = "HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\nconnection: close\r\n{}\r\n"
ERROR = '{"error": {"message": "no", "code": "invalid_api_key"}}'
COUNTED = Made(tokens=(7, 2))
TOKENS = {"prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9}
NONE_AT_ALL = Failed("provider-error", 1, says="no chat completion")
EXPECTED_OF_GIVEN: dict[str, Made | Failed] = {
    "stopevery-slow": Made("A B C D", seconds=3.4),
    "nofinish": Made(),
    "nofinish-usage": COUNTED,
    "emptyfinish": Made(),
    "nolastnl": Made(),
    "errafterstop": Made(),
    "pingtext": Made(),
    "datanull": Made(),
    "listcontent": Made(),
    "magistral": Made(reasoning="hmm"),
    "model_length": Made(reason="length"),
    "refusal": Made("I can't help with that.", "content_filter"),
    "message": Made(),
    "json200": COUNTED,
    "json200ctx": Failed("context-too-long"),
    "html200": NONE_AT_ALL,
    "gzip": COUNTED,
    "usagenull": Made(),
    "thinknoopen": Made(reasoning="hmm let me see\n"),
    "ctx-groq413": Failed("context-too-long"),
    "ctx-gemini": Failed("context-too-long"),
    "ctx-xai": Failed("context-too-long"),
    "ctx-lmstudio": Failed("context-too-long"),
    "mnf-gemini": Failed("unknown-model"),
    "mnf-deepseek": Failed("unknown-model"),
    "auth-gemini": Failed("provider-auth"),
    "pay-402": Failed("provider-auth"),
}
ENDS: dict[str, tuple[Raw, Made | Failed]] = {
    "stop on every chunk, at once": (stream(chunk("Hi ", "stop"), chunk("you", "stop"), DONE), Made()),
    "stop on every chunk, no [DONE]": (stream(chunk("Hi ", "stop"), chunk("you", "stop")), Made()),
    "stop on every chunk, then usage": (stream(chunk("Hi ", "stop"), chunk("you", "stop"), usage(**TOKENS)), COUNTED),
    "stop on every chunk but the last": (
        stream(chunk("Hi ", "stop"), chunk("you")),
        Failed("provider-truncated", text="Hi you"),
    ),
    "stop on every chunk, the last one empty": (
        stream(chunk("Hi ", "stop"), chunk("you", "stop"), chunk()),
        Failed("provider-truncated", text="Hi you"),
    ),
    "stop on every chunk, an error": (
        stream(chunk("Hi ", "stop"), chunk("you", "stop"), event({"error": {"message": "no"}})),
        Failed("provider-error", text="Hi you"),
    ),
    "stop on every chunk, a long pause": (
        stream(chunk("Hi ", "stop"), 1.5, chunk("you", "stop"), 20.0, chunk("!", "stop"), DONE),
        Made("Hi you!", seconds=21.5),
    ),
    "stop on every chunk, silence": (
        stream(chunk("Hi ", "stop"), 1.5, chunk("you", "stop"), 500.0, DONE),
        Failed("provider-timeout-idle", text="Hi you"),
    ),
    "stop, then 2 s of silence": (stream(PAIR, STOP, 50.0, DONE), Made(seconds=2)),
    "[DONE], then silence": (stream(PAIR, STOP, DONE, 50.0), Made(seconds=0.25)),
    "stop before the text, a long pause": (
        stream(chunk({"role": "assistant", "content": ""}, "stop"), 20.0, chunk("Hi "), chunk("you", "stop"), DONE),
        Made(seconds=20),
    ),
    "finishReason": (stream(PAIR, choice(delta={}, finishReason="MAX_TOKENS")), Made(reason="length")),
    "usage between stop and the end": (
        stream(PAIR, STOP, 1.5, usage(**TOKENS), 1.5, DONE),
        Made(tokens=(7, 2), seconds=3),
    ),
    "[DONE] as JSON": (stream(PAIR, event('"[DONE]"')), Made()),
    "[DONE] without a newline": (stream(PAIR, "data: [DONE]"), Made()),
    "[DONE] without a newline, then silence": (stream(PAIR, "data: [DONE]", 500.0), Made(seconds=0.25)),
    "[DONE], then more": (stream(WHOLE, chunk("more")), Made()),
    "no end": (stream(PAIR), Failed("provider-truncated", text="Hi you")),
    "nothing": (stream(), Failed("provider-truncated", 3)),
    "comments alone": (stream(": ping\n\n: ping\n\n"), Failed("provider-truncated", 3)),
    "a role alone": (stream(chunk({"role": "assistant", "content": ""})), Failed("provider-truncated", 3)),
    "stop in capitals": (stream(PAIR, chunk(finish="STOP")), Made()),
    "null as a word": (stream(chunk("Hi ", "null"), 3.0, chunk("you", "null"), STOP), Made(seconds=3)),
    "eos": (stream(PAIR, chunk(finish="eos")), Made()),
    "end_turn": (stream(PAIR, chunk(finish="end_turn")), Made()),
    "COMPLETE": (stream(PAIR, chunk(finish="COMPLETE")), Made()),
    "MAX_TOKENS": (stream(PAIR, chunk(finish="MAX_TOKENS")), Made(reason="length")),
    "SAFETY": (stream(PAIR, chunk(finish="SAFETY")), Made(reason="content_filter")),
    "sensitive": (stream(PAIR, chunk(finish="sensitive")), Made(reason="content_filter")),
    "finish as an object": (stream(PAIR, chunk(finish={"type": "max_tokens"})), Made(reason="length")),
    "network_error": (stream(PAIR, chunk(finish="network_error")), Failed("provider-error", text="Hi you")),
    "abort": (stream(PAIR, chunk(finish="abort")), Failed("provider-error", text="Hi you")),
}
FRAMES: dict[str, tuple[Raw, Made | Failed]] = {
    "byte order mark": (stream(b"\xef\xbb\xbf", WHOLE), Made()),
    "byte order mark, one chunk": (stream(b"\xef\xbb\xbf", chunk("Hi you", "stop")), Made()),
    "byte order marks further on": (
        stream(": ping\n\n", b"\xef\xbb\xbf", chunk("Hi "), b"\xef\xbb\xbf", chunk("you"), STOP, DONE),
        Made(),
    ),
    "data: twice": (stream(chunk("Hi "), chunk("you").replace("data:", "data: data:"), STOP, DONE), Made()),
    "text in a payload of another form": (
        stream(chunk("Hi "), event('b\'{"choices": [{"delta": {"content": "you"}}]}\''), STOP, DONE),
        Failed("provider-error", text="Hi "),
    ),
    "no blank behind data:": (stream(WHOLE.replace("data: ", "data:")), Made()),
    "CRLF": (stream(WHOLE.replace("\n", "\r\n")), Made()),
    "CR": (stream(WHOLE.replace("\n", "\r")), Made()),
    "no blank lines": (stream(WHOLE.replace("\n\n", "\n")), Made()),
    "capital field": (stream(WHOLE.replace("data:", "Data:")), Made()),
    "ids and events": (stream(WHOLE.replace("data:", "id: 1\nevent: message\nretry: 5\ndata:")), Made()),
    "a newline behind data:": (stream(WHOLE.replace("data: ", "data:\n ")), Made()),
    "OpenRouter's comments": (stream(": OPENROUTER PROCESSING\n\n", WHOLE), Made()),
    "one object in several lines": (
        stream(chunk("Hi "), 'data: {"choices": [\ndata: {"delta": {"content":\ndata: "you"}}]}\n\n', STOP),
        Made(),
    ),
    "objects without data:": (stream(WHOLE.replace("data: ", "").replace("[DONE]", "")), Made()),
    "objects without data:, cut": (
        stream(PAIR.replace("data: ", "")),
        Failed("provider-truncated", text="Hi you"),
    ),
    "two objects in one line": (
        stream(event('{"choices":[{"delta":{"content":"Hi "}}]},{}'), chunk("you"), STOP),
        Made(),
    ),
    "events in a list": (stream(event([{"choices": [{"delta": {"content": "Hi you"}}]}]), STOP), Made()),
    "ping first": (stream(event("ping"), WHOLE), Made()),
    "odd payloads": (
        stream(chunk("Hi "), *map(event, ["[]", "3", '"x"', "true", "{}", "", "[1]", "NaN"]), chunk("you"), STOP),
        Made(),
    ),
    "Anthropic's ping": (stream(event({"type": "ping"}), WHOLE), Made()),
    "a broken object without text": (stream(chunk("Hi "), event('{"choices": [{'), chunk("you"), STOP, DONE), Made()),
    "a broken object with text": (
        stream(chunk("Hi "), event('{"choices": [{"delta": {"content": "yo'), STOP, DONE),
        Failed("provider-error", text="Hi "),
    ),
    "quotes of Python": (
        stream(chunk("Hi "), event("{'choices': [{'delta': {'content': 'you'}}]}"), STOP, DONE),
        Failed("provider-error", text="Hi "),
    ),
    "bare control characters": (stream(PAIR.replace("you", "y\tu"), STOP), Made("Hi y\tu")),
    "half a character": (
        stream(b'data: {"choices":[{"delta":{"content":"Hi \xf0\x9f"}}]}\n\n', STOP),
        Made("Hi \ufffd"),
    ),
    "odd behind the finish": (
        stream(PAIR, STOP, event('{"choices": [{"delta": {"content": "yo'), event({"choices": 7}), "<html>\n", DONE),
        Made(),
    ),
    "a broken object behind the finish, no [DONE]": (stream(PAIR, STOP, event('{"usage": {"prompt')), Made()),
    "a reset behind the finish": (
        Raw(["HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nfff\r\n", PAIR, STOP]),
        Made(),
    ),
    "a refusal in gzip, with a mark": (
        Raw([REFUSED.format("content-encoding: gzip\r\n"), gzip.compress(b"\xef\xbb\xbf" + ERROR.encode())]),
        Failed("provider-auth"),
    ),
    "gzip, not announced": (stream(gzip.compress(WHOLE.encode())), Made()),
    "gzip in members": (stream(*(gzip.compress(each.encode()) for each in (PAIR, STOP))), Made()),
    "deflate": (stream(zlib.compress(WHOLE.encode()), head="content-encoding: deflate\r\n"), Made()),
    "raw deflate": (stream(zlib.compress(WHOLE.encode(), wbits=-15), head="content-encoding: deflate\r\n"), Made()),
    "gzip, cut": (
        stream(gzip.compress(PAIR.encode())[:-12]),
        Failed("provider-truncated", text="Hi "),
    ),
    "gzip of something else": (stream(b"\x1f\x8bno gzip at all"), Failed("provider-truncated", 3)),
}
TEXTS: dict[str, tuple[Raw, Made | Failed]] = {
    "parts": (
        stream(chunk({"content": [{"type": "text", "text": "Hi "}, {"type": "text", "text": "you"}]}), STOP),
        Made(),
    ),
    "parts as texts": (stream(chunk({"content": ["Hi ", "you"]}), STOP), Made()),
    "one part": (stream(chunk({"content": {"type": "text", "text": "Hi you"}}), STOP), Made()),
    "a reference among parts": (
        stream(
            chunk({"content": [{"type": "text", "text": "Hi you"}, {"type": "reference", "reference_ids": [1]}]}), STOP
        ),
        Made(),
    ),
    "a thought as text": (
        stream(chunk({"content": [{"type": "thinking", "thinking": "hmm"}]}), PAIR, STOP),
        Made(reasoning="hmm"),
    ),
    "a content that cannot be read": (
        stream(chunk("Hi "), chunk({"content": 7}), STOP, DONE),
        Failed("provider-error", text="Hi "),
    ),
    "reasoning_content": (stream(chunk({"reasoning_content": "hmm"}), PAIR, STOP), Made(reasoning="hmm")),
    "reasoning and its details": (
        stream(
            chunk({"reasoning": "hmm", "reasoning_details": [{"type": "reasoning.text", "text": "hmm"}]}), PAIR, STOP
        ),
        Made(reasoning="hmm"),
    ),
    "details alone": (
        stream(chunk({"reasoning_details": [{"type": "reasoning.summary", "summary": "hmm"}]}), PAIR, STOP),
        Made(reasoning="hmm"),
    ),
    "encrypted details": (
        stream(chunk({"reasoning_details": [{"type": "reasoning.encrypted", "data": "x"}]}), PAIR, STOP),
        Made(),
    ),
    "refusal in pieces": (
        stream(chunk({"refusal": "I "}), chunk({"content": None, "refusal": "can't."}), STOP),
        Made("I can't.", "content_filter"),
    ),
    "refusal in a message": (
        document({"choices": [{"message": {"content": None, "refusal": "No."}, "finish_reason": "stop"}]}),
        Made("No.", "content_filter"),
    ),
    "a filter without a text": (stream(chunk(finish="content_filter")), Made("", "content_filter")),
    "a length without a text": (stream(chunk(finish="length")), Made("", "length")),
    "thoughts up to the length": (
        stream(chunk({"reasoning_content": "hmm"}), chunk(finish="length")),
        Made("", "length", "hmm"),
    ),
    "nothing, stop": (stream(STOP, DONE), Failed("provider-error", 3, says="empty")),
    "nothing, [DONE]": (stream(DONE), Failed("provider-error", 3, says="empty")),
    "nothing, tool_calls": (
        stream(chunk({"tool_calls": [{"index": 0, "function": {"name": "f"}}]}, "tool_calls"), DONE),
        Failed("provider-error", 3, says="empty"),
    ),
    "thoughts alone": (stream(chunk({"reasoning_content": "hmm"}), STOP), Failed("provider-error", says="empty")),
    "blanks alone": (stream(chunk(" \n"), STOP), Made(" \n")),
    "an empty document": (document({"choices": [], "usage": TOKENS}), NONE_AT_ALL),
    "messages that grow": (
        stream(choice(message={"content": "Hi "}), choice(message={"content": "Hi you"}, finish_reason="stop")),
        Made(),
    ),
    "messages one after another": (
        stream(choice(message={"content": "Hi "}), choice(message={"content": "you"}, finish_reason="stop")),
        Made(),
    ),
    "deltas beside messages": (
        stream(
            choice(delta={"content": "Hi "}, message={"content": "Hi "}),
            choice(delta={"content": "you"}, message={"content": "Hi you"}),
            choice(delta={}, message={"content": "Hi you"}, finish_reason="stop"),
        ),
        Made(),
    ),
    "a message behind deltas": (stream(PAIR, choice(message={"content": "Hi you"}, finish_reason="stop")), Made()),
    "texts": (stream(choice(text="Hi "), choice(text="you", finish_reason="stop")), Made()),
    "a document in lines": (
        document('{\n "choices": [\n  {"message":\n {"content": "Hi you"},\n "finish_reason": "stop"}\n ]\n}\n'),
        Made(),
    ),
    "a document without a finish reason": (document({"choices": [{"message": {"content": "Hi you"}}]}), Made()),
    "a document with parts and thoughts": (
        document({"choices": [{"message": {"content": [{"type": "text", "text": "Hi you"}], "reasoning": "hmm"}}]}),
        Made(reasoning="hmm"),
    ),
    "a document with a mark": (document("\ufeff" + '{"choices": [{"message": {"content": "Hi you"}}]}'), Made()),
    "plain text": (document("It works!", kind="text/plain"), NONE_AT_ALL),
    "a JSON that is something else": (document({"status": "ok"}), NONE_AT_ALL),
}
USAGES: dict[str, tuple[Raw, Made | Failed]] = {
    "half null": (stream(WHOLE.replace(DONE, ""), usage(prompt_tokens=7, completion_tokens=None)), Made()),
    "half there": (stream(WHOLE.replace(DONE, ""), usage(prompt_tokens=7)), Made()),
    "total in place of completion": (stream(PAIR, STOP, usage(prompt_tokens=7, total_tokens=9)), COUNTED),
    "zeros": (stream(PAIR, STOP, usage(prompt_tokens=0, completion_tokens=0, total_tokens=0)), Made()),
    "null behind numbers": (stream(PAIR, STOP, usage(**TOKENS), usage(prompt_tokens=None)), COUNTED),
    "other names": (stream(PAIR, STOP, usage(input_tokens=7, output_tokens=2)), COUNTED),
    "in the choice": (stream(PAIR, chunk(finish="stop", usage=TOKENS)), COUNTED),
    "in every chunk": (
        stream(*(event({"choices": [{"delta": {"content": each}}], "usage": TOKENS}) for each in ("Hi ", "you")), STOP),
        COUNTED,
    ),
}
ERRORS = json.loads((Path(__file__).parents[1] / "contracts" / "llm" / "refusals.json").read_text())
"""Observed errors by provider: statuses with a body, and events or documents after a 200."""
REFUSALS: dict[str, tuple[Raw, Made | Failed]] = {
    each["name"]: (document(each["body"], each["status"]), Failed(each["code"], each["attempts"]))
    for each in ERRORS["refusals"]
}
IN_STREAMS: dict[str, tuple[Raw, Made | Failed]] = {
    each["name"]: (
        document(each["document"]) if "document" in each else stream(each["events"]),
        Failed(each["code"], each["attempts"], each["text"]),
    )
    for each in ERRORS["streams"]
}
TABLE = (
    {name: (answer, EXPECTED_OF_GIVEN[name]) for name, answer in GIVEN.items()}
    | {f"end: {name}": row for name, row in ENDS.items()}
    | {f"frame: {name}": row for name, row in FRAMES.items()}
    | {f"text: {name}": row for name, row in TEXTS.items()}
    | {f"usage: {name}": row for name, row in USAGES.items()}
    | {f"refusal: {name}": row for name, row in REFUSALS.items()}
    | {f"stream: {name}": row for name, row in IN_STREAMS.items()}
)
