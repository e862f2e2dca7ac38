"""Content credentials: what `io.sign` writes is read by C2PA's own reader, and those of sources are not lost unsaid."""

from __future__ import annotations

import datetime
import http.server
import io
import json
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import pyharmony as ph
from pyharmony.errors import ArgumentError, DTypeError, FileError, PyHarmonyWarning

from ..shared import ROOT, runners

pytestmark = pytest.mark.house

c2pa = pytest.importorskip("c2pa", reason="c2pa-python is not installed")

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

PHOTOS = ROOT / "pyharmony" / "cli" / "images"
TERMS = "http://cv.iptc.org/newscodes/digitalsourcetype/"
NOT_KEPT = "the manifest of content credentials is not kept.*`pyharmony sign` keeps it"


def chain(folder: Path, key: Any, name: str = "me", days: int = 30, for_signing: bool = True) -> dict[str, Path]:
    """Writes a key and a chain of its certificate and that of a root, and returns the arguments of `sign`."""
    root_key, now = ec.generate_private_key(ec.SECP256R1()), datetime.datetime.now(datetime.timezone.utc)

    def certificate(subject: str, public_key: Any, is_root: bool) -> bytes:
        kinds = (NameOID.COMMON_NAME, NameOID.ORGANIZATION_NAME)
        names = [x509.Name([x509.NameAttribute(kind, text) for kind in kinds]) for text in (subject, "root")]
        usage = x509.KeyUsage(not is_root, False, False, False, False, is_root, is_root, False, False)
        use = ExtendedKeyUsageOID.EMAIL_PROTECTION if for_signing else ExtendedKeyUsageOID.SERVER_AUTH
        builder = (
            x509.CertificateBuilder(names[1], names[0], public_key, x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=60))
            .not_valid_after(now + datetime.timedelta(days=days))
            .add_extension(x509.BasicConstraints(ca=is_root, path_length=None), critical=True)
            .add_extension(usage, critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(root_key.public_key()), critical=False)
        )
        if not is_root:
            builder = builder.add_extension(x509.ExtendedKeyUsage([use]), critical=False)
        return builder.sign(root_key, hashes.SHA256()).public_bytes(Encoding.PEM)

    paths = {"certificate": folder / f"{name}.pem", "key": folder / f"{name}.key"}
    certificates = certificate(name, key.public_key(), False), certificate("root", root_key.public_key(), True)
    paths["certificate"].write_bytes(b"".join(certificates))
    paths["key"].write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return paths


