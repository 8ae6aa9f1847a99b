"""Measure retrieval and grounded answers: `python -m evals --help`."""

from __future__ import annotations

import argparse
import asyncio
import sys
import traceback
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from evals.aims import verdicts
from evals.databases import DATABASES, Databases, databases
from evals.reading import NotReadable
from evals.results import Report, baselines
from evals.running import Options, measure
from evals.sets import BUNDLED, EvalSet, sets

RESULTS = BUNDLED / "results"
CACHE = Path.home() / ".cache" / "parley-evals"
TURNS = 20


def main() -> int:
    """Run the command and return its exit status: 1 if a set could not be measured or an aim was missed."""
    arguments = argument_parser().parse_args()
    kinds = known_names(arguments.databases, DATABASES)
    options = Options(arguments.limit, arguments.turns, arguments.cache)
    report = Report(baselines(arguments.baseline))
    selected = [data for root in roots(arguments.path) for data in read_sets(root, split_names(arguments.only))]
    with databases(kinds) as empty:
        measured = [measure_set(data, kind, empty, options, report) for data in selected for kind in kinds]
    print(f"\n{report.write(arguments.save, options.as_settings())}")
    held = check_aims(report, options)
    return 0 if selected and all(measured) and held else 1


def roots(path: Path | None) -> Sequence[Path]:
    """Return the folders to measure: the bundled sets, unless only some of them are named, and those of a path."""
    if path is None or not path.is_dir():
        missing = "EVALS is not set" if path is None else f"{path} is no folder"
        print(
            f"SKIPPED: all sets but the bundled ones: {missing}. Run `make eval EVALS=path` with a folder of data sets."
        )
        return [BUNDLED]
    return [path] if path.resolve().is_relative_to(BUNDLED) else [BUNDLED, path]


def check_aims(report: Report, options: Options) -> bool:
    """Print each aim of what was measured with PASS or MISSED; return whether all are held."""
    if options.limit is not None:
        print("AIMS NOT CHECKED: they are for all questions, not for a sample (--limit).")
        return True
    found = list(verdicts(report.lines, options.as_settings()))
    for each in found:
        print(each)
    missed = sum(not each.held for each in found)
    print(f"AIMS: {len(found) - missed} held, {missed} missed")
    return not missed


def argument_parser() -> argparse.ArgumentParser:
    """Return the parser of the command's arguments."""
    top = argparse.ArgumentParser("evals", description="Measure retrieval and grounded answers of the service.")
    top.add_argument("path", nargs="?", type=Path, help="a folder of data sets, or one set, beside the bundled ones")
    top.add_argument("--databases", default=",".join(DATABASES), help="sqlite, postgresql or both")
    top.add_argument("--only", default="", help="comma-separated names of sets, with * for many (default: all)")
    top.add_argument("--limit", type=int, help="largest number of questions searched for in each set")
    top.add_argument(
        "--turns", type=int, default=TURNS, help=f"questions of each kind that are sent as turns ({TURNS})"
    )
    top.add_argument("--cache", type=Path, default=CACHE, help=f"folder for vectors kept between runs ({CACHE})")
    top.add_argument("--save", type=Path, default=RESULTS, help="file or folder for the results")
    top.add_argument("--baseline", type=Path, default=RESULTS, help="file or folder of earlier results to compare with")
    return top


def split_names(text: str) -> tuple[str, ...]:
    """Split comma-separated names."""
    return tuple(each.strip() for each in text.split(",") if each.strip())


def known_names(text: str, known: Sequence[str]) -> tuple[str, ...]:
    """Split comma-separated names; exit with a message if one is unknown."""
    names = split_names(text)
    if unknown := set(names) - set(known):
        sys.exit(f"evals: {', '.join(sorted(unknown))}: choose from {', '.join(known)}")
    return names


def measure_set(data: EvalSet, kind: str, empty: Databases, options: Options, report: Report) -> bool:
    """Measure a set on a kind of database and return whether that succeeded."""
    try:
        with empty.create(kind) as url:
            asyncio.run(measure(data, kind, url, options, report))
    except Exception:  # noqa: BLE001  other sets are still measured, and the command fails at its end
        print(f"FAILED: {data.name} · {kind}\n{traceback.format_exc()}")
        return False
    return True


def read_sets(root: Path, only: Sequence[str]) -> Iterator[EvalSet]:
    """Read the selected sets, and report folders that cannot be read."""
    for folder, name, read in sets(root):
        if only and not any(fnmatchcase(name, each) for each in only):
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
