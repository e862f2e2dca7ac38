"""A training run: steps, evaluations, checkpoints and a log, in one process or in several that torchrun started."""

from __future__ import annotations

import atexit
import copy
import dataclasses
import hashlib
import json
import logging
import math
import os
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .. import _install, models
from .._warnings import warn
from ..data import Crops, Dataset, Pasted, Subset, Synthesis
from ..errors import ArgumentError, DeviceError, ShapeError, WeightsError
from ..models import Adversarial, Model
from . import _checkpoint, precision, steps
from ._batches import TensorSamples, UsableSamples, order, repeated
from ._callbacks import Callbacks
from ._checkpoint import Checkpoint
from ._config import ScheduleConfig, TrainConfig, differences, digest, in_table
from ._evaluate import LossMeter, better, evaluate, on_sheet
from ._log import Log, check_loggers
from ._results import Plan, Progress, TrainResult
from ._samples import check_bad, why_bad
from .steps._step import networks_of, settings_of, step_of

_LOG = logging.getLogger(__name__)
#: The number of seconds after which a run reports its progress, whatever `run.log_steps` is.
_PROGRESS_SECONDS = 10.0
_UNTIMED = 2  # the number of first steps of a plan that are not timed
_TIMED = 8  # the largest number of steps of a plan that are timed
_TIMED_SECONDS = 20.0  # a plan makes no more steps after this many seconds
#: The number of samples that could not be read that the last warning names.
_NAMED = 10


