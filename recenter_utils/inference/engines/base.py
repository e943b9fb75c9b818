"""The contract between the runner and an engine."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from recenter_utils.errors import RecenterError
from recenter_utils.inference.cache import Cache
from recenter_utils.inference.models import Model
from recenter_utils.inference.requests import Answer, Request

Deliver = Callable[[Request, Answer], None]


class Engine(ABC):
    """Asks one model. An engine never raises for one bad row: that row's answer carries the error."""

    #: Why no request can succeed (a key refused, nobody listening), as a sentence for the user. Once it is set,
    #: requests still to come are answered with it at once; the runner raises it where no row succeeded.
    unusable: str = ""

    def __init__(self, model: Model, cache: Path | None = None) -> None:
        """Take the model to ask. cache: the file of stored answers, for engines that keep more beside it."""
        self.model = model
        self.cache = cache

    def order(self, requests: Sequence[Request]) -> Sequence[Request]:
        """Return the requests in the order in which this engine likes to be asked."""
        return requests

    @abstractmethod
    async def ask(self, requests: Iterator[Request], deliver: Deliver) -> None:
        """Pull requests, and call `deliver` once for each pulled one, as its answer arrives.

        `deliver` is quick and must be called on the event loop that runs `ask`. The iterator ends early
        when the budget is spent, so engines pull only as much as they are about to ask.
        """

    async def ask_batch(self, requests: Iterator[Request], deliver: Deliver, cache: Cache | None) -> None:
        """Ask through the server's batch interface. Engines without one refuse."""
        raise RecenterError(
            f"Model '{self.model.name}' ({self.model.engine}) has no batch interface: leave out 'batch'."
        )

    @property
    def gpus(self) -> int | None:
        """How many GPUs have done the work, 0 where processors did it; None where that is not known, as of a server."""
        return None

    @property
    def loading(self) -> float:
        """Seconds that went by before it could answer anything, so far."""
        return 0.0

    def note(self) -> str:
        """Return a few words for the progress line on how the engine fares; none by default."""
        return ""

    async def close(self) -> None:
        """Give back what the engine holds (connections, processes, GPU memory)."""
        return None
