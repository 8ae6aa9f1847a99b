from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Principal:
    """Who asks.

    `user_id` is the caller's own id for the person asked for. It is None only while authentication is off and
    the caller, who is trusted then, named nobody: an object's id is enough in that case.
    """

    user_id: str | None = None
