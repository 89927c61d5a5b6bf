# See ../servers.test.ts: PORT
import sys

import gi

gi.require_version("Soup", "3.0")
from gi.repository import GLib, Soup

connections = set()


def heard(connection, kind, message):
    data = message.get_data()
    word, *rest = data.decode().split(" ", 2) if kind == Soup.WebsocketDataType.TEXT else [""]
    if word == "!close":
        connection.close(int(rest[0]), rest[1])
    elif word == "!drop":
        connection.get_io_stream().close()
    else:
        connection.send_message(kind, message)


def ended(connection):
    print("closed", connection.get_close_code(), connection.get_close_data(), flush=True)
    connections.discard(connection)


def opened(server, message, path, connection):
    # nobody else holds it
    connections.add(connection)
    connection.set_max_incoming_payload_size(1 << 26)
    connection.connect("message", heard)
    connection.connect("closed", ended)


def status(server, message, path, query):
    if path == "/302":
        message.set_redirect(302, "/elsewhere")
    else:
        message.set_status(int(path[1:]))


server = Soup.Server()
server.add_websocket_handler("/", None, ["b"], opened)
for code in (302, 401, 503):
    server.add_early_handler(f"/{code}", status)
server.listen_local(int(sys.argv[1]), Soup.ServerListenOptions.IPV4_ONLY)
GLib.MainLoop().run()
