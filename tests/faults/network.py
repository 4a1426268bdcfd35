"""A network between a window and a worker, for tests: it is slow, far, lossy, breaks, or carries nothing any more.

Three ports of this process stand for those of the worker. Bytes wait for their time in queues of bounded length, and
all lanes share the line of their direction. TCP repairs loss, so a lost packet is one that comes a quarter of a second
late, with all that is behind it.
"""

import asyncio
import random
import threading
from collections.abc import Collection, Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from worker.transport import Address, Lane

PIECE = 8 * 1024
RESEND_SECONDS = 0.25
IN_FLIGHT = 64 * 1024
"""Bytes of a connection that may be under way."""


@dataclass(kw_only=True, slots=True)
class Quality:
    """Of both directions."""

    delay: float = 0.0
    """Seconds from one end to the other."""
    jitter: float = 0.0
    """At most so many seconds more, another number for each piece."""
    loss: float = 0.0
    """Share of pieces that have to be sent again."""
    bandwidth: float = float("inf")
    """Bytes a second, all connections together."""


@dataclass(eq=False, slots=True)
class Connection:
    """One connection through the network."""

    lane: Lane
    writers: tuple[asyncio.StreamWriter, asyncio.StreamWriter]
    dead: bool = False
    """Takes everything and delivers nothing."""


@dataclass(slots=True)
class Network:
    """In a thread of its own between `enter` and `leave`; `quality` may be changed at any time."""

    target: Address
    near: Address
    """Where the window connects to."""
    quality: Quality = field(default_factory=Quality)
    dice: random.Random = field(default_factory=lambda: random.Random(1))
    refuses: bool = False
    """New connections are closed at once."""
    carried: int = 0
    """Bytes that were delivered to the window."""
    _loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.new_event_loop)
    _connections: set[Connection] = field(default_factory=set)
    _free: dict[bool, float] = field(default_factory=lambda: {True: 0.0, False: 0.0})
    """When the line of a direction is free again."""
    _thread: threading.Thread | None = None

    def __enter__(self) -> "Network":
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        for lane in Lane:
            self._do(self._listen(lane))
        return self

    def __exit__(self, *_: object) -> None:
        self.cut()
        self._do(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        assert self._thread is not None
        self._thread.join()
        self._loop.close()

    def cut(self, lanes: Collection[Lane] = tuple(Lane)) -> None:
        """Break the connections of these lanes, as a router that restarts does."""

        async def close() -> None:
            for each in [each for each in self._connections if each.lane in lanes]:
                for writer in each.writers:
                    writer.transport.abort()

        self._do(close())

    def swallow(self, lanes: Collection[Lane] = tuple(Lane)) -> None:
        """The connections of these lanes stand, and carry nothing any more; new ones do."""
        for each in self._connections:
            each.dead = each.dead or each.lane in lanes

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    async def _end(self) -> None:
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
            with suppress(asyncio.CancelledError, OSError):
                await task

    async def _listen(self, lane: Lane) -> None:
        number = list(Lane).index(lane)

        async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            if self.refuses:
                writer.transport.abort()
                return
            await self._serve(lane, self.target.port + number, reader, writer)

        await asyncio.start_server(connected, self.near.host, self.near.port + number, limit=2 * PIECE)

    async def _serve(self, lane: Lane, port: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection(self.target.host, port, limit=2 * PIECE)
        connection = Connection(lane, (writer, back))
        self._connections.add(connection)
        try:
            await asyncio.gather(
                self._carry(connection, reader, back, home=False), self._carry(connection, there, writer, home=True)
            )
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            self._connections.discard(connection)
            for each in connection.writers:
                each.transport.abort()

    async def _carry(
        self, connection: Connection, source: asyncio.StreamReader, sink: asyncio.StreamWriter, *, home: bool
    ) -> None:
        sink.transport.set_write_buffer_limits(high=PIECE)
        under_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(IN_FLIGHT // PIECE)
        delivering = asyncio.ensure_future(self._deliver(connection, under_way, sink, home=home))
        arrival = 0.0
        try:
            while piece := await source.read(PIECE):
                late = self.dice.uniform(0, self.quality.jitter) + RESEND_SECONDS * (
                    self.dice.random() < self.quality.loss
                )
                arrival = max(arrival, self._loop.time() + self.quality.delay + late)
                await under_way.put((arrival, piece))
            raise ConnectionError("one end has left")
        finally:
            delivering.cancel()

    async def _deliver(
        self, connection: Connection, under_way: "asyncio.Queue[tuple[float, bytes]]", sink: asyncio.StreamWriter,
        *, home: bool,
    ) -> None:  # fmt: skip
        while True:
            arrival, piece = await under_way.get()
            self._free[home] = max(self._free[home], self._loop.time()) + len(piece) / self.quality.bandwidth
            await asyncio.sleep(max(arrival, self._free[home]) - self._loop.time())
            if not connection.dead:
                sink.write(piece)
                self.carried += len(piece) * home
                await sink.drain()
