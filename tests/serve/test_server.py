"""The HTTP service: its API from upload to download, limits, refusals, workers that are killed, and its end."""

from __future__ import annotations

import asyncio
import base64
import configparser
import contextlib
import copy
import dataclasses
import errno
import fnmatch
import functools
import hashlib
import importlib.util
import io
import json
import logging
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from packaging.requirements import Requirement
from PIL import Image
from typer.testing import CliRunner

import pyharmony
from pyharmony import blend, color, composition, segmentation
from pyharmony._verdict import mask_doubts
from pyharmony.cli._app import app
from pyharmony.errors import ArgumentError, PyHarmonyError
from pyharmony.runs._jobs.failures import Code
from pyharmony.segmentation.masks import layers_of
from pyharmony.serve import PAGE, Settings, User, serve
from pyharmony.serve._queue import Queue
from pyharmony.serve.settings import SAMPLES, TOKEN_FILE, bytes_of, users_of

from ..shared import ROOT

httpx = pytest.importorskip("httpx", reason="httpx is not installed")
pytest.importorskip("fastapi", reason="fastapi is not installed")
pytest.importorskip("uvicorn", reason="uvicorn is not installed")

from pyharmony.serve._page import Page
from pyharmony.serve._run import _SHUTDOWN_SECONDS
from tests import skips

pytestmark = pytest.mark.house

HEADER = {"X-Pyharmony": "1"}
TOKEN = "a-token-of-the-tests-0123456789"  # noqa: S105
#: Users of one service, each with a token.
USERS = (User("ann", f"{TOKEN}-of-ann"), User("bob", f"{TOKEN}-of-bob"))
ALL_INTERFACES = "0.0.0.0"  # noqa: S104
#: The side of an image whose blend takes seconds, and that is small as a file.
LONG_SIDE = 2000


class Running:
    """A service that runs in a thread of this process."""

    #: The images of `long_job`, once they were uploaded.
    long: Mapping[str, str] = {}

    def __init__(self, server: Any, address: str) -> None:
        self.server, self.address = server, address
        self.service = server.service
        self.folder: Path = self.service.store.tree.folder
        self.client = httpx.Client(base_url=address, headers=HEADER, timeout=120)

    def upload(self, image: Any, **params: Any) -> dict[str, Any]:
        """Uploads an array, or the bytes of a file."""
        answer = self.client.post("/api/v1/pictures", content=file_of(image), params=params)
        assert answer.status_code == 201, answer.text
        return answer.json()

    def ids(self, **images: Any) -> dict[str, str]:
        return {name: self.upload(image)["id"] for name, image in images.items()}

    def start(self, operation: str, wait: float = 0, **body: Any) -> Any:
        return self.client.post(f"/api/v1/{operation}", json=body, params={"wait": wait})

    def done(self, operation: str, **body: Any) -> dict[str, Any]:
        """Runs an operation and returns what it made."""
        answer = self.start(operation, 60, **body)
        assert answer.status_code == 200, answer.text
        job = answer.json()
        assert job["status"] == "done", job
        return job["result"]

    def bytes(self, picture: dict[str, Any], url: str = "file_url") -> bytes:
        answer = self.client.get(picture[url])
        assert answer.status_code == 200, answer.text
        return answer.content

    def pixels(self, picture: dict[str, Any], url: str = "file_url") -> np.ndarray:
        return pixels_of(self.bytes(picture, url))

    def pid(self, worker: int = 0) -> int:
        return self.service.pool.slots[worker].process.pid

    def until(self, condition: Callable[[], Any], seconds: float = 120) -> Any:
        return until(condition, seconds)

    @contextlib.contextmanager
    def at_rest(self) -> Iterator[None]:
        """Lets jobs wait in the queue: the only worker counts as one that is not ready yet."""
        pool = self.service.pool
        (slot,) = pool.slots
        until(lambda: slot.idle)
        slot.ready = False
        try:
            yield
        finally:
            self.go()

    def go(self) -> None:
        """Gives the worker of `at_rest` what waits."""
        pool = self.service.pool
        pool.slots[0].ready = True
        self.server.loop.call_soon_threadsafe(pool._hand_out)

    def of(self, user: User) -> Running:
        """Returns the same service for the requests of a user."""
        one = copy.copy(self)
        headers = {**HEADER, "Authorization": f"Bearer {user.token}"}
        one.client, one.long = httpx.Client(base_url=self.address, headers=headers, timeout=120), {}
        return one


def until(condition: Callable[[], Any], seconds: float = 120) -> Any:
    """Waits for a condition and returns its value."""
    end = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.01)
    return value


@contextlib.contextmanager
def running(**settings: Any) -> Iterator[Running]:
    from pyharmony.serve._run import serving

    ready, addresses = threading.Event(), []

    def on_address(address: str) -> None:
        addresses.append(address)
        ready.set()

    options = {"port": 0, "workers": 1, "page": None, "grace": 0.0, **settings}
    with serving(Settings(**options), on_address) as (server, listener):
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        assert ready.wait(60)
        one = Running(server, addresses[0])
        try:
            yield one
        finally:
            one.client.close()
            server.stop()
            thread.join(60)
            assert not thread.is_alive()
    assert not one.folder.exists()


@contextlib.contextmanager
def having(service: Running, page: Path | None = None, **settings: Any) -> Iterator[None]:
    """Gives a service that runs other settings, and another page, for a while: another service takes a second more."""
    current, own_page = service.service.settings, service.service.page
    before = {name: getattr(current, name) for name in settings}

    def assign(values: Mapping[str, Any]) -> None:
        for name, value in values.items():
            object.__setattr__(current, name, value)  # all parts of the service hold this one

    assign(settings)
    if page is not None:
        service.service.page = Page(page, SAMPLES)
    try:
        yield
    finally:
        assign(before)
        service.service.page = own_page


