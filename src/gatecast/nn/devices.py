"""Devices: which are available, which answer at once, how to move tensors to them, which can train in bfloat16.

And torch as this package takes it to be, whatever its caller has set.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cache

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gatecast.errors import UsageError


def names() -> list[str]:
    """The names of the available devices, the fastest first."""
    cards = torch.cuda.device_count() if torch.cuda.is_available() else 0
    numbered = [f"cuda:{card}" for card in range(cards)]
    return ["cuda"] * bool(cards) + numbered + ["mps"] * torch.backends.mps.is_available() + ["cpu"]


def answers_at_once(device: torch.device) -> bool:
    """Whether looking at a tensor there costs nothing; other devices must first finish all work queued on them."""
    return device.type == "cpu"


def moved(tensor: Tensor, device: torch.device) -> Tensor:
    """A CPU tensor moved to a device, without waiting for the device's queued work.

    Except on MPS, which would read a tensor even after it was freed (pytorch#189690).
    """
    return tensor.to(device, non_blocking=device.type != "mps")


@cache
def vector(values: tuple[float, ...], device: torch.device) -> Float[Tensor, "N"]:
    """Numbers that are needed repeatedly, moved to a device once."""
    with torch.inference_mode(False):  # kept for training, too
        return torch.tensor(values, device=device)


@contextmanager
def plain_torch() -> Iterator[None]:
    """Torch without what callers may have set for their own work: a default device, autocast, no gradients.

    Raises:
        UsageError: the default type is another than float32; it is of all threads at once, so it is left as it is.
    """
    if (kind := torch.get_default_dtype()) != torch.float32:
        raise UsageError(f"torch's default type is {kind}, and Gatecast needs torch.set_default_dtype(torch.float32)")
    with ExitStack() as stack:
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.enable_grad())
        if torch.get_default_device().type != "cpu":
            stack.enter_context(torch.device("cpu"))
        for where in ("cpu", "cuda", "mps"):
            if torch.is_autocast_enabled(where):
                stack.enter_context(torch.autocast(where, enabled=False))
        yield


@contextmanager
def own_chance(seed: int, device: torch.device) -> Iterator[None]:
    """Seeded random numbers; afterwards the previous generator state is restored, on the device too."""
    chance = None if device.type == "cpu" else torch.get_device_module(device)
    before = chance.get_rng_state() if chance else None
    with torch.random.fork_rng(devices=[]):  # the only devices it knows are CUDA's
        torch.manual_seed(seed)
        try:
            yield
        finally:
            if chance:
                chance.set_rng_state(before)


def seeded(seed: int, device: torch.device) -> torch.Generator:
    """Random numbers on a device that nobody else draws from."""
    return torch.Generator(device).manual_seed(seed)


@cache
def multiplies_halved(device: torch.device) -> bool:
    """Whether an LSTM can be trained in bfloat16 there (among CPUs, on those with AVX-512), found by trying."""
    try:
        with torch.autocast(device.type, torch.bfloat16):
            nn.LSTM(1, 1, device=device)(torch.zeros(1, 1, 1, device=device))
    except RuntimeError:
        return False
    return True
