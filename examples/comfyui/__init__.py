"""The nodes of pyharmony for ComfyUI: a copy of this folder lies in `custom_nodes`; docs/comfyui.md describes them."""

from pyharmony.comfyui import NODE_CLASS_MAPPINGS, NODE_DISPLAY_NAME_MAPPINGS

__all__ = ["NODE_CLASS_MAPPINGS", "NODE_DISPLAY_NAME_MAPPINGS"]
