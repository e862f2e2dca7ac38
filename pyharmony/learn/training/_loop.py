"""The training loop: steps, evaluations, checkpoints and logging, in one process or several started by torchrun."""

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

from ... import _install
from ..._header import named
from ..._warnings import warn
from ...errors import ArgumentError, DeviceError, ShapeError, WeightsError
from ...networks import models
from ...networks.models import Adversarial, Model
from ..data import Crops, Dataset, Pasted, Subset, Synthesis
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
#: The number of seconds after which a run reports its progress, regardless of `run.log_steps`.
_PROGRESS_SECONDS = 10.0
_UNTIMED = 2  # the number of warm-up steps of a plan, not timed
_TIMED = 8  # the largest number of steps of a plan that are timed
_TIMED_SECONDS = 20.0  # a plan stops after this many seconds
#: The largest number of unreadable samples named in the final warning.
_MAX_NAMED_SAMPLES = 10
#: The attributes of a run that its checkpoints contain under their names; earlier versions lacked some.
_STATE = ("epoch", "position", "seconds", "best", "figures", "replaced", "bad", "stale", "plateaus")


class Processes:
    """The processes of a run, managed by Lightning Fabric: one, or those started by torchrun."""

    def __init__(self, device: str | None) -> None:
        if device == "cuda" and not torch.cuda.is_available():
            raise DeviceError("device: 'cuda', but torch finds no GPU")
        try:
            from lightning_fabric import Fabric
        except ModuleNotFoundError as error:
            raise ImportError(f"{error.name} is missing; training needs it: {_install.hint('train')}") from error
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
        """Replaces each tensor in place by its mean over all processes, in one message."""
        if self.world == 1 or not tensors:
            return
        flat = torch.cat([t.reshape(-1).float() for t in tensors])
        flat = self.fabric.all_reduce(flat, reduce_op="mean")
        for tensor, part in zip(tensors, flat.split([t.numel() for t in tensors])):
            tensor.copy_(part.view_as(tensor))

    def largest(self, *values: float) -> list[float]:
        """Returns the maximum of each value over all processes."""
        if self.world == 1:
            return list(values)
        maxima = self.fabric.all_reduce(torch.tensor(values, dtype=torch.float64, device=self.device), reduce_op="max")
        return [float(value) for value in maxima]

    def of_all(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Gathers the tensors of all processes on the CPU, by `process/name`; names and shapes must be equal."""
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
    """Leaves the process group: threads of gloo still running at interpreter exit would abort the process."""
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


class Interruption:
    """Handles Ctrl-C and SIGTERM: finishes the current step and saves the run; a second Ctrl-C ends it at once."""

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
    """State of the training loop that checkpoints do not contain."""

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
    """Returns the learning rate factor after this share of the run, `count` steps and a number of plateaus."""
    factor = 1.0
    if schedule.shape in ("linear", "cosine") and schedule.decay and share > 1 - schedule.decay:
        left = max(0.0, (1 - share) / schedule.decay)
        factor = left if schedule.shape == "linear" else (1 - math.cos(math.pi * left)) / 2
    factor *= schedule.drop_factor ** (plateaus + sum(share >= drop for drop in schedule.drops))
    return factor * min(1.0, (count + 1) / schedule.warm_up) if schedule.warm_up else factor


class Run:
    """One training run, in the folder `out`.

    It is constructed before its samples are opened, so that wrong settings are reported first; see `set_samples`. The
    progress is reported after each logged step, and after a step that ends ten seconds or more after the last report.
    """

    def __init__(
        self, config: TrainConfig, out: Path, *, device: str | None = None, callbacks: Callbacks | None = None
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
        self.model = _created(dict(config.model), "model").to(self.processes.device)
        # The weights are the same in all processes; dropout and noise differ.
        torch.manual_seed(run.seed + 1 + self.processes.rank)
        settings = dict(config.step)
        preset = settings.pop("preset", None)
        of_model = step_of(self.model)
        with in_table("step"):
            settings_of(of_model, settings, preset)
        extractor = _extractor(config.extractor, self.processes.device)
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
        #: The number of consecutive evaluations without improvement, and of plateaus.
        self.stale = self.plateaus = 0
        self._captured: steps.CapturedStep | None = None
        if run.capture and (run.accumulate > 1 or self.processes.world > 1):
            raise ArgumentError("run.capture: accepted only with one process and run.accumulate=1")

    def set_samples(self, training: Dataset, validation: Dataset, bad: Mapping[str, str] | None = None) -> None:
        """Sets the samples; bad: the names of those skipped because they cannot be read, with the reason."""
        self.config.check_figures(len(validation) > 0)
        run, batch = self.config.run, self.config.run.batch * self.processes.world
        there = f"data.root: {len(training)} training and {len(validation)} validation samples"
        if len(training) < batch:
            raise ArgumentError(f"{there}; training needs a batch of {batch}; try a smaller run.batch")
        if len(training) < batch * run.accumulate:
            raise ArgumentError(f"{there}; training needs run.accumulate={run.accumulate} batches of {batch}")
        if self.config.data.validation and not len(validation) and self.processes.first:
            warn(
                f"data.validation: {self.config.data.validation!r} selects none of {len(training)} samples: there "
                "are no metrics, and best.safetensors contains the final weights"
            )
        self.training, self.validation = training, validation
        self.bad.update(bad or {})

    def _record_dtype(self) -> None:
        """Records the dtype that the step chose in the configuration, which is saved in the run's folder."""
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
                **{name: getattr(self, name) for name in _STATE},
                "skipped": int(self.step.skipped),
                "world": self.processes.world,
                "digest": digest(self.config),
                "samples": self._samples(),
                "extractor": self._extractor_checksum(),
            }
            checkpoint = Checkpoint(self.model, self.ema, self.step.state_dict(), random, facts)
            path = _checkpoint.write(self.checkpoints, self.step.count, checkpoint, self.config.run.keep)
            self.callbacks.notify("on_checkpoint", path)
        self.processes.barrier()
        watch.saved_step, watch.saved_at = self.step.count, time.monotonic()

    def start_from(self, source: str) -> None:
        """Loads the initial weights of a new run, see `RunConfig.start`."""
        try:
            weights = models.load(source)
            for model in (self.model, self.ema):
                if model is not None:
                    model.start_from(weights)
        except WeightsError as error:
            raise error.within("", "run.start") from error

    def resume(self, path: Path) -> None:
        """Resumes from a checkpoint; another number of processes continues with the epoch's unseen samples."""
        checkpoint = _checkpoint.read(path)
        if self._auto:
            # A run that was begun on another machine keeps the dtype chosen there.
            dtype = json.loads(checkpoint.facts["digest"])["step"].get("dtype", "float32")
            self.step.settings = dataclasses.replace(self.step.settings, dtype=dtype)
            self._record_dtype()
        if what := differences(checkpoint.facts["digest"], self.config):
            raise ArgumentError(f"resume: {path} is of a run with other settings: {what}")
        if checkpoint.facts["samples"] != self._samples():
            (before, held_before, _), (now, held_now, _) = checkpoint.facts["samples"], self._samples()
            raise ArgumentError(
                f"data.root: not the samples of {path}: it has {before} training and {held_before} validation samples, "
                f"given {now} and {held_now}{', with other names' if (before, held_before) == (now, held_now) else ''}"
            )
        if checkpoint.facts["extractor"] != self._extractor_checksum():
            raise ArgumentError(f"extractor.weights: not the same as in {path}")
        self.model.load_state_dict(checkpoint.model.state_dict())
        if self.ema is not None and checkpoint.ema is not None:
            self.ema.load_state_dict(checkpoint.ema.state_dict())
        self.step.load_state_dict(checkpoint.optimizers)
        bad = self.bad
        for name in _STATE:
            setattr(self, name, checkpoint.facts.get(name, getattr(self, name)))
        self.bad = {**self.bad, **bad}
        if checkpoint.facts["world"] != self.processes.world:
            whole = self.processes.world * self.config.run.accumulate
            self.position = self.position * checkpoint.facts["world"] // whole * self.config.run.accumulate
        self.step.skipped.fill_(checkpoint.facts["skipped"])
        _checkpoint.set_random_states(checkpoint.random, self.processes.rank, self.processes.device)

    def _samples(self) -> list[Any]:
        """Returns the numbers of training and validation samples, and the SHA-256 of their names without folders."""
        names = hashlib.sha256()
        for part in (self.training, self.validation):
            for name in part.names:
                names.update(name.encode("utf-8", "surrogateescape") + b"\0")
            names.update(b"\0")
        return [len(self.training), len(self.validation), names.hexdigest()]

    def _extractor_checksum(self) -> str:
        """Returns the SHA-256 of the extractor's weights, '' without an extractor."""
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
        limits = (schedule.steps, schedule.epochs * self.steps_per_epoch())
        return min((limit for limit in limits if limit), default=None)

    def _share(self) -> float:
        """Returns the finished share of the run."""
        total, minutes = self.total(), self.config.schedule.minutes
        shares = [self.step.count / total] if total else []
        if minutes:
            shares.append(self.seconds / (60 * minutes))
        return max(shares)

    def _stops_early(self) -> bool:
        """Returns whether the run ends early because evaluations did not improve."""
        return 0 < self.config.schedule.stop_after <= self.stale and self._share() < 1

    def run(self) -> TrainResult:
        """Trains until the end or an interruption."""
        log = self.log = Log(self.out, self.config, self.step.count) if self.processes.first else None
        dtype = self.step.settings.dtype
        _LOG.info("training in %s", dtype)
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
            self.callbacks.notify("on_start", self)
            self.callbacks.raise_error()
            watch = _Watch(self.step.count, int(self.step.skipped), logged=(0, self.seconds))
            with interruption.watched():
                while self._share() < 1 and not watch.is_stopped and not self._stops_early():
                    for batch in self._epoch():
                        losses = self._run_step(batch)
                        self.position += 1
                        now = time.monotonic()
                        self.seconds, watch.before = self.seconds + now - watch.before, now
                        watch.images += self.config.run.batch * self.processes.world
                        if self.step.whole:
                            self._after_update(losses, log, watch, interruption)
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
            some = list(self.bad)[:_MAX_NAMED_SAMPLES]
            more = f" and {len(self.bad) - len(some):,} others" if len(self.bad) > len(some) else ""
            warn(f"{len(self.bad):,} samples could not be read and were left out: {', '.join(some)}{more}")
        if self.replaced and self.processes.first:
            size = self.config.data.size
            warn(
                f"{self.replaced:,} samples whose object has no pixel at {size} x {size} were replaced by others; "
                f"`pyharmony data check --size {size}` lists such samples"
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
        self.callbacks.notify("on_end", result)
        self.callbacks.raise_error()
        return result

    def plan(self) -> Plan:
        """Measures the speed of a few steps; writes nothing, and the run cannot be used afterwards."""
        images, times = self.config.run.batch * self.processes.world, list[float]()
        before = time.monotonic()
        for batch in self._epochs():
            self._run_step(batch)
            if self.processes.device.type == "cuda":
                torch.cuda.synchronize(self.processes.device)
            now = time.monotonic()
            times.append(now - before)
            before = now
            enough = len(times) > _UNTIMED and sum(times) > _TIMED_SECONDS
            if enough or len(times) == _UNTIMED + _TIMED:
                break
        measured = times[_UNTIMED:]
        rate = images * len(measured) / max(sum(measured), 1e-9)
        a_step = images * self.config.run.accumulate / rate
        limit = 60 * self.config.schedule.minutes
        limits = [n for n in (self.total(), int(limit / a_step) if limit else None) if n is not None]
        count = min(limits, default=0)
        return Plan(
            training=len(self.training),
            validation=len(self.validation),
            parameters={
                name: sum(p.numel() for p in part.parameters()) for name, part in networks_of(self.model).items()
            },
            steps_per_epoch=self.steps_per_epoch(),
            steps=count,
            rate=rate,
            measured=len(measured),
            seconds=count * a_step,
            dtype=self.step.settings.dtype,
            device=self.processes.device.type,
        )

    def _too_short(self) -> str:
        """Describes why the run was far too short; '' if it was not."""
        schedule, count = self.config.schedule, self.step.count
        reasons = []
        if 3 * count < schedule.expected_steps:
            reasons.append(f"expected about {schedule.expected_steps:,}")
        if count < schedule.warm_up:
            reasons.append(f"inside the warm-up of {schedule.warm_up:,}")
        if not reasons:
            return ""
        longer = "schedule.minutes" if schedule.minutes else "schedule.steps" if schedule.steps else "schedule.epochs"
        return f"hardly trained: {count:,} steps, {', '.join(reasons)}; increase {longer}"

    def _after_update(
        self, losses: dict[str, Tensor], log: Log | None, watch: _Watch, interruption: Interruption
    ) -> None:
        """Updates the average and the log after an update; evaluates and saves a checkpoint if due."""
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
            self._report_progress(losses, watch)
            if watch.skips >= run.largest_skips:
                raise ArgumentError(
                    f"run: {watch.skips} updates were not finite up to step {count}",
                    code="not-finite",
                    hint="a smaller step.lr, or step.dtype='float32', may help",
                )
        elif time.monotonic() - watch.told_at >= _PROGRESS_SECONDS:
            self._report_progress(losses, watch)
        if self.callbacks.every_step:
            self.callbacks.notify("on_step", self._progress(losses, watch))
        if run.evaluate_steps and count % run.evaluate_steps == 0:
            self.evaluate(log, watch)
        late = bool(run.checkpoint_minutes) and time.monotonic() - watch.saved_at > 60 * run.checkpoint_minutes
        due = bool(run.checkpoint_steps) and count % run.checkpoint_steps == 0
        # All processes follow the slowest clock, and stop when any of them was interrupted.
        stop_requested = interruption.pending or self.callbacks.error is not None
        stops, late_, self.seconds = self.processes.largest(stop_requested, late, self.seconds)
        watch.is_stopped, late = bool(stops), bool(late_)
        if (due or late) and not watch.is_stopped:
            self.save(watch)

    def _log_observed(self, log: Log, watch: _Watch) -> None:
        """Logs the values observed by the step, the learning rates, and images per second since the last entry."""
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

    def _report_progress(self, losses: dict[str, Tensor], watch: _Watch) -> None:
        watch.told_at = time.monotonic()
        if self.processes.first:
            self.callbacks.report_progress(self._progress(losses, watch))

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

    def _evaluation_samples(self, dataset: Dataset) -> TensorSamples:
        """Returns samples for an evaluation: with masks for a blending network that does not use them."""
        return self._prepared(dataset, also=("mask",) if self.model.task == "blend" else ())

    def _note_bad(self, name: str, why: str) -> None:
        """Records a sample that cannot be read, once."""
        if name in self.bad:
            return
        self.bad[name] = why
        check_bad(self.bad, self.config)
        if self.log is not None:
            self.log.entry("bad", self.step.count, {"name": name, "message": why})

    def _epoch(self) -> Iterator[dict[str, Tensor]]:
        """Yields the remaining batches of the epoch."""
        config, processes, training = self.config, self.processes, self.training
        run = config.run
        if isinstance(training, (Crops, Pasted, Synthesis)):
            training = training.at_epoch(self.epoch)
        crop_share, flip, seed = config.data.crop_share, config.data.flip, (run.seed, self.epoch)
        prepared = self._prepared(training, crop_share=crop_share, flip=flip, seed=seed)
        batch_indices = order(len(training), run.batch, run.seed, self.epoch, processes.rank, processes.world)
        whole = len(batch_indices) - len(batch_indices) % run.accumulate
        cuda = processes.device.type == "cuda"
        for batch in repeated(
            UsableSamples(prepared),
            batch_indices[:whole],
            config.data.workers,
            config.data.repeats,
            start=self.position,
            seed=(run.seed, self.epoch, processes.rank),
            pin=cuda,
        ):
            self.replaced += int(batch.pop("replaced").sum())
            for index in batch.pop("bad").flatten().tolist():
                if index >= 0:
                    self._note_bad(self.training.names[index], why_bad(self.training, index))
            yield {name: x.to(processes.device, non_blocking=cuda) for name, x in batch.items()}

    def _epochs(self) -> Iterator[dict[str, Tensor]]:
        """Yields batches without end."""
        while True:
            yield from self._epoch()
            self.epoch += 1

    def _run_step(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
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
                raise ShapeError(f"data.size: {self.config.data.size}, not accepted by the network: {error}") from error
        if self.processes.world > 1:
            self.processes.mean([b for b in self.model.buffers() if b.is_floating_point()])
        return losses

    @torch.no_grad()
    def _average(self, ema: Model) -> None:
        # In the first steps the average follows closely, so that it soon forgets the random initial weights.
        decay = min(self.config.run.ema, (1 + self.step.count) / (10 + self.step.count))
        torch._foreach_lerp_(list(ema.parameters()), [p.detach() for p in self.model.parameters()], 1 - decay)
        for (name, average), buffer in zip(ema.named_buffers(), self.model.buffers()):
            # Batch norm statistics are averaged too: those of the last batches are noisy and of other weights.
            if name.endswith(("running_mean", "running_var")):
                average.lerp_(buffer, 1 - decay)
            else:
                average.copy_(buffer)

    def evaluate(self, log: Log | None, watch: _Watch, *, counts: bool = True) -> None:
        """Computes metrics over the validation samples and saves the best weights separately.

        counts: whether this is a regular evaluation, which counts for plateaus.
        """
        watch.evaluated_step = self.step.count
        if len(self.validation):
            if self.processes.first:
                model = self.ema if self.ema is not None else self.model
                held_back = self._evaluation_samples(self.validation)
                loss_meter = LossMeter(self.step, len(held_back))
                self.figures, sheet = evaluate(model, held_back, loss_meter)
                for index, why in held_back.bad.items():
                    self._note_bad(self.validation.names[index], why)
                if held_back.left_out and not self._left_out:
                    self._left_out = True
                    size = self.config.data.size
                    warn(
                        f"{held_back.left_out:,} of {len(held_back):,} validation samples are left out: their objects "
                        f"have no pixel at {size} x {size}"
                    )
                if self.figures and better(model, self.figures, self.best, self.config.run.best_by):
                    self.best = {**self.figures, "step": float(self.step.count)}
                    _save_part(model, self.out / "best.safetensors")
                self.callbacks.notify("on_evaluation", dict(self.figures))
                if log is not None and self.figures:
                    log.scalars("validation", self.step.count, self.figures)
                    log.image("pictures", self.step.count, sheet)
                if log is not None and loss_meter.losses:
                    log.scalars("validation_loss", self.step.count, loss_meter.losses)
            if counts:
                self._count_evaluation()
        if log is not None and log.shows:
            self._log_training_images(log)
        self.processes.barrier()
        watch.before = time.monotonic()  # evaluations do not count as minutes of the run

    def _log_training_images(self, log: Log) -> None:
        """Logs the outputs for some training samples, always the same and uncropped."""
        prepared = self._evaluation_samples(Subset(self.training, sorted(on_sheet(len(self.training)))))
        figures, sheet = evaluate(self.ema if self.ema is not None else self.model, prepared)
        if figures:
            log.image("training_pictures", self.step.count, sheet)

    def _count_evaluation(self) -> None:
        """Counts evaluations without improvement, known to the first process, and plateaus."""
        schedule = self.config.schedule
        if self.processes.first:
            self.config.check_figures(bool(self.figures))
        # An evaluation repeated after resuming compares equal to its own best metrics.
        stale = 0 if self.best.get("step") == self.step.count else self.stale + 1
        self.stale = int(self.processes.largest(stale if self.processes.first else 0)[0])
        if schedule.shape == "plateau" and self.stale and self.stale % schedule.patience == 0:
            self.plateaus += 1


def _extractor(table: Mapping[str, Any], device: torch.device) -> Model | None:
    if not table:
        return None
    settings = dict(table)
    weights = settings.pop("weights", None)
    if weights is not None:
        if settings:
            raise ArgumentError(f"extractor.{next(iter(settings))}: not accepted with extractor.weights")
        with named("extractor.weights"):
            return models.load(weights).to(device)
    if "name" not in settings:
        raise ArgumentError("extractor: expected extractor.weights, or extractor.name")
    return _created(settings, "extractor").to(device)


def _created(settings: dict[str, Any], table: str) -> Model:
    with in_table(table):
        return models.create(settings.pop("name"), settings.pop("preset", None), **settings)


def _save_part(model: Model, path: Path) -> None:
    models.save(model, path, part="generator" if isinstance(model, Adversarial) else "all")