class Processes:
    """The processes of a run, managed by Lightning Fabric: one, or those that torchrun started."""

    def __init__(self, device: str | None) -> None:
        if device == "cuda" and not torch.cuda.is_available():
            raise DeviceError("device: 'cuda', and torch finds no GPU")
        try:
            from lightning_fabric import Fabric
        except ModuleNotFoundError as error:
            raise ImportError(f"{error.name} is missing, training needs it: {_install.hint('train')}") from error
        self.world = int(os.environ.get("WORLD_SIZE", "1"))
        local = int(os.environ.get("LOCAL_WORLD_SIZE", str(self.world)))
        accelerator = "auto" if device is None else device
        self.fabric: Any = Fabric(
            accelerator=accelerator,
            devices=local if self.world > 1 else 1,
            num_nodes=max(1, self.world // local),
            strategy="ddp" if self.world > 1 else "auto",
        )
        self.fabric.launch()
        if self.world > 1:
            atexit.register(_leave)
        self.device: torch.device = self.fabric.device
        self.rank: int = self.fabric.global_rank

    @property
    def first(self) -> bool:
        return self.rank == 0

    def mean(self, tensors: list[Tensor]) -> None:
        """Replaces each tensor by its mean over all processes, in place, in one message."""
        if self.world == 1 or not tensors:
            return
        flat = torch.cat([t.reshape(-1).float() for t in tensors])
        flat = self.fabric.all_reduce(flat, reduce_op="mean")
        for tensor, part in zip(tensors, flat.split([t.numel() for t in tensors])):
            tensor.copy_(part.view_as(tensor))

    def largest(self, *values: float) -> list[float]:
        """Returns the largest of each value in any process."""
        if self.world == 1:
            return list(values)
        maxima = self.fabric.all_reduce(torch.tensor(values, dtype=torch.float64, device=self.device), reduce_op="max")
        return [float(value) for value in maxima]

    def of_all(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Gathers the tensors of every process on the CPU, by `process/name`; names and shapes must be equal in all."""
        if self.world == 1:
            return {f"0/{name}": x for name, x in tensors.items()}
        by_rank = {}
        for name, x in tensors.items():
            every = self.fabric.all_gather(x.to(self.device)).cpu()
            by_rank.update({f"{rank}/{name}": every[rank] for rank in range(self.world)})
        return by_rank

    def barrier(self) -> None:
        if self.world > 1:
            self.fabric.barrier()


def _leave() -> None:
    """Leaves the group of processes: gloo's threads, if they still run when the interpreter ends, abort the process."""
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


class Interruption:
    """Notes a Ctrl-C or a SIGTERM, so that the step under way ends and the run is saved; a second Ctrl-C ends it."""

    def __init__(self) -> None:
        self.pending = False

    @contextmanager
    def watched(self) -> Iterator[Interruption]:
        if threading.current_thread() is not threading.main_thread():
            yield self
            return
        before = {number: signal.signal(number, self._note) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield self
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _note(self, number: int, frame: Any) -> None:
        if self.pending and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.pending = True


@dataclass
class _Watch:
    """The state that a run keeps from step to step and that no checkpoint holds."""

    saved_step: int
    skipped: int
    evaluated_step: int = -1
    skips: int = 0
    images: int = 0
    logged: tuple[int, float] = (0, 0.0)
    is_stopped: bool = False
    began: float = dataclasses.field(default_factory=time.monotonic)
    before: float = dataclasses.field(default_factory=time.monotonic)
    told_at: float = dataclasses.field(default_factory=time.monotonic)
    saved_at: float = dataclasses.field(default_factory=time.monotonic)


def rate_factor(schedule: ScheduleConfig, share: float, count: int, plateaus: int = 0) -> float:
    """Returns the learning rates' factor when this share of the run is over, `count` steps and some plateaus."""
    factor = 1.0
    if schedule.shape in ("linear", "cosine") and schedule.decay and share > 1 - schedule.decay:
        left = max(0.0, (1 - share) / schedule.decay)
        factor = left if schedule.shape == "linear" else (1 - math.cos(math.pi * left)) / 2
    factor *= schedule.drop_factor ** (plateaus + sum(share >= drop for drop in schedule.drops))
    return factor * min(1.0, (count + 1) / schedule.warm_up) if schedule.warm_up else factor


class Run:
    """One training run, in the folder `out`.

    It is made before its samples are opened, so that a setting that is wrong is told first; `take` gives it these.

    Args:
        config: the configuration of the run.
        out: the folder for everything that the run writes.
        device: 'cpu', 'cuda'; None: a GPU where there is one.
        callbacks: what is called on the way; `on_progress` after each logged step, and after a step that ends ten
            seconds or more after the last call.
    """

    def __init__(
        self,
        config: TrainConfig,
        out: Path,
        *,
        device: str | None = None,
        callbacks: Callbacks | None = None,
    ) -> None:
        self.config, self.out = config, out
        self.log: Log | None = None
        check_loggers(config.run.loggers)
        self.processes = Processes(device)
        self.callbacks = callbacks if callbacks is not None and self.processes.first else Callbacks()
        run = config.run
        if run.threads:
            torch.set_num_threads(run.threads)
        torch.manual_seed(run.seed)
        model_settings = dict(config.model)
        with in_table("model"):
            self.model = models.create(model_settings.pop("name"), model_settings.pop("preset", None), **model_settings)
        self.model.to(self.processes.device)
        # The weights are the same in every process; dropout and noise differ.
        torch.manual_seed(run.seed + 1 + self.processes.rank)
        settings = dict(config.step)
        preset = settings.pop("preset", None)
        of_model = step_of(self.model)
        with in_table("step"):
            settings_of(of_model, settings, preset)
        extractor = _extractor(config.extractor)
        if extractor is not None:
            extractor.to(self.processes.device)
        self.step = steps.create(self.model, preset, extractor=extractor, **settings)
        self._auto = config.step.get("dtype") == "auto"
        if self._auto:
            self._record_dtype()
        self.step.accumulate = run.accumulate
        if self.processes.world > 1:
            self.step.reduce = self.processes.mean
        self.ema = copy.deepcopy(self.model).eval().requires_grad_(False) if run.ema else None
        self.scale = int(getattr(self.model.config, "scale", 1))
        self.epoch = self.position = 0
        self.replaced = 0
        self.bad: dict[str, str] = {}
        self.seconds = 0.0
        self._left_out = False
        self.best: dict[str, float] = {}
        self.figures: dict[str, float] = {}
        #: The evaluations in a row that were no better than the best, and how often these made a plateau.
        self.stale = self.plateaus = 0
        self._captured: steps.CapturedStep | None = None
        if run.capture and (run.accumulate > 1 or self.processes.world > 1):
            raise ArgumentError("run.capture: goes with one process and run.accumulate=1")

    def take(self, training: Dataset, validation: Dataset, bad: Mapping[str, str] | None = None) -> None:
        """Gives the run its samples.

        Args:
            training, validation: the samples; validation may be empty.
            bad: the names of samples that were left out because they cannot be read, with the reason.
        """
        self.config.check_figures(len(validation) > 0)
        run, batch = self.config.run, self.config.run.batch * self.processes.world
        there = f"data.root: {len(training)} samples to train on and {len(validation)} held back"
        if len(training) < batch:
            raise ArgumentError(f"{there}; the first are fewer than a batch of {batch}; a smaller run.batch may do")
        if len(training) < batch * run.accumulate:
            raise ArgumentError(f"{there}; the first are fewer than run.accumulate={run.accumulate} batches of {batch}")
        if self.config.data.validation and not len(validation) and self.processes.first:
            warn(
                f"data.validation: {self.config.data.validation!r} holds back none of {len(training)} samples: there "
                "are no figures, and best.safetensors has the weights of the end"
            )
        self.training, self.validation = training, validation
        self.bad.update(bad or {})

    def _record_dtype(self) -> None:
        """Puts the dtype that the step chose into the configuration, which goes into the run's folder."""
        step = {**self.config.step, "dtype": self.step.settings.dtype}
        self.config = dataclasses.replace(self.config, step=step)

    # ---- checkpoints ----

    @property
    def checkpoints(self) -> Path:
        return self.out / "checkpoints"

    def save(self, watch: _Watch) -> None:
        random = self.processes.of_all(_checkpoint.random_states(self.processes.device))
        if self.processes.first:
            facts = {
                "count": self.step.count,
                "epoch": self.epoch,
                "position": self.position,
                "seconds": self.seconds,
                "best": self.best,
                "figures": self.figures,
                "skipped": int(self.step.skipped),
                "replaced": self.replaced,
                "bad": self.bad,
                "stale": self.stale,
                "plateaus": self.plateaus,
                "world": self.processes.world,
                "digest": digest(self.config),
                "samples": self._samples(),
                "extractor": self._extractor_checksum(),
            }
            checkpoint = Checkpoint(self.model, self.ema, self.step.state_dict(), random, facts)
            path = _checkpoint.write(self.checkpoints, self.step.count, checkpoint, self.config.run.keep)
            self.callbacks.tell("on_checkpoint", path)
        self.processes.barrier()
        watch.saved_step, watch.saved_at = self.step.count, time.monotonic()

    def start_from(self, source: str) -> None:
        """Takes the weights that a new run starts from, see `RunConfig.start`."""
        try:
            weights = models.load(source)
            for model in (self.model, self.ema):
                if model is not None:
                    model.start_from(weights)
        except WeightsError as error:
            raise WeightsError(f"run.start: {str(error).removeprefix('start: ')}") from error

    def resume(self, path: Path) -> None:
        """Goes on from a checkpoint; with another number of processes, with the unseen samples of the epoch."""
        checkpoint = _checkpoint.read(path)
        if self._auto:
            # A run that was begun on another machine goes on in the dtype that was chosen there.
            dtype = json.loads(checkpoint.facts["digest"])["step"].get("dtype", "float32")
            self.step.settings = dataclasses.replace(self.step.settings, dtype=dtype)
            self._record_dtype()
        if what := differences(checkpoint.facts["digest"], self.config):
            raise ArgumentError(f"resume: {path} is of a run with other settings: {what}")
        if checkpoint.facts["samples"] != self._samples():
            (before, held_before, _), (now, held_now, _) = checkpoint.facts["samples"], self._samples()
            raise ArgumentError(
                f"data.root: not the samples of {path}: it has {before} to train on and {held_before} held back, "
                f"here are {now} and {held_now}{', of other names' if (before, held_before) == (now, held_now) else ''}"
            )
        if checkpoint.facts["extractor"] != self._extractor_checksum():
            raise ArgumentError(f"extractor.weights: not those of {path}")
        self.model.load_state_dict(checkpoint.model.state_dict())
        if self.ema is not None and checkpoint.ema is not None:
            self.ema.load_state_dict(checkpoint.ema.state_dict())
        self.step.load_state_dict(checkpoint.optimizers)
        self.epoch, self.position = checkpoint.facts["epoch"], checkpoint.facts["position"]
        if checkpoint.facts["world"] != self.processes.world:
            whole = self.processes.world * self.config.run.accumulate
            self.position = self.position * checkpoint.facts["world"] // whole * self.config.run.accumulate
        self.seconds = checkpoint.facts["seconds"]
        self.best, self.figures = checkpoint.facts["best"], checkpoint.facts["figures"]
        self.step.skipped.fill_(checkpoint.facts["skipped"])
        self.replaced = checkpoint.facts.get("replaced", 0)
        self.bad = {**checkpoint.facts.get("bad", {}), **self.bad}
        self.stale, self.plateaus = checkpoint.facts.get("stale", 0), checkpoint.facts.get("plateaus", 0)
        _checkpoint.set_random_states(checkpoint.random, self.processes.rank, self.processes.device)

    def _samples(self) -> list[Any]:
        """Returns the numbers of samples to train on and held back, and the SHA-256 of their names without folders."""
        names = hashlib.sha256()
        for part in (self.training, self.validation):
            for name in part.names:
                names.update(name.encode("utf-8", "surrogateescape") + b"\0")
            names.update(b"\0")
        return [len(self.training), len(self.validation), names.hexdigest()]

    def _extractor_checksum(self) -> str:
        """Returns the SHA-256 of the extractor's weights; '' where there is none."""
        extractor = self.step.extractor
        if extractor is None:
            return ""
        digest = hashlib.sha256()
        for name, x in extractor.state_dict().items():
            digest.update(name.encode() + x.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
        return digest.hexdigest()

    # ---- the run ----

    def steps_per_epoch(self) -> int:
        whole = self.config.run.batch * self.processes.world * self.config.run.accumulate
        return max(1, len(self.training) // whole) * self.config.data.repeats

    def total(self) -> int | None:
        schedule = self.config.schedule
        limits = [schedule.steps] if schedule.steps else []
        if schedule.epochs:
            limits.append(schedule.epochs * self.steps_per_epoch())
        return min(limits) if limits else None

    def _share(self) -> float:
        """Returns the share of the run that is over."""
        total, minutes = self.total(), self.config.schedule.minutes
        shares = [self.step.count / total] if total else []
        if minutes:
            shares.append(self.seconds / (60 * minutes))
        return max(shares)

    def _stops_early(self) -> bool:
        """Returns whether so many evaluations were no better that the run ends before its time."""
        return 0 < self.config.schedule.stop_after <= self.stale and self._share() < 1

    def run(self) -> TrainResult:
        """Runs to the end, or until the run is interrupted."""
        log = self.log = Log(self.out, self.config, self.step.count) if self.processes.first else None
        dtype = self.step.settings.dtype
        _LOG.info("networks are trained in %s", dtype)
        if dtype == "bfloat16" and precision.fast_dtype(self.processes.device.type) != dtype:
            _LOG.warning(
                "step.dtype: bfloat16, for which the %s has no instructions; a step takes several times as long as in "
                "float32",
                "CPU" if self.processes.device.type == "cpu" else "GPU",
            )
        if dtype == "float16" and self.processes.device.type == "cpu":
            _LOG.warning("step.dtype: float16, in which a step takes several times as long on a CPU as in float32")
        if log is not None and self.step.count == 0:
            log.graph(self.model)
            for name, why in self.bad.items():
                log.entry("bad", 0, {"name": name, "message": why})
        interruption = Interruption()
        try:
            self.callbacks.tell("on_start", self)
            self.callbacks.raise_error()
            watch = _Watch(self.step.count, int(self.step.skipped), logged=(0, self.seconds))
            with interruption.watched():
                while self._share() < 1 and not watch.is_stopped and not self._stops_early():
                    for batch in self._epoch():
                        losses = self._one(batch)
                        self.position += 1
                        now = time.monotonic()
                        self.seconds, watch.before = self.seconds + now - watch.before, now
                        watch.images += self.config.run.batch * self.processes.world
                        if self.step.whole:
                            self._after(losses, log, watch, interruption)
                        if watch.is_stopped or self._share() >= 1 or self._stops_early():
                            break
                    else:
                        self.epoch, self.position = self.epoch + 1, 0
                        if not self.config.run.evaluate_steps:
                            self.evaluate(log, watch)
                if watch.evaluated_step != self.step.count and not watch.is_stopped:
                    self.evaluate(log, watch, counts=False)
                if watch.saved_step != self.step.count or not self.checkpoints.is_dir():
                    self.save(watch)
                final = self.ema if self.ema is not None else self.model
                if self.processes.first:
                    _save_part(final, self.out / "last.safetensors")
                    if not self.best:
                        _save_part(final, self.out / "best.safetensors")
                self.processes.barrier()
            self.callbacks.raise_error()
        finally:
            if log is not None:
                log.close()
        early = self._stops_early() and not watch.is_stopped
        short = "" if watch.is_stopped or early else self._too_short()
        if short and self.processes.first:
            warn(short)
        if self.bad and self.processes.first:
            some = list(self.bad)[:_NAMED]
            more = f" and {len(self.bad) - len(some):,} others" if len(self.bad) > len(some) else ""
            warn(f"{len(self.bad):,} samples could not be read and were left out: {', '.join(some)}{more}")
        if self.replaced and self.processes.first:
            size = self.config.data.size
            warn(
                f"another sample stood in {self.replaced:,} times for one whose object has no pixel at {size} x "
                f"{size}; `pyharmony data check --size {size}` names such samples"
            )
        result = TrainResult(
            model=final.eval(),
            steps=self.step.count,
            figures=dict(self.figures),
            best=dict(self.best),
            skipped=int(self.step.skipped),
            interrupted=watch.is_stopped,
            stopped_early=early,
            folder=self.out,
            seconds=self.seconds,
            short=short,
            dtype=dtype,
            replaced=self.replaced,
            bad=tuple(self.bad),
        )
        self.callbacks.tell("on_end", result)
        self.callbacks.raise_error()
        return result

    def plan(self) -> Plan:
        """Makes a few steps to see how fast they are; the run is of no use afterwards, and nothing is written."""
        images, times = self.config.run.batch * self.processes.world, list[float]()
        before = time.monotonic()
        while len(times) < _UNTIMED + _TIMED:
            for batch in self._epoch():
                self._one(batch)
                if self.processes.device.type == "cuda":
                    torch.cuda.synchronize(self.processes.device)
                now = time.monotonic()
                times.append(now - before)
                before = now
                enough = len(times) > _UNTIMED and sum(times) > _TIMED_SECONDS
                if enough or len(times) == _UNTIMED + _TIMED:
                    break
            else:
                self.epoch += 1
                continue
            break
        measured = times[_UNTIMED:]
        rate = images * len(measured) / max(sum(measured), 1e-9)
        a_step = images * self.config.run.accumulate / rate
        total, limit = self.total(), 60 * self.config.schedule.minutes
        steps_ = total if not limit else int(limit / a_step) if total is None else min(total, int(limit / a_step))
        return Plan(
            training=len(self.training),
            validation=len(self.validation),
            parameters={
                name: sum(p.numel() for p in part.parameters()) for name, part in networks_of(self.model).items()
            },
            steps_per_epoch=self.steps_per_epoch(),
            steps=int(steps_ or 0),
            rate=rate,
            measured=len(measured),
            seconds=int(steps_ or 0) * a_step,
            dtype=self.step.settings.dtype,
            device=self.processes.device.type,
        )

    def _too_short(self) -> str:
        """Returns why the run was far too short, or ''."""
        schedule, count = self.config.schedule, self.step.count
        reasons = []
        if 3 * count < schedule.expected_steps:
            reasons.append(f"of about {schedule.expected_steps:,} that are expected")
        if count < schedule.warm_up:
            reasons.append(f"inside the warm-up of {schedule.warm_up:,}")
        if not reasons:
            return ""
        longer = "schedule.minutes" if schedule.minutes else "schedule.steps" if schedule.steps else "schedule.epochs"
        return f"hardly trained: {count:,} steps {', '.join(reasons)}; a larger {longer} makes more"

    def _after(self, losses: dict[str, Tensor], log: Log | None, watch: _Watch, interruption: Interruption) -> None:
        """Does what follows an update: the average, the log, and evaluations and checkpoints that are due."""
        run, count = self.config.run, self.step.count
        if self.ema is not None:
            self._average(self.ema)
        if count % run.log_steps == 0 or count == 1 or self._share() >= 1:
            skipped = int(self.step.skipped)
            watch.skips = watch.skips + skipped - watch.skipped if skipped > watch.skipped else 0
            watch.skipped = skipped
            if log is not None:
                values = {name: float(loss) for name, loss in losses.items()}
                log.scalars("loss", count, {**values, "skipped": skipped, "replaced": self.replaced})
                self._log_observed(log, watch)
            self._tell(losses, watch)
            if watch.skips >= run.largest_skips:
                raise ArgumentError(
                    f"run: {watch.skips} updates were not finite up to step {count}",
                    code="not-finite",
                    hint="a smaller step.lr, or step.dtype='float32', may help",
                )
        elif time.monotonic() - watch.told_at >= _PROGRESS_SECONDS:
            self._tell(losses, watch)
        if self.callbacks.every_step:
            self.callbacks.tell("on_step", self._progress(losses, watch))
        if run.evaluate_steps and count % run.evaluate_steps == 0:
            self.evaluate(log, watch)
        late = bool(run.checkpoint_minutes) and time.monotonic() - watch.saved_at > 60 * run.checkpoint_minutes
        due = bool(run.checkpoint_steps) and count % run.checkpoint_steps == 0
        # All processes follow the slowest clock, and stop when any of them was asked to stop.
        stop_requested = interruption.pending or self.callbacks.error is not None
        stops, late_, self.seconds = self.processes.largest(stop_requested, late, self.seconds)
        watch.is_stopped, late = bool(stops), bool(late_)
        if (due or late) and not watch.is_stopped:
            self.save(watch)

    def _log_observed(self, log: Log, watch: _Watch) -> None:
        """Logs what the step has observed, the learning rates, and the images a second since the last time."""
        count, observed = self.step.count, self.step.observed
        kinds: dict[str, dict[str, float]] = {}
        values = torch.stack(list(observed.values())).tolist() if observed else []  # the host waits once
        for key, value in zip(observed, values, strict=True):
            kind, name = key.split("/", 1)
            kinds.setdefault(kind, {})[name] = value
        optimizers = self.step.optimizers.items()
        kinds["learning_rate"] = {name: float(optimizer.param_groups[0]["lr"]) for name, optimizer in optimizers}
        images, seconds = watch.logged
        if self.seconds > seconds:
            kinds["speed"] = {"images_per_second": (watch.images - images) / (self.seconds - seconds)}
        watch.logged = watch.images, self.seconds
        for kind, scalars in kinds.items():
            log.scalars(kind, count, scalars)

    def _tell(self, losses: dict[str, Tensor], watch: _Watch) -> None:
        watch.told_at = time.monotonic()
        if self.processes.first:
            self.callbacks.tell_progress(self._progress(losses, watch))

    def _progress(self, losses: dict[str, Tensor], watch: _Watch) -> Progress:
        share, spent = self._share(), time.monotonic() - watch.began
        return Progress(
            count=self.step.count,
            total=self.total(),
            epoch=self.epoch,
            share=min(1.0, share),
            rate=watch.images / spent if spent > 0 else 0.0,
            seconds=self.seconds,
            left=self.seconds * (1 - share) / share if 0 < share <= 1 else None,
            losses={name: float(loss) for name, loss in losses.items()},
            figures=dict(self.figures),
        )

    def _prepared(self, dataset: Dataset, *, also: tuple[str, ...] = (), **changes: Any) -> TensorSamples:
        inputs, settings = (*self.step.inputs, *self.step.optional, *also), self.config.data
        changes["skip_bad"] = settings.skip_bad
        return TensorSamples(dataset, inputs, settings.size, self.step.low, scale=self.scale, **changes)

    def _to_measure(self, dataset: Dataset) -> TensorSamples:
        """Returns samples as an evaluation takes them: with a mask where a network blends and does not see it."""
        return self._prepared(dataset, also=("mask",) if self.model.task == "blend" else ())

    def _note_bad(self, name: str, why: str) -> None:
        """Notes a sample that cannot be read, once."""
        if name in self.bad:
            return
        self.bad[name] = why
        check_bad(self.bad, self.config)
        if self.log is not None:
            self.log.entry("bad", self.step.count, {"name": name, "message": why})

    def _epoch(self) -> Iterator[dict[str, Tensor]]:
        """Yields the batches that are left of the epoch."""
        config, processes = self.config, self.processes
        training = self.training
        if isinstance(training, (Crops, Pasted, Synthesis)):
            training = training.at_epoch(self.epoch)
        prepared = self._prepared(
            training, crop=config.data.crop, flip=config.data.flip, seed=(config.run.seed, self.epoch)
        )
        batch_indices = order(
            len(self.training), config.run.batch, config.run.seed, self.epoch, processes.rank, processes.world
        )
        accumulate = config.run.accumulate
        whole = len(batch_indices) - len(batch_indices) % accumulate
        cuda = processes.device.type == "cuda"
        for batch in repeated(
            UsableSamples(prepared),
            batch_indices[:whole],
            config.data.workers,
            config.data.repeats,
            start=self.position,
            seed=(config.run.seed, self.epoch, processes.rank),
            pin=cuda,
        ):
            self.replaced += int(batch.pop("replaced").sum())
            for index in batch.pop("bad").flatten().tolist():
                if index >= 0:
                    self._note_bad(self.training.names[index], why_bad(self.training, index))
            yield {name: x.to(processes.device, non_blocking=cuda) for name, x in batch.items()}

    def _one(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        schedule = self.config.schedule
        if self.step.whole:
            self.step.scale_lr(rate_factor(schedule, self._share(), self.step.count, self.plateaus))
        if self.config.run.capture:
            if self._captured is None:
                self._captured = self.step.capture(batch)
            losses = self._captured(batch)
        else:
            try:
                losses = self.step(batch)
            except ShapeError as error:
                raise ShapeError(
                    f"data.size: {self.config.data.size}, which the network does not take: {error}"
                ) from error
        if self.processes.world > 1:
            self.processes.mean([b for b in self.model.buffers() if b.is_floating_point()])
        return losses

    @torch.no_grad()
    def _average(self, ema: Model) -> None:
        # In the first steps the average follows closely, so that the random start is soon forgotten.
        decay = min(self.config.run.ema, (1 + self.step.count) / (10 + self.step.count))
        torch._foreach_lerp_(list(ema.parameters()), [p.detach() for p in self.model.parameters()], 1 - decay)
        for (name, average), buffer in zip(ema.named_buffers(), self.model.buffers()):
            # Statistics of batch norms are averaged too: those of the last batches are noisy, and of other weights.
            if name.endswith(("running_mean", "running_var")):
                average.lerp_(buffer, 1 - decay)
            else:
                average.copy_(buffer)

    def evaluate(self, log: Log | None, watch: _Watch, *, counts: bool = True) -> None:
        """Computes figures over the validation samples and saves the best weights separately.

        counts: whether it is one of the evaluations at regular intervals, by which plateaus are noticed.
        """
        watch.evaluated_step = self.step.count
        if len(self.validation):
            if self.processes.first:
                model = self.ema if self.ema is not None else self.model
                held_back = self._to_measure(self.validation)
                loss_meter = LossMeter(self.step, len(held_back))
                self.figures, sheet = evaluate(model, held_back, loss_meter)
                for index, why in held_back.bad.items():
                    self._note_bad(self.validation.names[index], why)
                if held_back.left_out and not self._left_out:
                    self._left_out = True
                    size = self.config.data.size
                    warn(
                        f"{held_back.left_out:,} of the {len(held_back):,} samples held back are left out: their "
                        f"objects have no pixel at {size} x {size}"
                    )
                if self.figures and better(model, self.figures, self.best, self.config.run.best_by):
                    self.best = {**self.figures, "step": float(self.step.count)}
                    _save_part(model, self.out / "best.safetensors")
                self.callbacks.tell("on_evaluation", dict(self.figures))
                if log is not None and self.figures:
                    log.scalars("validation", self.step.count, self.figures)
                    log.image("pictures", self.step.count, sheet)
                if log is not None and loss_meter.losses:
                    log.scalars("validation_loss", self.step.count, loss_meter.losses)
            if counts:
                self._count_evaluation()
        if log is not None and log.shows:
            self._show_training(log)
        self.processes.barrier()
        watch.before = time.monotonic()  # evaluations do not count as minutes of the run

    def _show_training(self, log: Log) -> None:
        """Logs images of some samples to train on, the same ones each time, uncropped, with what is made of them."""
        prepared = self._to_measure(Subset(self.training, sorted(on_sheet(len(self.training)))))
        figures, sheet = evaluate(self.ema if self.ema is not None else self.model, prepared)
        if figures:
            log.image("training_pictures", self.step.count, sheet)

    def _count_evaluation(self) -> None:
        """Counts the evaluations without a better figure, which the first process knows, and the plateaus."""
        schedule = self.config.schedule
        if self.processes.first:
            self.config.check_figures(bool(self.figures))
        # An evaluation that is made again after a run was resumed finds the best figures as its own.
        stale = 0 if self.best.get("step") == self.step.count else self.stale + 1
        self.stale = int(self.processes.largest(stale if self.processes.first else 0)[0])
        if schedule.shape == "plateau" and self.stale and self.stale % schedule.patience == 0:
            self.plateaus += 1


def _extractor(table: Mapping[str, Any]) -> Model | None:
    if not table:
        return None
    settings = dict(table)
    weights = settings.pop("weights", None)
    if weights is not None:
        if settings:
            raise ArgumentError(f"extractor.{next(iter(settings))}: given beside extractor.weights, which has its own")
        return models.load(weights)
    if "name" not in settings:
        raise ArgumentError("extractor: expected extractor.weights, or extractor.name")
    with in_table("extractor"):
        return models.create(settings.pop("name"), settings.pop("preset", None), **settings)


def _save_part(model: Model, path: Path) -> None:
    models.save(model, path, part="generator" if isinstance(model, Adversarial) else "all")
