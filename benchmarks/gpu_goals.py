"""The claims about GPUs, which `make gpu-check` measures and `results/STATUS.md` lists."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Goal:
    """A measured quantity with its required value.

    Attributes:
        key: the name under which a benchmark or a part of `make gpu-check` reports it.
        claim: the claim in words.
        floor, goal: the required value, and the desired one; goal may be None.
        unit: the unit of both.
        higher_is_better: whether larger values are better.
        benchmark: the one that measures it, bench_<name>_cuda.py, on whose kernels it depends; "": on all.
    """

    key: str
    claim: str
    floor: float
    goal: float | None
    unit: str
    higher_is_better: bool = False
    benchmark: str = ""


#: The claims on an H200, by benchmark: 8K is 7680 x 4320 of three channels; photographs have color_weight 1 and error
#: 0.25/255.
_GOALS = {
    "gaussian_poisson": (
        Goal("float32_v_copy", "8K float32, photograph setting, over a copy of the same bytes", 2.5, 1.4, "x"),
        Goal("uint8_v_float32", "8K uint8 over 8K float32, photograph setting", 0.7, 0.5, "x"),
        Goal("v_torch_dct", "8K float32, photograph setting: times faster than a torch.fft DCT", 4, 8, "x", True),
        Goal("small_weight_v_torch_dct", "8K float32, weight 1e-3: times faster than a torch.fft DCT",
             1.2, None, "x", True),
        Goal("small_us", "1024 x 1024 uint8, photograph setting, images to blend on the GPU", 60, 30, "µs"),
        Goal("cpu_v_cuda", "CPU and CUDA kernels, float32, largest difference in [0, 1]", 2e-5, None, ""),
    ),
    "poisson": (
        Goal("masked_v_torch_dct", "8K float32, mask of 40 %, to 0.25/255, over the whole rectangle's DCT",
             3, None, "x"),
    ),
    "pyramid": (Goal("pyramid_v_finest", "8K uint8, the whole pyramid over its finest level", 1.6, None, "x"),),
    "spectral_norm": (
        Goal("spectral_norm_v_torch", "spectral norm of 16 layers, 71 MB: times faster than torch's, eager",
             15, None, "x", True),
        Goal("spectral_norm_v_graph", "the same, both captured in CUDA graphs", 2.5, None, "x", True),
        Goal("spectral_norm_share", "the same, of a step of DoveNet's discriminator", 5, None, "%"),
    ),
    "partial_conv": (
        Goal("partial_conv_v_eager",
             "DoveNet's local encoder at 256², 15 % mask, batch <= 8: times faster than composed, eager",
             2.5, 4, "x", True),
        Goal("partial_conv_v_graph", "the same, both captured in CUDA graphs", 1.4, None, "x", True),
    ),
    "instance_norm": (
        Goal("instance_norm_v_eager",
             "instance norm and leaky ReLU, forward and with backward: times faster than torch's two calls, eager",
             1.3, 1.7, "x", True),
        Goal("instance_norm_v_graph", "the same, both captured in CUDA graphs", 1.3, 1.7, "x", True),
    ),
    "color_grid": (
        Goal("color_grid_ms", "colour grid of 8K uint8: affine map, curves and 16 x 16 x 8 grid, soft mask",
             1, 0.4, "ms"),
        Goal("color_grid_v_compiled", "the same: times faster than torch's composition, compiled", 4, 8, "x", True),
    ),
    "training_steps": (
        Goal("dovenet_step_1",
             "DoveNet's training step with penalty, bfloat16, captured, batch 1: times faster than published, TF32",
             3, 8, "x", True),
        Goal("dovenet_step_8", "the same, batch 8", 3, 5, "x", True),
    ),
    "": (
        Goal("test_failures", "tests that fail on the GPU", 0, None, ""),
        Goal("sanitizer_reports", "reports of memcheck, racecheck, initcheck and synccheck", 0, None, ""),
    ),
}  # fmt: skip
GOALS = tuple(replace(goal, benchmark=name) for name, goals in _GOALS.items() for goal in goals)
