from __future__ import annotations

import os
from typing import Any


def numpy() -> Any:
    """Import NumPy on first use, since it takes memory that a service without documents does not need.

    It computes on a single thread, unless the operator's environment sets another number.
    """
    for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(name, "1")
    import numpy as np

    return np
