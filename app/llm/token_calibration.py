from __future__ import annotations

from dataclasses import dataclass

from app.domain.prompt import Prompt, Window
from app.llm.base import ChatModel, Target

PRIOR_TOKENS = 2_000
"""What our own count weighs beside what providers report: a few words say little about a model's tokens."""

MEMORY_TOKENS = 200_000
"""Reports older than so many tokens fade."""

LEAST, MOST = 0.5, 4.0
MANY = 1_000


@dataclass(slots=True)
class ModelCalibration:
    """What has been learnt about one model."""

    counted: float = PRIOR_TOKENS
    reported: float = PRIOR_TOKENS
    ceiling: int | None = None
    """Tokens, reply and all, below which prompts were not too long for it."""

    def learn(self, counted: int, reported: int) -> None:
        """Takes a report in."""
        self.counted += counted
        self.reported += reported
        if self.counted > MEMORY_TOKENS:
            self.counted /= 2
            self.reported /= 2

    @property
    def correction(self) -> float:
        """The model's tokens over ours."""
        return min(MOST, max(LEAST, self.reported / self.counted))


class TokenCalibration:
    """How much each model takes: what is known of it, corrected by what it reports."""

    def __init__(self) -> None:
        self._sizes: dict[Target, ModelCalibration] = {}

    def window(self, model: ChatModel, target: Target, max_tokens: int | None) -> Window:
        """The window for a prompt to this model."""
        size = self._sizes.get(target) or ModelCalibration()
        tokens = model.context_window(target.model)
        return Window.of(min(tokens, size.ceiling or tokens), max_tokens, size.correction, cites=model.cites)

    def learn(self, target: Target, prompt: Prompt, input_tokens: int) -> None:
        """Takes in what a provider has counted of a prompt; one that counts nothing does not count."""
        if input_tokens > 0:
            self._of(target).learn(prompt.estimate, input_tokens)

    def refused(self, target: Target, window: Window) -> None:
        """Takes in that no more than this window holds fitted, so that the next prompt is not refused first."""
        self._of(target).ceiling = window.tokens

    def _of(self, target: Target) -> ModelCalibration:
        if target not in self._sizes and len(self._sizes) >= MANY:
            del self._sizes[next(iter(self._sizes))]  # the oldest: callers may name any model
        return self._sizes.setdefault(target, ModelCalibration())
