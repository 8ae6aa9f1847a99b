"""Results: printed lines, the stored file, and the comparison with an earlier run."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from evals.bootstrap import Difference, difference
from evals.metrics import mean, percentile

Scores = Mapping[str, Mapping[str, float]]
"""The value of each measure by query."""


@dataclass(frozen=True, slots=True)
class Line:
    """One measurement of a set on a database."""

    set: str
    database: str
    what: str
    scores: Scores
    """Runs are compared by the first measure of a query."""
    seconds: Sequence[float] = ()
    """Durations of the searches."""
    notes: Mapping[str, Any] = field(default_factory=dict)
    """Further values to print."""

    @property
    def key(self) -> tuple[str, str, str]:
        """Values by which the same line of another run is found."""
        return self.set, self.database, self.what

    @property
    def main(self) -> str | None:
        """Measure by which runs are compared; None without queries."""
        return next((name for measures in self.scores.values() for name in measures), None)

    @property
    def means(self) -> dict[str, float]:
        """Mean of each measure over the queries that have it."""
        names = dict.fromkeys(name for measures in self.scores.values() for name in measures)
        return {name: mean([each[name] for each in self.scores.values() if name in each]) for name in names}

    @property
    def latency(self) -> dict[str, float]:
        """Percentiles of a search's duration in milliseconds."""
        if not self.seconds:
            return {}
        return {f"p{share}_ms": percentile(self.seconds, share / 100) * 1e3 for share in (50, 95)}

    def of(self, measure: str) -> dict[str, float]:
        """Return one measure by query."""
        return {query: each[measure] for query, each in self.scores.items() if measure in each}


class Baseline:
    """The lines of an earlier run."""

    def __init__(self, lines: Sequence[Mapping[str, Any]] = (), name: str = "") -> None:
        self.name = name
        self._scores = {(each["set"], each["database"], each["what"]): each["scores"] for each in lines}

    def __contains__(self, line: Line) -> bool:
        return line.key in self._scores

    def difference(self, line: Line) -> Difference | None:
        """Return the difference of a line's main measure; None if the earlier run lacks it."""
        before: Scores = self._scores.get(line.key, {})
        if line.main is None:
            return None
        measured = {query: each[line.main] for query, each in before.items() if line.main in each}
        return difference(line.of(line.main), measured)


def baselines(path: Path) -> list[Baseline]:
    """Return the runs of a file, or of a folder's files, the latest first."""
    files = sorted(path.glob("*.json"), reverse=True) if path.is_dir() else [path]
    return [Baseline(json.loads(each.read_text("utf-8"))["lines"], each.stem) for each in files if each.exists()]


class Report:
    """Prints lines, each with its difference from the latest earlier run that has it, and stores them."""

    def __init__(self, earlier: Sequence[Baseline]) -> None:
        self._earlier = earlier
        self._begun = dt.datetime.now(dt.UTC)
        self._kept: list[dict[str, Any]] = []
        self.lines: list[Line] = []
        """The lines so far."""

    def add(self, line: Line) -> None:
        """Print and keep a line."""
        earlier = next((each for each in self._earlier if line in each), None)
        differs = earlier.difference(line) if earlier else None
        self.lines.append(line)
        print(line_as_text(line), flush=True)
        if earlier and differs:
            print(f"    {difference_as_text(line.main or '', differs)} vs {earlier.name}", flush=True)
        against = {"against": earlier.name, **asdict(differs)} if earlier and differs else None
        self._kept.append(line_as_json(line) | {"difference": against})

    def write(self, path: Path, settings: Mapping[str, Any]) -> Path:
        """Write all lines as JSON and return the file; in a folder it is named for the time of the run."""
        file = path if path.suffix == ".json" else path / f"{self._begun:%Y%m%dT%H%M%SZ}.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        document = {"begun": self._begun.isoformat(), "settings": settings, "lines": self._kept}
        file.write_text(json.dumps(document, indent=1, ensure_ascii=False), "utf-8")
        return file


def line_as_json(line: Line) -> dict[str, Any]:
    """Return a line as it is stored."""
    summed = {"queries": len(line.scores), "means": line.means, "latency": line.latency}
    key = {"set": line.set, "database": line.database, "what": line.what}
    return {**key, **summed, "notes": line.notes, "scores": line.scores}


def line_as_text(line: Line) -> str:
    """Return a line as it is printed."""
    cells = [f"{line.set} · {line.database} · {line.what}".ljust(44)]
    if line.scores:
        cells.append(f"n {len(line.scores):<4}")
    cells += [f"{name} {decimal(value)}" for name, value in line.means.items()]
    cells += [f"{name.removesuffix('_ms')} {value:.1f} ms" for name, value in line.latency.items()]
    cells += [f"{name} {note_as_text(value)}" for name, value in line.notes.items()]
    return "  ".join(cells)


def note_as_text(value: Any) -> str:
    """Return a further value as it is printed."""
    return f"{value:.1f}" if isinstance(value, float) else str(value)


def difference_as_text(measure: str, found: Difference) -> str:
    """Return a difference as it is printed."""
    interval = f"[{signed(found.low)}, {signed(found.high)}]"
    return f"{measure} {signed(found.mean)} {interval} p {found.p:.3f} over {found.queries} queries"


def decimal(value: float) -> str:
    """Format with three decimals and without a leading zero."""
    return f"{value:.3f}".removeprefix("0")


def signed(value: float) -> str:
    """Format as `decimal` does, with a sign."""
    return ("-" if value < 0 else "+") + decimal(abs(value))