@pytest.fixture(scope="module")
def me(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return chain(tmp_path_factory.mktemp("me"), ec.generate_private_key(ec.SECP256R1()))


@pytest.fixture
def sources(tmp_path: Path) -> list[Path]:
    """Returns a background and what is put into it."""
    paths = [tmp_path / "beach.jpg", tmp_path / "me.png"]
    for seed, path in enumerate(paths):
        ph.save(np.random.default_rng(seed).integers(0, 255, (48, 64, 3), np.uint8), path)
    return paths


def composite(sources: list[Path], out: Path) -> Path:
    mask = np.zeros((48, 64), np.uint8)
    mask[10:30, 10:40] = 255
    ph.blend.alpha(sources[1], sources[0], mask, out=out)
    return out


def told(path: Path) -> tuple[str, dict[str, Any], dict[str, Any]]:
    """Returns the state of a file's credentials, its manifest and all of them by their labels."""
    with c2pa.Reader(str(path)) as reader:
        store = json.loads(reader.json())
        return reader.get_validation_state(), store["manifests"][store["active_manifest"]], store["manifests"]


def actions_of(manifest: dict[str, Any]) -> list[dict[str, Any]]:
    return next(one["data"]["actions"] for one in manifest["assertions"] if one["label"] == "c2pa.actions.v2")


@pytest.mark.parametrize("suffix", ["jpg", "png", "tif", "webp"])
def test_a_signed_file_says_what_it_was_made_of(
    suffix: str, me: dict[str, Path], sources: list[Path], tmp_path: Path
) -> None:
    out = composite(sources, tmp_path / f"out.{suffix}")
    before, files = ph.io.read(out), set(tmp_path.iterdir())
    ph.io.sign(out, **me, sources=sources)
    state, manifest, every = told(out)
    assert state == "Valid" and len(every) == 1 and manifest["title"] == out.name
    agent = {"name": "pyharmony", "version": ph.__version__}
    assert {key: manifest["claim_generator_info"][0][key] for key in agent} == agent
    parts = [(one["title"], one["relationship"]) for one in manifest["ingredients"]]
    assert parts == [("beach.jpg", "parentOf"), ("me.png", "componentOf")]
    opened, placed, edited = actions_of(manifest)
    assert [one["action"] for one in (opened, placed, edited)] == ["c2pa.opened", "c2pa.placed", "c2pa.edited"]
    labels = [one["label"] for one in manifest["ingredients"]]
    for action, label in ((opened, labels[0]), (placed, labels[1])):
        assert action["parameters"]["ingredients"][0]["url"].endswith(f"c2pa.assertions/{label}")
    assert all(one["softwareAgent"] == agent for one in (opened, placed, edited))
    assert edited["digitalSourceType"] == f"{TERMS}compositeCapture"
    # The sources are those whose checksums the metadata have, and nothing shows them.
    assert all(one["instance_id"].encode() in (before.xmp or b"") for one in manifest["ingredients"])
    assert "thumbnail" not in json.dumps(every) and set(tmp_path.iterdir()) == files
    with pytest.warns(PyHarmonyWarning, match=f"image: {NOT_KEPT}"):
        after = ph.io.read(out)
    assert np.array_equal(before.pixels, after.pixels)
    assert (before.xmp, before.exif, before.profile, before.dpi) == (after.xmp, after.exif, after.profile, after.dpi)


def test_a_changed_file_is_no_longer_what_was_signed(me: dict[str, Path], sources: list[Path], tmp_path: Path) -> None:
    out = composite(sources, tmp_path / "out.png")
    ph.io.sign(out, **me, sources=sources)
    data = bytearray(out.read_bytes())
    data[data.find(b"IDAT") + 20] ^= 1
    out.write_bytes(data)
    assert told(out)[0] == "Invalid"


@pytest.mark.parametrize("suffix", ["jpg", "png", "tif", "webp"])
def test_old_credentials_are_lost_with_a_warning_or_kept_by_signing(
    suffix: str, me: dict[str, Path], sources: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    signed = composite(sources, tmp_path / f"signed.{suffix}")
    ph.io.sign(signed, **me, sources=sources)
    old = told(signed)[1]["label"]
    mask, out = np.full((48, 64), 255, np.uint8), tmp_path / "next.jpg"
    with monkeypatch.context() as without:
        without.setitem(sys.modules, "c2pa", None)  # to tell them needs no package
        with pytest.warns(PyHarmonyWarning, match=f"dst: {NOT_KEPT}"):
            ph.blend.alpha(sources[1], signed, mask, out=out)
        with pytest.warns(PyHarmonyWarning, match=f"src: {NOT_KEPT}"):
            ph.blend.alpha(signed, sources[0], mask, out=out)
    assert c2pa.Reader.try_create(str(out)) is None
    if suffix in ("jpg", "png"):
        with pytest.warns(PyHarmonyWarning, match=NOT_KEPT):
            ph.io.read(Image.open(signed))
    ph.io.sign(out, **me, sources=[sources[0], signed])
    state, manifest, every = told(out)
    assert state == "Valid" and len(every) == 2 and every[old]["ingredients"][0]["title"] == "beach.jpg"
    assert [one.get("active_manifest") for one in manifest["ingredients"]] == [None, old]


def test_a_mask_with_credentials_is_read_without_a_word(
    me: dict[str, Path], sources: list[Path], tmp_path: Path
) -> None:
    mask = tmp_path / "mask.png"
    ph.save(np.full((48, 64), 255, np.uint8), mask)
    ph.io.sign(mask, **me, sources=sources[:1])
    ph.blend.alpha(sources[1], sources[0], mask)


def test_what_an_ai_model_made_is_said(me: dict[str, Path], sources: list[Path], tmp_path: Path) -> None:
    out = composite(sources, tmp_path / "out.webp")
    ph.io.sign(out, **me, sources=sources, with_ai=True)
    assert actions_of(told(out)[1])[-1]["digitalSourceType"] == f"{TERMS}compositeWithTrainedAlgorithmicMedia"


@pytest.mark.parametrize("suffix", ["avif", "bmp", "jpg", "tif", "webp"])
def test_sources_may_be_of_any_format(suffix: str, me: dict[str, Path], sources: list[Path], tmp_path: Path) -> None:
    source = tmp_path / f"source.{suffix}"
    ph.save(np.zeros((16, 16, 3), np.uint8), source)
    out = composite(sources, tmp_path / "out.png")
    ph.io.sign(out, **me, sources=[source])
    assert told(out)[0] == "Valid"


@pytest.mark.parametrize(
    "key",
    [ec.SECP256R1(), ec.SECP384R1(), ec.SECP521R1(), "rsa", "ed25519"],
    ids=["p256", "p384", "p521", "rsa", "ed25519"],
)
def test_keys_of_every_accepted_kind(key: Any, sources: list[Path], tmp_path: Path) -> None:
    other = {"rsa": lambda: rsa.generate_private_key(65537, 2048), "ed25519": ed25519.Ed25519PrivateKey.generate}
    own = other[key]() if isinstance(key, str) else ec.generate_private_key(key)
    out = composite(sources, tmp_path / "out.png")
    ph.io.sign(out, **chain(tmp_path, own), sources=sources)
    assert told(out)[0] == "Valid"


def test_what_cannot_sign_is_refused_and_the_file_stays(
    me: dict[str, Path], sources: list[Path], tmp_path: Path
) -> None:
    out = composite(sources, tmp_path / "out.jpg")
    before, curve = out.read_bytes(), ec.SECP256R1()
    own = ec.generate_private_key(curve)
    fine = {**me, "sources": sources}
    text, locked, wrong = tmp_path / "text.pem", tmp_path / "locked.key", tmp_path / "dsa.key"
    text.write_text("-----BEGIN")
    locked.write_bytes(own.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"x")))
    pem = Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
    wrong.write_bytes(dsa.generate_private_key(2048).private_bytes(*pem))
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(before)
    ph.io.sign(broken, **fine)
    data = broken.read_bytes()
    at = data.find(b"c2pa.signature")
    broken.write_bytes(data[: at - 20] + b"x" * 60 + data[at + 40 :])
    alone = tmp_path / "alone.pem"
    alone.write_bytes(chain(tmp_path, own, "alone", for_signing=False)["certificate"].read_bytes())
    cases: list[tuple[dict[str, Any], type[Exception], str]] = [
        ({"sources": []}, ArgumentError, "sources: empty"),
        ({"sources": "beach.jpg"}, DTypeError, "sources: str"),
        ({"sources": [sources[0], text]}, ArgumentError, r"sources\[1\]: .*text.pem: not a file of JPEG"),
        ({"sources": [tmp_path / "none"]}, FileError, r"sources\[0\]: .*no such file"),
        ({"sources": [broken]}, ArgumentError, r"sources\[0\]: .*its content credentials are damaged"),
        ({"key": tmp_path / "none"}, FileError, "key: .*no such file"),
        ({"key": text}, ArgumentError, "key: .*expected a PEM file of a private key without a passphrase"),
        ({"key": locked}, ArgumentError, "key: .*without a passphrase"),
        ({"key": wrong}, ArgumentError, "key: .*RSA, Ed25519, or on the curve"),
        ({"key": chain(tmp_path, own, "you")["key"]}, ArgumentError, "key: .*not that of the first certificate"),
        ({"certificate": text}, ArgumentError, "certificate: .*expected a file of PEM certificates"),
        (chain(tmp_path, own, "old", days=-1), ArgumentError, "certificate: .*it cannot sign the picture"),
        (chain(tmp_path, own, "server", for_signing=False), ArgumentError, "certificate: .*it cannot sign the picture"),
        ({"with_ai": "yes"}, DTypeError, "with_ai"),
    ]
    for change, error, says in cases:
        with pytest.raises(error, match=says):
            ph.io.sign(out, **{**fine, **change})
        assert out.read_bytes() == before, says
    bmp = tmp_path / "out.bmp"
    ph.save(np.zeros((8, 8, 3), np.uint8), bmp)
    for path, error, says in (
        (bmp, ArgumentError, "path: .*not a file of JPEG, PNG, TIFF, WEBP"),
        (tmp_path / "none", FileError, "path: .*no such file"),
        (tmp_path, FileError, "path: .*is a directory"),
    ):
        with pytest.raises(error, match=says):
            ph.io.sign(path, **fine)
    out.write_bytes(before[:300])
    with pytest.raises(ArgumentError, match=r"path: .*out.jpg: it, or what content credentials it has, is damaged"):
        ph.io.sign(out, **fine)
    out.write_bytes(before)
    ph.io.sign(out, **fine)
    with pytest.raises(ArgumentError, match="it has content credentials, which signing would replace"):
        ph.io.sign(out, **fine)


