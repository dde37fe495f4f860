"""A backtest is the ordinary forecast at past cutoffs; only then is the truth looked at."""

import torch

from gatecast.data.arrays import Indices
from gatecast.data.dates import Steps
from gatecast.data.encoding import Encoder
from gatecast.data.panel import Panel
from gatecast.data.table import DRIFT, SEASONAL
from gatecast.data.windows import Windows
from gatecast.evaluation.backtest import Backtest
from gatecast.evaluation.baselines import naive_drift, naive_error, seasonal_naive
from gatecast.fitted import Fitted
from gatecast.forecasting import predict
from gatecast.settings import ForecastSettings


def evaluate(
    fitted: Fitted, panel: Panel, series: Indices, cutoffs: Steps, season: int, settings: ForecastSettings
) -> Backtest:
    """Forecast from past cutoffs with weights that have not seen beyond them.

    Args:
        series: index of each window's series.
        cutoffs: the last step each window may use.
        season: of the seasonal naive forecast, and of the scales of MASE and RMSSE, which are those of the rows seen.
    """
    shape = fitted.network.shape
    windows = Windows.of(panel, fitted.encoder, shape.context, shape.horizon, fitted.device)
    quantiles = predict(fitted, windows, series, cutoffs, shape.horizon)[0]
    # The truth is fetched after and apart from the forecasts, and never by the clock: a skipped hour has none.
    true = Windows.of(panel, Encoder(), 1, shape.horizon, torch.device("cpu"))
    truth = true.truth(torch.from_numpy(series), torch.from_numpy(cutoffs))
    naive = {
        SEASONAL: seasonal_naive(panel, series, cutoffs, season, shape.horizon, clock=fitted.encoder.clock),
        DRIFT: naive_drift(panel, series, cutoffs, shape.horizon),
    }
    return Backtest(
        panel=panel,
        series=series,
        cutoffs=cutoffs,
        truth=truth.to_numpy(),
        quantiles=quantiles,
        baselines=naive,
        mase_scale=naive_error(panel, fitted.seen, season)[series],
        rmsse_scale=naive_error(panel, fitted.seen, season, power=2)[series],
        probabilities=fitted.probabilities,
        settings=settings,
        season=season,
        mean_share=fitted.mean_share,
    )
