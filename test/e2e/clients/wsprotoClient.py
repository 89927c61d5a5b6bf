import socket
import ssl
import sys
from urllib.parse import urlsplit

from messages import MESSAGES, closed, refused, same
from wsproto import ConnectionType, WSConnection
from wsproto.events import (
    AcceptConnection,
    BytesMessage,
    CloseConnection,
    Message,
    Ping,
    Pong,
    RejectConnection,
    Request,
    TextMessage,
)
from wsproto.extensions import PerMessageDeflate


class Client:
    """The protocol is all that wsproto has: the sockets are Python's."""

    def __init__(self, url, ca=None, **window):
        address = urlsplit(url)
        self.stream = socket.create_connection((address.hostname, address.port))
        if ca:
            self.stream = ssl.create_default_context(cafile=ca).wrap_socket(self.stream, server_hostname=address.hostname)
        self.deflate = PerMessageDeflate(**window)
        self.protocol = WSConnection(ConnectionType.CLIENT)
        self.events = self.come()
        self.send(Request(address.netloc, "/", extensions=[self.deflate], subprotocols=["chat", "other"]))
        self.answer = next(self.events)

    def send(self, event):
        self.stream.sendall(self.protocol.send(event))

    def come(self):
        while True:
            data = self.stream.recv(65536)
            self.protocol.receive_data(data or None)
            for event in self.protocol.events():
                if isinstance(event, Ping):
                    self.send(event.response())
                else:
                    yield event

    def receive(self):
        parts = []
        for event in self.events:
            if not isinstance(event, (TextMessage, BytesMessage)):
                return event
            parts.append(event.data)
            if event.message_finished:
                return parts[0][:0].join(parts)


def echo(url, ca=None, *bits):
    server, client = map(int, bits or (15, 15))
    peer = Client(url, ca, server_max_window_bits=server, client_max_window_bits=client)
    assert isinstance(peer.answer, AcceptConnection), peer.answer
    print(peer.answer.subprotocol)
    assert peer.answer.extensions == [peer.deflate]
    assert (peer.deflate.server_max_window_bits, peer.deflate.client_max_window_bits) == (server, client)
    for message in MESSAGES:
        peer.send(Message(message))
        echoed = peer.receive()
        # it says nothing of an empty message's kind
        same(message, echoed or message[:0])
    for i, part in enumerate(["in ", "three ", "fragments"]):
        peer.send(TextMessage(part, message_finished=i == 2))
    same("in three fragments", peer.receive())
    peer.send(Ping(b"enough?"))
    same(Pong(b"enough?"), next(peer.events))
    peer.send(CloseConnection(3000, "enough"))
    end = peer.receive()
    closed(end.code, end.reason)


def read(url):
    peer = Client(url)
    if isinstance(peer.answer, RejectConnection):
        return refused(peer.answer.status_code)
    peer.send(BytesMessage(b"hello"))
    while not isinstance(message := peer.receive(), CloseConnection):
        print(message.decode())
    closed(message.code, message.reason)


{"echo": echo, "read": read}[sys.argv[1]](*sys.argv[2:])
