"""The losses against their formulae, written out."""

from __future__ import annotations

import colorsys
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from pyharmony.errors import ArgumentError, ShapeError

torch = pytest.importorskip("torch", reason="torch is not installed")

from torch import Tensor, nn
from torch.nn import functional

from pyharmony.networks import losses

pytestmark = pytest.mark.usefixtures("one_torch_thread")


def drawn(*shape: int, seed: int = 0) -> Tensor:
    """Returns random float64 in [-1, 1], so that formulae agree to rounding."""
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * 2 - 1


def mask_of(*shape: int, seed: int = 9) -> Tensor:
    return (drawn(*shape, seed=seed) + 1) / 2


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


# Games

REAL, FAKE = torch.tensor([2.0, -0.5]), torch.tensor([0.25, -3.0])


@pytest.mark.parametrize(
    ("kind", "discriminator", "generator"),
    [
        # relu(1 - 2), relu(1 + 0.5); relu(1 + 0.25), relu(1 - 3)
        ("hinge", 1.5 / 2 + 1.25 / 2, 2.75 / 2),
        (
            "vanilla",
            -(math.log(sigmoid(2)) + math.log(sigmoid(-0.5))) / 2
            - (math.log(sigmoid(-0.25)) + math.log(sigmoid(3))) / 2,
            -(math.log(sigmoid(0.25)) + math.log(sigmoid(-3))) / 2,
        ),
        ("least_squares", (1 + 2.25) / 2 + (0.0625 + 9) / 2, (0.5625 + 16) / 2),
        ("wasserstein", -2.75 / 2 - 0.75, 2.75 / 2),
    ],
)
def test_games_by_hand(kind: str, discriminator: float, generator: float) -> None:
    game = losses.adversary(kind)
    assert float(game.discriminator(REAL, FAKE)) == pytest.approx(discriminator, rel=1e-6)
    assert float(game.generator(FAKE)) == pytest.approx(generator, rel=1e-6)


@pytest.mark.parametrize("kind", ["hinge", "vanilla", "least_squares", "wasserstein"])
def test_both_sides_pull_apart(kind: str) -> None:
    """The discriminator raises real and lowers fake, the generator raises fake; maps of scores are means."""
    game = losses.adversary(kind)
    real, fake = (torch.full((2, 1, 3, 3), 0.1, requires_grad=True) for _ in range(2))
    game.discriminator(real, fake).backward()
    assert real.grad is not None and fake.grad is not None
    assert bool((real.grad < 0).all()) and bool((fake.grad > 0).all())
    fake.grad = None
    game.generator(fake).backward()
    assert bool((fake.grad < 0).all())
    assert torch.equal(game.generator(fake), game.generator(fake[:1]))


def test_the_critic_of_gp_gan_is_low_on_what_is_real() -> None:
    assert float(losses.wasserstein_discriminator(REAL, FAKE, low_is_real=True)) == pytest.approx(0.75 + 2.75 / 2)
    assert float(losses.wasserstein_generator(FAKE, low_is_real=True)) == pytest.approx(-2.75 / 2)


def test_vanilla_is_the_cross_entropy_of_logits_of_any_size() -> None:
    real, fake = drawn(4, 1, 3, 3) * 200, drawn(4, 1, 3, 3, seed=1) * 200
    entropy = functional.binary_cross_entropy_with_logits
    expected = entropy(real, torch.ones_like(real)) + entropy(fake, torch.zeros_like(fake))
    torch.testing.assert_close(losses.vanilla_discriminator(real, fake), expected)
    torch.testing.assert_close(losses.vanilla_generator(fake), entropy(fake, torch.ones_like(fake)))


def test_unknown_games_are_refused() -> None:
    with pytest.raises(ArgumentError, match="kind: 'lsgan', expected one of 'hinge', 'vanilla', 'least_squares'"):
        losses.adversary("lsgan")


