from __future__ import annotations

import asyncio
from collections.abc import Sequence

from app.db import users
from app.db.database import Database
from app.domain.ids import new_id, now_ms
from app.domain.principals import Principal
from app.domain.users import User
from app.errors import UserNotFound
from app.services.documents.deletion import DocumentDeleter
from app.services.runtime.polling import Poller
from app.services.runtime.task_owner import TaskOwner
from app.services.runtime.timings import Timings
from app.services.turns.executor import TurnExecutor

BATCH_MESSAGES = 5_000
"""Messages deleted per transaction of an erasure."""


class UserService:
    """Users, under the client's own ids."""

    def __init__(
        self,
        database: Database,
        executor: TurnExecutor,
        document_deleter: DocumentDeleter,
        tasks: TaskOwner,
        timings: Timings,
    ) -> None:
        self._database = database
        self._executor = executor
        self._document_deleter = document_deleter
        self._tasks = tasks
        self._timings = timings

    async def create(self, user_id: str | None, name: str | None) -> tuple[User, bool]:
        """Create a user, with a generated id if none is given; return it, and True unless it existed already."""
        user_id = user_id or new_id()
        _, created = await self._database.write_in_session(users.ensure, user_id, new_id(), now_ms(), name)
        return await self.get(Principal(user_id), user_id), created

    async def get(self, principal: Principal, user_id: str) -> User:
        """Return a user.

        Raises:
            UserNotFound: the id was never used, or is not the principal's.
        """
        visible = principal.user_id in {None, user_id}
        async with self._database.read_session() as session:
            user = await users.get(session, user_id) if visible else None
        if user is None:
            raise UserNotFound
        return user

    async def rename(self, principal: Principal, user_id: str, name: str | None) -> User:
        """Change a user's name; raises what `get` does."""
        await self.get(principal, user_id)
        async with self._database.write_session() as session:
            renamed = await users.rename(session, user_id, name)
        if renamed is None:
            raise UserNotFound
        return renamed

    async def erase(self, principal: Principal, user_id: str) -> None:
        """Erase a user and all their data, even if the client disconnects; raises what `get` does."""
        await self.get(principal, user_id)
        async with self._database.write_session() as session:
            row_id = await users.mark_erased(session, user_id)
        if row_id is None:
            raise UserNotFound
        await asyncio.shield(self._tasks.spawn(self._erase_marked(row_id)))

    def poller(self) -> Poller:
        """Return the poller that resumes unfinished erasures."""
        return Poller("erasures", self.finish_erasures, self._timings.maintenance, bounded=False, required=False)

    async def finish_erasures(self) -> None:
        """Finish erasures that a crash or an outage has interrupted."""
        async with self._database.read_session() as session:
            row_ids = await users.list_erased(session)
        for row_id in row_ids:
            await self._erase_marked(row_id)

    async def _erase_marked(self, row_id: str) -> None:
        await self._document_deleter.delete_all(row_id)
        while (conversation_ids := await self._erase_batch(row_id)) is not None:
            for conversation_id in conversation_ids:
                self._executor.conversation_deleted(conversation_id)

    async def _erase_batch(self, row_id: str) -> Sequence[str] | None:
        """Return the ids of deleted conversations; None once the user's row is deleted."""
        async with self._database.write_session() as session:
            return await users.erase_batch(session, row_id, BATCH_MESSAGES)
