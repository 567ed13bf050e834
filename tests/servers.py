"""See `tools.serverprocess`."""

from tools.serverprocess import NotReadyError, ServerProcess, running, start

__all__ = ["NotReadyError", "ServerProcess", "running", "start"]
