"""Corrections of the service's token estimates, learnt from the counts that providers report."""

from __future__ import annotations

from dataclasses import dataclass

from app.domain.prompt import Prompt, Window
from app.llm.base import ChatModel, Target

PRIOR_TOKENS = 2_000
"""Weight of the service's own estimate: a few words show little about a model's tokens."""

MEMORY_TOKENS = 200_000
"""Estimated tokens after which older reports count half."""

MIN_CORRECTION, MAX_CORRECTION = 0.5, 4.0
MAX_MODELS = 1_000


@dataclass(slots=True)
class ModelCalibration:
    """The sums of estimated and reported tokens of one model, and its known limit."""

    estimated: float = PRIOR_TOKENS
    reported: float = PRIOR_TOKENS
    limit: int | None = None
    """Tokens of prompt and reply that it accepted after refusing more; None before a refusal."""

    def observe(self, estimated: int, reported: int) -> None:
        """Add a report to the sums."""
        self.estimated += estimated
        self.reported += reported
        if self.estimated > MEMORY_TOKENS:
            self.estimated /= 2
            self.reported /= 2

    @property
    def correction(self) -> float:
        """The model's tokens per estimated token, between `MIN_CORRECTION` and `MAX_CORRECTION`."""
        return min(MAX_CORRECTION, max(MIN_CORRECTION, self.reported / self.estimated))


class TokenCalibration:
    """The calibrations of all models, by target."""

    def __init__(self) -> None:
        self._calibrations: dict[Target, ModelCalibration] = {}

    def __len__(self) -> int:
        return len(self._calibrations)

    def window(self, model: ChatModel, target: Target, max_tokens: int | None) -> Window:
        """Return the window for a prompt to this model; `max_tokens` of it are the reply's."""
        calibration = self._calibrations.get(target) or ModelCalibration()
        tokens = model.context_window(target.model)
        limit = min(tokens, calibration.limit or tokens)
        return Window.of(limit, max_tokens, calibration.correction)

    def observe(self, target: Target, prompt: Prompt, input_tokens: int) -> None:
        """Learn from a prompt's reported tokens; a report of zero is ignored."""
        if input_tokens > 0:
            self._calibration(target).observe(prompt.estimate, input_tokens)

    def lower_limit(self, target: Target, window: Window) -> None:
        """Lower the model's known limit to a window, after it refused a longer prompt."""
        self._calibration(target).limit = window.tokens

    def _calibration(self, target: Target) -> ModelCalibration:
        if target not in self._calibrations and len(self._calibrations) >= MAX_MODELS:
            del self._calibrations[next(iter(self._calibrations))]  # the oldest: callers may name any model
        return self._calibrations.setdefault(target, ModelCalibration())
