"""The centred Fourier pair, shifts, crops, rescaling and filters of images and volumes.

Arrays are `a[y, x]` and `v[z, y, x]`; the origin of space is the voxel n//2 of each axis. Half spectra
(`rdft`) hold kx >= 0 in the last axis and ky (kz) in the order of the FFT; their phase origin is n//2 too.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

_PLANE = (-2, -1)
_SPACE = (-3, -2, -1)


def dft2(image: Tensor) -> Tensor:
    """Centred discrete Fourier transform, `(..., h, w)` to complex `(..., h, w)`; k = 0 stands at n//2."""
    return torch.fft.fftshift(torch.fft.fft2(torch.fft.ifftshift(image, dim=_PLANE)), dim=_PLANE)


def idft2(spectrum: Tensor) -> Tensor:
    """Inverse of `dft2`, complex `(..., h, w)`."""
    return torch.fft.fftshift(torch.fft.ifft2(torch.fft.ifftshift(spectrum, dim=_PLANE)), dim=_PLANE)


def dft3(volume: Tensor) -> Tensor:
    """Centred discrete Fourier transform, `(..., d, h, w)` to complex; k = 0 stands at n//2."""
    return torch.fft.fftshift(torch.fft.fftn(torch.fft.ifftshift(volume, dim=_SPACE), dim=_SPACE), dim=_SPACE)


def idft3(spectrum: Tensor) -> Tensor:
    """Inverse of `dft3`, complex `(..., d, h, w)`."""
    plain = torch.fft.ifftshift(spectrum, dim=_SPACE)
    return torch.fft.fftshift(torch.fft.ifftn(plain, dim=_SPACE), dim=_SPACE)


def rdft2(image: Tensor) -> Tensor:
    """Half spectrum of a real image, `(..., h, w)` to `(..., h, w//2+1)`, FFT order, phase origin at n//2."""
    return torch.fft.rfft2(torch.fft.ifftshift(image, dim=_PLANE))


def irdft2(spectrum: Tensor, shape: Sequence[int]) -> Tensor:
    """Inverse of `rdft2`: the real image `(..., h, w)` with `shape` = (h, w)."""
    return torch.fft.fftshift(torch.fft.irfft2(spectrum, s=tuple(shape)), dim=_PLANE)


def rdft3(volume: Tensor) -> Tensor:
    """Half spectrum of a real volume, `(..., d, h, w)` to `(..., d, h, w//2+1)`, phase origin at n//2."""
    return torch.fft.rfftn(torch.fft.ifftshift(volume, dim=_SPACE), dim=_SPACE)


def irdft3(spectrum: Tensor, shape: Sequence[int]) -> Tensor:
    """Inverse of `rdft3`: the real volume `(..., d, h, w)` with `shape` = (d, h, w)."""
    return torch.fft.fftshift(torch.fft.irfftn(spectrum, s=tuple(shape), dim=_SPACE), dim=_SPACE)


def _axes(
    shape: Sequence[int], rfft: bool, spacing: float, dtype: torch.dtype, device: torch.device | str | None
) -> list[Tensor]:
    """Frequencies of each axis in the order of `shape`, cycles per unit of `spacing`."""
    options = {"d": spacing, "dtype": dtype, "device": device}
    axes = [torch.fft.fftfreq(n, **options) for n in shape]
    if rfft:
        axes[-1] = torch.fft.rfftfreq(shape[-1], **options)
    return axes


def frequencies_2d(
    shape: Sequence[int],
    rfft: bool = True,
    spacing: float = 1.0,
    *,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str | None = None,
) -> Tensor:
    """Frequency vectors (kx, ky) in cycles per unit of `spacing`, `(h, w//2+1 or w, 2)`, FFT order.

    `spacing` is the distance of two pixels: 1.0 gives cycles per pixel, the pixel size in Å gives 1/Å.
    """
    ky, kx = torch.meshgrid(*_axes(shape, rfft, spacing, dtype, device), indexing="ij")
    return torch.stack([kx, ky], dim=-1)


def frequencies_3d(
    shape: Sequence[int],
    rfft: bool = True,
    spacing: float = 1.0,
    *,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str | None = None,
) -> Tensor:
    """Frequency vectors (kx, ky, kz) in cycles per unit of `spacing`, `(d, h, w//2+1 or w, 3)`, FFT order."""
    kz, ky, kx = torch.meshgrid(*_axes(shape, rfft, spacing, dtype, device), indexing="ij")
    return torch.stack([kx, ky, kz], dim=-1)


def _frequency_length(
    shape: Sequence[int], rfft: bool, spacing: float, dtype: torch.dtype, device: torch.device | str | None
) -> Tensor:
    """|k| in cycles per unit of `spacing` for a 2D or 3D `shape`, FFT order."""
    square = torch.zeros((), dtype=dtype, device=device)
    for position, axis in enumerate(_axes(shape, rfft, spacing, dtype, device)):
        square = square + axis.reshape([-1 if i == position else 1 for i in range(len(shape))]) ** 2
    return square.sqrt()


