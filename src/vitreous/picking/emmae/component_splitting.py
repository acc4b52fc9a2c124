"""Components of a margin map, those of several particles divided, and their centroids weighted by margin."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import center_of_mass, label, maximum, sum_labels

from vitreous.picking.peaks import local_maxima

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]


def component_centroids(
    values: NDArray[np.floating], inside: Mask, level: float, distance: float
) -> tuple[Array, Array, Array, Array]:
    """Row, column, highest value and area (n,) of the components of `values` (h, w) above `level`.

    A component with several maxima `distance` samples or more apart is divided among them along the valleys
    between; an infinite distance divides none. Centroids are weighted by the height above the level.
    """
    above = (values > level) & inside
    labels = _basins(values, above, distance) if np.isfinite(distance) else label(above)[0]
    index = np.arange(1, labels.max() + 1)
    if len(index) == 0:
        return np.zeros(0), np.zeros(0), np.zeros(0), np.zeros(0)
    centre = np.array(center_of_mass(values - level, labels, index))
    area = np.asarray(sum_labels(above, labels, index), dtype=float)
    return centre[:, 0], centre[:, 1], np.asarray(maximum(values, labels, index), dtype=float), area


def _basins(values: NDArray[np.floating], above: Mask, distance: float) -> NDArray[np.int32]:
    from skimage.segmentation import watershed

    x, y, _ = local_maxima(values, above, distance)
    seeds, _ = label(above)
    apart = np.zeros(values.shape, dtype=np.int32)
    apart[np.rint(y).astype(int), np.rint(x).astype(int)] = np.arange(1, len(x) + 1)
    # components too thin to hold a maximum away from their rim stay whole
    held = np.unique(seeds[apart > 0])
    for number in np.setdiff1d(np.unique(seeds[above]), held):
        apart[seeds == number] = apart.max() + 1
    basins: NDArray[np.int32] = watershed(-values, apart, mask=above)
    return basins
