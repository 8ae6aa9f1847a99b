"""Measure the embedded embedding models, for `app/rag/models/calibration.json`: `python -m evals.calibrate`.

Run it after a change of a model or of the calibration texts, and add the output of a new model to the file.
"""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence

from app.domain.scripts import script_of
from app.rag.lazy_numpy import numpy
from app.rag.models.calibration import MEASURED, calibrate, calibration_pairs
from app.rag.models.embedder import Vector
from app.rag.models.local_models import LOCAL_MODELS, Encoder, LocalModel
from evals.data import PassageSet
from evals.metrics import reciprocal_rank
from evals.sets import BUNDLED, sets

KNOWN_RECIPROCAL_RANK = 0.5
"""Mean reciprocal rank, by similarity alone, from which a model knows a script.

Each question is compared with the passages of all languages: models that do not know a script confuse its texts.
all-MiniLM-L6-v2 has 0.55 in Latin script and at most 0.36 in others.
"""
RELIABLE_RECIPROCAL_RANK = 0.8
"""The same from which, in all scripts that it knows, a model knows their languages as well."""


def main() -> int:
    """Write the calibrations of the installed models; the exit status is 1 if one is not installed."""
    missing = [name for name, model in LOCAL_MODELS.items() if model.path() is None]
    measured = json.loads(MEASURED.read_text("utf-8"))
    for name, model in LOCAL_MODELS.items():
        if name not in missing:
            measured[f"local:{model.name}"] = measure(model)
    lines = [f"  {json.dumps(name)}: {json.dumps(fields)}" for name, fields in measured.items()]
    MEASURED.write_text("{\n" + ",\n".join(lines) + "\n}\n", "utf-8")
    if missing:
        print(f"NOT MEASURED: {', '.join(missing)}: not installed")
    return bool(missing)


def measure(model: LocalModel) -> dict[str, float | bool | Sequence[str]]:
    """Return the fields of a model's calibration."""
    encoder, pairs = model.load(), calibration_pairs()
    questions = embed(encoder, model.query_prefix, [each.question for each in pairs])
    passages = embed(encoder, model.passage_prefix, [each.passage for each in pairs])
    found = calibrate(questions, passages)
    ranks = script_ranks(model, encoder)
    print(f"{model.name}: {', '.join(f'{script} {rank:.2f}' for script, rank in sorted(ranks.items()))}")
    scripts = sorted(script for script, rank in ranks.items() if rank >= KNOWN_RECIPROCAL_RANK)
    return {
        "related": round(found.related, 3),
        "unrelated": round(found.unrelated, 3),
        "scripts": scripts,
        "reliable": all(ranks[script] >= RELIABLE_RECIPROCAL_RANK for script in scripts),
    }


def script_ranks(model: LocalModel, encoder: Encoder) -> Mapping[str, float]:
    """Return the mean reciprocal rank of the right passage among those of all languages, by script."""
    np = numpy()
    data = [read(folder, name) for folder, name, read in sets(BUNDLED) if read and name.startswith("multilingual/")]
    texts = [(each.item_id, each.text) for one in data if isinstance(one, PassageSet) for each in one.corpus]
    rows = np.stack(
        [np.frombuffer(each, "<f4") for each in embed(encoder, model.passage_prefix, [t for _, t in texts])]
    )
    ranks: defaultdict[str, list[float]] = defaultdict(list)
    for question in (each for one in data if isinstance(one, PassageSet) for each in one.answerable):
        [vector] = embed(encoder, model.query_prefix, [question.text])
        order = np.argsort(-(rows @ np.frombuffer(vector, "<f4")))
        rank = reciprocal_rank([texts[place][0] for place in order], {question.passage_id})
        ranks[script_of(question.text) or ""].append(rank)
    return {script: sum(each) / len(each) for script, each in ranks.items()}


def embed(encoder: Encoder, prefix: str, texts: Sequence[str]) -> list[Vector]:
    return encoder.embed([f"{prefix}{each}" for each in texts])


if __name__ == "__main__":
    sys.exit(main())