@pytest.fixture(scope="module")
def service() -> Iterator[Running]:
    with running(max_upload=3_000_000, max_pixels=20_000_000) as one:
        yield one


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Yields a service that asks for a token, has a page, and may be behind a proxy with a name of its own."""
    page = tmp_path_factory.mktemp("page")
    (page / "index.html").write_text("<p>page")
    with running(token=TOKEN, page=page, hosts=("blend.example.org",)) as one:
        yield one


def file_of(image: Any, format: str = "PNG") -> bytes:
    if isinstance(image, bytes):
        return image
    if image.dtype != np.uint8:
        buffer = io.BytesIO()
        pyharmony.save(image, buffer, format="tiff")
        return buffer.getvalue()
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, format)
    return buffer.getvalue()


def pixels_of(data: bytes) -> np.ndarray:
    image = pyharmony.load(data)
    return image if isinstance(image, np.ndarray) else np.asarray(image)


def scene(seed: int = 0, height: int = 60, width: int = 80) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    dst = np.stack([x * 2, y * 3, (x + y)], -1).astype(np.uint8) + rng.integers(0, 9, (height, width, 3), np.uint8)
    src = rng.integers(80, 200, (height // 2, width // 2, 3), np.uint8)
    mask = np.zeros(src.shape[:2], np.uint8)
    mask[4:-4, 5:-5] = 255
    return {"src": src, "dst": dst, "mask": mask}


def long_job(service: Running) -> dict[str, Any]:
    """Returns the body of a blend that takes seconds; a service gets its images once."""
    if not service.long:
        steps = np.arange(LONG_SIDE) // 64
        image = ((steps * 7 + steps[:, None] * 13) % 256).astype(np.uint8)
        mask = np.zeros((LONG_SIDE, LONG_SIDE), np.uint8)
        mask[8:-8, 8:-8] = 255
        service.long = service.ids(src=image, dst=image.T.copy(), mask=mask)
    return {**service.long, "mode": "gaussian-poisson", "tolerance": 1e-7}


def kind_of(answer: Any) -> str:
    return answer.json()["error"]["kind"]


# ---- from upload to download ----


def test_an_upload_tells_whether_its_alpha_cuts_an_object_out(service: Running) -> None:
    """The rule is that of `compose` and `place`: alpha that is above 4 % nearly everywhere cuts nothing out."""
    colours = scene()["dst"]
    height, width = colours.shape[:2]
    for dtype, white in (("uint8", 255), ("uint16", 65535)):
        pixels = np.dstack([colours, np.full((height, width), 255, np.uint8)]).astype(dtype) * (white // 255)
        assert service.upload(pixels)["cuts_out"] is False
        pixels[:2, :2, 3] = 0  # the round corner of a window
        assert service.upload(pixels)["cuts_out"] is False
        pixels[:, : width // 4, 3] = white // 100  # as networks leave it around an object
        picture = service.upload(pixels)
        assert picture["cuts_out"] is True
        assert service.client.get(picture["url"]).json()["cuts_out"] is True
    assert service.upload(colours)["cuts_out"] is False
    assert service.upload(colours[..., 0])["cuts_out"] is False


@pytest.mark.filterwarnings("ignore::pyharmony.errors.PyHarmonyWarning")
def test_a_result_keeps_what_it_did_not_change_of_an_upload(service: Running) -> None:
    pytest.importorskip("jpeglib", reason="jpeglib is not installed")
    images = scene()
    stream = io.BytesIO()
    Image.fromarray(images["dst"]).save(stream, "JPEG", quality=70)
    photo = service.upload(stream.getvalue())["id"]
    ids = {**service.ids(src=images["src"], mask=images["mask"]), "dst": photo}
    result = service.done("blend", **ids, at=[20, 10], mode="alpha", format="jpeg", quality="original")
    pixels, before = service.pixels(result["picture"]), np.asarray(Image.open(stream))
    assert np.array_equal(pixels[:, 68:], before[:, 68:]) and not np.array_equal(pixels, before)
    same = service.done("export", picture=photo, format="jpeg", quality="original")
    assert np.array_equal(service.pixels(same["picture"]), before)
    assert service.start("export", picture=photo, format="jpeg", quality="best").status_code == 422
    assert service.start("export", picture=photo, format="jpeg", quality=101).status_code == 422


@pytest.mark.filterwarnings("ignore::pyharmony.errors.PyHarmonyWarning")
def test_a_blend_is_that_of_the_function(service: Running) -> None:
    images = scene()
    uploaded = service.upload(images["dst"], name="holiday.png")
    assert uploaded["name"] == "holiday.png" and re.fullmatch("[0-9a-f]{32}", uploaded["id"])
    assert [uploaded[key] for key in ("width", "height", "channels", "dtype", "format")] == [80, 60, 3, "uint8", "PNG"]
    ids = {**service.ids(src=images["src"], mask=images["mask"]), "dst": uploaded["id"]}
    result = service.done("blend", **ids, at=[20, 10], mode="poisson", gradients="mixed", save_mask=True)
    expected = blend.poisson(images["src"], images["dst"], images["mask"], at=(20, 10), gradients="mixed")
    assert np.array_equal(service.pixels(result["picture"]), expected)
    assert result["info"]["mode"] == "poisson" and result["info"]["unchanged"] is False
    mask = service.pixels(result["mask"])
    assert mask.shape == (60, 80) and mask[14:36, 25:55].all() and mask.sum() == images["mask"].sum()
    # What was made goes on to the next operation, and comes back as it is asked for.
    harmonized = service.done("harmonize", image=result["picture"]["id"], mask=result["mask"]["id"], method="reinhard")
    again = pyharmony.harmonize(expected, mask, method="reinhard")
    assert np.array_equal(service.pixels(harmonized["picture"]), again)
    assert harmonized["info"]["harmonize"]["method"] == "reinhard"
    deep = service.done("export", picture=harmonized["picture"]["id"], format="tiff", depth=16)["picture"]
    assert (deep["dtype"], deep["format"]) == ("uint16", "TIFF")
    assert np.array_equal(service.pixels(deep), again.astype(np.uint16) * 257)
    jpeg = service.client.get(service.done("export", picture=deep["id"], format="jpeg", depth=8)["picture"]["file_url"])
    assert jpeg.headers["content-type"] == "image/jpeg" and Image.open(io.BytesIO(jpeg.content)).format == "JPEG"


def test_what_is_told_of_results_is_what_they_are(service: Running) -> None:
    images = scene(1)
    deep = images["dst"].astype(np.uint16) * 257
    alpha = np.dstack([images["dst"], np.full(images["dst"].shape[:2], 200, np.uint8)])
    grey = images["dst"][..., 0]
    for dst, format in ((deep, "tiff"), (alpha, "webp"), (grey, None), (images["dst"], "bmp")):
        ids = service.ids(src=images["src"], dst=dst, mask=images["mask"])
        result = service.done("blend", **ids, at=[3.5, -4], mode="alpha", format=format)["picture"]
        pixels = service.pixels(result)
        assert pixels.shape[:2] == (result["height"], result["width"]) == (60, 80)
        assert (1 if pixels.ndim == 2 else pixels.shape[2]) == result["channels"] and pixels.dtype.name == result[
            "dtype"
        ]
        assert result["bytes"] == len(service.bytes(result)) and result["format"] == (format or "png").upper()


def test_edits_and_cut_outs(service: Running) -> None:
    images = scene(2)
    ids = service.ids(image=images["dst"], mask=np.pad(images["mask"], ((10, 20), (10, 30))))
    picture = service.done("edit", **ids, mode="detail-boost", gain=2.0)["picture"]
    expected = blend.detail_boost(images["dst"], np.pad(images["mask"], ((10, 20), (10, 30))), gain=2.0)
    assert np.array_equal(service.pixels(picture), expected)
    cut = service.done("cutout", picture=ids["image"], mask=ids["mask"], crop_to_mask=True)["picture"]
    pixels = service.pixels(cut)
    assert pixels.shape == (22, 30, 4) and (pixels[..., 3] == 255).all()
    # The pixels that were cut away are not in the file either.
    whole = service.pixels(service.done("cutout", picture=ids["image"], mask=ids["mask"])["picture"])
    clear = whole[..., 3] == 0
    assert clear.any() and (whole[clear] == 0).all()


@pytest.mark.filterwarnings("ignore::pyharmony.errors.PyHarmonyWarning")
def test_options_that_are_images_are_images_of_the_service(service: Running) -> None:
    images = scene(3)
    weight = np.full(images["dst"].shape[:2], 128, np.uint8)
    ids = service.ids(**images)
    extra = service.ids(base=images["dst"], color_weight=weight)
    picture = service.done("blend", **ids, **extra, at=[4, 4], color_weight_scale=2.0)["picture"]
    expected = blend.gaussian_poisson(
        images["src"], images["dst"], images["mask"], at=(4, 4), base=images["dst"],
        color_weight=(weight / np.float32(255) * np.float32(2.0)).astype(np.float32),
    )  # fmt: skip
    assert np.array_equal(service.pixels(picture), expected)
    for name, value in (
        ("base", "/etc/passwd"), ("base", "../../x"), ("color_weight", "/etc/passwd"), ("network", "/etc/passwd"),
        ("model", "x.safetensors"), ("save_mask", "/etc/x.png"), ("harmonize", "/etc/passwd"), ("out", "/etc/x"),
    ):  # fmt: skip
        answer = service.start("blend", 60, **ids, at=[4, 4], **{name: value})
        assert answer.status_code == 422, (name, answer.text)


def test_a_proxy_is_small_and_of_srgb(service: Running) -> None:
    wide = np.zeros((30, 3200, 3), np.uint8)
    wide[:, 1600:] = (200, 30, 60)
    deep = np.dstack([wide, np.full(wide.shape[:2], 255, np.uint8)]).astype(np.uint16) * 257
    for image, format in ((wide, "JPEG"), (wide[..., 0], "PNG"), (deep, "PNG")):
        picture = service.upload(image)
        assert (picture["proxy_width"], picture["proxy_height"]) == (1600, 15)
        proxy = Image.open(io.BytesIO(service.bytes(picture, "proxy_url")))
        assert proxy.size == (1600, 15) and proxy.format == format
        right = np.asarray(proxy.convert("RGB"), float)[:, 820:].mean((0, 1))
        assert np.abs(right - (wide[0, -1] if image.ndim == 3 else 200)).max() < 3
    # A result has one too, which is made when somebody asks.
    export = service.done("export", picture=picture["id"], format="png")["picture"]
    assert Image.open(io.BytesIO(service.bytes(export, "proxy_url"))).size == (1600, 15)


# ---- layers, live blends and downloads, for the page ----


#: The most levels by which proxies of smooth images, which are JPEGs, change them and what is made of them.
JPEG = 8


def placed() -> dict[str, np.ndarray]:
    """Returns a subject, its mask, and a background that is smooth, so that nothing depends on the sampling."""
    y, x = np.mgrid[:200, :300]
    background = np.stack([x * 255 // 300, y * 255 // 200, np.full_like(x, 90)], -1).astype(np.uint8)
    v, u = np.mgrid[:80, :80]
    mask = np.where((u - 39.5) ** 2 + (v - 39.5) ** 2 < 30**2, 255, 0).astype(np.uint8)
    subject = np.stack([150 + u, 80 + v, 40 + u // 2], -1).astype(np.uint8)
    return {"subject": subject, "mask": mask, "background": background}


@pytest.mark.filterwarnings("ignore::pyharmony.errors.PyHarmonyWarning")
def test_layers_are_those_of_compose(service: Running) -> None:
    images = placed()
    ids = service.ids(**images)
    subject = {"picture": ids["subject"], "mask": ids["mask"], "at": [100, 60]}
    person = np.zeros(images["background"].shape[:2], np.uint8)
    person[90:190, 130:150] = 255
    result = service.done(
        "layers", subject=subject, background=ids["background"], harmonize="reinhard", grain=0, shadow=True,
        people=[service.upload(person)["id"]], front=[0], preview=True,
    )  # fmt: skip
    layers = {one["name"]: one for one in result["layers"]}
    assert list(layers) == ["shadow", "plain", "matched", "front"]
    assert layers["plain"]["box"] == layers["matched"]["box"] and layers["plain"]["picture"]["preview"] is True
    _, info = pyharmony.compose(
        images["subject"], images["background"], masks=images["mask"], at=(100, 60), harmonize="reinhard", grain=0,
        shadow=True, people=[person], return_info=True,
    )  # fmt: skip
    expected = info.subjects[0]
    assert tuple(layers["matched"]["box"]) == expected.box
    # It is made of proxies, which are JPEGs of colours.
    matched = service.pixels(layers["matched"]["picture"])
    assert np.array_equal(matched[..., 3], expected.alpha)
    assert np.abs(matched[..., :3].astype(int) - expected.colours)[expected.alpha > 0].max() <= JPEG
    plain = service.pixels(layers["plain"]["picture"])
    assert np.array_equal(plain[..., 3], matched[..., 3])
    left, top = (int(value) for value in layers["plain"]["box"][:2])
    assert np.abs(plain[100 - top, 140 - left, :3].astype(int) - images["subject"][40, 40]).max() <= JPEG
    x, y, wide, high = (int(value) for value in layers["shadow"]["box"])
    assert expected.shadow is not None
    cast = service.pixels(layers["shadow"]["picture"]).astype(int)
    assert np.abs(cast - expected.shadow[y : y + high, x : x + wide]).max() <= JPEG
    assert layers["front"]["box"] == [130, 90, 20, 100]
    front = service.pixels(layers["front"]["picture"])
    assert np.abs(front[..., :3].astype(int) - images["background"][90:190, 130:150]).max() <= JPEG
    assert (front[..., 3] == 255).all()
    # A reflection is a layer of its own.
    mirrored = {"shadow": False, "reflection": {"strength": 0.5, "blur": 0}}
    result = service.done("layers", subject=subject, background=ids["background"], **mirrored)
    assert [one["name"] for one in result["layers"]] == ["reflection", "plain", "matched"]
    assert service.pixels(result["layers"][0]["picture"]).shape[2] == 4
    # Beside the background there is nothing to lay.
    away = service.done("layers", subject={**subject, "at": [900, 60]}, background=ids["background"], shadow=False)
    assert away["layers"] == []
    for field, value in (("harmonize", "/etc/passwd"), ("harmonize", "x.safetensors"), ("shadow", {"azimuth": "x"})):
        answer = service.start("layers", 60, subject=subject, background=ids["background"], **{field: value})
        assert answer.status_code == 422 or answer.json()["status"] == "failed", (field, value)


@pytest.mark.filterwarnings("ignore::pyharmony.errors.PyHarmonyWarning")
def test_corrections_by_hand_are_in_layers_and_composites(service: Running) -> None:
    images = placed()
    ids = service.ids(**images)
    options = {"harmonize": "reinhard", "grain": 0, "shadow": False}
    subject = {"picture": ids["subject"], "mask": ids["mask"], "at": [100, 60]}
    adjust = {"exposure": -1.0, "saturation": 0, "edge": 4, "feather": 3}
    arguments = {"masks": images["mask"], "at": (100, 60), "people": [], "adjust": adjust, "return_info": True}
    layers = {}
    for side in (1024, 150):
        result = service.done(
            "layers", subject=subject, background=ids["background"], adjust=adjust, side=side, **options
        )
        layers = {one["name"]: one for one in result["layers"]}
        assert list(layers) == ["plain", "matched"] and layers["plain"]["box"] == layers["matched"]["box"]
        ratio = min(1.0, side / 300)
        for name, strength in (("plain", 0.0), ("matched", 1.0)):
            _, info = pyharmony.compose(
                images["subject"], images["background"], strength=strength, side=side, **arguments, **options
            )
            one, layer = info.subjects[0], service.pixels(layers[name]["picture"])
            if ratio == 1:
                assert tuple(layers[name]["box"]) == one.box and np.array_equal(layer[..., 3], one.alpha)
                assert np.abs(layer[..., :3].astype(int) - one.colours)[one.alpha > 0].max() <= JPEG
            else:
                assert layer[..., 3].sum(dtype=int) == pytest.approx(one.alpha.sum(dtype=int), rel=0.03)
            assert np.ptp(layer[layer[..., 3] > 128][:, :3].astype(int), 1).max() <= 1  # grey
    # In the composite each subject has its own, and the recipe holds them.
    both = [{**subject, "adjust": adjust}, {**subject, "at": [10, 60]}]
    job = service.done("compose", subjects=both, background=ids["background"], people=[], **options)
    expected, info = pyharmony.compose(
        [composition.Subject(images["subject"], mask=images["mask"], at=(100, 60), adjust=adjust),
         composition.Subject(images["subject"], mask=images["mask"], at=(10, 60))],
        images["background"], people=[], return_info=True, **options,
    )  # fmt: skip
    assert np.array_equal(service.pixels(job["picture"]), expected)
    assert service.client.get(job["recipe_url"]).json() == json.loads(json.dumps(info.recipe))
    for value in ({"exposure": 5}, {"tint": 1}, {"edge": "x"}, 3, [adjust], True):
        wrong = {
            "layers": {"subject": subject, "adjust": value},
            "compose": {"subjects": [{**subject, "adjust": value}]},
        }
        for operation, body in wrong.items():
            answer = service.start(operation, 60, background=ids["background"], **body)
            assert answer.status_code == 422 and "adjust" in answer.json()["error"]["message"], (operation, value)
    assert "adjust" not in {field["name"] for field in service.client.get("/api/v1/service").json()["fields"]}


def test_warped_corners_are_in_layers_and_composites(service: Running) -> None:
    images = placed()
    ids = service.ids(**images)
    warp = [[0.1, 0.1], [0, 0], [0.2, 0], [0, -0.2]]
    subject = {"picture": ids["subject"], "mask": ids["mask"], "at": [100, 60], "warp": warp}
    options = {"harmonize": None, "shadow": False, "grain": 0, "sharpness": 0}
    arguments = {"masks": images["mask"], "at": (100, 60), "people": [], "warp": warp, "return_info": True, **options}
    expected, info = pyharmony.compose(images["subject"], images["background"], **arguments)
    result = service.done("layers", subject=subject, background=ids["background"], **options)
    plain = next(one for one in result["layers"] if one["name"] == "plain")
    assert tuple(plain["box"]) == info.subjects[0].box
    assert np.array_equal(service.pixels(plain["picture"])[..., 3], info.subjects[0].alpha)
    job = service.done("compose", subjects=[subject], background=ids["background"], people=[], **options)
    assert np.array_equal(service.pixels(job["picture"]), expected)
    assert service.client.get(job["recipe_url"]).json()["subjects"][0]["warp"] == warp
    answer = service.start("layers", 60, background=ids["background"], subject={**subject, "warp": warp[:3]})
    assert answer.status_code == 422 and "warp" in answer.json()["error"]["message"]
    concave = {**subject, "warp": [[0.6, 0.6], [0, 0], [0, 0], [0, 0]]}
    error = service.start("layers", 60, background=ids["background"], subject=concave).json()["error"]
    assert error["message"].startswith("warp: ") and "not convex" in error["message"]


def shown(result: dict[str, Any]) -> np.ndarray:
    """Returns the image that a live blend is."""
    head, _, data = result["info"]["url"].partition(",")
    assert head == "data:image/png;base64"
    return pixels_of(base64.b64decode(data))


@pytest.mark.filterwarnings("ignore::pyharmony.errors.PyHarmonyWarning")
def test_opacity_modes_and_a_corrected_background_are_asked_for(service: Running) -> None:
    images = placed()
    ids = service.ids(**images)
    options = {"harmonize": "reinhard", "grain": 0, "shadow": False}
    background = {"exposure": 1.0, "curve": [[0, 0], [0.4, 0.6], [1, 1]]}
    subject = {"picture": ids["subject"], "mask": ids["mask"], "at": [100, 60]}
    result = service.done(
        "layers", subject=subject, background=ids["background"], adjust_background=background, **options
    )
    layers = {one["name"]: one for one in result["layers"]}
    assert list(layers) == ["background", "plain", "matched"] and layers["background"]["box"] == [0, 0, 300, 200]
    below, _ = color.retouch(images["background"], parameters=color.Retouching(**background))
    corrected = service.pixels(layers["background"]["picture"])
    assert np.abs(corrected.astype(int) - below).mean() < JPEG / 2  # of a proxy, whose errors it may enlarge
    # Live blends are over it, and it alone may be their base.
    picture, matched = (layers[name]["picture"]["id"] for name in ("background", "matched"))
    live = {"plain": layers["plain"]["picture"]["id"], "matched": matched, "background": ids["background"],
            "at": layers["plain"]["box"][:2], "mode": "gaussian-poisson", "format": "png"}  # fmt: skip
    blend_result = service.done("live", **live, base=picture)
    x, y, wide, high = (int(value) for value in blend_result["info"]["box"])
    rim, pixels = np.abs(shown(blend_result)[0].astype(int) - corrected[y, x : x + wide]), shown(blend_result)
    assert rim.max() <= 1 and pixels.shape == (high, wide, 3)
    assert np.abs(shown(service.done("live", **live))[0].astype(int) - corrected[y, x : x + wide]).max() > 30
    answer = service.start("live", 60, **live, base=matched)
    assert "base: 4 channels of uint8, expected the background layer" in answer.json()["error"]["message"]
    job = service.done(
        "compose", background=ids["background"], people=[], adjust_background=background, **options,
        subjects=[{**subject, "opacity": 0.5, "mode": "soft-light"}], adjust_result={"saturation": 0.5},
    )  # fmt: skip
    expected = pyharmony.compose(
        images["subject"], images["background"], masks=images["mask"], at=(100, 60), people=[], opacity=0.5,
        mode="soft_light", adjust_background=background, adjust_result={"saturation": 0.5}, **options,
    )  # fmt: skip
    assert np.array_equal(service.pixels(job["picture"]), expected)
    for wrong in (
        {"adjust_background": {"edge": 1}}, {"adjust_result": {"curve": [[0, 0]]}},
        {"adjust_result": {"curve": [[0, 0], [0, 1]]}}, {"adjust_result": {"curve": [[0, 0], [1, 1.5]]}},
        {"subjects": [{**subject, "opacity": 2}]}, {"subjects": [{**subject, "mode": "soft_light"}]},
    ):  # fmt: skip
        body = {"subjects": [subject], "background": ids["background"], **wrong}
        answer = service.start("compose", 60, **body)
        assert answer.status_code == 422, (wrong, answer.text)


@pytest.mark.filterwarnings("ignore::pyharmony.errors.PyHarmonyWarning")
def test_live_blends_are_those_that_are_made_in_the_end(service: Running) -> None:
    images = placed()
    ids = service.ids(**images)
    # A source under its mask, as the operation blend takes it.
    options = {"source": ids["subject"], "mask": ids["mask"], "background": ids["background"], "format": "png"}
    for mode in ("poisson", "gaussian-poisson", "laplacian", "alpha"):
        result = service.done("live", **options, at=[110, 40], mode=mode, preview=True)
        x, y, wide, high = (int(value) for value in result["info"]["box"])
        expected = getattr(blend, mode.replace("-", "_"))(
            images["subject"], images["background"], images["mask"], at=(110, 40)
        )
        part = expected[y : y + high, x : x + wide]
        assert np.abs(shown(result).astype(int) - part).max() <= JPEG, mode
        # All that changes is in it, and little else.
        changed = np.argwhere((expected != images["background"]).any(2))
        assert (changed >= (y, x)).all() and (changed < (y + high, x + wide)).all(), mode
        rows, columns = np.nonzero(images["mask"])
        assert (wide, high) == (np.ptp(columns) + 5, np.ptp(rows) + 5) and (x, y) == (
            110 + columns.min() - 2,
            40 + rows.min() - 2,
        )
    mixed = service.done("live", **options, at=[110, 40], mode="poisson", gradients="mixed")
    expected = blend.poisson(images["subject"], images["background"], images["mask"], at=(110, 40), gradients="mixed")
    x, y, wide, high = (int(value) for value in mixed["info"]["box"])
    assert np.abs(shown(mixed).astype(int) - expected[y : y + high, x : x + wide]).max() <= JPEG
    # Layers, as compose blends them, before and after they are matched.
    subject = {"picture": ids["subject"], "mask": ids["mask"], "at": [110, 40]}
    look = {"harmonize": "reinhard", "grain": 0, "sharpness": 0, "shadow": False}
    entries = service.done("layers", subject=subject, background=ids["background"], **look)["layers"]
    layers = {one["name"]: one for one in entries}
    options = {"background": ids["background"], **{name: one["picture"]["id"] for name, one in layers.items()}}
    at = layers["plain"]["box"][:2]
    for mode in ("alpha", "poisson", "gaussian-poisson"):
        for strength in (0, 1):
            result = service.done("live", **options, at=at, mode=mode, strength=strength, format="png")
            x, y, wide, high = (int(value) for value in result["info"]["box"])
            method = {**look, "harmonize": "reinhard" if strength else None, "blend": mode.replace("-", "_")}
            expected = pyharmony.compose(
                images["subject"],
                images["background"],
                masks=images["mask"],
                at=(110, 40),
                **method,
            )
            difference = np.abs(shown(result).astype(int) - expected[y : y + high, x : x + wide])
            assert difference.max() <= JPEG, (mode, strength, difference.max())
    # A shadow lies on what is blended into, as it does in compose.
    look["shadow"] = True
    layers = {
        one["name"]: one
        for one in service.done("layers", subject=subject, background=ids["background"], **look)["layers"]
    }
    pictures = {name: layers[name]["picture"]["id"] for name in ("plain", "matched", "shadow")}
    shaded = {"background": ids["background"], **pictures, "cast": layers["shadow"]["box"][:2], "format": "png"}
    result = service.done("live", **shaded, at=at, mode="poisson")
    x, y, wide, high = (int(value) for value in result["info"]["box"])
    expected = pyharmony.compose(
        images["subject"], images["background"], masks=images["mask"], at=(110, 40), blend="poisson", **look
    )[y : y + high, x : x + wide]
    assert np.abs(shown(result).astype(int) - expected).max() <= JPEG
    bare = service.done("live", **options, at=at, mode="poisson", format="png")
    assert np.abs(shown(bare).astype(int) - expected).max() > 2 * JPEG
    # Less detail is smaller, and a place beyond the background is nothing.
    coarse = service.done("live", **options, at=at, mode="poisson", detail=0.5, format="png")
    assert shown(coarse).shape[0] < shown(result).shape[0]
    assert service.done("live", **options, at=[900, 0], mode="poisson")["info"]["url"] == ""
    for wrong in (
        {"background": ids["background"], "at": at, "mode": "poisson"},
        {**options, "source": ids["subject"], "mask": ids["mask"], "at": at, "mode": "poisson"},
        {**options, "at": at, "mode": "laplacian"},
        {**options, "at": at, "mode": "poisson", "cast": at},
    ):
        assert service.start("live", 60, **wrong).status_code == 422


@pytest.mark.filterwarnings("ignore::pyharmony.errors.PyHarmonyWarning")
def test_a_mask_that_is_dragged_is_set_up_once(tmp_path: Path) -> None:
    from pyharmony.serve._bodies import LiveBody
    from pyharmony.serve._desk import Desk, Hierarchies, Memory
    from pyharmony.serve._operations import OPERATIONS
    from pyharmony.serve._tree import Sizes, Tree

    tree, sizes, ids = Tree(tmp_path), dict[str, Sizes](), dict[str, str]()
    for name in ("pictures", "proxies"):
        (tmp_path / name).mkdir()
    for i, (name, image) in enumerate(placed().items()):
        ids[name] = f"{i:032x}"
        tree.picture(ids[name]).write_bytes(file_of(image))
        sizes[ids[name]] = Sizes(image.shape[1], image.shape[0], 1 if image.ndim == 2 else 3, 1600)
    options = {"source": ids["subject"], "mask": ids["mask"], "background": ids["background"], "format": "png"}

    def moves(most: int, mode: str, places: list[tuple[int, int]]) -> tuple[list[str], int]:
        """Returns the blends at some places, and for how many masks a solve was set up."""
        memory = Memory(10_000_000, 1600)
        memory.hierarchies = Hierarchies(most)
        desk = Desk(tree, memory, "f" * 32, sizes, lambda *_: None)
        urls = [OPERATIONS["live"].run(LiveBody(**options, at=at, mode=mode), desk)["info"]["url"] for at in places]
        return urls, memory.hierarchies.misses

    inside = [(100 + i, 50 + 2 * i) for i in range(6)]
    cut = [(-20, 30), (-20, 31), (260, -15)]
    for mode, places, masks in (("poisson", inside, 1), ("gaussian-poisson", inside, 1), ("poisson", cut, 2)):
        urls, misses = moves(1 << 30, mode, places)
        anew, every = moves(0, mode, places)
        assert urls == anew  # bit for bit
        assert (misses, every) == (masks, len(places)), mode
        assert len(set(urls)) == len(places)


def xmp_of(data: bytes) -> bytes:
    """Returns the XMP of a file, which has to be whole; of an OpenRaster file, that of its merged image."""
    if data.startswith(b"PK"):
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            data = archive.read("mergedimage.png")
    packet = pyharmony.io.read(data, keep_gps=True).xmp or b""
    ElementTree.fromstring(packet.partition(b"?>")[2].rpartition(b"<?")[0])  # noqa: S314
    return packet


def told_by(data: bytes) -> tuple[list[str], list[tuple[str, str]]]:
    """Returns what the XMP of a file tells: the SHA-256 of the sources, and the operations with their weights."""
    rdf, event = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}", "{http://ns.adobe.com/xap/1.0/sType/ResourceEvent#}"
    tree = ElementTree.fromstring(xmp_of(data).partition(b"?>")[2].rpartition(b"<?")[0])  # noqa: S314
    sums = [one.text or "" for one in tree.iterfind(".//{http://purl.org/dc/elements/1.1/}relation//" + rdf + "li")]
    steps = tree.iterfind(".//{http://ns.adobe.com/xap/1.0/mm/}History//" + rdf + "li")
    return sums, [
        (one.findtext(f"{event}action", ""), one.findtext(f"{event}parameters", ""))
        for one in steps
        if one.findtext(f"{event}softwareAgent") == f"pyharmony {pyharmony.__version__}"
    ]


def sum_of(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def test_a_download_tells_what_it_is_made_of(service: Running) -> None:
    images = placed()
    files = {name: file_of(image) for name, image in images.items()}
    ids = {name: service.upload(data)["id"] for name, data in files.items()}
    result = service.done(
        "compose", subjects=[{"picture": ids["subject"], "mask": ids["mask"], "at": [100, 60]}],
        background=ids["background"], harmonize=None, sharpness=0, grain=0, shadow=False, layers=True,
    )  # fmt: skip
    openraster = result["openraster"]
    answer = service.client.get(openraster["file_url"], params={"name": "made.ora"})
    assert answer.headers["content-type"] == "image/openraster" and "made.ora" in answer.headers["content-disposition"]
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        merged = np.asarray(Image.open(archive.open("mergedimage.png")).convert("RGB"))
    assert np.array_equal(merged, service.pixels(result["picture"]))
    # Masks are sources too, whether they are named or not.
    sums = {sum_of(files[name]) for name in ("subject", "mask", "background")}
    digests, steps = told_by(answer.content)
    assert set(digests) == sums and len(digests) == 3 and steps == [("compose", "")]
    assert b"digitalsourcetype/compositeCapture" in xmp_of(answer.content)
    for format, depth in (("png", None), ("jpeg", 8), ("tiff", 16), ("webp", 8)):
        for sources in ([], [ids["subject"], ids["mask"], ids["background"]]):
            body = {"picture": result["picture"]["id"], "format": format, "depth": depth, "sources": sources}
            export = service.done("export", **body)["picture"]
            data = service.bytes(export)
            assert b"digitalsourcetype/compositeCapture" in xmp_of(data), format
            assert set(told_by(data)[0]) == sums and told_by(data)[1] == [("compose", "")], format
        # What is exported once more says so once more, and stays readable.
        again = service.done("export", picture=export["id"], format="png", sources=[ids["subject"]])
        assert xmp_of(service.bytes(again["picture"])).count(b"compositeCapture") == 2
    assert (
        service.start("export", 60, picture=result["picture"]["id"], format="png", sources=["../x"]).status_code == 422
    )
    # A photograph in another format is no composite, unless it is said to be one of others.
    plain = service.done("export", picture=ids["background"], format="png")["picture"]
    assert not pyharmony.io.read(service.bytes(plain)).xmp
    background_export = service.done("export", picture=ids["background"], format="png", sources=[ids["mask"]])[
        "picture"
    ]
    assert told_by(service.bytes(background_export)) == ([sum_of(files["background"]), sum_of(files["mask"])], [])
    assert b"compositeCapture" in xmp_of(service.bytes(background_export))


def test_entities_in_the_xmp_of_a_photograph_are_not_exported(service: Running) -> None:
    packet = (
        b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "a"><!ENTITY b "&a;&a;&a;&a;">]><x:xmpmeta '
        b"xmlns:x='adobe:ns:meta/'><rdf:RDF xmlns:rdf='http://www.w3.org/1999/02/22-rdf-syntax-ns#'>"
        b"<rdf:Description>&b;</rdf:Description></rdf:RDF></x:xmpmeta>"
    )
    stream = io.BytesIO()
    Image.new("RGB", (8, 8)).save(stream, "JPEG", xmp=packet)
    assert b"ENTITY" in stream.getvalue()
    photo, other = service.upload(stream.getvalue())["id"], service.upload(np.zeros((8, 8, 3), np.uint8))["id"]
    for format in ("png", "jpeg", "webp"):
        for sources in ([], [other]):
            export = service.done("export", picture=photo, format=format, sources=sources)["picture"]
            assert b"ENTITY" not in service.bytes(export)
            assert (pyharmony.io.read(service.bytes(export)).xmp is not None) == bool(sources)


@pytest.mark.filterwarnings("ignore::pyharmony.errors.PyHarmonyWarning")
def test_a_download_tells_the_operations_and_the_weights_that_ran(service: Running) -> None:
    from pyharmony._shipped import every

    digests = {entry.name: entry.sha256 for entry in every()}

    def weights(*names: str) -> str:
        return "; ".join(f"weights {name}, SHA-256 {digests[name]}" for name in sorted(names))

    subject, _ = person(96, 72, 2)
    files = {"subject": file_of(subject), "background": file_of(placed()["background"])}
    ids = {name: service.upload(data)["id"] for name, data in files.items()}
    point = {"kind": "click", "x": 36, "y": 70}
    # The second answer goes on with what the worker has of the first one, and runs the network again.
    for steps in ([point], [point, {"kind": "click", "x": 2, "y": 2, "add": False}]):
        mask = service.done("segment", picture=ids["subject"], steps=steps)["mask"]["id"]
    blended = service.done("blend", src=ids["subject"], dst=ids["background"], mask=mask, at=[100, 60], mode="alpha",
                           save_mask=True)  # fmt: skip
    matched = service.done("harmonize", image=blended["picture"]["id"], mask=blended["mask"]["id"], upscale=2)
    exported = service.done("export", picture=matched["picture"]["id"], format="jpeg", depth=8)["picture"]
    sums, steps = told_by(service.bytes(exported))
    assert sums == [sum_of(files["subject"]), sum_of(files["background"])]  # the mask is no file that was uploaded
    assert steps == [
        ("segment", weights("clicks-imagenet", "pose")), ("blend", ""),
        ("harmonize", weights("colorgrid", "srgan-light")),
    ]  # fmt: skip
    # Statistics run no network; a mask that was found is told of without a claim that it is a composite.
    plain = service.done("harmonize", image=ids["background"], mask=blended["mask"]["id"], method="reinhard")
    ingredients = told_by(
        service.bytes(service.done("export", picture=plain["picture"]["id"], format="tiff")["picture"])
    )
    assert ingredients[1][-1] == ("harmonize", "")
    alone = service.bytes(service.done("export", picture=mask, format="png")["picture"])
    assert told_by(alone) == ([sum_of(files["subject"])], [("segment", weights("clicks-imagenet", "pose"))])
    assert b"compositeCapture" not in xmp_of(alone)
    # All in one go, where the layers tell it too.
    one = {"picture": ids["subject"], "points": [[36, 70]], "at": [100, 60]}
    result = service.done("compose", subjects=[one], background=ids["background"], shadow=False, layers=True)
    for data in (
        service.bytes(result["openraster"]),
        service.bytes(service.done("export", picture=result["picture"]["id"], format="png")["picture"]),
    ):
        ((name, ran),) = told_by(data)[1]
        assert name == "compose" and {weights("clicks-imagenet"), weights("colorgrid")} <= set(ran.split("; "))
    # The source may be gone by then.
    assert service.client.delete(f"/api/v1/pictures/{ids['subject']}").status_code == 204
    late = service.done("export", picture=result["picture"]["id"], format="png")["picture"]
    assert sum_of(files["subject"]) in told_by(service.bytes(late))[0]


def test_no_download_tells_where_it_was_taken(service: Running) -> None:
    images, buffer = placed(), io.BytesIO()
    exif = Image.Exif()
    exif[0x010F] = "Maker"
    exif[0x8825] = {1: "N", 2: (48.0, 51.0, 30.0), 3: "E", 4: (2.0, 17.0, 36.0)}
    place = (
        b"<x:xmpmeta xmlns:x='adobe:ns:meta/'><rdf:RDF xmlns:rdf='http://www.w3.org/1999/02/22-rdf-syntax-ns#'>"
        b"<rdf:Description rdf:about='' xmlns:exif='http://ns.adobe.com/exif/1.0/' exif:GPSLatitude='48,51.5N'>"
        b"<exif:GPSLongitude>2,17.6E</exif:GPSLongitude></rdf:Description></rdf:RDF></x:xmpmeta>"
    )
    Image.fromarray(images["background"]).save(buffer, "JPEG", quality=95, exif=exif, xmp=place)
    background = buffer.getvalue()

    def places(data: bytes) -> int:
        """Returns in how many ways a file tells where it was taken, in all of its parts."""
        if data.startswith(b"PK"):
            with zipfile.ZipFile(io.BytesIO(data)) as archive:
                return sum(places(archive.read(name)) for name in archive.namelist())
        if not data.startswith((b"\x89PNG", b"\xff\xd8", b"II", b"MM", b"RIFF")):
            return data.count(b"GPS")
        image = Image.open(io.BytesIO(data))
        xmp = pyharmony.io.read(data, keep_gps=True).xmp or b""
        return bool(image.getexif().get_ifd(0x8825)) + (b"GPS" in xmp) + (b"48,51" in data)

    assert places(background) == 3
    ids = service.ids(subject=images["subject"], mask=images["mask"], background=background)
    subjects = [{"picture": ids["subject"], "mask": ids["mask"], "at": [100, 60]}]
    fixed = {"harmonize": None, "sharpness": 0, "grain": 0, "shadow": False}
    result = service.done("compose", subjects=subjects, background=ids["background"], layers=True, **fixed)
    small = service.done("compose", subjects=subjects, background=ids["background"], preview=True, **fixed)
    blended = service.done(
        "blend", src=ids["subject"], dst=ids["background"], mask=ids["mask"], at=[9, 9], mode="alpha"
    )
    results = [result["picture"], result["openraster"], small["picture"], blended["picture"]]
    for id in (ids["background"], result["picture"]["id"], blended["picture"]["id"]):
        for format in ("png", "jpeg", "tiff", "webp"):
            for sources in ([], [ids["background"]]):
                results.append(service.done("export", picture=id, format=format, sources=sources)["picture"])
    for one in results:
        assert places(service.bytes(one)) == 0, one
        if one["format"] != "OPENRASTER":
            assert places(service.bytes(one, "proxy_url")) == 0
    exported = Image.open(io.BytesIO(service.bytes(results[-1])))
    assert exported.getexif()[0x010F] == "Maker"  # the rest of what the camera told stays
    # Only who asks for it by name gets it.
    export = service.done("export", picture=ids["background"], format="jpeg", keep_gps=True)["picture"]
    assert places(service.bytes(export)) == 3


def test_samples_are_photographs_of_the_demo(service: Running) -> None:
    with having(service, page=PAGE):
        for name in ("astronaut.jpg", "rocket.jpg", "coffee.jpg", "cat.png", "cat_mask.png"):
            answer = service.client.get(f"/samples/{name}")
            assert answer.status_code == 200 and pixels_of(answer.content).ndim >= 2, name
        for name in ("/samples/../cli/demo.py", "/samples/%2e%2e/demo.py", "/samples/", "/vendor/../../settings.py"):
            assert service.client.get(name).status_code == 404
    assert service.client.get("/samples/astronaut.jpg").status_code == 404  # it serves no page


def test_a_preview_is_the_result_made_small(service: Running) -> None:
    y, x = np.mgrid[:600, :2400]
    dst = np.stack([x / 12, y / 3, (x + y) / 15], -1).astype(np.uint8)
    src = np.repeat(np.repeat(scene(4)["src"], 10, 0), 10, 1)
    mask = np.zeros(src.shape[:2], np.uint8)
    mask[40:-40, 50:-50] = 255
    ids = service.ids(src=src, dst=dst, mask=mask)
    body = {**ids, "at": [700, 150], "mode": "alpha", "scale": 0.8, "feather": 30}
    whole, small = (service.done("blend", **body, preview=preview)["picture"] for preview in (False, True))
    assert (small["width"], small["height"], small["preview"], small["format"]) == (1600, 400, True, "JPEG")
    shrunk = np.asarray(Image.fromarray(service.pixels(whole)).resize((1600, 400), Image.Resampling.BOX), float)
    assert np.abs(service.pixels(small) - shrunk).mean() < 3
    again = service.done("blend", **body, preview=True)["picture"]
    assert service.bytes(again) == service.bytes(small) and again["id"] != small["id"]
    # A preview is deleted sooner.
    assert small["expires"] < whole["expires"]


def test_clicks_go_on_where_the_last_one_was(service: Running) -> None:
    image = np.asarray(Image.open(ROOT / "pyharmony/cli/images/astronaut.jpg").resize((300, 300)))
    session = segmentation.Session(image)
    answers = [session.click(150, 80).mask, session.click(30, 280, add=False).mask]
    steps = [{"kind": "click", "x": 150, "y": 80}, {"kind": "click", "x": 30, "y": 280, "add": False}]
    id = service.upload(image)["id"]

    def mask(steps: list[dict[str, Any]], **more: Any) -> np.ndarray:
        return service.pixels(service.done("segment", picture=id, steps=steps, **more)["mask"])

    assert np.array_equal(mask(steps[:1]), answers[0])
    assert np.array_equal(mask(steps), answers[1])
    assert np.array_equal(mask(steps[:1]), answers[0])  # undone
    pid = service.pid()
    os.kill(pid, signal.SIGKILL)  # the session is gone with its worker, and the answer is the same
    service.until(lambda: service.pid() != pid)
    assert np.array_equal(mask(steps), answers[1])
    choice = session.undo() and session.choose(1).mask
    assert np.array_equal(mask([steps[0], {"kind": "choose", "index": 1}]), choice)
    assert np.array_equal(mask(steps[:1]), answers[0])  # a choice is taken back too


@pytest.mark.slow
def test_alpha_is_that_of_the_command(service: Running, tmp_path: Path) -> None:
    """The page asks for it: hair and other soft edges are cut out as `pyharmony segment` cuts them out."""
    image = np.asarray(Image.open(ROOT / "pyharmony/cli/images/astronaut.jpg").resize((300, 300)))
    photo = tmp_path / "photo.png"
    Image.fromarray(image).save(photo)
    id = service.upload(image)["id"]
    out, step = tmp_path / "mask.png", {"kind": "click", "x": 150, "y": 80}
    result = CliRunner().invoke(app, ["segment", str(photo), "--points", "150,80", "--mask-only", "-o", str(out)])
    assert result.exit_code == 0, result.output
    alpha = np.asarray(Image.open(out))
    answer = service.done("segment", picture=id, steps=[step], alpha=True, every=True)
    assert np.array_equal(service.pixels(answer["mask"]), alpha) and ((alpha > 0) & (alpha < 255)).any()
    assert np.array_equal(service.pixels(answer["masks"][0]["mask"]), alpha)
    assert not np.array_equal(service.pixels(service.done("segment", picture=id, steps=[step])["mask"]), alpha)
    # A further click corrects the first.
    session = segmentation.Session(image)
    corrected = [session.click(150, 80), session.click(30, 280, add=False)][-1].alpha()
    steps = [{"kind": "click", "x": 150, "y": 80}, {"kind": "click", "x": 30, "y": 280, "add": False}]
    answer = service.done("segment", picture=id, steps=steps, alpha=True)
    assert np.array_equal(service.pixels(answer["mask"]), corrected)
    people = service.done("segment", picture=id, all_people=True, alpha=True)
    own = segmentation.Session(image).people()
    assert np.array_equal(service.pixels(people["mask"]), own.alpha()) and len(own) == len(people["masks"]) > 0
    assert np.array_equal(service.pixels(people["masks"][0]["mask"]), own.alpha(0))
    assert people["others"] == people["other_people"]  # its former name


def test_other_ways_to_point(service: Running) -> None:
    image = np.zeros((60, 80, 3), np.uint8)
    image[20:40, 30:50] = 200
    rng = np.random.default_rng(0)
    image += rng.integers(0, 9, image.shape, np.uint8)
    id = service.upload(image)["id"]
    plain = {"picture": id, "method": "grabcut"}
    box = service.done("segment", **plain, steps=[{"kind": "box", "box": [25, 15, 30, 30]}], every=True)
    (only,) = box["masks"]
    inside = service.pixels(box["mask"]) > 127
    assert inside[22:38, 32:48].all() and inside.sum() < 600
    assert only["mask"]["id"] != box["mask"]["id"] and only["box"][2] == pytest.approx(20, abs=3)
    coarse = np.zeros((60, 80), np.uint8)
    coarse[18:42, 28:52] = 255
    steps = [{"kind": "mask", "mask": service.upload(coarse)["id"]}, {"kind": "scribble", "line": [[32, 22], [48, 38]]}]
    assert (service.pixels(service.done("segment", **plain, steps=steps)["mask"]) > 127)[22:38, 32:48].all()
    line = [[24, 14], [56, 16], [54, 46], [26, 44]]
    outline = service.done("segment", **plain, steps=[{"kind": "lasso", "line": line, "tolerance": 0}])
    mask = service.pixels(outline["mask"])
    assert np.array_equal(mask, segmentation.segment(image, lasso=line, tolerance=0).mask) and mask[44, 40] > 127
    part = {"kind": "combine", "mask": service.upload(coarse)["id"], "add": False}
    rest = service.pixels(service.done("segment", **plain, steps=[{"kind": "lasso", "line": line}, part])["mask"])
    assert not rest[coarse > 0].any()
    plain_id = service.upload(np.full((40, 40, 3), 7, np.uint8))["id"]
    no_people = service.done("segment", picture=plain_id, all_people=True)
    assert no_people["masks"] == [] and "mask" not in no_people and "no person" in no_people["info"]["reason"]
    assert no_people["info"]["reason_code"] == "nobody"
    assert not service.pixels(no_people["other_people"]).any()
    for wrong in ({}, {"all_people": True, "steps": steps}, {"steps": steps[::-1]}, {"steps": [{"kind": "lasso"}]}):
        assert service.start("segment", picture=id, **wrong).status_code == 422
    outside = service.start("segment", 60, **plain, steps=[{"kind": "click", "x": 90, "y": 5}]).json()
    assert outside["status"] == "failed" and "outside of the image" in outside["error"]["message"]


def test_an_edge_brush_refines_the_mask_under_it(service: Running) -> None:
    from pyharmony.segmentation.masks import alpha_within

    y, x = np.mgrid[:120, :200]
    alpha = np.where(y < 60, ((np.sin(x) + 1) / 2) * (y > 40), 1.0)
    noise = np.random.default_rng(3).normal(0, 4, (120, 200, 3))
    image = alpha[..., None] * (90, 60, 30) + (1 - alpha[..., None]) * (120, 180, 220) + noise
    image = image.clip(0, 255).astype(np.uint8)
    rough = ((y > 50) * 255).astype(np.uint8)
    picture, mask = service.upload(image)["id"], service.upload(rough)["id"]
    stroke = {"line": [[0, 50], [199, 50]], "width": 30, "edge": True}
    for options in ({}, {"preview": True}):
        result = service.pixels(service.done("paint", picture=picture, mask=mask, strokes=[stroke], **options)["mask"])
        assert np.array_equal(result[:30], rough[:30]) and np.array_equal(result[70:], rough[70:])
        near = np.s_[42:60]
        before, after = (np.abs(one[near] - 255.0 * alpha[near]).mean() for one in (rough, result))
        assert after < 0.6 * before
    region = np.zeros_like(rough)
    region[35:66] = 255
    assert not np.array_equal(alpha_within(image, rough, region), rough)
    assert np.array_equal(alpha_within(image, rough, np.zeros_like(rough)), rough)


def test_strokes_are_painted_at_full_size(service: Running) -> None:
    image = np.zeros((90, 3200, 3), np.uint8)
    initial = np.zeros((90, 3200), np.uint16)
    initial[:, :100] = 65535
    id, mask = service.upload(image)["id"], service.upload(initial)["id"]
    strokes: list[dict[str, Any]] = [
        {"line": [[300, 40], [400, 40], [400, 60]], "width": 21},
        {"line": [[50, 45]], "width": 30.5, "add": False},
        {"line": [[-500, -500], [3199, 89]], "width": 1},
    ]
    pixels = service.pixels(service.done("paint", picture=id, mask=mask, strokes=strokes)["mask"])
    y, x = np.mgrid[:90, :3200].astype(float)

    def coverage(width: float, *line: tuple[float, float]) -> np.ndarray:
        """Returns how far a brush covers each pixel, from the definition, for lines along an axis."""
        boxes = [(min(a, c), max(a, c), min(b, d), max(b, d)) for (a, b), (c, d) in zip(line, line[1:] or line)]
        away = [np.hypot(x - x.clip(left, right), y - y.clip(top, low)) for left, right, top, low in boxes]
        return 255 * (width / 2 + 0.5 - np.min(away, axis=0)).clip(0, 1)

    expected = np.maximum(initial / 257, coverage(21, (300, 40), (400, 40), (400, 60)))
    expected = np.minimum(expected, 255 - coverage(30.5, (50, 45)))
    assert np.abs(pixels - expected)[:, :2000].max() <= 0.51
    assert pixels[89, 3199] == 255 and 0 < np.count_nonzero(pixels[:, 3150:]) < 300
    empty = service.pixels(service.done("paint", picture=id, strokes=strokes[:1], preview=True)["mask"])
    assert empty.shape == (45, 1600) and empty[20, 175] == 255 and empty[:, :140].sum() == 0
    other = service.upload(initial[:50])["id"]
    answer = service.start("paint", 60, picture=id, mask=other, strokes=strokes).json()
    assert "3200 x 50, and picture is 3200 x 90" in answer["error"]["message"]
    for wrong in ([], [{"line": [], "width": 2}], [{"line": [[0, 0]], "width": 0}], [{"line": [[0, "x"]], "width": 2}]):
        assert service.start("paint", picture=id, strokes=wrong).status_code == 422


def test_a_preview_of_clicks_takes_positions_of_full_size(service: Running) -> None:
    image = np.zeros((120, 2000, 3), np.uint8)
    image[40:80, 1500:1560] = 200
    id = service.upload(image)["id"]
    steps = [{"kind": "box", "box": [1480, 20, 100, 80]}]
    result = service.done("segment", picture=id, steps=steps, method="grabcut", preview=True)
    mask = service.pixels(result["mask"]) > 127
    assert mask.shape == (96, 1600) and mask[34:62, 1204:1244].all() and not mask[:, :1150].any()
    assert result["masks"][0]["box"] == pytest.approx([1500, 40, 60, 40], abs=20)


def person(height: int, width: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns a picture of a simple figure before a wall, and the mask of the figure."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    head = np.hypot(x - width / 2, y - height * 0.3) < height * 0.13
    body = (y > height * 0.45) & (np.abs(x - width / 2) < width * 0.25)
    mask = (255 * (head | body)).astype(np.uint8)
    wall = np.stack([x * 90 // width + 60, y * 70 // height + 80, (x + y) // 9 + 50], -1)
    image = np.where(mask[..., None] > 0, (190, 120, 90), wall) + rng.integers(0, 12, (height, width, 3))
    return image.astype(np.uint8), mask


@pytest.mark.filterwarnings("ignore::pyharmony.errors.PyHarmonyWarning")
def test_a_place_and_a_composite_there(service: Running) -> None:
    subject, mask = person(240, 180, 0)
    background, others = person(640, 1700, 1)
    ids = service.ids(subject=subject, background=background, mask=mask, others=others)
    body = {"subject": ids["subject"], "background": ids["background"], "mask": ids["mask"], "people": [ids["others"]]}
    whole, small = (service.done("place", **body, k=2, preview=preview)["places"] for preview in (False, True))
    expected = pyharmony.place(subject, background, mask=mask, people=[others], k=2)
    more = np.zeros_like(others)
    more[:, 900:] = 255
    head = [770.0, 110.0, 160.0, 160.0]
    beside = service.done("place", **body, k=1, heads=[head], other_people=service.upload(more)["id"])["places"][0]
    crowd: dict[str, Any] = {"people": [others], "heads": [head], "other_people": more}
    (reference,) = pyharmony.place(subject, background, mask=mask, **crowd, k=1)
    assert beside["box"] == pytest.approx(reference.box) and beside["box"][0] + beside["box"][2] < 1000
    for place, one in zip(whole, expected, strict=True):
        assert place["scale"] == one.scale and place["box"] == pytest.approx(one.box) and place["score"] == one.score
        assert place["usable"] == round(one.usable or 0, 4)
        assert place["doubt_codes"] == [doubt.code for doubt in one.doubts]
    assert small[0]["box"] == pytest.approx(whole[0]["box"], abs=40)
    place = {key: whole[0][key] for key in ("at", "scale", "angle", "flip", "behind")}
    request = {"subjects": [{"picture": ids["subject"], "mask": ids["mask"], **place}], "background": ids["background"]}
    request |= {"people": [ids["others"]], "harmonize": "reinhard", "shadow": False}
    job = service.start("compose", 60, **request).json()
    assert job["status"] == "done", job
    pixels, recipe = service.pixels(job["result"]["picture"]), service.client.get(job["result"]["recipe_url"]).json()
    options: dict[str, Any] = {"people": [others], "harmonize": "reinhard", "shadow": False}
    placed_subject = composition.Subject(subject, mask=mask, **{**place, "at": tuple(place["at"])})
    composite, info = pyharmony.compose([placed_subject], background, return_info=True, **options)
    assert np.array_equal(pixels, composite) and recipe == json.loads(json.dumps(info.recipe))
    # The recipe gives the same again, and a preview of it.
    again = {"subjects": [{"picture": ids["subject"]}], "background": ids["background"], "recipe": recipe}
    assert np.array_equal(service.pixels(service.done("compose", **again)["picture"]), pixels)
    assert service.done("compose", **again, preview=True)["picture"]["width"] == 1600
    recipe["subjects"][0]["harmonize"]["method"] = "/etc/passwd"
    deep: Any = 1
    for _ in range(400):
        deep = [deep]
    for wrong in (
        {**again, "recipe": {"x": deep}},
        {**request, "shadow": {"tip": deep}},
        again,
        {**request, "harmonize": "/etc/passwd"},
        {**request, "subjects": []},
    ):
        assert service.start("compose", 60, **wrong).status_code == 422
    for text in ({"shadow": {"SURROGATE": 1}}, {"harmonize": "SURROGATE"}):
        content = json.dumps({**request, **text}).replace("SURROGATE", "\\ud800")
        as_json = {"content-type": "application/json"}
        answer = service.client.post("/api/v1/compose?wait=60", content=content, headers=as_json)
        assert answer.status_code == 422 or answer.json()["status"] == "failed", answer.text
    other = service.start("export", 60, picture=ids["mask"], format="png").json()
    assert kind_of(service.client.get(f"{other['url']}/recipe")) == "no_recipe"


@pytest.mark.filterwarnings("ignore::pyharmony.errors.PyHarmonyWarning")
def test_what_speaks_against_a_mask_and_a_composite_is_told(service: Running) -> None:
    (subject, _), (background, _) = person(240, 180, 0), person(640, 900, 1)
    ids = service.ids(subject=subject, background=background)
    step = {"kind": "click", "x": 90, "y": 120}
    masks = segmentation.Session(subject).segment(points=[(90, 120)])
    doubts = mask_doubts(layers_of(masks)[0].values, len(masks))
    info = service.done("segment", picture=ids["subject"], steps=[step])["info"]
    assert (info["doubts"], info["doubt_codes"]) == ([*doubts], [doubt.code for doubt in doubts])
    request = {"subjects": [{"picture": ids["subject"], "points": [[90, 120]]}], "background": ids["background"]}
    record = service.done("compose", **request, harmonize=None, shadow=False)["info"]
    _, info = pyharmony.compose(subject, background, points=(90, 120), harmonize=None, shadow=False, return_info=True)
    assert info.usable is not None and record["usable"] == pytest.approx(info.usable, abs=1e-4)
    assert (record["verdict"], record["verdict_code"]) == (info.verdict, info.verdict.code)
    assert record["doubt_codes"] == [doubt.code for doubt in info.subjects[0].doubts]


def test_with_open_data_alone_people_are_not_detected_and_places_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYHARMONY_OPEN_DATA", "1")
    says = "PYHARMONY_OPEN_DATA=1 leaves them out"
    with running() as one:
        about = one.client.get("/api/v1/service").json()["segment_methods"]
        assert about[0]["name"] == "auto" and [each["name"] for each in about[1:]] == [
            "clicks", "grabcut", "random_walker"
        ]  # fmt: skip
        assert not any(each["detects_people"] for each in about)
        assert about[0]["about"] == f"the default: {segmentation.METHODS['clicks'].summary}"
        ids = one.ids(**placed())
        click = {"kind": "click", "x": 30, "y": 40}
        refused = one.start("segment", picture=ids["background"], steps=[click], method="clicks-imagenet")
        assert refused.status_code == 422 and says in refused.json()["error"]["message"]
        job = one.start("segment", 60, picture=ids["background"], all_people=True).json()
        assert job["status"] == "failed" and says in job["error"]["message"]
        places = one.done("place", subject=ids["subject"], background=ids["background"], mask=ids["mask"], people=[])
        assert places["places"]


@pytest.mark.filterwarnings("ignore::pyharmony.errors.PyHarmonyWarning")
def test_a_composite_is_cut_out_by_the_method_that_is_named(service: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    subject, _ = person(96, 72, 2)
    background = placed()["background"]
    ids = service.ids(subject=subject, background=background)
    fixed: dict[str, Any] = {"harmonize": None, "sharpness": 0, "grain": 0, "shadow": False}
    one = {"picture": ids["subject"], "points": [[36, 70]], "at": [100, 60]}
    composites = {}
    for name in ("auto", "grabcut"):
        job = service.start("compose", 60, subjects=[one], background=ids["background"], segment=name, **fixed).json()
        assert job["status"] == "done", job
        composites[name] = service.pixels(job["result"]["picture"])
        expected = pyharmony.compose(subject, background, points=(36, 70), at=(100, 60), segment=name, **fixed)
        assert np.array_equal(composites[name], expected), name
        # The recipe holds the mask, so it needs no method.
        recipe = service.client.get(job["result"]["recipe_url"]).json()
        again = {"subjects": [{"picture": ids["subject"]}], "background": ids["background"], "recipe": recipe}
        assert np.array_equal(service.pixels(service.done("compose", **again)["picture"]), expected)
    assert not np.array_equal(composites["auto"], composites["grabcut"])
    body = {"subjects": [one], "background": ids["background"], **fixed}
    for wrong in ("sam", "", "/etc/passwd", None, ["auto"]):
        assert service.start("compose", 60, **body, segment=wrong).status_code == 422, wrong
    # All of them are told, with what each is; one that lacks something is refused with the reason.
    about = {one["name"]: one for one in service.client.get("/api/v1/service").json()["segment_methods"]}
    assert list(about) == ["auto", *segmentation.METHODS]  # all of them can run where tests run
    summary = segmentation.METHODS["grabcut"].summary
    # The last field is the former name of the one before.
    assert about["grabcut"] == {"name": "grabcut", "about": summary, "detects_people": False, "people": False}
    schemas = service.client.get("/api/v1/openapi.json").json()["components"]["schemas"]
    for schema, field in (("ComposeBody", "segment"), ("SegmentBody", "method")):
        assert schemas[schema]["properties"][field]["enum"] == list(about)
    answer = service.start("segment", picture=ids["subject"], all_people=True, method="grabcut")
    able = ", ".join(["auto", *(name for name, method in segmentation.METHODS.items() if method.detects_people)])
    assert answer.status_code == 422 and f"expected one of {able}" in answer.text
    lacks = dataclasses.replace(segmentation.METHODS["grabcut"], needs=(("no_such_module", "segment"),))
    monkeypatch.setitem(segmentation.METHODS, "grabcut", lacks)
    answer = service.start("compose", 60, **body, segment="grabcut")
    assert answer.status_code == 422 and "no_such_module is missing" in answer.json()["error"]["message"]


@pytest.mark.filterwarnings("ignore::pyharmony.errors.PyHarmonyWarning")
def test_what_is_enlarged_counts_as_what_it_becomes(service: Running) -> None:
    images = scene(6, 30, 40)
    mask = np.pad(images["mask"][:12, :16], ((9, 9), (12, 12)))
    ids = service.ids(image=images["dst"], mask=mask)
    plain = pyharmony.harmonize(images["dst"], mask, method="reinhard")
    for times in (2, 4):
        picture = service.done("harmonize", **ids, method="reinhard", upscale=times)["picture"]
        assert (picture["width"], picture["height"], picture["channels"]) == (40 * times, 30 * times, 3)
        assert np.array_equal(service.pixels(picture), pyharmony.super_resolve(plain, times))
        assert Image.open(io.BytesIO(service.bytes(picture, "proxy_url"))).size == (40 * times, 30 * times)
    for wrong in (0, 3, 8, "two", 1e9, True):
        assert service.start("harmonize", **ids, upscale=wrong).status_code == 422, wrong
    # As many pixels as an image may have, and no more; the job does not begin.
    wide = service.ids(image=np.zeros((10, 2000, 3), np.uint8), mask=np.full((10, 2000), 255, np.uint8))
    with having(service, max_pixels=40 * 30 * 4):
        assert service.done("harmonize", **ids, method="reinhard", upscale=2)["picture"]["width"] == 80
        answer = service.start("harmonize", **ids, method="reinhard", upscale=4)
        assert answer.status_code == 413 and kind_of(answer) == "ImageTooLarge"
        message = "upscale: 4 enlarges 40 x 30 to 160 x 120 pixels (width x height), expected at most 4800 pixels"
        assert answer.json()["error"]["message"] == message
        assert service.start("harmonize", **wide, upscale=2, preview=True).status_code == 413  # 3200 x 16 of its proxy
    assert service.start("harmonize", image="0" * 32, mask=ids["mask"], upscale=4).status_code == 404


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::pyharmony.errors.PyHarmonyWarning")
def test_photographs_of_one_place_are_merged(service: Running) -> None:
    wall = np.random.default_rng(5).integers(50, 210, (10, 66, 3)).repeat(25, 0).repeat(25, 1).astype(np.uint8)
    photos, masks = [wall.copy(), wall.copy()], [np.zeros(wall.shape[:2], np.uint8) for _ in range(2)]
    for photo, mask, x in zip(photos, masks, (200, 1100), strict=True):
        photo[60:210, x : x + 150], mask[60:210, x : x + 150] = (230, 60, 40), 255
    ids = service.ids(
        first=photos[0],
        second=photos[1],
        mask=masks[1],
        one=masks[0],
        wall=photos[0][:90, :90],
        none=masks[0][:90, :90],
    )
    body = {"photos": [ids["first"], ids["second"]], "people": [ids["one"], ids["mask"]], "base": 0}
    job = service.start("merge", 60, **body).json()
    assert job["status"] == "done", job
    expected, info = pyharmony.merge(photos, base=0, people=masks, return_info=True)
    assert np.array_equal(service.pixels(job["result"]["picture"]), expected)
    base, other = job["result"]["info"]["photos"]
    assert other["parts"][0]["box"] == list(info.photos[1].parts[0].box) and base["parts"] == []
    assert other["parts"][0]["people"] == other["parts"][0]["people_share"] == info.photos[1].parts[0].people_share
    record = job["result"]["info"]
    assert (record["usable"], record["verdict_code"]) == (pytest.approx(info.usable, abs=1e-4), info.verdict.code)
    assert record["doubt_codes"] == [doubt.code for doubt in info.doubts] and info.usable is not None
    small = service.done("merge", **body, preview=True)
    assert small["picture"]["width"] == 1600
    assert small["info"]["photos"][1]["parts"][0]["box"] == pytest.approx(other["parts"][0]["box"], abs=60)
    best = service.done("merge", **{**body, "base": None}, preview=True)["info"]
    assert best["base"] == min((0, 1), key=lambda i: best["bases"][i]["cost"]) and job["result"]["info"]["bases"] == []
    left_out = service.done("merge", photos=[ids["first"], ids["wall"]], people=[ids["one"], ids["none"]])["info"]
    assert "does not show the scene" in left_out["photos"][1]["reason"] and left_out["reason"]
    assert left_out["photos"][1]["reason_code"] == "other-place" and left_out["reason_code"] == "no-common-place"
    assert left_out["warning_codes"] == ["left-out", "no-common-place"] and len(left_out["warnings"]) == 2
    for wrong in ({"photos": [ids["first"]]}, {**body, "people": [None]}, {**body, "base": 2}):
        assert service.start("merge", 60, **wrong).status_code == 422


@pytest.mark.filterwarnings("ignore::pyharmony.errors.PyHarmonyWarning")
def test_something_is_taken_away(service: Running) -> None:
    photo = np.tile(np.random.default_rng(5).integers(60, 190, (15, 20, 3), np.uint8), (8, 8, 1))
    mask = np.zeros((120, 160), np.uint8)
    mask[50:70, 70:95] = 255
    photo[mask > 0] = 250
    ids = service.ids(image=photo, mask=mask, empty=np.zeros_like(mask), full=np.full_like(mask, 255))
    names = {name: ids[name] for name in ("image", "mask")}
    for options in ({}, {"grow": 5.0}):
        answer = service.done("remove", **names, **options)
        result, info = pyharmony.remove(photo, mask, return_info=True, **options)
        assert np.array_equal(service.pixels(answer["picture"]), result)
        assert answer["info"]["share"] == info.share and answer["info"]["reason"] == ""
    copy = service.done("remove", image=ids["image"], mask=ids["empty"])
    assert np.array_equal(service.pixels(copy["picture"]), photo) and copy["info"]["reason_code"] == "mask-empty"
    refusal = service.start("remove", 60, image=ids["image"], mask=ids["full"]).json()
    assert refusal["status"] == "failed" and refusal["error"]["code"] == "no-source"
    for wrong in ({"grow": -1}, {"grow": 1001}, {"mask": None}, {"points": [[1, 1]]}):
        assert service.start("remove", 60, **{**names, **wrong}).status_code == 422


def test_an_edit_goes_back_into_its_photograph(service: Running) -> None:
    photo = np.random.default_rng(5).integers(50, 210, (36, 48, 3)).repeat(12, 0).repeat(12, 1).astype(np.uint8)
    edit = np.clip(photo * 1.04 + 3, 0, 255).astype(np.uint8)
    edit[100:200, 150:300] = (230, 60, 40)
    second = photo.copy()
    second[300:350, 450:550] = (30, 60, 240)
    ids = service.ids(photo=photo, edit=edit, second=second, other=photo[::-1])
    answer = service.done("apply-edit", original=ids["photo"], edited=[ids["edit"]])
    result, info = pyharmony.apply_edit(photo, edit, return_info=True)
    assert np.array_equal(service.pixels(answer["picture"]), result)
    assert np.array_equal(service.pixels(answer["mask"]).reshape(info.mask.shape), info.mask)
    (one,) = answer["info"]["edits"]
    assert one["changes"][0]["box"] == list(info.changes[0].box)
    small = service.done("apply-edit", original=ids["photo"], edited=[ids["edit"]], preview=True)
    assert small["info"]["edits"][0]["changes"][0]["box"] == pytest.approx(one["changes"][0]["box"], abs=20)
    both = service.done("apply-edit", original=ids["photo"], edited=[ids["edit"], ids["second"]])
    assert [len(one["changes"]) for one in both["info"]["edits"]] == [1, 1]
    none = service.done("apply-edit", original=ids["photo"], edited=[ids["edit"]], changes=[])
    assert np.array_equal(service.pixels(none["picture"]), photo)
    refusal = service.start("apply-edit", 60, original=ids["photo"], edited=[ids["other"]]).json()
    assert refusal["status"] == "failed"
    assert refusal["error"]["code"] == "other-picture"
    for wrong in (
        {"edited": []},
        {"edited": [ids["edit"]] * 2, "changes": [0]},
        {"edited": [ids["edit"]], "colors": "x"},
    ):
        assert service.start("apply-edit", 60, **{"original": ids["photo"], **wrong}).status_code == 422


@pytest.mark.filterwarnings("ignore::pyharmony.errors.PyHarmonyWarning")
def test_an_edit_of_a_jpeg_keeps_its_other_blocks(service: Running) -> None:
    pytest.importorskip("jpeglib", reason="jpeglib is not installed")
    photo = np.random.default_rng(5).integers(50, 210, (36, 48, 3)).repeat(12, 0).repeat(12, 1).astype(np.uint8)
    edit = photo.copy()
    edit[100:200, 150:300] = (230, 60, 40)
    stream = io.BytesIO()
    Image.fromarray(photo).save(stream, "JPEG", quality=90)
    ids = {"original": service.upload(stream.getvalue())["id"], "edited": [service.upload(edit)["id"]]}
    result = service.done("apply-edit", **ids, format="jpeg", quality="original")
    export = service.done("export", picture=result["picture"]["id"], format="png")["picture"]
    assert b"compositeWithTrainedAlgorithmicMedia" in xmp_of(service.bytes(export))
    before, after = np.asarray(Image.open(stream)), service.pixels(result["picture"])
    assert np.array_equal(after[240:], before[240:]) and not np.array_equal(after[:240], before[:240])
    assert service.pixels(result["mask"]).max() == 255


# ---- jobs ----


def events_of(service: Running, job: dict[str, Any], came: Callable[[], Any] = lambda: None) -> list[dict[str, Any]]:
    """Returns the events of a job up to its end; came is called when the first one was read."""
    events: list[dict[str, Any]] = []
    with service.client.stream("GET", job["events_url"]) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        for line in answer.iter_lines():
            if line.startswith("data: "):
                events.append(json.loads(line.removeprefix("data: ")))
                if len(events) == 1:
                    came()
    return events


def test_events_tell_how_far_a_job_is(service: Running) -> None:
    ids = service.ids(**scene())
    with service.at_rest():  # the job begins when somebody listens
        job = service.start("blend", **ids, at=[20, 10], mode="poisson").json()
        assert job["status"] == "queued" and job["url"] == f"api/v1/jobs/{job['id']}"
        events = events_of(service, job, service.go)
    assert events[-1]["status"] == "done" and events[-1]["result"]["picture"]["width"] == 80
    assert events[0]["status"] == "queued" and {one["status"] for one in events[1:-1]} == {"running"}
    # Each is told, also of a job that is over before the first one could be sent.
    phases = [one["phase"]["name"] for one in events if "phase" in one]
    assert phases == ["decode", "solve", "encode"]
    assert [one["phase"]["step"] for one in events if "phase" in one] == [1, 2, 3]
    assert [one["status"] for one in events_of(service, job)] == ["done"]  # a page that comes back
    assert service.client.get(job["url"]).json() == events[-1]


def test_phases_that_pass_at_once_are_all_told(service: Running) -> None:
    from pyharmony.serve._answers import Phase
    from pyharmony.serve._operations import OPERATIONS
    from pyharmony.serve._pool import Job

    pool = service.service.pool
    job = Job("0" * 32, "", OPERATIONS["blend"], "", [], status="running", start_time=time.time())
    assert [one.phase for one in pool.changes(job, 0)] == [None]
    job.phases += [Phase(name=name, step=i + 1, steps=3) for i, name in enumerate(("decode", "solve", "encode"))]

    def names(since: int) -> list[str | None]:
        return [one.phase and one.phase.name for one in pool.changes(job, since)]

    assert names(0) == ["decode", "solve", "encode"] and names(1) == ["solve", "encode"] and names(3) == ["encode"]
    job.status, job.end_time = "done", time.time()
    assert names(1) == ["solve", "encode", None] and names(3) == [None]
    assert [one.status for one in pool.changes(job, 1)] == ["running", "running", "done"]
    assert [one.finished is None for one in pool.changes(job, 2)] == [True, False]


def test_the_end_is_told_of_a_job_that_ends_while_an_event_is_sent(service: Running) -> None:
    from pyharmony.serve._operations import OPERATIONS
    from pyharmony.serve._pool import Job

    job = Job("1" * 32, "", OPERATIONS["blend"], "", [], status="running", start_time=time.time())

    async def sent_statuses() -> list[str]:
        answer = await service.service.events(job.id, "")
        found = []
        async for sent in answer.body_iterator:
            if "data: " in (text := str(sent)):
                found.append(json.loads(text.partition("data: ")[2])["status"])
            if found == ["running"]:  # the first event is on its way
                job.status, job.end_time = "done", time.time()
                job.touch()
        return found

    jobs = service.service.pool.jobs
    jobs[job.id] = job
    try:
        assert asyncio.run(sent_statuses()) == ["running", "done"]
    finally:
        del jobs[job.id]


def test_cancelling_stops_the_work_and_frees_the_worker(service: Running) -> None:
    body = long_job(service)
    service.until(lambda: service.service.pool.slots[0].idle)
    job = service.start("blend", **body).json()
    waiting = service.start("blend", **body).json()
    service.until(lambda: service.client.get(job["url"]).json().get("phase", {}).get("name") == "solve")
    assert waiting["status"] == "queued" and waiting["position"] == 0
    assert service.client.delete(waiting["url"]).json()["status"] == "cancelled"
    pid = service.pid()
    assert service.client.delete(job["url"]).json()["status"] == "cancelled"
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    result = service.done("export", picture=body["mask"], format="bmp")  # another worker takes the next job
    assert result["picture"]["width"] == LONG_SIDE and service.pid() != pid
    assert service.client.delete(job["url"]).json()["status"] == "cancelled"
    assert list((service.folder / "jobs").iterdir()) == []


def test_a_worker_that_is_killed_takes_its_job_with_it_and_nothing_else(service: Running) -> None:
    body = long_job(service)
    job = service.start("blend", **body).json()
    service.until(lambda: service.client.get(job["url"]).json()["status"] == "running")
    os.kill(service.pid(), signal.SIGKILL)
    answer = service.client.get(job["url"], params={"wait": 60}).json()
    assert answer["status"] == "failed" and answer["error"]["kind"] == "worker_died"
    assert service.client.get("/health").status_code == 200
    assert service.done("export", picture=body["mask"], format="bmp")["picture"]["width"] == LONG_SIDE
    assert list((service.folder / "jobs").iterdir()) == []


def test_a_job_has_its_time(service: Running) -> None:
    body = long_job(service)
    with having(service, timeout=0.3):
        answer = service.start("blend", 60, **body).json()
    assert (
        answer["status"] == "failed" and answer["error"]["kind"] == "timeout" and "0.3 s" in answer["error"]["message"]
    )
    assert service.done("export", picture=body["mask"], format="bmp")["picture"]["width"] == LONG_SIDE


def test_a_full_queue_refuses_at_once(service: Running) -> None:
    body = service.ids(**scene())
    with having(service, queue=2), service.at_rest():
        jobs = [service.start("blend", **body).json() for _ in range(2)]
        for request in (
            lambda: service.start("blend", **body),
            lambda: service.client.post("/api/v1/pictures", content=b"x" * 100_000),
            lambda: service.start("segment", picture=body["src"], all_people=True),
        ) * 3:
            answer = request()
            assert answer.status_code == 429 and kind_of(answer) == "busy"
            assert 1 <= int(answer.headers["retry-after"]) <= 60
        assert service.client.get("/health").json()["queued"] == 2
        for job in reversed(jobs):
            assert service.client.delete(job["url"]).json()["status"] == "cancelled"
        service.go()
        assert service.upload(file_of(scene()["mask"]))["width"] == 40


def test_failures_say_what_is_wrong_without_paths(service: Running) -> None:
    images = scene(5)
    ids = service.ids(**images)
    record = service.start("blend", 60, **ids).json()
    assert (
        record["status"] == "failed" and record["error"]["kind"] == "ShapeError" and record["error"]["exit_code"] == 3
    )
    assert (record["error"]["code"], record["error"]["argument"]) == ("sizes-differ", "src")
    assert f"src ({ids['src']}): 40 x 30 pixels and dst 80 x 60" in record["error"]["message"]
    assert kind_of(service.start("blend", **ids, gradients="mixed")) == "usage"
    assert "gradients cannot be used with mode" in service.start("blend", **ids, gradients="mixed").text
    four = service.done("cutout", picture=ids["src"], mask=ids["mask"])["picture"]
    record = service.start("export", 60, picture=four["id"], format="jpeg").json()
    assert record["status"] == "failed" and record["error"]["kind"] == "ArgumentError"
    for answer in (
        service.start("blend", 60, **ids),
        service.client.post("/api/v1/pictures", content=b"no image"),
        service.start("segment", 60, picture=ids["src"], steps=[{"kind": "click", "x": 999, "y": 1}]),
    ):
        assert str(service.folder) not in answer.text and "--" not in answer.text


# ---- refusals ----


def test_large_bodies_are_refused_while_they_come(service: Running) -> None:
    limit = service.service.settings.upload_limit
    for size, status, kind in ((limit, 422, "DecodeError"), (limit + 1, 413, "too_large")):
        answer = service.client.post("/api/v1/pictures", content=b"\0" * size)
        assert answer.status_code == status and kind_of(answer) == kind
    byte_count = 0

    def chunks() -> Iterator[bytes]:
        nonlocal byte_count
        for _ in range(40):
            byte_count += 200_000
            yield b"\0" * 200_000

    answer = service.client.post("/api/v1/pictures", content=chunks())
    assert answer.status_code == 413 and answer.headers["connection"] == "close"
    answer = service.client.post(
        "/api/v1/blend", content=b" " * 5_000_000, headers={"content-type": "application/json"}
    )
    assert answer.status_code == 413
    files = set(os.listdir(service.folder / "pictures"))
    assert files == set(service.service.store.pictures)


def chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def deflated(count: int, byte: bytes = b"\0") -> bytes:
    """Returns so many equal bytes, compressed a thousand times."""
    packer, part = zlib.compressobj(9), byte * (1 << 20)
    return b"".join([packer.compress(part) for _ in range(count >> 20)]) + packer.flush()


def tiff(width: int, height: int, *entries: tuple[int, int, int, int], data: bytes = b"\0" * 64) -> bytes:
    """Returns a TIFF file of 8-bit greys with one strip, whose entries (tag, type, count, value) may be replaced."""
    tags = {
        256: (4, 1, width), 257: (4, 1, height), 258: (3, 1, 8), 259: (3, 1, 1), 262: (3, 1, 1), 273: (4, 1, 8),
        277: (3, 1, 1), 278: (4, 1, height), 279: (4, 1, len(data)),
    }  # fmt: skip
    tags |= {tag: tuple(rest) for tag, *rest in entries}  # type: ignore[misc]
    table = b"".join(struct.pack("<HHII", tag, *tags[tag]) for tag in sorted(tags))
    return b"II*\0" + struct.pack("<I", 8 + len(data)) + data + struct.pack("<H", len(tags)) + table + b"\0" * 4


@functools.cache
def bombs() -> dict[str, tuple[int, bytes]]:
    """Returns small files that claim to be large, or grow when they are unpacked, and the status that each gets.

    Images that are whole are taken without the part that grows, which is metadata or lies behind the last pixel.
    """
    small = Image.fromarray(scene()["dst"])

    def encoded(format: str, **options: Any) -> bytes:
        held = io.BytesIO()
        small.save(held, format, **options)
        return held.getvalue()

    jpeg, webp, lossless, whole = encoded("JPEG"), encoded("WEBP"), encoded("WEBP", lossless=True), encoded("PNG")
    frame = jpeg.index(b"\xff\xc0") + 5
    vast = struct.pack(">HH", 65500, 65500)
    at, sides = webp.index(b"\x9d\x01\x2a") + 3, struct.pack("<HH", 16383, 16383)
    bits = lossless.index(b"VP8L") + 9
    claim = struct.pack(
        "<I", (0x3FFF | 0x3FFF << 14) | (struct.unpack("<I", lossless[bits : bits + 4])[0] & 0xF0000000)
    )
    canvas = b"VP8X" + struct.pack("<I", 10) + b"\2\0\0\0" + b"\xff\xff\0" * 2
    frames = b"RIFF" + struct.pack("<I", 4 + len(canvas)) + b"WEBP" + canvas

    def with_chunk(name: bytes, body: bytes) -> bytes:
        return whole[:33] + chunk(name, body) + whole[33:]

    def profile(tag: bytes) -> bytes:
        """Returns an ICC profile with the same claim for all of its tags."""
        names = (b"rTRC", b"gTRC", b"bTRC", b"A2B0", b"rXYZ", b"gXYZ", b"bXYZ", b"wtpt")
        table = b"".join(name + struct.pack(">II", 132 + 12 * len(names), len(tag)) for name in names)
        head = struct.pack(">I4sI4s4s4s", 132 + len(table) + len(tag), b"none", 0x2400000, b"mntr", b"RGB ", b"XYZ ")
        head = head.ljust(36, b"\0") + b"acsp"
        return head.ljust(128, b"\0") + struct.pack(">I", len(names)) + table + tag

    curve = profile(b"curv\0\0\0\0" + struct.pack(">I", 0xFFFFFFF0) + b"\0" * 16)
    grid = profile(b"mft2\0\0\0\0" + bytes([15, 15, 255, 0]) + b"\0" * 36 + struct.pack(">HH", 4096, 4096))
    long = struct.pack(">I", 0xFFFFFFFF) + curve[4:]

    def in_jpeg(profile: bytes) -> bytes:
        body = b"ICC_PROFILE\0\1\1" + profile
        return jpeg[:2] + b"\xff\xe2" + struct.pack(">H", len(body) + 2) + body + jpeg[2:]

    packed = deflated(128 << 20)
    return {
        "PNG of 4 gigapixels": (413, png(65535, 65535)),
        "PNG of one long row": (413, png((1 << 31) - 1, 1)),
        "PNG with more pixels than it says": (201, whole[:33] + chunk(b"IDAT", packed) + whole[-12:]),
        "PNG with a text that grows": (201, with_chunk(b"zTXt", b"Comment\0\0" + packed)),
        "PNG with an international text that grows": (201, with_chunk(b"iTXt", b"Comment\0\1\0\0\0" + packed)),
        "PNG with XMP that grows": (201, with_chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + packed)),
        "PNG with a profile that grows": (201, with_chunk(b"iCCP", b"icc\0\0" + packed)),
        "PNG with a curve of gigabytes": (201, with_chunk(b"iCCP", b"icc\0\0" + zlib.compress(curve))),
        "PNG with a grid of 15 dimensions": (201, with_chunk(b"iCCP", b"icc\0\0" + zlib.compress(grid))),
        "PNG with a profile that says it is long": (201, with_chunk(b"iCCP", b"icc\0\0" + zlib.compress(long))),
        "TIFF of 4 gigapixels": (413, tiff(65535, 65535)),
        "TIFF of one long row": (413, tiff(0xFFFFFFFF, 1)),
        "TIFF that grows": (201, tiff(4000, 4000, (259, 3, 1, 8), data=packed)),
        "TIFF of billions of strips": (422, tiff(8, 8, (273, 4, 0xFFFFFFFF, 8), (279, 4, 0xFFFFFFFF, 8))),
        "TIFF with a vast strip": (201, tiff(8, 8, (278, 4, 1, 0xFFFFFFFF), (279, 4, 1, 0xFFFFFFFF))),
        "TIFF with many channels": (422, tiff(4000, 4000, (277, 3, 1, 65535))),
        "TIFF with vast tiles": (
            422,
            tiff(8, 8, (322, 4, 1, 1 << 30), (323, 4, 1, 1 << 30), (324, 4, 1, 8), (325, 4, 1, 64), (278, 4, 1, 8)),
        ),
        "TIFF with a vast profile": (201, tiff(8, 8, (34675, 7, 0xFFFFFFFF, 8))),
        "WebP of 268 megapixels": (413, webp[:at] + sides + webp[at + 4 :]),
        "JPEG of 4 gigapixels": (413, jpeg[:frame] + vast + jpeg[frame + 4 :]),
        "JPEG with a curve of gigabytes": (201, in_jpeg(curve)),
        "JPEG with a grid of 15 dimensions": (201, in_jpeg(grid)),
        "BMP of 4 gigapixels": (
            413,
            b"BM" + struct.pack("<IHHIIiiHHIIiiII", 118, 0, 0, 54, 40, 65535, 65535, 1, 24, 0, 0, 0, 0, 0, 0),
        ),
        "WebP of an animation's canvas": (413, frames),
        "lossless WebP of 268 megapixels": (413, lossless[:bits] + claim + lossless[bits + 4 :]),
    }


def png(width: int, height: int, data: bytes = b"") -> bytes:
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")


def memory_of(pid: int, name: str = "VmRSS") -> int:
    """Returns the kilobytes of memory that a process has; "VmHWM": had at most."""
    match = re.search(rf"{name}:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert match is not None
    return int(match[1])


def test_bombs_are_refused_before_they_grow() -> None:
    with running(max_pixels=20_000_000) as service:
        service.upload(file_of(scene()["dst"], "JPEG"))
        pid = service.pid()
        before = memory_of(pid, "VmHWM")
        for name, (status, data) in bombs().items():
            assert len(data) < 200_000, name
            peak = memory_of(pid, "VmHWM")
            answer = service.client.post("/api/v1/pictures", content=data)
            assert answer.status_code == status, (name, answer.text)
            now = memory_of(pid, "VmHWM")
            if status == 201:  # all that it is is a small image, or as many pixels as its header says
                assert answer.json()["width"] <= 4000, name
                assert now < before + 64_000, (name, before, now)
            else:
                assert kind_of(answer) == ("ImageTooLarge" if status == 413 else "DecodeError"), name
                assert now < peak + 4_000, (name, peak, now)
        assert service.pid() == pid


def test_images_are_refused_by_what_they_claim(service: Running) -> None:
    for data in (png(65535, 65535), png(20_000, 1001), png(1 << 30, 1)):
        answer = service.client.post("/api/v1/pictures", content=data)
        assert answer.status_code == 413 and kind_of(answer) == "ImageTooLarge", answer.text
    for data in (
        b"GIF89a" + b"\0" * 50,
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        b"%PDF-1.4",
        png(5, 5),
        b"\xff\xd8\xff",
    ):
        answer = service.client.post("/api/v1/pictures", content=data)
        assert answer.status_code == 422 and kind_of(answer) == "DecodeError", answer.text
    for params, file in (
        ({}, "the file"),
        ({"name": "a photo.jpg"}, "file: a photo.jpg"),
        ({"name": "\n"}, r"file: \n"),
    ):
        for data in (b"GIF89a" + b"\0" * 50, png(5, 5), png(65535, 65535)):
            message = service.client.post("/api/v1/pictures", content=data, params=params).json()["error"]["message"]
            assert message.startswith((f"{file} is ", f"{file} has ")), message
            assert re.search("[0-9a-f]{32}", message) is None
    for params, file in (({}, "the file"), ({"name": "a photo.jpg"}, "file: a photo.jpg")):
        empty = service.client.post("/api/v1/pictures", params=params)
        assert empty.status_code == 422 and kind_of(empty) == "empty"
        assert empty.json()["error"]["message"] == f"{file} is empty, expected an image file"
    files = {"file": ("a.png", file_of(scene()["mask"]))}
    assert service.client.post("/api/v1/pictures", files=files).status_code == 415
    packed = service.client.post("/api/v1/pictures", content=b"x", headers={"content-encoding": "gzip"})
    assert packed.status_code == 415


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b"{", 400), (b"", 422), (b"[]", 422), (b"null", 422), (b'{"a": 1}', 422), (b"[" * 100_000, 400),
        (b'{"src": "x", "dst": "y"}', 422), (b'{"src": 1e999}', 422), (b'{"\\ud800": "\\ud800"}', 422),
        (b'{"src": "' + b"a" * 32 + b'", "dst": "' + b"b" * 32 + b'"}', 404), (b"9" * 10_000, 400),
        (b'{"src": "' + b"a" * 32 + b'\\n", "dst": "' + b"b" * 32 + b'"}', 422), (b"\xff\xfe", 400),
        (b'{"src": "' + b"a" * 32 + b'", "dst": "' + b"b" * 32 + b'", "at": [NaN, 1]}', 422),
    ],
)  # fmt: skip
def test_bodies_that_are_not_what_is_asked_for(service: Running, content: bytes, status: int) -> None:
    answer = service.client.post("/api/v1/blend", content=content, headers={"content-type": "application/json"})
    assert answer.status_code == status, answer.text
    assert set(answer.json()) == {"error"} and len(answer.text) < 3000
    message = answer.json()["error"]["message"]
    if content == b"{":
        assert re.fullmatch(r"the body is not JSON: .+, at character 2", message)
    if content == b'{"src": "x", "dst": "y"}':
        assert message.startswith("src: no such image, an id has 32 hexadecimal digits; dst: no such image,")


def test_other_types_methods_and_names(service: Running) -> None:
    client = service.client
    assert client.post("/api/v1/blend", content=b"{}").status_code == 415
    assert client.post("/api/v1/blend", data={"src": "x"}).status_code == 415
    assert client.get("/api/v1/pictures").status_code == 405
    assert client.put("/api/v1/pictures", content=b"").status_code == 405
    assert client.request("TRACE", "/").status_code in (404, 405)
    assert client.get("/api/v1/jobs/" + "0" * 32).status_code == 404
    assert client.get("/api/v1/pictures/" + "0" * 32 + "/file").status_code == 404
    assert client.get("/api/v1/nothing").status_code == 404
    assert client.post("/api/v1/open", json={"picture": "0" * 32}).status_code == 404
    assert client.get("/docs").status_code == client.get("/redoc").status_code == 404


def traversals() -> list[str]:
    parts = [
        "../",
        "..\\",
        "%2e%2e/",
        "%2e%2e%2f",
        "..%2f",
        "%252e%252e%252f",
        "....//",
        "..;/",
        "%c0%ae%c0%ae/",
        "/",
        "//",
    ]
    targets = [
        "etc/passwd",
        "lock",
        "pictures",
        "proxies/x",
        "jobs",
        "C:/windows/win.ini",
        "CON",
        "NUL.png",
        ".git/config",
    ]
    paths = [part * depth + target for part in parts for depth in (1, 3, 8) for target in targets]
    return paths + [
        "%00",
        "a%00.png",
        "\\\\host\\share",
        "file:///etc/passwd",
        "http://example.org/a.png",
        "~root",
        "." * 300,
    ]


def test_names_lead_nowhere(service: Running, tmp_path: Path) -> None:
    (tmp_path / "page").mkdir()
    (tmp_path / "page" / "index.html").write_text("<p>page")
    (tmp_path / "secret.txt").write_text("secret")
    clear(service)
    before, recipes = set(tmp_path.rglob("*")), set(os.listdir(service.folder / "recipes"))
    with having(service, page=tmp_path / "page"):
        paths = traversals()
        assert len(paths) > 250
        answers: list[Any] = []
        with socket.create_connection(("127.0.0.1", int(service.address.rpartition(":")[2])), 20) as line:
            file = line.makefile("rb")
            for name in [*paths, "../secret.txt", "%2e%2e/secret.txt", "/index.html/../../secret.txt"]:
                for place in ("/", "/api/v1/pictures/", "/static/"):
                    target = "".join(c if 32 < ord(c) < 127 else "_" for c in place + name)
                    line.sendall(f"GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
                    status, body = answer_of(file)
                    answers.append((target, status))
                    assert b"secret" not in body and b"root:" not in body
        assert {status for _, status in answers} <= {200, 404, 405, 422}
        assert {target for target, status in answers if status == 200} <= {"/", "/index.html"}
        data = file_of(scene()["mask"])
        for name in paths[::9]:
            uploaded = service.client.post("/api/v1/pictures", content=data, params={"name": name})
            assert uploaded.status_code in (201, 422)
            if uploaded.status_code == 201:
                disposition = service.client.get(uploaded.json()["file_url"]).headers["content-disposition"]
                match = re.fullmatch(r"attachment; filename(?:\*=utf-8'')?=?\"?([^\"]*)\"?", disposition)
                assert match is not None and match[1].endswith(".png")
                assert not {"/", "\\", ":"} & set(urllib.parse.unquote(match[1]))
                service.client.delete(uploaded.json()["url"])
        assert set(os.listdir(service.folder)) == {"pictures", "proxies", "recipes", "jobs", "lock"}
        until(lambda: not [*os.listdir(service.folder / "pictures"), *os.listdir(service.folder / "proxies")])
        assert set(os.listdir(service.folder / "recipes")) == recipes
    assert set(tmp_path.rglob("*")) == before


def answer_of(file: Any) -> tuple[int, bytes]:
    """Reads one answer of a connection."""
    status = int(file.readline().split()[1])
    length = 0
    while line := file.readline().strip():
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            length = int(value)
    return status, file.read(length)


def test_every_answer_has_the_headers(service: Running) -> None:
    client = service.client
    answers = [
        client.get("/health"), client.get("/nothing"), client.post("/api/v1/pictures", content=b"x"),
        client.get("/api/v1/service", headers={"Host": "example.org"}),
        client.post("/api/v1/pictures", content=b"\0" * 3_100_000),
        client.get(service.upload(scene()["mask"])["file_url"]),
    ]  # fmt: skip
    assert [answer.status_code for answer in answers] == [200, 404, 422, 421, 413, 200]
    for answer in answers:
        policy = answer.headers["content-security-policy"]
        assert "default-src 'self'" in policy and "unsafe" not in policy and "frame-ancestors 'none'" in policy
        assert answer.headers["x-content-type-options"] == "nosniff" and answer.headers["x-frame-options"] == "DENY"
        assert answer.headers["cross-origin-resource-policy"] == "same-origin" and "server" not in answer.headers
        assert "access-control-allow-origin" not in answer.headers and "cache-control" in answer.headers


def test_pages_from_elsewhere_are_refused(service: Running) -> None:
    client, host = service.client, service.address.removeprefix("http://")
    data = file_of(scene()["mask"])

    def status(**headers: str) -> int:
        return client.post(
            "/api/v1/pictures", content=data, headers={k.replace("_", "-"): v for k, v in headers.items()}
        ).status_code

    assert status(Origin=f"http://{host}") == status(Origin=f"http://{host}", Sec_Fetch_Site="same-origin") == 201
    assert status(Origin="http://example.org") == status(Origin="null") == status(Origin="http://localhost") == 403
    assert status(Sec_Fetch_Site="cross-site") == status(Sec_Fetch_Site="same-site") == 403
    assert client.get("/api/v1/service", headers={"Sec-Fetch-Site": "cross-site"}).status_code == 403
    for name in ("example.org", "localhost.example.org", "127.0.0.1.example.org", "", "[::2]", ALL_INTERFACES):
        assert status(Host=name) in (400, 421), name
    for name in ("localhost", "LOCALHOST:1", "127.0.0.1:8787", "[::1]:80"):
        assert status(Host=name) == 201, name
    with httpx.Client(base_url=service.address) as plain:  # without the header that no form can send
        assert kind_of(plain.post("/api/v1/pictures", content=data)) == "csrf"
        assert plain.delete("/api/v1/pictures/" + "0" * 32).status_code == 403
        assert plain.get("/api/v1/service").status_code == 200


def test_a_proxy_may_replace_the_host(guarded: Running) -> None:
    right = {"Authorization": f"Bearer {TOKEN}"}

    def status(origin: str) -> int:
        return guarded.client.get("/api/v1/service", headers={**right, "Origin": origin}).status_code

    assert status("https://blend.example.org") == status("https://blend.example.org:8443") == 200
    for origin in ("https://example.org", "https://x.blend.example.org", "https://blend.example.org.x", "null"):
        assert status(origin) == 403, origin


def test_a_token_is_asked_for(guarded: Running) -> None:
    data = file_of(scene()["mask"])
    service, client = guarded, guarded.client
    assert service.service.settings.upload_limit == 32_000_000
    answer = client.post("/api/v1/pictures", content=data)
    assert answer.status_code == 401 and answer.headers["www-authenticate"] == "Bearer"
    for wrong in ("Bearer", "Bearer x", f"Basic {TOKEN}", f"Bearer {TOKEN}x", TOKEN, "Bearer \xff"):
        headers = {"Authorization": wrong.encode("latin-1")}
        assert client.get("/api/v1/service", headers=headers).status_code == 401, wrong
    assert client.get("/metrics").status_code == 401 and client.get("/health").status_code == 200
    assert client.get("/").status_code == 200  # the page holds nothing, and asks for the token
    right = {"Authorization": f"Bearer {TOKEN}"}
    created = client.post("/api/v1/pictures", content=data, headers=right)
    assert created.status_code == 201
    # A page gets a cookie, since images and events cannot send the token.
    assert client.get(created.json()["proxy_url"]).status_code == 401
    session = client.post("/api/v1/session", headers=right)
    cookie = session.headers["set-cookie"]
    assert session.status_code == 204 and "HttpOnly" in cookie and "samesite=strict" in cookie.lower()
    assert client.get(created.json()["proxy_url"]).status_code == 200
    assert httpx.post(f"{service.address}/api/v1/pictures", content=data, cookies=client.cookies).status_code == 403
    assert client.delete("/api/v1/session").status_code == 204
    assert client.get(created.json()["proxy_url"]).status_code == 401
    assert client.delete(f"/api/v1/pictures/{created.json()['id']}", headers=right).status_code == 204


def test_settings_that_are_not_safe_are_refused(tmp_path: Path) -> None:
    for wrong in (
        {"host": ALL_INTERFACES}, {"host": "::"}, {"host": "example.org"}, {"hosts": ("example.org",)},
        {"token": "short"}, {"token": "with spaces in it and long"}, {"workers": 0}, {"queue": 0}, {"timeout": 0},
        {"port": 70_000}, {"max_upload": 0}, {"proxy_side": 10}, {"user_queue": 0}, {"user_files": 0},
        {"users": (User("", TOKEN),)}, {"users": (User("ann", "short"),)}, {"users": (User("an n", TOKEN),)},
        {"users": (User("-", TOKEN),)},
        {"users": (User("ann", TOKEN), User("bob", TOKEN))}, {"users": (User("ann", TOKEN), User("ann", TOKEN * 2))},
        {"users": (User("ann", TOKEN),), "token": TOKEN},
    ):  # fmt: skip
        with pytest.raises(ArgumentError):
            Settings(**wrong)
    assert Settings(host=ALL_INTERFACES, token=TOKEN).upload_limit == 32_000_000
    assert Settings(host="::1").upload_limit == Settings(host="localhost").upload_limit == 512_000_000
    assert [bytes_of(text) for text in ("32MB", "1.5k", "7", "2G")] == [32_000_000, 1500, 7, 2_000_000_000]
    for text in ("", "MB", "-1", "1TB", "0", "1e9", "9" * 40):
        with pytest.raises(ValueError, match="a size"):
            bytes_of(text)


# ---- several people ----


@pytest.fixture(scope="module")
def shared() -> Iterator[Running]:
    """Yields a service of two users with names, and one without."""
    with running(users=USERS, token=TOKEN, max_upload=3_000_000) as one:
        yield one


def test_a_file_of_tokens_has_a_line_for_each_user(tmp_path: Path) -> None:
    path = tmp_path / "tokens"
    ann, bob = USERS
    for text, users in (
        (TOKEN, [User("", TOKEN)]),
        (f"  {TOKEN}\n", [User("", TOKEN)]),
        (f"# of the lab\n\nann {ann.token}\r\n  bob\t{bob.token}  \n#{TOKEN}\n", [ann, bob]),
        (f"ann {ann.token}\n{TOKEN}\n", [ann, User("", TOKEN)]),
    ):
        path.write_text(text)
        assert users_of(path) == tuple(users)
    for data, message in (
        (b"", "a token, or lines"), (b"# nobody\n\n", "a token, or lines"), (b"\xff\xfe\n", "line 1: .* of ASCII"),
        (f"{TOKEN}\nmore\n".encode(), "line 2: .* at least 16"), (f"ann {TOKEN} b".encode(), "line 1: .* or a name"),
        (f"# x\nan/n {TOKEN}".encode(), "line 2: .* letters"), (f"{'a' * 33} {TOKEN}".encode(), "line 1: .* letters"),
        (f"{TOKEN}\n{TOKEN}x".encode(), "line 2: a token without a name, like that of line 1"),
        (f"ann {TOKEN}\n\nbob {TOKEN}".encode(), "line 3: the same token as in line 1"),
        (f"ann {TOKEN}\nann {TOKEN}x".encode(), "line 2: the same name as in line 1"),
        (b"#" * (TOKEN_FILE + 1), "at most 65,536 bytes"),
    ):  # fmt: skip
        path.write_bytes(data)
        with pytest.raises(ArgumentError, match=f"token_file: .*tokens.*{message}") as raised:
            users_of(path)
        assert TOKEN not in str(raised.value)
    assert TOKEN not in repr(Settings(token=TOKEN, users=USERS))


def test_shares_are_of_several_users_only() -> None:
    for settings, queue, files in (
        ({}, 32, 100), ({"token": TOKEN}, 32, 100), ({"users": USERS[:1]}, 32, 100), ({"users": USERS}, 8, 25),
        ({"users": USERS[:1], "token": TOKEN}, 8, 25), ({"users": USERS, "queue": 10}, 4, 25),
        ({"users": USERS, "queue": 3}, 3, 25), ({"users": USERS, "user_queue": 30, "user_files": 70}, 30, 70),
        ({"users": USERS, "user_queue": 50, "user_files": 700}, 32, 100), ({"user_queue": 5, "user_files": 7}, 5, 7),
    ):  # fmt: skip
        service_settings = Settings(**{"max_files": 100, **settings})
        assert (service_settings.user_queue_limit, service_settings.user_files_limit) == (queue, files), settings
    assert Settings(users=USERS).upload_limit == Settings(token=TOKEN).upload_limit == 32_000_000
    assert Settings(users=USERS, host=ALL_INTERFACES, hosts=("example.org",)).needs_token


@dataclasses.dataclass(eq=False)
class Item:
    """What may wait in a `Queue`."""

    user: str


def test_what_waits_is_taken_in_turns() -> None:
    rng = np.random.default_rng(0)
    for _ in range(200):
        queue, waiting = Queue[Item](), dict[str, list[Item]]()  # users in the order of their turns
        for _ in range(60):
            user, choice = str(rng.choice(list("abcd"))), rng.random()
            if choice < 0.55:
                item = Item(user)
                queue.append(item)
                waiting.setdefault(user, []).append(item)
            elif choice < 0.7 and user in waiting:
                item = waiting[user].pop(int(rng.integers(len(waiting[user]))))
                queue.remove(item)
            elif choice < 0.95 and waiting:
                user = next(iter(waiting))
                assert queue.index(waiting[user][0]) == 0 and queue.pop() is waiting[user][0]
                waiting[user] = waiting.pop(user)[1:]
            else:
                for absent in (queue.remove, queue.index):
                    with pytest.raises(ValueError):  # noqa: PT011
                        absent(Item(user))
            waiting = {user: items for user, items in waiting.items() if items}
            assert len(queue) == sum(map(len, waiting.values())) and bool(queue) == bool(waiting)
            assert all(queue.count(user) == len(waiting.get(user, ())) for user in "abcd")
        order = list(queue)
        assert [queue.index(item) for item in order] == list(range(len(order)))
        assert [queue.pop() for _ in order] == order and not queue
        with pytest.raises(IndexError):
            queue.pop()


def test_jobs_of_users_take_turns(shared: Running) -> None:
    ann, bob = map(shared.of, USERS)
    bodies = {one: {**one.ids(**scene()), "at": [4, 4]} for one in (ann, bob)}
    with shared.at_rest():
        jobs = [(one, one.start("blend", **bodies[one]).json()) for one in (ann, ann, ann, ann, bob, bob)]
        assert [one.client.get(job["url"]).json()["position"] for one, job in jobs] == [0, 2, 4, 5, 1, 3]
        ann.client.delete(jobs[1][1]["url"])
        assert [one.client.get(job["url"]).json().get("position") for one, job in jobs] == [0, None, 2, 4, 1, 3]
    answers = [one.client.get(job["url"], params={"wait": 60}).json() for one, job in jobs]
    assert [job["status"] for job in answers] == ["done", "cancelled", *["done"] * 4]
    jobs_by_start = sorted(
        (shared.service.pool.jobs[job["id"]] for job in answers if "started" in job), key=lambda j: j.start_time
    )
    assert [job.user for job in jobs_by_start] == ["ann", "bob", "ann", "bob", "ann"]


def test_a_user_has_a_share_of_the_queue(shared: Running) -> None:
    ann, bob = map(shared.of, USERS)
    bodies = {one: {**one.ids(**scene()), "at": [4, 4]} for one in (ann, bob)}
    with having(shared, user_queue=2), shared.at_rest():
        jobs = [(ann, ann.start("blend", **bodies[ann]).json()) for _ in range(2)]
        for answer in (
            ann.start("blend", **bodies[ann]),
            ann.client.post("/api/v1/pictures", content=b"x" * 100_000),
        ):
            assert answer.status_code == 429 and kind_of(answer) == "busy"
            assert "2 of your jobs are waiting" in answer.json()["error"]["message"]
            assert 1 <= int(answer.headers["retry-after"]) <= 60
        jobs += [(bob, bob.start("blend", **bodies[bob]).json()) for _ in range(2)]
        assert bob.start("blend", **bodies[bob]).status_code == 429
        with having(shared, queue=4):  # that of all is full, whoever asks
            answer = shared.of(User("", TOKEN)).client.post("/api/v1/pictures", content=b"x")
            assert answer.status_code == 429 and "4 jobs are waiting" in answer.json()["error"]["message"]
        for one, job in jobs:
            assert one.client.delete(job["url"]).json()["status"] == "cancelled"
    # Uploads count while they come.
    with (
        having(shared, user_queue=1),
        socket.create_connection(shared.server.servers[0].sockets[0].getsockname()) as slow,
    ):
        head = f"Host: localhost\r\nX-Pyharmony: 1\r\nAuthorization: Bearer {USERS[0].token}\r\nContent-Length: 9"
        slow.sendall(f"POST /api/v1/pictures HTTP/1.1\r\n{head}\r\n\r\nslow".encode())
        until(lambda: shared.service._uploads["ann"] == 1)
        answer = ann.client.post("/api/v1/pictures", content=b"x" * 100_000)
        assert answer.status_code == 429 and "1 images of yours" in answer.json()["error"]["message"]
        assert bob.upload(scene()["mask"])["width"] == 40
    until(lambda: shared.service._uploads["ann"] == 0)
    assert ann.upload(scene()["mask"])["width"] == 40


def test_a_user_has_a_share_of_the_files(shared: Running) -> None:
    ann, bob = map(shared.of, USERS)
    store = shared.service.store
    for one in (ann, bob):
        clear_user(one)
    noise = file_of(np.random.default_rng(0).integers(0, 256, (100, 100, 3), np.uint8))
    preview = bob.done("export", picture=bob.upload(noise)["id"], format="png", preview=True)["picture"]
    first = ann.upload(noise)
    with having(shared, user_files=3 * store.user_bytes["ann"] + 100):  # each with its proxy
        mine = ann.done("export", picture=first["id"], format="png", preview=True)["picture"]
        pictures = [first, *(ann.upload(noise) for _ in range(2))]
        assert ann.client.get(mine["url"]).status_code == 404  # previews of one's own go first
        for answer in (
            ann.client.post("/api/v1/pictures", content=noise),
            ann.client.post("/api/v1/pictures", content=noise),
        ):
            assert answer.status_code == 429 and kind_of(answer) == "full"
            assert answer.headers["retry-after"] == "60"
            assert "your limit for files" in answer.json()["error"]["message"]
        # With the whole full too, nothing of others goes for what is refused anyway.
        with having(shared, max_files=store.total_bytes):
            assert ann.client.post("/api/v1/pictures", content=noise).status_code == 429
        assert bob.client.get(preview["url"]).status_code == 200 and bob.upload(noise)["width"] == 100
        assert ann.client.delete(pictures[1]["url"]).status_code == 204 and ann.upload(noise)["width"] == 100
    # Within one's share the previews of others go, as the last.
    with having(shared, max_files=store.total_bytes, user_files=store.total_bytes):
        assert bob.client.get(preview["url"]).status_code == 200
        ann.upload(scene()["mask"])
        assert bob.client.get(preview["url"]).status_code == 404
    for one in (ann, bob):
        clear_user(one)
    assert sum(store.user_bytes.values()) == store.total_bytes and not {"ann", "bob"} & {*store.user_bytes}


def clear_user(service: Running) -> None:
    """Deletes the images of a user."""
    for id in list(service.service.store.pictures):
        service.client.delete(f"/api/v1/pictures/{id}")


def with_other_ids(body: Any, mine: Mapping[str, str], other: Mapping[str, str]) -> Iterator[Any]:
    """Yields a body once for each id in it, replaced by the same of another user."""
    if isinstance(body, str):
        yield from (other[name] for name, id in mine.items() if id == body)
    elif isinstance(body, (dict, list)):
        for key, value in body.items() if isinstance(body, dict) else enumerate(body):
            for one in with_other_ids(value, mine, other):
                variant = copy.copy(body)
                variant[key] = one
                yield variant


def test_nothing_of_others_is_there(shared: Running) -> None:
    ann, bob = map(shared.of, USERS)
    images = {**scene(), **placed(), "grey": scene()["mask"]}
    theirs, mine = ann.ids(**images), bob.ids(**images)
    unknown = dict.fromkeys(mine, "0" * 32)
    job = ann.start("compose", 60, subjects=[{"picture": theirs["subject"], "mask": theirs["mask"], "at": [100, 60]}],
                    background=theirs["background"])  # fmt: skip
    record = job.json()
    assert record["status"] == "done" and ann.client.get(record["result"]["recipe_url"]).status_code == 200
    # Every address with an id, as it is for an id that nobody has.
    paths = shared.of(USERS[0]).client.get("/api/v1/openapi.json").json()["paths"]
    count = 0
    for path, methods in paths.items():
        if "{id}" not in path:
            continue
        kinds = [record["id"]] if "/jobs/" in path else [theirs["src"], record["result"]["picture"]["id"]]
        for id, method in ((id, method) for id in kinds for method in (*methods, *["head"] * ("get" in methods))):
            for one in (bob, shared.of(User("", TOKEN))):
                hidden = one.client.request(method, path.format(id=id).removeprefix("/"))
                nobodys = one.client.request(method, path.format(id="0" * 32).removeprefix("/"))
                assert hidden.status_code == nobodys.status_code == (405 if hidden.status_code == 405 else 404), path
                assert hidden.content == nobodys.content
                count += hidden.status_code == 404
    assert count == 2 * (2 * 6 + 4)
    assert ann.client.get(record["url"]).json()["status"] == "done"
    assert ann.client.get(f"/api/v1/pictures/{theirs['src']}").status_code == 200
    # And every body with one.
    src = {**{name: mine[name] for name in ("src", "dst", "mask")}, "at": [4, 4]}
    subject = {"picture": mine["src"], "mask": mine["mask"], "at": [1, 1]}
    layers = {"plain": mine["src"], "matched": mine["subject"]}
    bodies: dict[str, list[dict[str, Any]]] = {
        "blend": [{**src, "base": mine["dst"], "color_weight": mine["grey"]}],
        "edit": [{"image": mine["src"], "mask": mine["mask"], "mode": "detail-boost"}],
        "harmonize": [{"image": mine["src"], "mask": mine["mask"], "reference_mask": mine["dst"]}],
        "segment": [
            {"picture": mine["src"], "all_people": True},
            {"picture": mine["src"], "steps": [{"kind": "mask", "mask": mine["mask"]}]},
        ],
        "paint": [{"picture": mine["src"], "mask": mine["mask"], "strokes": [{"line": [[3, 3]], "width": 2}]}],
        "place": [{
            "subject": mine["src"], "background": mine["dst"], "mask": mine["mask"], "people": [mine["grey"]],
            "other_people": mine["mask"],
        }],
        "compose": [{
            "subjects": [{"picture": mine["subject"]}, {"picture": mine["src"], "mask": mine["mask"]}],
            "background": mine["background"],
        }],
        "merge": [{"photos": [mine["src"], mine["dst"]], "people": [mine["mask"], None]}],
        "apply-edit": [{"original": mine["src"], "edited": [mine["dst"]], "mask": mine["mask"]}],
        "remove": [{"image": mine["src"], "mask": mine["mask"]}],
        "layers": [{"subject": subject, "background": mine["dst"]}],
        "live": [
            {**layers, "background": mine["dst"], "shadow": mine["grey"], "cast": [0, 0], "at": [1, 1],
             "mode": "alpha"},
            {"background": mine["dst"], "source": mine["src"], "mask": mine["mask"], "at": [1, 1], "mode": "alpha"},
        ],
        "cutout": [{"picture": mine["src"], "mask": mine["mask"]}],
        "export": [{"picture": mine["src"], "sources": [mine["dst"]], "format": "png"}],
    }  # fmt: skip
    assert set(bodies) == set(bob.client.get("/api/v1/service").json()["operations"])
    with shared.at_rest():
        for operation, variants in bodies.items():
            for body in variants:
                own = bob.start(operation, **body)
                assert own.status_code == 202, (operation, own.text)
                bob.client.delete(own.json()["url"])
                changed = list(with_other_ids(body, mine, theirs))
                assert changed
                for one, same in zip(changed, with_other_ids(body, mine, unknown), strict=True):
                    hidden, nobodys = bob.start(operation, **one), bob.start(operation, **same)
                    assert hidden.status_code == 404 and kind_of(hidden) == "unknown_picture", (operation, one)
                    assert hidden.content == nobodys.content
        assert not len(shared.service.pool.queue) and not os.listdir(shared.folder / "jobs")


def test_a_page_has_the_user_that_opened_its_session(shared: Running) -> None:
    ann, bob = map(shared.of, USERS)
    picture = ann.upload(scene()["mask"])
    pages = {}
    for one in (ann, bob):
        session = one.client.post("/api/v1/session")
        assert session.status_code == 204
        pages[one] = httpx.Client(base_url=shared.address, headers=HEADER, cookies=session.cookies)
        one.client.cookies.clear()
    assert pages[ann].get(picture["proxy_url"]).status_code == 200
    assert pages[bob].get(picture["proxy_url"]).status_code == 404
    # A session that a page opens again by its cookie keeps the user; a token says whose a request is.
    again = pages[bob].post("/api/v1/session")
    assert again.status_code == 204 and pages[bob].get(picture["url"]).status_code == 404
    token = {"Authorization": f"Bearer {USERS[0].token}"}
    assert pages[bob].get(picture["url"], headers=token).status_code == 200
    assert pages[bob].post("/api/v1/session", headers=token).status_code == 204
    assert pages[bob].get(picture["url"]).status_code == 200
    for page in pages.values():
        page.close()


@pytest.mark.parametrize("token", ["secret-of-sixteen-letters\n", b"secret-of-sixteen-letters"])
def test_a_refused_token_is_not_shown(token: Any) -> None:
    with pytest.raises(PyHarmonyError, match=r"^token: ") as refusal:
        Settings(token=token)
    assert "secret" not in str(refusal.value)


def test_the_log_has_names_and_no_tokens(shared: Running, caplog: pytest.LogCaptureFixture) -> None:
    ann = shared.of(USERS[0])
    with caplog.at_level(logging.DEBUG, "pyharmony.serve"):
        ids = {**ann.ids(**scene()), "at": [4, 4]}
        ann.done("blend", **ids)
        ann.start("blend", **{**ids, "src": "0" * 32})
        shared.client.get("/api/v1/service", headers={"Authorization": f"Bearer {TOKEN}x"})
        session = ann.client.post("/api/v1/session").cookies["pyharmony"]
        shared.of(User("", TOKEN)).client.get("/api/v1/service")
        figures = ann.client.get("/metrics").text
        until(lambda: any("/metrics" in record.getMessage() for record in caplog.records))
    records = [(record.getMessage(), getattr(record, "fields", {})) for record in caplog.records]
    assert any(text.startswith("POST /api/v1/blend 200 ") and text.endswith(" ms ann") for text, _ in records)
    assert any(text == "job blend done ann" and fields["user"] == "ann" for text, fields in records)
    assert any(fields.get("status") == 404 and fields["user"] == "ann" for _, fields in records)
    unnamed = [fields for text, fields in records if text.startswith("GET /api/v1/service")]
    assert len(unnamed) == 2 and not any("user" in fields for fields in unnamed)
    text = repr(records)
    assert not any(secret in text for secret in (TOKEN, session, *(user.token for user in USERS)))
    assert "pyharmony_jobs_total" in figures and not re.search(r"\bann\b|user=", figures)


def test_nobody_makes_the_service_forget_the_jobs_of_others(shared: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    ann, bob = map(shared.of, USERS)
    monkeypatch.setattr("pyharmony.serve._pool.MAX_JOBS", 4)
    bodies = {one: {**one.ids(**scene()), "at": [4, 4]} for one in (ann, bob)}
    shared.service.pool.jobs.clear()
    jobs = [(one, one.start("blend", 60, **bodies[one]).json()) for one in (ann, ann, *[bob] * 5)]
    states = [one.client.get(job["url"]).status_code for one, job in jobs]
    assert states == [200, 200, 404, 404, 404, 200, 200]
    monkeypatch.setattr("pyharmony.serve._pool.MAX_JOB_BYTES", 1)  # the newest stays, of whomever it is
    last = ann.start("blend", 60, **bodies[ann]).json()
    assert ann.client.get(last["url"]).status_code == 200
    assert {one.client.get(job["url"]).status_code for one, job in jobs} == {404}


# ---- slow, malformed, many ----


def test_slow_senders_are_left(service: Running) -> None:
    data = file_of(scene()["mask"])
    clear(service)
    with having(service, patience=0.5):
        port = int(service.address.rpartition(":")[2])
        lines = ("POST /api/v1/pictures HTTP/1.1", "Host: localhost", "X-Pyharmony: 1", f"Content-Length: {len(data)}")
        head = "".join(f"{line}\r\n" for line in (*lines, "")).encode()
        cases = ((b"", None), (b"GET / HT", 408), (head[:-2], 408), (head, 408), (head + data[:20], 408))

        def stall(data: bytes, status: int | None) -> None:
            start = time.monotonic()
            with socket.create_connection(("127.0.0.1", port), 60) as line:
                line.sendall(data)
                answer = line.makefile("rb").read()
                assert time.monotonic() - start > 0.4, data  # it had its time
                assert answer[9:12] == (b"" if status is None else str(status).encode()), data

        def trickle() -> None:
            with socket.create_connection(("127.0.0.1", port), 60) as line:
                line.sendall(head)
                with contextlib.suppress(OSError):
                    for byte in data[:40]:
                        line.sendall(bytes([byte]))
                        time.sleep(0.05)
                assert line.recv(12)[9:12] == b"408"

        with ThreadPoolExecutor(len(cases) + 1) as threads:
            slow = [threads.submit(stall, *case) for case in cases]
            slow.append(threads.submit(trickle))  # a byte now and then is no progress either
        for one in slow:
            one.result()
    until(lambda: not os.listdir(service.folder / "pictures"))
    with socket.create_connection(("127.0.0.1", port), 60) as line:  # gone in the midst
        line.sendall(head + data[:50])
        until(lambda: os.listdir(service.folder / "pictures"))
    until(lambda: not os.listdir(service.folder / "pictures"))
    assert service.service.store.total_bytes == 0
    assert service.upload(data)["width"] == 40


def test_slow_readers_block_nobody(service: Running) -> None:
    port = int(service.address.rpartition(":")[2])
    with having(service, max_upload=40_000_000):
        large = service.upload(file_of(np.zeros((3000, 3000, 3), np.uint8), "BMP"))
    picture = service.service.store.pictures[large["id"]]
    with contextlib.ExitStack() as stack:
        stack.enter_context(having(service, patience=600.0))  # nobody is left before the end
        lines = []
        for _ in range(20):
            line = stack.enter_context(socket.socket())
            line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            line.settimeout(60)
            line.connect(("127.0.0.1", port))
            line.sendall(f"GET /{large['file_url']} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            lines.append(line)
        until(lambda: picture.pins == 20)  # all of them are being sent, and none is read
        ids = service.ids(**scene())
        for _ in range(5):
            assert service.done("blend", **ids, at=[20, 10], mode="alpha")["picture"]["width"] == 80
        assert picture.pins == 20 and len(service.bytes(large)) == large["bytes"]
        # A reader that goes on gets all of it.
        stream = lines[0].makefile("rb")
        assert stream.readline().startswith(b"HTTP/1.1 200")
        while stream.readline().strip():
            pass
        assert len(stream.read(large["bytes"])) == large["bytes"]
        until(lambda: picture.pins == 19)
        assert service.client.delete(large["url"]).status_code == 204 and large["id"] in os.listdir(
            service.folder / "pictures"
        )  # as long as somebody is sent it
    until(lambda: large["id"] not in os.listdir(service.folder / "pictures"))


def test_who_does_not_read_is_left(service: Running) -> None:
    port = int(service.address.rpartition(":")[2])
    with having(service, max_upload=40_000_000):
        large = service.upload(file_of(np.zeros((3000, 3000, 3), np.uint8), "BMP"))
    picture = service.service.store.pictures[large["id"]]
    with having(service, patience=0.5), socket.socket() as line:
        line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        line.settimeout(60)
        line.connect(("127.0.0.1", port))
        line.sendall(f"GET /{large['file_url']} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        until(lambda: picture.pins == 1)
        until(lambda: picture.pins == 0)
        byte_count = 0
        with contextlib.suppress(ConnectionError):
            while data := line.recv(1 << 20):
                byte_count += len(data)
        assert byte_count < large["bytes"]  # the connection ended in the midst
    assert service.client.delete(large["url"]).status_code == 204


def test_too_many_connections_are_told_so(service: Running) -> None:
    port = int(service.address.rpartition(":")[2])
    with having(service, connections=5):
        with contextlib.ExitStack() as stack:
            # There are others from before, or not: the sixth is one too many.
            lines = [stack.enter_context(socket.create_connection(("127.0.0.1", port), 60)) for _ in range(6)]
            assert lines[-1].recv(100).startswith(b"HTTP/1.1 429 ")
        assert until(lambda: service.client.get("/health").status_code == 200)


def mutated(rng: np.random.Generator, seeds: list[bytes]) -> bytes:
    data = bytearray(seeds[rng.integers(len(seeds))])
    for _ in range(rng.integers(1, 6)):
        at = int(rng.integers(len(data))) if data else 0
        way = rng.integers(6)
        if way == 0 and data:
            data[at] ^= 1 << int(rng.integers(8))
        elif way == 1:
            del data[at:]
        elif way == 2:
            data[at : at + 4] = struct.pack(">I", int(rng.choice([0, 1, 255, 65535, 1 << 31, (1 << 32) - 1])))
        elif way == 3:
            other = seeds[rng.integers(len(seeds))]
            data[at:] = other[int(rng.integers(len(other) + 1)) :]
        elif way == 4:
            data[at:at] = rng.bytes(int(rng.integers(40)))
        else:
            data[: int(rng.integers(1, 12))] = rng.bytes(int(rng.integers(1, 12)))
    return bytes(data)


def seeds() -> list[bytes]:
    image = Image.fromarray(scene(0, 24, 32)["dst"])
    files = [file_of(scene(0, 24, 32)["dst"].astype(np.uint16) * 257)]
    for format in ("PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF"):
        buffer = io.BytesIO()
        image.save(buffer, format)
        files.append(buffer.getvalue())
    files += [data for _, data in bombs().values() if len(data) < 2000]
    return [*files, png(40_000, 40_000), b"<svg/>", b""]


def clear(service: Running) -> None:
    """Deletes all images of a service."""
    service.long = {}
    for id in list(service.service.store.pictures):
        service.client.delete(f"/api/v1/pictures/{id}")
    until(lambda: not [*os.listdir(service.folder / "pictures"), *os.listdir(service.folder / "proxies")])


def check_in_threads(service: Running, batches: list[list[Callable[[Any], int]]]) -> dict[int, int]:
    """Sends requests, each a function of a client that returns its status, from a thread for each of the batches.

    Every answer is a success or a refusal, and no file is left. Returns how many had each status.
    """
    statuses, lock = dict[int, int](), threading.Lock()

    def send(batch: list[Callable[[Any], int]]) -> None:
        with httpx.Client(base_url=service.address, headers=HEADER, timeout=120) as client:
            for ask in batch:
                status = ask(client)
                with lock:
                    statuses[status] = statuses.get(status, 0) + 1

    with ThreadPoolExecutor(len(batches)) as threads:
        list(threads.map(send, batches))
    assert all(200 <= status < 300 or 400 <= status < 500 for status in statuses), statuses
    assert service.client.get("/health").json()["status"] == "ok"
    until(lambda: not service.service.pool.running and not service.service.pool.queue, 60)
    clear(service)
    assert os.listdir(service.folder / "jobs") == []
    assert service.service.store.total_bytes == 0
    return statuses


def uploading(data: bytes, **params: str) -> Callable[[Any], int]:
    """Returns a request that uploads a file, and deletes it where it was taken."""

    def ask(client: Any) -> int:
        answer = client.post("/api/v1/pictures", content=data, params=params)
        if answer.status_code == 201:
            client.delete(answer.json()["url"])
        return int(answer.status_code)

    return ask


def check_malformed_uploads(service: Running, count: int, seed: int) -> None:
    """Uploads damaged files from several threads."""
    rng, files, slots = np.random.default_rng(seed), seeds(), service.service.pool.slots
    until(lambda: all(slot.ready for slot in slots))
    pids = [service.pid(i) for i in range(len(slots))]
    statuses = check_in_threads(
        service, [[uploading(mutated(rng, files)) for _ in range(count // 8)] for _ in range(8)]
    )
    assert set(statuses) <= {201, 413, 422} and statuses[422] > count // 4 and sum(statuses.values()) == count
    assert [service.pid(i) for i in range(len(slots))] == pids  # nothing made a worker end


def test_malformed_uploads_are_refused(service: Running) -> None:
    check_malformed_uploads(service, 240, 1)


@pytest.mark.full  # a part of .ci/run
def test_two_thousand_malformed_uploads() -> None:
    with running(workers=2) as service:
        check_malformed_uploads(service, 2000, 2)


def strange(
    rng: np.random.Generator, files: list[bytes], names: list[str], port: int, slow: bool = True
) -> Callable[[Any], int]:
    """Returns a request that nobody should send: a damaged file or body, a wrong type or path, or a slow sender."""

    def pick(of: list[Any]) -> Any:
        return of[int(rng.integers(len(of)))]

    way, name, address = rng.integers(100 if slow else 98), pick(names), f"http://127.0.0.1:{port}"
    if way < 45:
        return uploading(mutated(rng, files))
    if way < 55:
        return uploading(mutated(rng, files) if rng.integers(2) else files[0], name=name)
    values = [
        None, -1, 1e308, "x", "", name, "0" * 32, "f" * 33, [], {}, [[]], [1e9, -1e9], True, "\ud800", 10**30,
        [{"kind": "click", "x": 1, "y": 1}], {"picture": "0" * 32}, ["0" * 32] * 60,
    ]  # fmt: skip
    if way < 75:
        operation = pick([
            "apply-edit", "blend", "edit", "harmonize", "segment", "paint", "place", "compose", "merge", "layers",
            "live", "cutout", "export", "open", name,
        ])  # fmt: skip
        fields = ["src", "dst", "mask", "image", "picture", "mode", "at", "steps", "strokes", "subjects", "background",
                  "recipe", "photos", "format", "preview", "people", name]  # fmt: skip
        body = json.dumps({pick(fields): pick(values) for _ in range(rng.integers(1, 6))}).encode()
        if rng.integers(3) == 0:
            body = mutated(rng, [body, b'{"src": [[[[', b"[]", b"\xff"])
        kind = pick(["application/json"] * 5 + ["text/plain", "multipart/form-data; boundary=x", ""])
        path = f"/api/v1/{urllib.parse.quote(operation)}"
        headers = {"content-type": kind}
        return lambda client: int(client.post(f"{address}{path}", content=body, headers=headers).status_code)
    if way < 98:
        place = pick(["/", "/api/v1/pictures/", "/api/v1/jobs/", "/samples/", "/vendor/", "/static/"])
        method = pick(["GET", "GET", "DELETE", "PUT", "PATCH", "POST", "OPTIONS"])
        headers = {"Range": pick(["bytes=5-1", "bytes=-", "lines=1", "bytes=0-0,5-9"])}
        path = place + urllib.parse.quote(name) + pick(["", "/file", "/proxy", "/events", "/recipe"])
        return lambda client: int(client.request(method, f"{address}{path}", headers=headers).status_code)

    def stall(client: Any) -> int:
        with socket.create_connection(("127.0.0.1", port), 20) as line:
            line.sendall(
                b"POST /api/v1/pictures HTTP/1.1\r\nHost: localhost\r\nX-Pyharmony: 1\r\n"
                b"Content-Length: 5000\r\n\r\n" + files[0][:50]
            )
            return int(line.makefile("rb").read()[9:12])

    return stall


@pytest.mark.full
def test_ten_thousand_malformed_uploads_and_requests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    temporary, here = tmp_path / "temporary", tmp_path / "here"
    temporary.mkdir()
    here.mkdir()
    # Workers go by what they inherit: the folder of temporary files, the home and the current folder.
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    for name, path in (("TMPDIR", temporary), ("HOME", here), ("XDG_CACHE_HOME", here)):
        monkeypatch.setenv(name, str(path))
    monkeypatch.chdir(here)
    rng, files, names = np.random.default_rng(3), seeds(), traversals()
    with running(workers=2, patience=0.5, page=PAGE) as service:
        port = int(service.address.rpartition(":")[2])
        pids = [service.pid(0), until(lambda: service.service.pool.workers == 2) and service.pid(1)]
        statuses = check_in_threads(
            service, [[strange(rng, files, names, port) for _ in range(10_000 // 8)] for _ in range(8)]
        )
        assert sum(statuses.values()) == 10_000 and {404, 405, 408, 413, 415, 422} <= set(statuses), statuses
        assert [service.pid(0), service.pid(1)] == pids  # nothing made a worker end
        assert [os.readlink(f"/proc/{pid}/cwd") for pid in pids] == [str(here)] * 2
        # No file lies outside of it.
        assert list(temporary.iterdir()) == [service.folder] and list(here.iterdir()) == []
        assert set(os.listdir(service.folder)) == {"pictures", "proxies", "recipes", "jobs", "lock"}
    assert list(temporary.iterdir()) == [] and list(here.iterdir()) == []


def test_what_is_no_http_is_refused(service: Running) -> None:
    port = int(service.address.rpartition(":")[2])
    rng = np.random.default_rng(0)
    head = b"POST /api/v1/pictures HTTP/1.1\r\nHost: localhost\r\nX-Pyharmony: 1\r\n"
    texts = [
        b"\x16\x03\x01\x02\x00\x01\x00", b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", b"GET /" + b"a" * 60_000 + b" HTTP/1.1\r\n\r\n",
        head + b"Content-Length: -1\r\n\r\n", head + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        head + b"Transfer-Encoding: chunked\r\n\r\nZZ\r\n", head + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhel",
        head + b"Transfer-Encoding: gzip\r\n\r\n", head + b"Content-Length: 99999999999999999999\r\n\r\n",
        head + b"X: " + b"y" * 50_000 + b"\r\n\r\n", b"GET http://example.org/ HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
        *(rng.bytes(int(rng.integers(1, 300))) + b"\r\n\r\n" for _ in range(60)),
    ]  # fmt: skip
    for text in texts:
        with socket.create_connection(("127.0.0.1", port), 10) as line:
            with contextlib.suppress(OSError):
                line.sendall(text)
                line.shutdown(socket.SHUT_WR)
            answer = b""
            with contextlib.suppress(OSError):
                answer = line.makefile("rb").read()
            assert answer == b"" or answer.startswith((b"HTTP/1.1 4", b"HTTP/1.1 1")), (text[:60], answer[:60])
    assert service.client.get("/health").status_code == 200


# ---- files, figures, the page ----


def test_files_expire(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pyharmony.serve._api._LOOK", 0.05)
    with running() as service:
        picture = service.upload(scene()["mask"])
        preview = service.done("export", picture=picture["id"], format="png", preview=True)["picture"]
        job = service.start("export", 60, picture=picture["id"], format="png").json()
        assert service.client.get(preview["url"]).status_code == 200
        with having(service, preview_lifetime=0.1):
            until(lambda: preview["id"] not in os.listdir(service.folder / "pictures"))
        assert service.client.get(preview["url"]).status_code == 404
        assert service.client.get(picture["url"]).status_code == 200
        with having(service, lifetime=0.1):
            until(lambda: not os.listdir(service.folder / "pictures"))
            assert os.listdir(service.folder / "proxies") == []
            assert service.client.get(picture["url"]).status_code == 404
            assert until(lambda: service.client.get(job["url"]).status_code == 404)


def test_what_is_used_stays(service: Running) -> None:
    store, picture = service.service.store, service.upload(scene()["mask"])
    entry = store.pictures[picture["id"]]
    entry.last_use -= 3000
    before = entry.last_use
    assert store.expire(before + 3599) == 0
    assert service.client.get(picture["url"]).status_code == 200 and entry.last_use >= before + 3000  # counts as used


def test_there_is_room_for_so_many_files(service: Running) -> None:
    noise = file_of(np.random.default_rng(0).integers(0, 256, (100, 100, 3), np.uint8))
    clear(service)
    service.client.delete(service.upload(noise)["url"])
    first = service.upload(noise)
    with having(service, max_files=5 * service.service.store.total_bytes + 100):  # each with its proxy
        for _ in range(3):  # previews go before anything is refused
            assert service.done("export", picture=first["id"], format="png", preview=True)["picture"]["width"] == 100
        pictures = [first, *(service.upload(noise) for _ in range(4))]
        answer = service.client.post("/api/v1/pictures", content=noise)
        assert answer.status_code == 429 and kind_of(answer) == "full" and answer.headers["retry-after"] == "60"
        assert service.client.delete(pictures[1]["url"]).status_code == 204
        assert service.client.get(pictures[1]["url"]).status_code == 404
        assert service.upload(noise)["width"] == 100


def test_figures_and_health(service: Running) -> None:
    service.upload(scene()["mask"])
    service.client.post("/api/v1/pictures", content=b"no image")
    health = service.client.get("/health").json()
    assert health["status"] == "ok" and health["workers"] == 1 and health["version"] == pyharmony.__version__
    answer = service.client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    for line in (
        r'pyharmony_http_requests_total\{method="POST",route="/api/v1/pictures",status="201"\} \d+',
        r'pyharmony_refusals_total\{kind="DecodeError"\} \d+', r"pyharmony_uploaded_bytes_total",
        r'pyharmony_jobs_total\{operation="open",status="done"\}', r"pyharmony_workers 1\.0",
        r"pyharmony_queue_length 0\.0", r"pyharmony_file_bytes \d+",
    ):  # fmt: skip
        assert re.search(line, answer.text), line
    assert "no image" not in answer.text and not re.search("[0-9a-f]{32}", answer.text)  # no text of clients


def test_the_types_are_told(service: Running) -> None:
    schema = service.client.get("/api/v1/openapi.json").json()
    about = service.client.get("/api/v1/service").json()
    assert about["max_upload"] == 3_000_000 and about["max_pixels"] == 20_000_000
    for name in about["operations"]:
        post = schema["paths"][f"/api/v1/{name}"]["post"]
        body = post["requestBody"]["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
        fields = schema["components"]["schemas"][body]
        assert fields["additionalProperties"] is False and post["description"]
        assert all("description" in field for field in fields["properties"].values()), name
        assert "--" not in json.dumps(fields)
    assert {"network", "model", "out"}.isdisjoint(schema["components"]["schemas"]["BlendBody"]["properties"])


def test_merging_is_offered_where_there_is_opencv(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from pyharmony.serve._api import Service
    from pyharmony.serve._tree import Tree

    find = importlib.util.find_spec
    for absent in ("", "cv2"):
        monkeypatch.setattr(
            importlib.util, "find_spec", lambda name, *of, absent=absent: None if name == absent else find(name, *of)
        )
        operations = Service(Settings(workers=1), Tree(tmp_path))._about.operations
        assert ("merge" in operations) == (not absent) and "compose" in operations


def test_the_page_is_served_from_its_folder(service: Running, tmp_path: Path) -> None:
    (tmp_path / "js").mkdir()
    (tmp_path / "index.html").write_text("<!doctype html><p>page" + " " * 500)
    (tmp_path / "js" / "main.js").write_text("export const a = 1;")
    (tmp_path / ".hidden.js").write_text("secret")
    (tmp_path / "notes.py").write_text("secret")
    client = service.client
    with having(service, page=tmp_path):
        page = client.get("/")
        assert page.status_code == 200 and page.headers["content-type"] == "text/html; charset=utf-8"
        assert page.headers["content-encoding"] == "gzip" and page.text.startswith("<!doctype html>")
        plain = client.get("/", headers={"Accept-Encoding": "identity"})
        assert "content-encoding" not in plain.headers and plain.content == page.content
        assert client.get("/", headers={"If-None-Match": page.headers["etag"]}).status_code == 304
        assert client.get("/js/main.js").headers["content-type"].startswith("text/javascript")
        assert client.head("/js/main.js").content == b"" and client.post("/js/main.js").status_code == 405
        assert {client.get(name).status_code for name in ("/.hidden.js", "/notes.py", "/js", "/js/")} == {404}
        (tmp_path / "js" / "main.js").write_text("export const a = 22;")
        assert client.get("/js/main.js").text == "export const a = 22;"
    assert service.client.get("/").status_code == 404 and "/api/v1" in service.client.get("/").text


def test_a_download_ends_though_the_image_is_deleted(service: Running) -> None:
    picture = service.upload(np.random.default_rng(0).integers(0, 256, (900, 1000, 3), np.uint8))
    with service.client.stream("GET", picture["file_url"]) as answer:
        assert service.client.delete(picture["url"]).status_code == 204
        assert len(answer.read()) == picture["bytes"]
    assert service.client.get(picture["file_url"]).status_code == 404
    until(lambda: picture["id"] not in os.listdir(service.folder / "pictures"))


def test_downloads_by_parts(service: Running) -> None:
    picture = service.upload(scene()["dst"], name="../näme/holiday.jpeg")
    answer = service.client.get(picture["file_url"], headers={"Range": "bytes=10-19"})
    assert answer.status_code == 206 and answer.content == service.bytes(picture)[10:20]
    assert service.client.get(picture["file_url"], headers={"Range": "bytes=9999999-"}).status_code == 416
    assert service.client.get(picture["file_url"], headers={"Range": "bytes=x"}).status_code in (200, 400)
    disposition = service.client.get(picture["file_url"]).headers["content-disposition"]
    assert disposition == 'attachment; filename="holiday.png"'
    assert service.client.head(picture["file_url"]).headers["content-length"] == str(picture["bytes"])


# ---- the end ----


class Command:
    """`pyharmony serve` in a process of its own, with its log and its folder for temporary files."""

    def __init__(
        self, folder: Path, *options: str, environment: Mapping[str, str] | None = None, cwd: Path | None = None
    ) -> None:
        self.log, self.temporary = folder / "log", folder / "temporary"
        self.temporary.mkdir(exist_ok=True)
        environment = {**os.environ, "TMPDIR": str(self.temporary), **(environment or {})}
        code = "import typer; from pyharmony.cli.serve import serve; typer.run(serve)"
        options = ("--workers", "1", "--log-json", *(options or ("--port", "0", "--no-ui")))
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-c", code, *options], stderr=log, env=environment, cwd=cwd
            )
        until(lambda: "serving on" in self.log.read_text() or self.process.poll() is not None, 60)
        record = self.told()[0]
        assert record["message"].startswith("serving on http://127.0.0.1:")
        self.address = record["address"]

    def told(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log.read_text().splitlines()]

    def children(self) -> list[int]:
        return [
            int(pid) for pid in Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        ]

    def end(self, number: int) -> int:
        self.process.send_signal(number)
        return self.process.wait(60)


#: A module that every process of Python loads at its start: it writes down what the process opens and whom it calls.
_WATCH = """
import os, sys

