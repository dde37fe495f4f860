"""Darts' BlockRNNModel with an LSTM.

Run: python -m venv darts && darts/bin/pip install darts pytorch-lightning torch==2.13.0
     darts/bin/python benchmarks/peers/darts_rnn.py --data DIR
"""

import logging

import numpy as np
from darts import TimeSeries
from darts.dataprocessing.transformers import Scaler
from darts.models import BlockRNNModel
from m4 import BATCH, CONTEXT, HORIZON, run

logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
QUIET = {"accelerator": "cpu", "enable_progress_bar": False, "enable_model_summary": False, "logger": False}


def scaled(history: list[np.ndarray]) -> tuple[Scaler, list[TimeSeries]]:
    """Series between 0 and 1, each by itself."""
    scaler = Scaler()
    return scaler, scaler.fit_transform([TimeSeries.from_values(y) for y in history])


def train(history: list[np.ndarray], layers: int, units: int, steps: int) -> None:
    """Steps of equal size."""
    model = BlockRNNModel(
        input_chunk_length=CONTEXT,
        output_chunk_length=HORIZON,
        model="LSTM",
        hidden_dim=units,
        n_rnn_layers=layers,
        batch_size=BATCH,
        n_epochs=1,
        pl_trainer_kwargs=QUIET | {"max_steps": steps},
    )
    model.fit(scaled(history)[1])


def default(history: list[np.ndarray]) -> np.ndarray:
    """As it comes, with as many windows an epoch as series, for its default 100 epochs."""
    scaler, series = scaled(history)
    model = BlockRNNModel(
        input_chunk_length=CONTEXT, output_chunk_length=HORIZON, model="LSTM", pl_trainer_kwargs=QUIET
    )
    model.fit(series, max_samples_per_ts=1)
    said = scaler.inverse_transform(model.predict(HORIZON, series=series))
    return np.stack([part.values()[:, 0] for part in said])


run("Darts BlockRNNModel LSTM", train, default)
