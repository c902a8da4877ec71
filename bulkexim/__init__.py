"""bulkexim moves a whole MLflow tenant from one server to another."""

from bulkexim.config import Endpoint, Settings
from bulkexim.engine.migration import migrate
from bulkexim.engine.report import Report

__all__ = ["Endpoint", "Report", "Settings", "migrate"]
