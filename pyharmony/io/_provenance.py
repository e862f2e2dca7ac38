"""Tells in the metadata of a file how its image was made, as XMP."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from .._version import __version__

#: IPTC's term for a picture that was put together from photographs.
SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeCapture"
_HEAD = b"<?xpacket begin='\xef\xbb\xbf' id='W5M0MpCehiHzreSzNTczkc9d'?>"
_EMPTY = (
    b"<x:xmpmeta xmlns:x='adobe:ns:meta/'><rdf:RDF xmlns:rdf='http://www.w3.org/1999/02/22-rdf-syntax-ns#'>"
    b"</rdf:RDF></x:xmpmeta>"
)
_END = b"</rdf:RDF>"


def provenance(xmp: bytes | None, sources: Sequence[str | bytes]) -> bytes:
    """Returns XMP that tells, beside what it told, that an image is a composite, of what, and by what it was made.

    Args:
        xmp: the packet of the image; one that cannot be added to is replaced.
        sources: the files that it was made of: a path each, or its bytes.
    """
    sums = "".join(f"<rdf:li>sha256:{_checksum(source)}</rdf:li>" for source in sources)
    told = (
        "<rdf:Description rdf:about='' xmlns:xmp='http://ns.adobe.com/xap/1.0/' "
        "xmlns:Iptc4xmpExt='http://iptc.org/std/Iptc4xmpExt/2008-02-29/' xmlns:dc='http://purl.org/dc/elements/1.1/'>"
        f"<xmp:CreatorTool>pyharmony {__version__}</xmp:CreatorTool>"
        f"<Iptc4xmpExt:DigitalSourceType>{SOURCE_TYPE}</Iptc4xmpExt:DigitalSourceType>"
        f"<dc:relation><rdf:Bag>{sums}</rdf:Bag></dc:relation></rdf:Description>"
    ).encode()
    packet = xmp if xmp is not None and xmp.count(_END) == 1 else _HEAD + _EMPTY + b"<?xpacket end='w'?>"
    return packet.replace(_END, told + _END)


def _checksum(source: str | bytes) -> str:
    if isinstance(source, bytes):
        return hashlib.sha256(source).hexdigest()
    found = hashlib.sha256()
    with open(source, "rb") as file:
        while data := file.read(1 << 20):
            found.update(data)
    return found.hexdigest()
