"""Send requests generated from the OpenAPI document to a real server: `python -m fuzz PATH_OF_SCHEMATHESIS`."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

import httpx2

from tests.support.process import parley_process

Examples = dict[str, dict[str, str]]
"""Values of parameters by an operation's method and path."""

ROOT = Path(__file__).parents[1]
RUN_SECONDS = 180
# A reply that stalls is given up long before schemathesis gives up its request.
CLOCKS = {"first_token_seconds": 0.2, "idle_seconds": 0.2, "turn_seconds": 1}


def main(program: Path) -> int:
    """Run schemathesis as schemathesis.toml says, and return its exit status, or 1 for errors in the server's log."""
    if not program.exists():
        return missing(program)
    print(f"seed {tomllib.loads((ROOT / 'schemathesis.toml').read_text())['seed']}", flush=True)
    with tempfile.TemporaryDirectory(prefix="parley-fuzz-") as folder:
        return asyncio.run(fuzz(program, Path(folder)))


def missing(program: Path) -> int:
    """Say that nothing is tested, which fails in CI alone."""
    print(f"\n*** SKIPPED: there is no {program}, so no generated request was sent. ***\n", file=sys.stderr)
    return int(os.environ.get("CI") == "true")


async def fuzz(program: Path, folder: Path) -> int:
    """Start a server with an empty database in a folder, and end it with the run."""
    async with parley_process(folder, llm_provider="scripted", **CLOCKS) as parley:
        examples = await made(parley.client.http)
        status = await asyncio.to_thread(run, program, f"{parley.url}/openapi.json", examples)
        errors = [line for line in parley.log if line["level"] in {"error", "critical"}]
    for error in errors:
        print(error)
    return status or int(bool(errors))


async def made(client: httpx2.AsyncClient) -> Examples:
    """Make what each operation works on: a user, conversation or document of its own, since others delete theirs."""
    paths = (await client.get("/openapi.json")).json()["paths"]
    operations = [(path, method) for path in paths for method in paths[path]]
    examples: Examples = {}
    for path, method in operations:
        label = f"{method.upper()} {path}"
        if path.startswith("/users"):
            user_id = f"{method} grace" if "{user_id}" in path else "grace"
            await client.post("/users", json={"user_id": user_id})
            examples[label] = {"user_id": user_id}
        elif "{document_id}" in path:
            files = {"file": ("leave.txt", f"You have 30 days of leave. {label}".encode())}
            answer = await client.post("/documents", data={"user_id": "ada"}, files=files)
            examples[label] = {"document_id": answer.json()["document_id"]}
        elif "{conversation_id}" in path:
            answer = await client.post("/conversations", json={"user_id": "ada", "message": "Hello"})
            question, reply = (each["message_id"] for each in answer.json()["messages"])
            message_id = question if method in {"put", "delete"} else reply
            examples[label] = {"conversation_id": answer.json()["conversation_id"], "message_id": message_id}
    return examples


def run(program: Path, document: str, examples: Examples) -> int:
    """Return the exit status of schemathesis, and 1 when it does not end in time."""
    command = [program, "run", document]
    environment = os.environ | {"FUZZ_EXAMPLES": json.dumps(examples)}
    try:
        return subprocess.run(command, cwd=ROOT, env=environment, timeout=RUN_SECONDS, check=False).returncode
    except subprocess.TimeoutExpired:
        print(f"schemathesis has not ended within {RUN_SECONDS} seconds", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
