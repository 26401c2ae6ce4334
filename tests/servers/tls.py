"""TLS in front of a server without: tls.py PORT UPSTREAM_PORT CERTIFICATE KEY [CLIENT_CA]

With CLIENT_CA only clients that show a certificate signed by it are served.
"""
import asyncio
import ssl
import sys

port, upstream = int(sys.argv[1]), int(sys.argv[2])
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[3], sys.argv[4])
context.set_alpn_protocols(["h2", "http/1.1"] if "--h2" in sys.argv else ["http/1.1"])
if len(sys.argv) > 5 and not sys.argv[5].startswith("--"):
    context.load_verify_locations(sys.argv[5])
    context.verify_mode = ssl.CERT_REQUIRED


async def pipe(reader, writer):
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except OSError:
        pass
    finally:
        writer.close()


async def serve(reader, writer):
    try:
        from_server, to_server = await asyncio.open_connection("127.0.0.1", upstream)
    except OSError:
        writer.close()
        return
    await asyncio.gather(pipe(reader, to_server), pipe(from_server, writer))


async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", port, ssl=context)
    async with server:
        await server.serve_forever()


asyncio.run(main())
