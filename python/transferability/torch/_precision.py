"""Disable TF32, bfloat16 and autocast for products of float32 matrices."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import Any

import torch

__all__ = ["full_precision"]

_FLAGS = threading.Lock()


@contextlib.contextmanager
def full_precision(device: torch.device) -> Iterator[None]:
    """Compute float32 products in float32 within the context: no TF32, no bfloat16, no autocast.

    torch has no argument for this, only flags of the whole process. They are set within the
    context, by one thread at a time, and restored afterwards, also after an error.
    """
    with torch.autocast(device.type, enabled=False):
        if device.type not in ("cuda", "cpu"):
            yield
            return
        with _FLAGS, contextlib.ExitStack() as stack:
            backend = torch.backends.cuda if device.type == "cuda" else torch.backends.mkldnn
            flags: Any = getattr(backend, "matmul", None)
            if hasattr(flags, "fp32_precision"):
                if (before := flags.fp32_precision) not in ("ieee", "none"):
                    flags.fp32_precision = "none"
                    if flags.fp32_precision == before:  # inherited from a wider flag: restore that
                        before = "none"
                    stack.callback(setattr, flags, "fp32_precision", before)
                    flags.fp32_precision = "ieee"
            elif torch.get_float32_matmul_precision() != "highest":  # before torch 2.9
                before = torch.get_float32_matmul_precision()
                stack.callback(torch.set_float32_matmul_precision, before)
                torch.set_float32_matmul_precision("highest")
            yield
