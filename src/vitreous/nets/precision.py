"""Number formats of matrix products, and whether a device multiplies them itself."""

from __future__ import annotations

import torch


def native_bf16(device: torch.device) -> bool:
    """Whether the device multiplies bfloat16 in hardware; elsewhere it is slower than float32."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type != "cpu" or not torch.backends.mkldnn.is_available():
        return False
    # Older versions of torch cannot tell.
    known: dict[str, object] = getattr(torch.cpu, "get_capabilities", dict)()
    return any(known.get(name) for name in ("avx512_bf16", "amx_bf16", "bf16"))


def resolved(precision: str, device: torch.device) -> str:
    """`fp32` or `bf16`; `auto` is bf16 where the device multiplies it itself."""
    if precision != "auto":
        return precision
    return "bf16" if native_bf16(device) else "fp32"