def test_every_parameter_is_clipped_and_no_statistic() -> None:
    critic = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Conv2d(8, 1, 1))
    critic[1].running_var.fill_(3.0)  # type: ignore[union-attr,operator]
    losses.clip_parameters(critic, 0.01)
    values = torch.cat([p.detach().flatten() for p in critic.parameters()])
    assert float(values.abs().max()) == pytest.approx(0.01)
    assert torch.equal(critic[1].weight, torch.full((8,), 0.01))  # the scale of a norm too
    assert torch.equal(critic[1].running_var, torch.full((8,), 3.0))  # type: ignore[arg-type]
    assert all(p.requires_grad for p in critic.parameters())
    with pytest.raises(ArgumentError, match="limit: 0"):
        losses.clip_parameters(critic, 0)


def test_the_gradient_penalty_of_a_plane() -> None:
    """D(x) = w x has the gradient w everywhere: the penalty is 10 (|w| - 1)², its gradient 20 (|w| - 1) w / |w|."""
    w = drawn(3, 4, 4).requires_grad_()
    penalty = losses.gradient_penalty(lambda x: (x * w).sum((1, 2, 3)), drawn(5, 3, 4, 4), drawn(5, 3, 4, 4, seed=1))
    norm = w.detach().square().sum().sqrt()
    torch.testing.assert_close(penalty, 10 * (norm - 1) ** 2)
    penalty.backward()
    torch.testing.assert_close(w.grad, 20 * (norm - 1) * w.detach() / norm)


def test_the_penalty_is_between_the_pictures_and_each_sample_counts() -> None:
    """D(x) = |x|² / 2 has the gradient x."""
    real, fake, alpha = drawn(4, 2, 3, 3), drawn(4, 2, 3, 3, seed=1), mask_of(4)
    penalty = losses.gradient_penalty(lambda x: x.square().sum((1, 2, 3)) / 2, real, fake, alpha=alpha, weight=1)
    x = alpha[:, None, None, None] * real + (1 - alpha)[:, None, None, None] * fake
    torch.testing.assert_close(penalty, (x.square().sum((1, 2, 3)).sqrt() - 1).square().mean())


def test_the_penalty_teaches_the_critic_alone() -> None:
    torch.manual_seed(0)
    critic = nn.Sequential(nn.Conv2d(2, 4, 3), nn.LeakyReLU(0.2), nn.Conv2d(4, 1, 1))
    real, fake = (drawn(2, 2, 5, 5, seed=i).float().requires_grad_() for i in range(2))
    losses.gradient_penalty(critic, real, fake).backward()
    assert real.grad is None and fake.grad is None
    assert critic[0].weight.grad is not None and float(critic[0].weight.grad.abs().sum()) > 0


def test_the_penalty_is_right_to_the_second_derivative() -> None:
    torch.manual_seed(0)
    real, fake, alpha = drawn(2, 1, 4, 4), drawn(2, 1, 4, 4, seed=1), mask_of(2)

    def penalty(weight: Tensor) -> Tensor:
        return losses.gradient_penalty(
            lambda x: torch.tanh(functional.conv2d(x, weight)).sum((1, 2, 3)), real, fake, alpha=alpha
        )

    assert torch.autograd.gradcheck(penalty, drawn(2, 1, 3, 3, seed=3).requires_grad_())


def test_a_critic_without_slope_has_a_finite_penalty() -> None:
    weight = torch.zeros(1, 3, requires_grad=True)
    penalty = losses.gradient_penalty(lambda x: functional.linear(x, weight), torch.zeros(2, 3), torch.ones(2, 3))
    penalty.backward()
    assert float(penalty.detach()) == pytest.approx(10)
    assert weight.grad is not None and bool(torch.isfinite(weight.grad).all())


def test_the_penalty_under_autocast_is_in_float32() -> None:
    torch.manual_seed(0)
    critic = nn.Sequential(nn.Conv2d(3, 8, 3), nn.LeakyReLU(0.2), nn.Conv2d(8, 1, 3))
    nn.init.normal_(critic[2].weight)  # slopes far from 1, where a difference of norms would be all rounding
    real, fake, alpha = drawn(4, 3, 8, 8).float(), drawn(4, 3, 8, 8, seed=1).float(), mask_of(4).float()
    exact = losses.gradient_penalty(critic, real, fake, alpha=alpha)
    with torch.autocast("cpu", torch.bfloat16):
        penalty = losses.gradient_penalty(critic, real, fake, alpha=alpha)
    assert penalty.dtype == torch.float32
    # The rule for bfloat16, of 8 bits, is a hundredth.
    assert float(penalty.detach()) == pytest.approx(float(exact.detach()), rel=0.01)