def shell_indices(
    shape: Sequence[int], rfft: bool = True, *, device: torch.device | str | None = None
) -> Tensor:
    """Shell number round(|k|) of each frequency of a 2D or 3D `shape`, as integers, FFT order.

    |k| counts in index units of the smallest side, so that shell s is s/(min(shape) * pixel size) in 1/Å.
    This is RELION's rounding.
    """
    length = _frequency_length(shape, rfft, 1.0, torch.float64, device)
    return (length * min(shape)).round().long()


def radial_average(power: Tensor, shells: Tensor, count: int) -> Tensor:
    """Mean of `power` `(..., *shape)` in each shell 0..count-1, `(..., count)`; 0 where a shell is empty.

    `shells` is `shell_indices` of that shape; what lies beyond the last shell is left out. Over a half
    spectrum each stored value counts once (RELION's habit).
    """
    lead = power.shape[: power.ndim - shells.ndim]
    inside = shells < count
    index = shells[inside]
    number = torch.bincount(index, minlength=count).clamp(min=1)
    total = power.new_zeros(*lead, count).index_add(-1, index, power[..., inside])
    return total / number


def _phase_ramp(axes: Sequence[Tensor], shift_px: Tensor) -> Tensor:
    """exp(-2 pi i k.s) for `axes` in array order and shifts `(..., m)` in the order x, y(, z)."""
    phase = torch.zeros((), dtype=shift_px.dtype, device=shift_px.device)
    for position, axis in enumerate(axes):
        place = [-1 if i == position else 1 for i in range(len(axes))]
        along = shift_px[..., len(axes) - 1 - position].reshape(*shift_px.shape[:-1], *[1] * len(axes))
        phase = phase + axis.reshape(place) * along
    return torch.polar(torch.ones_like(phase), -2 * math.pi * phase)


def phase_ramp_2d(shape: Sequence[int], shift_px: Tensor, spacing: float = 1.0) -> Tensor:
    """Factor that moves the content of a half spectrum by +`shift_px`, `(..., 2)` to `(..., h, w//2+1)`.

    The shift is (x, y) in units of `spacing`; a particle with origin o is brought home by shift +o, and a
    projection is made to show it at centre - o by shift -o.
    """
    return _phase_ramp(_axes(shape, True, spacing, shift_px.dtype, shift_px.device), shift_px)


def shift_2d(image: Tensor, shift_px: Tensor) -> Tensor:
    """Move the content of images `(..., h, w)` by `shift_px` `(..., 2)` = (x, y), with wrap-around.

    Exact for whole pixels; for parts of a pixel the component at Nyquist of an even side is damped.
    """
    shape = image.shape[-2:]
    shift_px = torch.as_tensor(shift_px, dtype=image.dtype, device=image.device)
    return torch.fft.irfft2(torch.fft.rfft2(image) * phase_ramp_2d(shape, shift_px), s=tuple(shape))


def shift_3d(volume: Tensor, shift_px: Tensor) -> Tensor:
    """Move the content of volumes `(..., d, h, w)` by `shift_px` `(..., 3)` = (x, y, z), with wrap-around."""
    shape = tuple(volume.shape[-3:])
    shift_px = torch.as_tensor(shift_px, dtype=volume.dtype, device=volume.device)
    ramp = _phase_ramp(_axes(shape, True, 1.0, shift_px.dtype, shift_px.device), shift_px)
    return torch.fft.irfftn(torch.fft.rfftn(volume, dim=_SPACE) * ramp, s=shape, dim=_SPACE)


def crop_or_pad(array: Tensor, shape: Sequence[int], value: float = 0.0) -> Tensor:
    """Cut or fill the last `len(shape)` axes to `shape` about the centre n//2, filling with `value`."""
    widths: list[int] = []
    for old, new in zip(array.shape[-len(shape) :], shape, strict=True):
        before = new // 2 - old // 2
        widths = [before, new - old - before, *widths]
    return torch.nn.functional.pad(array, widths, value=value)


