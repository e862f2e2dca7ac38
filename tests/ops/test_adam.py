"""Adam's update of many tensors: the definition, torch's numbers, one pass whatever lies where, on every backend."""

from __future__ import annotations

import importlib.util
import itertools
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyharmony.errors import ArgumentError, DeviceError, DTypeError, ShapeError
from pyharmony.reference.adam import adam as definition

if importlib.util.find_spec("torch") is None:
    pytest.skip("torch is not installed", allow_module_level=True)

import torch

from pyharmony.ops.adam import adam

from ..shared import captured

#: The unit roundoff of float32.
UNIT = 2.0**-24
#: Sizes: nothing, one value, a rest beside packs and registers, some tiles of the kernels.
SHAPES = ((0,), (1,), (7,), (3, 5, 3, 1), (12, 8, 4, 4), (9001,), (33, 16, 5, 5))


class Tensors(NamedTuple):
    """The tensors that an update reads and writes."""

    parameters: list[Any]
    gradients: list[Any]
    means: list[Any]
    squares: list[Any]
    steps: list[Any]


def draw(
    shapes: Any = SHAPES, *, seed: int = 0, step: int = 3, last: bool = False, to: Callable[[Any], Any] = lambda x: x
) -> Tensors:
    rng = np.random.default_rng(seed)

    def tensor(shape: Any, size: float) -> Any:
        x = torch.from_numpy((rng.standard_normal(shape) * size).astype(np.float32))
        return to(x.contiguous(memory_format=torch.channels_last) if last and x.ndim == 4 else x)

    parameters, gradients, means, squares = ([tensor(shape, size) for shape in shapes] for size in (1, 0.1, 0.1, 0.1))
    steps = [to(torch.tensor(float(step))) for _ in shapes]
    return Tensors(parameters, gradients, means, [x.square_() for x in squares], steps)


def values(x: Any) -> np.ndarray[Any, Any]:
    return x.detach().cpu().double().numpy().copy()


def follows_the_definition(tensors: Tensors, *, loose: bool = False, update: Any = None, **rule: Any) -> None:
    """Makes an update, and compares it with the definition; made: what made it already in place of the op.

    Bounds are those of float32's roundings, one after the other: of beta, 1 - beta and the products in the averages;
    of the root, eps and the quotient in the update; of the parameter itself. A sum's is of the sizes that are added.
    loose: torch interpolates the average of the gradient, whose rounding is that of both.
    """
    before = [[values(x) for x in kind] for kind in tensors]
    (update or adam)(*tensors, **rule)
    rule = {key: float(value) if key == "lr" else value for key, value in rule.items() if key not in ("skip", "cache")}
    lr, (beta1, beta2), eps = rule["lr"], rule["betas"], rule.get("eps", 1e-8)
    for i, (p, g, m, v, step) in enumerate(zip(*before)):
        t = float(step) + 1
        assert float(tensors.steps[i]) == t
        exact = definition(p, g, m, v, int(t), **rule)
        slope = np.abs(g) + (0 if rule.get("decoupled") else rule.get("weight_decay", 0) * np.abs(p))
        of_mean = 8 * UNIT * (np.abs(m) + slope if loose else beta1 * np.abs(m) + (1 - beta1) * slope)
        of_square = 12 * UNIT * (beta2 * v + (1 - beta2) * slope**2)
        rate, root = lr / (1 - beta1**t), 1 / np.sqrt(1 - beta2**t)
        with np.errstate(divide="ignore", invalid="ignore"):
            of_root = np.minimum(np.sqrt(of_square), np.nan_to_num(of_square / np.sqrt(exact[2]), nan=0.0))
            below = root * np.sqrt(exact[2]) + eps
            of_below = root * of_root + 4 * UNIT * below
            size = rate * np.abs(exact[1]) / below
            of_update = (rate * of_mean + size * of_below) / np.maximum(below - of_below, 0) + 4 * UNIT * size
        of_parameter = of_update + 4 * UNIT * np.abs(p)
        for kind, result, bound in zip((0, 2, 3), exact, (of_parameter, of_mean, of_square), strict=True):
            assert (np.abs(values(tensors[kind][i]) - result) <= bound).all()
        assert np.array_equal(values(tensors.gradients[i]), g)


