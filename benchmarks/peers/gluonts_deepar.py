"""GluonTS's DeepAR.

Run: python -m venv gt && gt/bin/pip install 'gluonts[torch]' torch==2.13.0
     gt/bin/python benchmarks/peers/gluonts_deepar.py --data DIR
"""

import logging
import warnings

import numpy as np
import pandas as pd
from gluonts.dataset.common import ListDataset
from gluonts.torch.model.deepar import DeepAREstimator
from m4 import BATCH, CONTEXT, HORIZON, run

logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
warnings.simplefilter("ignore")
QUIET = {"accelerator": "cpu", "enable_progress_bar": False, "enable_model_summary": False, "logger": False}


def dataset(history: list[np.ndarray]) -> ListDataset:
    """Series in its own form."""
    return ListDataset([{"start": pd.Period("2000-01-03", "h"), "target": y} for y in history], freq="h")


def train(history: list[np.ndarray], layers: int, units: int, steps: int) -> None:
    """Steps of equal size."""
    DeepAREstimator(
        freq="h",
        prediction_length=HORIZON,
        context_length=CONTEXT,
        num_layers=layers,
        hidden_size=units,
        batch_size=BATCH,
        num_batches_per_epoch=steps,
        trainer_kwargs=QUIET | {"max_epochs": 1},
    ).train(dataset(history))


def default(history: list[np.ndarray]) -> np.ndarray:
    """As it comes, medians of 100 sample paths."""
    predictor = DeepAREstimator(freq="h", prediction_length=HORIZON, trainer_kwargs=QUIET).train(dataset(history))
    return np.stack([said.quantile(0.5) for said in predictor.predict(dataset(history), num_samples=100)])


run("GluonTS DeepAR", train, default)
