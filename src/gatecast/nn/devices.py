"""What devices can do: which may be asked in passing what a tensor holds, which multiply in half as many bits."""

from functools import cache

import torch
from torch import nn


def answers_at_once(device: torch.device) -> bool:
    """Whether a look at a tensor there costs nothing; others would be waited for, until all they have to do is done."""
    return device.type == "cpu"


@cache
def multiplies_halved(device: torch.device) -> bool:
    """Whether an LSTM can be trained in bfloat16 there; of processors, those with AVX-512 can. It is tried."""
    try:
        with torch.autocast(device.type, torch.bfloat16):
            nn.LSTM(1, 1, device=device)(torch.zeros(1, 1, 1, device=device))
    except RuntimeError:
        return False
    return True
