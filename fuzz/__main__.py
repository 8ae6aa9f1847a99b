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

from tests.support.parley_client import ParleyClient
from tests.support.process import parley_process

Examples = dict[str, dict[str, str]]
"""Values of parameters by an operation's method and path."""

ROOT = Path(__file__).parents[1]
RUN_SECONDS = 180
# A stalled reply times out long before the request of schemathesis does.
TIMEOUTS = {"first_token_seconds": 0.2, "idle_seconds": 0.2, "turn_seconds": 1}


def main(program: Path) -> int:
    """Run schemathesis as schemathesis.toml says, and return its exit status, or 1 for errors in the server's log."""
    if not program.exists():
        return missing(program)
    print(f"seed {tomllib.loads((ROOT / 'schemathesis.toml').read_text())['seed']}", flush=True)
    with tempfile.TemporaryDirectory(prefix="parley-fuzz-") as folder:
        return asyncio.run(fuzz(program, Path(folder)))


def missing(program: Path) -> int:
    """Report that nothing is tested; return 1 in CI, otherwise 0."""
    print(f"\n*** SKIPPED: there is no {program}, so no generated request was sent. ***\n", file=sys.stderr)
    return int(os.environ.get("CI") == "true")


async def fuzz(program: Path, folder: Path) -> int:
    """Run schemathesis against a server with an empty database in a folder."""
    async with parley_process(folder, llm_provider="scripted", **TIMEOUTS) as parley:
        examples = await create_examples(parley.client)
        status = await asyncio.to_thread(run, program, f"{parley.url}/openapi.json", examples)
        errors = [line for line in parley.log if line["level"] in {"error", "critical"}]
    for error in errors:
        print(error)
    return status or int(bool(errors))


async def create_examples(client: ParleyClient) -> Examples:
    """Create a user, document or conversation for each operation on one, since others delete theirs."""
    paths = (await client.get_json("/openapi.json"))["paths"]
    operations = [(path, method) for path in paths for method in paths[path]]
    examples: Examples = {}
    for path, method in operations:
        label = f"{method.upper()} {path}"
        if path.startswith("/users"):
            user_id = f"{method} grace" if "{user_id}" in path else "grace"
            await client.post("/users", json={"user_id": user_id})
            examples[label] = {"user_id": user_id}
        elif "{document_id}" in path:
            document = await client.upload(f"You have 30 days of leave. {label}".encode(), "leave.txt")
            examples[label] = {"document_id": document["document_id"]}
        elif "{conversation_id}" in path:
            conversation = await client.create_conversation(message="Hello")
            question, reply = (each["message_id"] for each in conversation["messages"])
            message_id = question if method in {"put", "delete"} else reply
            examples[label] = {"conversation_id": conversation["conversation_id"], "message_id": message_id}
    return examples


def run(program: Path, document: str, examples: Examples) -> int:
    """Run schemathesis and return its exit status, or 1 if it times out."""
    command = [program, "run", document]
    environment = os.environ | {"FUZZ_EXAMPLES": json.dumps(examples)}
    try:
        return subprocess.run(command, cwd=ROOT, env=environment, timeout=RUN_SECONDS, check=False).returncode
    except subprocess.TimeoutExpired:
        print(f"schemathesis has not ended within {RUN_SECONDS} seconds", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
