"""What the model finds on this machine, as plain values for `launch.py doctor`."""

from typing import Any

import torch

from engine.precision import compute_dtype, default_device
from engine.throughput import gemm_gflops


def arithmetic() -> dict[str, Any]:
    """torch's build, the CPU's measured matrix product rates, CUDA devices, and the device and precision chosen."""
    devices = [torch.cuda.get_device_properties(index) for index in range(torch.cuda.device_count())]
    device = default_device()
    return {
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "fp32_gflops": round(gemm_gflops(torch.float32), 1),
        "bf16_gflops": round(gemm_gflops(torch.bfloat16), 1),
        "device": str(device),
        "precision": str(compute_dtype(device.type)).removeprefix("torch."),
        "gpus": [{"name": found.name, "memory_gb": round(found.total_memory / 1e9, 1)} for found in devices],
    }
