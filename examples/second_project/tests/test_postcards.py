from __future__ import annotations

from pathlib import Path

import numpy as np
import postcards
import pytest
from PIL import Image

Cards = tuple[postcards.Pixels, postcards.Pixels, "np.ndarray[tuple[int, int], np.dtype[np.bool_]]"]


@pytest.fixture
def cards() -> Cards:
    """Returns a photograph, a sticker of the same size and a disc."""
    y, x = np.mgrid[:60, :80]
    photo = np.stack([2 * x + 40, 3 * y + 20, x + y], -1).astype(np.uint8)
    sticker = np.stack([128 + 60 * np.sin(x / 5), 128 + 60 * np.cos(y / 4), 90 + 0 * x], -1).astype(np.uint8)
    return photo, sticker, np.hypot(x - 40, y - 30) < 20


def test_a_stamp_from_file_to_file(cards: Cards, tmp_path: Path) -> None:
    photo, sticker, disc = cards
    Image.fromarray(photo).save(tmp_path / "photo.png")
    Image.fromarray(np.dstack([sticker, np.uint8(255) * disc])).save(tmp_path / "sticker.png")
    postcards.stamp(tmp_path / "photo.png", tmp_path / "sticker.png", tmp_path / "card.png", at=(3, -2))
    card = np.asarray(Image.open(tmp_path / "card.png"))
    covered = np.zeros_like(disc)
    covered[:-2, 3:] = disc[2:, :-3]
    np.testing.assert_array_equal(card[~covered], photo[~covered])
    assert (card[covered] != photo[covered]).any()


def test_what_is_no_picture_is_an_error_of_this_project(cards: Cards, tmp_path: Path) -> None:
    (tmp_path / "photo.png").write_text("no picture")
    with pytest.raises(postcards.CardError, match=r"photo\.png"):
        postcards.stamp(tmp_path / "photo.png", tmp_path / "photo.png", tmp_path / "card.png", at=(0, 0))
    assert not (tmp_path / "card.png").exists()


def test_printed(cards: Cards) -> None:
    photo, sticker, disc = cards
    card, error = postcards.printed(photo, sticker, disc, at=(0, 0))
    assert card.dtype == np.uint8
    assert card.shape == photo.shape
    assert error <= 0.25


def test_a_series_gives_what_single_cards_give(cards: Cards) -> None:
    photo, sticker, disc = cards
    series = postcards.Series(disc)
    assert series.shape == disc.shape
    for shade in (0, 10):
        np.testing.assert_array_equal(series.card(photo + np.uint8(shade), sticker)[~disc], (photo + shade)[~disc])


def test_thumbnail(cards: Cards, tmp_path: Path) -> None:
    Image.fromarray(cards[0]).save(tmp_path / "photo.png")
    assert postcards.thumbnail(tmp_path / "photo.png", tmp_path / "small.jpg", size=40) == (40, 30)
    with Image.open(tmp_path / "small.jpg") as small:
        assert small.size == (40, 30)
