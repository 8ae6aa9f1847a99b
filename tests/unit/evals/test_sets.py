"""Sets of data, recognised by their files; files of other kinds within them are ignored."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from evals.__main__ import roots
from evals.data import FormatSet, Item, PassageSet, RankedSet, SpanSet
from evals.ingest import corpus_files
from evals.reading import NotReadable, judged, ranked_set
from evals.sets import BUNDLED, sets


def write(path: Path, *rows: Mapping[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(map(json.dumps, rows)) + "\n", "utf-8")


def read(root: Path) -> dict[str, Any]:
    return {name: reader(folder, name) if reader else None for folder, name, reader in sets(root)}


def ranked(folder: Path, qrels: str = "query-id\tcorpus-id\tscore\nq1\td1\t1\n") -> None:
    write(
        folder / "corpus.jsonl", {"_id": "d1", "text": "One.", "metadata": {}}, {"_id": 2, "title": "Two", "text": ""}
    )
    write(folder / "queries.jsonl", {"_id": "q1", "text": "one?"}, {"_id": "q2", "text": "two?"})
    (folder / "qrels.tsv").write_text(qrels)


def test_ranked_set(tmp_path: Path) -> None:
    """A ranked set needs no titles, ids may be numbers, and queries without judgements are left out."""
    ranked(tmp_path / "whatever" / "it is called")
    (found,) = read(tmp_path).values()
    assert isinstance(found, RankedSet)
    assert found.name == "whatever/it is called"
    assert found.corpus == [Item("d1", "", "One."), Item("2", "Two", "")]
    assert [(each.query_id, dict(each.grades)) for each in found.queries] == [("q1", {"d1": 1})]


def test_folder_is_a_set_itself(tmp_path: Path) -> None:
    """A folder that is a set itself gives it its own name."""
    ranked(tmp_path / "alone")
    assert list(read(tmp_path / "alone")) == ["alone"]


@pytest.mark.parametrize(
    "rows",
    [
        ["query-id\tcorpus-id\tscore", "a b\td1\t2"],
        ["a b\td1\t2"],
        ["a b\t0\td1\t2"],
        ["query-id corpus-id score", "", "a b\tQ0\td1\t2.0"],
    ],
)
def test_judgements_between_tabs(rows: Sequence[str]) -> None:
    """Judgements have three or four columns, with or without a header; between tabs ids may have spaces."""
    assert list(judged(rows)) == [("a b", "d1", 2)]


def test_judgements_between_spaces() -> None:
    """Judgements are also read between spaces, the format of trec_eval."""
    assert list(judged(["q 0 d 1", "q 0 e 0"])) == [("q", "d", 1), ("q", "e", 0)]


def test_missing_judgements_are_named(tmp_path: Path) -> None:
    """A ranked set without judgements is refused with the name of the missing file."""
    ranked(tmp_path)
    (tmp_path / "qrels.tsv").unlink()
    with pytest.raises(NotReadable, match=r"qrels\.tsv"):
        ranked_set(tmp_path, "x")


def test_queries_with_history(tmp_path: Path) -> None:
    """A query keeps the user's earlier messages, without the assistant's, and its rewritten form."""
    ranked(tmp_path)
    history = [
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": "b"},
        {"role": "user", "content": "c"},
    ]
    write(tmp_path / "queries.jsonl", {"_id": "q1", "text": "and?", "history": history, "rewrite": "and one?"})
    (query,) = ranked_set(tmp_path, "x").queries
    assert (query.earlier_messages, query.rewrite) == (["a", "c"], "and one?")


def test_passage_set(tmp_path: Path) -> None:
    """Questions about passages are a passage set; a question without answers is unanswerable."""
    write(tmp_path / "corpus.jsonl", {"_id": "p", "title": "T", "text": "In 1066."})
    answerable = {"_id": "a", "question": "When?", "passage_id": "p", "answers": ["1066"], "unanswerable": False}
    write(tmp_path / "qa.jsonl", answerable, {"_id": "b", "question": "Why?", "passage_id": "p"})
    (found,) = read(tmp_path).values()
    assert isinstance(found, PassageSet)
    assert [each.unanswerable for each in found.questions] == [False, True]


def test_span_set(tmp_path: Path) -> None:
    """Questions with spans are a span set, whose documents may be in any folder."""
    span = {"start": 0, "end": 3, "content": "One"}
    write(tmp_path / "questions.jsonl", {"_id": "s", "text": "?", "doc": "a.md", "spans": [span]})
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "a.md").write_text("One.")
    (found,) = read(tmp_path).values()
    assert isinstance(found, SpanSet)
    assert found.documents == {"a.md": tmp_path / "texts" / "a.md"}
    assert found.questions[0].spans[0].content == "One"


def test_missing_documents_are_named(tmp_path: Path) -> None:
    """A span set without one of its documents is refused with the name of that document."""
    write(
        tmp_path / "questions.jsonl",
        {"_id": "s", "text": "?", "doc": "a.md", "spans": [{"start": 0, "end": 0, "content": ""}]},
    )
    with pytest.raises(NotReadable, match=r"a\.md"):
        read(tmp_path)


def test_format_set(tmp_path: Path) -> None:
    """Questions with evidence are a format set; its formats are the folders with the documents."""
    question = {"_id": "e", "question": "?", "doc": "page", "evidence": "32 TB"}
    write(tmp_path / "questions.jsonl", question, {"_id": "u", "question": "?", "doc": None, "evidence": None})
    for path in ("docx/page.docx", "md/page.md", "other/note.txt"):
        (tmp_path / path).parent.mkdir()
        (tmp_path / path).write_text("It is 32 TB.")
    (found,) = read(tmp_path).values()
    assert isinstance(found, FormatSet)
    assert list(found.formats) == ["docx", "md"]
    assert [each.question_id for each in found.questions] == ["e"]


def test_unknown_files_are_reported(tmp_path: Path) -> None:
    """A folder of no known kind is reported without a reader."""
    write(tmp_path / "things" / "numbers.jsonl", {"n": 1})
    assert read(tmp_path) == {"things": None}


def test_items_become_markdown_files() -> None:
    """An item becomes a Markdown file named for its title, made safe for a file name, or for its id."""
    item = Item("d1", "A/B:\n the  case", "Text.")
    assert (item.name, item.content) == ("A B: the case.md", b"# A/B: the case\n\nText.")
    assert (Item("d1", "", "Text.").name, Item("d1", "", "Text.").content) == ("d1.md", b"Text.")


def test_files_have_different_names() -> None:
    """Items with one title get their ids into their names, as documents of one name are versions of it."""
    items = [Item("a/1", "Norse", "One."), Item("2", "Norse", "Two."), Item("3", "", "Three.")]
    assert [name for _, name, _ in corpus_files(items)] == ["Norse a 1.md", "Norse 2.md", "3.md"]


def test_empty_items_are_passed_over(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Documents and questions without text are reported and passed over, with the questions about such documents."""
    write(tmp_path / "corpus.jsonl", {"_id": "p", "text": "In 1066."}, {"_id": "e", "title": " ", "text": "\n"})
    questions = [{"_id": each, "question": "When?", "passage_id": each, "answers": ["1066"]} for each in "pe"]
    write(tmp_path / "qa.jsonl", *questions, {"_id": "n", "question": " ", "passage_id": "p", "answers": ["1066"]})
    (found,) = read(tmp_path).values()
    assert [each.item_id for each in found.corpus] == ["p"]
    assert [each.question_id for each in found.questions] == ["p"]
    assert capsys.readouterr().out.count("PASSED OVER") == 3


