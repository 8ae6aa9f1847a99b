from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Annotated, Any
from urllib.parse import quote
from uuid import UUID

from fastapi import APIRouter, Depends, Header, Query
from pydantic import Field, TypeAdapter, ValidationError
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from app.api import pagination
from app.api.dependencies import ApiCall, Call, ScopeParams, call_with
from app.api.json_encoding import json_response
from app.api.multipart import FILE, USER_ID, read_form
from app.api.openapi_responses import Responses, refusals, with_headers
from app.api.schemas.documents import DocumentOut, PassageOut, SearchBody, document_json, passage_json
from app.api.schemas.events import DOCUMENT_EVENTS_SCHEMA
from app.api.schemas.fields import USER_ID_SCHEMA, Limit, UserId
from app.api.sse import MEDIA_TYPE, NOTHING_MORE, EventStream, event, nothing_more
from app.domain.documents import DocumentStatus
from app.errors import (
    DatabaseUnavailable,
    DocumentNotFound,
    DocumentNotReady,
    Draining,
    InvalidRequest,
    NotInstalled,
    Unavailable,
)
from app.rag.extraction.registry import FORMATS, readable_media_types
from app.services.documents.progress import WatchedDocument

router = APIRouter(tags=["documents"], prefix="/documents")

USER_IDS: TypeAdapter[str] = TypeAdapter(UserId)
LAST = "end"
"""Id of the last event."""
TERMINAL_EVENTS = {DocumentStatus.READY: "document.ready", DocumentStatus.FAILED: "document.failed"}

# Browsers must save an upload and never run it in this origin.
AS_DATA = {"X-Content-Type-Options": "nosniff", "Content-Security-Policy": "sandbox; default-src 'none'"}
RUN_BY_BROWSERS = {"text/html", "application/xhtml+xml", "image/svg+xml", "text/xml", "application/xml"}
BYTES = "application/octet-stream"

CONTENT_TYPES = {kind: BYTES if kind in RUN_BY_BROWSERS else kind for kind in FORMATS}
"""`Content-Type` of a document's bytes, by its detected media type."""

UPLOAD_FORM: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": [FILE, USER_ID],
                    "additionalProperties": False,
                    "properties": {
                        FILE: {"type": "string", "format": "binary", "description": "The document; not empty."},
                        USER_ID: USER_ID_SCHEMA | {"description": "Your own id of the user."},
                    },
                },
                "example": {FILE: "You have 30 days of leave.", USER_ID: "ada"},
                "encoding": {FILE: {"contentType": ", ".join(readable_media_types())}},
            }
        },
    }
}
UPLOADED: Responses = refusals(NotInstalled, Draining, DatabaseUnavailable, Unavailable) | {
    200: {
        "description": "The document already uploaded with the same bytes, now with this name and media type.",
        "model": DocumentOut,
    }
    | with_headers("Location"),
    202: {"description": "The queued document."} | with_headers("Location"),
}
LISTED: Responses = {200: {"description": "A page of documents."} | with_headers("Link")}
EVENTS: Responses = {
    200: {"description": "Progress of the document.", "content": {MEDIA_TYPE: {"schema": DOCUMENT_EVENTS_SCHEMA}}},
    **NOTHING_MORE,
}
TEXT: Responses = {200: {"description": "The text.", "content": {"text/plain": {"schema": {"type": "string"}}}}}
# OpenAPI 3.1 has no schema for bytes.
CONTENT: Responses = {
    200: {
        "description": "The uploaded bytes.",
        "content": {each: {} for each in CONTENT_TYPES.values()},
    }
    | with_headers("Content-Disposition")
}
ONE = refusals(DocumentNotFound, DatabaseUnavailable)


class UploadParams(ScopeParams):
    """Query parameters of an upload."""

    links: bool = Field(False, description="Keep the addresses of links in the text, where the format has links.")
    reread: bool = Field(
        False,
        description="Read bytes that the user has already once more, as a new document that takes the old one's place.",
    )


class DocumentFilters(ScopeParams):
    """Query parameters of the list of documents."""

    user_id: UserId = Field(description="User whose documents are listed.")
    limit: Limit = Field(20, description="Maximum number of documents on a page, 1 to 100.")
    cursor: Annotated[str, Query(max_length=100)] | None = Field(
        None, description="Position of the page, from the previous page's `Link` header."
    )


UploadCall = Annotated[ApiCall[UploadParams], Depends(call_with(UploadParams))]
ListCall = Annotated[ApiCall[DocumentFilters], Depends(call_with(DocumentFilters))]


@router.post("", status_code=202, response_model=DocumentOut, responses=UPLOADED, openapi_extra=UPLOAD_FORM)
async def upload_document(request: Request, call: UploadCall) -> Response:
    """Upload a document and queue it for ingestion; the same bytes again rename and return the existing document."""
    service = call.services.documents
    async with service.receive() as upload:
        form = await read_form(request, service.max_bytes, upload.write)
        user_id = call.body_user_id(valid_user_id(form.user_id))
        document, queued = await upload.finish(
            user_id,
            form.file_name,
            keep_links=call.query.links,
            charset=form.charset,
            reread=call.query.reread,
        )
    headers = {"Location": f"/documents/{document.document_id}"}
    return json_response(document_json(document), 202 if queued else 200, headers)


