from __future__ import annotations

import asyncio
import logging

from app.domain.query_rewriting import MAX_CHARACTERS, query_written, request
from app.domain.turns import History
from app.errors import DatabaseUnavailable
from app.llm.base import Target
from app.services.replies.background import BackgroundCompletions
from app.services.replies.turn_run import TurnRun

REWRITE_SECONDS = 3.0
"""A turn waits for it: what is not written by then is not worth more waiting."""

log = logging.getLogger(__name__)


class QueryRewriter:
    """Has follow-ups rewritten as queries that stand alone; what that costs is entered as for titles."""

    def __init__(self, asides: BackgroundCompletions) -> None:
        self._asides = asides

    def possible(self, target: Target) -> bool:
        """Whether a model is asked: one over the network, whose call costs a turn less than a search gains.

        Raises:
            UnknownModel: the provider is not there any more.
        """
        model = self._asides.router.catalog[target.provider]
        return model.remote and model.cites

    async def query(self, history: History, run: TurnRun) -> str | None:
        """The question of a reply as a query; None when the model fails, or takes too long."""
        asked = request(history, run.question_number)
        try:
            # Not the call's own deadline: that a model is slower than this says nothing against its provider.
            async with asyncio.timeout(REWRITE_SECONDS):
                written = await self._asides.write(
                    run.target, asked, MAX_CHARACTERS, run.owner_id, run.message.conversation_id
                )
        except (TimeoutError, DatabaseUnavailable):
            log.info("a question was not rewritten in time")
            return None
        return query_written(written)
