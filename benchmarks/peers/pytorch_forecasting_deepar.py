"""pytorch-forecasting's DeepAR.

Run: python -m venv pf && pf/bin/pip install pytorch-forecasting torch==2.13.0
     pf/bin/python benchmarks/peers/pytorch_forecasting_deepar.py --data DIR
"""

import logging
import warnings

import lightning.pytorch as pl
import numpy as np
import pandas as pd
from m4 import BATCH, CONTEXT, HORIZON, run
from pytorch_forecasting import DeepAR, TimeSeriesDataSet

logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
warnings.simplefilter("ignore")
QUIET = {"accelerator": "cpu", "enable_progress_bar": False, "enable_model_summary": False, "logger": False}
QUIET |= {"enable_checkpointing": False}
EPOCHS, BATCHES = 20, 50
"""It has no default length of training; its tutorial of DeepAR takes 30 epochs of 50 batches."""


def rows(history: list[np.ndarray]) -> pd.DataFrame:
    """Rows in its long form."""
    parts = [
        pd.DataFrame({"series": f"{i:04d}", "t": np.arange(len(y)), "y": y.astype(float)})
        for i, y in enumerate(history)
    ]
    return pd.concat(parts, ignore_index=True)


def dataset(history: list[np.ndarray]) -> TimeSeriesDataSet:
    """Windows in its own form."""
    return TimeSeriesDataSet(
        rows(history),
        time_idx="t",
        target="y",
        group_ids=["series"],
        time_varying_unknown_reals=["y"],
        max_encoder_length=CONTEXT,
        max_prediction_length=HORIZON,
    )


def fitted(windows: TimeSeriesDataSet, layers: int, units: int, epochs: int, steps: int) -> DeepAR:
    """A network trained for some steps."""
    network = DeepAR.from_dataset(windows, learning_rate=1e-3, hidden_size=units, rnn_layers=layers)
    trainer = pl.Trainer(max_epochs=epochs, limit_train_batches=steps, gradient_clip_val=0.1, **QUIET)
    trainer.fit(network, windows.to_dataloader(train=True, batch_size=BATCH, num_workers=0))
    return network


def train(history: list[np.ndarray], layers: int, units: int, steps: int) -> None:
    """Steps of equal size."""
    fitted(dataset(history), layers, units, 1, steps)


def default(history: list[np.ndarray]) -> np.ndarray:
    """Its tutorial's length of training, its default size."""
    windows = dataset(history)
    network = fitted(windows, 2, 10, EPOCHS, BATCHES)
    longer = [np.append(y, np.repeat(y[-1:], HORIZON)) for y in history]
    last = TimeSeriesDataSet.from_dataset(windows, rows(longer), predict=True)
    loader = last.to_dataloader(train=False, batch_size=BATCH, num_workers=0)
    return network.predict(loader, mode="prediction", trainer_kwargs=QUIET).numpy()


run("pytorch-forecasting DeepAR", train, default)
