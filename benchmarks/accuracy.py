"""Accuracy on public data by the usual protocols, with default settings, beside the published figures.

M3: its own test part. M4: the last horizon of the training part held back. ETT: fitted on the months
before the test, z-scored by the first twelve; every test window. Sets without dates get made-up ones.

Run: python benchmarks/accuracy.py --data DIR [--sets m3/monthly ett/ETTh1-96] [--set seed=2] [--json FILE]
     python benchmarks/accuracy.py --folder DIR    (history.csv and truth.csv: series,ds,y)
"""

import argparse
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

import gatecast
from gatecast.evaluation.evaluate import evaluate
from gatecast.evaluation.metrics import coverage, mae, msis, smape

PANELS = {  # frequency of the made-up dates, horizon, season of MASE; the metric that the set is judged by
    "m3/yearly": ("Y", 6, 1, "smape"),
    "m3/quarterly": ("Q", 8, 4, "smape"),
    "m3/monthly": ("M", 18, 12, "smape"),
    "m3/other": ("D", 8, 1, "smape"),
    "m4/hourly": ("h", 48, 24, "mase"),
    "m4/weekly": ("W", 13, 1, "mase"),
    "m4/yearly": ("Y", 6, 1, "mase"),
}
COLUMNS = {"time": "ds", "target": "y", "series": "series"}
SIDES = {"lower": "low", "upper": "high"}
LONG = {"ETTh1": 1, "ETTm1": 4}  # rows an hour
HORIZONS = (96, 192, 336, 720)
PUBLISHED = {
    "m3/yearly": "sMAPE: Theta 16.90, N-BEATS 15.93",
    "m3/quarterly": "sMAPE: Theta 8.96, N-BEATS 8.84",
    "m3/monthly": "sMAPE: Theta 13.85, N-BEATS 13.11",
    "m3/other": "sMAPE: Theta 4.41, N-BEATS 4.24",
    "m3": "sMAPE: Theta 13.01, N-BEATS 12.37",
    "m4/hourly": "OWA on M4's test: ES-RNN .440",
    "m4/weekly": "OWA on M4's test: ES-RNN .851",
    "m4/yearly": "OWA on M4's test: ES-RNN .778, N-BEATS .758",
    "ett/ETTh1": "MSE: SegRNN .408, xLSTM-Mixer .397",
    "ett/ETTm1": "MSE: SegRNN .347, xLSTM-Mixer .339",
}


@dataclass(frozen=True)
class Problem:
    """Rows (`series,ds,y`) up to a cutoff, and those that came after it."""

    history: pd.DataFrame
    truth: pd.DataFrame
    season: int  # of MASE and of the naive forecast
    options: dict[str, Any]


def long_rows(series: dict[str, tuple[np.ndarray, np.ndarray]], unit: str) -> Iterator[pd.DataFrame]:
    """The histories, then the truths, as rows with made-up dates."""
    start = np.datetime64("1750-01-01" if unit == "Y" else "2000-01-03")
    months = {"Y": 12, "Q": 3, "M": 1}.get(unit)
    for part in (0, 1):
        frames = []
        for name, both in series.items():
            at = np.arange(len(both[part])) + part * len(both[0])
            dates = (start.astype("M8[M]") + at * months) if months else start + at.astype(f"m8[{unit}]")
            frames.append(pd.DataFrame({"series": name, "ds": dates.astype("M8[us]"), "y": both[part]}))
        yield pd.concat(frames, ignore_index=True)


