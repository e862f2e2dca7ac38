"""Transforms of other libraries, which are imported when one is made."""

from __future__ import annotations

from typing import Any

from ...errors import DTypeError
from ._copy_paste import CopyPaste


def for_torchvision(paste: CopyPaste, p: float = 1.0) -> Any:
    """Returns a transform for torchvision's `v2.Compose`.

    It takes what its transforms take: a picture and a target, or a sample. The picture is a tensor [C, H, W], of
    `tv_tensors.Image` or not, or a PIL image; the target a dictionary with any of 'boxes' (`tv_tensors.BoundingBoxes`,
    unrotated, in any format; plain tensors are x0, y0, x1, y1), 'labels' and 'masks'. Everything is returned in its own
    kind, a PIL image with a palette in RGB; for other keys see `CopyPaste`. The random numbers are drawn from torch's
    generator, which DataLoader seeds in every worker.

    Args:
        paste: the augmentation.
        p: the probability of applying it.

    Raises:
        ImportError: torch is not installed.

    Example:
        >>> from pyharmony import augment
        >>> paste = augment.CopyPaste([augment.Donor(np.zeros((8, 8, 3), np.uint8), np.ones((8, 8), bool), label=1)])
        >>> augment.for_torchvision(paste)
        for_torchvision(CopyPaste(Bank(1 donors), n=(1, 5), seed=0, epoch=0), p=1.0)
    """
    from ._for_torch import TorchvisionTransform

    return TorchvisionTransform(_checked(paste), p)


def for_albumentations(paste: CopyPaste, p: float = 1.0, *, metadata_key: str = "copy_paste_metadata") -> Any:
    """Returns a transform for albumentations' `Compose`, of albumentations 2 and AlbumentationsX 2.

    If a call has the metadata of albumentations' `CopyAndPaste`, a list with a dictionary for each donor with 'image',
    'mask' or 'bbox', and 'bbox_labels', all of these are pasted; else objects of the bank. The labels of a bank are
    then values of the one label field, or dictionaries with a value for each. A 'bbox' without a mask is pasted as a
    rectangle, as by albumentations; it is cut out if `paste` has a bank and that is not for rectangles. Boxes and masks
    are updated. 'mask' is refused, since a donor has no semantic map, and keypoints stay as they are.

    Args:
        paste: the augmentation. Its bank may be None if every call has metadata.
        p: the probability of applying it.
        metadata_key: the key of the metadata.

    Raises:
        ImportError: albumentations is not installed.

    Example:
        >>> from pyharmony import augment
        >>> augment.for_albumentations(augment.CopyPaste(None), p=0.5).p
        0.5
    """
    from ._for_albumentations import AlbumentationsTransform

    return AlbumentationsTransform(_checked(paste), p, metadata_key)


def for_ultralytics(paste: CopyPaste, p: float = 1.0) -> Any:
    """Returns a transform for ultralytics' `Compose`, such as a data set's `transforms`.

    It takes and returns the dictionary of its labels: 'img' [H, W, 3] in BGR, 'cls' [N, 1] and 'instances'. Segments
    are updated, too: those of objects that are covered in part follow what is visible, with as many points as before.
    A pasted object has keypoints that are not visible. The random numbers are drawn from Python's `random`, as its own.

    Args:
        paste: the augmentation; the labels of its bank are the numbers of classes.
        p: the probability of applying it.

    Raises:
        DTypeError: paste is not a `CopyPaste`.

    Example:
        >>> from pyharmony import augment
        >>> augment.for_ultralytics(augment.CopyPaste(None))
        for_ultralytics(CopyPaste(None, n=(1, 5), seed=0, epoch=0), p=1.0)
    """
    from ._for_ultralytics import UltralyticsTransform

    return UltralyticsTransform(_checked(paste), p)


def _checked(paste: Any) -> CopyPaste:
    if not isinstance(paste, CopyPaste):
        raise DTypeError(f"paste: {type(paste).__name__}, expected a CopyPaste")
    return paste
