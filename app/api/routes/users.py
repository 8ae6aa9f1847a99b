from __future__ import annotations

from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Path
from starlette.convertors import PathConvertor, register_url_convertor
from starlette.responses import Response

from app.api.dependencies import Call
from app.api.json_encoding import json_response
from app.api.openapi_responses import Responses, refusals, with_headers
from app.api.schemas.fields import UserId
from app.api.schemas.users import NewUserBody, UserChanges, UserOut, user_json
from app.errors import DatabaseUnavailable, UserNotFound

router = APIRouter(tags=["users"])


class TextConvertor(PathConvertor):
    """The rest of a path, of any characters; Starlette's `path` drops a line feed at the end, which is another user."""

    regex = "(?s:.+)"


register_url_convertor("text", TextConvertor())
UserPath = Annotated[UserId, Path()]

ONE = refusals(UserNotFound, DatabaseUnavailable)
CREATED: Responses = {
    200: {"description": "The existing user.", "model": UserOut} | with_headers("Location"),
    201: {"description": "The created user."} | with_headers("Location"),
}


@router.post(
    "/users",
    status_code=201,
    response_model=UserOut,
    responses=CREATED | refusals(UserNotFound, DatabaseUnavailable),
)
async def create_user(body: NewUserBody, call: Call) -> Response:
    """Create a user, or return the existing one. A user named in another POST is created by it."""
    user_id = call.principal.user_id if body.user_id is None else call.body_user_id(body.user_id)
    user, created = await call.services.users.create(user_id, body.name)
    headers = {"Location": f"/users/{quote(user.user_id, safe='')}"}
    return json_response(user_json(user), 201 if created else 200, headers)


@router.get("/users/{user_id:text}", response_model=UserOut, responses=ONE)
async def get_user(user_id: UserPath, call: Call) -> Response:
    """Get a user."""
    return json_response(user_json(await call.services.users.get(call.principal, user_id)))


@router.patch("/users/{user_id:text}", response_model=UserOut, responses=ONE)
async def rename_user(user_id: UserPath, body: UserChanges, call: Call) -> Response:
    """Change a user's name."""
    return json_response(user_json(await call.services.users.rename(call.principal, user_id, body.name)))


@router.delete("/users/{user_id:text}", status_code=204, responses=ONE)
async def erase_user(user_id: UserPath, call: Call) -> Response:
    """Delete a user with all conversations, messages and documents."""
    await call.services.users.erase(call.principal, user_id)
    return Response(status_code=204)
