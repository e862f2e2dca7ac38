"""Tensors whose values are not in their memory: torch computes them when they are read, and so do the ops."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tests.foreign import confined

torch = pytest.importorskip("torch", reason="torch is not installed")

from pyharmony import blend, errors, ops


def negative(x: Any) -> Any:
    """Returns x as a view with the negative bit, as `(1j * x).conj().imag` is."""
    return torch._neg_view(-x)


def imaginary(x: Any) -> Any:
    """Returns x as a view of a conjugate's imaginary part, with the negative bit and gaps."""
    return torch.complex(torch.zeros_like(x), -x).conj().imag


def image(*shape: int) -> Any:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(sum(shape)))


def mask() -> Any:
    mask_ = torch.zeros(24, 24)
    mask_[6:18, 6:18] = 1
    return mask_


def spectral(w: Any) -> Any:
    u, v = image(4), image(27)
    return ops.spectral_norm([w], [u], [v])


CASES: dict[str, tuple[Callable[..., Any], list[Callable[[], Any]]]] = {
    "instance_norm": (ops.instance_norm, [lambda: image(1, 3, 8, 8)]),
    "instance_norm, leaky": (lambda x: ops.instance_norm(x, negative_slope=0.2), [lambda: image(2, 3, 8, 8)]),
    "partial_conv2d": (
        lambda x, w, b, m: ops.partial_conv2d(x, w, b, m, soft=True)[0],
        [lambda: image(1, 3, 24, 24), lambda: image(4, 3, 3, 3), lambda: image(4), mask],
    ),
    "partial_conv2d, groups and channels": (
        lambda x, w, b, m: ops.partial_conv2d(x, w, b, m, groups=2)[0],
        [lambda: image(1, 4, 24, 24), lambda: image(4, 2, 3, 3), lambda: image(4),
         lambda: mask().expand(1, 4, 24, 24).contiguous()],
    ),
    "mask_plan": (lambda m: ops.mask_plan(m, [(3, 1, 1)])[0].mask_out, [mask]),
    "gaussian_poisson": (
        ops.gaussian_poisson,
        [lambda: image(24, 24, 3), lambda: image(24, 24, 3), mask, lambda: image(24, 24, 3)],
    ),
    "poisson": (ops.poisson, [lambda: image(24, 24, 3), lambda: image(24, 24, 3), mask]),
    "color_grid": (
        lambda x, m, a: ops.color_grid(x, m, affine=a),
        [lambda: image(24, 24, 3), mask, lambda: torch.eye(3, 4) + 0.1],
    ),
    "alpha": (blend.alpha, [lambda: image(3, 24, 24), lambda: image(3, 24, 24), mask]),
    "laplacian": (blend.laplacian, [lambda: image(3, 24, 24), lambda: image(3, 24, 24), mask]),
    "spectral_norm": (spectral, [lambda: image(4, 3, 3, 3) - 0.5]),
}  # fmt: skip


@pytest.mark.parametrize("lazy", [negative, imaginary])
@pytest.mark.parametrize("name", CASES)
def test_an_op_sees_the_values_and_not_the_memory(name: str, lazy: Callable[[Any], Any]) -> None:
    """Each argument by itself, and all together, gives the result of the tensors in memory, to the bit."""
    call, make = CASES[name]
    plain = [each() for each in make]
    expected = call(*plain)
    for which in [{i} for i in range(len(plain))] + [set(range(len(plain)))]:
        arguments = [lazy(x) if i in which else x for i, x in enumerate(plain)]
        assert all(arguments[i].is_neg() for i in which)
        assert torch.equal(call(*arguments), expected), which


@pytest.mark.parametrize(
    ("name", "which"), [("instance_norm", 0), ("partial_conv2d", 0), ("partial_conv2d", 1), ("color_grid", 0),
                        ("gaussian_poisson", 0), ("poisson", 1), ("spectral_norm", 0)],
)  # fmt: skip
def test_gradients_pass_lazy_tensors_both_ways(name: str, which: int) -> None:
    """The result's complex conjugate sends back a view with the negative bit as the gradient."""
    call, make = CASES[name]
    gradients = []
    for lazy in (False, True):
        arguments = [each() for each in make]
        leaf = arguments[which].requires_grad_()
        arguments[which] = torch.complex(torch.zeros_like(leaf), -leaf).conj().imag if lazy else leaf
        y = call(*arguments)
        weights = image(*y.shape)
        grad = negative(weights) if lazy else weights
        y.backward(grad)
        gradients.append(leaf.grad)
    assert gradients[0].abs().max() > 0
    assert torch.allclose(gradients[1], gradients[0], rtol=1e-6, atol=0)


