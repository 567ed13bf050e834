"""Two figures of the machine itself, so that runs of different days can be compared.

`null` is what the load generator reaches against a server that answers nothing; `json` is how many of the benchmark's
documents the standard library decodes in a second. Callers: `bench.run`.
"""

import json
import subprocess
import sys
import time
from typing import Final

from bench.client import throughput
from bench.terms import document, start, table, term

NULL_SERVER: Final = """
import asyncio, struct

ANSWER = b'{"t":1,"r":[null]}'
HEADER = struct.Struct("<8sI")

class Null(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport, self.buffer, self.greeted = transport, b"", False

    def data_received(self, data):
        buffer, at, out = self.buffer + data, 0, []
        if not self.greeted:
            if len(buffer) < 12:
                self.buffer = buffer
                return
            self.greeted, at = True, 12
            out.append(b"SUCCESS\\0")
        while len(buffer) - at >= 12:
            token, size = HEADER.unpack_from(buffer, at)
            if len(buffer) - at - 12 < size:
                break
            at += 12 + size
            out.append(HEADER.pack(token, len(ANSWER)) + ANSWER)
        self.buffer = buffer[at:]
        self.transport.write(b"".join(out))

async def main():
    server = await asyncio.get_running_loop().create_server(Null, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()

asyncio.run(main())
"""


def null_queries(seconds: float = 1.0) -> float:
    with subprocess.Popen([sys.executable, "-c", NULL_SERVER], stdout=subprocess.PIPE) as server:
        try:
            assert server.stdout is not None
            port = int(server.stdout.readline())
            body = start(term("get", table(), 1))
            return throughput(port, lambda: body, seconds=seconds)
        finally:
            server.kill()


def json_documents(count: int = 20_000) -> float:
    texts = [json.dumps(document(number)) for number in range(count)]
    begin = time.perf_counter()
    for text in texts:
        json.loads(text)
    return count / (time.perf_counter() - begin)


def line() -> str:
    return (
        f"machine: {null_queries():,.0f} null queries/s, {json_documents():,.0f} json documents/s"
    )
