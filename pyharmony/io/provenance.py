"""Records in the XMP metadata of a file how its image was made."""

from __future__ import annotations

import hashlib
import html
import os
from collections.abc import Iterable, Sequence
from dataclasses import replace
from io import BytesIO

from .._version import __version__
from ..typing import PathLike
from . import _metadata
from ._picture import Picture

__all__ = ["add_history", "composite_of", "composite_over", "provenance"]

#: IPTC's terms for a composite of photos, and for one of which an AI model made a part.
SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeCapture"
AI_SOURCE_TYPE = SOURCE_TYPE.replace("compositeCapture", "compositeWithTrainedAlgorithmicMedia")
_HEAD = b"<?xpacket begin='\xef\xbb\xbf' id='W5M0MpCehiHzreSzNTczkc9d'?>"
_EMPTY = (
    b"<x:xmpmeta xmlns:x='adobe:ns:meta/'><rdf:RDF xmlns:rdf='http://www.w3.org/1999/02/22-rdf-syntax-ns#'>"
    b"</rdf:RDF></x:xmpmeta>"
)
_RDF_END = b"</rdf:RDF>"
_SPACES = (
    "xmlns:xmp='http://ns.adobe.com/xap/1.0/' xmlns:Iptc4xmpExt='http://iptc.org/std/Iptc4xmpExt/2008-02-29/' "
    "xmlns:dc='http://purl.org/dc/elements/1.1/' xmlns:xmpMM='http://ns.adobe.com/xap/1.0/mm/' "
    "xmlns:stEvt='http://ns.adobe.com/xap/1.0/sType/ResourceEvent#'"
)

#: An operation, with the name and the SHA-256 of each of the weights that it used.
Step = tuple[str, Sequence[tuple[str, str]]]


def provenance(xmp: bytes | None, sources: Iterable[PathLike | bytes | BytesIO], *, with_ai: bool = False) -> bytes:
    """Returns XMP that records that an image is a composite, and its sources, paths or bytes; see `add_history`."""
    return add_history(xmp, [_checksum(source) for source in sources], with_ai=with_ai)


def composite_over(picture: Picture, below: Picture, sources: Iterable[PathLike | bytes | BytesIO]) -> Picture:
    """Returns a picture with the metadata of the one below it, which mark it as a composite of these sources."""
    return replace(picture, xmp=provenance(below.xmp, sources))


def composite_of(picture: Picture, images: Iterable[object], *, with_ai: bool = False) -> Picture:
    """Returns a picture whose XMP marks it as a composite, with the SHA-256 of those of its images that are files.

    Pipes and open files, which can be read only once, have none. with_ai: see `add_history`.
    """
    files = [
        image
        for image in images
        if isinstance(image, bytes) or (isinstance(image, (str, os.PathLike)) and os.path.isfile(image))
    ]
    return replace(picture, xmp=provenance(picture.xmp, files, with_ai=with_ai))


def add_history(
    xmp: bytes | None, sums: Iterable[str], steps: Iterable[Step] = (), *, composite: bool = True, with_ai: bool = False
) -> bytes:
    """Returns XMP that records, in addition to its contents, the sources of an image, its operations and the tool.

    Args:
        xmp: the packet of the image; one that cannot be extended is replaced.
        sums: the SHA-256 of the source files.
        steps: the operations, in order, each with the name and the SHA-256 of the weights that it used.
        composite: whether it is a composite, for which IPTC has a term.
        with_ai: whether an AI model made a part of that composite, for which it has another.
    """
    tool = f"pyharmony {__version__}"
    term = AI_SOURCE_TYPE if with_ai else SOURCE_TYPE
    kind = f"<Iptc4xmpExt:DigitalSourceType>{term}</Iptc4xmpExt:DigitalSourceType>" if composite else ""
    files = "".join(f"<rdf:li>sha256:{one}</rdf:li>" for one in sums)
    events = "".join(
        f"<rdf:li rdf:parseType='Resource'><stEvt:action>{html.escape(name, quote=False)}</stEvt:action>"
        f"<stEvt:softwareAgent>{tool}</stEvt:softwareAgent>{_parameters(weights)}</rdf:li>"
        for name, weights in steps
    )
    history = f"<xmpMM:History><rdf:Seq>{events}</rdf:Seq></xmpMM:History>" if events else ""
    about = (
        f"<rdf:Description rdf:about='' {_SPACES}><xmp:CreatorTool>{tool}</xmp:CreatorTool>{kind}"
        f"<dc:relation><rdf:Bag>{files}</rdf:Bag></dc:relation>{history}</rdf:Description>"
    ).encode()
    packet = (
        xmp
        if xmp is not None and xmp.count(_RDF_END) == 1 and not _metadata.declares(xmp)
        else _HEAD + _EMPTY + b"<?xpacket end='w'?>"
    )
    return packet.replace(_RDF_END, about + _RDF_END)


def _parameters(weights: Sequence[tuple[str, str]]) -> str:
    text = "; ".join(f"weights {name}, SHA-256 {digest}" for name, digest in weights)
    return f"<stEvt:parameters>{html.escape(text, quote=False)}</stEvt:parameters>" if text else ""


def _checksum(source: PathLike | bytes | BytesIO) -> str:
    if isinstance(source, (bytes, BytesIO)):
        return hashlib.sha256(source if isinstance(source, bytes) else source.getbuffer()).hexdigest()
    digest = hashlib.sha256()
    with open(source, "rb") as file:
        while data := file.read(1 << 20):
            digest.update(data)
    return digest.hexdigest()
