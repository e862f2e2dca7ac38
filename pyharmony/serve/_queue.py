"""The queue of jobs, which are taken in turn between users."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterator
from typing import Generic, Protocol, TypeVar


class _Owned(Protocol):
    """An entry of the queue, which belongs to a user."""

    user: str


Item = TypeVar("Item", bound=_Owned)


class Queue(Generic[Item]):
    """A queue that serves users in turn, and the entries of each user in their order."""

    def __init__(self) -> None:
        #: Items by user, for users who have any, in the order of their turns.
        self._waiting: OrderedDict[str, deque[Item]] = OrderedDict()

    def __len__(self) -> int:
        return sum(map(len, self._waiting.values()))

    def __iter__(self) -> Iterator[Item]:
        """Yields the items in the order in which they will be taken."""
        rest = [list(items) for items in self._waiting.values()]
        for i in range(max(map(len, rest), default=0)):
            yield from (items[i] for items in rest if i < len(items))

    def count(self, user: str) -> int:
        """Returns the number of items of a user."""
        return len(self._waiting.get(user, ()))

    def append(self, item: Item) -> None:
        """Adds an item; the turn of a user who has none yet is the last."""
        self._waiting.setdefault(item.user, deque()).append(item)

    def pop(self) -> Item:
        """Takes the next item, after which it is the turn of the other users; IndexError: there is none."""
        user = next(iter(self._waiting), None)
        if user is None:
            raise IndexError("nothing waits")
        item = self._waiting[user].popleft()
        self._waiting.move_to_end(user)
        if not self._waiting[user]:
            del self._waiting[user]
        return item

    def remove(self, item: Item) -> None:
        """Removes an item; ValueError: it does not wait."""
        items = self._waiting.get(item.user, deque())
        items.remove(item)
        if not items:
            del self._waiting[item.user]

    def index(self, item: Item) -> int:
        """Returns the number of items that are taken before one; ValueError: it does not wait."""
        return list(self).index(item)
