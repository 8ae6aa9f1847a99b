"""The errors of the service, as one tree.

AppError
├── BadRequest                 400 bad-request
├── MethodNotAllowed           405 method-not-allowed
├── RequestTimeout             408 request-timeout
├── UriTooLong                 414 uri-too-long
├── HeadersTooLarge            431 headers-too-large
├── InvalidRequest             422 validation-error
│   ├── MessageTooLong         422 message-too-long
│   ├── UnknownModel           422 unknown-model
│   └── IdempotencyKeyReused   422 idempotency-key-reused
├── NotFound                   404 not-found
│   ├── UserNotFound           404 user-not-found
│   ├── ConversationNotFound   404 conversation-not-found
│   ├── MessageNotFound        404 message-not-found
│   └── DocumentNotFound       404 document-not-found
├── Conflict                   409 conflict
│   ├── AlreadyFinished        409 already-finished
│   ├── CannotRegenerate       409 cannot-regenerate
│   ├── ConversationBusy       409 conversation-busy
│   ├── DocumentNotReady       409 document-not-ready
│   ├── QueueFull              409 queue-full
│   └── TurnUnfinished         409 turn-unfinished
├── PayloadTooLarge            413 payload-too-large
├── UnsupportedMediaType       415 unsupported-media-type
├── NotInstalled               501 not-installed
├── EmbeddingFailed            503 embedding-failed
├── QuotaExceeded              429 quota-exceeded
├── RateLimited                429 rate-limited
├── TurnFailed                 502 provider-error
│   ├── ProviderFailed         502 provider-error
│   │   └── EmptyReply         502 provider-error
│   ├── ProviderAuth           502 provider-auth
│   ├── ProviderTruncated      502 provider-truncated
│   ├── ProviderTimeout        504 provider-timeout-connect, -first-token, -idle, -total
│   ├── ProviderRateLimited    503 provider-rate-limited
│   ├── ProviderUnavailable    503 provider-unavailable
│   ├── ModelNotFound          422 unknown-model
│   ├── ContextTooLong         422 context-too-long
│   └── InternalError          500 internal-error
├── TurnInterrupted            502 turn-interrupted
└── Unavailable                503 unavailable
    ├── Overloaded             503 overloaded
    ├── Draining               503 draining
    └── DatabaseUnavailable    503 database-unavailable

A class's docstring is its default public text: it repeats nothing from a provider, a driver or another user.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

Phase = Literal["connect", "first-token", "idle", "total"]
"""Part of a reply that exceeded its time limit."""


class AppError(Exception):
    """The request could not be served."""

    code: str = "error"
    status: int = 500
    retry_after: int | None = None
    """Seconds after which a retry may help; sent as `Retry-After`."""

    def __init__(self, detail: str | None = None, *, members: Mapping[str, str] | None = None) -> None:
        self.detail = detail or (type(self).__doc__ or "").strip()
        self.members: Mapping[str, str] = members or {}
        """Extension members of the problem document (RFC 9457, section 3.2)."""
        self.headers: Mapping[str, str] = {}
        """Headers of the response, in addition to the usual ones."""
        super().__init__(self.detail)


class BadRequest(AppError):
    """The bytes are not a well-formed HTTP/1.1 request; check the client or proxy that sent them."""

    code = "bad-request"
    status = 400


class MethodNotAllowed(AppError):
    """This path does not have that method; use one from the `Allow` header."""

    code = "method-not-allowed"
    status = 405

    def __init__(self, allowed: Sequence[str] = ()) -> None:
        super().__init__()
        self.headers = {"Allow": ", ".join(allowed)}


class RequestTimeout(AppError):
    """The request did not arrive in time; send it again without long pauses."""

    code = "request-timeout"
    status = 408


class UriTooLong(AppError):
    """The path and query are longer than 16 KB; shorten them."""

    code = "uri-too-long"
    status = 414


class HeadersTooLarge(AppError):
    """The headers are larger than 64 KB; send fewer or shorter ones."""

    code = "headers-too-large"
    status = 431


class InvalidRequest(AppError):
    """The request is not valid; correct the values that `errors` names."""

    code = "validation-error"
    status = 422

    def __init__(self, detail: str | None = None, *, pointer: str | None = None) -> None:
        super().__init__(detail)
        self.pointer = pointer
        """Place in the request, as a JSON Pointer (RFC 6901) or a parameter's name."""


class MessageTooLong(InvalidRequest):
    """A message has at most 32,000 characters; shorten it, or send it in parts."""

    code = "message-too-long"


class UnknownModel(InvalidRequest):
    """There is no such provider or model; `GET /models` lists the known ones."""

    code = "unknown-model"


class IdempotencyKeyReused(InvalidRequest):
    """This Idempotency-Key was already used for another request; send a new key."""

    code = "idempotency-key-reused"


class NotFound(AppError):
    """There is no such path; `/openapi.json` lists all of them."""

    code = "not-found"
    status = 404


class UserNotFound(NotFound):
    """There is no user with this id; create one with `POST /users`."""

    code = "user-not-found"


class ConversationNotFound(NotFound):
    """There is no conversation with this id, or it belongs to another user."""

    code = "conversation-not-found"


class MessageNotFound(NotFound):
    """There is no message with this id in the conversation."""

    code = "message-not-found"


class DocumentNotFound(NotFound):
    """There is no document with this id, or it belongs to another user."""

    code = "document-not-found"


