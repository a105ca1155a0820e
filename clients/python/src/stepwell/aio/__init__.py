"""The same for asyncio: a client whose calls are awaited, and a worker whose handlers are coroutines."""

from .client import AsyncClient
from .worker import AsyncContext, AsyncWorker

__all__ = ["AsyncClient", "AsyncContext", "AsyncWorker"]
