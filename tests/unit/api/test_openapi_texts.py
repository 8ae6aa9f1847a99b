"""The texts of the OpenAPI document."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest

from app.api.app import build_app

DOCUMENT = build_app(lambda _: contextlib.nullcontext()).openapi()
SCHEMAS = DOCUMENT["components"]["schemas"]
OPERATIONS = {each["operationId"]: each for methods in DOCUMENT["paths"].values() for each in methods.values()}


def bodies_of(operation: Any) -> Iterator[Any]:
    """Yield the schemas of an operation's request bodies."""
    for content in operation.get("requestBody", {}).get("content", {}).values():
        reference = content["schema"].get("$ref")
        yield SCHEMAS[reference.rpartition("/")[2]] if reference else content["schema"]


@pytest.mark.parametrize("name", OPERATIONS)
def test_operation_is_described(name: str) -> None:
    """An operation has a short summary, and a description of one or more whole sentences."""
    operation = OPERATIONS[name]
    assert len(operation["summary"]) <= 40
    assert operation["description"].endswith(".")


@pytest.mark.parametrize("name", OPERATIONS)
def test_parameters_are_described(name: str) -> None:
    """Each query parameter and each header has a description; an id in a path needs none."""
    parameters = OPERATIONS[name]["parameters"]
    assert [each["name"] for each in parameters if each["in"] != "path" and "description" not in each] == []


@pytest.mark.parametrize("name", OPERATIONS)
def test_request_fields_are_described(name: str) -> None:
    """Each field of a request body has a description."""
    fields = {field: schema for body in bodies_of(OPERATIONS[name]) for field, schema in body["properties"].items()}
    assert [field for field, schema in fields.items() if "description" not in schema] == []