def _resize_full_axis(spectrum: Tensor, new: int, dim: int) -> Tensor:
    """Cut or fill one axis of a spectrum in FFT order; the Nyquist of an even side is shared by its ends."""
    old = spectrum.shape[dim]
    if old == new:
        return spectrum
    small = min(old, new)
    before = [spectrum.narrow(dim, 0, (small + 1) // 2)]
    after = [spectrum.narrow(dim, old - (small - 1) // 2, (small - 1) // 2)]
    if small % 2 == 0:
        ends = (spectrum.narrow(dim, small // 2, 1) + spectrum.narrow(dim, old - small // 2, 1)) / 2
        before.append(ends if new < old else ends / 2)
        after = after if new < old else [ends / 2, *after]
    gap = list(spectrum.shape)
    gap[dim] = new - sum(part.shape[dim] for part in before + after)
    return torch.cat([*before, spectrum.new_zeros(gap), *after], dim=dim)


def _resize_half_axis(spectrum: Tensor, old: int, new: int) -> Tensor:
    """Cut or fill the last axis of a half spectrum whose full sides are `old` and `new`."""
    if new <= old:
        return spectrum[..., : new // 2 + 1]
    if old % 2 == 0:
        spectrum = torch.cat([spectrum[..., :-1], spectrum[..., -1:] / 2], dim=-1)
    return torch.nn.functional.pad(spectrum, [0, new // 2 - old // 2])


def resize_half_spectrum(spectrum: Tensor, old: Sequence[int], new: Sequence[int]) -> Tensor:
    """Cut or fill a half spectrum of real arrays of shape `old` to that of shape `new` (2D or 3D)."""
    for dim, size in enumerate(new[:-1]):
        spectrum = _resize_full_axis(spectrum, size, dim - len(new))
    return _resize_half_axis(spectrum, old[-1], new[-1])


def rescale_2d(image: Tensor, shape: Sequence[int]) -> Tensor:
    """Resample images `(..., h, w)` to `shape` by cutting or filling their spectrum.

    The mean value and the centre n//2 are kept; the pixel size becomes old * (old side / new side). Exact
    for an image whose spectrum lies inside both shapes.
    """
    old, new = tuple(image.shape[-2:]), tuple(shape)
    return irdft2(resize_half_spectrum(rdft2(image), old, new), new) * (math.prod(new) / math.prod(old))


def rescale_3d(volume: Tensor, shape: Sequence[int]) -> Tensor:
    """Resample volumes `(..., d, h, w)` to `shape` by their spectrum; mean value and centre are kept."""
    old, new = tuple(volume.shape[-3:]), tuple(shape)
    return irdft3(resize_half_spectrum(rdft3(volume), old, new), new) * (math.prod(new) / math.prod(old))


def _soft_step(value: Tensor, edge_at: float, width: float) -> Tensor:
    """1 below `edge_at - width/2`, 0 above `edge_at + width/2`, a raised cosine between."""
    if width <= 0:
        return (value <= edge_at).to(value.dtype)
    ramp = ((value - edge_at) / width + 0.5).clamp(0, 1)
    return 0.5 + 0.5 * torch.cos(math.pi * ramp)


def lowpass_2d(image: Tensor, pixel_size_A: float, resolution_A: float, edge_shells: float = 2.0) -> Tensor:
    """Remove what is finer than `resolution_A` from images `(..., h, w)`, with a cosine edge in shells."""
    return bandpass_2d(image, pixel_size_A, None, resolution_A, edge_shells)


def bandpass_2d(
    image: Tensor,
    pixel_size_A: float,
    coarsest_A: float | None,
    finest_A: float | None,
    edge_shells: float = 2.0,
) -> Tensor:
    """Keep what lies between `coarsest_A` and `finest_A` (None: no limit) of images `(..., h, w)`.

    Each limit is the half height of a raised cosine `edge_shells` wide, in units of 1/(smallest side). With
    a `coarsest_A` the mean goes too.
    """
    shape = tuple(image.shape[-2:])
    length = _frequency_length(shape, True, pixel_size_A, image.dtype, image.device)
    gain = _band(length, coarsest_A, finest_A, edge_shells / (min(shape) * pixel_size_A))
    return torch.fft.irfft2(torch.fft.rfft2(image) * gain, s=shape)


def lowpass_3d(volume: Tensor, pixel_size_A: float, resolution_A: float, edge_shells: float = 2.0) -> Tensor:
    """Remove what is finer than `resolution_A` from volumes `(..., d, h, w)`; cosine edge in shells."""
    shape = tuple(volume.shape[-3:])
    length = _frequency_length(shape, True, pixel_size_A, volume.dtype, volume.device)
    gain = _band(length, None, resolution_A, edge_shells / (min(shape) * pixel_size_A))
    return torch.fft.irfftn(torch.fft.rfftn(volume, dim=_SPACE) * gain, s=shape, dim=_SPACE)


def _band(length: Tensor, coarsest_A: float | None, finest_A: float | None, width: float) -> Tensor:
    """Gain of a band between two lengths in Å at frequencies `length` in 1/Å."""
    gain = torch.ones_like(length)
    if finest_A is not None:
        gain = gain * _soft_step(length, 1 / finest_A, width)
    if coarsest_A is not None:
        gain = gain * (1 - _soft_step(length, 1 / coarsest_A, width))
    return gain
