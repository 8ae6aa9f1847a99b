"""Aims of the evaluations, and the sets that every run measures."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from evals.__main__ import check_aims, roots
from evals.aims import AIMS, Aim, verdicts
from evals.data import PassageSet
from evals.results import Line, Report
from evals.running import Options
from evals.sets import BUNDLED, sets

LANGUAGES = ("ar", "de", "es", "fr", "hi", "ja", "ko", "pt", "ru", "zh")
DEFAULT: Mapping[str, Any] = {
    "embedding_provider": "local",
    "embedding_model": None,
    "llm_provider": "local",
    "llm_model": None,
}


def line(value: float, what: str = "search", name: str = "things/one") -> Line:
    return Line(name, "sqlite", what, {"q": {"MRR": value}})


def bundled() -> dict[str, PassageSet]:
    read = {name: reader(folder, name) for folder, name, reader in sets(BUNDLED) if reader}
    return {name: data for name, data in read.items() if isinstance(data, PassageSet)}


@pytest.mark.parametrize(("mean", "held"), [(0.79, False), (0.8, True), (0.9, True)])
def test_least_mean(mean: float, held: bool) -> None:
    """An aim is held from its bound on, in each set whose name matches, and says so."""
    (found,) = verdicts([line(mean)], DEFAULT, [Aim("things/*", "search", "MRR", least=0.8)])
    assert found.held is held
    assert str(found).startswith("PASS" if held else "MISSED")


def test_greatest_mean() -> None:
    """A bound from above is held up to it."""
    aims = [Aim("*", "search", "MRR", most=0.05)]
    assert [each.held for each in verdicts([line(0.05), line(0.1)], DEFAULT, aims)] == [True, False]


def test_bound_by_another_line() -> None:
    """A bound may be the mean of another line of the same set; without that line there is no verdict."""
    aims, words = [Aim("*", "search", "MRR", least="words")], line(0.7, "words")
    assert [each.held for each in verdicts([line(0.6), words], DEFAULT, aims)] == [False]
    assert [each.held for each in verdicts([line(0.7), words], DEFAULT, aims)] == [True]
    assert list(verdicts([line(0.6), line(0.7, "words", "things/two")], DEFAULT, aims)) == []


def test_aims_of_another_deployment() -> None:
    """An aim for one embedder says nothing about another one, nor one for sets that were not measured."""
    measured = Line("multilingual/de", "sqlite", "search", {"q": {"recall@3": 0.85}})
    assert [each.held for each in verdicts([measured], DEFAULT)] == [True]
    assert [each.held for each in verdicts([measured], {**DEFAULT, "embedding_model": "multilingual"})] == [False]
    assert list(verdicts([measured], {**DEFAULT, "embedding_provider": "openai"})) == []
    assert list(verdicts([line(0.1)], DEFAULT)) == []


def test_aims_have_one_bound() -> None:
    """Each declared aim has a bound on one side."""
    assert all((each.least is None) != (each.most is None) for each in AIMS)


def test_bundled_languages() -> None:
    """Each language has ten documents, ten answerable questions, ten near misses and ten of other topics."""
    found = bundled()
    assert [name for name in found if name.startswith("multilingual/")] == [
        f"multilingual/{each}" for each in LANGUAGES
    ]
    for language in LANGUAGES:
        data = found[f"multilingual/{language}"]
        unanswerable = [each for each in data.questions if each.unanswerable]
        assert (len(data.corpus), len(data.answerable), len(unanswerable)) == (10, 10, 20)
        assert sum(not each.passage_id for each in unanswerable) == 10


def test_bundled_answers_are_in_the_text() -> None:
    """Each answer of a bundled set stands in the passage of its question, and all titles and ids are unique."""
    for name, data in bundled().items():
        texts = {each.item_id: each.text for each in data.corpus}
        assert len({each.title for each in data.corpus}) == len(texts) == len(data.corpus), name
        assert len({each.question_id for each in data.questions}) == len(data.questions), name
        for each in data.answerable:
            assert all(answer in texts[each.passage_id] for answer in each.answers), each


def test_bundled_names() -> None:
    """A bundled set has the same name if its folder is measured alone, so that its aims apply."""
    assert [name for _, name, _ in sets(Path(BUNDLED, "near_miss"))] == ["near_miss"]
    assert next(name for _, name, _ in sets(Path(BUNDLED, "multilingual"))) == "multilingual/ar"


def test_bundled_sets_without_data(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without a folder the bundled sets are measured and the command says so; with one, both."""
    assert roots(None) == [BUNDLED]
    assert "SKIPPED" in capsys.readouterr().out
    assert roots(tmp_path / "nowhere") == [BUNDLED]
    assert "is no folder" in capsys.readouterr().out
    assert roots(tmp_path) == [BUNDLED, tmp_path]
    assert roots(BUNDLED / "multilingual") == [BUNDLED / "multilingual"]


def test_missed_aim_fails_the_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A missed aim is printed and fails the run, except for a sample, whose aims are not checked."""
    report = Report([])
    report.add(Line("small_documents", "sqlite", "given to a model", {"q": {"refused": 1.0}}))
    assert not check_aims(report, Options(None, 0, tmp_path))
    assert "MISSED" in capsys.readouterr().out
    assert check_aims(report, Options(5, 0, tmp_path))
