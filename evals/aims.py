"""Aims of the evaluations, and whether the lines of a run hold them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, TypeAlias

from evals.results import Line, decimal

Deployment: TypeAlias = Mapping[str, Any]
"""The settings on which the results of a run depend."""


def any_deployment(_: Deployment) -> bool:
    """Return True: the aim is one of every deployment."""
    return True


def in_process(deployment: Deployment) -> bool:
    """Return whether a model in the process embeds."""
    return bool(deployment["embedding_provider"] == "local")


def multilingual(deployment: Deployment) -> bool:
    """Return whether the multilingual model embeds."""
    return in_process(deployment) and deployment["embedding_model"] == "multilingual"


def by_default(deployment: Deployment) -> bool:
    """Return whether the default model embeds."""
    return in_process(deployment) and deployment["embedding_model"] is None


def embedded_model(deployment: Deployment) -> bool:
    """Return whether the embedded model replies, from passages that the default model embeds."""
    return by_default(deployment) and deployment["llm_provider"] == "local" and deployment["llm_model"] is None


@dataclass(frozen=True, slots=True)
class Aim:
    """A bound of a mean in all lines whose set and form match the patterns."""

    sets: str
    what: str
    measure: str
    least: float | str | None = None
    """A number, or the form of the line of the same set and database whose mean is the least."""
    most: float | None = None
    applies: Callable[[Deployment], bool] = in_process


AIMS = (
    Aim("scifact", "search", "nDCG@10", least=0.73),
    Aim("scifact", "search", "recall@10", least=0.86),
    Aim("product_docs", "search", "recall@3", least=0.75),
    Aim("product_docs", "search", "MRR", least=0.87),
    Aim("doc_formats", "*", "in the text", least=1),
    Aim("doc_formats", "*", "in the first 8", least=1),
    Aim("multilingual/*", "search", "recall@3", least=0.9, applies=multilingual),
    Aim("multilingual/*", "search", "recall@3", least=0.8, applies=by_default),
    Aim("multilingual/*", "search", "MRR", least="search by words alone"),
    Aim("long_questions", "search", "recall@10", least=0.85),
    Aim("near_miss", "turns, unanswerable", "refused", least=12 / 20, applies=embedded_model),
    Aim("near_miss", "turns, answerable", "refused", most=1 / 20, applies=embedded_model),
    Aim("small_documents", "given to a model", "refused", most=0, applies=any_deployment),
    Aim("multilingual/*", "given to a model", "refused", most=0, applies=any_deployment),
)


@dataclass(frozen=True, slots=True)
class Verdict:
    """The mean of a line compared with an aim."""

    line: Line
    aim: Aim
    bound: float

    @property
    def held(self) -> bool:
        """Whether the mean is within the bound; equal means may differ in their last bits."""
        mean = self.line.means[self.aim.measure]
        return mean <= self.bound + 1e-9 if self.aim.most is not None else mean >= self.bound - 1e-9

    def __str__(self) -> str:
        sign = "≥" if self.aim.most is None else "≤"
        named = f" ({self.aim.least})" if isinstance(self.aim.least, str) else ""
        mean = decimal(self.line.means[self.aim.measure])
        place = f"{self.line.set} · {self.line.database} · {self.line.what}"
        aim = f"{self.aim.measure} {mean}, aim {sign} {decimal(self.bound)}{named}"
        return f"{'PASS' if self.held else 'MISSED':6}  {place.ljust(52)}  {aim}"


def verdicts(lines: Sequence[Line], deployment: Deployment, aims: Sequence[Aim] = AIMS) -> Iterator[Verdict]:
    """Yield a verdict for each line and aim of this deployment; an aim of sets that were not measured has none."""
    by_key = {line.key: line for line in lines}
    for aim in (each for each in aims if each.applies(deployment)):
        for line in lines:
            if fnmatchcase(line.set, aim.sets) and fnmatchcase(line.what, aim.what) and aim.measure in line.means:
                bound = bound_of(aim, line, by_key)
                if bound is not None:
                    yield Verdict(line, aim, bound)


def bound_of(aim: Aim, line: Line, by_key: Mapping[tuple[str, str, str], Line]) -> float | None:
    """Return the bound of an aim for a line; None if it is another line's mean and that was not measured."""
    if not isinstance(aim.least, str):
        return aim.least if aim.most is None else aim.most
    other = by_key.get((line.set, line.database, aim.least))
    return other.means.get(aim.measure) if other else None
