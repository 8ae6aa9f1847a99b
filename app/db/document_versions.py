"""Versions of a name: a user's ready documents with the same name, of which the last uploaded is the newest."""

from __future__ import annotations

from sqlalchemy import case, func, select

from app.db.expressions import parameter
from app.db.models import DocumentRow
from app.domain.documents import DocumentStatus
from app.domain.file_names import DEFAULT_NAME

# Documents that were uploaded without a name have nothing in common.
VERSION = case(
    (DocumentRow.name == DEFAULT_NAME, 1),
    else_=func.row_number().over(
        partition_by=DocumentRow.name,
        order_by=(
            func.coalesce(DocumentRow.uploaded_at, DocumentRow.created_at).desc(),
            DocumentRow.document_id.desc(),
        ),
    ),
).label("version")
"""1 for the newest of the documents that a query selects with the same name, 2 for the one before it, and so on."""
VERSIONS = (
    select(DocumentRow.document_id, VERSION)
    .where(DocumentRow.owner_id == parameter(DocumentRow.owner_id), DocumentRow.status == DocumentStatus.READY)
    .subquery()
)
NEWEST = select(VERSIONS.c.document_id).where(VERSIONS.c.version == 1)
"""Ids of the user's ready documents without older versions."""
