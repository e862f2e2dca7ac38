"""Data sets, which map an index to a sample, and shards for training.

A sample is a dict of `name` and arrays of uint8: images [H, W, 3] in sRGB under `composite`, `target`, `image`, `src`
or `dst`, masks [H, W] from 0 to 255 under `mask`. A data set has a length, so torch's DataLoader accepts it; torch
itself is not imported. Files are decoded when a sample is read. A bad file raises an error that names it, and the
others can still be read; `check` lists all bad ones. docs/datasets.md lists public data sets and their layouts.
"""

from __future__ import annotations

from ..._public import publish
from ._boxes import boxes_to_masks
from ._crops import Crops
from ._dataset import Cached, Dataset, Joined, Problem, Resized, Subset, resize_sample
from ._folders import Manifest, Photos, Triples
from ._iharmony4 import IHarmony4
from ._open import KINDS, open_dataset
from ._pasted import Pasted
from ._scenes import AlignedScenes, ScenePairs, write_scenes
from ._shards import Shards, write_shards
from ._split import SHARES, split, split_of
from ._synthesis import METHODS, CopyPaste, PairComposites, Synthesis
from ._tar import TarShards, write_tar_shards
from ._tfrecord import TFRecordPairs, write_tfrecord, write_tfrecord_shards
from ._varied import Varied
from ._write_triples import Written, write_triples
from .coco import CocoPeople, decode_segmentation, encode_segmentation

__all__ = [
    "KINDS",
    "METHODS",
    "SHARES",
    "AlignedScenes",
    "Cached",
    "CocoPeople",
    "CopyPaste",
    "Crops",
    "Dataset",
    "IHarmony4",
    "Joined",
    "Manifest",
    "PairComposites",
    "Pasted",
    "Photos",
    "Problem",
    "Resized",
    "ScenePairs",
    "Shards",
    "Subset",
    "Synthesis",
    "TFRecordPairs",
    "TarShards",
    "Triples",
    "Varied",
    "Written",
    "boxes_to_masks",
    "decode_segmentation",
    "encode_segmentation",
    "open_dataset",
    "resize_sample",
    "split",
    "split_of",
    "write_scenes",
    "write_shards",
    "write_tar_shards",
    "write_tfrecord",
    "write_tfrecord_shards",
    "write_triples",
]

publish(globals())
