"""LeNet in PyTorch, converted from lenet.prototxt.

    from safetensors.torch import load_file

    net = LeNet()
    net.load_state_dict(load_file("lenet.safetensors"))
    net.eval()

It takes data [1, 1, 28, 28].
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


class LeNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 20, 5)
        self.conv2 = nn.Conv2d(20, 50, 5)
        self.ip1 = nn.Linear(800, 500)
        self.ip2 = nn.Linear(500, 10)

    def forward(self, data: Tensor) -> Tensor:
        x = F.max_pool2d(self.conv1(data), 2, ceil_mode=True)
        x = F.max_pool2d(self.conv2(x), 2, ceil_mode=True)
        x = F.relu(self.ip1(x.flatten(1)))
        return F.softmax(self.ip2(x), dim=1)
