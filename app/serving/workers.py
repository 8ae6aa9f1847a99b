from __future__ import annotations

import logging
import time
from socket import socket

import uvicorn
from uvicorn.supervisors import Multiprocess

POLL_SECONDS = 0.1

log = logging.getLogger(__name__)


class Workers(Multiprocess):
    """uvicorn's supervisor of several workers, which forwards a second signal too."""

    def __init__(self, config: uvicorn.Config, sockets: list[socket], ready: str) -> None:
        super().__init__(config, sockets)
        self._ready: str | None = ready

    def keep_subprocess_alive(self) -> None:
        super().keep_subprocess_alive()
        if self._ready is not None and all(process.is_ready() for process in self.processes):
            log.info(self._ready)
            self._ready = None

    def join_all(self) -> None:
        """Wait for the workers to exit; forward every further signal to them."""
        log.info("waiting for %d workers to end; a second Ctrl+C or SIGTERM ends them now", len(self.processes))
        self.signal_queue.clear()
        while any(process.exitcode is None for process in self.processes):
            if self.signal_queue:
                self.signal_queue.clear()
                self.terminate_all()
            time.sleep(POLL_SECONDS)
