import asyncio
import contextlib
import signal
import subprocess
import sys

import orjson
import psutil
import pytest
import uvloop

from app.rag.child_process import frame_head
from app.rag.extraction.errors import ExtractionError
from app.rag.extraction.limits import Limits
from app.rag.sandbox.client import DocumentReader, installed
from app.rag.sandbox.protocol import ResultReader
from tests.support.documents import MARKDOWN, PDF, PLAIN, pdf

FORK_SERVER = "app.rag.sandbox.fork_server"
SLOW = b"pump " * 1_900_000
"""A text that takes many seconds to read; no test waits for its end."""


@pytest.fixture
async def reader():
    reader = DocumentReader(Limits(cpu_seconds=20))
    yield reader
    await reader.aclose()


def runs(process: psutil.Process) -> bool:
    """Return whether a process exists and is not a zombie."""
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def servers() -> list[psutil.Process]:
    """The fork servers of this process."""
    return [each for each in psutil.Process().children() if runs(each) and each.cmdline()[2:4] == ["-m", FORK_SERVER]]


def at_work() -> list[psutil.Process]:
    """The processes that read documents for this process."""
    return [each for server in servers() for each in server.children() if runs(each)]


async def until(condition) -> None:
    """Wait until a condition holds that another process brings about."""
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110  there is no event of another process to wait for
            await asyncio.sleep(0.01)


async def code_of(reading) -> tuple[str, bool]:
    """Return the failure code of a reading and whether it may be retried."""
    with pytest.raises(ExtractionError) as raised:
        await reading
    return raised.value.failure.code, raised.value.failure.retryable


async def test_document_arrives_whole(reader):
    """Text, chunks, outline and title of a large document arrive complete from the reader's process."""
    source = "# Täler\n\n" + "\n\n".join(
        f"## Part {n}\n\nText with 東京 and \U0001f600 number {n}." for n in range(4000)
    )
    document = await reader.read(source.encode(), MARKDOWN)
    assert len(document.text) > 150_000
    assert len(document.outline) == 1
    assert document.title == "Täler"
    assert all(each.content == document.text[each.start : each.end] for each in document.chunks)
    assert document.chunks[-1].content.endswith("number 3999.")


async def test_progress_is_reported_by_page(reader):
    """Finished pages are reported while the document is read, the last one at the end."""
    reported = []
    document = await reader.read(pdf([[("Hello", 12)]] * 30), PDF, lambda done, total: reported.append((done, total)))
    assert document.page_count == 30
    assert [page for chunk in document.chunks for _, page in chunk.later_pages] == list(range(2, 31))
    assert reported == sorted(reported)
    assert reported[-1] == (30, 30)


async def test_reading_does_not_block_the_loop(reader):
    """Other documents are read while a slow one keeps its process busy."""
    slow = asyncio.create_task(reader.read(SLOW, PLAIN))
    await until(at_work)
    for number in range(5):
        document = await reader.read(b"Short %d" % number, PLAIN)
        assert document.text == f"Short {number}"
    assert not slow.done()
    slow.cancel()
    await asyncio.gather(slow, return_exceptions=True)


async def test_concurrency_is_limited(reader):
    """No more documents are read at the same time than the reader has capacity for."""
    readings = [asyncio.create_task(reader.read(SLOW, PLAIN)) for _ in range(4)]
    await until(lambda: len(at_work()) == 2)
    assert reader.capacity.locked()
    for each in readings:
        each.cancel()
    await asyncio.gather(*readings, return_exceptions=True)
    await until(lambda: not at_work())
    assert not reader.capacity.locked()


async def test_cancel_kills_the_process(reader):
    """Cancelling a reading kills and reaps its process; the next document is read."""
    reading = asyncio.create_task(reader.read(SLOW, PLAIN))
    await until(at_work)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    await until(lambda: not at_work())
    assert (await reader.read(b"Next", PLAIN)).text == "Next"


async def test_killed_process_is_retryable(reader):
    """A process that is killed from outside, as by the OOM killer, gives a retryable failure."""
    reading = asyncio.create_task(reader.read(SLOW, PLAIN))
    await until(at_work)
    at_work()[0].kill()
    assert await code_of(reading) == ("extraction-interrupted", True)


async def test_killed_fork_server_restarts(reader):
    """When the fork server is killed its children die with it, and a new one reads the document again."""
    reading = asyncio.create_task(reader.read(SLOW, PLAIN))
    await until(at_work)
    old, child = servers()[0], at_work()[0]
    old.kill()
    await until(lambda: not runs(child))
    await until(lambda: at_work() and servers()[0].pid != old.pid)
    assert (await reader.read(b"Second", PLAIN)).text == "Second"
    reading.cancel()
    await asyncio.gather(reading, return_exceptions=True)


