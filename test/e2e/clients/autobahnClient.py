import asyncio
import ssl
import sys
from urllib.parse import urlsplit

from autobahn.asyncio.websocket import WebSocketClientFactory, WebSocketClientProtocol
from autobahn.websocket.compress import PerMessageDeflateOffer, PerMessageDeflateResponseAccept
from messages import MESSAGES, closed, refused, same


class Protocol(WebSocketClientProtocol):
    def onConnect(self, response):
        self.response = response

    def onOpen(self):
        self.left = list(MESSAGES)
        if self.factory.echo:
            print(self.response.protocol)
            assert self.response.extensions
            self.say()
        else:
            self.sendMessage(b"hello", isBinary=True)

    def say(self):
        if not self.left:
            self.sendPing(b"enough?")
            return
        message = self.left[0]
        payload = message if isinstance(message, bytes) else message.encode()
        # in frames of 5,000 bytes, and it has none for nothing
        self.sendMessage(payload, isinstance(message, bytes), fragmentSize=5000 if payload else None)

    def onMessage(self, payload, isBinary):
        message = payload if isBinary else payload.decode()
        if self.factory.echo:
            self.check(self.left.pop(0), message)
            self.say()
        else:
            print(message.decode())

    def onPong(self, payload):
        self.check(b"enough?", payload)
        self.sendClose(3000, "enough")

    def check(self, message, echoed):
        """An exception in a callback is nobody's."""
        try:
            same(message, echoed)
        except AssertionError as failure:
            self.factory.closed.set_exception(failure)

    def onClose(self, wasClean, code, reason):
        if self.wasNotCleanReason and "502" in self.wasNotCleanReason:
            refused(502)
        else:
            closed(code, reason)
        if not self.factory.closed.done():
            self.factory.closed.set_result(None)


async def connect(mode, url, ca=None):
    loop = asyncio.get_running_loop()
    factory = WebSocketClientFactory(url, protocols=["chat", "other"])
    factory.protocol = Protocol
    factory.echo = mode == "echo"
    factory.closed = loop.create_future()
    # a second for a closing handshake, as it has by default, is too little for a machine that is busy
    factory.setProtocolOptions(closeHandshakeTimeout=30, openHandshakeTimeout=30)
    factory.setProtocolOptions(
        perMessageCompressionOffers=[PerMessageDeflateOffer(request_max_window_bits=10), PerMessageDeflateOffer()],
        perMessageCompressionAccept=PerMessageDeflateResponseAccept,
    )
    context = ssl.create_default_context(cafile=ca) if ca else None
    address = urlsplit(url)
    await loop.create_connection(factory, address.hostname, address.port, ssl=context)
    await factory.closed


asyncio.run(connect(*sys.argv[1:]))