RULES: tuple[dict[str, Any], ...] = (
    {"lr": 1e-3, "betas": (0.9, 0.999)},
    {"lr": 2e-4, "betas": (0.5, 0.999), "clip": 0.01},
    {"lr": 1e-2, "betas": (0.0, 0.9), "weight_decay": 0.1},
    {"lr": 1e-2, "betas": (0.9, 0.99), "weight_decay": 0.1, "decoupled": True, "clip": 0.5, "eps": 1e-3},
)


@pytest.mark.parametrize("last", [False, True], ids=["planar", "channels-last"])
@pytest.mark.parametrize("rule", RULES, ids=str)
def test_updates_follow_the_definition(place: Any, rule: dict[str, Any], last: bool) -> None:
    for step in (0, 1000):
        follows_the_definition(draw(step=step, last=last, to=place), **rule)


@pytest.mark.parametrize("rule", RULES, ids=str)
def test_every_instruction_set_follows_the_definition(simd: str, rule: dict[str, Any]) -> None:
    follows_the_definition(draw(), **rule)


@given(
    sizes=st.lists(st.integers(0, 70), max_size=5), step=st.integers(0, 9999), lr=st.sampled_from((0.0, 1e-5, 1e-1)),
    betas=st.tuples(*[st.floats(0, 0.9999)] * 2), eps=st.sampled_from((1e-8, 1e-4)),
    weight_decay=st.sampled_from((0.0, 1e-2, 1.0)), decoupled=st.booleans(),
    clip=st.sampled_from((None, 0.01, 1.0)), seed=st.integers(0, 99),
)  # fmt: skip
def test_any_update_follows_the_definition(sizes: list[int], step: int, seed: int, **rule: Any) -> None:
    follows_the_definition(draw([(n,) for n in sizes], seed=seed, step=step), **rule)


