"""Which devices may be asked in passing what a tensor holds."""

import torch


def answers_at_once(device: torch.device) -> bool:
    """Whether a look at a tensor there costs nothing; others would be waited for, until all they have to do is done."""
    return device.type == "cpu"
