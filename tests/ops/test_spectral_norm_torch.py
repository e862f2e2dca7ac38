"""`nn.spectral_norm` where torch's own functions stand: the cases of torch's tests, and torch's own ways to remove it.

The cases are those of test/nn/test_parametrization.py of torch (BSD-3-Clause) for `torch.nn.utils.spectral_norm` and
`torch.nn.utils.parametrizations.spectral_norm`, written anew for both orders. Left out are complex weights, several
norms of one weight and weights of one axis, which are refused. One case differs on purpose: torch's legacy `weight` is
still W after the registration, ours is W / sigma.
"""

from __future__ import annotations

import copy
import importlib.util
import threading
from collections.abc import Callable
from typing import Any

import pytest

from pyharmony.errors import ArgumentError, DTypeError

from ..shared import pickled

HAS_TORCH = importlib.util.find_spec("torch") is not None
if HAS_TORCH:
    import torch
    from torch import nn
    from torch.nn.utils import parametrize

    from pyharmony.networks.nn import SpectralNormGroup, remove_spectral_norm, spectral_norm

pytestmark = pytest.mark.skipif(not HAS_TORCH, reason="torch is not installed")
ORDERS = ("legacy", "parametrization")
by_order = pytest.mark.parametrize("order", ORDERS)


@pytest.fixture(autouse=True)
def doubles() -> Any:
    """Makes numbers float64 throughout, as in torch's tests, so that gradients can be checked by differences."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(0)
    yield
    torch.set_default_dtype(before)


def vectors(layer: Any, order: str) -> tuple[Any, Any]:
    if order == "legacy":
        return layer.weight_u, layer.weight_v
    norm = layer.parametrizations.weight[0]
    return norm._u, norm._v


def original(layer: Any, order: str) -> Any:
    return layer.weight_orig if order == "legacy" else layer.parametrizations.weight.original


def torch_removes(layer: Any, order: str) -> Any:
    if order == "legacy":
        return nn.utils.remove_spectral_norm(layer)
    return parametrize.remove_parametrizations(layer, "weight")


def we_remove(layer: Any, order: str) -> Any:
    return remove_spectral_norm(layer)


removals = pytest.mark.parametrize("remove", [torch_removes, we_remove])


def divided(layer: Any, order: str) -> Any:
    u, v = vectors(layer, order)
    w = original(layer, order).detach()
    dim = 1 if isinstance(layer, nn.ConvTranspose2d) else 0
    return w / torch.dot(u, w.movedim(dim, 0).flatten(1) @ v)


# ---- where the tensors are ------------------------------------------------------------------------------------------


@by_order
def test_the_tensors_are_where_torch_has_them(order: str) -> None:
    layer = spectral_norm(nn.Linear(5, 7), order=order)
    home = layer if order == "legacy" else layer.parametrizations.weight
    assert ("weight_orig" if order == "legacy" else "original") in home._parameters
    u, v = vectors(layer, order)
    assert u.shape == (7,) and v.shape == (5,)
    for name in ("_u", "_v"):
        assert (f"weight{name}" in layer._buffers) if order == "legacy" else (name in home[0]._buffers)
    # The weight is neither a parameter nor a buffer.
    assert "weight" not in layer._buffers and "weight" not in layer._parameters
    assert layer.weight.shape == original(layer, order).shape
    assert layer.weight.stride() == original(layer, order).stride()
    assert parametrize.is_parametrized(layer, "weight") == (order == "parametrization")


@by_order
def test_the_weight_is_normalised_when_the_norm_is_registered(order: str) -> None:
    layer = spectral_norm(nn.Linear(5, 7), order=order).eval()
    torch.testing.assert_close(layer.weight, divided(layer, order))
    wide = SpectralNormGroup(model := nn.Sequential(nn.Conv2d(2, 3, 3), nn.ConvTranspose2d(3, 2, 3)), order=order)
    for part in model.eval():
        torch.testing.assert_close(part.weight, divided(part, order))
    assert wide.names == ["0", "1"]


@by_order
def test_the_weight_is_normalised_after_an_update(order: str) -> None:
    model = nn.Sequential(nn.Conv2d(2, 3, 3), nn.Tanh(), nn.ConvTranspose2d(3, 2, 3))
    group = SpectralNormGroup(model, order=order)
    with torch.no_grad():
        for layer in (model[0], model[2]):
            original(layer, order).mul_(3).add_(0.1)
    group.update()
    for layer in (model[0], model[2]):
        torch.testing.assert_close(layer.weight, divided(layer, order))
    with torch.no_grad():
        original(model[0], order).add_(0.1)
    before = model[2].weight.clone()
    group.update([model[0]])
    torch.testing.assert_close(model[0].weight, divided(model[0], order))
    assert torch.equal(model[2].weight, before)


def test_a_failed_update_leaves_layers_a_weight() -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
    group = SpectralNormGroup(model)
    with torch.no_grad():
        model[1].weight_orig.zero_()
    with pytest.raises(ArgumentError, match=r"1\.weight: its spectral norm is zero"):
        group.update()
    assert torch.equal(model[0].weight, model[0].weight_orig)
    assert not model[1].weight.any()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_norm_of_a_diagonal_matrix_is_its_largest_entry(dtype: str) -> None:
    """Each of 17 iterations makes the smaller entry's share 9 times smaller."""
    layer = nn.Linear(2, 2, dtype=getattr(torch, dtype))
    entries = torch.tensor([-0.2, 0.6], dtype=layer.weight.dtype)
    layer.weight = nn.Parameter(torch.diag(entries))
    spectral_norm(layer, order="parametrization")
    expected = torch.diag(entries / entries.abs().max())
    torch.testing.assert_close(layer.weight.detach(), expected, rtol=1.3e-6, atol=1e-5)


