"""The configuration of a training run: a TOML file, and changes of single keys."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

from .._catalogue import hint
from ..errors import ArgumentError, DTypeError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_RECIPES = Path(__file__).parent / "_recipes"


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """The table `[data]`: the samples that a run trains on.

    Attributes:
        root: a folder or file that `pyharmony.data.open_dataset` opens, or several, which are joined.
        kind: the layout of root, a `kind` of `open_dataset`; '': found out from its files.
        annotations: the JSON file of COCO whose photographs root has; '': none.
        features: the names of TFRecord's features for 'composite', 'target' and 'mask'; empty: those that are known.
        category, min_share, max_share: the choice of COCO's photographs, see `pyharmony.data.CocoPeople`.
        boxes: the file with the boxes of aligned scenes; '': none.
        split: the split of a data set that has splits of its own, usually 'train'; '': all of it.
        validation: a folder of its own, or the share of the samples that is held back, chosen by their names.
        validation_kind, validation_annotations, validation_boxes: the same settings for a folder of validation.
        validation_split: the split to validate on in a set that has splits, 'val' or 'test'; '': none.
        limit: how many samples, or photographs to make composites of, are drawn by run.seed to train on; 0: all.
        size: the side of the images that the network sees; larger ones are resized, keeping no aspect, as published.
        enlarge: whether images that are smaller than that are enlarged; else a folder or file is refused where both
            sides of most of its first images are smaller.
        crop: the largest share of a side that a random crop leaves out; 0: none.
        pairs: the number of pairs of aligned scenes that are drawn for an epoch.
        flip: whether each image is mirrored with a probability of one half.
        methods: how composites are made of photographs: names of `pyharmony.data.METHODS` and their weights; empty: the
            choice of `pyharmony.data.Synthesis`.
        retouched, inverted, borrowed, reshaped: shares of the photographs that are varied, see `pyharmony.data.Varied`;
            where one of them is above 0 there may be photographs without a mask.
        severity: the least and largest severity of composites made of photographs, see `pyharmony.data.Synthesis`;
            empty: they stay as they come.
        unchanged: the share of those composites, in training, that are the photograph itself.
        scene: for a network that cuts out objects, the side to which photographs are resized, parts of which are shown
            at `size`; 0: twice as large.
        pasted, seamless, nearer, worn, crowded: for such a network shares of the scenes, like `retouched`, see
            `pyharmony.data.Pasted`.
        persons: the categories of photographs in a manifest whose mask is that of a person.
        empty: the categories of photographs that show nobody.
        per_photo: the number of composites of each photograph in an epoch; at most 8 of each one held back.
        repeats: how often a sample is used in an epoch, within a few batches that are kept in memory. It serves where a
            sample takes longer to make than a step, and the network draws something else from it every time.
        workers: the number of processes that read ahead; 0: none.
        skip_bad: whether samples that cannot be read are left out, and named in the log and at the end; else they end
            the run.
        largest_bad: the number of such samples beyond which the run ends with an error all the same.
    """

    root: str | tuple[str, ...] = ""
    kind: str = ""
    annotations: str = ""
    category: str = "person"
    min_share: float = 0.0
    max_share: float = 1.0
    boxes: str = ""
    features: Mapping[str, str] = field(default_factory=dict)
    split: str = ""
    validation: str | float = 0.1
    validation_split: str = ""
    validation_kind: str = ""
    validation_annotations: str = ""
    validation_boxes: str = ""
    limit: int = 0
    size: int = 256
    enlarge: bool = False
    crop: float = 0.0
    pairs: int = 150_000
    flip: bool = False
    methods: Mapping[str, float] = field(default_factory=dict)
    retouched: float = 0.0
    inverted: float = 0.0
    borrowed: float = 0.0
    reshaped: float = 0.0
    severity: tuple[float, ...] = ()
    unchanged: float = 0.0
    scene: int = 0
    pasted: float = 0.6
    seamless: float = 0.6
    nearer: float = 0.5
    worn: float = 0.25
    crowded: float = 0.0
    persons: tuple[str, ...] = ()
    empty: tuple[str, ...] = ()
    per_photo: int = 1
    repeats: int = 1
    workers: int = 0
    skip_bad: bool = False
    largest_bad: int = 100

    @property
    def roots(self) -> tuple[str, ...]:
        """`root` as a tuple, empty where there is none."""
        return ((self.root,) if self.root else ()) if isinstance(self.root, str) else tuple(self.root)


@dataclass(frozen=True, kw_only=True)
class ScheduleConfig:
    """The table `[schedule]`: how long a run is, and its learning rates.

    Attributes:
        epochs, steps, minutes: the limits of the run, which ends at the first that is reached; 0: no limit.
        shape: how the rates fall. 'linear': in a line to 0, over the last `decay` of the run; 'cosine': there in half a
            cosine; 'step': at `drops` alone; 'plateau': whenever the figure by which the best weights are chosen has
            not improved for `patience` evaluations.
        decay: the share of the run, at its end, in which the rates of 'linear' and 'cosine' fall to 0.
        drops: shares of the run, 0 to 1 and rising; from each on the rates are `drop_factor` of what they were.
        drop_factor: the factor of the rates at each of `drops`, and at a plateau.
        patience: the number of evaluations in a row without a better figure that make a plateau.
        stop_after: the number of evaluations in a row without a better figure that end the run; 0: none does.
        warm_up: the number of steps in which the rates rise from 0.
        expected_steps: how many steps a run of `minutes` makes where it was tried; a run that ends with less than a
            third of them says that it was too short. 0: unknown.
    """

    epochs: int = 0
    steps: int = 0
    minutes: float = 0.0
    shape: str = "linear"
    decay: float = 0.5
    drops: tuple[float, ...] = ()
    drop_factor: float = 0.1
    patience: int = 10
    stop_after: int = 0
    warm_up: int = 0
    expected_steps: int = 0


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """The table `[run]`: all other settings.

    Attributes:
        seed: the seed of weights, of the order and changes of the samples, and of dropout.
        start: weights that a new run starts from: a path, or the name of weights that come with pyharmony. The network
            has their settings, or is wider where its class knows how (see `pyharmony.models.Model.start_from`). '': a
            run starts with random weights.
        batch: the number of samples of a step in one process.
        accumulate: the number of batches whose gradients are averaged for an update.
        ema: the decay of the moving average of the weights that is evaluated and kept; 0: none.
        checkpoint_steps, checkpoint_minutes: the interval between two checkpoints; 0: not by this measure.
        keep: the number of checkpoints that are kept.
        evaluate_steps: the number of steps between two evaluations; 0: one evaluation an epoch.
        best_by: the figure by which the best weights are chosen, such as 'seam_error'; '': the usual one of the task.
        log_steps: the number of steps between two entries of the log.
        loggers: what the entries go to, besides `log.jsonl`: 'tensorboard', 'csv' (a file `metrics.csv`) and 'wandb'
            (Weights & Biases, where the package is installed).
        largest_skips: after how many steps in a row that are not finite the run ends with an error.
        capture: whether, on a GPU, a step runs as one CUDA graph.
        threads: the number of torch's threads on the CPU; 0: left as it is.
    """

    seed: int = 0
    start: str = ""
    batch: int = 4
    accumulate: int = 1
    ema: float = 0.0
    checkpoint_steps: int = 0
    checkpoint_minutes: float = 10.0
    keep: int = 3
    evaluate_steps: int = 0
    best_by: str = ""
    log_steps: int = 20
    loggers: tuple[str, ...] = ("tensorboard",)
    largest_skips: int = 20
    capture: bool = False
    threads: int = 0


#: The shapes of a schedule, see `ScheduleConfig`.
SHAPES = ("linear", "cosine", "step", "plateau")
#: The figures of an evaluation by the task of the network; those without a mask have fewer.
FIGURES = {
    "harmonize": ("fmse", "mse", "psnr", "ssim", "fpsnr", "fssim", "seam_error", "gain"),
    "blend": ("mse", "psnr", "seam_error", "color_error"),
    "upscale": ("psnr", "mse"),
    "realism": ("auc",),
    "style": ("auc",),
    "segment": ("iou", "best"),
}
#: The loggers that a run knows, see `RunConfig`.
LOGGERS = ("tensorboard", "csv", "wandb")
#: The least values of settings.
_LEAST = {
    "data.size": 8,
    **dict.fromkeys(("data.pairs", "data.per_photo", "data.repeats"), 1),
    **dict.fromkeys(("data.workers", "data.limit", "data.scene", "data.largest_bad"), 0),
    **dict.fromkeys(("run.batch", "run.accumulate", "run.keep", "run.log_steps", "run.largest_skips"), 1),
    **dict.fromkeys(("run.seed", "run.threads", "run.evaluate_steps"), 0),
    **dict.fromkeys(("run.checkpoint_steps", "run.checkpoint_minutes"), 0),
    **dict.fromkeys(("schedule.epochs", "schedule.steps", "schedule.minutes"), 0),
    **dict.fromkeys(("schedule.warm_up", "schedule.expected_steps", "schedule.stop_after"), 0),
    "schedule.patience": 1,
}
#: The largest seed: torch and NumPy take twice as much and more.
_LARGEST_SEED = 2**62
_SHARES = (
    "schedule.decay",
    *(f"data.{name}" for name in ("retouched", "inverted", "borrowed", "reshaped", "unchanged")),
    *(f"data.{name}" for name in ("pasted", "seamless", "nearer", "worn", "crowded")),
)


@contextlib.contextmanager
def in_table(table: str) -> Iterator[None]:
    """Makes errors about a key name its table as well."""
    try:
        yield
    except (ArgumentError, DTypeError) as error:
        raise error.within(f"{table}.") from error


def check_name(key: str, value: Any, names: Iterable[str]) -> None:
    """Refuses a value that is none of the names."""
    if value not in names:
        raise ArgumentError(f"{key}: {value!r}{hint(value, names)}, expected one of {', '.join(map(repr, names))}")


def _rises(values: tuple[Any, ...], end: float) -> bool:
    """Whether these are numbers between 0 and end, none smaller than the one before."""
    numbers = all(isinstance(x, (int, float)) and not isinstance(x, bool) and 0 < x < end for x in values)
    return numbers and list(values) == sorted(values)


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """The whole configuration of a training run.

    Attributes:
        model: `name`, optionally `preset`, and settings of the model.
        step: optionally `preset`, and settings of the model's step, see `pyharmony.training.steps`.
        extractor: for a step that uses one: `weights`, a file, or `name`, optionally `preset`, and settings.
        data, schedule, run: the other tables, see their classes.
    """

    model: Mapping[str, Any] = field(default_factory=dict)
    step: Mapping[str, Any] = field(default_factory=dict)
    extractor: Mapping[str, Any] = field(default_factory=dict)
    data: DataConfig = field(default_factory=DataConfig)
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    run: RunConfig = field(default_factory=RunConfig)

    def __post_init__(self) -> None:
        name = self.model.get("name")
        if not isinstance(name, str):
            text = "missing" if name is None else repr(name)
            raise ArgumentError(f"model.name: {text}, expected a model of `pyharmony models list`")
        for key, low in _LEAST.items():
            if not low <= self.value(key) < math.inf:
                finite = " and finite" if self.value(key) == math.inf else ""
                raise ArgumentError(f"{key}: {self.value(key)!r}, expected {low} or more{finite}")
        if self.run.seed > _LARGEST_SEED:
            raise ArgumentError(f"run.seed: {self.run.seed}, expected 0 to {_LARGEST_SEED}")
        for key in ("data.crop", "run.ema"):
            if not 0 <= self.value(key) < 1:
                raise ArgumentError(f"{key}: {self.value(key)!r}, expected 0 to 1, 1 not included")
        for key in _SHARES:
            if not 0 <= self.value(key) <= 1:
                raise ArgumentError(f"{key}: {self.value(key)!r}, expected 0 to 1")
        self._check_schedule()
        if self.run.best_by:
            check_name("run.best_by", self.run.best_by, dict.fromkeys(name for of in FIGURES.values() for name in of))
        for logger in self.run.loggers:
            check_name("run.loggers", logger, LOGGERS)
        severity = self.data.severity
        if len(severity) not in (0, 2) or not _rises(severity, math.inf):
            raise ArgumentError(f"data.severity: {severity!r}, expected two numbers above 0, the second no smaller")
        if not all(isinstance(root, str) for root in self.data.roots):
            raise ArgumentError(f"data.root: {self.data.root!r}, expected paths")
        for key in ("data.annotations", "data.boxes"):
            if self.value(key) and len(self.data.roots) > 1:
                raise ArgumentError(f"{key}: given, and data.root has {len(self.data.roots)} folders; it goes with one")
        if not isinstance(self.data.validation, str) and not 0 <= self.data.validation < 1:
            accepted = "a folder, or a share, 0 to 1, 1 not included"
            raise ArgumentError(f"data.validation: {self.data.validation!r}, expected {accepted}")
        if not (self.schedule.epochs or self.schedule.steps or self.schedule.minutes):
            raise ArgumentError("schedule: without an end; set schedule.epochs, schedule.steps or schedule.minutes")

    def _check_schedule(self) -> None:
        schedule = self.schedule
        check_name("schedule.shape", schedule.shape, SHAPES)
        drops = schedule.drops
        if not _rises(drops, 1) or len(set(drops)) < len(drops):
            raise ArgumentError(f"schedule.drops: {drops!r}, expected rising numbers between 0 and 1")
        if not 0 < schedule.drop_factor < 1:
            raise ArgumentError(f"schedule.drop_factor: {schedule.drop_factor!r}, expected a number between 0 and 1")
        if schedule.shape == "step" and not drops:
            raise ArgumentError("schedule.drops: empty, and schedule.shape='step' needs them, such as [0.5, 0.75]")
        if schedule.shape == "plateau" and drops:
            raise ArgumentError(f"schedule.drops: {drops!r}, and the rates of schedule.shape='plateau' drop by figures")
        self.check_figures(bool(self.data.validation or self.data.validation_split))

    def check_figures(self, there_are: bool) -> None:
        """Refuses a schedule that follows figures where there are none."""
        schedule = self.schedule
        if there_are or not (schedule.stop_after or schedule.shape == "plateau"):
            return
        what = f"stop_after={schedule.stop_after}" if schedule.stop_after else "shape='plateau'"
        raise ArgumentError(
            f"schedule.{what}: needs figures of samples that are held back, and there are none; set data.validation"
        )

    def value(self, key: str) -> Any:
        """Returns a setting by its table and name, such as 'data.root'."""
        table, name = key.split(".", 1)
        return getattr(getattr(self, table), name)

    def as_dict(self) -> dict[str, Any]:
        """Returns the tables as dictionaries of plain values."""
        return dataclasses.asdict(self)


#: The tables of a configuration, with the class of those whose keys are known here.
_TABLES: dict[str, type | None] = {
    **dict.fromkeys(("model", "step", "extractor")),
    "data": DataConfig,
    "schedule": ScheduleConfig,
    "run": RunConfig,
}


def read_toml(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Reads the tables of a TOML file."""
    try:
        return tomllib.loads(Path(path).read_text("utf-8"))
    except (ValueError, RecursionError) as error:
        raise ArgumentError(f"{os.fspath(path)}: no TOML: {error}") from error


