"""Reading of data sets. Unknown fields are ignored, and optional ones may be missing."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from evals.data import (
    EvidenceQuestion,
    FormatSet,
    Item,
    PassageSet,
    Query,
    Question,
    RankedSet,
    Span,
    SpanQuestion,
    SpanSet,
)

CORPUS = "corpus.jsonl"
JUDGEMENTS = ("qrels.tsv", "qrels/test.tsv", "qrels/*.tsv", "*qrels*", "*.trec")


class NotReadable(ValueError):
    """A set lacks something that its kind needs; the message names it."""


def ranked_set(folder: Path, name: str) -> RankedSet:
    """Read a corpus with queries and judgements; queries without judgements are left out.

    Raises:
        NotReadable: there are no judgements.
    """
    grades = judgements(folder)
    fields = {identity(each): each for each in asked(folder / "queries.jsonl")}
    queries = [query(key, each, grades[key]) for key, each in fields.items() if key in grades]
    return RankedSet(name, corpus(folder), queries)


def query(query_id: str, fields: Mapping[str, Any], grades: Mapping[str, float]) -> Query:
    """Return a query with the user's messages before it."""
    history = fields.get("history") or []
    before = [str(each["content"]) for each in history if each.get("role") == "user" and each.get("content")]
    return Query(query_id, question_text(fields), grades, before, fields.get("rewrite") or None)


def passage_set(folder: Path, name: str) -> PassageSet:
    """Read a corpus with questions, each about one passage."""
    items = corpus(folder)
    known = {each.item_id for each in items}
    files = (path for path in sorted(folder.glob("*.jsonl")) if path.name != CORPUS)
    found = [question(each) for path in files for each in asked(path) if "passage_id" in each]
    return PassageSet(name, items, [each for each in found if each.unanswerable or is_known(each, known)])


def is_known(asking: Question, passages: Collection[str]) -> bool:
    """Return whether the passage of a question is one of these; report it if not."""
    if asking.passage_id in passages:
        return True
    print(f"PASSED OVER: question {asking.question_id}: its passage {asking.passage_id} is missing or empty")
    return False


def question(fields: Mapping[str, Any]) -> Question:
    """Return a question, which is unanswerable without answers."""
    answers = [str(each) for each in listed(fields.get("answers") or fields.get("answer"))]
    unanswerable = bool(fields.get("unanswerable", fields.get("is_impossible", not answers)))
    return Question(identity(fields), question_text(fields), str(fields["passage_id"] or ""), answers, unanswerable)


def span_set(folder: Path, name: str) -> SpanSet:
    """Read documents with questions about spans of them.

    Raises:
        NotReadable: a document of a question is missing.
    """
    files = {path.name: path for path in sorted(folder.rglob("*")) if path.is_file()}
    questions = [
        SpanQuestion(identity(each), question_text(each), Path(each["doc"]).name, [span(one) for one in each["spans"]])
        for each in asked(folder / "questions.jsonl")
        if each.get("spans")
    ]
    documents = of_names(files, {each.document for each in questions})
    return SpanSet(name, documents, [each for each in questions if each.document in documents])


def span(fields: Mapping[str, Any]) -> Span:
    """Return a span with its text."""
    return Span(int(fields["start"]), int(fields["end"]), str(fields["content"]))


def format_set(folder: Path, name: str) -> FormatSet:
    """Read a folder of documents for each format, and questions with evidence; unanswerable ones are left out.

    Raises:
        NotReadable: there is no folder with such files.
    """
    questions = [
        EvidenceQuestion(identity(each), question_text(each), Path(each["doc"]).name, str(each["evidence"]))
        for each in asked(folder / "questions.jsonl")
        if each.get("doc") and each.get("evidence")
    ]
    documents = {each.document for each in questions}
    formats = {path.name: by_stem(path) for path in sorted(folder.iterdir()) if path.is_dir()}
    formats = {each: files for each, files in formats.items() if documents & files.keys()}
    if not formats:
        raise NotReadable("no folder has the documents of the questions")
    return FormatSet(name, formats, questions)


def by_stem(folder: Path) -> dict[str, Path]:
    """Return a folder's files by their names without extension."""
    return {path.stem: path for path in sorted(folder.iterdir()) if path.is_file() and has_content(path)}


def of_names(files: Mapping[str, Path], names: set[str]) -> dict[str, Path]:
    """Return the files with these names."""
    if missing := names - files.keys():
        raise NotReadable(f"missing documents: {', '.join(sorted(missing))}")
    return {name: files[name] for name in sorted(names) if has_content(files[name])}


def has_content(path: Path) -> bool:
    """Return whether a file is more than white space; report it if not."""
    return has_text(path.read_bytes().decode(errors="replace"), path.name)


def corpus(folder: Path) -> list[Item]:
    """Return the items of the corpus; titles may be missing, and items without any text are passed over."""
    items = (
        Item(identity(each), str(each.get("title") or ""), str(each.get("text") or ""))
        for each in lines(folder / CORPUS)
    )
    return [each for each in items if has_text(f"{each.title}{each.text}", f"{folder.name}, document {each.item_id}")]


def asked(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the queries or questions of a file; those without any text are passed over."""
    return (each for each in lines(path) if has_text(question_text(each), f"{path.parent.name}, {path.name}"))


def has_text(text: str, place: str) -> bool:
    """Return whether a text is more than white space; report its place if not."""
    if text.strip():
        return True
    print(f"PASSED OVER: {place} has no text")
    return False


def judgements(folder: Path) -> dict[str, dict[str, float]]:
    """Return the grades of items by query."""
    path = next((path for form in JUDGEMENTS for path in sorted(folder.glob(form)) if path.is_file()), None)
    if path is None:
        raise NotReadable("there are no judgements: qrels.tsv is missing")
    grades: dict[str, dict[str, float]] = {}
    for query_id, item_id, grade in judged(path.read_text("utf-8").splitlines()):
        grades.setdefault(query_id, {})[item_id] = grade
    return {query_id: items for query_id, items in grades.items() if max(items.values()) > 0}


def judged(rows: Sequence[str]) -> Iterator[tuple[str, str, float]]:
    """Yield query, item and grade of rows with three columns, or the four of trec_eval; a header is skipped."""
    for row in rows:
        fields = row.split("\t") if "\t" in row else row.split()
        grade = number(fields[-1]) if len(fields) in {3, 4} else None
        if grade is not None:
            yield fields[0].strip(), fields[-2].strip(), grade


def number(text: str) -> float | None:
    """Parse a number; return None if the text is none."""
    try:
        return float(text)
    except ValueError:
        return None


def lines(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the objects of a file of JSON lines."""
    with path.open(encoding="utf-8") as rows:
        yield from (json.loads(row) for row in rows if row.strip())


def identity(fields: Mapping[str, Any]) -> str:
    """Return the id of a line."""
    return str(next(fields[name] for name in ("_id", "id", "query_id", "doc_id") if name in fields))


def question_text(fields: Mapping[str, Any]) -> str:
    """Return the query or question of a line."""
    return str(next((fields[name] for name in ("text", "question", "query") if fields.get(name)), ""))


def listed(value: Any) -> list[Any]:
    """Return a list unchanged, None as an empty list, and any other value as the only element of one."""
    if value is None:
        return []
    return value if isinstance(value, list) else [value]
