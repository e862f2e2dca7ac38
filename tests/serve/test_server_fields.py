"""Every field of every request: what it accepts is listed, and foreign and hostile values of any kind are refused."""

from __future__ import annotations

import asyncio
import io
import itertools
import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.shared import need

need("httpx", "fastapi", "uvicorn")

import pyharmony
from pyharmony import blend
from pyharmony._calls import BLEND, EDIT, HARMONIZE, Call, File, Option
from pyharmony.serve._bodies import fields_of
from pyharmony.serve._operations import OPEN, OPERATIONS
from tests.serve.test_server import HEADER, Running, kind_of, running, scene

pytestmark = pytest.mark.house

ID = "0" * 32
JSON = {"content-type": "application/json"}


@pytest.fixture(scope="module")
def service() -> Iterator[Running]:
    with running(max_upload=3_000_000, max_pixels=20_000_000) as one:
        yield one


# ---- schemas ----


def parts(schema: Any, where: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Yields every schema inside a schema, with its place."""
    if isinstance(schema, dict):
        yield where, schema
        for name, inner in schema.items():
            if name not in ("default", "example", "examples"):
                yield from parts(inner, f"{where}/{name}")
    elif isinstance(schema, list):
        for i, inner in enumerate(schema):
            yield from parts(inner, f"{where}/{i}")


def open_parts(schema: Any) -> list[str]:
    """Returns the places of texts without a pattern or a list, of numbers without bounds, and of endless lists."""
    places = []
    for where, one in parts(schema):
        kind = one.get("type")
        if kind == "string" and not {"pattern", "enum", "const"} & one.keys():
            places.append(where)
        is_open = "maximum" not in one or not {"minimum", "exclusiveMinimum"} & one.keys()
        if kind in ("number", "integer") and is_open and not {"enum", "const"} & one.keys():
            places.append(where)
        if kind == "array" and "maxItems" not in one:
            places.append(where)
        # A field of any kind has no type at all, and takes texts.
        if kind is None and where.rpartition("/")[0].endswith("/properties"):
            places += [] if {"anyOf", "oneOf", "$ref", "enum", "const"} & one.keys() else [where]
    return places


def test_no_request_has_a_text_without_a_pattern_or_a_list(service: Running) -> None:
    for operation in (*OPERATIONS.values(), OPEN):
        assert open_parts(operation.body.model_json_schema()) == [], operation.name
    schema = service.client.get("/api/v1/openapi.json").json()
    bodies = set()
    for path, methods in schema["paths"].items():
        for method, about in methods.items():
            for parameter in about.get("parameters", ()):
                assert open_parts(parameter["schema"]) == [], (path, method, parameter["name"])
            content = about.get("requestBody", {}).get("content", {})
            bodies |= {
                one["schema"]["$ref"].rpartition("/")[2] for kind, one in content.items() if kind in JSON.values()
            }
    # Each of them is the body of an operation, which was walked.
    assert bodies == {operation.body.__name__ for operation in OPERATIONS.values()}


def test_the_walk_sees_what_lacks_a_pattern() -> None:
    text = {"type": "string"}
    assert open_parts(text) == [""]
    assert open_parts({"anyOf": [{"type": "null"}, {**text, "maxLength": 3}]}) == ["/anyOf/1"]
    assert open_parts({"type": "array", "items": text}) == ["", "/items"]
    assert open_parts({"properties": {"a": {"title": "A"}}}) == ["/properties/a"]
    assert open_parts({**text, "pattern": "^a$"}) == []


@pytest.mark.parametrize("kind", [str, bytes, Path, object, list, Any])
def test_an_option_of_any_text_becomes_no_field(kind: Any) -> None:
    with pytest.raises(TypeError, match="note"):
        fields_of(Call("trial", {}, (Option("note", kind, "A note."),)))


def test_the_weights_of_a_client_have_no_field() -> None:
    weights = [
        (kind.command, option.name)
        for kind in (BLEND, EDIT, HARMONIZE)
        for option in kind.options
        if isinstance(option.type, File) and option.type.role == "weights"
    ]
    assert weights == [("blend", "network"), ("harmonize", "network")]
    for name, field in weights:
        assert field not in OPERATIONS[name].body.model_fields


# ---- hostile values ----

PATHS = [
    "/etc/passwd", "../../../../etc/passwd", "./x.png", "/dev/zero", "/dev/stdin", "/proc/self/environ", "-", "",
    "file:///etc/passwd", "http://127.0.0.1:1/x.png", "https://example.org/", "data:image/png;base64,AAAA", "~/x",
    "\\\\host\\share\\x.png", "C:\\x.png", "x\0.png", "$(id)", f"{ID}\n", f"../pictures/{ID}", f"{ID}/../{ID}",
    "\ud800", "//example.org/a.png", "0" * 31, "0" * 33, "A" * 32,
]  # fmt: skip
NUMBERS = [math.nan, math.inf, -math.inf, 1e300, -1e300, 10**400, -(10**400), 2**63, -(2**63) - 1]
TYPES = [True, 1, 0.5, "1", "true", "null", ["/etc/passwd"], [[[[1]]]], {"/etc/passwd": 1}, {"path": "/etc/passwd"}]


class Schema:
    """A schema with the definitions that it refers to."""

    def __init__(self, whole: dict[str, Any]) -> None:
        self.whole = whole

    def resolved(self, schema: dict[str, Any]) -> dict[str, Any]:
        while "$ref" in schema:
            schema = self.whole["$defs"][schema["$ref"].rpartition("/")[2]]
        return schema

    def branches(self, schema: dict[str, Any]) -> list[dict[str, Any]]:
        schema = self.resolved(schema)
        inner = schema.get("anyOf", schema.get("oneOf"))
        return [schema] if inner is None else [one for branch in inner for one in self.branches(branch)]

    def sample(self, schema: dict[str, Any]) -> Any:
        """Returns a value that a schema accepts."""
        one = next(branch for branch in self.branches(schema) if branch.get("type") != "null")
        if "const" in one or "enum" in one:
            return one.get("const", one.get("enum", [None])[0])
        kind = one["type"]
        if kind == "object":
            return {name: self.sample(one["properties"][name]) for name in one.get("required", ())}
        if kind == "array":
            items = one.get("prefixItems", [one.get("items")] * max(1, one.get("minItems", 0)))
            return [self.sample(item) for item in items]
        low = one.get("minimum", one.get("exclusiveMinimum", 0))
        return {"string": ID, "boolean": True}.get(kind, max(1, low))

    def accepts(self, schema: dict[str, Any], value: Any) -> bool:
        """Returns whether a value of the lists above is a right one for a field."""
        for one in self.branches(schema):
            kind = one.get("type")
            if value is True and kind == "boolean":
                return True
            is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
            if is_number and "maximum" in one and (kind == "number" or isinstance(value, int)):
                low = one.get("minimum", one.get("exclusiveMinimum", -math.inf))
                if low <= value <= one["maximum"] and value != one.get("exclusiveMinimum"):
                    return True
            # Numbers of words: 2 and 4.
            if value in one.get("enum", ()) and not isinstance(value, bool):
                return True
            if isinstance(value, dict) and one.get("additionalProperties") is True:
                return True  # a recipe, whose texts are judged apart
        return False

    def places(self, schema: dict[str, Any]) -> Iterator[tuple[tuple[Any, ...], Any, Callable[[Any], Any]]]:
        """Yields the path of every field and entry, its schema, and a function that puts a value there."""
        for one in self.branches(schema):
            inner: list[tuple[Any, Any]] = list(one.get("properties", {}).items())
            if one.get("type") == "array":
                inner = list(enumerate(one.get("prefixItems", [one.get("items")])))
            for key, part in inner:

                def assign(value: Any, key: Any = key, one: Any = one) -> Any:
                    whole = self.sample(one)
                    whole[key] = value
                    return whole

                yield (key,), part, assign
                for path, field, build in self.places(part):
                    yield (key, *path), field, lambda value, assign=assign, build=build: assign(build(value))  # type: ignore[misc]


def answers(service: Running, name: str, bodies: list[bytes]) -> list[tuple[int, bytes]]:
    """Returns the statuses and contents of the answers to bodies of an operation, without a connection.

    The service's application is called in its own loop: a client and HTTP/1.1 would take three times as long.
    """

    async def answer(body: bytes) -> tuple[int, bytes]:
        messages: list[Any] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: Any) -> None:
            messages.append(message)

        headers = {**JSON, **HEADER, "host": service.address.partition("//")[2], "content-length": str(len(body))}
        scope = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "POST", "scheme": "http",
            "path": f"/api/v1/{name}", "raw_path": f"/api/v1/{name}".encode(), "query_string": b"", "root_path": "",
            "headers": [(key.lower().encode(), value.encode()) for key, value in headers.items()],
            "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 80),
        }  # fmt: skip
        await service.service.guard(scope, receive, send)
        return messages[0]["status"], b"".join(message.get("body", b"") for message in messages[1:])

    async def in_turn() -> list[tuple[int, bytes]]:
        return [await answer(body) for body in bodies]

    return asyncio.run_coroutine_threadsafe(in_turn(), service.server.loop).result(120)


@pytest.mark.parametrize("name", OPERATIONS)
def test_hostile_values_in_every_field_are_refused_before_anything_is_read(service: Running, name: str) -> None:
    schema = Schema(OPERATIONS[name].body.model_json_schema())
    jobs = service.service.pool.jobs
    before, count, fields = set(jobs), 0, set()
    for path, field, build in schema.places(schema.whole):
        fields.add(path[0])
        values = [value for value in itertools.chain(PATHS, NUMBERS, TYPES) if not schema.accepts(field, value)]
        values = values[count % 3 :: 3]  # the fields after it meet the others
        bodies = [json.dumps(build(value)).encode() for value in values]
        for value, (status, content) in zip(values, answers(service, name, bodies)):
            assert status == 422, (path, value, content)
            assert str(path[0]) in json.loads(content)["error"]["message"], (path, value, content)
            count += 1
        # One of them by a connection, which makes no difference.
        answer = service.client.post(f"/api/v1/{name}", content=bodies[count % len(bodies)], headers=JSON)
        assert answer.status_code == 422 and str(path[0]) in answer.json()["error"]["message"], (path, answer.text)
    assert set(jobs) == before
    assert fields == set(OPERATIONS[name].body.model_fields)
    assert count > 8 * len(fields)


def recipe_of_a_composite() -> dict[str, Any]:
    subject = np.zeros((30, 20, 4), np.uint8)
    subject[5:25, 5:15] = 255
    dst = np.full((60, 80, 3), 128, np.uint8)
    return pyharmony.compose(subject, dst, at=(10, 20), shadow=False, return_info=True)[1].recipe


def places_in(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    if isinstance(value, (dict, list)):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from places_in(inner, (*path, key))


def put_into(whole: Any, path: tuple[Any, ...], value: Any) -> Any:
    whole = json.loads(json.dumps(whole))
    part = whole
    for key in path[:-1]:
        part = part[key]
    part[path[-1]] = value
    return whole


def test_a_recipe_names_no_files(service: Running) -> None:
    recipe = recipe_of_a_composite()
    jobs = service.service.pool.jobs
    before = set(jobs)
    base = {"subjects": [{"picture": ID}], "background": ID}
    names = [text for text in PATHS if "/" in text or "\\" in text or ":" in text or "\0" in text]
    places = [path for path in places_in(recipe) if path]
    assert len(places) > 40
    for path in places:
        for value in (*names[:3], names[len(path) % len(names)], math.nan, 10**400, 1e300):
            body = {**base, "recipe": put_into(recipe, path, value)}
            answer = service.client.post("/api/v1/compose", content=json.dumps(body), headers=JSON)
            assert answer.status_code == 422, (path, value, answer.text)
    for key in names:
        answer = service.start("compose", **base, recipe={**recipe, key: 1})
        assert answer.status_code == 422, (key, answer.text)
    assert set(jobs) == before
    # It is accepted as it is: there are no such images.
    assert kind_of(service.start("compose", **base, recipe=recipe)) == "unknown_picture"


# ---- files among the options ----


@pytest.mark.filterwarnings("ignore::pyharmony.errors.PyHarmonyWarning")
@pytest.mark.parametrize("preview", [False, True])
def test_the_images_among_the_options_are_uploads(service: Running, preview: bool) -> None:
    images = scene()
    src, dst, mask = images["src"], images["dst"], images["mask"]
    valid = np.full(dst.shape[:2], 255, np.uint8)
    valid[:, 60:] = 0
    weights = np.tile(np.linspace(0, 255, dst.shape[1]).astype(np.uint8), (dst.shape[0], 1))
    base = dst[::-1].copy()
    ids = service.ids(src=src, dst=dst, mask=mask)
    options = {"dst_valid": valid, "color_weight": weights, "base": base}
    assert {one.name for one in BLEND.options if isinstance(one.type, File) and one.type.role == "image"} == set(
        options
    )
    for name, image in options.items():
        id = service.upload(image)["id"]
        body = {**ids, "at": [30, 12], name: id, "preview": preview, "format": "png"}
        pixels = service.pixels(service.done("blend", **body)["picture"])
        argument = weights.astype(np.float32) / np.float32(255) if name == "color_weight" else image
        expected = blend.gaussian_poisson(src, dst, mask, at=(30, 12), **{name: argument})
        if not preview:
            np.testing.assert_array_equal(pixels, expected, err_msg=name)
        plain = service.pixels(service.done("blend", **{**body, name: None})["picture"])
        assert (pixels != plain).any(), name


@pytest.mark.filterwarnings("ignore::pyharmony.errors.PyHarmonyWarning")
def test_nodata_of_an_upload_is_unknown(service: Running) -> None:
    tifffile = pytest.importorskip("tifffile", reason="tifffile is not installed")
    images, stream = scene(), io.BytesIO()
    src, mask, dst = images["src"], images["mask"], images["dst"].clip(1, 254)
    dst[:, 50:] = 0
    tifffile.imwrite(stream, dst, photometric="rgb", extratags=[(42113, 2, 0, "0", True)])
    ids = service.ids(src=src, dst=stream.getvalue(), mask=mask)
    answer = service.done("blend", **ids, at=[30, 12], format="png")
    expected = blend.gaussian_poisson(src, dst, mask, at=(30, 12), dst_valid=(dst > 0).all(2))
    np.testing.assert_array_equal(service.pixels(answer["picture"]), expected)


@pytest.mark.filterwarnings("ignore::pyharmony.errors.PyHarmonyWarning")
def test_the_hints_of_harmonisation_are_uploads(service: Running) -> None:
    images = scene()
    dst, where = images["dst"], np.zeros(images["dst"].shape[:2], np.uint8)
    where[20:50, 30:60] = 255
    ids = service.ids(image=dst, mask=where, source=dst[::-1].copy(), source_mask=where, reference_mask=255 - where)
    result = service.done("harmonize", **ids, method="reinhard", guard=False)["picture"]
    hints = {"source": dst[::-1].copy(), "source_mask": where, "reference_mask": 255 - where}
    expected = pyharmony.harmonize(dst, where, method="reinhard", guard=False, **hints)
    np.testing.assert_array_equal(service.pixels(result), expected)
