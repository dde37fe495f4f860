# %% [markdown]
# # The eleven steps of an LSTM forecast, by hand
#
# `gatecast fit` takes eleven steps. Here each is taken with the package's own parts, on half-hours of
# New York taxi demand; `docs/lstm.md` explains the cell of an LSTM. It runs in a minute or two,
# as a script (`python examples/lesson.py`) or as a notebook (`make lesson` builds `lesson.ipynb`).

# %%
from importlib.resources import as_file
from pathlib import Path

import numpy as np
import torch

import gatecast
from gatecast import figures, recipe
from gatecast.cutoffs import next_steps
from gatecast.data.encoding import Encoder
from gatecast.data.features import calendar, meaningful
from gatecast.data.scaling import Scaler
from gatecast.data.split import split
from gatecast.data.windows import Windows
from gatecast.demo import DATA
from gatecast.evaluation.evaluate import evaluate
from gatecast.evaluation.held_back import held_back
from gatecast.evaluation.verdict import judge
from gatecast.fitting import Workshop, build, learn
from gatecast.forecasting import forecast
from gatecast.insight import inspect

HORIZON, DEVICE, OUT = 48, torch.device("cpu"), Path("lesson")
OUT.mkdir(exist_ok=True)

# %% [markdown]
# ## 1. Read
# A query aggregates the rows to a grid of regular steps; what comes back is a *panel*: all series, one after another
# in memory. Here there is only one.

# %%
columns = {"time": "timestamp", "target": "value", "timezone": "America/New_York"}
with as_file(DATA) as rows:
    panel = gatecast.read(str(rows), **columns)
print(f"{panel.reading.rows:,} rows on the grid {panel.grid}; {int(np.isnan(panel.values).sum())} steps are missing")

# %% [markdown]
# ## 2. Dates to numbers
# A date is the number of its step. Its places in day and week are angles, given as sine and cosine, so that
# 23:30 is next to 00:00. A cycle is only used if the history repeats it ten times, and training has forecasts
# from all of its places.

# %%
print("2015-01-27 08:00 is step", panel.grid.step("2015-01-27 08:00"))
parts = split(panel, HORIZON, share=0.15)
cycles = meaningful(panel.grid, int((parts.train - parts.firsts)[0]), int(parts.training(HORIZON).counts[0]))
monday = np.array([panel.grid.step("2015-01-26 06:00")])
print("cycles:", cycles, "at 06:00 on a Monday:", calendar(panel.grid, cycles, monday).round(2))

# %% [markdown]
# ## 3. Split in time
# Before anything is fitted. Tutorials scale first: then the scaler has seen the test rows.

# %%
for name, ends in {"train": parts.train, "validation": parts.validation, "test": parts.lasts}.items():
    print(f"{name:>10} ends {panel.grid.label(int(ends[0]))}")

# %% [markdown]
# ## 4. Scale
# A scale fitted on training rows, and one that leaks: it knows the level of the rows to come.

# %%
values = torch.from_numpy(panel.series(0).copy())
training = values[: int(parts.train[0] - parts.firsts[0]) + 1]
for name, seen in (("training rows", training), ("all rows (leaks)", values)):
    loc, scale = Scaler.fit("standard", [seen]).fixed
    print(f"{name}: mean {loc.item():,.0f}, standard deviation {scale.item():,.0f}")

# %% [markdown]
# ## 5. and 6. Windows, on the device
# A window is a series and a cutoff: the context up to it is read, the horizon after it is forecast. The panel
# moves to the device once; windows are gathered there by index, inputs apart from the true values.

# %%
options = {"horizon": HORIZON, "epochs": 10, "refit": False}
config = gatecast.Config.from_options("", {"time": "timestamp", "target": "value", **options})
config, season = recipe.resolve(config, panel, parts)
encoder = Encoder(cycles)
windows = Windows.of(panel, encoder, recipe.sizes(config).context, HORIZON, DEVICE)
inputs = windows.inputs(torch.tensor([0]), torch.tensor(parts.train))
print(f"context {tuple(inputs.context.shape)}, calendar {tuple(inputs.calendar.shape)}, on {windows.device}")
unit = Scaler("window")(inputs.context, inputs.observed, inputs.series)
print(f"this window alone: mean {unit.loc.item():,.0f}, mean absolute deviation {unit.scale.item():,.0f}")

# %% [markdown]
# ## 7. and 8. Define the LSTM, and move it to the device
# Four networks, which will be averaged. Each reads the newest days one at a time: `embed` turns the values of a day and
# their places in the calendar into 64 numbers, which `lstm` reads. From its last state `read` and `write` make 48
# half-hours, and `widen` their intervals. They are added to a mixture (`mix`) of simple forecasts, such as the last
# week repeated, and to a linear regression on the values read (`skip`).

# %%
shop = Workshop(
    config, panel, parts, encoder, windows,
    lambda epoch: print(f"epoch {epoch.epoch}: loss {epoch.train_loss:.4f}, validation {epoch.validation_loss:.4f}"),
    season,
)  # fmt: skip
network = build(shop)
print(network)

# %% [markdown]
# ## 9. Train
# Quantile loss, AdamW, a learning rate that rises and falls once; the weights with the best validation loss are kept.

# %%
fitted, trained, _ = learn(shop, network)
print(f"{trained.ended}; weights of epoch {trained.best}")

# %% [markdown]
# ## 10. Test
# Forecasts from cutoffs that training never saw, beside repeating the last season; a verdict in one sentence.

# %%
fitted, series, cutoffs = held_back(fitted, panel, panel.keys)
backtest = evaluate(fitted, panel, series, cutoffs, season, config.forecast)
print(judge(backtest, []).sentence)
figures.save(backtest.plot(), OUT / "test.png")

# %% [markdown]
# ## 11. Forecast
# The next day, as a table in the columns of BigQuery's `AI.FORECAST`.

# %%
asked = next_steps(panel, HORIZON, HORIZON)
table = forecast(fitted, fitted, panel, panel.keys, asked, config.forecast, "lesson", panel.lasts)
print(table.to_pandas().head())
figures.save(figures.forecast_figure(panel, 0, table), OUT / "forecast.png")

# %% [markdown]
# ## And inside?
# What the cells kept and forgot, what the forecast relied on, and whether older steps help at all.

# %%
insight = inspect(fitted, fitted, panel, panel.keys)
insight.write(OUT)
print(*insight.sentences, sep="\n")

# %% [markdown]
# `gatecast.fit` does all of this in one call, trains again on all rows, and keeps it in a run folder:
# `model = gatecast.fit("taxi.csv", time="timestamp", target="value", horizon=48, run="run")`.
