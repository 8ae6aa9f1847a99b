from __future__ import annotations

from pydantic import ConfigDict, Field

from app.api.schemas.fields import BodyUserId, Input, JsonObject, Moment, Name, Output, rfc3339
from app.domain.users import User


class NewUserBody(Input):
    """A new user; without `user_id` an id is generated."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"user_id": "grace", "name": "Grace"}]})

    user_id: BodyUserId | None = Field(None, description="Your own id of the user.")
    name: Name | None = Field(None, description="Name to show.")


class UserChanges(Input):
    """A user's new name, or null for none."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"name": "Grace H."}]})

    name: Name | None = Field(description="New name; null for none.")


class UserOut(Output):
    """A user."""

    user_id: str
    name: str | None
    created_at: Moment


def user_json(user: User) -> JsonObject:
    return {"user_id": user.user_id, "name": user.name, "created_at": rfc3339(user.created_at)}
