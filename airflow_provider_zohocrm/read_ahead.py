"""Reading ahead: the next items are on their way while this one is worked on."""

from __future__ import annotations

import queue
import threading
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable

T = TypeVar("T")


def read_ahead(items: Iterable[T], *, depth: int = 1, join: bool = False) -> Generator[T, None, None]:
    """Run an iterable in a thread of its own, and pass its items on in their order.

    What the iterable raises is raised here, after the items before it. When the caller ends early, the thread ends
    with the item it is at.

    :param items: is iterated over in the thread, and nowhere else.
    :param depth: how many items may wait.
    :param join: wait for the thread when the caller ends early, as what it reads from is used again.
    :return: the items; nothing is read before the first is asked for.
    """
    reader = _Reader(items, depth)
    reader.start()
    try:
        while True:
            is_item, item = reader.waiting.get()
            if is_item:
                yield item
            elif item is None:
                return
            else:
                raise item
    finally:
        reader.ended.set()
        if join:
            reader.join()


class _Reader(threading.Thread):
    """Puts items into a queue, as ``(True, item)``, and at the end ``(False, error or None)``."""

    def __init__(self, items: Iterable[Any], depth: int) -> None:
        super().__init__(name="zohocrm-read-ahead", daemon=True)
        self.waiting: queue.Queue[tuple[bool, Any]] = queue.Queue(depth)
        self.ended = threading.Event()
        self._items = items

    def run(self) -> None:
        try:
            for item in self._items:
                self._put((True, item))
                if self.ended.is_set():
                    return
        except BaseException as error:  # noqa: BLE001  # raised again in the thread of the caller
            self._put((False, error))
        else:
            self._put((False, None))

    def _put(self, entry: tuple[bool, Any]) -> None:
        while not self.ended.is_set():
            try:
                self.waiting.put(entry, timeout=0.1)
            except queue.Full:
                continue
            return
