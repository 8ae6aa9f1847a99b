"""The container's HEALTHCHECK: exit status 0 while the service is ready."""

import contextlib
import os
import sys
from http.client import HTTPConnection, HTTPException

TIMEOUT_SECONDS = 2
ANY_ADDRESS = {"", "0.0.0.0", "::"}  # noqa: S104  compared with, not bound


def main() -> int:
    """Return 0 if the service on HOST and PORT is ready, else 1."""
    host = os.environ.get("HOST", "")
    port = int(os.environ.get("PORT") or 8000)
    # Not urllib, which would use a proxy that is meant for providers.
    connection = HTTPConnection("127.0.0.1" if host in ANY_ADDRESS else host, port, timeout=TIMEOUT_SECONDS)
    try:
        with contextlib.closing(connection):
            connection.request("GET", "/readyz")
            return 0 if connection.getresponse().status == 200 else 1
    except (OSError, HTTPException):
        return 1


if __name__ == "__main__":
    sys.exit(main())
