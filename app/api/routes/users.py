from __future__ import annotations

from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Path
from starlette.convertors import PathConvertor, register_url_convertor
from starlette.responses import Response

from app.api.dependencies import Call, json_response
from app.api.openapi_responses import Responses, refusals, with_headers
from app.api.schemas.fields import UserId
from app.api.schemas.users import NewUserBody, UserChanges, UserOut, user_json
from app.errors import DatabaseUnavailable, UserNotFound

router = APIRouter(tags=["users"])


class TextConvertor(PathConvertor):
    """The rest of a path, whatever it holds: `path` loses a line feed at the end, and names another user."""

    regex = "(?s:.+)"


register_url_convertor("text", TextConvertor())
UserPath = Annotated[UserId, Path()]

ONE = refusals(UserNotFound, DatabaseUnavailable)
MADE: Responses = {
    200: {"description": "The user is there already.", "model": UserOut} | with_headers("Location"),
    201: {"description": "The user is made."} | with_headers("Location"),
}


@router.post(
    "/users",
    status_code=201,
    response_model=UserOut,
    responses=MADE | refusals(UserNotFound, DatabaseUnavailable),
)
async def create_user(body: NewUserBody, call: Call) -> Response:
    """Makes a user; 200 when there already. Whoever is named elsewhere is made without this."""
    user_id = call.principal.user_id if body.user_id is None else call.author(body.user_id)
    user, made = await call.services.users.create(user_id, body.name)
    return json_response(user_json(user), 201 if made else 200, {"Location": f"/users/{quote(user.user_id, safe='')}"})


@router.get("/users/{user_id:text}", response_model=UserOut, responses=ONE)
async def get_user(user_id: UserPath, call: Call) -> Response:
    """One user."""
    return json_response(user_json(await call.services.users.get(call.principal, user_id)))


@router.patch("/users/{user_id:text}", response_model=UserOut, responses=ONE)
async def rename_user(user_id: UserPath, body: UserChanges, call: Call) -> Response:
    """Gives a user another name."""
    return json_response(user_json(await call.services.users.rename(call.principal, user_id, body.name)))


@router.delete("/users/{user_id:text}", status_code=204, responses=ONE)
async def erase_user(user_id: UserPath, call: Call) -> Response:
    """Erases a user with every conversation, message and document."""
    await call.services.users.erase(call.principal, user_id)
    return Response(status_code=204)
