"""Trained weights as the tensors and the facts of a run folder, and back; what does not fit together is refused.

Not a byte of a run is taken on trust: sizes that are claimed are held against the weights before memory is taken.
"""

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from gatecast.checkpoint import under
from gatecast.corrections import Corrections
from gatecast.data.dates import Steps
from gatecast.data.encoding import Encoder
from gatecast.data.scaling import SCALINGS, Scaler
from gatecast.ensemble import Ensemble
from gatecast.fitted import Fitted
from gatecast.nn.network import Network, Shape
from gatecast.settings import LONGEST_CONTEXT

FACTORS = ("stretch", "still")
"""What a run calls the factors of `Corrections`."""


def packed(stages: Mapping[str, Fitted]) -> dict[str, Tensor]:
    """The tensors of each stage of training, by its name and theirs."""
    tensors: dict[str, Tensor] = {}
    for stage, fitted in stages.items():
        tensors |= {f"{stage}.network.{name}": part for name, part in fitted.network.state_dict().items()}
        tensors |= {f"{stage}.stretch": fitted.stretch, f"{stage}.still": fitted.flat_stretch}
        if fitted.short:
            _, *factors = zip(*fitted.short, strict=True)
            tensors |= {f"{stage}.short.{name}": torch.stack(part) for name, part in zip(FACTORS, factors, strict=True)}
        if fitted.below is not None:
            tensors[f"{stage}.below"] = fitted.below.float()
        if fitted.scaler.fixed is not None:
            loc, scale = fitted.scaler.fixed
            tensors |= {f"{stage}.loc": loc, f"{stage}.scale": scale}
    return {name: part.detach().cpu().contiguous() for name, part in tensors.items()}


def facts(stages: Mapping[str, Fitted]) -> dict[str, Any]:
    """What has to be known beside them, as JSON takes it; all stages have all but the shares in common."""
    fitted = next(iter(stages.values()))
    return {
        "season": fitted.season,
        "encoder": fitted.encoder.to_dict(),
        "probabilities": fitted.probabilities,
        "scaling": fitted.scaler.name,
        "shares": {stage: fitted.share for stage, fitted in stages.items()},
        "mean_shares": {stage: fitted.mean_share for stage, fitted in stages.items()},
        "short": {stage: [share for share, *_ in fitted.short] for stage, fitted in stages.items()},
        "bounds": [bound if math.isfinite(bound) else None for bound in fitted.bounds],
        "given": fitted.bounds_given,
        "stages": list(stages),
        "shapes": [member.shape.to_dict() for member in fitted.network.networks],
    }


def unpacked(stage: str, about: Mapping[str, Any], tensors: Mapping[str, Tensor], seen: Steps) -> Fitted:
    """A stage again.

    Args:
        about: what `facts` gave.
        seen: the last step of each series that it has seen.

    Raises:
        ValueError, LookupError, TypeError, RuntimeError, AssertionError: facts and tensors do not fit together.
    """
    network = _network(stage, about, tensors)
    shape, quantiles, rows = network.shape, len(about["probabilities"]), len(seen)
    sizes = {
        "stretch": (shape.horizon, quantiles),
        "still": (quantiles,),
        "loc": (rows, 1),
        "scale": (rows, 1),
        "below": (rows,),
    }
    own, short = about.get("shares", {}).get(stage, 1.0), about.get("short", {}).get(stage, ())  # older runs lack them
    shares = [float(share) for share in (own, *short)]
    sizes |= {f"short.{name}": (len(shares) - 1, *sizes[name]) for name in FACTORS}
    for name, part in tensors.items():
        wanted = sizes.get(name.removeprefix(f"{stage}."), part.shape)
        if part.shape != wanted or part.dtype != torch.float32 or not part.isfinite().all():
            raise ValueError(f"{name} has another shape, or holds what is no number")
    mean_share = float(about.get("mean_shares", {}).get(stage, 1.0))
    if not all(0 <= share <= 1 for share in (*shares, mean_share)):
        raise ValueError(f"shares of {shares}, and of the mean {mean_share}")
    encoder, probabilities = Encoder.of(about["encoder"]), tuple(map(float, about["probabilities"]))
    if (encoder.dates, encoder.known, encoder.past) != (shape.dates, shape.known, shape.past):
        raise ValueError("other features than the network reads")
    rising = list(probabilities) == sorted(set(probabilities))
    if not rising or 0.5 not in probabilities or not 0 < probabilities[0] <= probabilities[-1] < 1:
        raise ValueError("no probabilities")
    low, high = (None if bound is None else float(bound) for bound in about["bounds"])
    if about["scaling"] not in SCALINGS or max(abs(low or 0), abs(high or 0)) > torch.finfo(torch.float32).max:
        raise ValueError("no scaling, or bounds that are none")
    fixed = (tensors[f"{stage}.loc"], tensors[f"{stage}.scale"]) if f"{stage}.loc" in tensors else None
    factors = [tensors[f"{stage}.short.{name}"] for name in FACTORS] if len(shares) > 1 else [(), ()]
    return Fitted(
        network=network.eval(),
        scaler=Scaler(about["scaling"], fixed),
        encoder=encoder,
        probabilities=probabilities,
        stretch=tensors[f"{stage}.stretch"],
        flat_stretch=tensors[f"{stage}.still"],
        seen=seen,
        bounds=(-math.inf if low is None else low, math.inf if high is None else high),
        season=about["season"],
        share=shares[0],
        mean_share=mean_share,
        bounds_given=bool(about.get("given", True)),  # older runs do not say
        below=tensors[f"{stage}.below"].bool() if f"{stage}.below" in tensors else None,
        short=tuple(map(Corrections, shares[1:], *factors)),
    )


def _network(stage: str, about: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Ensemble:
    shapes: list[dict[str, Any]] = [
        {name: tuple(part) if isinstance(part, list) else part for name, part in shape.items()}
        for shape in about["shapes"]
    ]
    if any(shape["layers"] > len(tensors) for shape in shapes):
        raise ValueError("more layers than weights")
    if {shape["context"] for shape in shapes} - {shapes[0]["context"]} or shapes[0]["context"] > LONGEST_CONTEXT:
        raise ValueError("no context, several, or one that is too long")
    switches = [name for name, part in Shape.__dataclass_fields__.items() if isinstance(part.default, bool)]
    if not all(isinstance(shape.get(name, False), bool) for shape in shapes for name in switches):
        raise ValueError("a switch that is neither on nor off")
    if any(season < 1 for shape in shapes for season in shape["seasons"]):
        raise ValueError("a season of no step")
    with torch.device("meta"):  # takes no memory, whatever sizes are claimed, until the weights fit them
        network = Ensemble(Network(Shape(**shape)) for shape in shapes)
    network.load_state_dict(under(f"{stage}.network.", tensors), assign=True)
    return network