def valid_user_id(given: str) -> str:
    """Validate the user id of a form.

    Raises:
        InvalidRequest: it is not a valid user id.
    """
    try:
        return USER_IDS.validate_python(given)
    except ValidationError as error:
        raise InvalidRequest(error.errors()[0]["msg"], pointer=f"#/{USER_ID}") from error


@router.post(
    "/search",
    response_model=list[PassageOut],
    responses=refusals(DocumentNotFound, NotInstalled, DatabaseUnavailable),
)
async def search_documents(body: SearchBody, call: Call) -> Response:
    """Search a user's documents; return the best matching passages, the best first."""
    user_id = call.body_user_id(body.user_id)
    document_ids = None if body.document_ids is None else [str(each) for each in body.document_ids]
    passages = await call.services.documents.search(user_id, body.query, body.limit, document_ids)
    return json_response([passage_json(each) for each in passages])


@router.get("", response_model=list[DocumentOut], responses=LISTED | refusals(DatabaseUnavailable))
async def list_documents(request: Request, call: ListCall) -> Response:
    """List a user's documents, the newest first."""
    filters = call.query
    after = None if filters.cursor is None else pagination.decode_cursor(filters.cursor)[1]
    page = await call.services.documents.page(call.user_id, after, filters.limit + 1)
    headers = {}
    if len(page) > filters.limit:
        last = page[filters.limit - 1]
        headers = pagination.next_link(request, cursor=pagination.encode_cursor(last.created_at, last.document_id))
    return json_response([document_json(each) for each in page[: filters.limit]], 200, headers)


@router.get("/{document_id}", response_model=DocumentOut, responses=ONE)
async def get_document(document_id: UUID, call: Call) -> Response:
    """Get a document with its ingestion status."""
    return json_response(document_json(await call.services.documents.get(call.principal, str(document_id))))


@router.get(
    "/{document_id}/events", summary="Stream a document's progress", response_class=Response, responses=EVENTS | ONE
)
async def follow_document(
    document_id: UUID,
    call: Call,
    last_event_id: Annotated[str | None, Header(description="Id of the last event received.")] = None,
) -> Response:
    """Stream a document's progress: its state now, then each change until it is ready or has failed."""
    watched = await call.services.documents.follow(call.principal, str(document_id))
    if last_event_id == LAST and watched.document is not None and watched.document.status.terminal:
        return nothing_more()
    return EventStream(document_events(watched))


async def document_events(watched: WatchedDocument) -> AsyncGenerator[bytes, None]:
    """Generate the events of a document; each holds its whole state, so that a late reader misses nothing."""
    while (document := watched.document) is not None:
        name = TERMINAL_EVENTS.get(document.status, "document.progress")
        yield event(name, LAST if document.status.terminal else 0, {"document": document_json(document)})
        if document.status.terminal:
            return
        await watched.wait_change(document)
        if watched.closing:
            yield event("stream.closing", 0, {"document_id": document.document_id})
            return


@router.get(
    "/{document_id}/text",
    summary="Get a document's text",
    response_class=Response,
    responses=TEXT | refusals(DocumentNotFound, DocumentNotReady, DatabaseUnavailable),
)
async def get_text(document_id: UUID, call: Call) -> Response:
    """Get a document's extracted text, in which `start` and `end` of passages and citations are positions."""
    text = await call.services.documents.text(call.principal, str(document_id))
    return Response(text, 200, AS_DATA, "text/plain; charset=utf-8")


@router.get("/{document_id}/content", summary="Download a document", response_class=Response, responses=CONTENT | ONE)
async def get_content(document_id: UUID, call: Call) -> Response:
    """Download the uploaded file."""
    document = await call.services.documents.get(call.principal, str(document_id))
    headers = {
        "Content-Type": CONTENT_TYPES.get(document.media_type, BYTES),  # without a charset: that of a text is unknown
        "Content-Length": str(document.bytes),
        "Content-Disposition": attachment(document.name),
        **AS_DATA,
    }
    return StreamingResponse(call.services.documents.content(document), 200, headers)


def attachment(name: str) -> str:
    """Build the `Content-Disposition` that saves a file under a name (RFC 6266; RFC 8187 beyond ASCII)."""
    plain = "".join(each if " " <= each <= "~" and each not in '"\\%' else "_" for each in name)
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"


@router.delete("/{document_id}", status_code=204, responses=ONE)
async def delete_document(document_id: UUID, call: Call) -> Response:
    """Delete a document with its file, text and chunks; replies that cite it keep their citations."""
    await call.services.documents.delete(call.principal, str(document_id))
    return Response(status_code=204)