_file = os.open(os.environ["WATCHED"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
_writes = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_changes = {"os.rename", "os.mkdir", "os.link", "os.symlink", "os.truncate", "os.chmod", "shutil.move"}
_calls = {
    "socket.connect", "socket.bind", "socket.sendto", "socket.sendmsg", "socket.getaddrinfo", "socket.gethostbyname",
    "socket.gethostbyaddr", "urllib.Request", "http.client.connect", "ftplib.connect", "smtplib.connect",
    "subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.fork", "ctypes.dlopen",
}


def _watch(event, args):
    if event == "open":
        path, _, flags = args
        if isinstance(path, int):
            return
        word = "write" if (flags or 0) & _writes else "read"
        path = os.path.abspath(os.fsdecode(path))
        if word == "read" and not path.endswith(".safetensors"):
            return
        told = (word, path)
    elif event in _changes:
        told = ("write", *(os.path.abspath(os.fsdecode(one)) for one in args if isinstance(one, (str, bytes))))
    elif event in _calls:
        told = (event, repr(args[1:] if event.startswith("socket.") else args[:1]))
    else:
        return
    os.write(_file, ("\\t".join((str(os.getpid()), *told)).replace("\\n", " ") + "\\n").encode())


sys.addaudithook(_watch)
"""


class Watched(Command):
    """A `Command` whose processes are watched; they run in a folder of their own, and have it for a home."""

    def __init__(self, folder: Path) -> None:
        self.home, self.watched = folder / "home", folder / "watched"
        (folder / "modules").mkdir()
        (folder / "modules" / "sitecustomize.py").write_text(_WATCH)
        self.home.mkdir()
        own = {"PYTHONPATH": str(folder / "modules"), "PYTHONDONTWRITEBYTECODE": "1", "WATCHED": str(self.watched)}
        own |= {"HOME": str(self.home), "XDG_CACHE_HOME": str(self.home), "MPLCONFIGDIR": str(self.home)}
        super().__init__(folder, "--port", "0", environment=own, cwd=self.home)

    def events(self) -> list[list[str]]:
        """Returns what was written down: a process, a word, and what it is about."""
        return [line.split("\t") for line in self.watched.read_text().splitlines()]


@pytest.fixture
def command(tmp_path: Path) -> Iterator[Callable[[], Command]]:
    """Yields a function that starts `pyharmony serve`; what still runs at the end is killed."""
    commands: list[Command] = []

    def start() -> Command:
        commands.append(Command(tmp_path))
        return commands[-1]

    yield start
    for one in commands:
        if one.process.poll() is None:
            one.end(signal.SIGKILL)


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    one = Watched(tmp_path)
    yield one
    if one.process.poll() is None:
        one.end(signal.SIGKILL)


def client_of(run: Command) -> Running:
    """Returns what asks a service that runs in a process of its own."""
    one = Running.__new__(Running)
    one.address, one.client = run.address, httpx.Client(base_url=run.address, headers=HEADER, timeout=120)
    return one


def test_the_watch_sees_calls_and_writes(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(_WATCH)
    code = (
        "import contextlib, os, pathlib, socket\n"
        "for call in (lambda: socket.create_connection(('127.0.0.1', 1), 1), lambda: open('a', 'w').close(),\n"
        "             lambda: os.mkdir('b'), lambda: pathlib.Path('c').write_bytes(b''), lambda: os.rename('a', 'd'),\n"
        "             lambda: socket.getaddrinfo('localhost', 1), lambda: os.system('true')):\n"
        "    with contextlib.suppress(OSError):\n"
        "        call()\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(tmp_path), "WATCHED": str(tmp_path / "watched")}
    subprocess.run([sys.executable, "-c", code], env=environment, cwd=tmp_path, check=True)
    events = [line.split("\t")[1:] for line in (tmp_path / "watched").read_text().splitlines()]
    assert {"socket.connect", "socket.getaddrinfo", "os.system"} <= {event[0] for event in events}
    paths = {path for word, *paths in events if word == "write" for path in paths}
    assert {str(tmp_path / name) for name in "abcd"} <= paths


def check_loads(watched: Watched, one: Running, ids: Mapping[str, str], subject: np.ndarray) -> int:
    """A worker loads each network once, when it needs it; returns the process of the first worker, which was ended."""
    (first,) = watched.children()

    def loads() -> dict[int, list[str]]:
        """Returns the weights that each process has read, as often as it did."""
        networks: dict[int, list[str]] = {}
        for pid, word, *paths in watched.events():
            if word == "read":
                networks.setdefault(int(pid), []).append(Path(paths[0]).stem)
        return networks

    assert loads() == {}  # nothing is loaded before it is asked for
    click = [{"kind": "click", "x": 36, "y": 70}]
    for i in range(2):
        photo = one.upload(np.roll(subject, i, 1))["id"]  # another photograph, another session
        one.done("segment", picture=photo, steps=click)
        one.done("harmonize", image=photo, mask=ids["mask"], upscale=2)
        placed_at = [{"picture": ids["subject"], "points": [[36, 70]], "at": [100, 60 + i]}]
        one.done("compose", subjects=placed_at, background=ids["background"], shadow=False, layers=True)
    expected = ["clicks-imagenet", "colorgrid", "light", "pose", "srgan-light"]
    assert {pid: sorted(names) for pid, names in loads().items()} == {first: expected}
    # A job that is cancelled takes its worker with it; the next one loads what it needs, when it needs it.
    os.kill(first, signal.SIGSTOP)  # so that the job takes until it is cancelled
    job = one.start("export", picture=ids["subject"], format="png").json()
    until(lambda: one.client.get(job["url"]).json()["status"] == "running")
    assert one.client.delete(job["url"]).json()["status"] == "cancelled"
    second = int(until(lambda: next((pid for pid in watched.children() if pid != first), None)))
    one.done("export", picture=ids["subject"], format="png")
    assert second not in loads()
    for _ in range(2):
        one.done("harmonize", image=ids["subject"], mask=ids["mask"])
    assert loads()[second] == ["colorgrid"]
    return first


def test_it_loads_once_calls_nobody_and_writes_nowhere_else(watched: Watched) -> None:
    one, rng, port = client_of(watched), np.random.default_rng(4), int(watched.address.rpartition(":")[2])
    (folder,) = watched.temporary.iterdir()
    subject, mask = person(96, 72, 2)
    ids = one.ids(subject=subject, mask=mask, background=placed()["background"])
    former = check_loads(watched, one, ids, subject)
    blended = one.done("blend", src=ids["subject"], dst=ids["background"], mask=ids["mask"], at=[9, 9])
    for format in ("png", "jpeg", "tiff", "webp"):
        one.done("export", picture=blended["picture"]["id"], format=format)
    # What asks for files and addresses elsewhere gets a refusal.
    names, files = traversals(), seeds()
    for name in names[::7]:
        assert one.client.post("/api/v1/pictures", content=files[0], params={"name": name}).status_code in (201, 422)
        assert one.start("export", picture=name, format="png").status_code == 422
        assert one.start("blend", **{**ids, "src": "http://127.0.0.1:1/a.png"}).status_code == 422
    for _ in range(60):
        assert 200 <= strange(rng, files, names, port, slow=False)(one.client) < 500
    processes = [watched.process.pid, *watched.children()]
    assert len(processes) == 2
    # The working folder, the home and the folder of temporary files have nothing in them but the run's folder.
    assert [os.readlink(f"/proc/{pid}/cwd") for pid in processes] == [str(watched.home)] * 2
    assert list(watched.home.iterdir()) == [] and list(watched.temporary.iterdir()) == [folder]
    assert set(os.listdir(folder)) == {"pictures", "proxies", "recipes", "jobs", "lock"}
    one.client.close()
    assert watched.end(signal.SIGTERM) == 0 and list(watched.temporary.iterdir()) == []
    events = watched.events()
    assert {int(event[0]) for event in events} == {*processes, former}  # all of them are watched
    writes = [(int(pid), path) for pid, word, *paths in events if word == "write" for path in paths]
    assert any(path.startswith(f"{folder}/jobs/") for _, path in writes)
    inside = re.compile(rf"{folder}(/.*)?|/dev/null|/proc/self/oom_score_adj")
    outside = [(pid, path) for pid, path in writes if not inside.fullmatch(path)]
    # Python's module tempfile tries the folder of temporary files once, before the run's folder is made.
    probe = re.compile(rf"{watched.temporary}/[a-z0-9_]{{8}}")
    assert {pid for pid, _ in outside} <= {watched.process.pid} and len(outside) <= 1
    assert all(probe.fullmatch(path) for _, path in outside)
    calls = [(int(pid), word, rest) for pid, word, *rest in events if word not in ("write", "read")]
    assert [call for call in calls if call[0] != watched.process.pid and call[1] != "ctypes.dlopen"] == []
    commands = [rest for _, word, rest in calls if word == "subprocess.Popen"]
    assert len(commands) == 2 and all(sys.executable in rest[0] for rest in commands)  # the workers
    assert {word for pid, word, _ in calls if pid == watched.process.pid} <= {
        "socket.bind", "subprocess.Popen", "ctypes.dlopen", "socket.getaddrinfo"
    }  # fmt: skip
    assert [
        rest for _, word, rest in calls if word in ("socket.bind", "socket.getaddrinfo") and "127.0.0.1" not in rest[0]
    ] == []


def test_told_to_stop_it_lets_jobs_end_and_takes_no_more(command: Callable[[], Command]) -> None:
    run = command()
    (folder,) = run.temporary.iterdir()
    assert folder.stat().st_mode & 0o777 == 0o700
    one = Running.__new__(Running)
    one.client = httpx.Client(base_url=run.address, headers=HEADER, timeout=120)
    body = one.ids(**scene())
    (worker,) = run.children()
    os.kill(worker, signal.SIGSTOP)  # so that the job takes until it may go on
    job = one.start("blend", **body, at=[20, 10]).json()
    assert job["status"] == "running"
    events: list[dict[str, Any]] = []
    listens = threading.Event()
    follower = threading.Thread(target=lambda: events.extend(events_of(one, job, listens.set)))
    follower.start()
    assert listens.wait(60)
    run.process.send_signal(signal.SIGTERM)
    refusal = until(lambda: (answer := one.start("blend", **body)).status_code == 503 and answer)
    assert refusal.headers["retry-after"] and kind_of(refusal) == "stopping"
    assert one.client.get("/health").status_code == 503
    os.kill(worker, signal.SIGCONT)
    follower.join(60)
    assert events[-1]["status"] == "done", events
    one.client.close()
    assert run.process.wait(60) == 0 and list(run.temporary.iterdir()) == []
    lines = run.told()
    logged = [line for line in lines if line.get("path") == "/api/v1/blend" and line["method"] == "POST"]
    assert {line["status"] for line in logged} == {202, 503} and all(line["ms"] >= 0 for line in logged)
    assert [line["operation"] for line in lines if line.get("status") == "done"][-1] == "blend"


def test_who_waits_for_a_worker_gets_its_status(monkeypatch: pytest.MonkeyPatch) -> None:
    from pyharmony.serve import _pool

    async def killed() -> list[int]:
        sleeper = await asyncio.create_subprocess_exec(sys.executable, "-c", "import time; time.sleep(60)")
        other = await asyncio.create_subprocess_exec(sys.executable, "-c", "")
        codes = [await other.wait()]
        # Whoever polls reaps a process that has just ended, and asyncio, which waits for it, has to guess its status.
        monkeypatch.setattr("subprocess.Popen.poll", lambda _: pytest.fail("it was polled"))
        for process in (sleeper, other):
            _pool._kill(process)
        return [*codes, await sleeper.wait()]

    assert asyncio.run(killed()) == [0, -signal.SIGKILL]


def test_what_takes_longer_than_the_grace_is_cancelled() -> None:
    with running(grace=0.2) as service, ThreadPoolExecutor(2) as threads:
        mask, pid = service.upload(scene()["mask"])["id"], service.pid()
        os.kill(pid, signal.SIGSTOP)  # so that the job takes longer than the grace
        job, waiting = (service.start("export", picture=mask, format="png").json() for _ in range(2))
        listen = threading.Barrier(3)
        followers = [threads.submit(events_of, service, one, listen.wait) for one in (job, waiting)]
        listen.wait(60)
        until(lambda: service.client.get(job["url"]).json()["status"] == "running")
        service.server.stop()
        event_lists = [follower.result(60) for follower in followers]
    assert [events[-1]["status"] for events in event_lists] == ["cancelled", "cancelled"]
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_workers_that_do_not_start_end_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pyharmony.serve._pool._CODE", "import sys; sys.exit('the module is missing')")
    with pytest.raises(RuntimeError, match="the workers do not start: the module is missing"):
        serve(Settings(port=0, workers=1, page=None))


def test_what_fails_in_the_service_is_told_without_details(service: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service.service.store, "get", lambda id: 1 / 0)
    answer = service.client.get("/api/v1/pictures/" + "0" * 32)
    assert answer.status_code == 500 and kind_of(answer) == "unexpected" and "zero" not in answer.text
    assert "default-src" in answer.headers["content-security-policy"]
    monkeypatch.undo()
    full = OSError(errno.ENOSPC, "No space left on device")
    monkeypatch.setattr(Path, "mkdir", lambda *_, **__: (_ for _ in ()).throw(full))
    refusal = service.client.post("/api/v1/pictures", content=file_of(scene()["mask"]))
    assert refusal.status_code == 429 and kind_of(refusal) == "full"
    monkeypatch.undo()
    assert service.upload(scene()["mask"])["width"] == 40


@pytest.mark.slow
def test_what_a_killed_service_left_goes_with_the_next_one(
    command: Callable[[], Command], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = command()
    children = first.children()
    first.end(signal.SIGKILL)
    (left,) = first.temporary.iterdir()
    until(lambda: not any(Path(f"/proc/{child}").exists() for child in children))
    assert children
    monkeypatch.setattr(tempfile, "tempdir", str(first.temporary))
    with running() as second:
        (folder,) = first.temporary.iterdir()
        assert folder == second.folder != left
    assert list(first.temporary.iterdir()) == []


def test_the_command_refuses_what_is_not_safe(tmp_path: Path) -> None:
    import typer
    from typer.testing import CliRunner

    from pyharmony.cli.serve import serve

    app = typer.Typer()
    app.command()(serve)
    (tmp_path / "token").write_text("short")
    (tmp_path / "tokens").write_text(f"ann {TOKEN}\nann {TOKEN}x\n")
    for options, words in (
        (["--host", ALL_INTERFACES], "pass --token-file"),
        (["--token-file", str(tmp_path / "token")], "at least 16 characters"),
        (["--allow-host", "example.org"], "--allow-host needs --token-file"),
        (["--max-upload", "lots"], "expected a size such as 32MB"),
        (["--max-pixels", "0"], "--max-pixels"),
        (["--queue", "-1", "--verbose"], "--queue"),
        (["--port", "-1", "--quiet", "--debug", "--json"], "--port"),
        (["--workers", "0"], "--workers: 0, expected at least 1"),
        (["--user-queue", "0"], "--user-queue: 0, expected at least 1"),
        (["--user-files", "lots"], "--user-files: 'lots', expected a size such as 32MB"),
        (["--token-file", str(tmp_path / "tokens")], "tokens, line 2: the same name as in line 1"),
        (["--timeout", "0"], "--timeout: 0.0, expected more than 0 seconds"),
    ):
        result = CliRunner().invoke(app, options)
        assert result.exit_code == 2 and words in result.stderr, (options, result.stderr)
        assert TOKEN not in result.output + result.stderr
    with socket.create_server(("127.0.0.1", 0)) as listener:
        result = CliRunner().invoke(app, ["--port", str(listener.getsockname()[1])])
        assert result.exit_code == 1 and "address already in use; another program listens there" in result.stderr


def test_the_service_is_loaded_by_nobody_else() -> None:
    modules = "pyharmony, pyharmony.blend, pyharmony.cli._app, pyharmony.cli.serve, pyharmony.serve"
    code = f"import sys, {modules}; print(*sys.modules)"
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {name.partition(".")[0] for name in process.stdout.split()} & {
        "fastapi",
        "starlette",
        "uvicorn",
        "pydantic",
        "PIL",
    }
    code = "import sys, pyharmony.serve._worker; print(*sys.modules)"
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {name.partition(".")[0] for name in process.stdout.split()} & {
        "fastapi",
        "starlette",
        "uvicorn",
        "torch",
    }


# ---- the container and the examples ----


def instructions(path: Path) -> list[tuple[str, str]]:
    """Returns the instructions of a Dockerfile, each with what follows it, in one line."""
    lines = [line for line in path.read_text().splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    return [(word, rest) for line in joined.splitlines() if line.strip() for word, _, rest in [line.partition(" ")]]


def left_out(name: str, patterns: list[str]) -> bool:
    """Tells whether a path is left out of the context of a build by the patterns of a .dockerignore file."""
    parts = name.split("/")
    for pattern in patterns:
        deep = pattern.startswith("**/")
        expected = pattern.removeprefix("**/")
        heads = ["/".join(parts[: i + 1]) for i in range(len(parts))]
        if any(fnmatch.fnmatchcase(one, expected) for one in (parts if deep else heads)):
            return True
    return False


def test_the_dockerfile_holds_what_it_says() -> None:
    path = ROOT / "pyharmony/serve/Dockerfile"
    steps = instructions(path)
    assert {word for word, _ in steps} <= {
        "ARG", "FROM", "RUN", "WORKDIR", "COPY", "USER", "ENV", "EXPOSE", "STOPSIGNAL", "HEALTHCHECK", "ENTRYPOINT",
    }  # fmt: skip
    by_word: dict[str, list[str]] = {}
    for word, rest in steps:
        by_word.setdefault(word, []).append(rest)
    # One image by its version and digest, which pyharmony runs on, unless the build names another.
    assert steps[0][0] == "ARG" and {rest.split()[0] for rest in by_word["FROM"]} == {"${BASE}"}
    base, options = by_word["ARG"]
    version = re.fullmatch(r"BASE=python:(3)\.(\d+)\.\d+-slim-[a-z]+@sha256:[0-9a-f]{64}", base)
    assert version is not None and (int(version[1]), int(version[2])) >= (3, 11)
    # Nothing in it is for one kind of CPU; what compiles it takes these options.
    assert not re.search(r"x86|amd64|aarch64|arm64", re.sub(r"(?m)^#.*", "", path.read_text()))
    assert re.fullmatch(r"CMAKE_ARGS=-DHM_CUDA=OFF", options) and "HM_CUDA" in (ROOT / "CMakeLists.txt").read_text()
    # What is copied exists, and reaches the build, with all that the package is built of.
    ignored = path.with_name("Dockerfile.dockerignore").read_text().split()
    for rest in by_word["COPY"]:
        if not rest.startswith("--from="):
            for source in rest.split()[:-1]:
                assert (ROOT / source).exists() and not left_out(source, ignored), source
    assert ". ." in by_word["COPY"]
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False).stdout.split()
    for name in tracked:
        assert not left_out(name, ignored), name
    assert left_out(".git/config", ignored) and left_out("pyharmony/_C.cpython-311-x86_64-linux-gnu.so", ignored)
    assert left_out(".venv/bin/python", ignored) and left_out("tests/__pycache__/a.pyc", ignored)
    # pip downloads nothing but what the locks name by its hash; the extras of the package ask for nothing else.
    downloads = [re.split(r"\s*&&\s*", rest) for rest in by_word["RUN"] if "pip install" in rest]
    for install in (one for rest in downloads for one in rest if one.startswith("pip install")):
        assert "--no-index" in install or "--only-binary :all: --require-hashes -r " in install, install
    (_, wheel) = by_word["RUN"][-2:]
    assert '--no-index "$(echo /wheels/*.whl)[serve,io,segment,heif]"' in wheel and "serve.lock" in wheel
    assert "pip wheel --no-cache-dir --no-deps --no-build-isolation" in by_word["RUN"][-2]
    # It runs as a user of its own, who is not root, and who is made before.
    (user,) = by_word["USER"]
    assert user not in ("root", "0") and re.search(rf"useradd [^&]*--uid 10001 [^&]*{user}\b", wheel)
    assert [word for word, _ in steps].index("USER") < [word for word, _ in steps].index("ENTRYPOINT")
    # It starts as the command line takes it, on the port that it tells, and ends by the signal that ends it.
    (entry,), (port,) = by_word["ENTRYPOINT"], by_word["EXPOSE"]
    program, *arguments = json.loads(entry)
    assert program == "pyharmony" and arguments[0] == "serve" and int(port) == Settings().port
    documented = set(re.findall(r"`(--[a-z-]+)", (ROOT / "docs/serve.md").read_text()))
    assert {one for one in arguments if one.startswith("--")} <= documented
    assert by_word["STOPSIGNAL"] == ["SIGTERM"] and f":{port}/health" in by_word["HEALTHCHECK"][0]
    compile(json.loads(by_word["HEALTHCHECK"][0].partition("CMD ")[2].strip())[2], "HEALTHCHECK", "exec")
    page = (ROOT / "docs/serve.md").read_text()
    assert f"docker build -f {path.relative_to(ROOT)}" in page and "it is user 10001" in page


@pytest.mark.parametrize("name", ["serve", "build"])
def test_the_locks_have_the_versions_that_are_tested(name: str) -> None:
    """A change of constraints.txt or of what the service needs asks for `make locks`."""
    text = (ROOT / f"pyharmony/serve/{name}.lock").read_text()
    entries = re.findall(r"(?m)^([a-z0-9-]+)==(\S+)(?: ; ([^\\]+))?((?: \\\n +--hash=sha256:[0-9a-f]{64})+)$", text)
    versions = {(package, version) for package, version, _, _ in entries}
    assert len(entries) == len(re.findall(r"(?m)^\S+==", text)) and "http" not in text
    constraints = re.findall(r"(?m)^([a-z0-9-]+)==([^\s;]+)(.*)$", (ROOT / "constraints.txt").read_text())
    pins = {package: version for package, version, marker in constraints if "<" not in marker}
    for package, version in versions:
        assert pins.get(package, version) == version, package
    tomllib = pytest.importorskip("tomllib", reason="Python before 3.11 has no reader of TOML")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    needs = project["build-system"]["requires"]
    if name == "serve":
        extras = project["project"]["optional-dependencies"]
        needs = [
            *project["project"]["dependencies"],
            *(one for extra in ("serve", "io", "segment", "heif") for one in extras[extra]),
        ]
    names = {package for package, _ in versions}
    for need in needs:
        requirement = Requirement(need)
        assert requirement.name in names, need
        assert all(version in requirement.specifier for package, version in versions if package == requirement.name)


def test_the_container_is_built_in_ci_or_a_line_says_why_not(tmp_path: Path) -> None:
    script = ROOT / ".ci/container.sh"
    assert "stage container container" in (text := (ROOT / ".ci/run").read_text()) or "container" in re.findall(
        r"(?m)^beside (.*)$", text
    )
    arguments = re.findall(r"--build-arg (\w+)=", script.read_text())
    declared = {
        rest.partition("=")[0] for word, rest in instructions(ROOT / "pyharmony/serve/Dockerfile") if word == "ARG"
    }
    assert set(arguments) == declared == {"BASE", "CMAKE_ARGS"}
    # Without the rights or the programs it skips; no other program is in reach.
    for user, reason in ((1000, "buildah is run as root only here"), (0, "there is no buildah, nor a package of it")):
        process = run_container_script(script, tmp_path, "x86_64", user=user)
        assert (process.returncode, process.stdout, process.stderr) == (0, f"container: skipped, {reason}\n", "")


def test_the_container_is_built_for_another_architecture_if_that_can_be_emulated(tmp_path: Path) -> None:
    script = tmp_path / "container.sh"
    handlers = tmp_path / "binfmt_misc"
    text = (ROOT / ".ci/container.sh").read_text()
    assert "handlers=/proc/sys/fs/binfmt_misc\n" in text
    script.write_text(text.replace("handlers=/proc/sys/fs/binfmt_misc\n", f"handlers={handlers}\n"))

    process = run_container_script(script, tmp_path, "x86_64", "riscv64")
    assert (process.returncode, process.stdout) == (2, "") and not (tmp_path / "image").exists()
    assert process.stderr == "container: architecture: riscv64, expected amd64 or arm64\n"
    # buildah is there, but can pull nothing.
    pulls = tmp_path / "pulls.txt"
    (tmp_path / "buildah").write_text(f'#!/bin/sh\necho "$@" >>{pulls}\necho no registry >&2\nexit 1\n')
    (tmp_path / "buildah").chmod(0o755)
    skipped = "container: skipped, "
    process = run_container_script(script, tmp_path, "aarch64", "amd64")
    assert (process.returncode, process.stdout, process.stderr) == (0, f"{skipped}amd64 is not emulated on arm64\n", "")
    # Neither the kernel's part, nor QEMU; then the first without the second.
    for _ in range(2):
        process = run_container_script(script, tmp_path, "x86_64", "arm64")
        assert (process.returncode, process.stderr, pulls.exists()) == (0, "", False)
        assert (
            process.stdout.startswith(f"{skipped}arm64 cannot be emulated here: ") and process.stdout.count("\n") == 1
        )
        handlers.mkdir(exist_ok=True)
        (handlers / "register").touch()
    # Both: the base is that of the architecture, which is the machine's unless it is named.
    (handlers / "qemu-aarch64").touch()
    for machine, architecture in (("x86_64", "arm64"), ("aarch64", "arm64"), ("aarch64", ""), ("x86_64", "")):
        process = run_container_script(script, tmp_path, machine, *architecture.split())
        assert process.returncode == 0 and "cannot be pulled" in process.stdout and not process.stderr
        words = pulls.read_text().split()
        assert words[words.index("--arch") + 1] == ("amd64" if machine == "x86_64" and not architecture else "arm64")
        pulls.unlink()
    assert "sh .ci/container.sh FOLDER arm64" in (ROOT / "docs/serve.md").read_text()


def run_container_script(
    script: Path, folder: Path, machine: str, *architecture: str, user: int = 0
) -> subprocess.CompletedProcess[str]:
    """Runs .ci/container.sh as this user, on a machine of this name that has few programs beside those in folder."""
    for name in ("mkdir", "sed", "tail"):
        if not (folder / name).exists():
            (folder / name).symlink_to(str(shutil.which(name)))
    for name, output in (("id", user), ("uname", machine)):
        (folder / name).write_text(f"#!/bin/sh\necho {output}\n")
        (folder / name).chmod(0o755)
    return subprocess.run(
        ["/bin/sh", script, folder / "image", *architecture], env={"PATH": str(folder)}, cwd=ROOT, capture_output=True,
        text=True, check=False,
    )  # fmt: skip


def test_the_unit_starts_what_the_command_line_takes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import typer
    from typer.testing import CliRunner

    from pyharmony.cli.serve import serve

    path = ROOT / "pyharmony/serve/pyharmony.service"
    assert '"pyharmony.serve" = ["static/**/*", "pyharmony.service"]' in (ROOT / "pyproject.toml").read_text()
    text = path.read_text()
    # A word that is repeated adds to its list, which this parser does not know.
    unit = configparser.RawConfigParser(strict=False, delimiters="=", comment_prefixes="#")
    unit.optionxform = str  # type: ignore[method-assign,assignment]
    unit.read_string(text)
    assert unit.sections() == ["Unit", "Service", "Install"]
    section = unit["Service"]
    program, word, *arguments = section["ExecStart"].split()
    assert os.path.isabs(program) and os.path.basename(program) == "pyharmony" and word == "serve"
    # The command, with its credentials in a folder, and settings as they come out of it.
    name, source = section["LoadCredential"].split(":")
    assert os.path.isabs(source)
    (tmp_path / name).write_text("".join(f"{user.name} {user.token}\n" for user in USERS))
    settings_list: list[Settings] = []
    monkeypatch.setattr("pyharmony.serve.serve", lambda settings, ready: settings_list.append(settings))
    app = typer.Typer()
    app.command()(serve)
    result = CliRunner().invoke(app, [one.replace("${CREDENTIALS_DIRECTORY}", str(tmp_path)) for one in arguments])
    assert result.exit_code == 0, result.output
    (settings,) = settings_list
    assert (
        settings == Settings(users=USERS) and settings.host == "127.0.0.1" and section["IPAddressAllow"] == "localhost"
    )
    # It ends as the service ends, whose workers are not to be told; it starts again unless the options are wrong.
    assert (section["KillSignal"], section["KillMode"], section["Restart"]) == ("SIGTERM", "mixed", "on-failure")
    assert int(section["TimeoutStopSec"]) > settings.grace + _SHUTDOWN_SECONDS
    assert [int(code) for code in section["RestartPreventExitStatus"].split()] == [Code.USAGE, Code.INPUT, 243]
    # A worker that is ended for its memory is not the end of the service.
    assert section["OOMPolicy"] == "continue" and re.fullmatch(r"\d+G", section["MemoryMax"])
    assert section["ProtectSystem"] == "strict"
    for one in ("DynamicUser", "PrivateTmp", "NoNewPrivileges", "ProtectHome", "PrivateDevices", "RestrictNamespaces"):
        assert section[one] == "yes", one
    page = (ROOT / "docs/serve.md").read_text()
    assert program.removesuffix("/bin/pyharmony") in page and source in page and "pyharmony.service" in page
    if shutil.which("systemd-analyze") is None:
        pytest.skip(skips.not_installed("systemd_analyze"))
    there = tmp_path / path.name
    there.write_text(text.replace(program, sys.executable))
    for options in (["verify"], ["security", "--offline=yes", "--threshold=20"]):
        process = subprocess.run(["systemd-analyze", *options, there], capture_output=True, text=True, check=False)
        assert process.returncode == 0, process.stdout + process.stderr


def examples(language: str) -> list[str]:
    """Returns the blocks of code of docs/serve.md in a language."""
    page = (ROOT / "docs/serve.md").read_text()
    return re.findall(rf"^```{language}\n(.*?)^```$", page, re.M | re.S)


def photographs(folder: Path, *names: str) -> None:
    """Writes photographs of the demo under the names that the examples have: somebody, and places to put them."""
    for name, sample in zip(names, ("astronaut.jpg", "coffee.jpg"), strict=True):
        Image.open(SAMPLES / sample).save(folder / name, quality=95)


@pytest.mark.filterwarnings("ignore::pyharmony.errors.PyHarmonyWarning")
def test_the_examples_in_the_shell_run(service: Running, tmp_path: Path) -> None:
    if shutil.which("curl") is None or shutil.which("jq") is None:
        pytest.skip("curl or jq is not installed")
    photographs(tmp_path, "person.jpg", "beach.jpg")
    first, *others = [one for one in examples("sh") if "curl" in one]
    clicks, events = others
    assert "upload()" in first and "…" in clicks and "$job/events" in events
    script = "\n".join(
        [
            "set -euo pipefail",
            first,
            'echo "$person $beach $mask $made" >ids',
            clicks.replace('"…"', "\"'$person'\"").rstrip() + " >clicks.json",
            "job=$(curl -sf -H 'X-Pyharmony: 1' --json "
            '"{\\"picture\\": \\"$mask\\", \\"format\\": \\"png\\"}" "$api/export" | jq -r .id)',
            events.rstrip() + " >events",
        ]
    )
    help_text = subprocess.run(["curl", "--help", "all"], capture_output=True, text=True, check=True).stdout
    if "--json" not in help_text:  # before 7.82
        script = script.replace("--json", "-H 'Content-Type: application/json' --data-binary")
    script = script.replace("http://127.0.0.1:8787", service.address)
    process = subprocess.run(["bash", "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert process.returncode == 0, (process.stdout, process.stderr)
    person, beach, mask, url = (tmp_path / "ids").read_text().split()
    assert {len(one) for one in (person, beach, mask)} == {32} and url.endswith("/file")
    expected = blend.alpha(
        np.asarray(pyharmony.load(tmp_path / "person.jpg")), np.asarray(pyharmony.load(tmp_path / "beach.jpg")),
        service.pixels({"file_url": f"/api/v1/pictures/{mask}/file"}), at=(120, 80),
    )  # fmt: skip
    assert np.array_equal(np.asarray(pyharmony.load(tmp_path / "result.png")), expected)
    answer = json.loads((tmp_path / "clicks.json").read_text())
    assert answer["status"] == "done"
    assert answer["result"]["mask"]["width"] == Image.open(tmp_path / "person.jpg").width
    lines = (tmp_path / "events").read_text().splitlines()
    records = [json.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data: ")]
    assert "event: job" in lines and records[-1]["status"] == "done"


@pytest.mark.filterwarnings("ignore::pyharmony.errors.PyHarmonyWarning")
def test_the_example_in_python_runs(service: Running, tmp_path: Path) -> None:
    photographs(tmp_path, "friend.jpg", "group.jpg")
    (code,) = [one for one in examples("python") if "httpx" in one]
    code = code.replace("http://127.0.0.1:8787", service.address)
    process = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert process.returncode == 0, process.stderr
    image = pyharmony.io.read(tmp_path / "result.tif")
    assert image.pixels.dtype == np.uint16 and image.format == "TIFF"
    assert image.pixels.shape[:2] == pyharmony.io.read(tmp_path / "group.jpg").pixels.shape[:2]


# ---- load ----


def check_load(service: Running, clients: int, seconds: float) -> dict[int, int]:
    """Lets so many clients work at once for so long: nothing but successes and 429."""
    images = scene(7)
    files = {name: file_of(image) for name, image in images.items()}
    statuses, end = dict[int, int](), time.monotonic() + seconds
    lock = threading.Lock()

    def note(answer: Any) -> Any:
        with lock:
            statuses[answer.status_code] = statuses.get(answer.status_code, 0) + 1
        return answer

    def work(_: int) -> int:
        rounds, comes = 0, True
        with httpx.Client(base_url=service.address, headers=HEADER, timeout=120) as client:
            while comes or time.monotonic() < end:  # each comes once at least
                ids, comes = {}, False
                for name, data in files.items():
                    answer = note(client.post("/api/v1/pictures", content=data))
                    if answer.status_code == 429:
                        time.sleep(min(0.2, float(answer.headers["retry-after"])))
                        break
                    ids[name] = answer.json()["id"]
                if len(ids) == 3:
                    answer = note(client.post("/api/v1/blend?wait=60", json={**ids, "at": [20, 10], "mode": "alpha"}))
                    if answer.status_code == 200:
                        picture = answer.json()["result"]["picture"]
                        assert note(client.get(picture["file_url"])).content.startswith(b"\x89PNG")
                        ids["made"] = picture["id"]
                        rounds += 1
                for id in ids.values():
                    assert note(client.delete(f"/api/v1/pictures/{id}")).status_code == 204
        return rounds

    with ThreadPoolExecutor(clients) as threads:
        rounds = list(threads.map(work, range(clients)))
    assert set(statuses) <= {200, 201, 202, 204, 429}, statuses
    assert sum(rounds) > 0
    assert service.client.get("/health").json()["status"] == "ok"
    return statuses


def test_several_clients_at_once(service: Running) -> None:
    check_load(service, 6, 0.0)


@pytest.mark.full  # a part of .ci/run
def test_fifty_clients_for_twenty_seconds() -> None:
    with running(workers=2) as service:
        check_load(service, 50, 20.0)


@pytest.mark.full
def test_five_thousand_requests_take_no_memory(command: Callable[[], Command]) -> None:
    run = command()
    processes = [run.process.pid, *run.children()]
    files = {name: file_of(image) for name, image in scene().items()}

    with httpx.Client(base_url=run.address, headers=HEADER, timeout=120) as client:

        def rounds(count: int) -> list[int]:
            for i in range(count):
                ids = {name: client.post("/api/v1/pictures", content=data).json()["id"] for name, data in files.items()}
                job = client.post("/api/v1/blend?wait=60", json={**ids, "at": [20, 10], "preview": i % 2 == 1}).json()
                picture = job["result"]["picture"]
                assert client.get(picture["file_url"]).status_code == 200
                for id in (*ids.values(), picture["id"]):
                    assert client.delete(f"/api/v1/pictures/{id}").status_code == 204
            return [memory_of(pid) for pid in processes]

        # A thousand jobs are remembered: first the room for them is filled.
        grey = client.post("/api/v1/pictures", content=files["mask"]).json()["id"]
        for _ in range(1000):
            job = client.post("/api/v1/export?wait=60", json={"picture": grey, "format": "bmp"}).json()
            client.delete(job["result"]["picture"]["url"])
        before = rounds(50)
        after = rounds(560)  # of nine requests each
    assert run.end(signal.SIGTERM) == 0
    for first, last in zip(before, after, strict=True):
        assert last <= 1.05 * first, (before, after)
