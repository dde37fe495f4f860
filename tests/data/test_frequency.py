import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from frequencies import FREQUENCIES
from gatecast.data.dates import Grid
from gatecast.data.frequency import HOUR, Frequency
from gatecast.errors import UsageError

PROPERTY = settings(deadline=None, max_examples=100)


@pytest.mark.parametrize("unit", FREQUENCIES)
@PROPERTY
@given(data=st.data())
def test_a_frequency_is_read_back_from_its_text(unit, data):
    frequency = data.draw(FREQUENCIES[unit])
    assert Frequency.parse(str(frequency)) == frequency


@pytest.mark.parametrize(
    ("aliases", "frequency"),
    [
        ("s S sec 1s", Frequency("second", 1)),
        ("15min 15T 900s", Frequency("second", 900)),
        ("min T PER_MINUTE", Frequency("second", 60)),
        ("h H HOURLY 60min", Frequency("second", HOUR)),
        ("4h 4H 240min", Frequency("second", 4 * HOUR)),
        ("D DAILY 24h 1440min 86400s", Frequency("day", 1)),
        ("B", Frequency("business day", 1, days="B")),
        ("W W-SUN WEEKLY W-sun", Frequency("day", 7, 3)),  # 1970-01-04 was a Sunday
        ("W-MON", Frequency("day", 7, 4)),
        ("2W-THU", Frequency("day", 14, 0)),
        ("MS MONTHLY", Frequency("month", 1)),
        ("ME M", Frequency("month", 1, 0, end=True)),
        ("QS QUARTERLY QS-JAN QS-OCT", Frequency("month", 3)),
        ("QS-FEB", Frequency("month", 3, 1)),
        ("QE Q QE-DEC Q-MAR", Frequency("month", 3, 0, end=True)),
        ("QE-JAN", Frequency("month", 3, 1, end=True)),
        ("YS AS YEARLY YS-JAN", Frequency("month", 12)),
        ("YS-APR AS-APR", Frequency("month", 12, 3)),
        ("YE Y A A-DEC", Frequency("month", 12, 0, end=True)),
        ("YE-JUN", Frequency("month", 12, 6, end=True)),
        ("h+900s", Frequency("second", HOUR, 900)),
        ("3D+2D", Frequency("day", 3, 2)),
        ("C", Frequency("business day", 1, days="C")),
        ("bh BH", Frequency("business hour", 1, days="B")),
        ("2cbh", Frequency("business hour", 2, days="C")),
        ("SMS", Frequency("half month", 1)),
        ("SME SM", Frequency("half month", 1, end=True)),
        ("BMS", Frequency("month", 1, days="B")),
        ("CBME CBM", Frequency("month", 1, 0, end=True, days="C")),
        ("BQE BQ BQE-DEC", Frequency("month", 3, 0, end=True, days="B")),
        ("BYS-APR BAS-APR", Frequency("month", 12, 3, days="B")),
        ("2QS+3MS", Frequency("month", 6, 3)),
    ],
)
def test_aliases_of_pandas_and_bigquery(aliases, frequency):
    assert {Frequency.parse(alias) for alias in aliases.split()} == {frequency}


ALIASES = "s 90s min 15min h 4h D 3D 3D+2D W-SUN 2W-MON 2W-THU+7D MS 2MS ME QS-JAN QE-DEC QE-JAN YS-JAN YE-JUN B 2B C "
ALIASES += "bh 3bh cbh SMS SME 2SME+1D BMS CBME BQE-DEC CBYS-APR h+900s 2QS-JAN+3MS"


@pytest.mark.parametrize("alias", ALIASES.split())
def test_a_frequency_is_told_by_its_alias(alias):
    assert str(Frequency.parse(alias)) == str(Grid(Frequency.parse(alias), None, "US")) == alias
    assert str(Frequency.parse("48h")) == "2D"


NOT_A_FREQUENCY = "fortnightly 0h 0D 0W 0MS -1h h5 1.5h ms us MS-JAN D-MON h-MON W-JAN QS-MON W- h+900 h+1D W+1MS +1s"


NOT_A_FREQUENCY += " BD CD BW BSMS SMS-JAN B-MON"


@pytest.mark.parametrize("text", ["", "2 h", "9" * 30 + "D", "9" * 5_000 + "h", *NOT_A_FREQUENCY.split()])
def test_no_frequency(text):
    with pytest.raises(UsageError, match="frequency"):
        Frequency.parse(text)


def test_seasons():
    expected = {
        "s": (60, 3_600, 86_400, 604_800, 31_556_952),
        "10s": (360, 8_640, 60_480, 3_155_695),
        "min": (60, 1_440, 10_080, 525_949),
        "5min": (288, 2_016, 105_190),
        "15min": (96, 672, 35_063),
        "h": (24, 168, 8_766),
        "7min": (1_440, 75_136),  # divides a week but no day
        "4h": (6, 42, 2_191),
        "D": (7, 365),
        "B": (5, 261),
        "2B": (),
        "bh": (8, 40, 2_088),
        "SMS": (24,),
        "BME": (12,),
        "W-MON": (52,),
        "MS": (12,),
        "QE": (4,),
        "YS": (),
    }
    assert {alias: Frequency.parse(alias).seasons for alias in expected} == expected


@pytest.mark.parametrize(
    ("freq", "steps", "told"),
    [
        ("30min", 48, "1 day"),
        ("30min", 43, "21.5 hours"),
        ("30min", 336, "7 days"),
        ("h", 1, "1 hour"),
        ("s", 0.5, "0.5 seconds"),
        ("15min", 3, "45 minutes"),
        ("B", 5, "7 days"),
        ("MS", 18, "1.5 years"),
        ("YS", 1234567, "1.23e+06 years"),
        ("YS", 1, "1 year"),
    ],
)
def test_how_long_steps_last_in_words(freq, steps, told):
    assert Frequency.parse(freq).spell(steps) == told
