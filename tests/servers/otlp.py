"""An OTLP server on the official stubs, over HTTP and gRPC: otlp.py HTTP_PORT GRPC_PORT FOLDER

What it has taken is in FOLDER/taken, one JSON object a request (itself in protobuf and base64),
written before the answer: it outlives the server. FOLDER/orders, if it is there, says what is answered:

    refuse TEXT             records with TEXT in their body are rejected, the others are taken
    CODE SECONDS COUNT      the next COUNT gRPC requests get this code, with RetryInfo unless
                            SECONDS is -
"""
import base64
import gzip
import json
import os
import sys
import threading
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import grpc
from google.protobuf import any_pb2, duration_pb2, json_format
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2, logs_service_pb2_grpc

http_port, grpc_port, folder = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
orders_file = os.path.join(folder, "orders")
lock = threading.Lock()
journal = open(os.path.join(folder, "taken"), "a")


def orders():
    try:
        with open(orders_file) as file:
            return file.read().split("\n")
    except FileNotFoundError:
        return [""]


def body_text(value):
    if value.WhichOneof("value") == "bytes_value":
        return value.bytes_value.decode(errors="replace")
    return value.string_value


def take(request, how):
    """Keeps what is to be kept of a request; gives the answer."""
    answer = logs_service_pb2.ExportLogsServiceResponse()
    with lock:
        refused = [line[len("refuse "):] for line in orders() if line.startswith("refuse ")]
        for resource in request.resource_logs:
            for scope in resource.scope_logs:
                bad = [record for record in scope.log_records
                       if any(text in body_text(record.body) for text in refused)]
                for record in bad:
                    scope.log_records.remove(record)
                    answer.partial_success.rejected_log_records += 1
        if refused and answer.partial_success.rejected_log_records:
            answer.partial_success.error_message = "some records have words I do not like"
        taken = base64.b64encode(request.SerializeToString()).decode()
        journal.write(json.dumps({"how": how, "request": taken}) + "\n")
        journal.flush()
    return answer


def next_code():
    """The code of the next gRPC request, and the seconds of its RetryInfo; None to take it."""
    with lock:
        words = orders()[0].split()
        if len(words) != 3 or int(words[2]) == 0:
            return None
        with open(orders_file, "w") as file:
            file.write(f"{words[0]} {words[1]} {int(words[2]) - 1}")
        return int(words[0]), None if words[1] == "-" else float(words[1])


def refusal(code, seconds):
    details = []
    if seconds is not None:
        delay = duration_pb2.Duration()
        delay.FromNanoseconds(int(seconds * 1e9))
        detail = any_pb2.Any()
        detail.Pack(error_details_pb2.RetryInfo(retry_delay=delay))
        details.append(detail)
    return status_pb2.Status(code=code, message="told to say so", details=details)


class Logs(logs_service_pb2_grpc.LogsServiceServicer):
    def Export(self, request, context):
        metadata = dict(context.invocation_metadata())
        how = {"protocol": "grpc", "metadata": {k: str(v) for k, v in metadata.items()}, "at": time.time()}
        code = next_code()
        if code is not None:
            with lock:
                journal.write(json.dumps({"how": how, "refused": code[0]}) + "\n")
                journal.flush()
            context.abort_with_status(rpc_status.to_status(refusal(*code)))
        return take(request, how)


def ids_in_base64(value):
    """OTLP/JSON has ids in hexadecimal digits, where protobuf's own JSON has base64."""
    if isinstance(value, list):
        return [ids_in_base64(item) for item in value]
    if not isinstance(value, dict):
        return value
    fixed = {}
    for key, item in value.items():
        if key in ("traceId", "spanId"):
            fixed[key] = base64.b64encode(bytes.fromhex(item)).decode()
        else:
            fixed[key] = ids_in_base64(item)
    return fixed


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        length = self.headers["Content-Length"]
        if length is None:
            return self.say(411, "text/plain", b"")
        body = self.rfile.read(int(length))
        if len(body) < int(length):
            self.close_connection = True
            return None
        try:
            coding = self.headers["Content-Encoding"]
            body = {None: bytes, "gzip": gzip.decompress, "deflate": zlib.decompress}[coding](body)
            if self.path != "/v1/logs":
                return self.say(404, "text/plain", b"")
            kind = self.headers["Content-Type"]
            if kind == "application/json":
                request = json_format.ParseDict(
                    ids_in_base64(json.loads(body)), logs_service_pb2.ExportLogsServiceRequest())
            elif kind == "application/x-protobuf":
                request = logs_service_pb2.ExportLogsServiceRequest.FromString(body)
            else:
                return self.say(415, "text/plain", b"")
        except Exception as error:
            status = status_pb2.Status(code=3, message=str(error))
            return self.say(400, "application/x-protobuf", status.SerializeToString())
        how = {"protocol": kind, "metadata": {k.lower(): v for k, v in self.headers.items()}, "at": time.time()}
        answer = take(request, how)
        if kind == "application/json":
            return self.say(200, kind, json_format.MessageToJson(answer).encode())
        return self.say(200, kind, answer.SerializeToString())

    def say(self, status, kind, body):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments):
        pass


class Server(ThreadingHTTPServer):
    request_queue_size = 64
    daemon_threads = True


server = grpc.server(ThreadPoolExecutor(8))
logs_service_pb2_grpc.add_LogsServiceServicer_to_server(Logs(), server)
if server.add_insecure_port(f"127.0.0.1:{grpc_port}") != grpc_port:
    sys.exit("the gRPC port is taken")
server.start()
Server(("127.0.0.1", http_port), Handler).serve_forever()
