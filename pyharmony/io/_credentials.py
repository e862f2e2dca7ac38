"""Content credentials: a signed manifest in a file says how its picture was made, by c2pa-python, the extra `c2pa`.

Sources: C2PA's technical specification 2.4, actions (18.15) and ingredients (18.16); IPTC's digital source types.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
from collections.abc import Iterator, Sequence
from typing import Any

from .. import _checks, _install
from .._version import __version__
from ..errors import ArgumentError
from ..typing import PathLike
from . import _decode, _encode
from .provenance import AI_SOURCE_TYPE, SOURCE_TYPE

#: The formats that are signed, and those of sources, by their media types.
_SIGNED_TYPES = {"JPEG": "image/jpeg", "PNG": "image/png", "TIFF": "image/tiff", "WEBP": "image/webp"}
_SOURCE_TYPES = {**_SIGNED_TYPES, "AVIF": "image/avif", "BMP": "image/bmp", "HEIF": "image/heic", "JXL": "image/jxl"}
#: The algorithms of elliptic curves by the bits of their keys.
_CURVES = {256: "es256", 384: "es384", 521: "es512"}
_ISSUED = "expected one that somebody else issued, for signing documents or mail"
#: Nothing is asked for on the network, and a cut-out does not show what was cut away.
_SETTINGS = {
    "verify": {"remote_manifest_fetch": False, "ocsp_fetch": False},
    "builder": {"thumbnail": {"enabled": False}},
}


@_checks.kinds
def sign(
    path: PathLike, *, certificate: PathLike, key: PathLike, sources: Sequence[PathLike], with_ai: bool = False
) -> None:
    """Signs the file of a composite: content credentials (C2PA) in it say from which files pyharmony made it.

    The file is replaced; its pixels and other metadata stay. Credentials of the sources are kept, as those of its
    ingredients. Nothing is sent anywhere: there is no time stamp of others, and no picture of the sources is included.

    Args:
        path: a JPEG, PNG, TIFF or WebP file without credentials.
        certificate: a PEM file of your certificate, followed by those that lead to its root. It must be for signing
            documents or mail; programs that show credentials name you if they trust its root.
        key: a PEM file of its private key, without a passphrase: RSA, Ed25519, or an elliptic curve P-256, P-384 or
            P-521.
        sources: the files of which it was made: first the one that was opened, such as the background, then those that
            were placed in it.
        with_ai: whether an AI model made a part of it, such as an edit that was applied.

    Raises:
        ArgumentError: a file is of another kind, or damaged; path has credentials; sources is empty; the key is not
            that of the certificate, or this is not for signing, or expired.
        DTypeError: an argument is of another type.
        FileError: a file cannot be read, or path cannot be written.
        ImportError: c2pa-python is missing.

    Example:
        >>> import pyharmony
        >>> pyharmony.save(np.zeros((8, 9, 3), np.uint8), "out.png")
        >>> pyharmony.io.sign("out.png", certificate="me.pem", key="me.key", sources=[])
        Traceback (most recent call last):
            ...
        pyharmony.errors.ArgumentError: sources: empty, expected the file that was changed, and those placed in it
    """
    sources = _checks.several(sources, "sources", "a list of paths")
    if not sources:
        raise ArgumentError("sources: empty, expected the file that was changed, and those placed in it")
    media_type, data = _read(path, "path", _SIGNED_TYPES)
    c2pa = _library()
    signer = _signer(c2pa, certificate, key)
    context = c2pa.Context.from_dict(_SETTINGS)
    with _blaming(c2pa, "path", path, "it, or what content credentials it has, is damaged"):
        is_signed = c2pa.Reader.try_create(media_type, io.BytesIO(data), context=context) is not None
    if is_signed:
        raise ArgumentError(f"path: {os.fspath(path)}: it has content credentials, which signing would replace")
    builder = c2pa.Builder(_manifest(os.fspath(path), len(sources), with_ai), context)
    for number, source in enumerate(sources):
        name = f"sources[{number}]"
        source_type, content = _read(source, name, _SOURCE_TYPES)
        about = {"title": os.path.basename(source), "label": str(number)}
        about["relationship"] = "componentOf" if number else "parentOf"
        about["instance_id"] = f"sha256:{hashlib.sha256(content).hexdigest()}"
        with _blaming(c2pa, name, source, "its content credentials are damaged"):
            builder.add_ingredient(about, source_type, io.BytesIO(content))
    signed = io.BytesIO()
    with _blaming(c2pa, "certificate", certificate, "it cannot sign the picture", _ISSUED):
        builder.sign(signer, media_type, io.BytesIO(data), signed)
    _encode.write_to(path, [signed.getbuffer()], True)


def _library() -> Any:
    try:
        import c2pa
        import cryptography as cryptography
    except ImportError as error:
        raise ImportError(f"{error.name} is missing, content credentials need it: {_install.hint('c2pa')}") from error
    return c2pa


@contextlib.contextmanager
def _blaming(c2pa: Any, name: str, path: Any, what: str, hint: str = "") -> Iterator[None]:
    """Raises errors of c2pa-python as those of an argument, a file."""
    try:
        yield
    except c2pa.C2paError as error:
        raise ArgumentError(f"{name}: {os.fspath(path)}: {what}: {error}", hint=hint) from error


def _read(path: Any, name: str, types: dict[str, str]) -> tuple[str, bytes]:
    """Returns the media type and the bytes of a file, by its first bytes."""
    with _checks.opened(path, name) as file:
        data = file.read()
    format, _ = _decode.sniff(data[:64])
    if format not in types:
        raise ArgumentError(f"{name}: {os.fspath(path)}: not a file of {', '.join(types)}")
    return types[format], data


def _manifest(path: str, count: int, with_ai: bool) -> dict[str, Any]:
    """Returns the definition of a manifest for a number of ingredients, by their labels."""
    agent = {"name": "pyharmony", "version": __version__}
    actions: list[dict[str, Any]] = [
        {"action": "c2pa.placed" if i else "c2pa.opened", "parameters": {"ingredientIds": [str(i)]}}
        for i in range(count)
    ]
    actions.append({"action": "c2pa.edited", "digitalSourceType": AI_SOURCE_TYPE if with_ai else SOURCE_TYPE})
    every = {"actions": [{**action, "softwareAgent": agent} for action in actions]}
    return {
        "title": os.path.basename(path),
        "claim_generator_info": [agent],
        "assertions": [{"label": "c2pa.actions.v2", "data": every}],
    }


def _signer(c2pa: Any, certificate: Any, key: Any) -> Any:
    """Returns what signs with a private key and the certificates of its owner, after checking that they belong."""
    from cryptography import x509
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    with _checks.opened(certificate, "certificate") as file:
        chain = file.read()
    with _checks.opened(key, "key") as file:
        secret = file.read()
    try:
        first = x509.load_pem_x509_certificates(chain)[0]
    except ValueError:
        raise ArgumentError(f"certificate: {os.fspath(certificate)}: expected a file of PEM certificates") from None
    expected = f"key: {os.fspath(key)}: expected a PEM file of a private key without a passphrase"
    try:
        private = load_pem_private_key(secret, None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise ArgumentError(expected) from None
    algorithm = None
    if isinstance(private, ec.EllipticCurvePrivateKey):
        algorithm = _CURVES.get(private.key_size)
    elif isinstance(private, (rsa.RSAPrivateKey, ed25519.Ed25519PrivateKey)):
        algorithm = "ps256" if isinstance(private, rsa.RSAPrivateKey) else "ed25519"
    if algorithm is None:
        raise ArgumentError(f"{expected}, RSA, Ed25519, or on the curve P-256, P-384 or P-521")
    if private.public_key() != first.public_key():
        raise ArgumentError(f"key: {os.fspath(key)}: not that of the first certificate in {os.fspath(certificate)}")
    with _blaming(c2pa, "certificate", certificate, "it cannot sign"):
        return c2pa.Signer.from_info(c2pa.C2paSignerInfo(algorithm, chain, secret, None))
