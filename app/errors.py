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
    """The request is not well-formed HTTP."""

    code = "bad-request"
    status = 400


class MethodNotAllowed(AppError):
    """The method is not allowed on this path."""

    code = "method-not-allowed"
    status = 405

    def __init__(self, allowed: Sequence[str] = ()) -> None:
        super().__init__()
        self.headers = {"Allow": ", ".join(allowed)}


class RequestTimeout(AppError):
    """The request did not arrive in time."""

    code = "request-timeout"
    status = 408


class UriTooLong(AppError):
    """The path and query are too long."""

    code = "uri-too-long"
    status = 414


class HeadersTooLarge(AppError):
    """The headers are too large."""

    code = "headers-too-large"
    status = 431


class InvalidRequest(AppError):
    """The request is not valid."""

    code = "validation-error"
    status = 422

    def __init__(self, detail: str | None = None, *, pointer: str | None = None) -> None:
        super().__init__(detail)
        self.pointer = pointer
        """Place in the request, as a JSON Pointer (RFC 6901) or a parameter's name."""


class MessageTooLong(InvalidRequest):
    """A message has at most 32,000 characters."""

    code = "message-too-long"


class UnknownModel(InvalidRequest):
    """No such provider or model."""

    code = "unknown-model"


class IdempotencyKeyReused(InvalidRequest):
    """The Idempotency-Key was used for another request; choose a new one."""

    code = "idempotency-key-reused"


class NotFound(AppError):
    """No such path."""

    code = "not-found"
    status = 404


class UserNotFound(NotFound):
    """No such user."""

    code = "user-not-found"


class ConversationNotFound(NotFound):
    """No such conversation."""

    code = "conversation-not-found"


class MessageNotFound(NotFound):
    """No such message."""

    code = "message-not-found"


class DocumentNotFound(NotFound):
    """No such document."""

    code = "document-not-found"


class Conflict(AppError):
    """The request conflicts with the current state."""

    code = "conflict"
    status = 409


class AlreadyFinished(Conflict):
    """The message has already finished."""

    code = "already-finished"


class CannotRegenerate(Conflict):
    """Only the last reply of a conversation can be regenerated, and only if its question was not deleted."""

    code = "cannot-regenerate"


class ConversationBusy(Conflict):
    """An earlier turn of this conversation is unfinished; wait for it or cancel it."""

    code = "conversation-busy"


class DocumentNotReady(Conflict):
    """The document has no text: its ingestion is unfinished or has failed."""

    code = "document-not-ready"


class QueueFull(Conflict):
    """Too many turns of this conversation are unfinished; retry when one has finished."""

    code = "queue-full"


class TurnUnfinished(Conflict):
    """The message's turn is unfinished; wait for it or cancel it."""

    code = "turn-unfinished"


class PayloadTooLarge(AppError):
    """The body is too large."""

    code = "payload-too-large"
    status = 413


class UnsupportedMediaType(AppError):
    """Send the body as JSON, with Content-Type: application/json."""

    code = "unsupported-media-type"
    status = 415


class NotInstalled(AppError):
    """This installation cannot ingest documents: the extra `documents` is not installed."""

    code = "not-installed"
    status = 501


class EmbeddingFailed(AppError):
    """The embedding model is unavailable."""

    code = "embedding-failed"
    status = 503
    retry_after = 10


class QuotaExceeded(AppError):
    """Daily token quota exceeded."""

    code = "quota-exceeded"
    status = 429
    retry_after = 60


class RateLimited(AppError):
    """Too many of the user's turns are queued; retry when one has finished."""

    code = "rate-limited"
    status = 429
    retry_after = 5


class TurnFailed(AppError):
    """The provider returned an error."""

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
    """The provider failed."""

    transient = True


class EmptyReply(ProviderFailed):
    """The provider returned an empty reply."""


class ProviderAuth(TurnFailed):
    """The provider rejected the service's credentials."""

    code = "provider-auth"


class ProviderTruncated(TurnFailed):
    """The provider's reply ended before it was complete."""

    code = "provider-truncated"
    transient = True


class ProviderTimeout(TurnFailed):
    """The provider did not respond in time."""

    code = "provider-timeout-first-token"
    status = 504

    def __init__(self, phase: Phase) -> None:
        super().__init__()
        self.code = f"provider-timeout-{phase}"
        self.phase = phase
        self.transient = phase != "total"


class ProviderRateLimited(TurnFailed):
    """The provider's rate limit is reached."""

    code = "provider-rate-limited"
    status = 503
    retry_after = 10
    transient = True

    def __init__(self, retry_after: int | None = None) -> None:
        super().__init__()
        self.provider_retry_after = retry_after
        self.retry_after = retry_after or type(self).retry_after


class ProviderUnavailable(TurnFailed):
    """The provider is unreachable."""

    code = "provider-unavailable"
    status = 503
    retry_after = 5
    transient = True


class ModelNotFound(TurnFailed):
    """The provider has no such model."""

    code = "unknown-model"
    status = 422


class ContextTooLong(TurnFailed):
    """The conversation does not fit into the model's context window."""

    code = "context-too-long"
    status = 422
    limit: int | None = None
    """Limit for prompt and reply together, in tokens, if the provider reported it."""


class InternalError(TurnFailed):
    """An unexpected error occurred on the server."""

    code = "internal-error"
    status = 500


class TurnInterrupted(AppError):
    """The turn was interrupted; the text generated so far is kept."""

    code = "turn-interrupted"
    status = 502


class Unavailable(AppError):
    """The service cannot serve this request now; retry later."""

    code = "unavailable"
    status = 503
    retry_after = 5


class Overloaded(Unavailable):
    """Too many turns are running."""

    code = "overloaded"


class Draining(Unavailable):
    """This process is shutting down; retry, and another one will serve the request."""

    code = "draining"
    retry_after = 1


class DatabaseUnavailable(Unavailable):
    """The database is unreachable."""

    code = "database-unavailable"

    def __init__(self, detail: str | None = None, *, reason: str | None = None, transient: bool = True) -> None:
        super().__init__(detail)
        self.reason = reason
        """The database's own message in one line, for operators: logged, but never in a response."""
        self.transient = transient
        """True if the outage may end by itself, so that a retry can help."""
