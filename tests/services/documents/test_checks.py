"""`parley check` finds documents whose rows contradict each other."""

from __future__ import annotations

from typing import Any

import pytest
import pytest_asyncio

from app.db import process_leases
from app.db.checks import conversations
from app.db.process_leases import LEASE_MS
from app.db.transaction import Transaction
from app.domain.ids import new_id
from tests.support.service import Service, serving, settings
from tests.support.sql import run_sql

pytestmark = pytest.mark.asyncio(loop_scope="module")

UNTIED = {
    "sqlite": ["PRAGMA foreign_keys = OFF"],
    "postgresql": ["SET session_replication_role = replica"],  # in which no trigger checks references
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def document(shared_service: Service) -> dict[str, Any]:
    """A consistent document, ingested once: tests roll their changes back."""
    return await shared_service.client.ingest(b"# One\n\nSome text.")


class RolledBack(Exception):
    """Ends a transaction that must not be committed."""


async def findings_after(service: Service, sql: str, *values: str) -> list[str]:
    """Return the findings of `parley check` after a statement, which is then rolled back."""
    found: list[str] = []

    def harm() -> Transaction[None]:
        yield from run_sql(sql, *values)
        found.extend((yield from conversations.findings(service.database.kind)))
        raise RolledBack

    with pytest.raises(RolledBack):
        await service.database.write(harm)
    assert await findings(service) == []
    return found


@pytest.mark.parametrize(
    ("damage", "finding"),
    [
        ("UPDATE documents SET chunk_count = 7 WHERE document_id = $1", "has a wrong chunk_count"),
        ("UPDATE documents SET bytes = 7 WHERE document_id = $1", "has a wrong number of bytes"),
        ("UPDATE documents SET status = 'failed' WHERE document_id = $1", "has chunks of another attempt"),
        ("UPDATE chunks SET generation = 9 WHERE document_id = $1", "has chunks of another attempt"),
        ("UPDATE documents SET embedding = 'x' WHERE document_id = $1", "without its embedder's vectors"),
        ("DELETE FROM document_texts WHERE document_id = $1", "is ready and has no text"),
        ("UPDATE documents SET status = 'processing' WHERE document_id = $1", "its process has no lease"),
        ("UPDATE documents SET status = 'deleting' WHERE document_id = $1", "its process has no lease"),
        ("UPDATE documents SET status = 'uploading' WHERE document_id = $1", "its process has no lease"),
        ("UPDATE documents SET replaces = document_id WHERE document_id = $1", "still replaces another"),
        ("UPDATE documents SET status = 'queued', replaces = document_id WHERE document_id = $1", "replaces one that"),
        ("UPDATE documents SET owner_id = NULL WHERE document_id = $1", "belongs to no user"),
    ],
)
async def test_inconsistent_document_is_found(
    shared_service: Service, document: dict[str, Any], damage: str, finding: str
) -> None:
    """`parley check` reports each inconsistent document in one sentence, and no consistent one."""
    found = await findings_after(shared_service, damage, document["document_id"])
    assert any(finding in each and document["document_id"] in each for each in found), found


async def findings(service: Service) -> list[str]:
    """Return the findings of `parley check`."""
    return await service.database.read(conversations.findings, service.database.kind)  # type: ignore[no-any-return]  # a script's


async def test_leased_document_is_consistent(shared_service: Service, document: dict[str, Any]) -> None:
    """A document that a living process ingests is not reported."""
    process_id = new_id()
    await shared_service.database.write(process_leases.heartbeat, process_id, LEASE_MS)
    taken = "UPDATE documents SET status = 'processing', process_id = $2 WHERE document_id = $1"
    assert await findings_after(shared_service, taken, document["document_id"], process_id) == []


async def test_orphans_are_found(database_url: str) -> None:
    """Rows of a document whose own row was deleted, with foreign keys off, are reported one by one."""
    async with serving(settings(database_url=database_url)) as service:
        document = await service.client.ingest(b"# One\n\nSome text.")

        def harm() -> Transaction[list[str]]:
            for statement in UNTIED[service.database.kind]:
                yield from run_sql(statement)
            yield from run_sql(f"DELETE FROM documents WHERE document_id = '{document['document_id']}'")
            return (yield from conversations.findings(service.database.kind))

        found = await service.database.read(harm)
    assert {each.partition(" does not exist, but ")[2] for each in found} >= {
        "bytes of it do",
        "its text does",
        "chunks of it do",
    }
