from __future__ import annotations

import time

from uvicorn.supervisors import Multiprocess

POLL_SECONDS = 0.1


class Workers(Multiprocess):
    """uvicorn's supervisor of several serving processes, which passes a second signal on as well."""

    def join_all(self) -> None:
        """Waits for the workers, who have been asked to end; asks again with every further signal."""
        self.signal_queue.clear()
        while any(process.exitcode is None for process in self.processes):
            if self.signal_queue:
                self.signal_queue.clear()
                self.terminate_all()
            time.sleep(POLL_SECONDS)
