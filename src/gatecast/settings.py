"""The settings of each table, their meaning and their limits.

A setting that is `None` is chosen from the data and written back, so a run's
`config.toml` always holds the values that were used.
"""

from typing import Annotated, Literal, NamedTuple, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo, field_validator, model_validator

from gatecast.written import Bytes, Date, Levels, Names, Range, Seconds, listed

Aggregate = Literal["sum", "mean", "last", "count", "min", "max"]
Align = Literal["last", "common"]
Fill = Literal["zero", "missing", "forward", "interpolate"]
Metric = Literal["mase", "wape", "mae", "rmse", "smape", "mape", "quantile"]
Scaling = Literal["minmax", "standard", "robust", "window"]

LONGEST_CONTEXT = 100_000
"""Steps. No weight's shape depends on the length of the context, so a damaged run could claim any."""

LARGEST = 1e33
"""Size of a value beyond which sums over a context would overflow; larger ones mostly stand for missing values."""

Seasons = Annotated[tuple[Annotated[int, Field(ge=1, le=LONGEST_CONTEXT)], ...], BeforeValidator(listed)]


class Settings(BaseModel):
    """A table of settings: frozen, unknown keys refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, defer_build=True)

    @field_validator("*")
    @classmethod
    def _given(cls, value: object, field: ValidationInfo) -> object:
        """An empty text, as of a shell's variable that is not set, is no value."""
        if value == "" and cls.model_fields[field.field_name or ""].default is None:
            raise ValueError("give a value or leave it out")
        return value


class SourceSettings(Settings):
    """Where the rows are and what their columns mean."""

    url: str = Field(
        "", description="bigquery://PROJECT/DATASET, duckdb:PATH, or a path to .duckdb .parquet .csv .json"
    )
    table: str | None = Field(None, description="table or view to read; schema.table works too")
    sql: str | None = Field(None, description="query to read instead of a table")
    time: str = Field("", description="timestamp column")
    time_unit: Literal["s", "ms", "us", "ns"] | None = Field(
        None, description="unit of a timestamp column of integers since 1970; default: inferred from their size"
    )
    target: str = Field("", description="column to forecast; without one, rows are counted")
    series: Names = Field((), description="column that identifies a series; repeat for several")
    static: Names = Field((), description="column with one number or category per series; repeat for several")
    past: Names = Field((), description="column known up to the last row, such as the weather; repeat for several")
    future: Names = Field((), description="column known for the horizon too, such as promotions; repeat for several")
    future_table: str | None = Field(None, description="table or file with the coming values of the --future columns")
    holidays_column: str | None = Field(
        None, description="column with the holiday calendar of each series, such as DE, US-NY or XNYS"
    )
    since: Date = Field(None, description="read rows from this date on")
    until: Date = Field(None, description="read rows before this date")
    snapshot: Date = Field(None, description="read a BigQuery table as of this time; UTC if it names no offset")
    location: str | None = Field(None, description="location of BigQuery jobs, such as EU; default: BigQuery's choice")
    max_bytes: Bytes = Field(
        10_000_000_000, ge=1, description="most bytes a BigQuery query may read, such as 500MB or 1TB; default: 10GB"
    )
    label: Names = Field((), description="label of BigQuery jobs, such as team:sales; repeat for several")

    @property
    def varying(self) -> tuple[str, ...]:
        """The covariates with a value for each step."""
        return *self.past, *self.future

    @property
    def fixed(self) -> tuple[str, ...]:
        """The covariates with one value for each series."""
        places = (self.holidays_column,) if self.holidays_column else ()
        return tuple(dict.fromkeys((*self.static, *places)))

    @model_validator(mode="after")
    def _one_relation(self) -> Self:
        if self.table is not None and self.sql is not None:
            raise ValueError("give --table or --sql, not both")
        return self

    @model_validator(mode="after")
    def _only_tables_have_a_past(self) -> Self:
        if self.snapshot and self.sql is not None:
            raise ValueError("--snapshot is for a --table: in --sql write FOR SYSTEM_TIME AS OF yourself")
        return self

    @model_validator(mode="after")
    def _future_is_named(self) -> Self:
        if self.future_table and not self.future:
            raise ValueError("say which columns of --future-table are known in advance: --future NAME")
        return self

    @model_validator(mode="after")
    def _each_column_once(self) -> Self:
        named = [self.time, self.target, *self.series, *self.static, *self.past, *self.future]
        twice = sorted({name for name in named if name and named.count(name) > 1})
        if twice:
            raise ValueError(f"a column has one meaning, these have more: {', '.join(map(repr, twice))}")
        return self


class Alignment(NamedTuple):
    """How rows become values of a grid: several of one step, none of a step, none any more."""

    aggregate: Aggregate
    fill: Fill
    align: Align


class GridSettings(Settings):
    """The regular timestamps that every series is aligned to."""

    freq: str | None = Field(None, description="15min, h, D, B, C, W-MON, MS, QE, YS, HOURLY, ...; default: inferred")
    timezone: str | None = Field(None, description="time zone of the grid and of naive times, such as Asia/Tokyo")
    aggregate: Aggregate | None = Field(
        None, description="how rows of one series and step are combined; default: mean, or count without a target"
    )
    fill: Fill | None = Field(None, description="fill for empty steps; default: zero for sum and count, else missing")
    align: Align | None = Field(
        None, description="series end at their own last row or all at the newest; default: common for count, else last"
    )
    holidays: str | None = Field(None, description="holidays of a country, region or exchange, such as DE, US-NY, XNYS")

    def alignment(self, target: str) -> Alignment:
        """How rows become values of the grid, with the defaults for what was left open."""
        aggregate = self.aggregate or ("mean" if target else "count")
        fill = self.fill or ("zero" if aggregate in ("count", "sum") else "missing")
        return Alignment(aggregate, fill, self.align or ("common" if aggregate == "count" else "last"))


