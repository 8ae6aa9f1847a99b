from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

from fastapi import Depends, Query
from starlette.requests import Request
from starlette.responses import Response

from app.api.json_encoding import json_bytes
from app.api.schemas.fields import Input, UserId
from app.domain.principals import Principal
from app.errors import InvalidRequest, Unavailable
from app.llm.router import Router
from app.services.conversations import ConversationService
from app.services.documents.service import DocumentService
from app.services.health import HealthService
from app.services.messages import MessageService
from app.services.prompt_records import PromptRecords
from app.services.turns.service import TurnService
from app.services.usage import UsageService
from app.services.users import UserService

NOT_STARTED = "The service was not started: whatever mounts its application has to run that application's lifespan too."


@dataclass(frozen=True, slots=True)
class Services:
    """The use cases that routes call."""

    users: UserService
    conversations: ConversationService
    messages: MessageService
    turns: TurnService
    documents: DocumentService
    contexts: PromptRecords
    ledger: UsageService
    router: Router
    health: HealthService


class Scope(Input):
    """The query parameters that every path takes."""

    user_id: UserId | None = None


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks, and what serves them."""

    who: Principal
    services: Services
    reasoning: bool = False
    """Whether replies are wanted with the thinking behind them."""


def services_of(request: Request) -> Services:
    """The services that the application's lifespan has put into its state.

    Raises:
        Unavailable: the lifespan has not run; where the application is mounted in another, nobody runs it unasked.
    """
    services: Services | None = getattr(request.app.state, "services", None)
    if services is None:
        raise Unavailable(NOT_STARTED)
    return services


async def caller_of(request: Request, scope: Annotated[Scope, Query()]) -> Caller:
    """Who asks; with authentication off the caller is believed.

    One dependency, and a coroutine: each costs a request about 40 µs, and a plain function a thread as well.
    """
    return Caller(Principal(scope.user_id), services_of(request))


class Shown(Scope):
    """What is shown of messages beside the usual."""

    include: Literal["reasoning"] | None = None


async def reader_of(request: Request, shown: Annotated[Shown, Query()]) -> Caller:
    """As `caller_of`, where messages may be wanted with more than the usual."""
    return Caller(Principal(shown.user_id), services_of(request), shown.include is not None)


def author(named: str, who: Principal) -> str:
    """The user that a body names, who must be the one that the query names, if it does.

    Raises:
        InvalidRequest: they are two.
    """
    if who.user_id not in {None, named}:
        raise InvalidRequest("The user_id of the query is another than the body's.", pointer="#/user_id")
    return named


def json_response(content: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A response with an object that is ready to be written."""
    return Response(json_bytes(content), status, headers, "application/json")


Call = Annotated[Caller, Depends(caller_of)]
ReadingCall = Annotated[Caller, Depends(reader_of)]
