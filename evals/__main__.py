"""Measures retrieval and grounded answers: `python -m evals --help`."""

from __future__ import annotations

import argparse
import asyncio
import sys
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path

from evals.databases import DATABASES, Databases, databases
from evals.reading import NotReadable
from evals.results import Report, baselines
from evals.running import Options, measure
from evals.sets import EvalSet, sets

RESULTS = Path(__file__).parent / "results"
CACHE = Path.home() / ".cache" / "parley-evals"
TURNS = 20


def main() -> int:
    """Runs the command; 0 also where there is no data."""
    asked = parser().parse_args()
    if asked.path is None or not asked.path.is_dir():
        missing = "EVALS is not given" if asked.path is None else f"{asked.path} is not there"
        print(f"SKIPPED: nothing is measured, since {missing}: make eval EVALS=path, a folder with sets of data")
        return 0
    kinds = of_these(asked.databases, DATABASES)
    options = Options(asked.limit, asked.turns, asked.cache)
    report = Report(baselines(asked.baseline))
    read = list(wanted(asked.path, named(asked.only)))
    with databases(kinds) as empty:
        measured = [succeeded(data, kind, empty, options, report) for data in read for kind in kinds]
    print(f"\n{report.write(asked.save, options.told())}")
    return 0 if read and all(measured) else 1


def parser() -> argparse.ArgumentParser:
    """The command's arguments."""
    top = argparse.ArgumentParser("evals", description="How well the service finds what documents say.")
    top.add_argument("path", nargs="?", type=Path, help="a folder with sets of data, or one set")
    top.add_argument("--databases", default=",".join(DATABASES), help="sqlite, postgresql or both")
    top.add_argument("--only", default="", help="names of sets, with commas between; by default all")
    top.add_argument("--limit", type=int, help="questions of a set that are searched for at most")
    top.add_argument("--turns", type=int, default=TURNS, help=f"of each kind that are asked as turns ({TURNS})")
    top.add_argument("--cache", type=Path, default=CACHE, help=f"where vectors are kept between runs ({CACHE})")
    top.add_argument("--save", type=Path, default=RESULTS, help="the file or folder for the results")
    top.add_argument("--baseline", type=Path, default=RESULTS, help="the file or folder to compare with")
    return top


def named(text: str) -> tuple[str, ...]:
    """Names with commas between."""
    return tuple(each.strip() for each in text.split(",") if each.strip())


def of_these(text: str, known: Sequence[str]) -> tuple[str, ...]:
    """Names, all of which have to be known."""
    names = named(text)
    if unknown := set(names) - set(known):
        sys.exit(f"evals: {', '.join(sorted(unknown))}: choose from {', '.join(known)}")
    return names


def succeeded(data: EvalSet, kind: str, empty: Databases, options: Options, report: Report) -> bool:
    """Measures a set on a kind of database; whether that went well."""
    try:
        with empty.one(kind) as url:
            asyncio.run(measure(data, kind, url, options, report))
    except Exception:  # noqa: BLE001  whatever it is, the other sets are still measured, and the command fails in the end
        print(f"FAILED: {data.name} · {kind}\n{traceback.format_exc()}")
        return False
    return True


def wanted(root: Path, only: Sequence[str]) -> Iterator[EvalSet]:
    """The sets that are to be measured; says which folders are none."""
    for folder, name, read in sets(root):
        if only and name not in only:
            continue
        if read is None:
            print(f"NOT MEASURED: {name}: its files are of no known kind")
            continue
        try:
            yield read(folder, name)
        except (NotReadable, ValueError, KeyError, StopIteration) as error:
            print(f"NOT MEASURED: {name}: {error!r}")


if __name__ == "__main__":
    sys.exit(main())