class ForecastSettings(Settings):
    """What is forecast and how it is judged."""

    horizon: int = Field(0, ge=1, le=1_000_000_000, description="steps to forecast")  # 0: not given
    level: Levels = Field((80.0, 95.0), description="level of an interval in percent; repeat for several")
    metric: Metric = Field("mase", description="metric that the point forecast will be judged by")
    bounds: Range = Field(
        None, description="range of forecasts, such as 0:100, 0: or : (any); default: 0: for series never negative"
    )

    @field_validator("level")
    @classmethod
    def _inside(cls, levels: tuple[float, ...]) -> tuple[float, ...]:
        if not levels or not all(1 < level <= 99.999 for level in levels):
            raise ValueError("give at least one level, in percent, above 1 and up to 99.999, such as 80")
        return tuple(sorted(set(levels)))


class ModelSettings(Settings):
    """The network."""

    recipe: Literal["segment", "classic"] = Field("segment", description="segment, or classic: the textbook pipeline")
    context: int | None = Field(
        None,
        ge=1,
        le=LONGEST_CONTEXT,
        description="steps of history before a forecast; without --reach, the LSTM reads them all",
    )
    reach: int | None = Field(
        None, ge=1, le=LONGEST_CONTEXT, description="newest steps of the context that the LSTM reads"
    )
    segment: int | None = Field(
        None,
        ge=1,
        le=LONGEST_CONTEXT,
        description="steps the LSTM reads at once; half of the networks may read a quarter",
    )
    seasons: Seasons | None = Field(None, description="season lengths, in steps, of the simple forecasts to start from")
    scaling: Scaling | None = Field(None, description="how values are scaled before the network reads them")
    logs: bool | None = Field(None, description="true: half of the networks read logarithms")
    gated: bool | None = Field(None, description="true: the mixture of simple forecasts depends on the window")
    intermittent: bool | None = Field(
        None, description="true: the target is often zero, and the median of the context is a simple forecast too"
    )
    adjusted: bool | None = Field(
        None, description="true: the LSTM reads seasonally adjusted values beside the values themselves"
    )
    winsorized: bool | None = Field(None, description="true: spikes in what the networks read are cut off")
    skip: bool | None = Field(None, description="true: add a linear path from what the LSTM reads to the horizon")
    plain: bool | None = Field(None, description="true: half of the networks learn nothing but the mixture")
    members: int | None = Field(
        None, ge=1, le=1_000, description="networks to train and average; default: 4, fewer if time is short"
    )
    hidden: int | None = Field(None, ge=1, le=1_000_000, description="units of the LSTM")
    layers: int = Field(1, ge=1, le=1_000, description="layers of the LSTM")
    dropout: float | None = Field(None, ge=0, lt=1, description="share of features dropped while training")
    calendar: bool | None = Field(None, description="true: the networks read day, week, month and year")
    clock: bool | None = Field(
        None, description="true: what repeats does so at the same hour of the clock when the clocks change"
    )
    series_embedding: bool = Field(False, description="learn an embedding of each series; a new one gets the average")

    @property
    def history(self) -> int:
        """Steps a training window must have before its horizon: a season, if most series have it, but two at least.

        One value shows no unit to measure errors in, and learning from such windows makes all others worse.
        """
        return max((2, *(self.seasons or ())))


class TrainingSettings(Settings):
    """The loop."""

    seed: int = Field(1, ge=0, lt=2**64, description="seed of every random number")
    device: Literal["auto", "cpu", "cuda", "mps"] = Field("auto", description="where to train")
    time_limit: Seconds = Field(
        600.0,
        gt=0,
        description="longest training, both stages together, such as 90s, 10m or 1h; "
        "reading and testing come on top; default: 10m",
    )
    epochs: int = Field(20, ge=1, description="most epochs of training")
    steps: int | None = Field(None, ge=1, description="batches per epoch; default: 50 to 200, fewer on little data")
    batch: int | None = Field(None, ge=1, description="windows per batch; default: 64, or 128 on much data")
    synthetic: int | None = Field(
        None, ge=0, description="windows of a batch that are synthetic; default: what a small table leaves unfilled"
    )
    by_series: bool | None = Field(
        None, description="true: errors are scaled by the mean absolute deviation of the series; false: of the window"
    )
    precision: Literal["float32", "bf16"] = Field(
        "float32", description="of the LSTM's products in training; bf16: faster where the processor or GPU has it"
    )
    rate: float = Field(2e-3, gt=0, description="highest learning rate of the one-cycle schedule")
    patience: int = Field(12, ge=1, description="epochs without a better validation loss before training stops")
    test: float = Field(0.15, gt=0, lt=0.5, description="share of each series held back for the test")
    baselines: Seconds = Field(
        default_factory=lambda given: min(30.0, given["time_limit"]),
        ge=0,
        description="time limit for AutoTheta, AutoETS and AutoARIMA in a test; default: 30s, or --time-limit if less",
    )
    checkpoint_every: Seconds = Field(
        30.0, ge=0, description="time between checkpoints, which gatecast fit --resume starts from; default: 30s"
    )
    refit: bool = Field(True, description="train the final weights on all rows after the test")
