"""Words of natural language that rankings and evidence share."""

from __future__ import annotations

ENGLISH = (
    "a about after all also am an and any are as at be because been before being between both but by can could did do "
    "doing during each for from further had has have having he her here hers him his how i if in into is it its "
    "itself just me more most my no nor not of off on once only or other our out over own please s same she should so "
    "some such t tell than that the their them then there these they this those through to too under until up very was "
    "we were what when where which while who whom why will with would you your"
)
STOP_WORDS = frozenset(ENGLISH.split())
"""English words without content of their own, lower-case; `s` and `t` are left of contractions.

Retrieval is measured with this list (docs/retrieval.md): a word more or less changes rankings.
"""
