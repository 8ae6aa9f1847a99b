"""The commands of README.md, run exactly as written."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.process import parley_process

ROOT = Path(__file__).parents[2]
ADDRESS = "http://127.0.0.1:8000"
BLOCK = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)
# One line to standard error for each request: its status, method and URL.
CURLRC = 'write-out = "%{stderr}%{http_code} %{method} %{url}\\n"\n'


def started_commands() -> str:
    """Return the commands of section Start that call the address of a running service."""
    page = (ROOT / "README.md").read_text()
    section = page[page.index("## Start") : page.index("## Settings")]
    return "\n".join(block for block in BLOCK.findall(section) if ADDRESS in block)


async def test_readme_commands_run(tmp_path: Path) -> None:
    """Pasted one after the other into a shell, each request of the section Start succeeds."""
    if shutil.which("curl") is None:
        assert not os.environ.get("CI"), "curl is missing"
        pytest.skip("THE README IS NOT TESTED: curl is missing")
    (tmp_path / ".curlrc").write_text(CURLRC)
    async with parley_process(tmp_path) as parley:
        commands = started_commands().replace(ADDRESS, parley.url)
        ran = await asyncio.to_thread(
            subprocess.run,
            ["bash", "-uc", commands],
            cwd=ROOT,
            env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)},
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
    answered = ran.stderr.splitlines()
    assert len(answered) == commands.count("curl "), ran.stderr
    for line in answered:
        finished_before = line.startswith("409 POST") and line.endswith("/cancel")  # the model was quicker
        assert line.startswith("2") or finished_before, ran.stdout + ran.stderr
    assert ran.returncode == 0
    assert "event: document.ready" in ran.stdout
    assert '"grounded":true' in ran.stdout
