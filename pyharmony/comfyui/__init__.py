"""Nodes for ComfyUI: apply edit, blend, harmonise, match, place, segment and shadow, on IMAGE and MASK as they are.

A file in ComfyUI's folder `custom_nodes` that imports `NODE_CLASS_MAPPINGS` and `NODE_DISPLAY_NAME_MAPPINGS` adds the
nodes in ComfyUI's classic form; one that imports `comfy_entrypoint` instead adds the same nodes in its newer form. The
result of a node is that of the Python call, frame by frame. The classic form works without ComfyUI too.
"""

from ._forms import NODE_CLASS_MAPPINGS, NODE_DISPLAY_NAME_MAPPINGS, comfy_entrypoint

__all__ = ["NODE_CLASS_MAPPINGS", "NODE_DISPLAY_NAME_MAPPINGS", "comfy_entrypoint"]