def panel_problem(data: Path, name: str, most: int | None) -> Problem:
    """A set of M3 or M4."""
    unit, horizon, season, _ = PANELS[name]
    competition, frequency = name.split("/")
    if competition == "m3":
        rows = pd.read_csv(data / "m3" / "m3_long.csv.gz")
        rows = rows[rows.period.str.lower() == frequency].sort_values(["id", "t"])
        whole = {key: group.y.to_numpy() for key, group in rows.groupby("id")}
    else:
        wide = pd.read_csv(data / "m4" / f"{frequency.capitalize()}-train.csv.gz", index_col=0)
        whole = {f"{at:06d}": row[~np.isnan(row)] for at, row in enumerate(wide.to_numpy(np.float64))}
    if most:
        whole = {key: whole[key] for key in list(whole)[:: max(1, len(whole) // most)]}
    history, truth = long_rows({key: (y[:-horizon], y[-horizon:]) for key, y in whole.items()}, unit)
    freq = {"Y": "YS", "Q": "QS", "M": "MS", "D": "D", "h": "h", "W": "W-MON"}[unit]
    return Problem(history, truth, season, {"freq": freq, "horizon": horizon})


def folder_problem(folder: Path) -> Problem:
    """A folder with history.csv and truth.csv; the horizon reaches the last truth of every series."""
    history, truth = (dated_rows(folder / f"{part}.csv") for part in ("history", "truth"))
    panel, ends = gatecast.read(history, **COLUMNS), truth.groupby("series").ds.max()
    lasts = panel.lasts[panel.find([*map(str, ends.index)])]
    ahead = [panel.grid.step(str(end)) - last for end, last in zip(ends, lasts, strict=True)]
    return Problem(history, truth, 0, {"horizon": int(max(ahead))})


def dated_rows(path: Path) -> pd.DataFrame:
    """The rows of a CSV file; dates beyond 2262, as of long series of years, are more than pandas reads by itself."""
    rows = pd.read_csv(path, dtype={"ds": str})
    dates = rows.ds.str.fullmatch(r"\d{4}-\d\d-\d\d").all()
    return rows.assign(ds=rows.ds.to_numpy("M8[us]") if dates else pd.to_datetime(rows.ds))


def solve(problem: Problem, settings: dict[str, Any]) -> dict[str, Any]:
    """Fit, forecast and judge, by the sets' own metrics and those of the intervals."""
    began = time.perf_counter()
    model = gatecast.fit(problem.history, **{**COLUMNS, "baselines": 0, **problem.options, **settings})
    seconds = time.perf_counter() - began
    season, horizon = problem.season or model.tested.season, problem.options["horizon"]
    panel = gatecast.read(problem.history, **COLUMNS, freq=model.config.grid.freq)
    found: dict[str, list[np.ndarray]] = {name: [] for name in ("y", "point", "low80", "high80", "low95", "high95")}
    naive, naive2, scale = [], [], []
    for key, group in beside(model, problem.truth).groupby("series"):
        for name, values in found.items():
            values.append(np.full(horizon, np.nan))
            values[-1][group.step - 1] = group[name]
        past = panel.series(panel.places[str(key)]).astype(np.float64)
        apart = np.abs(past[season:] - past[:-season])
        scale.append(np.nanmean(apart) if np.isfinite(apart).any() else np.nan)
        # What is missing is as it was the season before, or as the last value.
        past = pd.Series(past).groupby(np.arange(len(past)) % season).ffill().ffill().to_numpy()
        naive.append(np.resize(past[-season:], horizon))
        naive2.append(forecast_naive2(past, season, horizon))
    arrays = {name: np.array(values) for name, values in found.items()}
    return {"seconds": round(seconds), **scores(arrays, np.array(naive), np.array(naive2), np.array(scale))} | {
        "series": len(scale),
        "held_back_inside": {name: model.evidence["metrics"]["overall"][name] for name in ("mase", "smape")}
        | {"naive_mase": model.evidence["metrics"]["baselines"]["seasonal_naive"]["mase"]},
        "model": model.config.model.model_dump(),
        "training": model.evidence["manifest"]["training"],
    }


def beside(model: gatecast.Model, truth: pd.DataFrame) -> pd.DataFrame:
    """The truth with the point, the intervals and the steps ahead of its forecast beside it."""
    names = {"forecast_timestamp": "ds", "forecast_value": "point"}
    table, rows = model.forecast(level=(80, 95)).to_pandas().rename(columns=names), truth
    for level, once in ((80, ["point", "step"]), (95, [])):
        bounds = {f"prediction_interval_{side}_bound": f"{short}{level}" for side, short in SIDES.items()}
        part = table[np.isclose(table.confidence_level, level / 100)].rename(columns=bounds)
        rows = rows.merge(part[["series", "ds", *bounds.values(), *once]], on=["series", "ds"], how="left")
    if (absent := rows[rows.step.isna()]).size:
        raise SystemExit(f"{len(absent):,} rows of the truth have no forecast, the first of them\n{absent.head()}")
    return rows.astype({"step": int})


def scores(
    found: dict[str, np.ndarray], naive: np.ndarray, naive2: np.ndarray, scale: np.ndarray
) -> dict[str, float | None]:
    """Every metric, of the model and relative to the naive forecasts."""
    truth, point = found["y"], found["point"]
    usable = np.nan_to_num(scale) > 0

    def scaled(forecast: np.ndarray) -> float:
        return float(np.nanmean(np.abs(truth - forecast)[usable] / scale[usable, None]))

    result: dict[str, float | None] = {
        "smape": float(smape(truth, point)),
        "mase": scaled(point),
        "owa": float(smape(truth, point) / smape(truth, naive2) + scaled(point) / scaled(naive2)) / 2,
        "wape": float(np.nansum(np.abs(truth - point)) / np.nansum(np.abs(truth))),
        "mape": 100 * float(np.nanmean(np.abs(truth - point) / truth)) if np.nanmin(truth) > 0 else None,
        "rmse": float(np.sqrt(np.nanmean((truth - point) ** 2))),
        "mase_to_naive": scaled(point) / scaled(naive),
        "mae_to_naive": float(mae(truth, point) / mae(truth, naive)),
    }
    for level in (80, 95):
        low, high = found[f"low{level}"], found[f"high{level}"]
        result[f"covered_{level}"] = coverage(truth, low, high)
        result[f"msis_{level}"] = msis(truth, low, high, level, scale)
    return {name: None if value is None else round(value, 4) for name, value in result.items()}


def forecast_naive2(past: np.ndarray, season: int, horizon: int) -> np.ndarray:
    """The last value of the seasonally adjusted series, where a test finds a season (Makridakis et al., M4)."""
    indices = np.ones(season)
    if season > 1 and len(past) >= 3 * season and past.min() > 0:
        apart = past - past.mean()
        acf = np.array([(apart[lag:] * apart[: len(past) - lag]).sum() for lag in range(1, season + 1)])
        acf /= np.square(apart).sum() or 1
        if abs(acf[-1]) > 1.645 * np.sqrt((1 + 2 * np.square(acf[:-1]).sum()) / len(past)):
            weights = np.r_[0.5, np.ones(season - 1), 0.5] if season % 2 == 0 else np.ones(season)
            trend = np.convolve(past, weights / season, "valid")
            ratio = past[season // 2 :][: len(trend)] / trend
            phase = (np.arange(len(ratio)) + season // 2) % season
            indices = np.array([ratio[phase == at].mean() for at in range(season)])
            indices *= season / indices.sum()
    at = np.arange(len(past), len(past) + horizon) % season
    forecast: np.ndarray = past[-1] / indices[(len(past) - 1) % season] * indices[at]
    return forecast


def solve_long(data: Path, name: str, settings: dict[str, Any], stride: int) -> dict[str, Any]:
    """ETT: channels as series, fitted once on the 16 months before the test; errors over all test windows."""
    file, horizon = name.split("-")
    wide = pd.read_csv(next((data / "ett").glob(f"{file}.csv*")), parse_dates=["date"], index_col="date")
    month = 30 * 24 * LONG[file]
    wide = (wide - wide[: 12 * month].mean()) / wide[: 12 * month].std(ddof=0)
    rows = wide[: 20 * month].rename_axis(columns="series").stack().rename("y").reset_index()
    columns = {"time": "date", "target": "y", "series": "series"}
    began, test = time.perf_counter(), wide.index[16 * month]
    options = {**columns, "baselines": 0, "horizon": int(horizon), **settings}
    model = gatecast.fit(rows[rows.date < test], **options)
    seconds = time.perf_counter() - began
    panel = gatecast.read(rows, **columns, freq=model.config.grid.freq)
    ends = np.arange(panel.lasts[0] - 4 * month, panel.lasts[0] - int(horizon) + 1, stride)
    sums, covered = [], []
    for cutoff in ends:
        series, cutoffs = np.arange(len(panel)), np.full(len(panel), cutoff)
        found = evaluate(model.final, panel, series, cutoffs, model.tested.season, model.config.forecast)
        wrong = found.truth - found.points
        sums.append([np.square(wrong).mean(), np.abs(wrong).mean(), np.abs(found.truth - naive_of(found)).mean()])
        covered.append([coverage(found.truth, *found.bounds(level)) for level in (80, 95)])
    mse, error, naive = np.mean(sums, 0, dtype=float).tolist()
    shares = np.mean(covered, 0).tolist()
    return {"seconds": round(seconds), "mse": round(mse, 4), "mae": round(error, 4)} | {
        "mae_to_naive": round(error / naive, 4),
        "covered_80": round(shares[0], 2),
        "covered_95": round(shares[1], 2),
        "windows": len(ends) * len(panel),
        "model": model.config.model.model_dump(),
        "training": model.evidence["manifest"]["training"],
    }


def naive_of(found: Any) -> np.ndarray:
    """The seasonal naive forecasts of a backtest."""
    naive: np.ndarray = found.baselines["seasonal_naive"]
    return naive


def summary(results: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Means over the sets of a competition, if all of them were run."""
    means = {}
    m3 = [(found, PANELS[name][1]) for name, found in results.items() if name.startswith("m3/")]
    if len(m3) == 4:
        by_series = np.average([found["smape"] for found, _ in m3], weights=[found["series"] for found, _ in m3])
        weights = [found["series"] * horizon for found, horizon in m3]
        by_point = np.average([found["smape"] for found, _ in m3], weights=weights)
        means["m3"] = {"smape": round(float(by_point), 3), "smape_mean_over_series": round(float(by_series), 3)}
    for file in LONG:
        parts = [results[name] for name in results if name.startswith(f"ett/{file}-")]
        if len(parts) == len(HORIZONS):
            both = {key: np.mean([part[key] for part in parts]).item() for key in ("mse", "mae")}
            means[f"ett/{file}"] = {key: round(mean, 4) for key, mean in both.items()}
    return means


def main() -> None:
    """Run the sets asked for, print a line each as it ends, and write JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--sets", nargs="*", help=f"of {', '.join(PANELS)}, ett/ETTh1-96, ...; default: all")
    parser.add_argument("--set", nargs="*", default=[], metavar="NAME=VALUE", help="settings instead of the defaults")
    parser.add_argument("--judged", action="store_true", help="say with --metric what each set is judged by")
    parser.add_argument("--most", type=int, help="about so many series of each set, for a quick look")
    parser.add_argument("--stride", type=int, default=1, help="every so many test windows of ETT")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    if (given.data is None) == (given.folder is None):
        parser.error("give --data DIR or --folder DIR")
    torch.set_num_threads(given.threads)
    settings = {name: json.loads(value) for name, value in (pair.split("=", 1) for pair in given.set)}
    every = [*PANELS, *(f"ett/{file}-{horizon}" for file in LONG for horizon in HORIZONS)]
    results = {}
    for name in [str(given.folder)] if given.folder else given.sets or every:
        if given.folder:
            results[name] = solve(folder_problem(given.folder), settings)
        elif name in PANELS:
            judged = {"metric": PANELS[name][3]} if given.judged else {}
            results[name] = solve(panel_problem(given.data, name, given.most), judged | settings)
        else:
            judged = {"metric": "rmse"} if given.judged else {}
            results[name] = solve_long(given.data, name.removeprefix("ett/"), judged | settings, given.stride)
        told = {key: value for key, value in results[name].items() if not isinstance(value, dict)}
        print(name, told, results[name]["model"], PUBLISHED.get(name, ""), flush=True)
    for name, found in (more := summary(results)).items():
        print(name, found, PUBLISHED[name])
    if given.json:
        given.json.write_text(json.dumps({**results, **more}, indent=2) + "\n")


if __name__ == "__main__":
    try:
        main()
    except gatecast.GatecastError as error:
        raise SystemExit(str(error)) from None