def test_nothing_is_asked_for_on_the_network(me: dict[str, Path], sources: list[Path], tmp_path: Path) -> None:
    """A source may say where its credentials are."""
    asked: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_error(404)

        def log_message(self, *arguments: Any) -> None:
            pass

    server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        address = f"http://127.0.0.1:{server.server_port}/credentials.c2pa"
        xmp = (
            "<x:xmpmeta xmlns:x='adobe:ns:meta/'><rdf:RDF xmlns:rdf='http://www.w3.org/1999/02/22-rdf-syntax-ns#'>"
            f"<rdf:Description rdf:about='' xmlns:dcterms='http://purl.org/dc/terms/' dcterms:provenance='{address}'/>"
            "</rdf:RDF></x:xmpmeta>"
        )
        remote = tmp_path / "remote.jpg"
        Image.new("RGB", (16, 16)).save(remote, xmp=xmp.encode())
        with pytest.raises(c2pa.C2paError):
            c2pa.Reader("image/jpeg", io.BytesIO(remote.read_bytes()))
        assert asked == ["/credentials.c2pa"], "the reader's default asks"
        with pytest.warns(PyHarmonyWarning, match=f"image: {NOT_KEPT}"):
            assert address.encode() not in (ph.io.read(remote).xmp or b"")
        out = composite(sources, tmp_path / "out.jpg")
        ph.io.sign(out, **me, sources=[remote])
        assert told(out)[0] == "Valid" and len(asked) == 1
    finally:
        server.shutdown()
        server.server_close()


