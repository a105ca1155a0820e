"""A phase that was claimed."""

from __future__ import annotations

from typing import Any, Dict, Mapping, Optional
from urllib.parse import quote

from .errors import LeaseLost

Json = Any
# A report must arrive: it is sent again for as long as the lease can hold, and longer does no harm.
REPORT_TRIES = 40


class Claim:
    """What a phase is given."""

    def __init__(self, claim: Mapping[str, Json]) -> None:
        job, phase = claim["job"], claim["phase"]
        self._lease = str(claim["lease"])
        self._why: Optional[str] = None
        self._is_lost = False
        self.job_id: str = job["id"]
        self.kind: str = job["kind"]
        self.queue: str = job["queue"]
        self.run: int = job["run"]
        self.payload: Json = job["payload"]
        self.phase: str = phase["name"]
        self.attempt: int = phase["attempt"]
        self.interrupted: bool = phase["interrupted"]
        self.checkpoint: Json = phase["checkpoint"]
        self.idempotency_key: str = phase["idempotencyKey"]
        self.outputs: Dict[str, Json] = phase["outputs"]

    @property
    def why(self) -> Optional[str]:
        """Why the phase is to stop, if it is: ``cancelled``, ``lost`` or ``ending``."""
        return self._why

    def _path(self, verb: str) -> str:
        """Raises ``LeaseLost`` where that was said before: what was lost is not spoken of again."""
        if self._is_lost:
            detail = "it was said before that the lease is lost"
            raise LeaseLost({"status": 409, "code": "lease-lost", "detail": detail})
        return f"/claims/{quote(self._lease, safe='')}/{verb}"

    def _stop(self, why: str) -> None:
        """Asks the phase to stop. The first reason counts; what is lost stays so."""
        self._is_lost = self._is_lost or why == "lost"
        self._why = self._why or why


def progress_of(done: int, total: int, note: Optional[str]) -> Json:
    return {"done": done, "total": total, **({"note": note} if note else {})}
