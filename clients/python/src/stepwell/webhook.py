"""Whether a webhook is genuine (Standard Webhooks)."""

from __future__ import annotations

import base64
import hashlib
import hmac
import time
from typing import Mapping, Optional

TOLERANCE_S = 300


def verify(
    secret: str,
    headers: Mapping[str, str],
    body: bytes,
    now: Optional[float] = None,
    tolerance_s: float = TOLERANCE_S,
) -> bool:
    """Whether ``body`` was signed with ``secret`` (``whsec_…``) within the last five minutes, or another tolerance.

    While a secret is being replaced there are several signatures, of which one that is right is enough. ``headers`` are
    looked up without regard to case; ``body`` is what was received, byte by byte.
    """
    found = {name.lower(): value for name, value in headers.items()}
    try:
        message, timestamp = found["webhook-id"], found["webhook-timestamp"]
        given = found["webhook-signature"].split()
        key = base64.b64decode(secret.split("_", 1)[-1])
        age = abs((time.time() if now is None else now) - int(timestamp))
    except (KeyError, ValueError):
        return False
    if not key:
        # A secret that was forgotten must not become an empty key, with which anybody can sign.
        return False
    signed = f"{message}.{timestamp}.".encode() + body
    expected = "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    return age <= tolerance_s and any(hmac.compare_digest(each.encode(), expected.encode()) for each in given)
