from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Principal:
    """The user on whose behalf a request is made.

    `user_id` is the caller's own id for that user. It is None only while authentication is off and the caller, which
    is trusted then, names no user: the id of an object is enough in that case.
    """

    user_id: str | None = None
