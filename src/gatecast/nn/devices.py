"""Devices: which there are, which may be asked in passing, how to get there, which multiply in half as many bits."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import torch
from jaxtyping import Float
from torch import Tensor, nn


def names() -> list[str]:
    """Of the devices that are here, the fastest first."""
    cards = torch.cuda.device_count() if torch.cuda.is_available() else 0
    numbered = [f"cuda:{card}" for card in range(cards)]
    return ["cuda"] * bool(cards) + numbered + ["mps"] * torch.backends.mps.is_available() + ["cpu"]


def answers_at_once(device: torch.device) -> bool:
    """Whether a look at a tensor there costs nothing; others would be waited for, until all they have to do is done."""
    return device.type == "cpu"


def moved(tensor: Tensor, device: torch.device) -> Tensor:
    """A tensor of the processor's on a device, which is not waited for until all it has to do is done.

    Apple's is: there a tensor that is let go before it was read would be read all the same (pytorch#189690).
    """
    return tensor.to(device, non_blocking=device.type != "mps")


@cache
def vector(values: tuple[float, ...], device: torch.device) -> Float[Tensor, "N"]:
    """Numbers that are needed again and again, brought to a device once."""
    with torch.inference_mode(False):  # kept for training, too
        return torch.tensor(values, device=device)


@contextmanager
def own_chance(seed: int, device: torch.device) -> Iterator[None]:
    """Random numbers by a seed; afterwards those of others go on as if there had been none, on the device too."""
    chance = None if device.type == "cpu" else torch.get_device_module(device)
    before = chance.get_rng_state() if chance else None
    with torch.random.fork_rng(devices=[]):  # of the devices it knows CUDA alone
        torch.manual_seed(seed)
        try:
            yield
        finally:
            if chance:
                chance.set_rng_state(before)


@cache
def multiplies_halved(device: torch.device) -> bool:
    """Whether an LSTM can be trained in bfloat16 there; of processors, those with AVX-512 can. It is tried."""
    try:
        with torch.autocast(device.type, torch.bfloat16):
            nn.LSTM(1, 1, device=device)(torch.zeros(1, 1, 1, device=device))
    except RuntimeError:
        return False
    return True
