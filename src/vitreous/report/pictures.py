"""Pictures for the page: micrographs made small and readable, slices and projections of maps."""

from __future__ import annotations

import base64
import io
import math
from dataclasses import dataclass, field

import numpy as np
from markupsafe import Markup, escape
from numpy.typing import NDArray

Image = NDArray[np.float32]


@dataclass
class Budget:
    """How many bytes of pictures the page may still take; what did not fit is counted, what did is named."""

    left: int
    refused: int = 0
    taken: int = 0
    shown: set[str] = field(default_factory=set)

    def take(self, size: int) -> bool:
        """Whether `size` bytes of the page still fit; they are taken if so."""
        if size > self.left:
            self.refused += 1
            return False
        self.left -= size
        self.taken += 1
        return True


@dataclass(frozen=True)
class Picture:
    """An encoded picture of width × height pixels, each `scale` pixels of the original wide."""

    webp: bytes
    width: int
    height: int
    scale: float

    @property
    def address(self) -> str:
        """The picture as a data address."""
        return "data:image/webp;base64," + base64.b64encode(self.webp).decode("ascii")

    def element(self, alt: str) -> Markup:
        """The picture as an img element."""
        size = f'width="{self.width}" height="{self.height}"'
        return Markup(f'<img src="{self.address}" {size} alt="{escape(alt)}" decoding="async">')


def micrograph_picture(
    pixels: Image, *, side_px: int, diameter_px: float | None, quality: int = 62
) -> Picture:
    """A micrograph (h, w), row 0 on top, of about `side_px`, filtered for the eye, stretched to 1–99 %.

    Blocks of pixels are averaged; then a Gaussian of D/12 less one of 2 D, D the particle's diameter: the
    body of a particle stands out of noise and of the slope of the ice. Unknown: D = 3 % of the longer side.
    """
    from scipy.ndimage import gaussian_filter

    factor = max(1, math.ceil(max(pixels.shape) / (1.1 * side_px)))
    small = block_mean(pixels, factor)
    diameter = (diameter_px or 0.03 * max(pixels.shape)) / factor
    # ASSUME: papers filter what they show by eye; D/12 keeps a particle's outline, 2 D its contrast.
    smooth = gaussian_filter(small, max(0.5, diameter / 12), mode="nearest")
    flat = smooth - gaussian_filter(small, 2 * diameter, mode="nearest", truncate=2.5)
    return _encode(stretch(flat, 1, 99), scale=float(factor), quality=quality)