@by_order
@pytest.mark.parametrize("requires_grad", [True, False])
def test_training_iterates_and_eval_does_not(order: str, requires_grad: bool) -> None:
    layer = nn.Linear(3, 4)
    layer.weight.requires_grad_(requires_grad)
    layer = spectral_norm(layer, order=order)
    x = torch.randn(2, 3)
    u, v = (x.clone() for x in vectors(layer, order))
    optimizer = torch.optim.SGD(layer.parameters(), 0.1)
    layer(x).sum().backward()
    optimizer.step()
    layer(x)
    assert not torch.equal(u, vectors(layer, order)[0])
    assert not torch.equal(v, vectors(layer, order)[1])
    last = layer(x)
    u, v = (x.clone() for x in vectors(layer, order))
    layer.eval()
    torch.testing.assert_close(layer(x), last)
    torch.testing.assert_close(layer(x), last)
    assert torch.equal(u, vectors(layer, order)[0]) and torch.equal(v, vectors(layer, order)[1])
    assert original(layer, order).requires_grad == requires_grad


# ---- gradients ------------------------------------------------------------------------------------------------------


@by_order
def test_gradients_of_training_and_eval_mixed(order: str) -> None:
    layer = spectral_norm(nn.Linear(3, 4), order=order)
    u, v = (x.clone() for x in vectors(layer, order))

    def four_times(x: Any) -> Any:
        for now, expected_vector in zip(vectors(layer, order), (u, v)):
            now.data.copy_(expected_vector)
        return sum(layer.train(mode)(x) for mode in (True, False, True, False))

    assert torch.autograd.gradcheck(four_times, (torch.randn(2, 3, requires_grad=True),))


@by_order
def test_gradients_of_the_original_in_eval_mode(order: str) -> None:
    """The check of torch's tests changes `.data`, which no count of versions shows."""
    layer = spectral_norm(nn.Linear(3, 4), order=order)
    x = torch.randn(2, 3)
    layer(x)
    layer.eval()
    assert torch.autograd.gradcheck(lambda _: layer(x), (original(layer, order),))


# ---- removal --------------------------------------------------------------------------------------------------------


