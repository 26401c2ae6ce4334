"""What the stand-ins for Datadog and Splunk share: an HTTP server that is driven by a test.

A stand-in is no copy of a service: it is written from the service's public API documentation, checks
requests as strictly as that says, and keeps what it takes in memory and in a file, so that it can be
killed and started anew. Only the standard library is used.

    python3 NAME.py --folder FOLDER [--port PORT] [--KEY VALUE …]

prints the port as its first line and ends when its standard input does. Beside the service's own
paths it has, for tests:

    POST /_test/faults    a list of faults for the next requests: {"path": …, "status": …, "headers": {},
                          "body": …, "count": 1}; the first that fits a request is used up by it
    POST /_test/settings  changes what the stand-in calls settings
    GET  /_test/records   all records that it has, oldest first, as they were sent
    GET  /_test/requests  [path, status] of all requests of the service, oldest first
"""

import argparse
import gzip
import json
import os
import socketserver
import sys
import threading
import zlib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Refused(Exception):
    """An answer that is no success."""

    def __init__(self, status, body, headers=None):
        super().__init__(status)
        self.status, self.body, self.headers = status, body, headers or {}


class StandIn:
    """A service. Subclasses have `routes`: {(method, path): function of the request}."""

    routes = {}
    settings = {}

    def __init__(self, arguments):
        self.arguments = arguments
        self.lock = threading.Lock()
        self.faults = []
        self.requests = []
        self.records = []
        self.settings = dict(self.settings)
        self.file = os.path.join(arguments.folder, "records.ndjson")
        if os.path.exists(self.file):
            with open(self.file, encoding="utf-8") as lines:
                self.records = [json.loads(line) for line in lines]

    def keep(self, records):
        """Keeps records, each a JSON object; called with the lock held."""
        with open(self.file, "a", encoding="utf-8") as file:
            file.writelines(json.dumps(record) + "\n" for record in records)
        self.records.extend(records)

    def sent(self):
        """The records as they were sent."""
        return self.records

    def answer(self, request):
        """(status, headers, body) for a request."""
        if request.path.startswith("/_test/"):
            return self.control(request)
        with self.lock:
            fault = next((it for it in self.faults if it.get("path", request.path) == request.path), None)
            if fault:
                fault["count"] = fault.get("count", 1) - 1
                if fault["count"] <= 0:
                    self.faults.remove(fault)
        if fault:
            body = fault.get("body", "")
            status = fault["status"]
            answer = status, fault.get("headers", {}), body if isinstance(body, str) else json.dumps(body)
        else:
            try:
                answer = self.serve(request)
            except Refused as refused:
                answer = refused.status, refused.headers, refused.body
        with self.lock:
            self.requests.append([request.path, answer[0]])
        return answer

    def serve(self, request):
        paths = {path for _, path in self.routes}
        if request.path not in paths:
            raise self.no_such_path()
        route = self.routes.get((request.method, request.path))
        if route is None:
            raise Refused(405, "")
        return route(self, request)

    def no_such_path(self):
        return Refused(404, "")

    def control(self, request):
        with self.lock:
            if request.path == "/_test/faults":
                self.faults = json.loads(request.body)
            elif request.path == "/_test/settings":
                self.settings.update(json.loads(request.body))
            elif request.path == "/_test/records":
                return 200, {}, json.dumps(self.sent())
            elif request.path == "/_test/requests":
                return 200, {}, json.dumps(self.requests)
            else:
                return 404, {}, ""
            return 200, {}, ""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1

    def handle_any(self):
        length = self.headers.get("content-length")
        if length is None and self.headers.get("transfer-encoding"):
            body = self.read_chunks()
        else:
            body = self.rfile.read(int(length or 0))
        self.method = self.command
        self.path, _, self.query = self.path.partition("?")
        self.body = body
        status, headers, body = self.server.stand_in.answer(self)
        body = body.encode()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if not any(name.lower() == "content-type" for name in headers):
            self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = handle_any

    def read_chunks(self):
        body = b""
        while size := int(self.rfile.readline().split(b";")[0], 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def text(self, codings, refused):
        """The body without its content coding, which must be one of `codings`."""
        coding = self.headers.get("content-encoding", "identity")
        if coding not in codings:
            raise refused
        try:
            if coding == "gzip":
                return gzip.decompress(self.body)
            if coding == "deflate":
                return zlib.decompress(self.body)
        except (OSError, EOFError, zlib.error):
            raise refused from None
        return self.body

    def log_message(self, *_):
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def server_bind(self):
        """Without looking up a name for the address."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = self.server_address

    def handle_error(self, request, client_address):
        """A client that goes away is no event."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


def main(stand_in, **options):
    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", required=True)
    parser.add_argument("--port", type=int, default=0)
    for name, default in options.items():
        parser.add_argument(f"--{name.replace('_', '-')}", default=default)
    arguments = parser.parse_args()
    server = Server(("127.0.0.1", arguments.port), Handler)
    server.stand_in = stand_in(arguments)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(server.server_port, flush=True)
    sys.stdin.read()
    os._exit(0)
