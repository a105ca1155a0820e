"""Following events, one page after the other."""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, Optional
from urllib.parse import urlencode

from .waiting import WAIT_MS

# It is for ever: over restarts of the server too.
TRIES = 1_000_000


class Following:
    """What to ask next, and what the answer tells."""

    def __init__(self, after: Optional[str], filters: Mapping[str, str]) -> None:
        self._place = after
        self._filters = filters

    def path(self) -> str:
        asked = {**self._filters, "waitMs": str(WAIT_MS)}
        if self._place is not None:
            asked["after"] = str(self._place)
        return f"/events?{urlencode(asked)}"

    def told(self, page: Mapping[str, Any]) -> List[Dict[str, Any]]:
        """The events of a page, each with its ``place``, after what was missed before them."""
        self._place = page["next"]
        log = page["next"].rpartition("-")[0]
        missed = [
            {"type": f"stream:{word}", "place": f"{log}-{page[word]['oldest'] - 1}", "data": page[word]}
            for word in ("reset", "gap")
            if page.get(word) is not None
        ]
        return missed + [{**event, "place": f"{log}-{event['pos']}"} for event in page["events"]]