async def test_idle_fork_server_ends():
    """After an idle time the fork server ends and frees its memory; the next document starts another."""
    async with contextlib.aclosing(DocumentReader(idle_seconds=0.05)) as reader:
        assert (await reader.read(b"First", PLAIN)).text == "First"
        await until(lambda: not servers())
        assert (await reader.read(b"Second", PLAIN)).text == "Second"


async def test_close_leaves_nothing(reader):
    """A closed reader leaves no process, no descriptor and no pending reading, and reads no more."""
    before = psutil.Process().num_fds()
    reading = asyncio.create_task(reader.read(SLOW, PLAIN))
    await until(at_work)
    await reader.aclose()
    assert await code_of(reading) == ("extraction-interrupted", True)
    assert await code_of(reader.read(b"More", PLAIN)) == ("extraction-interrupted", True)
    assert servers() == []
    assert psutil.Process().num_fds() <= before


async def test_two_readers_in_one_process(reader):
    """Two readers in one process work independently."""
    async with contextlib.aclosing(DocumentReader()) as other:
        assert (await other.read(b"Other", PLAIN)).text == "Other"
        assert (await reader.read(b"One", PLAIN)).text == "One"
    assert (await reader.read(b"Two", PLAIN)).text == "Two"


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        (Limits(cpu_seconds=1), ("document-too-complex", False)),
        (Limits(wall_seconds=0.5), ("document-too-complex", True)),
    ],
)
async def test_time_is_limited(limits, expected):
    """A document that exceeds its CPU time is too complex; one that exceeds wall time may be retried."""
    async with contextlib.aclosing(DocumentReader(limits)) as reader:
        assert await code_of(reader.read(SLOW, PLAIN)) == expected
        await until(lambda: not at_work())


async def test_processes_have_no_secrets(reader, monkeypatch):
    """The processes that read documents have no secret in their environment and run at low priority."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    reading = asyncio.create_task(reader.read(SLOW, PLAIN))
    await until(at_work)
    for each in (*servers(), *at_work()):
        assert "sk-secret" not in str(each.environ())
        assert each.nice() >= 10
    reading.cancel()
    await asyncio.gather(reading, return_exceptions=True)


def test_reader_under_uvloop():
    """Documents are read under uvloop, the event loop of the service."""

    async def read() -> str:
        async with contextlib.aclosing(DocumentReader()) as reader:
            text = (await reader.read(b"Hello " * 100_000, PLAIN)).text
            return text.strip()[-5:]

    assert uvloop.run(read()) == "Hello"


KILLED = """
import asyncio
from app.rag.sandbox.client import DocumentReader

async def main():
    reading = asyncio.create_task(DocumentReader().read(b"pump " * 1_900_000, "text/plain"))
    await reading

asyncio.run(main())
"""


async def test_children_die_with_the_service():
    """When the service is killed the fork server and its children end."""
    service = psutil.Popen([sys.executable, "-c", KILLED], stdin=subprocess.DEVNULL)
    await until(lambda: len(service.children(recursive=True)) == 2)
    left = service.children(recursive=True)
    service.send_signal(signal.SIGKILL)
    service.wait()
    await until(lambda: not any(map(runs, left)))


def test_installed():
    """The check for installed libraries finds those of the test environment."""
    assert installed()


@pytest.mark.parametrize(
    ("kind", "payload"),
    [
        (b"?", b"[]"),
        (b"p", b"{"),
        (b"p", b"[1]"),
        (b"h", b"[[1]]"),
        (b"c", b"[[0, 1, null, 5, 6, null]]"),
        (b"t", b"\xff"),
        (b"e", b"7"),
    ],
)
def test_malformed_frames_are_refused(kind, payload):
    """A malformed frame from a reader's process raises an error and nothing else happens."""
    with pytest.raises((ValueError, TypeError, LookupError, AttributeError)):
        ResultReader(Limits()).feed(kind, payload)


def test_oversized_results_are_refused():
    """Text, chunks, headings and frames beyond the limits are refused, whatever the process sends."""
    receiver = ResultReader(Limits(characters=10))
    with pytest.raises(ExtractionError):
        receiver.feed(b"t", b"x" * 11)
    receiver = ResultReader(Limits(characters=10))
    receiver.feed(b"t", b"0123456789")
    receiver.feed(b"c", orjson.dumps([(0, 5, None, "", "", None)]))
    for start, end in ((0, 5), (4, 6), (6, 6), (6, 11)):
        with pytest.raises(ValueError):
            receiver.feed(b"c", orjson.dumps([(start, end, None, "", "", None)]))
    with pytest.raises(ValueError):
        receiver.feed(b"c", orjson.dumps([(5, 6, None, "", "x" * 21, None)]))
    with pytest.raises(ValueError):
        receiver.feed(b"h", orjson.dumps([(1, "x", 0)] * 1001))
    with pytest.raises(ValueError):
        frame_head(b"t\xff\xff\xff\xff")
