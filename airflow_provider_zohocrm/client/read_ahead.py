"""Reading ahead: the next items are on their way while this one is worked on."""

from __future__ import annotations

import queue
import threading
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable

T = TypeVar("T")


def read_ahead(items: Iterable[T], *, depth: int = 1) -> Generator[T, None, None]:
    """Run an iterable in a thread of its own, and pass its items on in their order.

    What the iterable raises is raised here, after the items before it. When the caller ends early, the thread ends
    with the item it is at.

    :param items: is iterated over in the thread, and nowhere else.
    :param depth: how many items may wait.
    :return: the items; nothing is read before the first is asked for.
    """
    waiting: queue.Queue[tuple[bool, object]] = queue.Queue(depth)
    ended = threading.Event()

    def put(entry: tuple[bool, object]) -> None:
        while not ended.is_set():
            try:
                waiting.put(entry, timeout=0.1)
            except queue.Full:
                continue
            return

    def work() -> None:
        try:
            for item in items:
                put((True, item))
                if ended.is_set():
                    return
        except BaseException as error:  # noqa: BLE001  # raised again in the thread of the caller
            put((False, error))
        else:
            put((False, None))

    threading.Thread(target=work, name="zohocrm-read-ahead", daemon=True).start()
    try:
        while True:
            is_item, item = waiting.get()
            if not is_item:
                if isinstance(item, BaseException):
                    raise item
                return
            yield item  # type: ignore[misc]  # a queue of items and of what ended them
    finally:
        ended.set()
