import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gatecast.data.scaling import FLAT_SCALE, HUGE, MAX_GROWTH, MIN_OBSERVED, SCALINGS, Scaler, flat, log, moves
from gatecast.nn.masks import EVERY

PROPERTY = settings(deadline=None, max_examples=60)
NAMES = list(SCALINGS)
NAN, INFINITY = float("nan"), float("inf")

numbers = st.floats(-1e6, 1e6).map(lambda number: round(number, 3))
rows = st.lists(st.tuples(numbers, st.booleans()), min_size=1, max_size=40)


def tensors(row):
    """Values and mask of one window."""
    values, observed = zip(*row, strict=True)
    return torch.tensor([values], dtype=torch.float64), torch.tensor([observed])


def all_seen(*values, dtype=torch.float64):
    return torch.tensor([values], dtype=dtype), torch.ones(1, len(values), dtype=torch.bool)


@pytest.mark.parametrize("name", NAMES)
@PROPERTY
@given(rows)
def test_scaling_is_undone_exactly(name, row):
    values, observed = tensors(row)
    loc, scale = SCALINGS[name](values, observed)
    assert scale.isfinite().all()
    assert (scale > 0).all()
    torch.testing.assert_close((values - loc) / scale * scale + loc, values, rtol=1e-12, atol=1e-9)


@pytest.mark.parametrize("name", NAMES)
@PROPERTY
@given(rows, st.sampled_from([NAN, INFINITY, -INFINITY, 1e300, -1e300, 0.0]))
def test_what_is_not_observed_changes_nothing(name, row, hidden):
    values, observed = tensors(row)
    scaled = SCALINGS[name](values, observed)
    assert all(map(torch.equal, scaled, SCALINGS[name](values.masked_fill(~observed, hidden), observed)))


@PROPERTY
@given(rows.filter(lambda row: np.ptp([value for value, seen in row if seen] or [0]) > 1))
def test_values_agree_with_numpy(row):
    values, observed = tensors(row)
    seen = values[observed].numpy()
    low, median, high = np.percentile(seen, [25, 50, 75])
    expected = {
        "minmax": (seen.min(), np.ptp(seen)),
        "standard": (seen.mean(), seen.std()),
        "robust": (median, high - low if high > low else abs(median) or 1),
        "window": (seen.mean(), np.abs(seen - seen.mean()).mean()),
    }
    for name, estimate in SCALINGS.items():
        if expected[name][1] > 2e-6 * abs(expected[name][0]):
            found = [part.item() for part in estimate(values, observed)]
            assert found == pytest.approx(expected[name], rel=1e-9, abs=1e-9)


@PROPERTY
@given(rows.filter(lambda row: np.ptp([value for value, seen in row if seen] or [0]) > 1))
def test_minmax_fills_zero_to_one(row):
    values, observed = tensors(row)
    loc, scale = SCALINGS["minmax"](values, observed)
    scaled = ((values - loc) / scale)[observed]
    assert (scaled.min().item(), scaled.max().item()) == (0, pytest.approx(1, abs=1e-12))


def test_minmax_of_negative_values_beside_a_masked_one():
    values, observed = torch.tensor([[-5.0, 7.0, -3.0]]), torch.tensor([[True, False, True]])
    assert [part.item() for part in SCALINGS["minmax"](values, observed)] == [-5, 2]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("length", [1, 3, 4])