def test_vectors_that_are_views_get_their_new_values() -> None:
    w, u, v = image(4, 3, 3, 3) - 0.5, image(4), image(27)
    lazy_u, lazy_v = negative(u.clone()), negative(v.clone())
    ops.spectral_norm([w], [u], [v])
    ops.spectral_norm([w], [lazy_u], [lazy_v])
    assert torch.equal(lazy_u, u) and torch.equal(lazy_v, v)


@pytest.mark.parametrize("name", ["instance_norm", "partial_conv2d", "gaussian_poisson", "alpha", "spectral_norm"])
@pytest.mark.parametrize("kind", ["sparse", "mkldnn"])
def test_tensors_without_strides_are_refused(name: str, kind: str) -> None:
    call, make = CASES[name]
    arguments = [each() for each in make]
    if kind == "mkldnn" and not torch.backends.mkldnn.is_available():
        arguments[0] = arguments[0].to_sparse()
    else:
        arguments[0] = arguments[0].to_sparse() if kind == "sparse" else arguments[0].to_mkldnn()
    with pytest.raises(
        errors.DTypeError, match=r"a tensor of layout torch\.(sparse_coo|_mkldnn), expected a dense one"
    ):
        call(*arguments)


def test_a_view_is_no_place_for_a_result() -> None:
    src, dst = image(3, 24, 24), image(3, 24, 24)
    with pytest.raises(errors.DTypeError, match="out: a view that torch computes when it is read"):
        blend.alpha(src, dst, mask(), out=negative(torch.zeros(3, 24, 24)))
    with pytest.raises(errors.DTypeError, match="out: a view that torch computes when it is read"):
        ops.color_grid(image(24, 24, 3), affine=torch.eye(3, 4), out=negative(torch.zeros(24, 24, 3)))


ZEROS = """
import torch
from pyharmony import ops, errors
zeros = torch._efficientzerotensor((1, 3, 8, 8))
weight = torch.rand(4, 3, 3, 3)
print(float(ops.instance_norm(zeros).abs().max()))
print(float(ops.partial_conv2d(zeros, weight)[0].abs().max()))
print(float(ops.partial_conv2d(torch.ones(1, 3, 8, 8), torch._efficientzerotensor((4, 3, 3, 3)))[0].abs().max()))
y = ops.partial_conv2d(torch.ones(1, 3, 8, 8), weight, torch._efficientzerotensor((4,)))[0]
print(float((y - ops.partial_conv2d(torch.ones(1, 3, 8, 8), weight, torch.zeros(4))[0]).abs().max()))
x = torch.rand(1, 3, 8, 8, requires_grad=True)
ops.instance_norm(x).backward(torch._efficientzerotensor((1, 3, 8, 8)))
print(float(x.grad.abs().max()))
image = torch._efficientzerotensor((8, 8, 3))
print(float(ops.poisson(image, torch.zeros(8, 8, 3), torch.ones(8, 8) * torch.eye(8)).abs().max()))
freed = torch.rand(1, 3, 8, 8)
freed.untyped_storage().resize_(0)
for x in (torch.rand(1, 3, 8, 8, device="meta"), freed):
    try:
        ops.instance_norm(x)
    except errors.DTypeError as error:
        print("refused")
"""


def test_zeros_without_memory_are_zeros(tmp_path: Any) -> None:
    """Reading them must not end the process by a segmentation fault."""
    lines = confined(ZEROS, megabytes=4096, seconds=60).splitlines()
    assert lines == ["0.0"] * 6 + ["refused"] * 2


def test_what_is_in_memory_is_not_copied() -> None:
    from pyharmony import _arrays

    x = image(2, 3)
    assert _arrays.plain(x, "x") is x
    assert np.shares_memory(_arrays.to_numpy(x.t(), "x"), x.numpy())
