"""The container's promise: any user, nothing writable but the data."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.live.installation import Installation, read_only_installation
from tests.live.talk import make, names_in
from tests.support.process import DidNotStart, parley_process


@pytest.fixture(scope="module")
def installation() -> Iterator[Installation]:
    with read_only_installation() as made:
        yield made


async def test_it_runs_as_nobody_in_a_read_only_installation(installation: Installation) -> None:
    """As a user who may write to DATA_DIR alone it starts, the embedded model answers, and nothing else is written."""
    command = (str(installation.command), "serve", "--port", "0")
    settings = {"data_dir": installation.data, **installation.variables}
    directory = installation.command.parent
    async with parley_process(directory, command, account=installation.account, **settings) as parley:
        answer = await make(parley, message="Please tell me: what is the capital of France?")
        assert answer["assistant_reply"].strip()
        assert answer["messages"][1]["provider"] == "local"
        assert {"parley.db"} <= set(names_in(installation.data)) <= {"parley.db", "parley.db-wal", "parley.db-shm"}
    assert names_in(directory) == ["parley", "python"]
    assert {line["level"] for line in parley.log} == {"info"}


async def test_a_directory_that_cannot_be_written_to_is_named(installation: Installation) -> None:
    """Where DATA_DIR cannot be made the start ends with a line that names it."""
    command = (str(installation.command), "serve", "--port", "0")
    directory = installation.command.parent
    with pytest.raises(DidNotStart, match=r"exit status 2, logged:\nparley: .*Permission denied: 'data'$"):
        async with parley_process(directory, command, account=installation.account, **installation.variables):
            pass