def recipes() -> dict[str, str]:
    """Returns the recipes that come with pyharmony by name, each with a sentence about it."""
    paths = sorted(_RECIPES.glob("*.toml"))
    return {path.stem: path.read_text("utf-8").partition("\n")[0].removeprefix("# ") for path in paths}


def recipe(name: str) -> dict[str, Any]:
    """Returns the tables of a recipe.

    Raises:
        ArgumentError: there is no recipe of that name.
    """
    all_recipes = recipes()
    if name not in all_recipes:
        raise ArgumentError(
            f"recipe: {name!r}, no such recipe{hint(name, all_recipes)}; there are {', '.join(all_recipes)}"
        )
    return read_toml(_RECIPES / f"{name}.toml")


def with_changes(tables: Mapping[str, Any], changes: Iterable[str]) -> dict[str, Any]:
    """Returns the tables with each change 'table.key=value' made; values are TOML, but text needs no quotes."""
    result = {name: dict(table) if isinstance(table, Mapping) else table for name, table in tables.items()}
    for change in changes:
        key, sign, text = change.partition("=")
        table, dot, name = key.strip().partition(".")
        if not (sign and dot and table and name):
            raise ArgumentError(f"--set {change}: expected table.key=value, such as run.batch=8")
        _check_table(table)
        try:
            value = tomllib.loads(f"value = {text.strip()}")["value"]
        except (ValueError, RecursionError):
            value = text.strip()
        result.setdefault(table, {})[name] = value
    return result


