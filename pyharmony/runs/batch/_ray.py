"""The engine of Ray Data: actors of a cluster, each with a worker process that is watched as on one machine."""

from __future__ import annotations

import dataclasses
import itertools
import json
import logging
from collections.abc import Iterable, Iterator
from typing import Any

from ...errors import RunError
from .._jobs.failures import Code
from ._worker import Order
from .operations import Settings
from .pool import Outcome, Pool, Stopped

#: The items of one call of an actor. A call that is lost with its machine is made again on another.
_BATCH = 16
#: The items of one data set: its rows are in the memory of the cluster at once.
_PART = 20_000


class Operator:
    """The class of the actors, which turn a batch of items into their outcomes.

    It has a worker process of its own, so that an item has the limits of the local engine: Ray has no time limit, and
    an actor that dies takes all its items with it.
    """

    def __init__(self, settings: dict[str, Any]) -> None:
        self._pool = Pool(Settings(**settings), 1)

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[str]]:
        orders = [Order.of_json(str(text)) for text in batch["order"]]
        try:
            outcomes = [dataclasses.asdict(outcome) for outcome in self._pool.outcomes(orders)]
        except Stopped as stopped:
            # The driver stops; an exception would be tried again on another machine.
            outcomes = [{"stopped": str(stopped)}]
        return {"outcome": [json.dumps(outcome) for outcome in outcomes]}


def outcomes(settings: Settings, jobs: int, orders: Iterable[Order]) -> Iterator[Outcome]:
    """Yields the outcome of every item, computed by `jobs` actors of the cluster that Ray is connected to.

    Without a cluster, Ray starts one of this machine.

    Raises:
        Stopped: the disk is full or read-only.
        RunError: Ray is not installed, or the cluster fails.
    """
    try:
        import ray
        import ray.data
    except ImportError:
        raise RunError("the engine ray needs Ray: pip install 'pyharmony-blend[ray]'", Code.UNEXPECTED) from None
    if not ray.is_initialized():
        ray.init(log_to_driver=False, include_dashboard=False, logging_level=logging.WARNING)
    ray.data.DataContext.get_current().enable_progress_bars = False
    logging.getLogger("ray.data").setLevel(logging.WARNING)
    source = iter(orders)
    while part := list(itertools.islice(source, _PART)):
        # A batch whose actor died is made again, also the items whose outputs it has written.
        texts = [{"order": order.to_json()} for order in part]
        rows = ray.data.from_items(texts, override_num_blocks=max(1, -(-len(part) // _BATCH)))
        done = rows.map_batches(
            Operator,
            fn_constructor_args=(dataclasses.asdict(settings),),
            batch_size=_BATCH,
            batch_format="numpy",
            compute=ray.data.ActorPoolStrategy(size=jobs),
            num_cpus=settings.threads,
        )
        try:
            for row in done.iter_rows():
                outcome = json.loads(str(row["outcome"]))
                if "stopped" in outcome:
                    raise Stopped(outcome["stopped"], Code.RESOURCES, "disk", "disk-full")
                yield Outcome(**outcome)
        except ray.exceptions.RayError as error:
            raise RunError(f"Ray: {type(error).__name__}: {error}", Code.UNEXPECTED, "ray") from error
