import sys

from messages import MESSAGES, closed, refused, same
from PyQt5.QtCore import QByteArray, QCoreApplication, QUrl
from PyQt5.QtNetwork import QSslCertificate
from PyQt5.QtWebSockets import QWebSocket


class Client:
    def __init__(self, mode, url, ca=None):
        self.echo = mode == "echo"
        self.left = list(MESSAGES)
        self.socket = QWebSocket()
        if ca:
            configuration = self.socket.sslConfiguration()
            configuration.setCaCertificates(QSslCertificate.fromPath(ca))
            self.socket.setSslConfiguration(configuration)
        self.socket.connected.connect(self.opened)
        self.socket.textMessageReceived.connect(self.message)
        self.socket.binaryMessageReceived.connect(lambda data: self.message(bytes(data)))
        self.socket.pong.connect(self.pong)
        self.socket.error.connect(self.failed)
        self.socket.disconnected.connect(self.closed)
        # version 5 knows no subprotocols
        self.socket.open(QUrl(url))

    def opened(self):
        if self.echo:
            self.say()
        else:
            self.socket.sendBinaryMessage(QByteArray(b"hello"))

    def say(self):
        if not self.left:
            self.socket.ping(b"enough?")
        elif isinstance(self.left[0], bytes):
            self.socket.sendBinaryMessage(QByteArray(self.left[0]))
        else:
            self.socket.sendTextMessage(self.left[0])

    def message(self, message):
        if self.echo:
            same(self.left.pop(0), message)
            self.say()
        else:
            print(message.decode())

    def pong(self, _time, payload):
        same(b"enough?", bytes(payload))
        self.socket.close(3000, "enough")

    def failed(self):
        if "502" in self.socket.errorString():
            refused(502)
            # it would say that it was closed with 1000
            self.socket.disconnected.disconnect()
        app.exit()

    def closed(self):
        # after its own Close it gives its own reason
        closed(self.socket.closeCode(), "" if self.echo else self.socket.closeReason())
        app.exit()


app = QCoreApplication(sys.argv)
client = Client(*sys.argv[1:])
app.exec()