def test_penalties_of_what_does_not_fit_are_refused() -> None:
    with pytest.raises(ShapeError, match=r"fake: shape \[2, 3\]"):
        losses.gradient_penalty(lambda x: x, torch.zeros(2, 4), torch.zeros(2, 3))
    with pytest.raises(ShapeError, match=r"alpha: shape \[3\], expected \[2\]"):
        losses.gradient_penalty(lambda x: x, torch.zeros(2, 4), torch.zeros(2, 4), alpha=torch.zeros(3))


# Pixels


@pytest.mark.parametrize(("loss", "power"), [(losses.masked_l1, 1), (losses.masked_l2, 2)])
def test_masked_distances(loss: Callable[..., Tensor], power: int) -> None:
    output, target, mask = drawn(2, 3, 4, 5), drawn(2, 3, 4, 5, seed=1), mask_of(2, 1, 4, 5)
    difference = np.abs((output - target).numpy()) ** power
    weights = np.broadcast_to(mask.numpy(), difference.shape)
    assert float(loss(output, target, mask)) == pytest.approx((weights * difference).sum() / weights.sum())
    assert float(loss(output, target)) == pytest.approx(difference.mean())
    assert float(loss(output, target, torch.ones_like(mask))) == pytest.approx(difference.mean())
    assert float(loss(output, target, mask[:1])) == float(loss(output, target, mask[:1].expand(2, -1, -1, -1)))


def test_what_the_mask_hides_has_no_gradient_and_nothing_shown_is_zero() -> None:
    output, target, mask = drawn(1, 3, 4, 4).requires_grad_(), drawn(1, 3, 4, 4, seed=1), torch.zeros(1, 1, 4, 4)
    for loss in (losses.masked_l1, losses.masked_l2):
        empty = loss(output, target, mask)
        empty.backward()
        assert float(empty.detach()) == 0
        assert output.grad is not None and not bool(output.grad.any())


def test_the_mse_of_an_object_by_hand() -> None:
    output, target, mask = torch.zeros(2, 3, 20, 20), torch.zeros(2, 3, 20, 20), torch.zeros(2, 1, 20, 20)
    mask[0, :, :16, :16] = 1
    mask[1, :, :2, :2] = 1
    output[:, :, 0, 0] = 2.0
    # 3 * 4 / (3 * 256), and 3 * 4 / (3 * 100): four pixels count as a hundred.
    assert float(losses.foreground_mse(output, target, mask)) == pytest.approx((4 / 256 + 4 / 100) / 2)
    assert float(losses.foreground_mse(output, target, mask, min_area=1)) == pytest.approx((4 / 256 + 4 / 4) / 2)
    outside = output.clone()
    outside[:, :, 19, 19] = 2.0
    assert float(losses.foreground_mse(outside, target, mask)) == pytest.approx(4 / 256 + 4 / 100)
    assert float(losses.foreground_mse(output, target, mask * 0)) == pytest.approx(4 / 100)
    with pytest.raises(ArgumentError, match="min_area: 0"):
        losses.foreground_mse(output, target, mask, min_area=0)


def test_total_variation_by_hand() -> None:
    image = torch.tensor([[[[0.0, 1.0, 3.0], [2.0, 2.0, 2.0]]]])
    assert float(losses.total_variation(image)) == pytest.approx((2 + 1 + 1) / 3 + (1 + 2) / 4)
    assert float(losses.total_variation(image, power=2)) == pytest.approx((4 + 1 + 1) / 3 + (1 + 4) / 4)
    assert float(losses.total_variation(image[..., :1, :1])) == 0
    with pytest.raises(ArgumentError, match="power: 3, expected 1 or 2"):
        losses.total_variation(image, power=3)  # type: ignore[arg-type]


# Codes


