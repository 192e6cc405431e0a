"""What a process has once for each store that it has open, shared by all who use that store."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable
from typing import Generic, TypeVar

from spokekit.connections.store import Store

T = TypeVar("T")


class PerStore(Generic[T]):
    """Things that live as long as their store does; a forked child begins anew.

    The threads that work for such a thing, and those that hold a lock, stay with the parent.
    """

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._begin()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._begin)

    def _begin(self) -> None:
        self._all: weakref.WeakKeyDictionary[Store, T] = weakref.WeakKeyDictionary()
        self._lock = threading.Lock()

    def of(self, store: Store) -> T:
        """Return what belongs to `store`, made when it is first asked for."""
        with self._lock:
            if store not in self._all:
                self._all[store] = self._make()
            return self._all[store]
