"""The questions that administrators ask, one module a subject; importing this package adds them all to the registry."""

from spokekit.audit.questions import cannot, changes, people, spaces

__all__ = ["cannot", "changes", "people", "spaces"]