def test_the_domain_verification_by_hand() -> None:
    f, b = torch.tensor([[1.0, 2.0], [0.5, -1.0]]), torch.tensor([[0.25, 0.5], [1.0, 1.0]])
    assert losses.domain_similarity(f, b).tolist() == [1.25, -0.5]
    # relu(1 - 1.25), relu(1 + 0.5) for what is real; relu(1 + 1.25), relu(1 - 0.5) for what is not
    assert float(losses.domain_verification_discriminator(f, b, f, b)) == pytest.approx(1.5 / 2 + 2.75 / 2)
    assert float(losses.domain_verification_generator(f, b)) == pytest.approx(-0.375)
    with pytest.raises(ShapeError, match=r"background: shape \[2, 3\]"):
        losses.domain_similarity(f, torch.zeros(2, 3))


def test_the_triplet_by_hand() -> None:
    anchor = torch.tensor([[0.0, 0.0], [0.0, 0.0]])
    positive = torch.tensor([[3.0, 4.0], [0.0, 0.5]])
    negative = torch.tensor([[0.0, 1.0], [0.0, 3.0]])
    # 5 - 1 + 0.1, and what is far enough counts nothing; torch adds 1e-6 to each difference
    assert float(losses.triplet(anchor, positive, negative)) == pytest.approx(4.1 / 2, abs=1e-5)
    assert float(losses.triplet(anchor, positive, negative, margin=3.0)) == pytest.approx((7 + 0.5) / 2, abs=1e-5)
    same = torch.zeros(1, 2, requires_grad=True)
    losses.triplet(same, torch.zeros(1, 2), torch.zeros(1, 2)).backward()
    assert same.grad is not None and bool(torch.isfinite(same.grad).all())


def test_the_triplet_of_each_number_is_that_of_the_published_code() -> None:
    """Single numbers are compared, as torch's loss does with codes [N, 16, 1, 1]; the paper compares whole codes."""
    a, p, n = (drawn(3, 16, seed=seed) for seed in (1, 2, 3))
    published = torch.nn.TripletMarginLoss(margin=0.1, p=2)
    apart = published(a[:, :, None, None], p[:, :, None, None], n[:, :, None, None])
    assert float(losses.triplet(a, p, n, each_number=True)) == pytest.approx(float(apart), rel=1e-5)
    by_hand = ((a - p).abs() - (a - n).abs() + 0.1).relu().mean()
    assert float(apart) == pytest.approx(float(by_hand), abs=1e-5)
    assert float(losses.triplet(a, p, n)) == pytest.approx(float(published(a, p, n)), rel=1e-6)
    assert abs(float(apart) - float(published(a, p, n))) > 0.01


# Style


def test_hue_and_saturation_are_those_of_colorsys() -> None:
    rgb = mask_of(3, 5, 5)
    result = losses.hue_saturation(rgb[None] * 2 - 1, eps=1e-9)[0]
    for i in range(5):
        for j in range(5):
            h, s, _ = colorsys.rgb_to_hsv(*(float(v) for v in rgb[:, i, j]))
            expected = (s * math.cos(2 * math.pi * h), s * math.sin(2 * math.pi * h), s)
            # eps is a part in 1e8 of the smallest spread here.
            assert result[:, i, j].tolist() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("step", [1e-2, 1e-3, 1e-4])
def test_hue_does_not_wrap(step: float) -> None:
    """A little more green and a little more blue in red are neighbours, though their hues are 0 and 1."""
    reds = torch.tensor([[1.0, step, 0.0], [1.0, 0.0, step]], dtype=torch.float64)[:, :, None, None]
    one, other = losses.hue_saturation(reds * 2 - 1)
    # Each is pi / 3 * step from red along the circle.
    assert float((one - other).abs().max()) <= 2 * math.pi / 3 * step * 1.01


@pytest.mark.parametrize("value", [0.0, 0.5, 1.0])
def test_greys_have_finite_gradients(value: float) -> None:
    image = torch.full((1, 3, 2, 2), 2 * value - 1, requires_grad=True)
    result = losses.hue_saturation(image)
    result.sum().backward()
    assert not bool(result.any())
    assert image.grad is not None and bool(torch.isfinite(image.grad).all())


