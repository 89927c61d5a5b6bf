import asyncio
import ssl
import sys

import aiohttp
from messages import MESSAGES, closed, refused, same


def connect(session, url, **options):
    return session.ws_connect(url, protocols=["chat", "other"], compress=15, max_msg_size=0, **options)


async def echo(session, url, ca=None):
    async with connect(session, url, ssl=ssl.create_default_context(cafile=ca)) as socket:
        print(socket.protocol)
        assert socket.compress == 15
        for message in MESSAGES:
            await (socket.send_str(message) if isinstance(message, str) else socket.send_bytes(message))
            same(message, (await socket.receive()).data)
        await socket.close(code=3000, message=b"enough")
        closed(socket.close_code)


async def read(session, url):
    try:
        socket = await connect(session, url)
    except aiohttp.WSServerHandshakeError as error:
        return refused(error.status)
    await socket.send_bytes(b"hello")
    while (message := await socket.receive()).type is aiohttp.WSMsgType.BINARY:
        print(message.data.decode())
    closed(message.data, message.extra)


async def main(mode, *args):
    async with aiohttp.ClientSession() as session:
        await {"echo": echo, "read": read}[mode](session, *args)


asyncio.run(main(*sys.argv[1:]))
