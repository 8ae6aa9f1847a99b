"""Measurement of search and grounded answers."""

from app.rag.lazy_numpy import numpy

numpy()  # before other modules import it: on a single thread, as in the service