def test_gram_by_hand() -> None:
    features, mask = drawn(2, 3, 4, 5), mask_of(2, 1, 4, 5)
    grams = losses.gram(features, mask).numpy()
    f = (features * mask).numpy()
    for n in range(2):
        for i in range(3):
            for j in range(3):
                expected = (f[n, i] * f[n, j]).sum() / (3 * float(mask[n].sum()))
                assert grams[n, i, j] == pytest.approx(expected)
    torch.testing.assert_close(losses.gram(features), losses.gram(features, torch.ones_like(mask)))


def test_the_gram_of_a_region_is_that_of_its_crop() -> None:
    features, mask = drawn(1, 3, 6, 6), torch.zeros(1, 1, 6, 6, dtype=torch.float64)
    mask[..., 1:4, 2:6] = 1
    torch.testing.assert_close(losses.gram(features, mask), losses.gram(features[..., 1:4, 2:6]))
    assert not bool(losses.gram(features, mask * 0).any())


def cropped_gram_loss(output: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Returns the published style loss of one sample: crops by the coordinates of the box, which are included."""
    if mask.max() > 0:
        y, x = (mask[0] > 0).nonzero(as_tuple=True)
        top, bottom, left, right = (int(v) for v in (y.min(), y.max(), x.min(), x.max()))
        output, target = (z[:, top:bottom, left:right] for z in (output, target))
    grams = []
    for z in (output, target):
        rows = z.reshape(1, 3, -1)
        grams.append(torch.bmm(rows, rows.transpose(1, 2)) / (z.shape[1] * z.shape[2] + 1e-6))
    return functional.mse_loss(*grams)


@pytest.mark.parametrize(
    "box", [(slice(1, 5), slice(2, 9)), (slice(0, 8), slice(0, 9)), (slice(3, 4), slice(2, 6)), ()]
)
def test_the_gram_of_a_box_is_that_of_the_published_crop(box: Any) -> None:
    output, target, mask = drawn(2, 3, 8, 9), drawn(2, 3, 8, 9, seed=1), torch.zeros(2, 1, 8, 9, dtype=torch.float64)
    mask[1, 0, 2, 1] = mask[1, 0, 6, 5] = 0.01
    if box:
        mask[(0, 0, *box)] = 1
    output.requires_grad_()
    loss_of_box = losses.box_gram(output, target, mask)
    expected = sum(cropped_gram_loss(*sample) for sample in zip(output, target, mask)) / 2
    torch.testing.assert_close(loss_of_box, expected)
    for a, b in zip(*(torch.autograd.grad(loss, output) for loss in (loss_of_box, expected))):
        torch.testing.assert_close(a, b)
    one = mask[1:]
    torch.testing.assert_close(
        losses.box_gram(output, target, one), losses.box_gram(output, target, one.expand(2, -1, -1, -1))
    )


def every_level() -> Tensor:
    """Returns 8-bit colours, [1, 3, 1, 4913] in [0, 1]: 17 levels of each channel."""
    levels = torch.linspace(0, 255, 17, dtype=torch.float64).round() / 255
    return torch.cartesian_prod(levels, levels, levels).T.reshape(1, 3, 1, -1)


@pytest.mark.parametrize("space", ["hsv", "hls"])
def test_colours_by_hue_are_those_of_colorsys(space: str) -> None:
    colours = every_level()
    converted = ((getattr(losses, f"rgb_to_{space}")(colours * 2 - 1) + 1) / 2)[0, :, 0].T
    expected = [getattr(colorsys, f"rgb_to_{space}")(*colour) for colour in colours[0, :, 0].T.tolist()]
    torch.testing.assert_close(converted, torch.tensor(expected, dtype=torch.float64), rtol=0, atol=1e-12)


def test_hsv_is_that_of_pillow_but_for_its_bytes() -> None:
    levels = (every_level() * 255).round().to(torch.uint8)[0].permute(1, 2, 0).numpy()
    pillow = np.asarray(Image.fromarray(np.ascontiguousarray(levels)).convert("HSV")) / 127.5 - 1
    hsv = losses.rgb_to_hsv(torch.from_numpy(levels).permute(2, 0, 1)[None].double() / 127.5 - 1)
    difference = hsv[0].permute(1, 2, 0).numpy() - pillow
    # Pillow cuts off to whole bytes, in float32: where a byte is met exactly it may have the one below.
    assert difference.min() > -1e-6 and difference.max() <= 2 / 255 + 1e-6


@pytest.mark.parametrize("space", ["hsv", "hls"])
def test_colours_by_hue_have_gradients_that_are_finite(space: str) -> None:
    convert = getattr(losses, f"rgb_to_{space}")
    generator = torch.Generator().manual_seed(0)
    colours = torch.rand(1, 3, 1, 200, generator=generator, dtype=torch.float64) * 1.8 - 0.9
    assert torch.autograd.gradcheck(convert, colours.requires_grad_())
    grey = torch.linspace(-1.2, 1.2, 25).expand(1, 3, 1, -1)
    for image in (grey, grey + 1e-8 * torch.arange(3.0).reshape(1, 3, 1, 1), every_level().float() * 2 - 1):
        x = image.clone().requires_grad_()
        y = convert(x)
        y.square().sum().backward()
        assert bool(torch.isfinite(y).all()) and float(y.detach().abs().max()) <= 1
        assert x.grad is not None and float(x.grad.abs().max()) < 1e4
    hue = convert(grey)[:, 0]
    assert torch.equal(hue, torch.full_like(hue, -1))


def test_masks_keep_what_is_thin() -> None:
    mask = torch.zeros(1, 1, 8, 8)
    mask[..., 3, :] = 1
    pyramid = losses.mask_pyramid(mask, [(8, 8), (4, 4), (2, 2)])
    assert [int(m.sum()) for m in pyramid] == [8, 4, 2]
    assert torch.equal(pyramid[0], mask)


def two_maps(x: Tensor) -> list[Tensor]:
    return [x, functional.avg_pool2d(x, 2).square()]


def test_feature_distances_by_hand() -> None:
    output, target, mask = drawn(1, 3, 4, 4), drawn(1, 3, 4, 4, seed=1), torch.zeros(1, 1, 4, 4)
    mask[..., :1, :3] = 1  # at half the size it shows 1 x 2
    a, b = two_maps(output), two_maps(target)
    expected = 0.5 * (a[0] - b[0]).abs()[..., :1, :3].mean() + 2 * (a[1] - b[1]).abs()[..., :1, :2].mean()
    torch.testing.assert_close(losses.feature_distance(a, b, mask, weights=(0.5, 2)), expected)
    torch.testing.assert_close(losses.perceptual(two_maps, output, target, mask, weights=(0.5, 2)), expected)
    torch.testing.assert_close(
        losses.style(two_maps, output, target, mask, kind="features", weights=(0.5, 2)), expected
    )
    everywhere = sum((x - y).abs().mean() for x, y in zip(a, b))
    torch.testing.assert_close(losses.perceptual(two_maps, output, target), everywhere)
    torch.testing.assert_close(losses.perceptual(lambda x: x, output, target), (output - target).abs().mean())


def test_gram_distances_by_hand() -> None:
    output, target, mask = drawn(2, 3, 4, 4), drawn(2, 3, 4, 4, seed=1), mask_of(2, 1, 4, 4)
    expected = (losses.gram(output, mask) - losses.gram(target, mask)).abs().mean()
    torch.testing.assert_close(losses.gram_distance(output, target, mask), expected)
    torch.testing.assert_close(losses.style(lambda x: x, output, target, mask), expected)


def test_the_target_is_not_taught() -> None:
    output, target = drawn(1, 3, 4, 4).requires_grad_(), drawn(1, 3, 4, 4, seed=1).requires_grad_()
    for loss in (losses.perceptual, losses.style):
        loss(two_maps, output, target).backward()  # type: ignore[operator]
        assert target.grad is None and output.grad is not None


def test_style_by_hue_does_not_see_exposure() -> None:
    target = mask_of(1, 3, 6, 6) * 0.8 + 0.1
    darker = target / 2
    options: dict[str, Any] = {"kind": "features"}
    rgb, hsv = (losses.style(lambda x: x, darker * 2 - 1, target * 2 - 1, space=s, **options) for s in ("rgb", "hsv"))
    # The smallest colours are 0.05 where eps is 1e-4: two parts in a thousand.
    assert float(hsv) < 0.01 < 0.1 < float(rgb)


def test_styles_that_do_not_fit_are_refused() -> None:
    x = torch.zeros(1, 3, 4, 4)
    with pytest.raises(ArgumentError, match="space: 'lab'"):
        losses.style(two_maps, x, x, space="lab")
    with pytest.raises(ArgumentError, match="kind: 'grams'"):
        losses.style(two_maps, x, x, kind="grams")
    with pytest.raises(ArgumentError, match="weights: 1 of them, expected 2"):
        losses.perceptual(two_maps, x, x, weights=(1.0,))
    with pytest.raises(ArgumentError, match="target: 1 feature maps, expected 2"):
        losses.feature_distance([x, x], [x])
    with pytest.raises(ShapeError, match=r"image: shape \[1, 4, 4, 4\], expected \[N, 3, H, W\]"):
        losses.hue_saturation(torch.zeros(1, 4, 4, 4))
    for convert in (losses.rgb_to_hsv, losses.rgb_to_hls):
        with pytest.raises(ShapeError, match=r"image: shape \[3, 4, 4\], expected \[N, 3, H, W\]"):
            convert(torch.zeros(3, 4, 4))


# All of them

PAIRED = {
    "masked_l1": losses.masked_l1,
    "masked_l2": losses.masked_l2,
    "foreground_mse": losses.foreground_mse,
    "feature_distance": losses.feature_distance,
    "gram_distance": losses.gram_distance,
    "box_gram": losses.box_gram,
    "perceptual": lambda a, b, m: losses.perceptual(two_maps, a, b, m),
    "style, rgb": lambda a, b, m: losses.style(two_maps, a, b, m),
    "style, hsv": lambda a, b, m: losses.style(two_maps, a, b, m, space="hsv"),
    "style, hsv features": lambda a, b, m: losses.style(two_maps, a, b, m, space="hsv", kind="features"),
}


@pytest.mark.parametrize("name", PAIRED)
@given(seed=st.integers(0, 2**31), share=st.sampled_from([0.0, 0.3, 1.0]), levels=st.sampled_from([1, 2, 255]))
def test_losses_are_finite_and_none_where_nothing_differs(name: str, seed: int, share: float, levels: int) -> None:
    """This holds whatever the mask, and for images of flat, black and white areas."""
    generator = torch.Generator().manual_seed(seed)
    output, target = (torch.randint(0, levels + 1, (2, 3, 4, 6), generator=generator) / levels * 2 - 1 for _ in "ab")
    mask = (torch.rand(2, 1, 4, 6, generator=generator) < share).float()
    output.requires_grad_()
    loss = PAIRED[name](output, target, mask)
    loss.backward()
    assert loss.shape == () and bool(torch.isfinite(loss)) and float(loss.detach()) >= 0
    assert output.grad is not None and bool(torch.isfinite(output.grad).all())
    assert float(PAIRED[name](target, target, mask)) == 0


@pytest.mark.parametrize("name", PAIRED)
def test_shapes_that_do_not_fit_are_refused(name: str) -> None:
    x, mask = torch.zeros(2, 3, 4, 4), torch.zeros(2, 1, 4, 4)
    with pytest.raises(ShapeError, match=r"target: shape \[2, 3, 4, 5\], expected that of output"):
        PAIRED[name](x, torch.zeros(2, 3, 4, 5), mask)
    with pytest.raises(ShapeError, match=r"output: shape \[3, 4, 4\], expected \[N, C, H, W\]"):
        PAIRED[name](x[0], x[0], mask)
    with pytest.raises(ShapeError, match=r"mask: shape \[2, 3, 4, 4\]"):
        PAIRED[name](x, x, mask.expand(-1, 3, -1, -1))
