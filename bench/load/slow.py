"""A way to a server that can be made slow: answers are held back for a second from SIGUSR1 on, until SIGUSR2."""

from __future__ import annotations

import argparse
import asyncio
import signal

import uvloop

DELAY = 1.0
"""Seconds."""


class Way:
    """Carries bytes between clients and one port; what comes back waits for its time, in order."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.delay = 0.0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        try:
            answers, questions = await asyncio.open_connection("127.0.0.1", self._port)
        except OSError:
            writer.close()
            return
        there = asyncio.create_task(_carry(reader, questions))
        back = asyncio.create_task(self._hold_back(answers, writer))
        await asyncio.wait((there, back), return_when=asyncio.FIRST_COMPLETED)
        for task in (there, back):
            task.cancel()
        await asyncio.gather(there, back, return_exceptions=True)
        for end in (writer, questions):
            end.close()

    async def _hold_back(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        loop = asyncio.get_running_loop()
        waiting: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

        async def deliver() -> None:
            while True:
                due, data = await waiting.get()
                await asyncio.sleep(max(due - loop.time(), 0))
                writer.write(data)

        delivering = asyncio.create_task(deliver())
        try:
            while data := await reader.read(1 << 16):
                waiting.put_nowait((loop.time() + self.delay, data))
        finally:
            delivering.cancel()


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(1 << 16):
        writer.write(data)
        await writer.drain()


async def main(args: argparse.Namespace) -> None:
    """Serve until ended."""
    way = Way(args.to)
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGUSR1, setattr, way, "delay", DELAY)
    loop.add_signal_handler(signal.SIGUSR2, setattr, way, "delay", 0.0)
    server = await asyncio.start_server(way.serve, "127.0.0.1", args.port)
    await server.serve_forever()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--to", type=int, required=True, help="the port of the server")
    uvloop.run(main(parser.parse_args()))
