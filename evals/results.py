"""What was measured: lines to read, a file to keep, and the file of an earlier run to compare with."""

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
"""By query, the value of each measure."""


@dataclass(frozen=True, slots=True)
class Line:
    """One thing that was measured of a set on a database."""

    set: str
    database: str
    what: str
    scores: Scores
    """The first measure of a query is the one that runs are compared by."""
    seconds: Sequence[float] = ()
    """How long each search took."""
    notes: Mapping[str, Any] = field(default_factory=dict)
    """What else is to be told."""

    @property
    def key(self) -> tuple[str, str, str]:
        """What the line of another run must have in common with this one."""
        return self.set, self.database, self.what

    @property
    def main(self) -> str | None:
        """The measure that runs are compared by; None where nothing was asked."""
        return next((name for measures in self.scores.values() for name in measures), None)

    @property
    def means(self) -> dict[str, float]:
        """Each measure's mean over the queries that have it."""
        names = dict.fromkeys(name for measures in self.scores.values() for name in measures)
        return {name: mean([each[name] for each in self.scores.values() if name in each]) for name in names}

    @property
    def latency(self) -> dict[str, float]:
        """Milliseconds of a search."""
        if not self.seconds:
            return {}
        return {f"p{share}_ms": percentile(self.seconds, share / 100) * 1e3 for share in (50, 95)}

    def of(self, measure: str) -> dict[str, float]:
        """One measure by query."""
        return {query: each[measure] for query, each in self.scores.items() if measure in each}


class Baseline:
    """The lines of an earlier run."""

    def __init__(self, lines: Sequence[Mapping[str, Any]] = (), name: str = "") -> None:
        self.name = name
        self._scores = {(each["set"], each["database"], each["what"]): each["scores"] for each in lines}

    def __contains__(self, line: Line) -> bool:
        return line.key in self._scores

    def difference(self, line: Line) -> Difference | None:
        """How a line differs by its main measure; None where the earlier run did not ask the same."""
        before: Scores = self._scores.get(line.key, {})
        if line.main is None:
            return None
        measured = {query: each[line.main] for query, each in before.items() if line.main in each}
        return difference(line.of(line.main), measured)


def baselines(path: Path) -> list[Baseline]:
    """The runs of a file, or of a folder's files, the latest first."""
    files = sorted(path.glob("*.json"), reverse=True) if path.is_dir() else [path]
    return [Baseline(json.loads(each.read_text("utf-8"))["lines"], each.stem) for each in files if each.exists()]


class Report:
    """Prints lines as they come, each beside the latest earlier run that has it, and keeps them."""

    def __init__(self, earlier: Sequence[Baseline]) -> None:
        self._earlier = earlier
        self._begun = dt.datetime.now(dt.UTC)
        self._kept: list[dict[str, Any]] = []

    def add(self, line: Line) -> None:
        """Takes a line."""
        earlier = next((each for each in self._earlier if line in each), None)
        differs = earlier.difference(line) if earlier else None
        print(shown(line), flush=True)
        if earlier and differs:
            print(f"    {compared(line.main or '', differs)} vs {earlier.name}", flush=True)
        against = {"against": earlier.name, **asdict(differs)} if earlier and differs else None
        self._kept.append(kept(line) | {"difference": against})

    def write(self, path: Path, settings: Mapping[str, Any]) -> Path:
        """Writes all lines as JSON, in a folder under the time of the run; gives the file."""
        file = path if path.suffix == ".json" else path / f"{self._begun:%Y%m%dT%H%M%SZ}.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        document = {"begun": self._begun.isoformat(), "settings": settings, "lines": self._kept}
        file.write_text(json.dumps(document, indent=1, ensure_ascii=False), "utf-8")
        return file


def kept(line: Line) -> dict[str, Any]:
    """A line as it is written."""
    summed = {"queries": len(line.scores), "means": line.means, "latency": line.latency}
    told = {"set": line.set, "database": line.database, "what": line.what}
    return {**told, **summed, "notes": line.notes, "scores": line.scores}


def shown(line: Line) -> str:
    """A line as it is read."""
    cells = [f"{line.set} · {line.database} · {line.what}".ljust(44)]
    if line.scores:
        cells.append(f"n {len(line.scores):<4}")
    cells += [f"{name} {decimal(value)}" for name, value in line.means.items()]
    cells += [f"{name.removesuffix('_ms')} {value:.1f} ms" for name, value in line.latency.items()]
    cells += [f"{name} {noted(value)}" for name, value in line.notes.items()]
    return "  ".join(cells)


def noted(value: Any) -> str:
    """What is told beside the measures, as it is read."""
    return f"{value:.1f}" if isinstance(value, float) else str(value)


def compared(measure: str, found: Difference) -> str:
    """A difference as it is read."""
    interval = f"[{signed(found.low)}, {signed(found.high)}]"
    return f"{measure} {signed(found.mean)} {interval} p {found.p:.3f} over {found.queries} queries"


def decimal(value: float) -> str:
    """Three decimals, without the zero before them."""
    return f"{value:.3f}".removeprefix("0")


def signed(value: float) -> str:
    """The same with its sign."""
    return ("-" if value < 0 else "+") + decimal(abs(value))
