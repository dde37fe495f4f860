"""Gatecast: SQL in, a tested LSTM, forecasts for the dates you name out, back to SQL."""

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

# Threads that spin while they wait make torch up to 70 times slower on a busy machine. This
# must be set before torch loads its OpenMP runtime; a user's own choice is kept.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

if TYPE_CHECKING:
    from gatecast.config import Config
    from gatecast.data.panel import Panel
    from gatecast.data.table import ForecastTable
    from gatecast.errors import GatecastError
    from gatecast.model import Model
    from gatecast.pipeline import audit, backtest, fit, load, read
    from gatecast.store import open_store

_HOME = {
    "Config": "config",
    "ForecastTable": "data.table",
    "GatecastError": "errors",
    "Model": "model",
    "Panel": "data.panel",
    "audit": "pipeline",
    "backtest": "pipeline",
    "fit": "pipeline",
    "load": "pipeline",
    "open_store": "store",
    "read": "pipeline",
}

__all__ = [
    "Config",
    "ForecastTable",
    "GatecastError",
    "Model",
    "Panel",
    "audit",
    "backtest",
    "fit",
    "load",
    "open_store",
    "read",
]


if not TYPE_CHECKING:  # or type checkers would take any name for one of the package

    def __getattr__(name: str) -> Any:
        """Import a public name when it is first used: `import gatecast` itself costs nothing."""
        if name not in _HOME:
            raise AttributeError(f"module 'gatecast' has no attribute {name!r}")
        return getattr(import_module(f"gatecast.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return __all__
