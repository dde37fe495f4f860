"""neuralforecast's LSTM.

Run: python -m venv nf && nf/bin/pip install neuralforecast torch==2.13.0
     nf/bin/python benchmarks/peers/neuralforecast_lstm.py --data DIR
"""

import logging

import numpy as np
import pandas as pd
from m4 import BATCH, CONTEXT, HORIZON, run
from neuralforecast import NeuralForecast
from neuralforecast.models import LSTM

logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
QUIET = {"accelerator": "cpu", "logger": False, "enable_progress_bar": False, "enable_model_summary": False}
QUIET |= {"enable_checkpointing": False}


def frame(history: list[np.ndarray]) -> pd.DataFrame:
    """Rows in its long form."""
    start = np.datetime64("2000-01-03")
    parts = [
        pd.DataFrame({"unique_id": f"{i:04d}", "ds": start + np.arange(len(y)) * np.timedelta64(1, "h"), "y": y})
        for i, y in enumerate(history)
    ]
    return pd.concat(parts, ignore_index=True)


def train(history: list[np.ndarray], layers: int, units: int, steps: int) -> None:
    """Steps of equal size."""
    model = LSTM(
        h=HORIZON,
        input_size=CONTEXT,
        encoder_n_layers=layers,
        encoder_hidden_size=units,
        decoder_hidden_size=units,
        windows_batch_size=BATCH,
        max_steps=steps,
        val_check_steps=10_000,
        **QUIET,
    )
    NeuralForecast([model], freq="h").fit(frame(history))


def default(history: list[np.ndarray]) -> np.ndarray:
    """As it comes, scaled robustly, as its tutorial of the LSTM has it."""
    model = LSTM(h=HORIZON, input_size=CONTEXT, scaler_type="robust", **QUIET)
    network = NeuralForecast([model], freq="h")
    network.fit(frame(history))
    said = network.predict()
    said = said.reset_index() if "unique_id" not in said else said
    return said.sort_values(["unique_id", "ds"])["LSTM"].to_numpy().reshape(-1, HORIZON)


run("neuralforecast LSTM", train, default)
