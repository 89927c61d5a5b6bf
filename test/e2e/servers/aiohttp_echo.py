# See ../servers.test.ts: PORT SOCKET [CERTIFICATE KEY]
import asyncio
import ssl
import sys

from aiohttp import WSMsgType, web


async def echo(request):
    socket = web.WebSocketResponse(protocols=["b"], max_msg_size=1 << 26, autoping=False)
    await socket.prepare(request)
    async for message in socket:
        data = message.data
        word, *rest = data.split(" ", 2) if message.type == WSMsgType.TEXT else [""]
        if message.type == WSMsgType.PING:
            await socket.pong(data)
        elif message.type == WSMsgType.PONG:
            await socket.send_str(f"pong {data.decode()}")
        elif message.type == WSMsgType.BINARY:
            await socket.send_bytes(data)
        elif word == "!close":
            await socket.close(code=int(rest[0]), message=rest[1].encode())
        elif word == "!ping":
            await socket.ping(b"hi")
        elif word == "!drop":
            request.transport.abort()
        else:
            await socket.send_str(data)
    print("closed", socket.close_code, flush=True)
    return socket


async def status(request):
    code = int(request.match_info["code"])
    if code == 302:
        raise web.HTTPFound("/elsewhere")
    return web.Response(status=code, text=f"no: {code}")


async def main(port, unix, *pair):
    tls = None
    if pair:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(*pair)
    app = web.Application()
    app.add_routes([web.get("/", echo), web.get(r"/{code:\d+}", status)])
    runner = web.AppRunner(app)
    await runner.setup()
    await web.UnixSite(runner, unix).start()
    await web.TCPSite(runner, "127.0.0.1", int(port), ssl_context=tls).start()
    await asyncio.Event().wait()


asyncio.run(main(*sys.argv[1:]))
