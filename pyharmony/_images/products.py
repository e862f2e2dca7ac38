"""Matrix products of networks in NumPy, cut so small that OpenBLAS leaves each of them to the thread that asks."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Float32 = npt.NDArray[np.float32]

#: The multiplications of a matrix product that OpenBLAS leaves to one thread. Work is shared among threads instead:
#: larger products are over too soon for several threads to meet, and take a hundred times as long on a busy machine.
ALONE = 1 << 18


def multiply(x: Float32, weight: Float32, out: Float32) -> None:
    """Writes the product of x [P, K] and a weight [K, O] into out [P, O], as many small products."""
    count = max(8, ALONE // weight.size)
    whole = len(x) - len(x) % count
    for one, many in ((slice(0, whole), count), (slice(whole, len(x)), len(x) - whole)):
        if many and one.start < one.stop:
            np.matmul(x[one].reshape(-1, many, x.shape[1]), weight, out=out[one].reshape(-1, many, out.shape[1]))
