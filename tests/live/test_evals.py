"""`make eval` on a tiny set of each kind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from app.settings import Settings

ROOT = Path(__file__).parents[2]
TEXTS = {
    "harbour": "The harbour of Lisbon was dredged in 1887, when larger ships began to call there.",
    "lantern": "A lantern fish makes its own light with organs called photophores.",
    "glacier": "The glacier above the valley has lost nine metres of ice since it was measured first.",
}
DREDGED, LIGHT, ICE = "When was the harbour dredged?", "What makes light in a lantern fish?", "How much ice is lost?"


def write(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(map(json.dumps, rows)), "utf-8")


def corpus(folder: Path) -> None:
    write(folder / "corpus.jsonl", [{"_id": name, "title": name, "text": text} for name, text in TEXTS.items()])


def ranked_set(folder: Path, queries: Sequence[Mapping[str, Any]]) -> None:
    corpus(folder)
    write(folder / "queries.jsonl", queries)
    (folder / "qrels.tsv").write_text("query-id\tcorpus-id\tscore\na\tharbour\t2\nb\tlantern\t1\n")


def write_sets(root: Path) -> None:
    """Write a set of each kind."""
    alone = [{"_id": "a", "text": DREDGED}, {"_id": "b", "text": LIGHT}]
    ranked_set(root / "facts", alone)
    said = [{"role": "user", "content": "Tell me of the harbour of Lisbon."}, {"role": "assistant", "content": "Yes."}]
    ranked_set(root / "talks", [{"_id": "a", "text": "And when was it dredged?", "history": said, "rewrite": DREDGED}])
    corpus(root / "passages")
    known = {"_id": "a", "question": DREDGED, "passage_id": "harbour", "answers": ["1887"], "unanswerable": False}
    unknown = {"_id": "b", "question": "Who paid for it?", "passage_id": "harbour", "answers": [], "unanswerable": True}
    write(root / "passages" / "qa.jsonl", [known, unknown])
    text = "\n\n".join(TEXTS.values())
    span = {"start": text.index("nine"), "end": text.index("nine") + 18, "content": "nine metres of ice"}
    write(root / "spans" / "questions.jsonl", [{"_id": "a", "text": ICE, "doc": "all.md", "spans": [span]}])
    (root / "spans" / "all.md").write_text(text)
    question = {"_id": "a", "question": LIGHT, "doc": "lantern", "evidence": "organs called photophores"}
    write(root / "pages" / "questions.jsonl", [question])
    for form, before, after in (("md", "# Fish\n\n", ""), ("html", "<h1>Fish</h1><p>", "</p>")):
        (root / "pages" / form).mkdir()
        for name, each in TEXTS.items():
            (root / "pages" / form / f"{name}.{form}").write_text(before + each + after)


def evaluate(*arguments: object, home: Path) -> subprocess.CompletedProcess[str]:
    """Run the command without the developer's settings."""
    theirs = {name.upper() for name in Settings.model_fields}
    ours = {name: value for name, value in os.environ.items() if name.upper() not in theirs}
    environment = ours | {"LLM_PROVIDER": "scripted", "HOME": str(home), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "evals", *map(str, arguments)]
    return subprocess.run(command, check=False, capture_output=True, text=True, env=environment, cwd=home, timeout=300)


def lines_of(*arguments: object, home: Path) -> dict[tuple[str, str, str], dict[str, Any]]:
    """Run the command and return the lines of its results, by set, database and measured thing."""
    done = evaluate(*arguments, home=home)
    assert done.returncode == 0, done.stdout + done.stderr
    lines = json.loads(Path(str(arguments[-1])).read_text())["lines"]
    return {(each["set"], each["database"], each["what"]): each for each in lines}


def test_all_sets_are_measured_and_compared(tmp_path: Path) -> None:
    """Sets of each kind are measured on both databases; a second run uses cached vectors and is compared."""
    write_sets(tmp_path / "data")
    own = ("--only", ",".join(each.name for each in (tmp_path / "data").iterdir()))
    measured = lines_of(tmp_path / "data", *own, "--save", tmp_path / "first.json", home=tmp_path)
    for database in ("sqlite", "postgresql"):
        assert measured["facts", database, "search"]["means"]["nDCG@10"] == 1
        assert measured["talks", database, "given in a conversation"]["means"]["MRR"] == 1
        assert measured["passages", database, "search"]["means"]["recall@1"] == 1
        assert measured["passages", database, "turns, unanswerable"]["means"].keys() == {"refused"}
        assert measured["spans", database, "search"]["means"]["recall"] == 1
        for form in ("md", "html"):
            assert set(measured["pages", database, form]["means"].values()) == {1}
    again = ("--only", "facts", "--databases", "sqlite", "--baseline", tmp_path / "first.json")
    measured = lines_of(tmp_path / "data", *again, "--save", tmp_path / "second.json", home=tmp_path)
    notes = measured["facts", "sqlite", "ingest"]["notes"]
    assert (notes["documents"], notes["embedded"], notes["failed"]) == (3, 0, 0)
    difference = measured["facts", "sqlite", "search"]["difference"]
    assert (difference["against"], difference["mean"], difference["queries"]) == ("first", 0, 2)
