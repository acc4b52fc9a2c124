"""Projections of a volume, by central slices and in real space, and their exact adjoints.

A pose A takes map coordinates (x, y, z) about n//2 to camera coordinates; the projection is the sum along
the camera's z, so the sum of an image is the sum of the map. The slice at (kx, ky) is the volume's
transform at A^T (kx, ky, 0).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from vitreous.errors import InputError
from vitreous.physics.fourier import crop_or_pad, frequencies_3d, irdft2, irdft3, phase_ramp_2d, rdft2
from vitreous.physics.interpolation import sample_trilinear, spread_trilinear
from vitreous.physics.masks import radius_grid

# Points handled at once: bounds the memory to about 200 MB whatever the number of poses.
_CHUNK_POINTS = 2**21
_SPACE = (-3, -2, -1)


@dataclass(frozen=True)
class VolumeTransform:
    """Padded transform of a volume `(size, size, size)`, ready to be read at any frequency.

    `table` is complex `(2r+1, 2r+1, r+1)`: kz and ky from -r to r, kx from 0 to r, in steps of 1/pad.
    """

    table: Tensor
    size: int
    pad: int


def prepare_volume(volume: Tensor, pad: int = 2) -> VolumeTransform:
    """Transform of a cubic volume `(d, d, d)` for `slice_volume`: divided by sinc^2, padded, transformed.

    The division by sinc^2 of the radius undoes the fall-off of trilinear interpolation, as RELION does it.
    Linear in the volume. Raises InputError where the volume is not cubic.
    """
    size = _cubic(volume)
    padded = (pad * size,) * 3
    whole = crop_or_pad(volume / _interpolation_envelope(size, pad, volume), padded)
    half = torch.fft.rfftn(torch.fft.ifftshift(whole), dim=_SPACE)
    rows, reach = _table_rows(size, pad, volume.device)
    table = half[..., : reach + 1].index_select(0, rows).index_select(1, rows)
    return VolumeTransform(table, size, pad)


def slice_volume(transform: VolumeTransform, matrices: Tensor, size: int | None = None) -> Tensor:
    """Central slices at poses A `(..., 3, 3)`: half spectra `(..., size, size//2+1)` as of `rdft2`.

    Zero beyond the radius size//2 (RELION's cut). A `size` below the volume's gives the projection rescaled
    to that box with its mean kept, as `rescale_2d` does. Differentiable in the volume and the matrices.
    """
    size = transform.size if size is None else size
    matrices = matrices.to(transform.table.real.dtype)
    places, points = _slice_points(transform, size, matrices)
    poses = matrices.reshape(-1, 3, 3)
    chunks = poses.split(max(1, _CHUNK_POINTS // len(points)))
    values = torch.cat([_read(transform.table, _turned(chunk, points)) for chunk in chunks])
    empty = values.new_zeros(len(poses), size * (size // 2 + 1))
    spectra = empty.index_copy(1, places, values * (size / transform.size) ** 2)
    return spectra.reshape(*matrices.shape[:-2], size, size // 2 + 1)


def unslice_volume(spectra: Tensor, matrices: Tensor, size: int, pad: int = 2) -> VolumeTransform:
    """Adjoint of `slice_volume` for a volume of `size`: half spectra `(..., s, s//2+1)` spread into a table.

    Inner products are sums of re*re + im*im over the stored values. Differentiable in spectra and matrices.
    """
    box = spectra.shape[-2]
    matrices = matrices.to(spectra.real.dtype)
    reach = _table_rows(size, pad, spectra.device)[1]
    table = spectra.new_zeros(2 * reach + 1, 2 * reach + 1, reach + 1)
    places, points = _slice_points(VolumeTransform(table, size, pad), box, matrices)
    values = spectra.reshape(-1, box * (box // 2 + 1))[:, places] * (box / size) ** 2
    step = max(1, _CHUNK_POINTS // len(points))
    for chunk, part in zip(matrices.reshape(-1, 3, 3).split(step), values.split(step), strict=True):
        table = table + _spread(part, _turned(chunk, points), table)
    return VolumeTransform(table, size, pad)


def project(volume: Tensor, matrices: Tensor, *, pad: int = 2) -> Tensor:
    """Projections `(..., d, d)` of a volume `(d, d, d)` at poses A `(..., 3, 3)`, by central slices.

    Linear in the volume, differentiable in both. For many calls on one volume keep `prepare_volume` and
    call `project_prepared`.
    """
    return project_prepared(prepare_volume(volume, pad), matrices)


def project_prepared(
    transform: VolumeTransform,
    matrices: Tensor,
    *,
    origins_px: Tensor | None = None,
    factor: Tensor | None = None,
    size: int | None = None,
) -> Tensor:
    """Projections `(..., size, size)` of a prepared volume at poses A `(..., 3, 3)`.

    The particle stands at centre - `origins_px` `(..., 2)` (x, y in px of the image; RELION's origins);
    `factor` (a CTF) multiplies the half spectrum `(..., size, size//2+1)`.
    """
    spectra = slice_volume(transform, matrices, size)
    shape = (spectra.shape[-2], spectra.shape[-2])
    if origins_px is not None:
        spectra = spectra * phase_ramp_2d(shape, -origins_px)
    if factor is not None:
        spectra = spectra * factor
    return irdft2(spectra, shape)


def backproject(images: Tensor, matrices: Tensor, *, pad: int = 2) -> Tensor:
    """Exact adjoint of `project`: images `(..., d, d)` at poses `(..., 3, 3)` to one volume `(d, d, d)`.

    <project(v), y> = <v, backproject(y)> to rounding. It smears; it does not reconstruct.
    """
    size = _square(images)
    half = rdft2(images) * (_column_weights(size, images) / size**2)
    table = unslice_volume(half, matrices, size, pad).table
    rows, reach = _table_rows(size, pad, images.device)
    padded = pad * size
    spectrum = table.new_zeros(padded, 2 * reach + 1, reach + 1).index_add(0, rows, table)
    spectrum = table.new_zeros(padded, padded, reach + 1).index_add(1, rows, spectrum)
    spectrum = torch.nn.functional.pad(spectrum, [0, padded // 2 - reach])
    whole = torch.fft.fftshift(_rfft_adjoint(spectrum, padded))
    return crop_or_pad(whole, (size, size, size)) / _interpolation_envelope(size, pad, images)


def rotate_volume(volume: Tensor, matrix: Tensor, *, pad: int = 2) -> Tensor:
    """The volume `(d, d, d)` turned by a rotation `(3, 3)` about n//2, by Fourier interpolation.

    What was at p stands at A p. Quarter turns are exact permutations; otherwise components beyond the
    radius d//2 are dropped.
    """
    if is_quarter_turn(matrix):
        return _permuted(volume, matrix)
    return irdft3(turned_spectrum(prepare_volume(volume, pad), matrix), volume.shape)


def is_quarter_turn(matrix: Tensor) -> bool:
    """Whether a rotation `(3, 3)` takes the axes to the axes, the identity included."""
    return bool((matrix - matrix.round()).abs().max() < 1e-6)


def _permuted(volume: Tensor, matrix: Tensor) -> Tensor:
    """A volume turned by quarter turns about n//2: no value changes, only its place (with wrap-around)."""
    n = _cubic(volume)
    axis = torch.arange(n, device=volume.device) - n // 2
    grid = torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij")[::-1], dim=-1)
    turn = matrix.round().long().to(volume.device)
    x, y, z = ((grid[..., None] * turn).sum(-2) + n // 2).remainder(n).unbind(-1)
    return volume[z, y, x]


def turned_spectrum(transform: VolumeTransform, matrix: Tensor) -> Tensor:
    """Half spectrum `(d, d, d//2+1)`, as of `rdft3`, of a prepared volume turned by a rotation `(3, 3)`."""
    n, pose = transform.size, matrix[None].to(transform.table.real)
    grid = frequencies_3d((n, n, n), spacing=1 / n, dtype=pose.dtype, device=pose.device).reshape(-1, 3)
    places = _within(grid, n).nonzero()[:, 0]
    chunks = (grid[places] * transform.pad).split(_CHUNK_POINTS)
    values = torch.cat([_read(transform.table, _turned(pose, chunk))[0] for chunk in chunks])
    return values.new_zeros(len(grid)).index_copy(0, places, values).reshape(n, n, n // 2 + 1)


def project_real_space(volume: Tensor, matrices: Tensor) -> Tensor:
    """Projections `(..., d, d)` of `(d, d, d)` as sums along camera z of the trilinearly turned volume.

    Slower than `project` and smoother by the interpolation; what is turned out of the box counts as zero.
    """
    n = _cubic(volume)
    rays = _ray_points(n, volume)
    images = [
        sample_trilinear(volume[None], _turned(pose[None], rays)[0] + n // 2).reshape(n, n, n).sum(-1)
        for pose in matrices.to(volume).reshape(-1, 3, 3)
    ]
    return torch.stack(images).reshape(*matrices.shape[:-2], n, n)


def backproject_real_space(images: Tensor, matrices: Tensor) -> Tensor:
    """Exact adjoint of `project_real_space`: images `(..., d, d)` at poses `(..., 3, 3)` to `(d, d, d)`."""
    n = _square(images)
    rays = _ray_points(n, images)
    volume = images.new_zeros(1, n, n, n)
    poses = matrices.to(images).reshape(-1, 3, 3)
    for image, pose in zip(images.reshape(-1, n, n), poses, strict=True):
        values = image[..., None].expand(n, n, n).reshape(1, -1)
        volume = volume + spread_trilinear(values, _turned(pose[None], rays)[0] + n // 2, (n, n, n))
    return volume[0]


def _cubic(volume: Tensor) -> int:
    """Side of a cubic volume; InputError for any other shape."""
    shape = tuple(volume.shape)
    if len(shape) != 3 or len(set(shape)) != 1:
        raise InputError("a volume to project must be cubic", found=shape, expected="(d, d, d)")
    return shape[0]


def _square(images: Tensor) -> int:
    """Side of square images; InputError for any other shape."""
    if images.shape[-1] != images.shape[-2]:
        raise InputError("images to back-project must be square", found=tuple(images.shape[-2:]))
    return images.shape[-1]


def _interpolation_envelope(size: int, pad: int, like: Tensor) -> Tensor:
    """sinc^2 of the radius: what trilinear interpolation on the padded lattice multiplies a volume by."""
    radius = radius_grid((size, size, size), dtype=like.dtype, device=like.device)
    return torch.sinc(radius / (pad * size)) ** 2


def _table_rows(size: int, pad: int, device: torch.device) -> tuple[Tensor, int]:
    """Indices -reach..reach of a table's rows in the padded FFT, and the reach (the radius size//2)."""
    reach = pad * (size // 2)
    return torch.arange(-reach, reach + 1, device=device) % (pad * size), reach


def _slice_points(transform: VolumeTransform, size: int, like: Tensor) -> tuple[Tensor, Tensor]:
    """Kept places of a flattened half spectrum of `size` `(m,)` and their table (kx, ky, 0) `(m, 3)`."""
    ky = torch.fft.fftfreq(size, 1 / size, dtype=like.dtype, device=like.device)[:, None]
    kx = torch.arange(size // 2 + 1, dtype=like.dtype, device=like.device)[None]
    flat = torch.zeros_like(kx * ky)
    grid = torch.stack([kx + flat, ky + flat, flat], dim=-1).reshape(-1, 3)
    places = _within(grid, min(size, transform.size)).nonzero()[:, 0]
    return places, grid[places] * transform.pad


def _within(grid: Tensor, n: int) -> Tensor:
    """Which frequencies `(m, 3)` lie in the radius n//2, less the Nyquist of even n, which has no mirror."""
    return (grid.square().sum(-1) <= (n // 2) ** 2) & (grid.abs() < n / 2).all(-1)


def _turned(matrices: Tensor, points: Tensor) -> Tensor:
    """A^T p for each pose `(b, 3, 3)` and each camera point `(m, 3)`, `(b, m, 3)`."""
    return torch.einsum("bij,mi->bmj", matrices, points)


def _folded(points: Tensor, reach: int) -> tuple[Tensor, Tensor]:
    """Voxel coordinates `(b*m, 3)` in a table that holds only kx >= 0, and the mask of what was mirrored."""
    mirrored = points[..., 0] < 0
    upright = torch.where(mirrored[..., None], -points, points)
    return (upright + upright.new_tensor([0, reach, reach])).reshape(-1, 3), mirrored


def _read(table: Tensor, points: Tensor) -> Tensor:
    """Complex values `(b, m)` of a half table at signed frequencies `(b, m, 3)`."""
    places, mirrored = _folded(points, table.shape[-1] - 1)
    parts = sample_trilinear(torch.view_as_real(table).movedim(-1, 0), places)
    real, imaginary = parts.reshape(2, *mirrored.shape)
    return torch.complex(real, torch.where(mirrored, -imaginary, imaginary))


def _spread(values: Tensor, points: Tensor, table: Tensor) -> Tensor:
    """Adjoint of `_read`: complex values `(b, m)` at frequencies `(b, m, 3)` to a table like `table`."""
    places, mirrored = _folded(points, table.shape[-1] - 1)
    parts = torch.stack([values.real, torch.where(mirrored, -values.imag, values.imag)]).reshape(2, -1)
    spread = spread_trilinear(parts, places, table.shape)
    return torch.complex(spread[0], spread[1])


def _column_weights(n: int, like: Tensor) -> Tensor:
    """How often each column of a half spectrum of side n stands in the whole one, `(n//2+1,)`: 1 or 2."""
    weights = torch.full((n // 2 + 1,), 2.0, dtype=like.dtype, device=like.device)
    weights[0] = 1
    if n % 2 == 0:
        weights[-1] = 1
    return weights


def _rfft_adjoint(spectrum: Tensor, n: int) -> Tensor:
    """Adjoint of rfftn on a cube of side n: the real part of the sum over the stored frequencies."""
    rows = torch.fft.ifftn(spectrum, dim=(-3, -2), norm="forward")
    weights = _column_weights(n, rows.real)
    # Columns that stand once are real in a real volume's spectrum; the adjoint takes their real part.
    rows = torch.where(weights == 1, rows.real.to(rows.dtype), rows / weights)
    return torch.fft.irfft(rows, n=n, dim=-1, norm="forward")


def _ray_points(n: int, like: Tensor) -> Tensor:
    """Camera points (x, y, z) about the centre, ordered y, x, z (z fastest), `(n^3, 3)`."""
    axis = torch.arange(n, dtype=like.dtype, device=like.device) - n // 2
    y, x, z = torch.meshgrid(axis, axis, axis, indexing="ij")
    return torch.stack([x, y, z], dim=-1).reshape(-1, 3)