def config_of(tables: Mapping[str, Any]) -> TrainConfig:
    """Makes the configuration from tables like those of `read_toml`."""
    parts: dict[str, Any] = {}
    for name, table in tables.items():
        _check_table(name)
        if not isinstance(table, Mapping):
            raise ArgumentError(f"{name}: {table!r}, expected a table")
        kind = _TABLES[name]
        parts[name] = dict(table) if kind is None else _filled(kind, name, table)
    return TrainConfig(**parts)


def _check_table(name: str) -> None:
    if name not in _TABLES:
        raise ArgumentError(f"{name}: no such table{hint(name, _TABLES)}; there are {', '.join(_TABLES)}")


def _filled(kind: Any, table: str, values: Mapping[str, Any]) -> Any:
    types = get_type_hints(kind)
    for key, value in values.items():
        if key not in types:
            raise ArgumentError(f"{table}.{key}: no such key{hint(key, types)}; {table} has {', '.join(types)}")
        expected = _accepted(types[key])
        if isinstance(value, bool) and bool not in expected or not isinstance(value, expected):
            names = " or ".join(t.__name__ for t in expected)
            raise ArgumentError(f"{table}.{key}: {value!r}, expected {names}")
    return kind(**{key: tuple(value) if isinstance(value, list) else value for key, value in values.items()})


