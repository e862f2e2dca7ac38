"""Splits determined only by names."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from ... import _checks
from ...errors import ArgumentError
from ._dataset import Dataset, Subset

#: The default shares of train, val and test.
SHARES: Mapping[str, float] = {"train": 0.9, "val": 0.05, "test": 0.05}


@_checks.kinds
def split_of(name: str, shares: Mapping[str, float] = SHARES, *, seed: int = 0) -> str:
    """Returns the split of a name, independently of other samples in the data set.

    Args:
        name: the name of a sample, or preferably of its group.
        shares: the share of each split, in order; they sum to 1.
        seed: another seed gives another assignment.

    Raises:
        ArgumentError: shares are negative or do not sum to 1.
        DTypeError: name is not a text.

    Example:
        >>> from pyharmony import data
        >>> data.split_of("0007"), data.split_of("0007", {"train": 0.0, "test": 1.0})
        ('train', 'test')
    """
    total = sum(_checks.number(share, f"shares[{key!r}]") for key, share in shares.items())
    if not shares or abs(total - 1) > 1e-6:
        raise ArgumentError(f"shares: they sum to {total:g}, expected 1")
    digest = hashlib.sha256(f"{seed}:{name}".encode("utf-8", "surrogateescape")).digest()
    at, bound = int.from_bytes(digest[:8], "big") / 2**64, 0.0
    for key, share in shares.items():
        bound += share
        if at < bound:
            return key
    return [key for key in shares if shares[key] > 0][-1]  # the remainder left by rounding


@_checks.kinds
def split(dataset: Dataset, shares: Mapping[str, float] = SHARES, *, seed: int = 0) -> dict[str, Subset]:
    """Splits a data set by the hash of each sample's group, so that groups are not divided.

    Args:
        dataset: the data set.
        shares, seed: see `split_of`.

    Raises:
        ArgumentError: shares are negative or do not sum to 1.

    Example:
        >>> from pyharmony import data
        >>> parts = data.split(data.Photos("photos"), {"train": 0.5, "test": 0.5})
        >>> sum(len(part) for part in parts.values())
        2
    """
    indices_of: dict[str, list[int]] = {key: [] for key in shares}
    for index, group in enumerate(dataset.groups):
        indices_of[split_of(group, shares, seed=seed)].append(index)
    return {key: Subset(dataset, indices) for key, indices in indices_of.items()}
