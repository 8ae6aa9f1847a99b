"""The checker of histories: each test breaks one promise in a history that kept all."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import httpx2
import pytest

from tests.history.check import Row, Stored, findings, reply_to
from tests.history.record import Call, Reading, Record

QUESTION = "Frage 1 von ada"
TEXT = reply_to(QUESTION)
ROWS = [
    Row("m1", "c", 1, "user", "completed", QUESTION, None, None),
    Row("m2", "c", 2, "assistant", "completed", TEXT, "stop", 1),
]
END = {"message_id": "m2", "conversation_id": "c", "role": "assistant", "sequence_number": 2, "status": "completed",
       "content": TEXT, "finish_reason": "stop", "error": None, "completed_at": "2026"}  # fmt: skip


def kept() -> tuple[Record, Stored]:
    """Return a history in which every promise was kept."""
    record = Record(acknowledged={QUESTION: "c"}, calls=[Call(QUESTION, 1.0, 2.0, [QUESTION])])
    record.readings.append(Reading("c", "m2", TEXT, copy.deepcopy(END)))
    record.add_message(copy.deepcopy(END))
    record.keyed[QUESTION].add("m2")
    return record, Stored(list(ROWS), {"c": 2})


def test_sound_history_passes() -> None:
    """A history that kept all promises has no findings."""
    assert findings(*kept()) == []


def changed(place: int, **values: Any) -> Callable[[Record, Stored], Stored]:
    """Return a break that changes values of a row."""

    def broken(_: Record, stored: Stored) -> Stored:
        rows = list(stored.rows)
        rows[place] = rows[place]._replace(**values)
        return stored._replace(rows=rows)

    return broken


def changed_record(act: Callable[[Record], object]) -> Callable[[Record, Stored], Stored]:
    """Return a break that changes the record of the clients."""

    def broken(record: Record, stored: Stored) -> Stored:
        act(record)
        return stored

    return broken


def refusal(status: int, **headers: str) -> httpx2.Response:
    """Return a refusal, which is a problem document only if its headers say so."""
    return httpx2.Response(status, headers=headers, request=httpx2.Request("GET", "http://x/y"))


PROBLEM = {"content-type": "application/problem+json"}
BREAKS = [
    ("I1", changed_record(lambda record: record.acknowledged.update({"Frage 2": "c"}))),
    ("I2", changed(1, sequence_number=3)),
    ("I3", changed_record(lambda record: record.calls.append(Call(QUESTION, 1.2, 3.0)))),
    ("I4", changed_record(lambda record: record.keyed[QUESTION].add("m4"))),
    ("I4", changed_record(lambda record: record.calls.append(Call(QUESTION, 4.0, 5.0)))),
    ("I5", changed(1, content=TEXT[:-1])),
    ("I5", changed(1, finish_reason=None)),
    ("I5", changed(1, content="something else", status="failed")),
    ("I5", changed_record(lambda record: setattr(record.calls[0], "prompt", [QUESTION, TEXT, QUESTION]))),
    ("I5", changed_record(lambda record: setattr(record.calls[0], "prompt", ["Frage 2", TEXT, QUESTION]))),
    ("I6", changed(1, status="in_progress")),
    ("I6", changed(1, status="queued")),
    ("I7", changed_record(lambda record: setattr(record.readings[0], "text", TEXT[1:]))),
    ("I7", changed_record(lambda record: setattr(record.readings[0], "end", None))),
    ("I7", changed_record(lambda record: record.readings[0].faults.append("id 3 with 4 characters"))),
    ("I8", changed_record(lambda record: record.add_message(END | {"status": "cancelled"}))),
    ("I8", changed(1, status="interrupted")),
    ("I11", changed_record(lambda record: record.refusals.append(refusal(500, **PROBLEM)))),
    ("I11", changed_record(lambda record: record.refusals.append(refusal(503, **PROBLEM)))),
    ("I11", changed_record(lambda record: record.refusals.append(refusal(404)))),
]


@pytest.mark.parametrize(("invariant", "break_it"), BREAKS)
def test_broken_promise_is_found(invariant: str, break_it: Callable[[Record, Stored], Stored]) -> None:
    """Each break is found as one of the invariant that it breaks."""
    record, stored = kept()
    assert invariant in {finding.partition(":")[0] for finding in findings(record, break_it(record, stored))}


def test_deleted_conversation_is_not_missed() -> None:
    """A conversation that a client deleted may be absent."""
    record, _ = kept()
    record.deleted.add("c")
    assert findings(record, Stored([], {})) == []


def test_reader_may_be_ahead_after_a_crash() -> None:
    """After a crash a reader may have received more than was saved if it begins with the saved text."""
    record, stored = kept()
    end = END | {"status": "interrupted", "content": TEXT[:5], "finish_reason": None}
    record.ended.clear()
    record.readings[0].end = end
    record.add_message(end)
    rows = [stored.rows[0], stored.rows[1]._replace(status="interrupted", content=TEXT[:5], finish_reason=None)]
    assert findings(record, stored._replace(rows=rows)) == []
