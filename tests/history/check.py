"""The invariants I1 to I8 and I11, over all that was told, all that is stored and all that the provider was asked."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from tests.history.record import Reading, Record

OVERLAP_SECONDS = 0.5
"""How much later than the process a provider may notice that it was left."""

FINAL = ("status", "content", "finish_reason", "error", "sequence_number")


class Row(NamedTuple):
    """A stored message."""

    message_id: str
    conversation_id: str
    sequence_number: int
    role: str
    status: str
    content: str
    finish_reason: str | None
    answers: int | None


ROWS = f"SELECT {', '.join(Row._fields)} FROM messages ORDER BY conversation_id, sequence_number"
LAST = "SELECT conversation_id, last_sequence FROM conversations"


class Stored(NamedTuple):
    """A database, read when all had come to rest."""

    rows: Sequence[Row]
    last_sequence: Mapping[str, int]

    def question_of(self, reply: Row) -> str | None:
        """What a reply answers."""
        places = {(row.conversation_id, row.sequence_number): row.content for row in self.rows}
        return places.get((reply.conversation_id, reply.answers or 0))


def reply_to(question: str) -> str:
    """What the provider says to a question: more than ASCII, and like no other."""
    return f"Zu „{question}“: 😀 ναί, {question[::-1]} … fertig."


def findings(record: Record, stored: Stored) -> list[str]:
    """A sentence for each promise that was broken."""
    checks = (lost, misnumbered, at_once, doubled, untrue, mistold, unfinished, misread, contradicted, unclear)
    return [finding for check in checks for finding in check(record, stored)]


def lost(record: Record, stored: Stored) -> Iterator[str]:
    """I1: an acknowledged question is stored."""
    questions = {row.content for row in stored.rows if row.role == "user"}
    for question, conversation_id in record.acknowledged.items():
        if question not in questions and conversation_id not in record.deleted:
            yield f"I1: {question!r} was acknowledged and is not stored"


def misnumbered(_: Record, stored: Stored) -> Iterator[str]:
    """I2: numbers are 1..N."""
    numbers: dict[str, list[int]] = defaultdict(list)
    for row in stored.rows:
        numbers[row.conversation_id].append(row.sequence_number)
    for conversation_id, last in stored.last_sequence.items():
        if numbers[conversation_id] != list(range(1, last + 1)):
            yield f"I2: {conversation_id} has the numbers {numbers[conversation_id]} up to {last}"


def at_once(record: Record, _: Stored) -> Iterator[str]:
    """I3: the provider is never asked two things of one conversation at once."""
    calls: dict[str, list[Any]] = defaultdict(list)
    for call in record.calls:
        calls[record.acknowledged.get(call.question, call.question)].append(call)
    for conversation_id, of_it in calls.items():
        for one, other in pairwise(sorted(of_it, key=lambda call: call.began)):
            if one.ended > other.began + OVERLAP_SECONDS:
                yield f"I3: {conversation_id} was at {one.question!r} and {other.question!r} at once"


def doubled(record: Record, stored: Stored) -> Iterator[str]:
    """I4: one key is one turn, and a turn is sent to the provider once."""
    for question, replies in record.keyed.items():
        if len(replies) > 1:
            yield f"I4: the key of {question!r} was answered with {len(replies)} turns"
    replies_to: dict[str | None, int] = defaultdict(int)
    asked: dict[str, int] = defaultdict(int)
    questions = [row.content for row in stored.rows if row.role == "user"]
    for row in stored.rows:
        replies_to[stored.question_of(row)] += row.role == "assistant"
    for call in record.calls:
        asked[call.question] += 1
    for question in record.keyed:
        if questions.count(question) > 1:
            yield f"I4: {question!r} is stored {questions.count(question)} times under one key"
    for question in questions:
        if asked[question] > replies_to[question]:
            yield f"I4: {question!r} went to the provider {asked[question]} times for {replies_to[question]} replies"


def untrue(_: Record, stored: Stored) -> Iterator[str]:
    """I5: a completed reply is what the provider sent, any other a beginning of it."""
    for row in stored.rows:
        question = stored.question_of(row)
        if row.role != "assistant" or question is None:
            continue
        sent = reply_to(question)
        if row.status == "completed" and (row.content, row.finish_reason) != (sent, "stop"):
            yield f"I5: {row.message_id} is completed with {row.content!r}"
        if not sent.startswith(row.content):
            yield f"I5: {row.message_id} has what was never sent: {row.content!r}"


def mistold(record: Record, _: Stored) -> Iterator[str]:
    """I5, for prompts: each earlier question is told once, before one reply to it, and the question itself once."""
    for call in record.calls:
        questions, replies = call.told[::2], call.told[1::2]
        pairs = zip(questions, replies, strict=False)
        if len(set(questions)) < len(questions) or not all(reply_to(asked).startswith(reply) for asked, reply in pairs):
            yield f"I5: for {call.question!r} a model was told {call.told}"


def unfinished(_: Record, stored: Stored) -> Iterator[str]:
    """I6: every turn has come to an end."""
    for row in stored.rows:
        if row.status in {"queued", "in_progress"}:
            yield f"I6: {row.message_id} is {row.status} for ever"


def misread(record: Record, _: Stored) -> Iterator[str]:
    """I7: what a reader has put together is the reply, or, after a crash, begins with it."""
    for reading in record.readings:
        yield from (f"I7: a reader of {reading.message_id} got {fault}" for fault in reading.faults)
        if reading.end is None and reading.conversation_id not in record.deleted:
            yield f"I7: a reader of {reading.message_id} never came to its end"
        if reading.end is not None and not agrees(reading, reading.end):
            yield f"I7: a reader of {reading.message_id} has {reading.text!r}, not {reading.end['content']!r}"


def agrees(reading: Reading, end: Mapping[str, Any]) -> bool:
    """Whether a reader's text may stand beside the terminal event's message."""
    if reading.text == end["content"]:
        return True
    # The process may have died after it had sent more than it had saved.
    return end["status"] in {"interrupted", "cancelled"} and reading.text.startswith(end["content"])


def contradicted(record: Record, stored: Stored) -> Iterator[str]:
    """I8: whoever is told of an end is told the same, and so it is stored."""
    rows = {row.message_id: row for row in stored.rows}
    for message_id, told in record.ended.items():
        versions = {tuple(str(message[name]) for name in FINAL) for message in told}
        if len(versions) > 1:
            yield f"I8: {message_id} was told as {sorted(versions)}"
        row = rows.get(message_id)
        if row is not None and (row.status, row.content) != (told[0]["status"], told[0]["content"]):
            yield f"I8: {message_id} was told as {told[0]['status']} and is stored as {row.status}: {row.content!r}"


def unclear(record: Record, _: Stored) -> Iterator[str]:
    """I11: a refusal is a problem that says when to come again, and never a fault of the service's own."""
    for refusal in record.refusals:
        kind, code = refusal.headers.get("content-type"), refusal.status_code
        clear = kind == "application/problem+json" and ("retry-after" in refusal.headers) == (code in {429, 503})
        if not clear or code == 500:
            yield f"I11: {refusal.request.method} {refusal.request.url.path} was answered {code}: {refusal.text}"