@pytest.mark.parametrize("level", [0.0, 5.0, -5.0, 0.1, 1e6, 1e-9])
def test_a_constant_is_scaled_by_its_level(name, level, length):
    values, observed = all_seen(*[level] * length, dtype=torch.float32)
    loc, scale = SCALINGS[name](values, observed)
    assert loc.item() == pytest.approx(level, rel=1e-6)
    unit = FLAT_SCALE if name == "window" and level and length >= MIN_OBSERVED else 1  # thousandths: nothing moved
    assert scale.item() == pytest.approx(unit * (abs(level) or 1), rel=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_rounding_noise_of_float32_is_no_spread(name):
    values, observed = all_seen(1e6, 1e6 + 0.0625, 1e6, 1e6 + 0.125, dtype=torch.float32)
    loc, scale = SCALINGS[name](values, observed)
    assert scale.item() == pytest.approx(FLAT_SCALE * 1e6 if name == "window" else 1e6)
    assert ((values - loc) / scale).abs().max() < 1e-3


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("hidden", [NAN, 7.0])
def test_nothing_observed_is_left_as_it_is(name, hidden):
    values, observed = torch.full((2, 3), hidden), torch.zeros(2, 3, dtype=torch.bool)
    loc, scale = SCALINGS[name](values, observed)
    assert (loc.tolist(), scale.tolist()) == ([[0], [0]], [[1], [1]])


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("size", [1e-30, 1e-6, 1.0, 1e6, 1e30])
def test_values_of_any_size_come_near_the_unit_range(name, size):
    values, observed = all_seen(-size, size, -size / 2, size / 2, 0.0, 1e30, dtype=torch.float32)
    observed[:, -1] = False
    loc, scale = SCALINGS[name](values, observed)
    assert 0.5 <= ((values - loc) / scale)[observed].abs().max() <= 2


@pytest.mark.parametrize("name", NAMES)
def test_rows_are_scaled_apart(name):
    values = torch.tensor([[1.0, 2.0, 4.0, 3.0], [1e-30, 3e-30, NAN, 2e-30], [1e30, 3e30, NAN, 0], [5.0] * 4])
    both = SCALINGS[name](values, ~values.isnan())
    alone = [SCALINGS[name](row, ~row.isnan()) for row in values.split(1)]
    assert [part.flatten().tolist() for part in both] == [[row[i].item() for row in alone] for i in (0, 1)]
    folded = values.reshape(2, 2, 4)
    assert all(map(torch.equal, SCALINGS[name](folded, ~folded.isnan()), [part.reshape(2, 2, 1) for part in both]))


def test_an_outlier_does_not_move_robust():
    calm, wild = (SCALINGS["robust"](*all_seen(1.0, 2.0, 3.0, 4.0, last)) for last in (5.0, 1e9))
    assert calm == wild == (torch.tensor([[3.0]]), torch.tensor([[2.0]]))


@pytest.mark.parametrize("name", ["minmax", "standard", "robust"])
def test_a_scaler_fixed_on_each_series_does_not_read_the_window(name):
    history = [torch.tensor([1.0, NAN, 2.0, 5.0]), torch.tensor([10.0, 40.0]), torch.tensor([NAN, NAN])]
    scaler = Scaler.fit(name, history)
    assert scaler.name == name
    context, observed = torch.randn(4, 6), torch.ones(4, 6, dtype=torch.bool)
    unit = scaler.to(torch.device("cpu"))(context, observed, torch.tensor([2, 0, 1, 0]))
    loc, scale = unit.loc, unit.scale
    expected = [SCALINGS[name](history[i][None], ~history[i].isnan()[None]) for i in (2, 0, 1, 0)]
    assert torch.equal(loc, torch.cat([part[0] for part in expected]))
    assert torch.equal(scale, torch.cat([part[1] for part in expected]))
    assert (loc[0].item(), scale[0].item()) == (0, 1)


@pytest.mark.parametrize("name", ["minmax", "standard", "robust"])
def test_a_series_without_rows_is_left_as_it_is(name):
    loc, scale = Scaler.fit(name, [torch.tensor([]), torch.tensor([3.0, 7.0])]).fixed
    assert (loc[0].item(), scale[0].item()) == (0, 1)
    assert torch.equal(loc[1:], SCALINGS[name](*all_seen(3.0, 7.0, dtype=torch.float32))[0])


@pytest.mark.parametrize("name", ["minmax", "standard", "robust"])
def test_a_series_whose_scale_is_not_fixed_is_scaled_by_its_window(name):
    fixed = torch.tensor([[2.0], [NAN]]), torch.tensor([[4.0], [NAN]])
    context, observed = (
        torch.tensor([[1.0, 3.0, 8.0], [5.0, 9.0, NAN]]),
        torch.tensor([[True] * 3, [True, True, False]]),
    )
    unit = Scaler(name, fixed)(context, observed, torch.tensor([0, 1]))
    own = SCALINGS[name](context[1:], observed[1:])
    assert (unit.loc.tolist(), unit.scale.tolist()) == ([[2], own[0][0].tolist()], [[4], own[1][0].tolist()])
    assert unit.scaled(context)[0].tolist() == [-0.25, 0.25, 1.5]
    assert unit.values(torch.tensor([[[-0.25, 1.5]], [[0.0, 1.0]]]))[0].tolist() == [[1, 8]]


def test_a_scaler_goes_to_a_device_as_a_whole():
    scaler = Scaler.fit("minmax", [torch.tensor([3.0, 7.0])]).to(torch.device("meta"))
    assert {part.device.type for part in scaler.fixed} == {"meta"}
    assert Scaler("window").to(torch.device("meta")) == Scaler("window")


def test_a_scaler_of_windows_reads_each_window():
    scaler = Scaler.fit("window", [torch.tensor([1e6, 2e6])])
    context, observed = torch.tensor([[1.0, 3.0, 100.0], [5.0, 5.0, 5.0]]), torch.tensor([[True, True, False]] * 2)
    unit = scaler.to(torch.device("cpu"))(context, observed, torch.tensor([0, 0]))
    assert (unit.loc.tolist(), unit.scale.tolist()) == ([[2], [5]], [[1], [5]])


@PROPERTY
@given(rows, st.sampled_from([1e-20, 1.0, 1e20]))
def test_logarithms_are_undone_whatever_the_sign(row, size):
    values, observed = tensors(row)
    values = size * values
    unit = Scaler("window")(values, observed, torch.tensor([0]), logs=True)
    back = unit.values(unit.scaled(values)[..., None])[..., 0]
    torch.testing.assert_close(back[observed], values[observed], rtol=1e-9, atol=1e-9 * size)
    ordered = unit.scaled(values)[observed][values[observed].argsort()]
    assert (ordered.diff() >= 0).all()


def test_logarithms_are_those_of_values_far_above_zero():
    values, observed = all_seen(10.0, 20.0, 40.0, 80.0)
    unit = Scaler("window")(values, observed, torch.tensor([0]), logs=True)
    assert unit.scaled(values).diff().numpy() == pytest.approx(
        np.ones((1, 3)), rel=0.01
    )  # ln 2, of which the mean distance from the mean is one
    assert unit.loc.item() == pytest.approx((2 * values / unit.small).log().mean().item(), rel=1e-3)


@pytest.mark.parametrize("largest", [0.0, 1e-30, 3.0, 1e30])
def test_logarithms_give_back_a_hundred_times_the_largest_value_at_most(largest):
    values, observed = torch.tensor([[0.0, largest / 3, -largest, 1e35]]), torch.tensor([[True, True, True, False]])
    unit = Scaler("window")(values, observed, torch.tensor([0]), logs=True)
    ends = unit.values(torch.tensor([[[-torch.inf, -1e9, 1e9, torch.inf]]]))[0, 0]
    most = MAX_GROWTH * (largest or 1)
    assert ends.tolist() == pytest.approx([-most, -most, most, most], rel=1e-4)
    inside = 99 * torch.tensor([[largest, -largest]])
    assert unit.values(unit.scaled(inside)[..., None])[..., 0].tolist() == [pytest.approx(inside[0].tolist(), rel=1e-3)]


def test_each_window_has_its_own_largest_value():
    values = torch.tensor([[1.0, -3.0, 2.0, 1.0], [500.0, 1_000.0, 0.0, 700.0]])
    unit = Scaler("window")(values, torch.ones_like(values, dtype=torch.bool), torch.tensor([0, 1]), logs=True)
    ends = unit.values(torch.full((2, 1, 1), 1e6))[:, 0, 0]
    assert ends.tolist() == pytest.approx([300, 100_000], rel=1e-4)


def test_logarithms_begin_at_a_hundredth_of_the_mean_size():
    values, observed = torch.tensor([[2e-6, -4e-6, 7.0], [200.0, 400.0, 7.0]]), torch.tensor([[True, True, False]] * 2)
    unit = Scaler("window")(values, observed, torch.tensor([0, 0]), logs=True)
    assert unit.small.flatten().tolist() == pytest.approx([3e-8, 3.0], rel=1e-6)


@pytest.mark.parametrize("level", [566.0, -0.1])
@pytest.mark.parametrize("length", [1, 3])
def test_the_unit_of_the_logarithms_of_a_short_constant_is_its_level(level, length):
    unit = Scaler("window")(*all_seen(*[level] * length), torch.tensor([0]), logs=True)
    ups = unit.values(torch.tensor([[[0.0, 0.1, 1.0]]]))[0, 0] / level
    rates = [1, math.exp(0.1), math.e] if level > 0 else [1, math.exp(-0.1), math.exp(-1)]
    assert ups.tolist() == pytest.approx(rates, rel=1e-3)


def test_logarithms_of_nothing_but_zeros_are_zeros():
    values, observed = all_seen(0.0, 0.0, 0.0)
    unit = Scaler("window")(values, observed, torch.tensor([0]), logs=True)
    assert unit.small.item() == 1
    assert unit.scaled(values).tolist() == [[0, 0, 0]]
    assert unit.values(torch.zeros(1, 2, 3)).eq(0).all()


def test_flat_is_what_did_not_move_while_it_was_seen():
    values = torch.tensor([[5.0, 5, 5, 5], [5, 5, 5, 6], [0, 0, 0, 0], [9, 5, 5, 5], [-1e6, -1e6, -1e6, -1e6 + 0.0625]])
    observed = torch.ones(5, 4, dtype=torch.bool)
    assert flat(values, observed).tolist() == [True, False, True, False, True]
    assert not flat(values[:, 1:], observed[:, 1:]).any()  # three values are too few to say so
    assert not flat(values, ~observed).any()
    values, observed = torch.tensor([[5.0, 5, 5, 5, 9]]), torch.tensor([[True] * 4 + [False]])
    assert flat(values, observed).tolist() == [True]
    assert flat(values.expand(2, 3, 5), observed.expand(2, 3, 5)).tolist() == [[True] * 3] * 2


@pytest.mark.parametrize("name", NAMES)
@PROPERTY
@given(rows)
def test_a_mask_of_one_value_is_as_one_of_many(name, row):
    values, _ = tensors(row)
    known, looked_at = EVERY.expand(values.shape), torch.ones(values.shape, dtype=torch.bool)
    for found, expected in zip(SCALINGS[name](values, known), SCALINGS[name](values, looked_at), strict=True):
        assert torch.equal(found, expected)
    assert torch.equal(flat(values, known), flat(values, looked_at))
    assert torch.equal(moves(values, known), moves(values, looked_at))


@PROPERTY
@given(rows)
def test_what_moves_is_not_flat_and_was_seen_often_enough(row):
    values, observed = tensors(row)
    enough = observed.sum(-1) >= MIN_OBSERVED
    assert torch.equal(moves(values, observed)[..., 0], enough & ~flat(values, observed))


@PROPERTY
@given(st.lists(st.floats(-(2.0**126), 2.0**126, width=32), min_size=1, max_size=20))
def test_the_logarithm_of_any_size_and_sign_is_asinh(sizes):
    values = torch.tensor(sizes)
    expected = torch.asinh(values.double().clamp(-HUGE, HUGE)).float()
    torch.testing.assert_close(log(values), expected, rtol=3e-7, atol=2e-7)
    assert (log(values)[values == 0] == 0).all()


def test_the_logarithm_has_its_gradient():
    values = torch.tensor([-3.0, 0.0, 0.5, 40.0], requires_grad=True)
    log(values).sum().backward()
    torch.testing.assert_close(values.grad, (values.detach().square() + 1).rsqrt())
