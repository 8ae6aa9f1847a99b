from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Generic, Literal, TypeVar

from fastapi import Depends, Query
from pydantic import Field
from starlette.requests import Request

from app.api.schemas.fields import Input, UserId
from app.domain.principals import Principal
from app.errors import InvalidRequest, Unavailable
from app.services.container import Services

NOT_STARTED = "The service was not started: the application that mounts it must also run its lifespan."


class ScopeParams(Input):
    """Query parameters of every path: the user that a request is for."""

    user_id: UserId | None = Field(None, description="User who owns the resource; another user's is a 404.")

    @property
    def include_reasoning(self) -> bool:
        """True if replies are to be returned with their reasoning."""
        return False


class IncludeParams(ScopeParams):
    """Query parameters of paths that return messages."""

    include: Literal["reasoning"] | None = Field(None, description="`reasoning`: return the reasoning behind replies.")

    @property
    def include_reasoning(self) -> bool:
        return self.include is not None


Q = TypeVar("Q", bound=ScopeParams)
Q_co = TypeVar("Q_co", bound=ScopeParams, covariant=True)


@dataclass(frozen=True, slots=True)
class Caller:
    """The sender of a request, as its headers identify it. Authentication is off: there is only the anonymous one."""

    def acting_for(self, user_id: str | None) -> Principal:
        """Return the principal for the user that a request names; the anonymous caller is trusted to name any."""
        return Principal(user_id)


ANONYMOUS = Caller()


@dataclass(frozen=True, slots=True)
class ApiCall(Generic[Q_co]):
    """The principal that a request acts for, the services, and the validated query parameters."""

    principal: Principal
    services: Services
    query: Q_co

    @property
    def user_id(self) -> str:
        """The principal's user, on paths that need one.

        Raises:
            InvalidRequest: the request names no user.
        """
        if self.principal.user_id is None:
            raise InvalidRequest("Field required: name a user with `?user_id=`.", pointer="?user_id")
        return self.principal.user_id

    def body_user_id(self, user_id: str) -> str:
        """Return the user id of a body, which must be the principal's if that has one.

        Raises:
            InvalidRequest: query and body name two users.
        """
        if self.principal.user_id not in {None, user_id}:
            raise InvalidRequest("`user_id` differs between query and body; send the same.", pointer="#/user_id")
        return user_id


def services_of(request: Request) -> Services:
    """Return the services that the application's lifespan has put into its state.

    Raises:
        Unavailable: the lifespan has not run; Starlette does not run that of a mounted application.
    """
    services: Services | None = getattr(request.app.state, "services", None)
    if services is None:
        raise Unavailable(NOT_STARTED)
    return services


async def identify_caller() -> Caller:
    """Identify the caller by the request's headers. Authentication has its place here; it is off.

    This is a coroutine because FastAPI runs a plain function in a thread.
    """
    return ANONYMOUS


def call_with(query_model: type[Q]) -> Callable[[Request, Caller, Q], Awaitable[ApiCall[Q]]]:
    """Build the dependency that gives a route its principal, with the query parameters of this model.

    It reads all query parameters of a route, since FastAPI accepts one query model a route, which refuses unknown ones.
    """

    async def call_of(request: Request, caller: Annotated[Caller, Depends(identify_caller)], query: Q) -> ApiCall[Q]:
        return ApiCall(caller.acting_for(query.user_id), services_of(request), query)

    call_of.__annotations__["query"] = Annotated[query_model, Query()]
    return call_of


call_of = call_with(ScopeParams)
Call = Annotated[ApiCall[ScopeParams], Depends(call_of)]
IncludeCall = Annotated[ApiCall[IncludeParams], Depends(call_with(IncludeParams))]
