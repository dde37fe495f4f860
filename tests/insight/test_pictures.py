"""The four figures show the numbers they were given, under one another in time."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest
import torch
from matplotlib.dates import date2num
from matplotlib.text import Text

from gatecast.data.dates import Frequency
from gatecast.insight import gates as gates_of_insight
from gatecast.insight import pictures
from gatecast.insight.attribution import Attribution
from gatecast.insight.gates import Gates
from gatecast.nn.lstm import Trace

STEPS = np.arange(90, 114)  # ten steps before the series begins
HORIZON = 3
WINDOW = np.arange(90, 114 + HORIZON)


@pytest.fixture(params=["h", "D"])
def panel(request, make_panel):
    return make_panel(np.arange(40.0), starts=[100], freq=request.param)


@pytest.fixture
def gates():
    """Two layers, four segments of six steps, three units; unit 2 of the last layer remembers longest."""
    chance = torch.Generator().manual_seed(0)
    i, f, o, g = torch.rand(4, 2, 1, 4, 3, generator=chance)
    f[1] = torch.tensor([0.5, 0.1, 0.9])
    return Gates(STEPS, 6, Trace(i, f, o, 2 * g - 1, 4 * g - 2, g), torch.tensor([1.0, 1, 3, 1]))


def test_gates_stand_under_the_series_on_one_axis(panel, gates):
    axes = pictures.gates_figure(panel, 0, gates).axes
    (shown,) = axes[0].lines
    assert np.isnan(shown.get_ydata()[:10]).all()
    assert shown.get_ydata()[10:].tolist() == list(range(14))
    assert axes[0].get_title(loc="left") == "s0: read in 4 recurrent steps, 6 steps in each"
    names = ["Forget gate", "Input gate", "Output gate", "Candidate", "Cell state"]
    assert [part.get_title(loc="left").split(":")[0] for part in axes[1:6]] == names
    times = date2num(panel.grid.wall(np.append(STEPS, 114)))
    for part, name in zip(axes[1:6], "fiogc", strict=True):
        (image,) = part.images
        order = [2, 0, 1]  # the longest memory on top
        assert np.asarray(image.get_array()) == pytest.approx(getattr(gates.trace, name)[1, 0].numpy().T[order])
        assert image.get_extent()[:2] == pytest.approx((times[0], times[-1]))
        low, high = image.get_clim()
        assert (low, high) == ((0, 1) if name in "fio" else (-high, high))
        (event,) = part.patches
        assert (event.get_x(), event.get_x() + event.get_width()) == pytest.approx((times[12], times[18]))


def test_half_lives_fall_and_are_coloured_by_what_is_followed(gates):
    axes = pictures.half_lives_figure(
        gates, [None, ("level", 0.9), None, None, ("hour", 0.9), None], Frequency.parse("h")
    ).axes[0]
    lives = gates.half_lives.flatten().numpy()
    found = {part.get_label(): part.get_offsets() for part in axes.collections}
    assert set(found) == {"follows none of these", "follows the level", "follows the hour"}
    place = np.argsort(-lives).tolist()
    for name, unit in (("level", 1), ("hour", 4)):
        assert found[f"follows the {name}"].tolist() == [[place.index(unit) + 1, pytest.approx(lives[unit])]]
    assert len(found["follows none of these"]) == 4
    told = [text.get_text() for text in axes.texts]
    assert told[0] == "1 day: what the LSTM reads"
    assert told[1].endswith("half of the units forget faster")
    assert "6 hours" in [label.get_text() for label in axes.get_yticklabels()]


def test_lives_that_are_about_as_long_have_a_scale_too(gates):
    gates.trace.f[:] = torch.tensor([0.70, 0.71, 0.72])  # half-lives of 12 to 13 days
    axes = pictures.half_lives_figure(gates, [None] * 6, Frequency.parse("D")).axes[0]
    low, high = axes.get_ylim()
    labels = [label.get_text() for label in axes.get_yticklabels()]
    assert [low < tick < high for tick in axes.get_yticks()] == [True] * 3
    assert [label.split()[1] for label in labels] == ["days"] * 3


def test_what_is_followed_has_a_colour_of_its_own():
    names = [*gates_of_insight.PLACES.values(), "level", "trend"]
    assert len({pictures.FOLLOWED[name] for name in names} | {pictures.QUIET}) == len(names) + 1


def test_where_nothing_is_followed_there_is_no_legend(gates):
    axes = pictures.half_lives_figure(gates, [None] * 6, Frequency.parse("h")).axes[0]
    assert axes.get_legend() is None


def test_where_all_units_follow_something_none_is_said_to_follow_nothing(gates):
    axes = pictures.half_lives_figure(gates, [("hour", 0.9)] * 6, Frequency.parse("h")).axes[0]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["follows the hour"]


@pytest.mark.parametrize(("near", "sides"), [(0.83, ["bottom", "top"]), (0.1, ["bottom", "bottom"])])
def test_labels_of_lines_that_are_near_do_not_overlap(gates, near, sides):
    """With a forget gate of 0.83 half of a state is gone after 22 steps; the LSTM reads 24."""
    gates.trace.f[:] = near
    axes = pictures.half_lives_figure(gates, [None] * 6, Frequency.parse("h")).axes[0]
    assert [text.get_va() for text in axes.texts] == sides


@pytest.mark.parametrize("at", [0, 23])
def test_what_is_said_of_the_event_stays_within_the_axes(panel, at):
    trace = Trace(*torch.full((6, 1, 1, 24, 3), 0.5))
    figure = pictures.gates_figure(panel, 0, Gates(STEPS, 1, trace, torch.eye(24)[at] * 4 + 1))
    figure.draw_without_rendering()
    (told,) = figure.axes[0].texts
    box, axes = told.get_window_extent(), figure.axes[0].get_window_extent()
    assert axes.x0 - 1 <= box.x0 < box.x1 <= axes.x1 + 1


def test_a_long_name_is_cut_and_takes_no_room(make_panel, gates):
    panel = replace(make_panel(np.arange(40.0), starts=[100]), keys=pa.table({"name": ["long " * 40]}))
    figure = pictures.gates_figure(panel, 0, gates)
    figure.draw_without_rendering()
    title = figure.axes[0].get_title(loc="left")
    assert title == ("long " * 12)[:45] + "…: read in 4 recurrent steps, 6 steps in each"
    (drawn,) = figure.axes[0].findobj(lambda part: isinstance(part, Text) and part.get_text() == title)
    assert drawn.get_window_extent().x1 < figure.bbox.x1


def test_one_recurrent_step_is_no_plural(panel):
    gates = Gates(STEPS, 24, Trace(*torch.full((6, 1, 1, 1, 3), 0.5)), torch.ones(1))
    title = pictures.gates_figure(panel, 0, gates).axes[0].get_title(loc="left")
    assert title == "s0: read in 1 recurrent step, 24 steps in each"


def test_many_covariates_stand_upright_beside_the_shares(panel):
    context, ahead = torch.arange(HORIZON * 24.0).reshape(HORIZON, 24), torch.ones(3)
    covariates = {name: torch.tensor([1.0, 1, 2]) for name in ("week", "month", "year", "promotion")}
    for count, turned in ((2, 0), (4, 90)):
        some = dict([*covariates.items()][:count])
        found = Attribution(context, some, ahead, 0 * ahead, 1, 6, 0, 1)
        small = pictures.attribution_figure(panel, 0, WINDOW, found).axes[-1]
        assert [label.get_rotation() for label in small.get_xticklabels()] == [turned] * count


@pytest.mark.parametrize(("others", "title"), [(("day", "week"), "calendar"), (("day", "price"), "other inputs")])
def test_what_is_beside_the_context_is_called_what_it_is(panel, others, title):
    ahead = torch.ones(3)
    found = Attribution(torch.ones(HORIZON, 24), dict.fromkeys(others, ahead), ahead, 0 * ahead, 1, 6, 0, 1)
    small = pictures.attribution_figure(panel, 0, WINDOW, found).axes[-1]
    assert small.get_title(loc="left") == title
    assert [label.get_text() for label in small.get_xticklabels()] == [*others]


def test_dollars_in_names_are_no_formulas(make_panel, gates):
    panel, ahead = make_panel(np.arange(40.0), starts=[100]), torch.ones(3)
    panel = replace(panel, keys=pa.table({"name": ["US$ $_{"]}))
    found = Attribution(torch.ones(HORIZON, 24), {"$_{ $": ahead}, ahead, 0 * ahead, 1, 6, 0, 1)
    for figure in (pictures.gates_figure(panel, 0, gates), pictures.attribution_figure(panel, 0, WINDOW, found)):
        figure.draw_without_rendering()  # which reads formulas
        assert figure.axes[0].get_title(loc="left").startswith("US$ $_{: ")


def test_what_never_forgets_is_drawn_at_ten_contexts(gates):
    gates.trace.f[0] = 1.0
    axes = pictures.half_lives_figure(gates, [None] * 6, Frequency.parse("h")).axes[0]
    assert axes.collections[0].get_offsets()[:3, 1].tolist() == [240] * 3
    assert "this long, or longer" in [text.get_text() for text in axes.texts]


@pytest.mark.parametrize("most", [40, 1500, 9000], ids=["short", "long", "longer than is drawn"])
def test_words_of_half_lives_touch_no_dot(most):
    """Of 64 units that read 168 steps, half remember as long as the first, the others ever less."""
    lives = torch.cat([torch.full((32,), float(most)), torch.logspace(np.log10(most), np.log10(most / 50), 32)])
    trace = Trace(*(0.5 ** (24 / lives)).expand(6, 1, 1, 7, 64))
    following = [None, *((name, 0.9) for name in pictures.FOLLOWED)] * 10
    gates = Gates(np.arange(168), 24, trace, torch.ones(7))
    figure = pictures.half_lives_figure(gates, following[:64], Frequency.parse("h"))
    figure.draw_without_rendering()
    axes, radius = figure.axes[0], figure.dpi / 72 * 2
    assert axes.get_window_extent().width > 0.85 * figure.bbox.width  # the legend leaves it its room
    dots = np.concatenate([axes.transData.transform(part.get_offsets()) for part in axes.collections])
    boxes = [text.get_window_extent().padded(radius) for text in axes.texts]
    assert [box.contains(*dot) for box in boxes for dot in dots].count(True) == 0
    assert all(box.y1 < axes.get_window_extent().y1 + 2 * radius for box in boxes)


def test_a_small_state_is_not_shown_as_none(panel, gates):
    gates.trace.c[:] = 0.012
    labels = [label.get_text() for label in pictures.gates_figure(panel, 0, gates).axes[-1].get_yticklabels()]
    assert labels == ["−0.012", "+0.012"]


@pytest.mark.parametrize("covariates", [{}, {"day": torch.tensor([1.0, 1, 2])}], ids=["none", "day"])
def test_attribution_stands_under_series_and_forecast(panel, covariates):
    context = torch.arange(HORIZON * 24.0).reshape(HORIZON, 24) - 30
    forecast, flat = torch.tensor([1.0, 2, 3]), torch.zeros(3)
    found = Attribution(context, covariates, forecast, flat, 1, 6, 0, 1)
    whole, share, each, *others = pictures.attribution_figure(panel, 0, WINDOW, found).axes
    observed, ahead, level = whole.lines
    assert observed.get_ydata()[10:].tolist() == list(range(14))
    assert (ahead.get_ydata().tolist(), level.get_ydata().tolist()) == ([1, 2, 3], [0, 0, 0])
    times = date2num(panel.grid.wall(np.arange(90, 117)))
    assert date2num(ahead.get_xdata()) == pytest.approx(times[24:])
    bars = [bar.get_height() for bar in share.patches]
    assert bars == pytest.approx((100 * found.shares[0]).tolist())
    assert [bar.get_x() for bar in share.patches] == pytest.approx(times[[0, 6, 12, 18]])
    (image,) = each.images
    assert np.asarray(image.get_array()) == pytest.approx(found.segments.numpy())
    assert image.get_extent() == pytest.approx([times[0], times[24], 3.5, 0.5])
    assert all(step == round(step) for step in each.get_yticks())
    assert len({part.get_xlim() for part in (whole, share, each)}) == 1
    assert [bar.get_height() for part in others for bar in part.patches] == pytest.approx(
        [100 * share for share in found.shares[1].values()]
    )
    assert sum(bars) + sum(100 * part for part in found.shares[1].values()) == pytest.approx(100)


@pytest.mark.parametrize(
    ("count", "enough", "alike", "told"),
    [
        (5, 24, True, "with 24 (1 day) it does as well"),
        (5, 24, False, "with 24 (1 day) it is not measurably worse"),
        (20, 0, False, "none helps measurably"),
        (5, 48, True, "all are used"),
    ],
)
def test_the_curve_of_memory(count, enough, alike, told):
    kept = np.arange(count) * 12
    if count > 5:
        kept[1:4] = [1, 2, 4]
    curves = {"shuffled": np.linspace(50, 90, count).tolist(), "hidden": [float("nan"), *[80] * (count - 1)]}
    memory = SimpleNamespace(kept=kept, accuracy=curves, enough=enough, alike=alike, few=False)
    axes = pictures.memory_figure(memory, Frequency.parse("h")).axes[0]
    shuffled, hidden, mark = axes.lines
    assert shuffled.get_xdata().tolist() == kept.tolist()
    assert list(shuffled.get_ydata()) == curves["shuffled"]
    assert list(hidden.get_ydata()) == pytest.approx(curves["hidden"], nan_ok=True)
    assert list(mark.get_xdata()) == [enough] * 2
    assert axes.get_legend().get_texts()[2].get_text() == told
    labels = [label.get_text() for label in axes.get_xticklabels()]
    assert labels[0] == "none"
    assert "24\n1 day" in labels or "48\n2 days" in labels
    assert len(labels) <= 10
    ticks = axes.get_xticks()
    assert np.diff(ticks).min() >= kept[-1] / 9  # room for the labels
    assert (ticks[0], ticks[-1]) == (0, kept[-1])
    memory.few = True
    assert len(pictures.memory_figure(memory, Frequency.parse("h")).axes[0].lines) == 2


@pytest.mark.parametrize(("curve", "low", "high"), [((98.2409, 98.2411), 97.741, 98.741), ((60, 90), 58.5, 91.5)])
def test_no_difference_looks_like_none(curve, low, high):
    accuracy = {"shuffled": [*curve], "hidden": [float("nan"), curve[1]]}
    memory = SimpleNamespace(kept=np.array([0, 12]), accuracy=accuracy, enough=0, alike=False, few=True)
    axes = pictures.memory_figure(memory, Frequency.parse("h")).axes[0]
    assert axes.get_ylim() == pytest.approx((low, high))
