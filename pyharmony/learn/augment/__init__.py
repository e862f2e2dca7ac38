"""Copy-paste augmentation: objects pasted into training pictures, with the boxes, labels and masks that result.

A `Bank` holds the objects, `CopyPaste` pastes some of them into a picture and updates what describes it, and
`for_torchvision`, `for_albumentations` and `for_ultralytics` make it a transform of these libraries, which are needed
by nothing else here. Everything runs on the CPU, in the process that calls it. docs/augment.md shows the use.
"""

from __future__ import annotations

from ..._public import publish
from ._adapters import for_albumentations, for_torchvision, for_ultralytics
from ._bank import Bank, Donor
from ._copy_paste import CopyPaste

__all__ = ["Bank", "CopyPaste", "Donor", "for_albumentations", "for_torchvision", "for_ultralytics"]

publish(globals())