@pytest.mark.parametrize("decoupled", [False, True])
def test_torch_is_within_the_same_bounds(decoupled: bool) -> None:
    """Its fused kernel and ours are the definition but for rounding, so that either goes on where the other was."""
    fused = torch._fused_adamw_ if decoupled else torch._fused_adam_

    def by_torch(p: Any, g: Any, m: Any, v: Any, steps: Any, *, decoupled: bool, betas: Any, **rule: Any) -> None:
        torch._foreach_add_(steps, 1)
        fused(p, g, m, v, [], steps, beta1=betas[0], beta2=betas[1], amsgrad=False, maximize=False, **rule)

    rule = {"lr": 1e-3, "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0.1, "decoupled": decoupled}
    follows_the_definition(draw(), **rule)
    follows_the_definition(draw(), loose=True, update=by_torch, **rule)


def test_the_number_of_threads_changes_no_bit(threads: int) -> None:
    tensors, alone = draw(), draw()
    adam(*tensors, **RULES[3])
    for i in range(len(SHAPES)):
        adam(*([kind[i]] for kind in alone), **RULES[3])
    assert same(tensors, alone)


def same(one: Tensors, other: Tensors) -> bool:
    return all(torch.equal(a, b) for a, b in zip(itertools.chain(*one), itertools.chain(*other), strict=True))


def test_bits_depend_neither_on_a_value_s_place_nor_on_alignment(simd: str) -> None:
    whole, parts = draw([(100,)]), draw([(100,)])
    adam(*whole, **RULES[2])
    cuts = [(0, 1), (1, 6), (6, 40), (40, 100)]
    pieces = [[kind[0][a:b] for a, b in cuts] for kind in parts[:4]]
    adam(*pieces, [parts.steps[0].clone() for _ in cuts], **RULES[2])
    assert same(whole._replace(steps=[]), parts._replace(steps=[]))


def test_parts_of_tensors_that_packs_do_not_fit(place: Any) -> None:
    tensors = draw([(5000,)], to=place)
    follows_the_definition(Tensors(*([kind[0][3:4800]] for kind in tensors[:4]), tensors.steps), **RULES[3])


def test_more_tensors_than_a_launch_holds(place: Any) -> None:
    shapes = [(n % 5 * 3,) for n in range(150)]
    follows_the_definition(draw(shapes, to=place), **RULES[0])


def test_gradients_of_another_layout_are_laid_as_their_parameters(place: Any) -> None:
    shapes = [(4, 3, 5, 5), (4, 3, 1, 1), (6, 5)]
    tensors, planar = draw(shapes, last=True, to=place), draw(shapes, to=place)
    tensors.parameters[2], tensors.means[2], tensors.squares[2] = (
        kind[2].T.contiguous().T for kind in (tensors.parameters, tensors.means, tensors.squares)
    )
    follows_the_definition(tensors._replace(gradients=planar.gradients), **RULES[0])


def test_axes_of_one_value_have_any_stride(place: Any) -> None:
    tensors = draw([(4, 3, 1, 1)], to=place)
    tensors.means[0] = tensors.means[0].as_strided((4, 3, 1, 1), (3, 1, 7, 9))
    follows_the_definition(tensors, **RULES[0])


@pytest.mark.parametrize("clip", [None, 0.25])
def test_a_skipped_update_changes_nothing_but_the_clip(place: Any, clip: float | None) -> None:
    tensors, before = draw(to=place), draw(to=place)
    tensors.gradients[-1][0], tensors.gradients[-2][5] = torch.nan, torch.inf
    adam(*tensors, **{**RULES[0], "clip": clip}, skip=place(torch.tensor(1.0)))
    if clip is not None:
        for p in before.parameters:
            p.clamp_(-clip, clip)
    assert same(tensors._replace(gradients=[]), before._replace(gradients=[]))
    follows_the_definition(draw(to=place), **RULES[0], skip=place(torch.tensor(0.0)))


def test_a_value_that_is_no_number_stays_so(place: Any) -> None:
    tensors = draw([(20,), (3,)], to=place)
    tensors.parameters[0][[1, 18]] = torch.nan
    tensors.gradients[1][0] = torch.nan
    adam(*tensors, **RULES[1])
    assert tensors.parameters[0].isnan().nonzero().flatten().tolist() == [1, 18]
    assert tensors.parameters[1].isnan().tolist() == [True, False, False]


def test_the_rate_may_be_a_tensor(place: Any) -> None:
    tensors, other = draw(to=place), draw(to=place)
    rate = torch.tensor(3e-3)
    adam(*tensors, **{**RULES[3], "lr": place(rate)})
    adam(*other, **{**RULES[3], "lr": float(rate)})
    assert same(tensors, other)


def test_kept_views_follow_tensors_that_move(place: Any) -> None:
    cache: dict[Any, Any] = {}
    tensors = draw([(4, 3, 5, 5), (7,)], to=place)
    follows_the_definition(tensors, **RULES[0], cache=cache)
    follows_the_definition(tensors, **RULES[0], cache=cache)
    tensors.parameters[1].data = tensors.parameters[1].clone()
    for kind in tensors[:4]:
        kind[0].data = kind[0].contiguous(memory_format=torch.channels_last)
    follows_the_definition(tensors, **RULES[0], cache=cache)


def test_autograd_knows_what_was_written() -> None:
    tensors = draw()
    before = [[x._version for x in kind] for kind in tensors]
    adam(*tensors, **RULES[0])
    for name, kind, versions in zip(Tensors._fields, tensors, before, strict=True):
        assert all(x._version > old or name == "gradients" for x, old in zip(kind, versions, strict=True))


def test_nothing_to_update() -> None:
    adam([], [], [], [], [], **RULES[0])


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"gradients": []}, ArgumentError, "gradients: 0 tensors, expected one for each of 1"),
        ({"gradients": [torch.zeros(3)]}, ShapeError, r"gradients: shape \[3\], expected that of .*, \[4, 6\]"),
        ({"means": [torch.zeros(6, 4).T]}, ShapeError, r"means: shape \[4, 6\], strides \(1, 4\), expected"),
        ({"squares": [torch.zeros(24)]}, ShapeError, r"squares: shape \[24\]"),
        ({"parameters": [torch.zeros(4, 12)[:, ::2]]}, ShapeError, "parameters: .* expected no gaps"),
        ({"parameters": [torch.zeros(1, 6).expand(4, 6)]}, ShapeError, "parameters: .* expected no gaps"),
        ({"gradients": [torch.zeros(4, 6).double()]}, DTypeError, "gradients: a tensor of torch.float64"),
        ({"gradients": [torch.zeros(4, 6).to_sparse()]}, DTypeError, "gradients: a tensor of layout torch.sparse"),
        ({"squares": [torch.zeros(4, 6).half()]}, DTypeError, "squares: a tensor of torch.float16"),
        ({"steps": [torch.zeros(2)]}, ShapeError, r"steps: shape \[2\], expected one number"),
        ({"steps": [torch.tensor(1)]}, DTypeError, "steps: a tensor of torch.int64"),
        ({"skip": torch.zeros(3)}, ShapeError, r"skip: shape \[3\]"),
        ({"lr": torch.zeros(3)}, ShapeError, r"lr: shape \[3\]"),
        ({"betas": (0.9, 1.0)}, ArgumentError, r"betas: \(0.9, 1.0\), expected two numbers in \[0, 1\)"),
        ({"clip": 0.0}, ArgumentError, "clip: 0.0, expected more than 0"),
        ({"clip": float("nan")}, ArgumentError, "clip: nan"),
    ],
)
def test_bad_arguments(change: dict[str, Any], error: type[Exception], message: str) -> None:
    arguments = {**draw([(4, 6)])._asdict(), **RULES[0], **change}
    with pytest.raises(error, match=message):
        adam(**arguments)