@by_order
@removals
def test_a_norm_is_removed(order: str, remove: Callable[[Any, str], Any]) -> None:
    layer = nn.Linear(5, 7)
    keys, kind = list(layer.state_dict()), type(layer)
    spectral_norm(layer, order=order)
    x = torch.randn(3, 5)
    for _ in range(3):
        y = layer(x)
    layer.eval()
    assert remove(layer, order) is layer
    assert sorted(layer.state_dict()) == sorted(keys) and type(layer) is kind
    assert isinstance(layer.weight, nn.Parameter) and layer.weight.requires_grad
    assert not parametrize.is_parametrized(layer) and not hasattr(layer, "weight_orig")
    torch.testing.assert_close(layer(x), y)
    # A removed norm leaves nothing that runs: training changes the weight alone, and a norm can be registered again.
    layer.train()
    torch.testing.assert_close(layer(x), y)
    assert not layer._forward_pre_hooks and not layer._forward_hooks and not layer._state_dict_hooks
    layer.load_state_dict(layer.state_dict())
    spectral_norm(layer, order=order)
    assert "weight" not in layer._parameters
    remove(layer, order)
    assert "weight" in layer._parameters


@by_order
def test_our_removal_makes_no_iteration(order: str) -> None:
    layer = spectral_norm(nn.Linear(5, 7), order=order)
    y = layer(x := torch.randn(3, 5))
    remove_spectral_norm(layer)
    torch.testing.assert_close(layer(x), y)


def test_a_removed_parametrization_gives_back_the_parameter() -> None:
    for remove in (torch_removes, we_remove):
        layer = nn.Linear(5, 7)
        weight = layer.weight
        remove(spectral_norm(layer, order="parametrization"), "parametrization")
        assert layer.weight is weight


@by_order
def test_what_has_no_norm_is_not_removed(order: str) -> None:
    with pytest.raises(ArgumentError, match="weight of the Linear has no spectral norm of pyharmony"):
        remove_spectral_norm(nn.Linear(2, 3))
    theirs = {"legacy": nn.utils.spectral_norm, "parametrization": nn.utils.parametrizations.spectral_norm}[order]
    with pytest.raises(ArgumentError, match="no spectral norm of pyharmony"):
        remove_spectral_norm(theirs(nn.Linear(2, 3)))
    layer = spectral_norm(nn.Linear(2, 3), order=order)
    with pytest.raises(ArgumentError, match=r"bias of the .*Linear has no spectral norm"):
        remove_spectral_norm(layer, "bias")
    other = {"legacy": "parametrization", "parametrization": "legacy"}[order]
    with pytest.raises(ValueError, match="weight"):
        torch_removes(layer, other)
    assert "weight" not in layer._parameters


@by_order
def test_complex_weights_are_refused(order: str) -> None:
    layer = nn.Linear(2, 3, dtype=torch.complex64)
    with pytest.raises(DTypeError, match=r"weights\[0\]: torch.complex64"):
        spectral_norm(layer, order=order)
    assert isinstance(layer.weight, nn.Parameter)


def test_a_norm_under_another_parametrization_is_kept() -> None:
    layer = spectral_norm(nn.Linear(4, 4), order="parametrization").eval()
    parametrize.register_parametrization(layer, "weight", nn.Softplus(), unsafe=True)
    with pytest.raises(ArgumentError, match=r"module\.weight: has 2 parametrizations"):
        remove_spectral_norm(layer)
    weight = layer.weight.detach()
    parametrize.remove_parametrizations(layer, "weight")
    torch.testing.assert_close(layer.weight.detach(), weight)


