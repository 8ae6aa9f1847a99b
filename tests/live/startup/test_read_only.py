"""The container's guarantee: it runs as any user, and only the data directory is writable."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.live.startup.installation import Installation, read_only_installation
from tests.support.files import file_names
from tests.support.process import DidNotStart, parley_process


@pytest.fixture(scope="module")
def installation() -> Iterator[Installation]:
    with read_only_installation() as made:
        yield made


async def test_serves_from_a_read_only_installation(installation: Installation) -> None:
    """A user who may write only to DATA_DIR can start it, the embedded model answers, and nothing else is written."""
    command = (str(installation.command), "serve", "--port", "0")
    settings = {"data_dir": installation.data, **installation.variables}
    directory = installation.command.parent
    async with parley_process(directory, command, account=installation.account, **settings) as parley:
        answer = await parley.client.create_conversation(message="Please tell me: what is the capital of France?")
        assert answer["assistant_reply"].strip()
        assert answer["messages"][1]["provider"] == "local"
        assert {"parley.db"} <= set(file_names(installation.data)) <= {"parley.db", "parley.db-wal", "parley.db-shm"}
    assert file_names(directory) == ["parley", "python"]
    assert {line["level"] for line in parley.log} == {"info"}


async def test_unwritable_data_dir_is_named(installation: Installation) -> None:
    """If DATA_DIR cannot be made the start ends with a line that names it."""
    command = (str(installation.command), "serve", "--port", "0")
    directory = installation.command.parent
    with pytest.raises(DidNotStart, match=r"exit status 2, logged:\nparley: Cannot use data: Permission denied"):
        async with parley_process(directory, command, account=installation.account, **installation.variables):
            pass
