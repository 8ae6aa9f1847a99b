"""The container's HEALTHCHECK: exit status 0 while the service in it is ready."""

import contextlib
import os
import sys
from http.client import HTTPConnection, HTTPException

TIMEOUT_SECONDS = 2
EVERYWHERE = {"", "0.0.0.0", "::"}  # noqa: S104  compared with, not bound


def main() -> int:
    """0 when the service answers on its host and port that it is ready, else 1."""
    host = os.environ.get("HOST", "")
    port = int(os.environ.get("PORT") or 8000)
    # Without urllib, which would ask a proxy that is meant for providers.
    asked = HTTPConnection("127.0.0.1" if host in EVERYWHERE else host, port, timeout=TIMEOUT_SECONDS)
    try:
        with contextlib.closing(asked):
            asked.request("GET", "/readyz")
            return 0 if asked.getresponse().status == 200 else 1
    except (OSError, HTTPException):
        return 1


if __name__ == "__main__":
    sys.exit(main())
