"""The configuration of a training run: a TOML file and overrides of single keys."""

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
from typing import Any

from ... import _checks, _warnings
from ..._catalogue import hint
from ..._public import FORMER, former_field, naming_keywords, under_present_names
from ...errors import ArgumentError, DTypeError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_RECIPES = Path(__file__).parent / "_recipes"


@naming_keywords
@_checks.kinds
@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """The table `[data]`: the samples that a run trains on.

    Attributes:
        root: a folder or file that `pyharmony.learn.data.open_dataset` opens, or several, which are concatenated.
        kind: the layout of root, a `kind` of `open_dataset`; '': detected from its files.
        annotations: the COCO JSON file that describes the photographs in root; '': none.
        features: the names of the TFRecord features for 'composite', 'target' and 'mask'; empty: the known names.
        category, min_share, max_share: the selection of COCO photographs, see `pyharmony.learn.data.CocoPeople`.
        boxes: the file with the boxes of aligned scenes; '': none.
        split: the split of a data set with predefined splits, usually 'train'; '': all of it.
        validation: a separate folder, or the share of the samples used for validation, chosen by their names.
        validation_kind, validation_annotations, validation_boxes: the same settings for a validation folder.
        validation_split: the validation split of a data set with predefined splits, 'val' or 'test'; '': none.
        limit: the number of training samples, or photographs to make composites from, drawn by run.seed; 0: all.
        size: the side of the network's input; images are resized to a square, ignoring their aspect, as published.
        enlarge: whether smaller images are enlarged; if not, a folder or file is refused if most of its first images
            are smaller in both sides.
        crop_share: the largest share of a side that a random crop removes; 0: no crop.
        pairs: the number of pairs of aligned scenes drawn per epoch.
        flip: whether each image is mirrored with probability 0.5.
        methods: the methods that make composites from photographs: names of `data.METHODS` with weights;
            empty: the default of `pyharmony.learn.data.Synthesis`.
        retouched, inverted, borrowed, reshaped: shares of photographs to augment, see `data.Varied`; if any
            is above 0, photographs without a mask are accepted.
        severity: the range of the severity of synthetic composites, see `pyharmony.learn.data.Synthesis`; empty: as the
            methods produce them.
        unchanged: the share of synthetic training composites that are the unchanged photograph.
        scene: for a segmentation network, the side to which photographs are resized before crops of `size`; 0: twice
            `size`.
        pasted, seamless, nearer, worn, crowded: for such a network, shares of the scenes, see
            `pyharmony.learn.data.Pasted`.
        persons: the categories of a manifest whose masks are masks of a person.
        empty: the categories of photographs without people.
        per_photo: the number of composites per photograph in an epoch; at most 8 per validation photograph.
        repeats: the number of uses of a sample in an epoch, within a few batches kept in memory. Useful if making a
            sample takes longer than a step and the step augments it differently each time.
        workers: the number of processes that load batches in advance; 0: none.
        skip_bad: whether unreadable samples are skipped and listed in the log and at the end; else they end the run.
        largest_bad: the number of unreadable samples above which the run fails nevertheless.
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
    crop_share: float = 0.0
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
    crop = former_field("crop", "crop_share")

    @property
    def roots(self) -> tuple[str, ...]:
        """`root` as a tuple, empty if it is not set."""
        return ((self.root,) if self.root else ()) if isinstance(self.root, str) else tuple(self.root)


@_checks.kinds
@dataclass(frozen=True, kw_only=True)
class ScheduleConfig:
    """The table `[schedule]`: the length of a run and its learning rates.

    Attributes:
        epochs, steps, minutes: the limits of the run, which ends at the first one reached; 0: no limit.
        shape: the learning rate schedule. 'linear': linear decay to 0 over the last `decay` of the run; 'cosine': half
            a cosine over the same part; 'step': drops at `drops`; 'plateau': drops when the metric that selects the
            best weights has not improved for `patience` evaluations.
        decay: the final share of the run in which 'linear' and 'cosine' decay to 0.
        drops: increasing shares of the run, 0 to 1; at each the rates are multiplied by `drop_factor`.
        drop_factor: the factor of the rates at each of `drops`, and at a plateau.
        patience: the number of consecutive evaluations without improvement that count as a plateau.
        stop_after: the number of consecutive evaluations without improvement that end the run; 0: never.
        warm_up: the number of steps in which the rates rise from 0.
        expected_steps: the number of steps that a run of `minutes` made when it was tested; a run that ends with less
            than a third of them reports that it was too short. 0: unknown.
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


