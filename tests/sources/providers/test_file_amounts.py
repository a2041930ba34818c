"""Amounts as bills write them: read exactly, or refused; never read as another number."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from costmon.sources.providers.kinds.file.amounts import Cell, read_amounts
from costmon.sources.providers.kinds.file.problems import BillError
from tests.sources.providers.billing import by_day, read_text, refusal


def one(text: str, mark: str = "", currency: str = "") -> Decimal:
    return read_amounts([Cell("a.csv:2", text)], mark, [currency])[0].value


@pytest.mark.parametrize(
    ("written", "amount"),
    [
        ("1.20", "1.20"),
        ("$1.20", "1.20"),
        ("US$1.20", "1.20"),
        ("1.20 USD", "1.20"),
        ("USD 1.20", "1.20"),
        ("€1.234,56", "1234.56"),
        ("1.234,56 €", "1234.56"),
        ("1,234.56", "1234.56"),
        ("1 234,56", "1234.56"),
        ("1\N{NO-BREAK SPACE}234,56 €", "1234.56"),
        ("1\N{NARROW NO-BREAK SPACE}234,56", "1234.56"),
        ("1'234.56", "1234.56"),
        ("1’234.56 CHF", "1234.56"),
        ("12,34,567.89", "1234567.89"),
        ("₩1,234", "1234"),
        ("￦1,234", "1234"),
        ("1,234원", "1234"),
        ("１，２３４円", "1234"),
        ("1,234,567", "1234567"),
        ("1.234.567", "1234567"),
        ("0,123", "0.123"),
        ("0.123", "0.123"),
        (".5", "0.5"),
        (",5", "0.5"),
        ("1E-7", "0.0000001"),
        ("1.5e-05", "0.000015"),
        ("-1.20", "-1.20"),
        ("\N{MINUS SIGN}1.20", "-1.20"),
        ("(1.20)", "-1.20"),
        ("($1.20)", "-1.20"),
        ("$(1.20)", "-1.20"),
        ("-$1.20", "-1.20"),
        ("$-1.20", "-1.20"),
        ("1.20-", "-1.20"),
        ("1.234,56-", "-1234.56"),
        ("+3", "3"),
        ("0", "0"),
    ],
)
def test_what_is_written_unmistakably_is_read_exactly(written: str, amount: str) -> None:
    assert one(written) == Decimal(amount)


@pytest.mark.parametrize("written", ["1,234", "1.234", "12,345", "999.999", "€1.234", "-1,234", "₩1.234"])
def test_one_mark_before_three_digits_may_be_either(written: str) -> None:
    with pytest.raises(BillError, match=r"a\.csv:2: .* may be .* decimal = "):
        one(written)
    thousands = Decimal(written.strip("€₩").replace(",", "").replace(".", ""))
    point = "," if "." in written else "."
    assert one(written, point) == thousands
    assert one(written, "," if point == "." else ".") == thousands / 1000


@pytest.mark.parametrize(
    "written",
    [
        *(
            "",
            "-",
            "n/a",
            "NaN",
            "Infinity",
            "1,23,4",
            "1.2.3",
            "1,,2",
            "12,34.5",
            "1 23",
            "--1",
            "(-1)",
            "-1-",
        ),
        *(
            "1(2)3",
            "1.20 credits",
            "1.20 kr",
            "$1 €",
            "1e999",
            "1e99",
            "9999999999",
            "0x10",
            "1_000",
            "1/2",
            "5%",
        ),
        "1" * 70,
    ],
)
def test_what_is_no_amount_is_refused_by_place(written: str) -> None:
    with pytest.raises(BillError, match=r"^a\.csv:2: "):
        one(written)


def test_the_other_amounts_of_the_column_decide(tmp_path: Path) -> None:
    text = 'date,cost\n2026-11-03,"$1,234"\n2026-11-04,$0.5\n'
    assert by_day(read_text(tmp_path, text)) == {"2026-11-03": 1234, "2026-11-04": Decimal("0.5")}
    text = "date;cost\n2026-11-03;1,234 €\n2026-11-04;0,5 €\n"
    assert by_day(read_text(tmp_path, text)) == {"2026-11-03": Decimal("1.234"), "2026-11-04": Decimal("0.5")}


def test_a_column_with_both_marks_is_refused(tmp_path: Path) -> None:
    text = "date;cost\n2026-11-03;1,5 €\n2026-11-04;1.5 €\n"
    assert refusal(tmp_path, text) == (
        'bill.csv:2: "1,5 €" has a comma before its decimals, but "1.5 €" (bill.csv:3) a dot; write them alike'
    )


def test_a_currency_without_decimals_settles_the_comma_and_not_the_dot(tmp_path: Path) -> None:
    rows = 'date,amount,currency\n2026-11-03,"1,234",KRW\n'
    assert by_day(read_text(tmp_path, rows)) == {"2026-11-03": 1234}
    assert "may be 1.234 or 1234" in refusal(tmp_path, rows.replace("1,234", "1.234"))


FORMS = {
    "plain": ("", "."),
    "comma": ("", ","),
    "english": (",", "."),
    "euro": (".", ","),
    "french": (" ", ","),
    "narrow": ("\N{NARROW NO-BREAK SPACE}", ","),
    "swiss": ("'", "."),
}
AROUND = ["{}", "${}", "US${}", "{} USD", "usd {}", "{} €", "£{}", "₩{}", "{}원"]


def spell(amount: Decimal, form: str, around: str, minus: str) -> str:
    parting, mark = FORMS[form]
    digits = f"{abs(amount):,f}".replace(",", "_").replace(".", mark).replace("_", parting)
    written = around.format(digits)
    if amount >= 0:
        return written
    return {"before": f"-{written}", "after": f"{written}-", "brackets": f"({written})"}[minus]


AMOUNTS = st.decimals(-(10**8), 10**8, places=9).flatmap(
    lambda value: st.integers(0, 9).map(
        lambda places: round(value, places) if places else Decimal(int(value))
    )
)


@given(
    AMOUNTS,
    st.sampled_from(list(FORMS)),
    st.sampled_from(AROUND),
    st.sampled_from(["before", "after", "brackets"]),
)
def test_an_amount_in_any_form_comes_back_exactly_when_its_mark_is_told(
    amount: Decimal, form: str, around: str, minus: str
) -> None:
    written = spell(amount, form, around, minus)
    assert one(written, FORMS[form][1]) == amount


@given(st.lists(AMOUNTS, min_size=1, max_size=6), st.sampled_from(list(FORMS)), st.sampled_from(AROUND))
def test_a_column_without_a_told_mark_is_read_exactly_or_refused(
    amounts: list[Decimal], form: str, around: str
) -> None:
    cells = [
        Cell(f"a.csv:{at}", spell(amount, form, around, "before")) for at, amount in enumerate(amounts, 2)
    ]
    try:
        read = [found.value for found in read_amounts(cells, "", [""] * len(cells))]
    except BillError as error:
        refused = str(error)
    else:
        refused = ""
        # Where there are no decimals, a comma before three digits parts the thousands, and "₩1,234" is no 1.234 won.
        assert read == amounts or ("," in FORMS[form] and around in ("₩{}", "{}원"))
    assert not refused or "may be" in refused or "write them alike" in refused