def test_empty_query_is_passed_over(tmp_path: Path) -> None:
    """A query without text does not keep the others of its set from being measured."""
    ranked(tmp_path, "q1\td1\t1\nq2\td1\t1\n")
    write(tmp_path / "queries.jsonl", {"_id": "q1", "text": "one?"}, {"_id": "q2", "text": ""})
    assert [each.query_id for each in ranked_set(tmp_path, "x").queries] == ["q1"]


def test_empty_files_are_passed_over(tmp_path: Path) -> None:
    """Empty files of a set are passed over with the questions about them."""
    evidence = [{"_id": each, "question": "?", "doc": each, "evidence": "32 TB"} for each in ("page", "blank")]
    write(tmp_path / "formats" / "questions.jsonl", *evidence)
    span = {"start": 0, "end": 3, "content": "One"}
    spans = [{"_id": each, "text": "?", "doc": f"{each}.md", "spans": [span]} for each in ("page", "blank")]
    write(tmp_path / "spans" / "questions.jsonl", *spans)
    for folder in ("formats", "spans"):
        (tmp_path / folder / "md").mkdir()
        (tmp_path / folder / "md" / "page.md").write_text("One has 32 TB.")
        (tmp_path / folder / "md" / "blank.md").touch()
    found = read(tmp_path)
    assert list(found["formats"].formats["md"]) == ["page"]
    assert list(found["spans"].documents) == ["page.md"]
    assert [each.question_id for each in found["spans"].questions] == ["page"]


def test_missing_data_is_skipped(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without a folder of data the bundled sets are measured, and it is reported that others are skipped."""
    for path in (None, tmp_path / "nowhere"):
        assert roots(path) == [BUNDLED]
        assert capsys.readouterr().out.startswith("SKIPPED")
    assert roots(tmp_path) == [BUNDLED, tmp_path]
