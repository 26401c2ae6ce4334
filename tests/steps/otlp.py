"""Sends log records with the official OpenTelemetry SDK: otlp.py http|grpc ENDPOINT COUNT [TOKEN [CA]]

Prints how the export of each batch ended.
"""
import logging
import sys

from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter as OverGrpc
from opentelemetry.exporter.otlp.proto.http import Compression as HttpCompression
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter as OverHttp
from opentelemetry.sdk._logs import LoggerProvider, LoggingHandler
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.resources import Resource

import grpc

protocol, endpoint, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
token = sys.argv[4] if len(sys.argv) > 4 else None
authority = sys.argv[5] if len(sys.argv) > 5 else None
headers = {"authorization": f"Bearer {token}"} if token else {}
if protocol == "http":
    exporter = OverHttp(
        endpoint=f"{'https' if authority else 'http'}://{endpoint}/v1/logs",
        headers=headers,
        compression=HttpCompression.Gzip,
        certificate_file=authority,
    )
else:
    exporter = OverGrpc(
        endpoint=endpoint,
        insecure=authority is None,
        credentials=grpc.ssl_channel_credentials(open(authority, "rb").read()) if authority else None,
        headers=tuple(headers.items()),
        compression=grpc.Compression.Gzip,
    )


class Told:
    """The exporter, with what came of each batch printed."""

    def export(self, batch):
        result = exporter.export(batch)
        print(result.name, flush=True)
        return result

    def force_flush(self, *_, **__):
        return True

    def shutdown(self):
        exporter.shutdown()


resource = Resource.create(
    {"service.name": "trainer", "cicd.pipeline.run.id": f"run-{protocol}", "cicd.pipeline.task.run.id": "train"}
)
provider = LoggerProvider(resource=resource)
provider.add_log_record_processor(BatchLogRecordProcessor(Told(), max_export_batch_size=50))
logger = logging.getLogger("trainer")
logger.setLevel(logging.DEBUG)
logger.addHandler(LoggingHandler(logger_provider=provider))
for number in range(count):
    logger.log(logging.WARNING if number % 10 == 0 else logging.INFO, "line %d", number, extra={"epoch": number})
provider.force_flush()
provider.shutdown()
