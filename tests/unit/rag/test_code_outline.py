"""Scopes of source code: what encloses a place, in many languages."""

# ruff: noqa: E501  sources as single strings

from __future__ import annotations

import pytest

from app.rag.chunking.headings import ScopePaths
from app.rag.extraction.code_outline import find_scopes
from app.rag.extraction.format import ReadOptions
from app.rag.extraction.limits import Limits
from app.rag.pipeline import extract_document

SOURCES = {
    "a.py": (
        "import os\n\n# Money\n@final\nclass Invoice(Base):\n    rate = 1\n\n    def total(self, x):\n        '''Sum.'''\n"
        "        return MARK\n\n    async def pay(\n        self,\n    ) -> None:\n        PAID\n\n\nTOP = 1\n",
        {
            "MARK": "class Invoice > def total",
            "PAID": "class Invoice > async def pay",
            "TOP": "",
            "rate": "class Invoice",
        },
    ),
    "a.js": (
        "export class Cart extends Base {\n  add(item) {\n    if (item) {\n      MARK;\n    }\n  }\n}\n"
        "const load = async (x) => {\n  FETCH;\n};\nfunction run() { RUN }\ndescribe('x', () => {\n  TEST;\n});\n",
        {
            "MARK": "export class Cart extends Base > add",
            "FETCH": "const load",
            "RUN": "function run",
            "TEST": "",
        },
    ),
    "a.ts": (
        "export interface Shape {\n  side: number;\n}\nclass Box<T> implements Shape {\n"
        "  public async open(key: string): Promise<void> {\n    MARK;\n  }\n}\n",
        {"side": "export interface Shape", "MARK": "class Box<T> implements Shape > public async open"},
    ),
    "a.go": (
        "package main\n\ntype Pump struct {\n\tflow int\n}\n\nfunc (p *Pump) Start(n int) error {\n\tMARK\n}\n\n"
        "func main() {\n\tMAIN()\n}\n",
        {"flow": "type Pump struct", "MARK": "func Pump.Start", "MAIN": "func main"},
    ),
    "A.java": (
        "public class Bank {\n  private int sum;\n  @Override\n  public int total(int a,\n      int b) throws X {\n"
        '    call("}");\n    MARK();\n  }\n\n  Bank() {\n    NEW();\n  }\n}\n',
        {"sum": "public class Bank", "MARK": "public class Bank > public int total", "NEW": "public class Bank > Bank"},
    ),
    "a.rs": (
        "impl<'a> Pump<'a> {\n    pub fn open<'b>(&'b self) -> Result<(), E> {\n        MARK\n    }\n}\nfn main() {\n    MAIN\n}\n",
        {"MARK": "impl<'a> Pump<'a> > pub fn open<'b>", "MAIN": "fn main"},
    ),
    "a.c": (
        "int add(int a, int b);\n\nstatic int add(int a, int b)\n{\n    MARK;\n    // }\n}\n\nvoid f(void) {\n    while (1) {\n"
        "        LOOP;\n    }\n}\n",
        {"MARK": "static int add", "LOOP": "void f"},
    ),
    "a.cpp": (
        "namespace shop {\nclass Cart {\n public:\n  int total() const {\n    MARK;\n  }\n};\nvoid Cart::add(int x) {\n  ADD;\n}\n}\n",
        {"MARK": "namespace shop > class Cart > int total", "ADD": "namespace shop > void Cart::add"},
    ),
    "a.rb": (
        "module Shop\n  class Cart\n    def total\n      if x\n        MARK\n      end\n    end\n  end\nend\nputs TOP\n",
        {"MARK": "module Shop > class Cart > def total", "TOP": ""},
    ),
    "a.php": (
        "<?php\nclass Cart {\n    public function total(int $x): int\n    {\n        MARK;\n    }\n}\n",
        {"MARK": "class Cart > public function total"},
    ),
    "a.sh": (
        "set -e\nbuild() {\n  MARK\n}\nfunction clean {\n  CLEAN\n}\n",
        {"MARK": "build", "CLEAN": "function clean"},
    ),
}


@pytest.mark.parametrize("name", SOURCES)
def test_enclosing_scopes(name: str) -> None:
    """The classes and functions around a place are found by their form and their end."""
    source, expected = SOURCES[name]
    paths = ScopePaths(find_scopes(source, name))
    found = {mark: " > ".join(paths.path(source.index(mark), source.index(mark) + 1)) for mark in expected}
    assert found == expected


def test_code_chunks_have_their_scopes() -> None:
    """A chunk of code has the class and the function around all of it as heading; a comment is no heading."""
    methods = "".join(
        f"    # Step {n}\n    def step_{n}(self):\n"
        + "".join(f"        value_{n} = call({n}, {k})\n" for k in range(40))
        + "\n"
        for n in range(3)
    )
    source = f"# Billing\nimport os\n\n\nclass Invoice:\n{methods}"
    options = ReadOptions(name="billing.py")
    document = extract_document(source.encode(), "text/plain", Limits(), lambda done, total: None, options)
    assert document.text == source
    assert [each.text for each in document.outline] == ["class Invoice", "def step_0", "def step_1", "def step_2"]
    assert {each.heading for each in document.chunks} >= {f"class Invoice > def step_{n}" for n in (1, 2)}
    for chunk in document.chunks:
        for n in range(3):
            if chunk.heading.endswith(f"step_{n}"):
                assert all(f"value_{other} =" not in chunk.content for other in range(3) if other != n)


@pytest.mark.parametrize(
    "source",
    ["", "{", "}" * 50, "class {\n" * 50, "def f(\n" * 50, "a(" * 200, "x = {\n" * 500, "* " * 190, "a*&" * 130],
)
@pytest.mark.parametrize("name", ["a.py", "a.js", "a.rb", "a.lua"])
def test_broken_code(source: str, name: str) -> None:
    """Code that is no code of its language has some scopes or none."""
    assert all(0 <= each.start < each.end <= len(source) for each in find_scopes(source, name))


def test_definitions_that_never_begin() -> None:
    """The lines before a body are limited, or a file of open brackets would take quadratic time."""
    parameters = "".join(f"    int a{n},\n" for n in range(20))
    assert len(find_scopes(f"int f(\n{parameters}    int b) {{\n}}\n", "a.c")) == 1
    assert find_scopes("int f(\n" * 20_000, "a.c") == []
