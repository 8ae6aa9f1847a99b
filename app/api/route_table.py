from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from fastapi.routing import iter_route_contexts
from starlette.routing import BaseRoute, compile_path


class RouteTable:
    """Paths of the service with their methods; HEAD is allowed wherever GET is."""

    def __init__(self, routes: Sequence[BaseRoute]) -> None:
        methods: defaultdict[str, set[str]] = defaultdict(set)
        for route in iter_route_contexts(routes):
            methods[route.path or ""] |= route.methods or set()
        sorted_methods = {
            path: sorted(names | ({"HEAD"} if "GET" in names else set())) for path, names in methods.items()
        }
        templates = [path for path in methods if "{" in path]
        # Segment by segment: literal segments come before parameters.
        templates.sort(key=lambda path: [segment.startswith("{") for segment in path.split("/")])
        self._templates = [(compile_path(path)[0], sorted_methods[path]) for path in templates]
        self._fixed = {path: names for path, names in sorted_methods.items() if "{" not in path}

    def methods_of(self, path: str) -> Sequence[str] | None:
        """Return the methods of a path in alphabetical order; None if there is no such path."""
        if (fixed := self._fixed.get(path)) is not None:
            return fixed
        return next((methods for pattern, methods in self._templates if pattern.fullmatch(path)), None)
