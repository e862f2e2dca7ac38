"""The earth mover's distance between signatures, computed exactly by the transportation simplex."""

from __future__ import annotations

import itertools

import numpy as np

from .._arrays import Float64


def transport_plan(supply: Float64, demand: Float64, cost: Float64) -> Float64:
    """Returns the flow of least total cost, [n, m], whose rows sum to supply and whose columns to demand.

    It is the simplex on a spanning tree of the cells (Dantzig 1951): the first tree contains the cheapest cells first;
    the cell of the most negative reduced cost enters until there is none. A perturbation of 1e-12 of the total
    separates degenerate vertices, so the constraints may be violated by as much.

    supply, demand: [n] and [m], above zero, of equal sums.
    cost: [n, m].
    """
    n, m = cost.shape
    small = 1e-12 * supply.sum() / (n + 1)
    a, b = supply + small, demand.copy()
    b[-1] += a.sum() - b.sum()
    flow = _first(a, b, cost)
    tolerance = 1e-12 * (1 + np.abs(cost).max())
    while True:
        u, v, parent, depth = _potentials(flow, cost)
        reduced = cost - u[:, None] - v
        i, j = np.unravel_index(int(reduced.argmin()), (n, m))
        if reduced[i, j] >= -tolerance:
            return np.maximum(np.nan_to_num(flow), 0.0)
        _pivot(flow, int(i), int(j), parent, depth)


def _first(a: Float64, b: Float64, cost: Float64) -> Float64:
    """Returns the flow on a tree of cells, the cheapest filled first; NaN where a cell is not in the tree."""
    rest, demand = a.copy(), b.copy()
    flow = np.full(cost.shape, np.nan)
    rows, columns = set(range(len(a))), set(range(len(b)))
    for cell in np.argsort(cost, axis=None, kind="stable"):
        i, j = divmod(int(cell), len(b))
        if i not in rows or j not in columns:
            continue
        amount = min(rest[i], demand[j])
        flow[i, j] = amount
        # One row or column is exhausted at a time, so that the cells form a tree.
        if rest[i] <= demand[j] and (len(rows) > 1 or len(columns) == 1):
            rows.discard(i)
        else:
            columns.discard(j)
        rest[i] -= amount
        demand[j] -= amount
    return flow


def _potentials(flow: Float64, cost: Float64) -> tuple[Float64, Float64, list[int], list[int]]:
    """Returns u and v with u_i + v_j = cost on the tree, and parent and depth of each node (rows, then columns)."""
    n, m = cost.shape
    near: list[list[int]] = [[] for _ in range(n + m)]
    for i, j in zip(*(x.tolist() for x in np.nonzero(~np.isnan(flow))), strict=True):
        near[i].append(n + j)
        near[n + j].append(i)
    value, parent, depth = [0.0] * (n + m), [-1] * (n + m), [-1] * (n + m)
    depth[0] = 0
    order = [0]
    for node in order:
        for other in near[node]:
            if depth[other] < 0:
                i, j = (node, other - n) if node < n else (other, node - n)
                value[other] = float(cost[i, j]) - value[node]
                parent[other], depth[other] = node, depth[node] + 1
                order.append(other)
    return np.array(value[:n]), np.array(value[n:]), parent, depth


def _pivot(flow: Float64, i: int, j: int, parent: list[int], depth: list[int]) -> None:
    """Moves as much flow as possible around the cycle that cell (i, j) closes, and removes the emptied cell."""
    n = flow.shape[0]
    a, b = i, n + j
    left, right = [a], [b]
    while a != b:
        if depth[a] >= depth[b]:
            a = parent[a]
            left.append(a)
        else:
            b = parent[b]
            right.append(b)
    path = left + right[-2::-1]  # the nodes from row i to column j along the tree
    cells = [(p, q - n) if p < n else (q, p - n) for p, q in itertools.pairwise(path)]
    losing, gaining = cells[::2], cells[1::2]
    amount, out = min((flow[cell], cell) for cell in losing)
    for cell in losing:
        flow[cell] -= amount
    for cell in gaining:
        flow[cell] += amount
    flow[i, j] = amount
    flow[out] = np.nan