class Conflict(AppError):
    """The request conflicts with the current state of the resource."""

    code = "conflict"
    status = 409


class AlreadyFinished(Conflict):
    """The message has already finished; there is nothing to cancel."""

    code = "already-finished"


class CannotRegenerate(Conflict):
    """Only the last reply can be regenerated, and only while its question exists; send a new message instead."""

    code = "cannot-regenerate"


class ConversationBusy(Conflict):
    """An earlier turn of this conversation is unfinished; wait for it or cancel it."""

    code = "conversation-busy"


class DocumentNotReady(Conflict):
    """The document has no text: its ingestion is unfinished or has failed; see its `status` and `error`."""

    code = "document-not-ready"


class QueueFull(Conflict):
    """Too many turns of this conversation are unfinished; retry when one has finished."""

    code = "queue-full"


class TurnUnfinished(Conflict):
    """The message's turn is unfinished; wait for it or cancel it."""

    code = "turn-unfinished"


class PayloadTooLarge(AppError):
    """The body is larger than 512 KB; send a smaller one."""

    code = "payload-too-large"
    status = 413


class UnsupportedMediaType(AppError):
    """Send the body as JSON, with Content-Type: application/json."""

    code = "unsupported-media-type"
    status = 415


class NotInstalled(AppError):
    """This installation cannot read documents; its operator can install the extra `documents`."""

    code = "not-installed"
    status = 501


class EmbeddingFailed(AppError):
    """The embedding model is unavailable; retry later."""

    code = "embedding-failed"
    status = 503
    retry_after = 10


class QuotaExceeded(AppError):
    """The user's daily token quota is used up; it resets at midnight UTC."""

    code = "quota-exceeded"
    status = 429
    retry_after = 60


class RateLimited(AppError):
    """Too many of the user's turns are queued; retry when one has finished."""

    code = "rate-limited"
    status = 429
    retry_after = 5


class TurnFailed(AppError):
    """The provider rejected the request; try other parameters or another model."""

    code = "provider-error"
    status = 502
    transient = False
    """True if a retry, or another provider, may succeed with the same request."""
    fallback_at_once = False
    """True if the router goes to the fallbacks at once, without a retry, although the error is not transient."""
    provider_retry_after: int | None = None
    """The provider's own `Retry-After`, in seconds."""
    provider_status: int | None = None
    """HTTP status of the provider's response; None without one."""


class ProviderFailed(TurnFailed):
    """The provider failed; regenerate the reply, or try another model."""

    transient = True


class EmptyReply(ProviderFailed):
    """The provider returned an empty reply; regenerate it, or try another model."""


class ProviderAuth(TurnFailed):
    """The provider rejected the service's key or account; the operator has to correct it."""

    code = "provider-auth"


class ProviderTruncated(TurnFailed):
    """The provider's reply ended before it was complete; regenerate it."""

    code = "provider-truncated"
    transient = True


class ProviderTimeout(TurnFailed):
    """The provider did not respond in time; regenerate the reply, or try another model."""

    code = "provider-timeout-first-token"
    status = 504

    def __init__(self, phase: Phase) -> None:
        super().__init__()
        self.code = f"provider-timeout-{phase}"
        self.phase = phase
        self.transient = phase != "total"


class ProviderRateLimited(TurnFailed):
    """The provider's rate limit is reached; regenerate the reply later, or try another model."""

    code = "provider-rate-limited"
    status = 503
    retry_after = 10
    transient = True

    def __init__(self, retry_after: int | None = None) -> None:
        super().__init__()
        self.provider_retry_after = retry_after
        self.retry_after = retry_after or type(self).retry_after


class ProviderUnavailable(TurnFailed):
    """The provider is unreachable; regenerate the reply later, or try another model."""

    code = "provider-unavailable"
    status = 503
    retry_after = 5
    transient = True


class ModelNotFound(TurnFailed):
    """The provider has no such model; `GET /models` lists the known ones."""

    code = "unknown-model"
    status = 422


class ContextTooLong(TurnFailed):
    """The conversation does not fit the model's context window; use another model or a new conversation."""

    code = "context-too-long"
    status = 422
    limit: int | None = None
    """Limit for prompt and reply together, in tokens, if the provider reported it."""


class InternalError(TurnFailed):
    """An unexpected error occurred in the service; report the request's id to its operator."""

    code = "internal-error"
    status = 500


class TurnInterrupted(AppError):
    """The turn was interrupted and its text so far is kept; regenerate the reply to complete it."""

    code = "turn-interrupted"
    status = 502


class Unavailable(AppError):
    """The service cannot serve this request now; retry later."""

    code = "unavailable"
    status = 503
    retry_after = 5


class Overloaded(Unavailable):
    """The service has reached its limit of running and queued turns; retry later."""

    code = "overloaded"


class Draining(Unavailable):
    """This process is shutting down; retry, and another one will serve the request."""

    code = "draining"
    retry_after = 1


class DatabaseUnavailable(Unavailable):
    """The database is unavailable; retry later."""

    code = "database-unavailable"

    def __init__(self, detail: str | None = None, *, reason: str | None = None, transient: bool = True) -> None:
        super().__init__(detail)
        self.reason = reason
        """The database's own message in one line, for operators: logged, but never in a response."""
        self.transient = transient
        """True if the outage may end by itself, so that a retry can help."""