@by_order
@pytest.mark.parametrize("update", ["step", "forward"])
@pytest.mark.parametrize("fold", [False, True])
@removals
def test_one_layer_leaves_its_group(order: str, update: str, fold: bool, remove: Callable[[Any, str], Any]) -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 2))
    group = SpectralNormGroup(model, order=order, update=update, fold=fold)
    x = torch.randn(6, 3)
    model(x)
    model.eval()
    y = model(x)
    remove(model[2], order)
    torch.testing.assert_close(model(x), y)
    assert isinstance(model[2].weight, nn.Parameter)
    model.train()
    weight = model[2].weight.detach().clone()
    model(x).sum().backward()
    assert group.names == ["0", "4"] and len(group.sigmas) == 2
    assert torch.equal(model[2].weight, weight)
    assert all(p.grad is not None for p in model.parameters())
    group.remove()
    assert sorted(model.state_dict()) == [f"{i}.{name}" for i in (0, 2, 4) for name in ("bias", "weight")]
    assert not model._forward_pre_hooks
    with pytest.raises(ArgumentError, match="have been removed"):
        _ = group.sigmas


# ---- state dicts ----------------------------------------------------------------------------------------------------


@by_order
@pytest.mark.parametrize("forwards", [0, 3])
def test_state_dicts_of_torchs_versions(order: str, forwards: int) -> None:
    """Version 0 has W / sigma and no v. It is taken to be written after a forward, as torch takes it."""
    x = torch.randn(2, 3)
    theirs = nn.utils.spectral_norm(nn.Linear(3, 5))
    for _ in range(forwards):
        theirs(x)
    latest = copy.deepcopy(theirs.state_dict())
    assert set(latest) == {"weight_orig", "bias", "weight_u", "weight_v"}
    unmarked = copy.deepcopy(latest)
    del unmarked._metadata[""]["spectral_norm"]
    old = copy.deepcopy(unmarked)
    del old["weight_v"]
    old["weight"] = theirs.weight.detach().clone()

    def answers(layer: Any) -> list[Any]:
        outputs = []
        with torch.no_grad():
            for mode in (False, True, True, False):
                layer.train(mode)
                outputs.append(layer(x))
        return outputs

    for state in (latest, unmarked, *([old] if forwards else [])):
        layer = spectral_norm(nn.Linear(3, 5), order=order)
        layer.load_state_dict(state)
        again = nn.utils.spectral_norm(nn.Linear(3, 5))
        again.load_state_dict(state)
        if order == "legacy":
            for ours, expected in zip(answers(layer), answers(again)):
                torch.testing.assert_close(ours, expected)
            torch.testing.assert_close(layer.state_dict()["weight_v"], again.weight_v)
        else:
            torch.testing.assert_close(answers(layer)[0], answers(again)[0])
    layer = spectral_norm(nn.Linear(3, 5), order=order).eval()
    layer.load_state_dict(old)
    torch.testing.assert_close(layer(x), nn.functional.linear(x, old["weight"], old["bias"]))


def test_a_state_dict_of_version_0_of_a_model() -> None:
    """The weights are in a group, with zeros among them, transposed, and of more columns than rows."""
    model = nn.Sequential(nn.Conv2d(2, 3, 3), nn.ConvTranspose2d(3, 2, 3))
    with torch.no_grad():
        model[0].weight[0, 0, 0] = 0
    theirs = copy.deepcopy(model)
    for layer in theirs:
        nn.utils.spectral_norm(layer)
    x = torch.randn(1, 2, 6, 6)
    theirs(x)
    state = theirs.state_dict()
    del state._metadata["0"]["spectral_norm"], state._metadata["1"]["spectral_norm"]
    for i in (0, 1):
        del state[f"{i}.weight_v"]
        state[f"{i}.weight"] = theirs[i].weight.detach()
    SpectralNormGroup(model)
    model.load_state_dict(state)
    torch.testing.assert_close(model.eval()(x), theirs.eval()(x))