@_checks.kinds
@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """The table `[run]`: all other settings.

    Attributes:
        seed: the seed of initial weights, sample order, augmentation and dropout.
        start: the weights that a new run starts from: a path, or the name of bundled weights. The network gets their
            settings, or may be wider if its class supports it (see `models.Model.start_from`). '': random
            weights.
        batch: the number of samples per step and process.
        accumulate: the number of batches whose gradients are averaged for one update.
        ema: the decay of the moving average of the weights, which is evaluated and saved; 0: none.
        checkpoint_steps, checkpoint_minutes: the interval between checkpoints; 0: this limit is off.
        keep: the number of checkpoints to keep.
        evaluate_steps: the number of steps between evaluations; 0: one evaluation per epoch.
        best_by: the metric that selects the best weights, such as 'seam_error'; '': the default of the task.
        log_steps: the number of steps between log entries.
        loggers: the outputs in addition to `log.jsonl`: 'tensorboard', 'csv' (a file `metrics.csv`) and 'wandb'
            (Weights & Biases, if the package is installed).
        largest_skips: the number of consecutive steps with non-finite gradients that end the run with an error.
        capture: whether a step on a GPU runs as one CUDA graph.
        threads: the number of torch's CPU threads; 0: unchanged.
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
#: The metrics of an evaluation by the task of the network; fewer are available without a mask. By default the first
#: selects the best weights.
FIGURES = {
    "harmonize": ("fmse", "mse", "psnr", "ssim", "fpsnr", "fssim", "seam_error", "gain"),
    "blend": ("mse", "psnr", "seam_error", "color_error"),
    "upscale": ("psnr", "mse"),
    "realism": ("auc",),
    "style": ("auc",),
    "segment": ("iou", "best"),
}
#: The available loggers, see `RunConfig`.
LOGGERS = ("tensorboard", "csv", "wandb")
#: The smallest accepted values of settings.
_MIN_SETTINGS = {
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
#: The largest seed; torch and NumPy accept more than twice as much.
_LARGEST_SEED = 2**62
_SHARES = (
    "schedule.decay",
    *(f"data.{name}" for name in ("retouched", "inverted", "borrowed", "reshaped", "unchanged")),
    *(f"data.{name}" for name in ("pasted", "seamless", "nearer", "worn", "crowded")),
)


@contextlib.contextmanager
def in_table(table: str) -> Iterator[None]:
    """Adds the table to the key that an error names."""
    try:
        yield
    except (ArgumentError, DTypeError) as error:
        raise error.within(f"{table}.") from error


def check_name(key: str, value: Any, names: Iterable[str]) -> None:
    """Raises an ArgumentError if value is not one of the names."""
    if value not in names:
        raise ArgumentError(f"{key}: {value!r}{hint(value, names)}, expected one of {', '.join(map(repr, names))}")


def _rises(values: tuple[Any, ...], end: float) -> bool:
    """Returns whether these are non-decreasing numbers between 0 and end."""
    numbers = all(isinstance(x, (int, float)) and not isinstance(x, bool) and 0 < x < end for x in values)
    return numbers and list(values) == sorted(values)


@_checks.kinds
@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """The whole configuration of a training run.

    Attributes:
        model: `name`, optionally `preset`, and settings of the model.
        step: optionally `preset`, and settings of the model's step, see `pyharmony.learn.training.steps`.
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
        for key, low in _MIN_SETTINGS.items():
            if not low <= self.value(key) < math.inf:
                finite = " and finite" if self.value(key) == math.inf else ""
                raise ArgumentError(f"{key}: {self.value(key)!r}, expected {low} or more{finite}")
        if self.run.seed > _LARGEST_SEED:
            raise ArgumentError(f"run.seed: {self.run.seed}, expected 0 to {_LARGEST_SEED}")
        for key in ("data.crop_share", "run.ema"):
            if not 0 <= self.value(key) < 1:
                raise ArgumentError(f"{key}: {self.value(key)!r}, expected 0 <= value < 1")
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
            raise ArgumentError(f"data.severity: {severity!r}, expected two positive numbers, low <= high")
        for key in ("data.annotations", "data.boxes"):
            if self.value(key) and len(self.data.roots) > 1:
                raise ArgumentError(f"{key}: accepted only with one folder; data.root has {len(self.data.roots)}")
        if not isinstance(self.data.validation, str) and not 0 <= self.data.validation < 1:
            accepted = "a folder, or a share in [0, 1)"
            raise ArgumentError(f"data.validation: {self.data.validation!r}, expected {accepted}")
        if not (self.schedule.epochs or self.schedule.steps or self.schedule.minutes):
            raise ArgumentError("schedule: no limit; set schedule.epochs, schedule.steps or schedule.minutes")

    def _check_schedule(self) -> None:
        schedule = self.schedule
        check_name("schedule.shape", schedule.shape, SHAPES)
        drops = schedule.drops
        if not _rises(drops, 1) or len(set(drops)) < len(drops):
            raise ArgumentError(f"schedule.drops: {drops!r}, expected increasing numbers between 0 and 1")
        if not 0 < schedule.drop_factor < 1:
            raise ArgumentError(f"schedule.drop_factor: {schedule.drop_factor!r}, expected a number between 0 and 1")
        if schedule.shape == "step" and not drops:
            raise ArgumentError("schedule.drops: empty; schedule.shape='step' needs values such as [0.5, 0.75]")
        if schedule.shape == "plateau" and drops:
            raise ArgumentError(f"schedule.drops: {drops!r}, not used by schedule.shape='plateau'; leave it empty")
        self.check_figures(bool(self.data.validation or self.data.validation_split))

    @_checks.kinds
    def check_figures(self, there_are: bool) -> None:
        """Raises if the schedule depends on validation metrics and there are none."""
        schedule = self.schedule
        if there_are or not (schedule.stop_after or schedule.shape == "plateau"):
            return
        what = f"stop_after={schedule.stop_after}" if schedule.stop_after else "shape='plateau'"
        raise ArgumentError(
            f"schedule.{what}: needs validation metrics, but there are no validation samples; set data.validation"
        )

    def value(self, key: str) -> Any:
        """Returns a setting by its table and name, such as 'data.root'."""
        table, _, name = key.partition(".") if isinstance(key, str) else ("", "", "")
        (name,) = _under_present_names(table, {name: None})
        if name not in vars(getattr(self, table, None) or object):
            raise ArgumentError(f"key: {_checks.shortened(key)}, expected a table and a name, such as 'data.root'")
        return getattr(getattr(self, table), name)

    def as_dict(self) -> dict[str, Any]:
        """Returns the tables as dictionaries of plain values."""
        return dataclasses.asdict(self)