def block_mean(pixels: Image, factor: int) -> Image:
    """Means of blocks of factor × factor pixels; what is left over on the right and below is dropped."""
    height, width = (side // factor * factor for side in pixels.shape)
    blocks = pixels[:height, :width].reshape(height // factor, factor, width // factor, factor)
    return blocks.mean(axis=(1, 3), dtype=np.float64).astype(np.float32)


def stretch(pixels: Image, low_percent: float, high_percent: float) -> NDArray[np.uint8]:
    """Grey values 0–255 of pixels (h, w) between two percentiles (dimensionless) or the extremes."""
    low, high = np.percentile(pixels, [low_percent, high_percent])
    low, high = (low, high) if high > low else (pixels.min(), pixels.max())
    if not high > low:
        return np.full(pixels.shape, 128, np.uint8)
    return (np.clip((pixels - low) / (high - low), 0, 1) * 255).round().astype(np.uint8)


def _encode(grey: NDArray[np.uint8], *, scale: float, quality: int) -> Picture:
    from PIL import Image as Pillow

    stream = io.BytesIO()
    Pillow.fromarray(grey).save(stream, "WEBP", quality=quality, method=4)
    return Picture(stream.getvalue(), grey.shape[1], grey.shape[0], scale)


def colour_picture(colours: NDArray[np.uint8], *, side_px: int = 360, quality: int = 85) -> Picture:
    """An image (h, w, 3) of red, green and blue, each pixel a square, its longer side about `side_px`."""
    from PIL import Image as Pillow

    factor = max(1, round(side_px / max(colours.shape[:2])))
    large = colours.repeat(factor, axis=0).repeat(factor, axis=1)
    stream = io.BytesIO()
    Pillow.fromarray(large).save(stream, "WEBP", quality=quality, method=4)
    return Picture(stream.getvalue(), large.shape[1], large.shape[0], 1 / factor)


def pixel_picture(pixels: Image, low: float, high: float, *, side_px: int) -> Picture:
    """A tiny image (h, w), row 0 on top, black at `low` and white at `high`, every pixel a square.

    It is stored as it is; the browser enlarges it by the whole number that comes nearest to `side_px`.
    """
    from PIL import Image as Pillow

    span = high - low if high > low else 1.0
    grey = (np.clip((pixels - low) / span, 0, 1) * 255).round().astype(np.uint8)
    factor = max(1, round(side_px / max(grey.shape)))
    stream = io.BytesIO()
    Pillow.fromarray(grey).save(stream, "WEBP", lossless=True, quality=80, method=4)
    return Picture(stream.getvalue(), grey.shape[1] * factor, grey.shape[0] * factor, 1 / factor)


def map_pictures(volume: Image, *, side_px: int = 220) -> dict[str, Picture]:
    """Central slices and sums of a map (d, h, w) along z, y and x, each stretched to 0.2–99.8 %."""
    from scipy.ndimage import zoom

    planes = {}
    for axis, name in enumerate(("z", "y", "x")):
        planes[f"slice {name}"] = np.take(volume, volume.shape[axis] // 2, axis=axis)
    for axis, name in enumerate(("z", "y", "x")):
        planes[f"projection {name}"] = volume.sum(axis=axis)
    pictures = {}
    for name, plane in planes.items():
        factor = side_px / max(plane.shape)
        sized = zoom(plane, factor, order=1 if factor < 1 else 3, grid_mode=True, mode="nearest")
        pictures[name] = _encode(stretch(sized, 0.2, 99.8), scale=1 / factor, quality=80)
    return pictures


def _circles(points: NDArray[np.float64], radius: float) -> str:
    return "".join(
        f"M{x - radius:.0f} {y:.0f}a{radius:.0f} {radius:.0f} 0 1 0 {2 * radius:.0f} 0"
        f"a{radius:.0f} {radius:.0f} 0 1 0 {-2 * radius:.0f} 0"
        for x, y in points
    )


def _squares(points: NDArray[np.float64], radius: float) -> str:
    side = 1.7 * radius
    corner = side / 2
    return "".join(
        f"M{x - corner:.0f} {y - corner:.0f}h{side:.0f}v{side:.0f}h{-side:.0f}z" for x, y in points
    )


def _crosses(points: NDArray[np.float64], radius: float) -> str:
    arm = 0.62 * radius
    return "".join(
        f"M{x - arm:.0f} {y - arm:.0f}l{2 * arm:.0f} {2 * arm:.0f}"
        f"m0 {-2 * arm:.0f}l{-2 * arm:.0f} {2 * arm:.0f}"
        for x, y in points
    )


SHAPES = {"hit": _circles, "miss": _squares, "false": _crosses, "pick": _circles}


def overlay(
    picture: Picture,
    picks: dict[str, NDArray[np.float64]],
    radius_px: float,
    alt: str,
    *,
    name: str,
    marks: str,
    again: bool = False,
) -> Markup:
    """A micrograph's picture under its picks: {hit, miss, false, pick: (n, 2) x, y in px of the original}.

    Hits are circles, misses squares, false picks crosses, so that the kinds differ without colour too;
    `pick` is one that was compared with nothing. `name` is the picture's on the page, `marks` that of these
    picks: a picture that stands there `again`, under other picks, is referred to and not repeated.
    """
    scale = picture.scale
    # Tenths of a picture pixel as the drawing's unit: whole numbers keep the paths short.
    radius = max(radius_px / scale, 4.0) * 10
    width, height = picture.width * 10, picture.height * 10
    image = f'<image id="{name}" href="{picture.address}" width="{width}" height="{height}"/>'
    parts = [
        f'<svg class="overlay" viewBox="0 0 {width} {height}" role="img" aria-label="{escape(alt)}">',
        f'<use href="#{name}"/>' if again else image,
    ]
    for kind, draw in SHAPES.items():
        points = (
            (np.asarray(picks.get(kind, np.empty((0, 2))), dtype=float).reshape(-1, 2) + 0.5) / scale * 10
        )
        if not len(points):
            continue
        own = f"{marks}-{kind}"
        parts.append(f'<defs><path id="{own}" d="{draw(points, radius)}"/></defs>')
        parts += [f'<use class="{look}" href="#{own}"/>' for look in (f"halo {kind}", kind)]
    return Markup("".join([*parts, "</svg>"]))