@by_order
def test_parts_of_a_state_dict(order: str) -> None:
    layer = spectral_norm(nn.Linear(3, 5), order=order)
    state = layer.state_dict()
    with pytest.raises(RuntimeError, match=r'Unexpected key\(s\) in state_dict: "nonsense"'):
        layer.load_state_dict({**state, "nonsense": torch.ones(1)})
    layer.load_state_dict({**state, "nonsense": torch.ones(1)}, strict=False)
    for key in list(state):
        left = {name: value for name, value in state.items() if name != key}
        with pytest.raises(RuntimeError, match=f'Missing key.*"{key}"'):
            layer.load_state_dict(left)
        layer.load_state_dict(left, strict=False)
    # W beside v is no state dict of version 1.
    state_with_weight = copy.copy(state)
    state_with_weight["weight"] = state[next(iter(state))]
    if order == "legacy":
        with pytest.raises(RuntimeError, match=r'Unexpected key\(s\) in state_dict: "weight"'):
            layer.load_state_dict(state_with_weight)


# ---- copies ---------------------------------------------------------------------------------------------------------


@by_order
@pytest.mark.parametrize("kind", ["single", "group", "folded"])
@pytest.mark.parametrize("duplicate", [copy.deepcopy, pickled])
def test_copies_are_of_their_own(order: str, kind: str, duplicate: Callable[[Any], Any]) -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))
    if kind != "single":
        SpectralNormGroup(model, order=order, fold=kind == "folded")
    else:
        spectral_norm(model[0], order=order), spectral_norm(model[2], order=order)
    x = torch.randn(5, 3)
    model(x).sum().backward()
    twin = duplicate(model)
    model.eval(), twin.eval()
    torch.testing.assert_close(twin(x), model(x))
    for layer in (twin[0], twin[2]):
        torch_removes(layer, order)
    torch.testing.assert_close(twin(x), model(x))
    model.train()
    u = vectors(model[0], order)[0].clone()
    with torch.no_grad():
        original(model[0], order).mul_(2).add_(0.1)
    model(x).sum().backward()
    assert not torch.equal(u, vectors(model[0], order)[0])
    assert type(twin[0]) is nn.Linear and not torch.equal(twin[0].weight, model[0].weight)
    twin.train()(x).sum().backward()


def test_a_parametrized_layer_is_copied_with_torchs_own_beside_it() -> None:
    layer = nn.Bilinear(2, 3, 4)
    parametrize.register_parametrization(layer, "bias", nn.Tanh(), unsafe=True)
    spectral_norm(layer, order="parametrization").eval()
    x, y = torch.randn(5, 2), torch.randn(5, 3)
    for twin in (copy.deepcopy(layer), pickled(layer)):
        torch.testing.assert_close(twin(x, y), layer(x, y))
        remove_spectral_norm(twin)
        assert parametrize.is_parametrized(twin, "bias") and not parametrize.is_parametrized(twin, "weight")
        torch.testing.assert_close(twin(x, y), layer(x, y))
        assert parametrize.is_parametrized(layer, "weight")


@pytest.mark.networks
@by_order
def test_compiled_layers(order: str) -> None:
    torch.set_default_dtype(torch.float32)
    layer = spectral_norm(nn.Linear(6, 4), order=order)
    twin = copy.deepcopy(layer)
    compiled = torch.compile(twin, backend="aot_eager", fullgraph=True)
    for mode in (True, True, False):
        layer.train(mode), twin.train(mode)
        x = torch.randn(3, 6)
        a, b = layer(x), compiled(x)
        torch.testing.assert_close(b, a, rtol=1e-5, atol=1e-6)
        a.square().sum().backward()
        b.square().sum().backward()
        torch.testing.assert_close(original(twin, order).grad, original(layer, order).grad, rtol=1e-5, atol=1e-6)
    torch.compiler.reset()


@by_order
def test_threads_share_a_layer_in_eval_mode(order: str) -> None:
    layer = spectral_norm(nn.Linear(64, 64), order=order)
    x = torch.randn(8, 64)
    with torch.no_grad():
        layer(x)
        layer.eval()
        expected = layer(x)
    wrong: list[Any] = []

    def use() -> None:
        try:
            with torch.no_grad():
                wrong.extend(None for _ in range(100) if not torch.equal(layer(x), expected))
        except Exception as error:
            wrong.append(error)

    threads = [threading.Thread(target=use) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