def test_the_command_signs(me: dict[str, Path], sources: list[Path], tmp_path: Path) -> None:
    call, report = runners("sign")
    out = composite(sources, tmp_path / "out.jpg")
    options = ["--certificate", me["certificate"], "--key", me["key"]]
    parts = [word for path in sources for word in ("--source", path)]
    assert "--source" in call(out, *options, code=2).stderr
    refused = call(out, *options, "--source", tmp_path / "none.jpg", code=3)
    assert f"{tmp_path / 'none.jpg'}: no such file" in refused.stderr.replace(") ", ") ")
    answer = report(out, *options, *parts, "--with-ai")
    assert (answer["status"], answer["output"], answer["sources"]) == ("ok", str(out), [*map(str, sources)])
    assert actions_of(told(out)[1])[-1]["digitalSourceType"].endswith("compositeWithTrainedAlgorithmicMedia")
    assert "it has content credentials" in call(out, *options, *parts, code=2).stderr


def test_without_the_package_it_says_what_to_install(
    me: dict[str, Path], sources: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = composite(sources, tmp_path / "out.jpg")
    monkeypatch.setitem(sys.modules, "c2pa", None)
    with pytest.raises(ImportError, match=r"c2pa is missing, content credentials need it: .*pip install"):
        ph.io.sign(out, **me, sources=sources)
