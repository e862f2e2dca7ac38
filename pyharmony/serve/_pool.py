"""The jobs and the worker processes: a bounded queue, workers that can be killed, and the state of each job."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import math
import os
import shutil
import signal
import sys
import time
from collections import Counter, OrderedDict, deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from ._answers import Error, JobInfo, Layer, Phase, Place, Refusal, Result, SegmentedMask, Status, moment
from ._bodies import Body
from ._history import joined_history
from ._metrics import Metrics
from ._operations import Operation
from ._queue import Queue
from ._store import Store, StoredPicture
from ._text import MAX_ANSWER
from ._tree import DISK_FULL, is_full, new_id
from .settings import Settings, cores

_log = logging.getLogger("pyharmony.serve")

MAX_JOBS = 1000  # the largest number of ended jobs that are stored
MAX_JOB_BYTES = 32_000_000  # the largest size of the results of ended jobs, in bytes
#: The number of images whose sessions a worker is assumed to cache.
_SHARED = 8
_START = 120.0  # the time within which the first worker must start, in seconds
_LONGEST_PAUSE = 5.0  # the longest pause before a worker is started again, in seconds
#: The number of starts of a worker before the service gives up its own start.
_TRIES = 2
#: The number of times that an export's clients are counted during the timeout after which it is stopped.
_CLIENT_COUNTS = 4
#: The longest time that a client is asked to wait, in seconds.
_LONGEST_RETRY = 60
#: The code of a worker. Modules are imported from this process's paths, not from the current folder.
_CODE = """
import json, sys
sys.path[:] = json.loads(sys.argv[1])
from pyharmony.serve._confinement import confine
confinement = confine(sys.argv[3], json.loads(sys.argv[2]))
from pyharmony.serve._worker import main
main(confinement)
"""


@dataclass(eq=False)
class Job:
    """A job.

    Attributes:
        user: the name of the user whom it belongs to.
        body_json: its body as JSON, until it is sent to a worker.
        hidden: whether it is internal; clients do not see it.
        shares: the image whose session it continues; empty: none.
        pictures: its input images, which are kept while it runs.
        phases: the phases that it has reached, in order.
        raw: the worker's result, for a hidden job.
        bytes: the size of the worker's message with the result.
        why: the reason why its worker is killed, if it is.
        overdue: the message if it was stopped because of its time limit.
        listeners: the number of clients that wait for it.
        last_contact: when it began, or a client last asked for it, by time.monotonic.
        last_progress: when it began, or its phase changed, by time.monotonic.
        changed: an event that is set, and replaced, at every change.
    """

    id: str
    user: str
    operation: Operation
    body_json: str
    pictures: list[StoredPicture]
    preview: bool = False
    hidden: bool = False
    shares: str = ""
    status: Status = "queued"
    created: float = field(default_factory=time.time)
    start_time: float | None = None
    end_time: float | None = None
    phases: list[Phase] = field(default_factory=list)
    result: Result | None = None
    error: Error | None = None
    raw: Mapping[str, Any] | None = None
    bytes: int = 0
    why: Status | None = None
    overdue: str = ""
    listeners: int = 0
    last_contact: float = field(default_factory=time.monotonic)
    last_progress: float = field(default_factory=time.monotonic)
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def over(self) -> bool:
        return self.end_time is not None

    @property
    def exports(self) -> bool:
        """Whether it has no time limit while a client waits for it."""
        return self.operation.exports and not self.preview

    @contextlib.contextmanager
    def counting_listener(self) -> Iterator[None]:
        """Counts a client that waits for it meanwhile."""
        self.listeners += 1
        try:
            yield
        finally:
            self.listeners -= 1
            self.last_contact = time.monotonic()

    @property
    def phase(self) -> Phase | None:
        return self.phases[-1] if self.phases else None

    def touch(self) -> None:
        """Wakes those who wait for a change."""
        self.changed.set()
        self.changed = asyncio.Event()

    async def wait(self, seconds: float) -> None:
        """Waits until it ends, at most this many seconds."""
        end = time.monotonic() + seconds
        with self.counting_listener():
            while not self.over and (left := end - time.monotonic()) > 0:
                with contextlib.suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(self.changed.wait(), left)


class _Slot:
    """A slot for a worker, whose process is replaced when it ends."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.process: asyncio.subprocess.Process | None = None
        self.ready = False
        self.job: Job | None = None
        self.timer: asyncio.TimerHandle | None = None
        self.shared: deque[str] = deque(maxlen=_SHARED)
        self.log_lines: deque[str] = deque(maxlen=20)

    @property
    def idle(self) -> bool:
        return self.ready and self.job is None

    def kill(self) -> None:
        self.ready = False
        if self.process is not None:
            _kill(self.process)


