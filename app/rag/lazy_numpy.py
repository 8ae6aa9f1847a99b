from __future__ import annotations

import os
from typing import Any


def numbers() -> Any:
    """NumPy, imported on first use: its import takes memory that a service without documents does not need.

    It is told to keep to one thread, unless the operator has said otherwise.
    """
    for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(name, "1")
    import numpy as np

    return np
