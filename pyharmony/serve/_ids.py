"""The ids of images in requests, which everything of the service stands on."""

from __future__ import annotations

from typing import Any

from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

#: The pattern of the id of an image or a job.
ID = r"^[0-9a-f]{32}$"


class PictureId(str):
    """The id of an image of the service. Paths are made from such ids only, never from other text of a client."""

    @classmethod
    def __get_pydantic_core_schema__(cls, _: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(cls, core_schema.str_schema(pattern=ID))