#: The tables of a configuration, with the classes of those whose keys are defined here.
_TABLES: dict[str, type | None] = {
    **dict.fromkeys(("model", "step", "extractor")),
    "data": DataConfig,
    "schedule": ScheduleConfig,
    "run": RunConfig,
}


def read_toml(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Reads the tables of a TOML file."""
    with _checks.opened(path, "path") as file:
        data = file.read()
    try:
        return tomllib.loads(data.decode())
    except (ValueError, RecursionError) as error:
        raise ArgumentError(f"path: {os.fspath(path)}: invalid TOML: {error}") from error


def recipes() -> dict[str, str]:
    """Returns the bundled recipes: one sentence of description by name."""
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
            f"recipe: {name!r}, no such recipe{hint(name, all_recipes)}; available: {', '.join(all_recipes)}"
        )
    return read_toml(_RECIPES / f"{name}.toml")


def with_changes(tables: Mapping[str, Any], changes: Iterable[str]) -> dict[str, Any]:
    """Returns the tables after the overrides 'table.key=value'; values are TOML, but text needs no quotes."""
    for name in tables:
        _check_table(name)
    result = {
        name: _under_present_names(name, table) if isinstance(table, Mapping) else table
        for name, table in tables.items()
    }
    for change in _checks.several(changes, "changes", "a list of texts"):
        key, sign, text = change.partition("=") if isinstance(change, str) else ("", "", "")
        table, dot, name = key.strip().partition(".")
        if not (sign and dot and table and name):
            raise ArgumentError(f"changes: {change!r}, expected table.key=value, such as run.batch=8")
        _check_table(table)
        try:
            value = tomllib.loads(f"value = {text.strip()}")["value"]
        except (ValueError, RecursionError):
            value = text.strip()
        result.setdefault(table, {}).update(_under_present_names(table, {name: value}))
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


def _under_present_names(table: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the values of a table by the present names of its keys, and warns of former ones."""
    former = FORMER.get(f"{getattr(_TABLES.get(table), '__name__', table)}.__init__", {})
    return under_present_names(former, values, within=f"{table}.")


def _check_table(name: str) -> None:
    if name not in _TABLES:
        raise ArgumentError(f"tables: {name!r}, no such table{hint(name, _TABLES)}; expected {', '.join(_TABLES)}")


def _filled(kind: Any, table: str, values: Mapping[str, Any]) -> Any:
    names, values = [one.name for one in dataclasses.fields(kind)], _under_present_names(table, values)
    for key in values:
        if key not in names:
            raise ArgumentError(f"{table}.{key}: no such key{hint(key, names)}; {table} has {', '.join(names)}")
    try:
        return kind(**{key: tuple(value) if isinstance(value, list) else value for key, value in values.items()})
    except DTypeError as error:  # a text of the wrong kind is a wrong setting
        raise ArgumentError(f"{table}.{error}") from None
    except ArgumentError as error:
        raise error.within(f"{table}.") from None


#: The path settings of [data]: they may change between parts of a run; the samples found there are compared instead.
_PATHS = ("root", "annotations", "boxes", "validation_annotations", "validation_boxes")


#: The settings of [run] and [schedule] that affect the result of a run of a given length.
_RESULT_SETTINGS = {
    "run": ("seed", "batch", "accumulate", "ema", "best_by"),
    "schedule": ("shape", "drop_factor", "patience"),
}


def digest(config: TrainConfig) -> str:
    """Returns the settings that must not change on resuming: not the length, the logging or the paths of files.

    `Run` compares the samples by their names and an extractor by its weights.
    """
    tables = config.as_dict()
    settled = {name: tables[name] for name in ("model", "step", "extractor", "data")}
    settled |= {table: {key: tables[table][key] for key in keys} for table, keys in _RESULT_SETTINGS.items()}
    for name in ("workers", "largest_bad", "enlarge", *_PATHS):
        settled["data"].pop(name)
    if isinstance(config.data.validation, str):
        settled["data"]["validation"] = "a folder"
    settled["extractor"].pop("weights", None)
    return json.dumps(settled, sort_keys=True)


def differences(before: str, config: TrainConfig) -> str:
    """Describes up to three settings that differ from those of a digest, with both values; '' if all are equal.

    A setting that is missing in the digest of an earlier version is taken as the present default.
    """
    defaults = json.loads(digest(TrainConfig(model=config.model, schedule=ScheduleConfig(steps=1))))
    first, second = json.loads(before), json.loads(digest(config))
    for table in ("data", *_RESULT_SETTINGS):
        with _warnings.quiet(DeprecationWarning):  # the run that was begun is not told of its old names
            first[table] = {**defaults[table], **_under_present_names(table, first.get(table, {}))}
    changes = [
        f"{table}.{key} was {first.get(table, {}).get(key)!r} and is {second[table].get(key)!r}"
        for table in sorted(second, key=lambda table: table != "model")  # a different network matters most
        for key in sorted({*first.get(table, {}), *second[table]})
        if first.get(table, {}).get(key) != second[table].get(key)
    ]
    return "; ".join(changes[:3])
