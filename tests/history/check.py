"""The invariants I1 to I8 and I11, over all responses, all stored rows and all calls of the provider."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from tests.history.record import Reading, Record

OVERLAP_SECONDS = 0.5
"""Seconds by which a provider may notice a closed connection later than the process."""

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
    """The rows of a database after all turns have ended."""

    rows: Sequence[Row]
    last_sequence: Mapping[str, int]

    def question_of(self, reply: Row) -> str | None:
        """Return the question of a reply; None if it is not stored."""
        places = {(row.conversation_id, row.sequence_number): row.content for row in self.rows}
        return places.get((reply.conversation_id, reply.answers or 0))


def reply_to(question: str) -> str:
    """Return the provider's unique reply to a question, with characters beyond ASCII."""
    return f"Zu „{question}“: 😀 ναί, {question[::-1]} … fertig."


def findings(record: Record, stored: Stored) -> list[str]:
    """Return a sentence for each violation of an invariant."""
    checks = (
        lost_questions,
        numbering_gaps,
        parallel_calls,
        duplicated_turns,
        altered_replies,
        altered_prompts,
        unfinished_turns,
        wrong_readings,
        contradictions,
        unclear_errors,
    )
    return [finding for check in checks for finding in check(record, stored)]


def lost_questions(record: Record, stored: Stored) -> Iterator[str]:
    """I1: an acknowledged question is stored."""
    questions = {row.content for row in stored.rows if row.role == "user"}
    for question, conversation_id in record.acknowledged.items():
        if question not in questions and conversation_id not in record.deleted:
            yield f"I1: {question!r} was acknowledged and is not stored"


def numbering_gaps(_: Record, stored: Stored) -> Iterator[str]:
    """I2: numbers are 1..N."""
    numbers: dict[str, list[int]] = defaultdict(list)
    for row in stored.rows:
        numbers[row.conversation_id].append(row.sequence_number)
    for conversation_id, last in stored.last_sequence.items():
        if numbers[conversation_id] != list(range(1, last + 1)):
            yield f"I2: {conversation_id} has the numbers {numbers[conversation_id]} up to {last}"


def parallel_calls(record: Record, _: Stored) -> Iterator[str]:
    """I3: the provider never gets two calls of one conversation at the same time."""
    calls: dict[str, list[Any]] = defaultdict(list)
    for call in record.calls:
        calls[record.acknowledged.get(call.question, call.question)].append(call)
    for conversation_id, of_it in calls.items():
        for one, other in pairwise(sorted(of_it, key=lambda call: call.began)):
            if one.ended > other.began + OVERLAP_SECONDS:
                yield f"I3: {conversation_id} had {one.question!r} and {other.question!r} at the same time"


def duplicated_turns(record: Record, stored: Stored) -> Iterator[str]:
    """I4: one key is one turn, and a turn is sent to the provider once."""
    for question, replies in record.keyed.items():
        if len(replies) > 1:
            yield f"I4: the key of {question!r} was answered with {len(replies)} turns"
    replies_to: dict[str | None, int] = defaultdict(int)
    calls: dict[str, int] = defaultdict(int)
    questions = [row.content for row in stored.rows if row.role == "user"]
    for row in stored.rows:
        replies_to[stored.question_of(row)] += row.role == "assistant"
    for call in record.calls:
        calls[call.question] += 1
    for question in record.keyed:
        if questions.count(question) > 1:
            yield f"I4: {question!r} is stored {questions.count(question)} times under one key"
    for question in questions:
        if calls[question] > replies_to[question]:
            yield f"I4: {question!r} went to the provider {calls[question]} times for {replies_to[question]} replies"


def altered_replies(_: Record, stored: Stored) -> Iterator[str]:
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


def altered_prompts(record: Record, _: Stored) -> Iterator[str]:
    """I5, for prompts: each earlier question is sent once, before one reply to it, and the question itself once."""
    for call in record.calls:
        questions, replies = call.prompt[::2], call.prompt[1::2]
        pairs = zip(questions, replies, strict=False)
        if len(set(questions)) < len(questions) or not all(reply_to(each).startswith(reply) for each, reply in pairs):
            yield f"I5: for {call.question!r} a model was sent {call.prompt}"


def unfinished_turns(_: Record, stored: Stored) -> Iterator[str]:
    """I6: every turn has ended."""
    for row in stored.rows:
        if row.status in {"queued", "in_progress"}:
            yield f"I6: {row.message_id} stays {row.status}"


def wrong_readings(record: Record, _: Stored) -> Iterator[str]:
    """I7: the text that a reader has joined is the reply, or, after a crash, begins with it."""
    for reading in record.readings:
        yield from (f"I7: a reader of {reading.message_id} got {fault}" for fault in reading.faults)
        if reading.end is None and reading.conversation_id not in record.deleted:
            yield f"I7: a reader of {reading.message_id} got no terminal event"
        if reading.end is not None and not agrees(reading, reading.end):
            yield f"I7: a reader of {reading.message_id} has {reading.text!r}, not {reading.end['content']!r}"


def agrees(reading: Reading, end: Mapping[str, Any]) -> bool:
    """Return whether a reader's text agrees with the message of the terminal event."""
    if reading.text == end["content"]:
        return True
    # The process may have died after it had sent more than it had saved.
    return end["status"] in {"interrupted", "cancelled"} and reading.text.startswith(end["content"])


def contradictions(record: Record, stored: Stored) -> Iterator[str]:
    """I8: all responses about a finished message are the same, and equal the stored row."""
    rows = {row.message_id: row for row in stored.rows}
    for message_id, messages in record.ended.items():
        versions = {tuple(str(message[name]) for name in FINAL) for message in messages}
        if len(versions) > 1:
            yield f"I8: {message_id} was returned as {sorted(versions)}"
        row = rows.get(message_id)
        if row is not None and (row.status, row.content) != (messages[0]["status"], messages[0]["content"]):
            yield f"I8: {message_id} was {messages[0]['status']} and is stored as {row.status}: {row.content!r}"


def unclear_errors(record: Record, _: Stored) -> Iterator[str]:
    """I11: an error is a problem document, with Retry-After where a retry may succeed, and never a 500."""
    for refusal in record.refusals:
        kind, code = refusal.headers.get("content-type"), refusal.status_code
        clear = kind == "application/problem+json" and ("retry-after" in refusal.headers) == (code in {429, 503})
        if not clear or code == 500:
            yield f"I11: {refusal.request.method} {refusal.request.url.path} was answered {code}: {refusal.text}"
