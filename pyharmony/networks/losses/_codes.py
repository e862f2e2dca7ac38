"""Distances of codes. A code is an encoder's vector for a region."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from ._adversarial import hinge_discriminator, hinge_generator
from ._checks import check_codes, check_positive


def domain_similarity(foreground: Tensor, background: Tensor) -> Tensor:
    """Returns sum_d f_d b_d of codes [N, D], as [N]: the similarity of object and background.

    Source: Cong et al., CVPR 2020, equation of the domain verification. The published code, like `networks.models`,
    has a learned head on the products f_d b_d instead of their sum; scores of that head are inputs of the hinge losses.
    """
    check_codes(foreground=foreground, background=background)
    return (foreground * background).sum(1)


def domain_verification_discriminator(
    real_foreground: Tensor, real_background: Tensor, fake_foreground: Tensor, fake_background: Tensor
) -> Tensor:
    """Returns the hinge loss of the similarities; real object and background [N, D] are of one domain, fake are not."""
    return hinge_discriminator(
        domain_similarity(real_foreground, real_background), domain_similarity(fake_foreground, fake_background)
    )


def domain_verification_generator(fake_foreground: Tensor, fake_background: Tensor) -> Tensor:
    """Returns -mean similarity of the output's object and its background. Codes [N, D]."""
    return hinge_generator(domain_similarity(fake_foreground, fake_background))


def triplet(
    anchor: Tensor, positive: Tensor, negative: Tensor, *, margin: float = 0.1, each_number: bool = False
) -> Tensor:
    """Returns mean max(0, |a - p| - |a - n| + margin) of codes [N, D].

    BargainNet uses it with margin 0.1 for (z_f, ẑ_f, z_c) and (ẑ_f, z_b, z_c): Cong et al., ICME 2021. 1e-6 is added to
    the differences, as torch does.

    Args:
        anchor, positive, negative: codes [N, D] of one shape and dtype.
        margin: the margin by which the negative should be farther than the positive.
        each_number: True: a triplet is of three numbers, at the same index of each code, and the mean is over all
            N D of them, as in the code published with BargainNet, which passes codes [N, D, 1, 1] to torch's loss.
            False: a triplet is of three codes, |.| being their Euclidean distance, as in the paper.

    Returns:
        The loss, a tensor [].

    Raises:
        ShapeError: the codes are not [N, D], or not of one shape.
        ArgumentError: margin is not above 0.
    """
    check_positive(margin, "margin")
    check_codes(anchor=anchor, positive=positive, negative=negative)
    codes = (anchor, positive, negative)
    if each_number:
        codes = (anchor.reshape(-1, 1), positive.reshape(-1, 1), negative.reshape(-1, 1))
    return functional.triplet_margin_loss(*codes, margin=margin)
