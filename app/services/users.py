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
from app.services.turns.executor import TurnExecutor

BATCH_MESSAGES = 5_000
"""What one transaction of an erasure deletes at most."""
ERASURE_SECONDS = 600.0


class UserService:
    """People, under the caller's own ids."""

    def __init__(self, database: Database, executor: TurnExecutor, removals: DocumentDeleter, tasks: TaskOwner) -> None:
        self._database = database
        self._removals = removals
        self._executor = executor
        self._tasks = tasks

    async def create(self, user_id: str | None, name: str | None) -> tuple[User, bool]:
        """Makes a user, with an id of ours where none is given; False beside one that was there already."""
        chosen = user_id or new_id()
        _, made = await self._database.write(users.ensure, chosen, new_id(), now_ms(), name)
        return await self.get(Principal(chosen), chosen), made

    async def get(self, who: Principal, user_id: str) -> User:
        """One user.

        Raises:
            UserNotFound: nothing was ever written for that id, or it is another's than the principal's.
        """
        visible = who.user_id in {None, user_id}
        async with self._database.read_session() as session:
            found = await users.get(session, user_id) if visible else None
        if found is None:
            raise UserNotFound
        return found

    async def rename(self, who: Principal, user_id: str, name: str | None) -> User:
        """Gives a user another name; raises what `get` does."""
        await self.get(who, user_id)
        async with self._database.write_session() as session:
            renamed = await users.rename(session, user_id, name)
        if renamed is None:
            raise UserNotFound
        return renamed

    async def erase(self, who: Principal, user_id: str) -> None:
        """Erases a user with all that is theirs, also when the caller leaves; raises what `get` does."""
        await self.get(who, user_id)
        async with self._database.write_session() as session:
            row_id = await users.mark_erased(session, user_id)
        if row_id is None:
            raise UserNotFound
        await asyncio.shield(self._tasks.spawn(self._erase_marked(row_id)))

    def poller(self) -> Poller:
        """Make the poller that finishes erasures."""
        return Poller("erasures", self.finish_erasures, ERASURE_SECONDS, longest_round=None, required=False)

    async def finish_erasures(self) -> None:
        """Takes up what was left half erased, by a process that died or an outage."""
        async with self._database.read_session() as session:
            row_ids = await users.marked(session)
        for row_id in row_ids:
            await self._erase_marked(row_id)

    async def _erase_marked(self, row_id: str) -> None:
        await self._removals.erase(row_id)
        while (gone := await self._erase_batch(row_id)) is not None:
            for conversation_id in gone:
                self._executor.conversation_deleted(conversation_id)

    async def _erase_batch(self, row_id: str) -> Sequence[str] | None:
        async with self._database.write_session() as session:
            return await users.erase_batch(session, row_id, BATCH_MESSAGES)
