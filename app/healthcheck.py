"""The container's HEALTHCHECK: exit status 0 while the service in it is ready."""

import os
import sys
from urllib.error import URLError
from urllib.request import urlopen

TIMEOUT_SECONDS = 2


def main() -> int:
    """0 when the service answers on its port that it is ready, else 1."""
    port = os.environ.get("PORT") or "8000"
    try:
        with urlopen(f"http://127.0.0.1:{port}/readyz", timeout=TIMEOUT_SECONDS):
            return 0
    except (URLError, OSError):
        return 1


if __name__ == "__main__":
    sys.exit(main())
