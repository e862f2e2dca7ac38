"""Published results on iHarmony4's test images, from the tables of the named repositories."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

SUBSETS = ("HCOCO", "HAdobe5k", "HFlickr", "Hday2night")


@dataclass(frozen=True)
class Published:
    """A row of a published table, with its digits; None for a missing value.

    Attributes:
        method: the name of the method.
        size: the sides of the images; None: their original sizes.
        mse, psnr, fmse: the means over all 7,404 images.
        subsets: the MSE and PSNR of each subset.
        source: the source of the table.

    Example:
        >>> from pyharmony import evaluation
        >>> evaluation.PUBLISHED[0].method
        'composite'
    """

    method: str
    size: int | None
    mse: Decimal | None
    psnr: Decimal | None
    fmse: Decimal | None
    subsets: dict[str, tuple[Decimal | None, Decimal | None]]
    source: str


def _rows(source: str, size: int | None, table: str) -> list[Published]:
    """Returns the rows from lines of method | MSE | PSNR | fMSE | MSE/PSNR of the four subsets; - is missing."""

    def number(text: str) -> Decimal | None:
        return None if text.strip() == "-" else Decimal(text.strip())

    rows = []
    for line in table.strip().splitlines():
        method, mse, psnr, fmse, *subsets = (cell.strip() for cell in line.split("|"))
        pairs = [tuple(map(number, cell.split("/"))) for cell in subsets]
        of = {name: (pair[0], pair[1]) for name, pair in zip(SUBSETS, pairs) if any(x is not None for x in pair)}
        rows.append(Published(method, size, number(mse), number(psnr), number(fmse), of, source))
    return rows


#: The values of published tables, as printed.
PUBLISHED: tuple[Published, ...] = (
    *_rows(
        "the tables of the methods' repositories",
        256,
        """
        composite | 172.47 | 31.63 | 1387.30 | 69.37/33.94 | 345.54/28.16 | 264.35/28.32 | 109.65/34.01
        Zhu 2015 | 204.77 | 30.72 | 1580.17 | 79.82/33.04 | 414.31/27.26 | 315.42/27.52 | 136.71/32.32
        Lalonde & Efros | 150.53 | 30.16 | 1433.21 | 110.10/31.14 | 158.90/29.66 | 329.87/26.43 | 199.93/29.80
        Xue 2012 | 155.87 | 31.40 | 1411.40 | 77.04/33.32 | 274.15/28.79 | 249.54/28.32 | 190.51/31.24
        SSH | 89.23 | 32.77 | 1140.66 | 73.20/34.03 | 115.03/31.73 | 266.56/28.68 | 98.84/34.56
        DIH | 76.77 | 33.41 | 773.18 | 51.85/34.69 | 92.65/32.28 | 163.38/29.55 | 82.34/34.62
        DoveNet | 52.36 | 34.75 | 549.96 | 36.72/35.83 | 52.32/34.34 | 133.14/30.21 | 54.05/35.18
        DoveNet, its released weights | 50.87 | 34.83 | - | 33.65/35.95 | 55.99/34.26 | 125.73/30.58 | 56.26/34.76
        S2AM | 48.00 | 35.29 | 481.79 | 33.07/36.09 | 48.22/35.34 | 124.53/31.00 | 48.78/35.60
        RainNet | 40.29 | 36.12 | 469.60 | -/37.08 | -/36.22 | -/31.64 | -/34.83
        Guo (Intrinsic) | 38.71 | 35.90 | 400.29 | 24.92/37.16 | 43.02/35.20 | 105.13/31.34 | 55.53/35.96
        BargainNet | 37.82 | 35.88 | 405.23 | 24.84/37.03 | 39.94/35.34 | 97.32/31.34 | 50.98/35.67
        iDIH | 31.71 | 37.14 | 341.77 | 19.51/38.40 | 33.81/36.39 | 86.44/32.60 | 49.94/37.01
        D-HT | 30.30 | 37.55 | 320.78 | 16.89/38.76 | 38.53/36.88 | 74.51/33.13 | 53.01/37.10
        iSSAM | 24.44 | 38.19 | 264.96 | 16.48/39.16 | 21.88/38.08 | 69.67/33.56 | 40.59/37.72
        CDTNet | 23.75 | 38.23 | 252.05 | 16.25/39.15 | 20.62/38.24 | 68.61/33.55 | 36.72/37.95
        iDIH, HRNet18s | 22.82 | 38.15 | - | 14.30/39.52 | 22.57/37.18 | 63.03/33.70 | 51.20/37.69
        iDIH, HRNet | 22.00 | 38.31 | 252.00 | 14.01/39.64 | 21.36/37.35 | 60.41/34.03 | 50.61/37.68
        DucoNet | 18.47 | 39.17 | 212.53 | -/- | -/- | -/- | -/-
        """,
    ),
    *_rows(
        "a system of U-Net 3+ and style encoders, rounded by it",
        256,
        """
        Lalonde & Efros | - | - | - | 110/31 | -/- | -/- | -/-
        U-Net 3+ | - | - | - | 79/32 | -/- | -/- | -/-
        Xue 2012 | - | - | - | 77/32 | -/- | -/- | -/-
        U-Net and style, RGB | - | - | - | 60/34 | -/- | -/- | -/-
        U-Net and style, HSV | - | - | - | 48/34 | -/- | -/- | -/-
        Ensemble, in its slides | - | - | - | 37/37 | -/- | -/- | -/-
        DoveNet | - | - | - | 35/36 | -/- | -/- | -/-
        BargainNet | - | - | - | 29/37 | -/- | -/- | -/-
        """,
    ),
    *_rows(
        "figures of each image published with PCT-Net; networks at 256 x 256",
        None,
        """
        composite | 177.99 | 31.39 | 1462.5 | 73.0/33.54 | 354.5/28.16 | 271.0/28.23 | 113.1/33.96
        Harmonizer | 27.62 | 37.23 | 339.2 | 20.9/37.69 | 24.4/37.80 | 69.2/33.37 | 37.3/37.15
        DCCF | 24.72 | 38.01 | 302.6 | 16.9/38.71 | 23.1/38.31 | 64.6/33.63 | 55.8/37.56
        PCT-Net, CNN | 24.02 | 38.30 | 282.8 | 16.9/38.82 | 21.0/39.10 | 64.4/33.75 | 49.8/36.87
        PCT-Net, ViT | 18.84 | 39.29 | 237.5 | 12.5/39.85 | 19.4/39.97 | 45.8/34.87 | 48.7/37.54
        """,
    ),
)
"""The rows of all tables; rows of one size are comparable."""