def test_the_launcher_checks_its_arguments(emulator: Any) -> None:
    tensors = draw([(5,)])
    views = [[emulator.ArrayView(x.data_ptr(), "float32", tuple(x.shape), x.stride(), True)] for (x,) in tensors]
    room = torch.empty(4, dtype=torch.uint8)
    scratch = emulator.ArrayView(room.data_ptr(), "uint8", (4,), (1,), True)
    with pytest.raises(ValueError, match="workspace: 4 bytes are too few"):
        emulator.adam(
            *views, 1e-3, None, 0.9, 0.999, 1e-8, 0.0, False, None, float("inf"), workspace=scratch, device=-1, stream=0
        )


@pytest.mark.gpu
def test_a_captured_update_reads_its_rate_and_whether_to_skip(device_module: Any) -> None:
    tensors, other = (draw(to=lambda x: x.cuda()) for _ in range(2))
    rate, skip = torch.tensor(1e-3, device="cuda"), torch.tensor(0.0, device="cuda")
    rule = {**RULES[3], "lr": rate, "skip": skip, "cache": {}}

    def step() -> list[Any]:
        adam(*tensors, **rule)
        return tensors.parameters

    start = [[x.clone() for x in kind] for kind in tensors]
    graph, _ = captured(step)
    for kind, old in zip(tensors, start, strict=True):
        torch._foreach_copy_(kind, old)
    for lr, bad in ((1e-3, 0.0), (1e-2, 1.0), (1e-2, 0.0)):
        rate.fill_(lr)
        skip.fill_(bad)
        graph.replay()
        adam(*other, **{**RULES[3], "lr": rate.clone(), "skip": skip.clone()})
    assert same(tensors, other)


@pytest.mark.gpu
def test_tensors_of_two_devices(device_module: Any) -> None:
    tensors = draw([(5,)])
    with pytest.raises(DeviceError, match="gradients: a tensor on cuda"):
        adam(*tensors._replace(gradients=[tensors.gradients[0].cuda()]), **RULES[0])
