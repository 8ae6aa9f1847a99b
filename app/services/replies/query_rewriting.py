from __future__ import annotations

import asyncio
import logging

from app.domain.query_rewriting import MAX_CHARACTERS, parse_query, rewrite_request
from app.domain.turns import History
from app.errors import DatabaseUnavailable
from app.llm.base import Target
from app.services.replies.background import BackgroundCompletions
from app.services.replies.turn_run import TurnRun

REWRITE_SECONDS = 3.0
"""The turn waits for the rewrite: a later one is not worth the delay."""

log = logging.getLogger(__name__)


class QueryRewriter:
    """Rewrites follow-up questions as queries that stand alone; the usage is recorded like that of titles."""

    def __init__(self, completions: BackgroundCompletions) -> None:
        self._completions = completions

    def supports(self, target: Target) -> bool:
        """Return whether the model is remote and can cite, so that the call costs a turn less than a search gains.

        Raises:
            UnknownModel: the provider is no longer configured.
        """
        model = self._completions.router.catalog[target.provider]
        return model.remote and model.cites

    async def rewrite(self, history: History, run: TurnRun) -> str | None:
        """Return the question of a turn as a query; None if the model fails or is too slow."""
        messages = rewrite_request(history, run.question_number)
        try:
            # Not the call's own deadline: a model that is slower than this is no fault of its provider.
            async with asyncio.timeout(REWRITE_SECONDS):
                text = await self._completions.complete(
                    run.target, messages, MAX_CHARACTERS, run.owner_id, run.reply.conversation_id
                )
        except (TimeoutError, DatabaseUnavailable):
            log.info("a question was not rewritten in time")
            return None
        return parse_query(text)
