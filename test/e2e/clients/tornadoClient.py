import asyncio
import sys

from messages import MESSAGES, closed, refused, same
from tornado.httpclient import HTTPClientError, HTTPRequest
from tornado.websocket import websocket_connect


def connect(url, ca=None):
    # uncompressed: it does not see client_no_context_takeover in an answer, nor any parameter without a value
    return websocket_connect(HTTPRequest(url, ca_certs=ca), subprotocols=["chat", "other"])


async def echo(url, ca):
    socket = await connect(url, ca)
    print(socket.selected_subprotocol)
    for message in MESSAGES:
        await socket.write_message(message, binary=isinstance(message, bytes))
        same(message, await socket.read_message())
    socket.close(3000, "enough")
    assert await socket.read_message() is None
    closed(socket.close_code, socket.close_reason)


async def read(url):
    try:
        socket = await connect(url)
    except HTTPClientError as error:
        return refused(error.code)
    await socket.write_message(b"hello", binary=True)
    while (message := await socket.read_message()) is not None:
        print(message.decode())
    closed(socket.close_code, socket.close_reason)


asyncio.run({"echo": echo, "read": read}[sys.argv[1]](*sys.argv[2:]))
