# See ../servers.test.ts: PORT, then what it chooses of permessage-deflate
import asyncio
import http
import sys

import websockets
from websockets.extensions.permessage_deflate import ServerPerMessageDeflateFactory


async def ponged(socket):
    await (await socket.ping(b"hi"))
    await socket.send("pong hi")


async def echo(socket, path):
    try:
        async for message in socket:
            word, *rest = message.split(" ", 2) if isinstance(message, str) else [""]
            if word == "!close":
                await socket.close(int(rest[0]), rest[1])
            elif word == "!ping":
                asyncio.create_task(ponged(socket))
            elif word == "!drop":
                socket.transport.abort()
            elif word == "!fragments":
                await socket.send(["in ", "", "three ", "fragménts"])
            else:
                await socket.send(message)
    except websockets.ConnectionClosedError:
        pass
    print("closed", socket.close_code, socket.close_reason, flush=True)


async def status(path, headers):
    if path == "/302":
        return http.HTTPStatus.FOUND, {"Location": "/elsewhere"}, b""
    if path != "/":
        return http.HTTPStatus(int(path[1:])), {}, b"no"


async def main(port, *chosen):
    pairs = (word.split("=") for word in chosen)
    deflate = ServerPerMessageDeflateFactory(**{name: int(value) if value != "yes" else True for name, value in pairs})
    async with websockets.serve(
        echo, "127.0.0.1", int(port), max_size=None, subprotocols=["b"], process_request=status, extensions=[deflate], compression=None
    ):
        await asyncio.Event().wait()


asyncio.run(main(*sys.argv[1:]))
