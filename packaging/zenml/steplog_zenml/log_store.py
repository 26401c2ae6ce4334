"""The log store: what ZenML captures goes to the agent as its `otel` flavor sends it; what it shows comes from
`steplog logs`.

Of each of ZenML's logs the agent makes one stream:

    run     the id of the pipeline run; that of the log itself if it ends before there is a run
    step    the id of the step run; `pipeline` for logs of the run
    source  ZenML's

ZenML begins some logs before it knows their run. Their records are held back until it does.
"""

import logging
from typing import Any, Dict, List, Optional, Tuple, Type, cast

from zenml.log_stores.base_log_store import BaseLogStoreOrigin
from zenml.log_stores.otel.otel_log_store import OtelLogStore, OtelLogStoreOrigin
from zenml.models import LogsEntriesFilter, LogsEntriesResponse, LogsResponse

from steplog_zenml import fetch
from steplog_zenml.flavor import SteplogLogStoreConfig

RUN = "zenml.pipeline.run.id"
STEP = "zenml.step.run.id"
# Records that are held back at most, while there is no run.
HELD = 10_000

Held = Tuple[logging.LogRecord, Optional[Dict[str, Any]]]


class SteplogLogStoreOrigin(OtelLogStoreOrigin):
    """One of ZenML's logs."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """See the class."""
        super().__init__(*args, **kwargs)
        self.held: List[Held] = []


class SteplogLogStore(OtelLogStore):
    """See the module."""

    @property
    def config(self) -> SteplogLogStoreConfig:
        """The keys."""
        return cast(SteplogLogStoreConfig, self._config)

    @property
    def origin_class(self) -> Type[OtelLogStoreOrigin]:
        """Of each of ZenML's logs."""
        return SteplogLogStoreOrigin

    def emit(
        self,
        origin: BaseLogStoreOrigin,
        record: logging.LogRecord,
        metadata: Optional[Dict[str, Any]] = None,
    ) -> None:
        """Takes a record."""
        origin = cast(SteplogLogStoreOrigin, origin)
        with self._lock:
            origin.held.append((record, metadata))
            if RUN in origin.metadata or len(origin.held) >= HELD:
                self._emit_held(origin)

    def _release_origin(self, origin: BaseLogStoreOrigin) -> None:
        with self._lock:
            self._emit_held(cast(SteplogLogStoreOrigin, origin))
        super()._release_origin(origin)

    def _emit_held(self, origin: SteplogLogStoreOrigin) -> None:
        held, origin.held = origin.held, []
        # What is said of a record counts before what is said of its log.
        names = {}
        if RUN not in origin.metadata:
            names["pipeline_run_id"] = str(origin.log_model.id)
        if STEP not in origin.metadata:
            names["step_id"] = fetch.PIPELINE
        for record, metadata in held:
            logger = {"logger": record.name} if record.name else {}
            super().emit(origin, record, {**names, **logger, **(metadata or {})})

    def fetch(
        self,
        logs_model: LogsResponse,
        start: Optional[str] = None,
        limit: Optional[int] = None,
        before: Optional[str] = None,
        after: Optional[str] = None,
        filter_: Optional[LogsEntriesFilter] = None,
    ) -> LogsEntriesResponse:
        """A page of these logs, oldest first; the newest page unless `start` is `oldest`."""
        if logs_model.log_store_id != self.id:
            raise ValueError("These logs were collected by another log store, which can read them back.")
        page = fetch.Page.of(self, logs_model, start, limit, before, after, filter_)
        return page.read(self.config, logs_model)
