"""A log store for ZenML: `zenml log-store flavor register steplog_zenml.SteplogLogStoreFlavor`."""

from steplog_zenml.flavor import SteplogLogStoreConfig, SteplogLogStoreFlavor

__all__ = ["SteplogLogStoreConfig", "SteplogLogStoreFlavor"]
