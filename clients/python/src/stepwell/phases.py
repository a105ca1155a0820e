"""The phases that a worker works."""

from __future__ import annotations

from typing import Any, Dict, Generic, List, Sequence, Tuple, TypeVar

Json = Any
Handler = TypeVar("Handler")


class Phases(Generic[Handler]):
    """Phases by kind and name, in the order in which they were declared."""

    def __init__(self) -> None:
        self._kinds: Dict[str, Dict[str, Tuple[List[str], Handler]]] = {}

    def declare(self, kind: str, name: str, inputs: Sequence[str], handler: Handler) -> None:
        phases = self._kinds.setdefault(kind, {})
        if name in phases:
            raise ValueError(f"the phase {name!r} of {kind!r} is declared twice")
        phases[name] = (list(inputs), handler)

    def handler(self, kind: str, name: str) -> Handler:
        return self._kinds[kind][name][1]

    def kinds(self) -> List[Json]:
        """As they are registered."""
        return [
            {"kind": kind, "phases": [{"name": name, "inputs": inputs} for name, (inputs, _) in phases.items()]}
            for kind, phases in self._kinds.items()
        ]