def _accepted(annotation: Any) -> tuple[type, ...]:
    origin = get_origin(annotation)
    if origin is tuple:
        return (list, tuple)
    if origin is Mapping:
        return (dict,)
    if origin is not None:
        return tuple(t for part in get_args(annotation) for t in _accepted(part))
    return (float, int) if annotation is float else (annotation,)


#: The settings of [data] that are paths: they may change, and the samples found there are compared instead.
_PATHS = ("root", "annotations", "boxes", "validation_annotations", "validation_boxes")


#: The settings of [run] and [schedule] that change what a run of one length ends with.
_DECISIVE = {
    "run": ("seed", "batch", "accumulate", "ema", "best_by"),
    "schedule": ("shape", "drop_factor", "patience"),
}


def digest(config: TrainConfig) -> str:
    """Returns the settings that must be equal for a run to go on: not its length, its logging or its files' paths.

    `Run` compares the samples by their names and an extractor by its weights.
    """
    tables = config.as_dict()
    settled = {name: tables[name] for name in ("model", "step", "extractor", "data")}
    settled |= {table: {key: tables[table][key] for key in keys} for table, keys in _DECISIVE.items()}
    for name in ("workers", "largest_bad", "enlarge", *_PATHS):
        settled["data"].pop(name)
    if isinstance(config.data.validation, str):
        settled["data"]["validation"] = "a folder"
    settled["extractor"].pop("weights", None)
    return json.dumps(settled, sort_keys=True)


def differences(before: str, config: TrainConfig) -> str:
    """Names the first settings that differ from those of a digest, with both values; '' where all are equal.

    A setting that the digest of an earlier version does not have was what is now its default.
    """
    defaults = json.loads(digest(TrainConfig(model=config.model, schedule=ScheduleConfig(steps=1))))
    first, second = json.loads(before), json.loads(digest(config))
    for table in ("data", *_DECISIVE):
        first[table] = {**defaults[table], **first.get(table, {})}
    changes = [
        f"{table}.{key} was {first.get(table, {}).get(key)!r} and is {second[table].get(key)!r}"
        for table in sorted(second, key=lambda table: table != "model")  # another network matters most
        for key in sorted({*first.get(table, {}), *second[table]})
        if first.get(table, {}).get(key) != second[table].get(key)
    ]
    return "; ".join(changes[:3])
