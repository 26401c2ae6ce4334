"""The flavor and its keys.

Apart from the log store itself, which ZenML imports only where logs are written or read.
"""

from typing import Optional, Type

from pydantic import Field
from zenml.log_stores.base_log_store import BaseLogStore, BaseLogStoreConfig, BaseLogStoreFlavor
from zenml.log_stores.otel.otel_flavor import OtelLogStoreConfig


class SteplogLogStoreConfig(OtelLogStoreConfig):
    """The keys of the flavor: those of ZenML's `otel`, and how logs are read back."""

    endpoint: str = Field(
        default="http://127.0.0.1:4318/v1/logs",
        description="Where an agent of steplog takes logs: `listen` of its input of the kind `otlp`.",
    )
    schedule_delay_millis: int = Field(
        default=500,
        description="Export interval in milliseconds. What is not exported yet is lost with a step that is killed.",
    )
    command: str = Field(
        default="steplog",
        description="The program that reads logs back, where they are shown.",
    )
    stack_file: Optional[str] = Field(
        default=None,
        description="The stack file that it reads them by; by default it is looked for as always.",
    )


class SteplogLogStoreFlavor(BaseLogStoreFlavor):
    """Logs go to an agent of steplog, and are read back by steplog."""

    @property
    def name(self) -> str:
        """What the flavor is called."""
        return "steplog"

    @property
    def config_class(self) -> Type[BaseLogStoreConfig]:
        """Its keys."""
        return SteplogLogStoreConfig

    @property
    def implementation_class(self) -> Type[BaseLogStore]:
        """The log store."""
        from steplog_zenml.log_store import SteplogLogStore

        return SteplogLogStore
