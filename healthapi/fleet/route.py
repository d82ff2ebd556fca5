"""Which node has what: the one node of a plain Redis, the master that the Sentinels name, the nodes of a Cluster."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from redis.crc import REDIS_CLUSTER_HASH_SLOTS as SLOTS
from redis.crc import key_slot
from redis.exceptions import AuthenticationError, RedisError, ResponseError

from config.storeurl import StoreKind
from healthapi.fleet.dial import Dial, Node, shown
from healthapi.fleet.line import drop, open_connection
from healthapi.fleet.trouble import LinkError, explain

ASKING: Final = 0.5
"""Longest time in seconds that one node may take to say where things are; then the next one is asked."""


FRESH: Final = 2.0
"""Seconds after which the Sentinels are asked again: a master that they replaced by hand goes on as one for a while."""


class Route:
    """Where keys are, as far as it is known. `nodes` are those that may be talked to at all."""

    def __init__(self, dial: Dial) -> None:
        """Know nothing yet but what the address says."""
        self._dial = dial
        self._asked = list(dial.nodes)
        self._slots: list[Node] = []
        self._master: Node | None = dial.nodes[0] if dial.kind is StoreKind.REDIS else None
        self._finding: asyncio.Task[None] | None = None
        self._at = 0.0  # when it was last asked, in the loop's time

    @property
    def known(self) -> bool:
        """Whether `node` has an answer."""
        return self._master is not None or bool(self._slots)

    @property
    def nodes(self) -> set[Node]:
        """All nodes that `node` answers."""
        return set(self._slots) or ({self._master} if self._master else set())

    def node(self, key: bytes) -> Node:
        """The node that has a key, as far as is known. Raises LinkError while nothing is `known`."""
        if self._slots:
            return self._slots[key_slot(key)]
        if self._master is None:
            raise LinkError("nobody has said yet which node is the master")
        return self._master

    def doubt(self) -> None:
        """Ask anew, in the background: a node is gone, or has not what it is thought to have."""
        if self._dial.kind is not StoreKind.REDIS:
            self._ask()

    async def find(self) -> None:
        """Wait until something is known. Raises LinkError; cancelled, the asking goes on for the next one."""
        if self.known:
            if self._dial.kind is StoreKind.SENTINEL and asyncio.get_running_loop().time() - self._at > FRESH:
                self._ask()
        else:
            finding = self._ask()
            await asyncio.wait([finding])
            finding.result()

    async def close(self) -> None:
        """Stop asking."""
        if self._finding is not None:
            self._finding.cancel()
            await asyncio.wait([self._finding])

    def _ask(self) -> asyncio.Task[None]:
        if self._finding is None or self._finding.done():
            self._at = asyncio.get_running_loop().time()
            self._finding = asyncio.create_task(self._find())
            self._finding.add_done_callback(_noted)
        return self._finding

    async def _find(self) -> None:
        """Ask one after the other, first the one that answered last time."""
        trouble: LinkError | None = None
        for node in [*self._asked, *(node for node in self._dial.nodes if node not in self._asked)]:
            try:
                await self._learn(node)
            except LinkError as error:
                trouble = error
                continue
            return
        raise trouble or LinkError("no node to ask")

    async def _learn(self, node: Node) -> None:
        sentinel = self._dial.kind is StoreKind.SENTINEL
        command = ("SENTINEL", "GET-MASTER-ADDR-BY-NAME", self._dial.service) if sentinel else ("CLUSTER", "SLOTS")
        try:
            async with asyncio.timeout(ASKING):
                answer = await _inquire(self._dial, node, command)
        except TimeoutError:
            raise LinkError(f"no answer within {ASKING * 1000:.0f} ms: {shown(node)}") from None
        except (RedisError, OSError) as error:
            raise explain(error, shown(node), self._dial.password) from None
        try:
            if sentinel:
                self._take_master(answer, node)
            else:
                self._take_slots(answer, node)
        except (ValueError, TypeError, IndexError, AttributeError):
            raise LinkError(f"says nothing that is understood: {shown(node)}") from None

    def _take_master(self, answer: Any, asked: Node) -> None:
        if not answer:
            raise LinkError(f"no such service, or no master of it: {shown(asked)}")
        self._master = (answer[0].decode(), int(answer[1]))
        self._asked = [asked, *(node for node in self._dial.nodes if node != asked)]

    def _take_slots(self, answer: Any, asked: Node) -> None:
        slots: list[Node | None] = [None] * SLOTS
        replicas: set[Node] = set()
        for first, last, *nodes in answer:
            # A node that does not know its own address leaves it out.
            found = [((node[0] or b"").decode() or asked[0], int(node[1])) for node in nodes]
            slots[first : last + 1] = [found[0]] * (last + 1 - first)
            replicas.update(found[1:])
        if len(slots) != SLOTS:
            raise ValueError
        missing = slots.count(None)
        if missing:
            raise LinkError(f"nobody has {missing} of the cluster's {SLOTS} slots: {shown(asked)}")
        self._slots = [node for node in slots if node is not None]
        others = (set(self._slots) | replicas) - {asked}
        self._asked = [asked, *sorted(others)]


def _noted(task: asyncio.Task[None]) -> None:
    """Nobody may be waiting any more for what a task found wrong."""
    if not task.cancelled():
        task.exception()


async def _inquire(dial: Dial, node: Node, command: tuple[str, ...]) -> Any:
    """One command on a connection of its own. A Sentinel often has no password where the Redis behind it has one."""
    sentinel = dial.kind is StoreKind.SENTINEL
    try:
        return await _inquire_once(dial, node, command, password=True)
    except (AuthenticationError, ResponseError):
        if not sentinel or dial.password is None:
            raise
    return await _inquire_once(dial, node, command, password=False)


async def _inquire_once(dial: Dial, node: Node, command: tuple[str, ...], *, password: bool) -> Any:
    connection = dial.connection(node, sentinel=True, password=password)
    try:
        await open_connection(connection)
        await connection.send_command(*command, check_health=False)
        return await connection.read_response(disable_decoding=True)
    finally:
        await drop(connection)
