import sys

from messages import MESSAGES, closed, refused, same
from websocket import ABNF, WebSocketBadStatusException, create_connection


def connect(url, ca=None):
    return create_connection(url, timeout=30, sslopt={"ca_certs": ca}, subprotocols=["chat", "other"])


def end(data):
    closed(int.from_bytes(data[:2], "big"), data[2:].decode())


def echo(url, ca=None):
    socket = connect(url, ca)
    print(socket.getsubprotocol())
    for message in MESSAGES:
        socket.send(message, ABNF.OPCODE_BINARY if isinstance(message, bytes) else ABNF.OPCODE_TEXT)
        same(message, socket.recv())
    socket.send_frame(ABNF.create_frame("in ", ABNF.OPCODE_TEXT, 0))
    socket.ping("between")
    socket.send_frame(ABNF.create_frame("fragments", ABNF.OPCODE_CONT, 1))
    same((ABNF.OPCODE_PONG, b"between"), socket.recv_data(control_frame=True))
    same((ABNF.OPCODE_TEXT, b"in fragments"), socket.recv_data(control_frame=True))
    socket.send_close(3000, b"enough")
    end(socket.recv_data(control_frame=True)[1])


def read(url):
    try:
        socket = connect(url)
    except WebSocketBadStatusException as error:
        return refused(error.status_code)
    socket.send_binary(b"hello")
    while (frame := socket.recv_data())[0] == ABNF.OPCODE_BINARY:
        print(frame[1].decode())
    end(frame[1])


{"echo": echo, "read": read}[sys.argv[1]](*sys.argv[2:])
