"""Measure Parley in comparison with its floor: `python -m benchmarks --help`."""

from __future__ import annotations

import argparse
import contextlib
import resource
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

import uvloop

from benchmarks import aims
from benchmarks.contenders import Servers
from benchmarks.processes import ServerFailed
from benchmarks.report import Report
from benchmarks.scenarios import GROUPS, Bench, Options
from tests.support.postgres import PostgresCluster

DATABASES = ("sqlite", "postgresql")
RESULTS = Path(__file__).parent / "results"
OPEN_FILES = 8_192


def main() -> int:
    options = options_from(argument_parser().parse_args())
    raise_open_files()
    report = Report()
    with contextlib.ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="parley-bench-")))
        cluster = stack.enter_context(PostgresCluster.start()) if "postgresql" in options.databases else None
        try:
            uvloop.run(measure(Bench(Servers(directory, cluster), report, options)))
        except ServerFailed as failure:
            print(failure, file=sys.stderr)
            return 2
        except KeyboardInterrupt:
            return 130
        finally:
            path = report.write(RESULTS, asdict(options))
    for verdict in aims.verdicts(report.rows):
        print(verdict)
    print(f"\n{report.failed} failed · {path.relative_to(Path.cwd())}")
    return 1 if report.failed else 0


def argument_parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(
        "benchmarks", description="Measure the cost of Parley in comparison with a bare floor in the same run."
    )
    top.add_argument("--only", default=",".join(GROUPS), help=f"comma-separated groups of {', '.join(GROUPS)}")
    top.add_argument("--databases", default=",".join(DATABASES), help="sqlite, postgresql or both")
    top.add_argument("--seconds", type=float, help="duration of each load (2; 0.3 with --quick)")
    top.add_argument("--rounds", type=int, help="repetitions, whose medians are shown (3; 1 with --quick)")
    top.add_argument(
        "--quick", action="store_true", help="take about 80 seconds: to check that everything works, not to quote"
    )
    return top


def options_from(arguments: argparse.Namespace) -> Options:
    seconds, rounds = (0.3, 1) if arguments.quick else (2.0, 3)
    return Options(
        groups=known_names(arguments.only, GROUPS),
        databases=known_names(arguments.databases, DATABASES),
        seconds=arguments.seconds or seconds,
        rounds=arguments.rounds or rounds,
        quick=arguments.quick,
    )


def known_names(text: str, known) -> tuple[str, ...]:
    names = tuple(text.split(","))
    if unknown := set(names) - set(known):
        sys.exit(f"benchmarks: {', '.join(sorted(unknown))}: choose from {', '.join(known)}")
    return names


def raise_open_files() -> None:
    """Raise the limit of open files, which children inherit: a server needs two sockets for each stream."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    limit = OPEN_FILES if hard == resource.RLIM_INFINITY else min(OPEN_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < limit:
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))


async def measure(bench: Bench) -> None:
    provider = bench.servers.provider
    try:
        await provider.server.start("/tally")
        for group in bench.options.groups:
            for database in bench.options.databases:
                await GROUPS[group](bench, database)
    finally:
        provider.server.stop()


if __name__ == "__main__":
    sys.exit(main())
