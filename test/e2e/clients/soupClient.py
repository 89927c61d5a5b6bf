import sys

import gi
from messages import MESSAGES, closed, refused, same

gi.require_version("Soup", "3.0")
from gi.repository import Gio, GLib, Soup


class Client:
    def __init__(self, mode, url, ca=None):
        self.echo = mode == "echo"
        self.left = list(MESSAGES)
        self.failure = None
        self.loop = GLib.MainLoop()
        session = Soup.Session()
        session.add_feature_by_type(Soup.WebsocketExtensionManager)
        if ca:
            session.set_tls_database(Gio.TlsFileDatabase.new(ca))
        self.request = Soup.Message.new("GET", url)
        session.websocket_connect_async(self.request, None, ["chat", "other"], 0, None, self.guard(self.opened))
        self.loop.run()
        if self.failure:
            raise self.failure

    def guard(self, callback):
        """GLib would print an error that a callback raises, and go on."""

        def call(*args):
            try:
                callback(*args)
            except BaseException as failure:
                self.failure = failure
                self.loop.quit()

        return call

    def opened(self, session, result):
        try:
            self.socket = session.websocket_connect_finish(result)
        except GLib.Error:
            refused(int(self.request.get_status()))
            return self.loop.quit()
        self.socket.set_max_incoming_payload_size(0)
        self.socket.connect("message", self.guard(self.message))
        self.socket.connect("closed", self.guard(self.closed))
        if self.echo:
            print(self.socket.get_protocol())
            assert self.socket.get_extensions()
            self.say()
        else:
            self.socket.send_message(Soup.WebsocketDataType.BINARY, GLib.Bytes.new(b"hello"))

    def say(self):
        if self.left:
            message = self.left[0]
            kind = Soup.WebsocketDataType.BINARY if isinstance(message, bytes) else Soup.WebsocketDataType.TEXT
            payload = message if isinstance(message, bytes) else message.encode()
            self.socket.send_message(kind, GLib.Bytes.new(payload))
        else:
            self.socket.close(3000, "enough")

    def message(self, _socket, kind, payload):
        data = payload.get_data() or b""
        message = data if kind == Soup.WebsocketDataType.BINARY else data.decode()
        if self.echo:
            same(self.left.pop(0), message)
            self.say()
        else:
            print(message.decode())

    def closed(self, _socket):
        closed(self.socket.get_close_code(), self.socket.get_close_data())
        self.loop.quit()


Client(*sys.argv[1:])