class Pool:
    """The jobs of a service and its workers."""

    def __init__(self, settings: Settings, store: Store, metrics: Metrics) -> None:
        self.settings, self.store, self.metrics = settings, store, metrics
        self.jobs: OrderedDict[str, Job] = OrderedDict()
        self.queue: Queue[Job] = Queue()
        self.slots = [_Slot(i) for i in range(settings.worker_count)]
        self.stopping = self.closing = self._is_up = False
        #: What the confinement of a worker achieved, see `_confinement.confine`.
        self.confinement: dict[str, str] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._seconds = 1.0  # a running mean of the time of a job, for Retry-After
        self._last_sign = time.monotonic()

    @property
    def running(self) -> list[Job]:
        return [slot.job for slot in self.slots if slot.job is not None]

    @property
    def workers(self) -> int:
        """The number of workers that are ready or busy."""
        return sum(slot.ready for slot in self.slots)

    @property
    def works(self) -> bool:
        """Whether there is a worker, or was recently: a killed one is replaced within a second."""
        if self.workers:
            self._last_sign = time.monotonic()
        return time.monotonic() - self._last_sign < _LONGEST_PAUSE * 3

    async def start(self) -> None:
        """Starts the workers, and waits for the first one; RuntimeError: its output, if it does not start."""
        self._tasks = [asyncio.create_task(self._keep(slot)) for slot in self.slots]
        end = time.monotonic() + _START
        while not self.workers:
            if any(task.done() for task in self._tasks) or time.monotonic() > end:
                log = "\n".join(self.slots[0].log_lines) or "no output"
                raise RuntimeError(f"the workers do not start: {log}")
            await asyncio.sleep(0.02)
        self._is_up = True

    # ---- jobs ----

    def retry_after(self) -> int:
        """Returns the seconds after which the queue will likely have room."""
        before = len(self.queue) + len(self.running)
        return max(1, min(_LONGEST_RETRY, math.ceil(self._seconds * before / len(self.slots))))

    def check_room(self, user: str) -> None:
        """Refuses more work if the queue, or a user's share of it, is full (429), or the service stops (503)."""
        if self.stopping:
            raise Refusal(503, "stopping", "the service is stopping", self.retry_after())
        if len(self.queue) >= self.settings.queue:
            message = f"{len(self.queue)} jobs are waiting, the limit of the queue"
            raise Refusal(429, "busy", message, self.retry_after())
        if (count := self.queue.count(user)) >= self.settings.user_queue_limit:
            message = f"{count} of your jobs are waiting, the limit for one user"
            raise Refusal(429, "busy", message, self.retry_after())

    def submit(
        self, operation: Operation, body: Body, user: str, *, admitted: bool = False, hidden: bool = False
    ) -> Job:
        """Puts a job of a user into the queue, or refuses it: 404 for an unknown image, 429 and 503 as `check_room`.

        admitted: whether room was checked before, as for uploads; hidden: whether it is internal.
        """
        if self.stopping or not admitted:
            self.check_room(user)
            self.store.make_room(user)
        try:
            body_json = body.model_dump_json(exclude_unset=True)
        except (ValueError, RecursionError):
            raise Refusal(422, "malformed", "the body contains text or brackets that cannot be encoded") from None
        id = new_id()
        with self.store.disk():
            self.store.tree.of_job(id).mkdir(mode=0o700)
        pictures: list[StoredPicture] = []
        try:
            # An image that is being uploaded is known to internal jobs only.
            for image_id in dict.fromkeys(body.pictures()):
                if not hidden or image_id in self.store.pictures:
                    pictures.append(self.store.pin(image_id, user))
        except Refusal:
            for picture in pictures:
                self.store.unpin(picture)
            self.store.tree.of_job(id).rmdir()
            raise
        shares = str(getattr(body, operation.shares)) if operation.shares else ""
        job = Job(id, user, operation, body_json, pictures, body.preview, hidden, shares)
        self.jobs[job.id] = job
        self.queue.append(job)
        self._hand_out()
        return job

    def get(self, id: str, user: str) -> Job:
        """Returns a job; Refusal 404: the user has none of this id."""
        job = self.jobs.get(id)
        if job is None or job.hidden or job.user != user:
            raise Refusal(404, "unknown_job", "unknown job; it may have expired")
        return job

    def cancel(self, job: Job, why: Status = "cancelled") -> None:
        """Stops a job: one that waits leaves the queue, the worker of one that runs is killed."""
        if job.status == "queued":
            self.queue.remove(job)
            self._end(job, why)
            self._wake_waiting()
            return
        for slot in self.slots:
            if slot.job is job and job.why is None:
                job.why = why
                slot.kill()

    def changes(self, job: Job, since: int) -> list[JobInfo]:
        """Returns the states of a job after `since` phases: each phase that it passed, and the last."""
        now = self.info(job)
        passed = job.phases[since:] if job.over else job.phases[since:-1]
        if not passed:
            return [now]
        running = {"status": "running", "finished": None, "result": None, "error": None}
        return [*(now.model_copy(update={**running, "phase": phase}) for phase in passed), now]

    def info(self, job: Job) -> JobInfo:
        url = f"api/v1/jobs/{job.id}"
        return JobInfo(
            id=job.id,
            operation=job.operation.name,
            status=job.status,
            preview=job.preview,
            position=self.queue.index(job) if job.status == "queued" else None,
            phase=job.phase if job.status == "running" else None,
            created=moment(job.created),
            started=None if job.start_time is None else moment(job.start_time),
            finished=None if job.end_time is None else moment(job.end_time),
            result=job.result,
            error=job.error,
            url=url,
            events_url=f"{url}/events",
        )

    def expire(self, now: float) -> None:
        """Forgets jobs that ended long ago."""
        for id, job in list(self.jobs.items()):
            if job.end_time is not None and now - job.end_time >= self.settings.lifetime:
                self._drop(id)

    def on_sent(self, job: Job) -> None:
        """Records that a job was sent to a client; a single-use one that has ended is deleted."""
        if job.over and job.operation.is_single_use and job.id in self.jobs:
            self._drop(job.id)

    def _forget(self, newest: Job) -> None:
        """Deletes the oldest ended jobs, those of previews first, while they are too many or too large.

        They are those of the user who has most. The newest is kept: it was not sent to a client yet.
        """
        past_jobs = sorted((job for job in self.jobs.values() if job.over), key=lambda job: not job.preview)
        counts, sizes = Counter(job.user for job in past_jobs), Counter[str]()
        for job in past_jobs:
            sizes[job.user] += job.bytes
        while (too_many := counts.total() > MAX_JOBS) or sizes.total() > MAX_JOB_BYTES:
            amounts = counts if too_many else sizes
            others = [job for job in past_jobs if job is not newest]
            if not others:
                return
            job = max(others, key=lambda job: amounts[job.user])  # of equals the first
            past_jobs.remove(job)
            counts[job.user] -= 1
            sizes[job.user] -= job.bytes
            self._drop(job.id)

    def _drop(self, id: str) -> None:
        job = self.jobs.pop(id)
        self.store.remove_recipe(id, job.user)

    def _hand_out(self) -> None:
        """Assigns waiting jobs, of each user in turn, to idle workers: to one that caches a job's image, if it can."""
        changed = False
        while self.queue:
            idle = [slot for slot in self.slots if slot.idle]
            if not idle:
                break
            job = self.queue.pop()
            holders = [slot for slot in idle if job.shares and job.shares in slot.shared]
            self._give(job, (holders or idle)[0])
            changed = True
        if changed:
            self._wake_waiting()

    def _wake_waiting(self) -> None:
        for job in self.queue:
            job.touch()

    def _give(self, job: Job, slot: _Slot) -> None:
        process = cast(asyncio.subprocess.Process, slot.process)
        slot.job, job.status, job.start_time = job, "running", time.time()
        job.last_contact = job.last_progress = time.monotonic()
        self.metrics.wait_seconds.observe(job.start_time - job.created)
        if job.shares:
            if job.shares in slot.shared:
                slot.shared.remove(job.shares)
            slot.shared.append(job.shares)
        sizes = {picture.id: tuple(picture.sizes) for picture in job.pictures}
        message = {"job": job.id, "operation": job.operation.name, "body": job.body_json, "sizes": sizes}
        message["histories"] = {picture.id: picture.history for picture in job.pictures}
        job.body_json = ""
        cast(asyncio.StreamWriter, process.stdin).write(json.dumps(message).encode() + b"\n")
        self._time(job, slot)
        job.touch()

    def _time(self, job: Job, slot: _Slot) -> None:
        """Starts the timer that stops a job, or, for an export, that counts its clients again."""
        settings, loop = self.settings, asyncio.get_running_loop()
        if settings.timeout is None and job.exports:
            pause = min(settings.preview_timeout, settings.phase_timeout) / _CLIENT_COUNTS
            slot.timer = loop.call_later(pause, self._stop_unattended, job, slot)
            return
        seconds = settings.timeout or settings.preview_timeout
        slot.timer = loop.call_later(seconds, self._stop, job, f"this took longer than {seconds:g} s and was stopped")

    def _stop_unattended(self, job: Job, slot: _Slot) -> None:
        """Stops an export that no client waits for any more, or that makes no progress."""
        seconds, longest = self.settings.preview_timeout, self.settings.phase_timeout
        if time.monotonic() - job.last_progress >= longest:
            self._stop(job, f"the job made no progress for {longest:g} s, and it was stopped")
        elif job.listeners or time.monotonic() - job.last_contact < seconds:
            self._time(job, slot)
        else:
            self._stop(job, f"no client asked for the job for {seconds:g} s, and it was stopped")

    def _stop(self, job: Job, message: str) -> None:
        job.overdue = message
        self.cancel(job, "failed")

    def _end(self, job: Job, status: Status, error: Error | None = None) -> None:
        job.status, job.error, job.end_time = status, error, time.time()
        for picture in job.pictures:
            self.store.unpin(picture)
        job.pictures, job.body_json = [], ""
        shutil.rmtree(self.store.tree.of_job(job.id), ignore_errors=True)
        seconds = None if job.start_time is None else job.end_time - job.start_time
        if seconds is not None:
            self.metrics.job_seconds.labels(job.operation.name).observe(seconds)
            self._seconds += 0.2 * (seconds - self._seconds)
        self.metrics.jobs.labels(job.operation.name, status).inc()
        fields: dict[str, Any] = {"job": job.id, "operation": job.operation.name, "status": status}
        if job.user:
            fields["user"] = job.user
        fields["seconds"] = None if seconds is None else round(seconds, 3)
        if error is not None:
            fields |= {"kind": error.kind, "error": error.message}
        user = f" {job.user}" if job.user else ""
        _log.info("job %s %s%s", job.operation.name, status, user, extra={"fields": fields})
        if job.hidden:
            self.jobs.pop(job.id, None)
        self._forget(job)
        job.touch()

    # ---- workers ----

    async def _keep(self, slot: _Slot) -> None:
        """Runs a worker, and restarts it when it ends."""
        quick = 0
        while not self.closing:
            try:
                await self._run(slot)
            except OSError as error:  # no process can be started, for lack of memory or files
                slot.log_lines.append(str(error))
            job, slot.job, was_ready = slot.job, None, slot.ready
            slot.ready = False
            slot.shared.clear()
            if slot.timer is not None:
                slot.timer.cancel()
            code = slot.process.returncode if slot.process is not None else None
            reason = "died"
            if job is not None:
                reason = {"cancelled": "cancelled", "failed": "timeout"}.get(job.why or "", "died")
                self._on_worker_exit(job, code)
            if self.closing:
                return
            self.metrics.restarts.labels(reason).inc()
            if job is not None or was_ready:
                quick = 0
                if job is None:
                    _log.warning("worker %d ended with %s and is restarted", slot.number, _exit_text(code))
                continue
            # It was never ready: a permanent cause must not become a loop that uses all resources.
            quick += 1
            if not self._is_up and quick >= _TRIES:
                return
            _log.error("worker %d does not start: %s", slot.number, " | ".join(slot.log_lines))
            await asyncio.sleep(min(_LONGEST_PAUSE, 0.1 * 2**quick))

    async def _run(self, slot: _Slot) -> None:
        """Runs one process of a worker to its end."""
        settings = self.settings
        threads = max(1, cores() // len(self.slots))
        threads_text = os.environ.get("OMP_NUM_THREADS", "")
        environment = {
            **os.environ,
            "OMP_NUM_THREADS": str(min(threads, int(threads_text)) if threads_text.isdigit() else threads),
        }
        readable = json.dumps([str(path) for path in settings.readable])
        folder = str(self.store.tree.folder)
        arguments = (json.dumps(sys.path), readable, folder, settings.max_pixels, settings.proxy_side)
        slot.process = process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", _CODE, *map(str, arguments),
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
            env=environment, limit=MAX_ANSWER, start_new_session=True,
        )  # fmt: skip
        prints = asyncio.create_task(self._log_output(slot, process))
        try:
            await self._listen(slot, process)
        finally:
            _kill(process)
            await process.wait()
            await prints

    async def _listen(self, slot: _Slot, process: asyncio.subprocess.Process) -> None:
        """Handles the messages of a worker, until it ends or sends an invalid one."""
        messages = cast(asyncio.StreamReader, process.stdout)
        while True:
            try:
                line = await messages.readline()
            except ValueError:  # a line that is too long
                _log.error("worker %d sent too long a message and is stopped", slot.number)
                return
            if not line.endswith(b"\n"):
                return
            try:
                self._receive(slot, json.loads(line), len(line))
            except (ValueError, KeyError, TypeError, OSError):
                _log.exception("worker %d sent an invalid message and is stopped", slot.number)
                return

    def _receive(self, slot: _Slot, message: Mapping[str, Any], size: int) -> None:
        event, job = message["event"], slot.job
        self._last_sign = time.monotonic()
        if event == "log":
            fields = {"worker": slot.number, "job": None if job is None else job.id}
            _log.log(int(message["level"]), "%s", message["message"], extra={"fields": fields})
        elif event == "ready":
            slot.ready = True
            self.confinement = dict(message["confinement"])
            self._hand_out()
        elif job is None or message["job"] != job.id or job.why is not None:
            return
        elif event == "phase":
            job.phases.append(Phase(name=message["name"], step=message["step"], steps=message["steps"]))
            job.last_progress = time.monotonic()
            job.touch()
        elif event in ("done", "failed"):
            error = Error(**message["error"]) if event == "failed" else self._keep_result(job, message, size)
            slot.job = None
            if slot.timer is not None:
                slot.timer.cancel()
            self._end(job, "done" if error is None else "failed", error)
            self._hand_out()

    def _keep_result(self, job: Job, message: Mapping[str, Any], size: int) -> Error | None:
        """Stores the result of a job; returns the error if the disk is full."""
        if job.hidden:
            job.raw = message["result"]
            return None
        try:
            job.result, job.bytes = self._result(job, message["result"], message["weights"]), size
        except OSError as failure:
            if not is_full(failure):
                raise
            return Error(kind="full", message=DISK_FULL, exit_code=4)
        return None

    def _on_worker_exit(self, job: Job, code: int | None) -> None:
        """Ends a job whose worker has ended."""
        if job.why == "cancelled":
            self._end(job, "cancelled")
        elif job.why == "failed":
            self._end(job, "failed", Error(kind="timeout", message=job.overdue, exit_code=4))
        else:
            _log.error("a worker ended with %s during a job", _exit_text(code), extra={"fields": {"job": job.id}})
            message = "the worker process ended, possibly for lack of memory"
            self._end(job, "failed", Error(kind="worker_died", message=message, exit_code=4))

    def _result(self, job: Job, output: Mapping[str, Any], weights: Mapping[str, str]) -> Result:
        """Adopts the images that a job wrote, and returns its result; if one cannot be adopted, none is kept."""
        history = joined_history([picture.history for picture in job.pictures], job.operation.name, weights)
        with contextlib.ExitStack() as adopted:

            def taken(about: Mapping[str, Any] | None) -> Any:
                if about is None:
                    return None
                id = self.store.adopt(job.id, job.user, about, history, job.preview)
                adopted.callback(self.store.remove, id)
                return self.store.info(id)

            masks = [
                SegmentedMask(**{**one, "mask": taken(one.get("mask")), "thumb": taken(one.get("thumb"))})
                for one in output.get("masks", ())
            ]
            picture, mask, other_people, openraster = (
                taken(output.get(name)) for name in ("picture", "mask", "other_people", "openraster")
            )
            layers = [Layer(**{**one, "picture": taken(one["picture"])}) for one in output.get("layers", ())]
            places = [Place(**place) for place in output.get("places", ())]
            recipe = None
            if output.get("recipe") is not None:
                self.store.adopt_recipe(job.id, str(output["recipe"]), picture.id)
                recipe = f"api/v1/jobs/{job.id}/recipe"
            result = Result(
                picture=picture, mask=mask, masks=masks, other_people=other_people, others=other_people, places=places,
                layers=layers, openraster=openraster, recipe_url=recipe, info=output.get("info", {}),
            )  # fmt: skip
            adopted.pop_all()
        return result

    async def _log_output(self, slot: _Slot, process: asyncio.subprocess.Process) -> None:
        prints = cast(asyncio.StreamReader, process.stderr)
        while True:
            try:
                line = await prints.readline()
            except ValueError:
                continue
            if not line:
                return
            text = line.decode("utf-8", "replace").rstrip()
            slot.log_lines.append(text)
            _log.debug("worker %d printed: %s", slot.number, text, extra={"fields": {"worker": slot.number}})

    def log_confinement(self) -> None:
        """Logs how workers are confined, as a warning if they are not."""
        reasons = ", ".join(f"{what} {how}" for what, how in self.confinement.items())
        level = logging.DEBUG if set(self.confinement.values()) == {"confined"} else logging.WARNING
        _log.log(level, "the confinement of workers: %s", reasons)

    # ---- the end ----

    async def drain(self, seconds: float) -> None:
        """Refuses new jobs, and waits for the existing ones; after this many seconds the rest is cancelled."""
        self.stopping = True
        end = time.monotonic() + seconds
        while (self.queue or self.running) and time.monotonic() < end:
            await asyncio.sleep(0.02)
        for job in [*self.queue, *self.running]:
            self.cancel(job)
        while self.running:
            await asyncio.sleep(0.02)

    async def close(self) -> None:
        self.stopping = self.closing = True
        for slot in self.slots:
            slot.kill()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


def _kill(process: asyncio.subprocess.Process) -> None:
    """Kills a process, unless it has ended. Its own method would reap one that just has, before it is awaited."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGKILL)


def _exit_text(code: int | None) -> str:
    """Returns the exit status of a process in words."""
    if code is not None and code < 0:
        with contextlib.suppress(ValueError):
            return f"signal {signal.Signals(-code).name}"
    return f"code {code}"
