# See ../servers.test.ts: PORT [CERTIFICATE KEY]
import asyncio
import ssl
import sys

from tornado.web import Application, HTTPError, RequestHandler
from tornado.websocket import WebSocketHandler


class Echo(WebSocketHandler):
    def get_compression_options(self):
        return {}

    def select_subprotocol(self, offered):
        return "b" if "b" in offered else None

    async def on_message(self, message):
        word, *rest = message.split(" ", 2) if isinstance(message, str) else [""]
        if word == "!close":
            self.close(int(rest[0]), rest[1])
        elif word == "!ping":
            self.ping(b"hi")
        elif word == "!drop":
            self.ws_connection.stream.close()
        else:
            await self.write_message(message, binary=isinstance(message, bytes))

    def on_pong(self, data):
        self.write_message(f"pong {data.decode()}")

    def on_close(self):
        print("closed", self.close_code, self.close_reason, flush=True)


class Status(RequestHandler):
    def get(self, status):
        if status == "302":
            return self.redirect("/elsewhere")
        raise HTTPError(int(status))


async def main(port, *pair):
    tls = None
    if pair:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(*pair)
    app = Application([("/", Echo), (r"/(\d+)", Status)], websocket_max_message_size=1 << 26)
    app.listen(int(port), "127.0.0.1", ssl_options=tls)
    await asyncio.Event().wait()


asyncio.run(main(*sys.argv[1:]))
