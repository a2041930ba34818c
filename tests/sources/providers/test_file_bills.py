"""One bill: which column says what, what is tax and credit, and that its total is never added to it."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path

import pytest

from tests.sources.providers.billing import by_day, by_line, put, read, read_text, refusal

GOOGLE = """\
Invoice number,5012345678
Invoice month,2026-10

Project name,Service description,SKU description,Cost type,Usage start date,Usage end date,Usage amount,Cost ($)
trader,Gemini API,Flash input tokens,Usage,2026-10-01,2026-10-31,812345,"1,234.50"
trader,Gemini API,Flash output tokens,Usage,2026-10-01,2026-10-31,90210,2.25
,,,Tax,,,,123.68
,,,Credit,,,,-1.00
,,,Total,,,,"1,359.43"
"""


def test_an_invoice_with_lines_above_its_header_and_a_total_below(tmp_path: Path) -> None:
    reading = read_text(tmp_path, GOOGLE)
    assert by_line(reading) == {
        "usage": Decimal("1236.75"),
        "tax": Decimal("123.68"),
        "credit": Decimal("-1.00"),
    }
    assert [(figure.label, figure.project) for figure in reading.figures[:2]] == [
        ("Flash input tokens", "trader"),
        ("Flash output tokens", "trader"),
    ]
    (bucket,) = reading.buckets
    assert (f"{bucket.start:%Y-%m-%d}", f"{bucket.end:%Y-%m-%d}") == ("2026-10-01", "2026-11-01")
    assert not reading.partial
    assert not reading.notes


def test_a_total_that_is_not_the_sum_is_no_bill(tmp_path: Path) -> None:
    assert refusal(tmp_path, GOOGLE.replace("1,359.43", "1,459.43")) == (
        "bill.csv:9: its total of 1459.43 USD is not the sum of its lines"
    )


def test_subtotals_and_a_grand_total_are_not_added(tmp_path: Path) -> None:
    text = "date,service,cost\n2026-11-01,a,$1.50\n2026-11-02,a,$2\n,Subtotal,$3.50\n2026-11-02,b,$4\n,Subtotal,$4\n"
    assert sum(by_day(read_text(tmp_path, f"{text},Grand total,$7.50\n")).values()) == Decimal("7.5")


def test_a_total_rounded_to_cents_is_still_the_sum(tmp_path: Path) -> None:
    text = "date,service,cost\n2026-11-01,a,$0.004\n2026-11-02,a,$0.004\n,합계,$0.01\n"
    assert sum(by_day(read_text(tmp_path, text)).values()) == Decimal("0.008")


SUMS = (
    *(
        "Amount due",
        "Balance due",
        "Total due",
        "Amount due on Dec 3, 2026",
        "Amount due (USD)",
        "Total (USD)",
        "Total in USD",
    ),
    *(
        "TOTAL:",
        "Net",
        "Subtotal",
        "Sub-total",
        "Net amount",
        "Invoice total",
        "Total amount due",
        "Total charges",
        "Total cost",
    ),
    *(
        "Total excluding tax",
        "Total excl. VAT",
        "Total incl. VAT",
        "Total (incl. VAT 10%)",
        "Amount before tax",
        "Total payable",
    ),
    *(
        "합계 금액",
        "합계금액",
        "총액",
        "총 금액",
        "청구 금액",
        "소계",
        "합계 (부가세 제외)",
        "Gesamtbetrag",
        "Zwischensumme",
        "Nettobetrag",
    ),
    *("Total HT", "合計金額", "ご請求額", "税込合計", "总计", "Outstanding balance"),
)
NO_COST = (
    *(
        "Amount paid",
        "Payment received",
        "Payment",
        "Payment - thank you",
        "Payments received on Nov 3",
        "Total paid",
    ),
    *(
        "Starting balance",
        "Ending balance",
        "Opening balance (USD)",
        "Previous balance",
        "Balance forward",
        "Credit balance",
    ),
    *(
        "Account balance as of Nov 1",
        "Balance",
        "Top-up",
        "결제 금액",
        "입금",
        "이월 잔액",
        "전월 미납금",
        "Zahlungseingang",
        "残高",
    ),
)


@pytest.mark.parametrize("word", SUMS)
def test_a_sum_by_any_name_counts_once_and_must_be_one(tmp_path: Path, word: str) -> None:
    text = "date,description,cost\n2026-11-03,gpt-5,$7.00\n2026-11-04,gpt-5-mini,$5.00\n"
    assert by_line(read_text(tmp_path, f'{text}2026-11-04,"{word}",$12.00\n')) == {"usage": 12}
    assert by_line(read_text(tmp_path, f'{text},"{word}",$12.00\n')) == {"usage": 12}
    assert "its total of 13.00 USD is not the sum of its lines" in refusal(
        tmp_path, f'{text},"{word}",$13.00\n'
    )


@pytest.mark.parametrize("word", NO_COST)
@pytest.mark.parametrize("amount", ["-$12.00", "$12.00"])
def test_a_payment_or_a_balance_is_no_cost(tmp_path: Path, word: str, amount: str) -> None:
    text = "date,description,cost\n2026-11-03,gpt-5,$7.00\n2026-11-04,gpt-5-mini,$5.00\n"
    reading = read_text(tmp_path, f'{text}2026-11-19,"{word}",{amount}\n')
    assert by_line(reading) == {"usage": 12}
    assert [f"{bucket.start:%d}" for bucket in reading.buckets] == ["03", "04"]
    assert reading.notes == [
        f'bill.csv has payments or balances, which are no cost and do not count: "{word}"'
    ]
    sentence = refusal(tmp_path, f'date,description,cost\n2026-11-19,"{word}",$12.00\n')
    assert "has nothing but payments and balances" in sentence


@pytest.mark.parametrize(
    "word",
    [
        *(
            "gpt-5 total context",
            "Payment processing fee",
            "Payment API",
            "Balance sheet model",
            "Net search",
            "Subtotals API",
        ),
        *(
            "Sum-9B",
            "Due diligence agent",
            "Deposit photos API",
            "Gross motor model",
            "총액 계산기 API",
            "Total Recall 7B",
        ),
    ],
)
def test_products_with_such_words_are_usage(tmp_path: Path, word: str) -> None:
    text = f"date,description,cost\n2026-11-03,{word},$7.00\n2026-11-04,gpt,$5.00\n"
    assert by_line(read_text(tmp_path, text)) == {"usage": 12}


def test_a_column_of_states_tells_of_no_line(tmp_path: Path) -> None:
    text = "date,description,status,cost\n2026-11-03,gpt,Due,$7.00\n2026-11-04,gpt,Payment,$5.00\n"
    assert by_line(read_text(tmp_path, text)) == {"usage": 12}


def test_a_whole_statement(tmp_path: Path) -> None:
    """What is left to pay is what was used, after what was paid and what was left from before; and it may be due later."""
    text = (
        "date,description,amount\n2026-11-01,Starting balance,$3.00\n2026-11-03,gpt,$10.00\n2026-11-03,VAT 10%,$1.00\n"
        ",Total excluding tax,$10.00\n,Total incl. VAT,$11.00\n2026-11-05,Payment received,{paid}\n"
        "2026-12-15,Amount due,$4.00\n"
    )
    for paid in ("-$10.00", "$10.00"):
        assert by_line(read_text(tmp_path, text.format(paid=paid))) == {"usage": 10, "tax": 1}
    assert "its total of 4.00 USD is not the sum" in refusal(tmp_path, text.format(paid="-$9.00"))


def test_a_sum_of_whole_dollars_is_exact(tmp_path: Path) -> None:
    """Amounts of a currency without decimals may be rounded, each by half of one."""
    text = "date,description,cost\n2026-11-03,gpt,{0}7\n2026-11-04,gpt,{0}5\n,Total,{0}{1}\n"
    assert by_line(read_text(tmp_path, text.format("$", 12))) == {"usage": 12}
    assert "is not the sum" in refusal(tmp_path, text.format("$", 13))
    assert by_line(read_text(tmp_path, text.format("₩", 13))) == {"usage": 12}


def test_total_tax_sums_up_tax_or_is_it(tmp_path: Path) -> None:
    text = "date,description,cost\n2026-11-03,gpt,$10.00\n"
    assert by_line(read_text(tmp_path, f"{text},Total tax,$1.00\n")) == {"usage": 10, "tax": 1}
    state = f"{text}2026-11-03,State tax,$1.00\n2026-11-03,City tax,$2.00\n"
    assert by_line(read_text(tmp_path, f"{state},Total tax,$3.00\n")) == {"usage": 10, "tax": 3}
    assert "its total of 4.00 USD is not the sum" in refusal(tmp_path, f"{state},Total tax,$4.00\n")


def test_a_summary_of_subtotal_tax_and_total(tmp_path: Path) -> None:
    """The subtotal is what was used, but only where the total shows that the tax is on top of it."""
    text = "month,description,amount\n2026-10,Subtotal,$10.00\n2026-10,VAT,$1.00\n2026-10,{word},{total}\n"
    assert by_line(read_text(tmp_path, text.format(word="Total", total="$11.00"))) == {"usage": 10, "tax": 1}
    assert "is not the sum" in refusal(tmp_path, text.format(word="Amount due", total="$10.00"))
    assert "is not the sum" in refusal(
        tmp_path, "month,description,amount\n2026-10,Total,$11.00\n2026-10,VAT,$1.00\n"
    )


def test_an_invoice_of_nothing_but_a_total_is_that_total(tmp_path: Path) -> None:
    assert by_day(read_text(tmp_path, "month,description,amount\n2026-10,Total,$12\n")) == {"2026-10-01": 12}


@pytest.mark.parametrize(
    ("label", "amount", "line"),
    [
        *(
            ("VAT 10%", "1", "tax"),
            ("부가세", "1", "tax"),
            ("消費税", "1", "tax"),
            ("MwSt. 19 %", "1", "tax"),
        ),
        *(("Sales tax", "1", "tax"), ("Tax refund", "-1", "tax"), ("Promotional credit", "-1", "credit")),
        *(("프로모션 할인", "-1", "credit"), ("割引", "-1", "credit"), ("Refund", "-1", "credit")),
        *(("anything below zero", "-1", "credit"), ("Taxonomy API", "1", "usage"), ("gpt-5", "1", "usage")),
        *(("Discovery API", "1", "usage"), ("accreditation check", "1", "usage")),
    ],
)
def test_tax_and_credit_are_known_by_their_words(tmp_path: Path, label: str, amount: str, line: str) -> None:
    text = f"date,description,cost\n2026-11-03,{label},${amount}\n2026-11-03,other,$5\n"
    assert by_line(read_text(tmp_path, text))[line] == Decimal(amount) + (5 if line == "usage" else 0)


def test_a_credit_without_a_minus_is_not_guessed(tmp_path: Path) -> None:
    text = "date,description,cost\n2026-11-03,Promotional credit,$1.20\n"
    assert "bill.csv:2: " in refusal(tmp_path, text)
    assert "has no minus" in refusal(tmp_path, text)
    sure = "date,type,description,cost\n2026-11-03,usage,Credit scoring model,$1.20\n"
    assert by_line(read_text(tmp_path, sure)) == {"usage": Decimal("1.20")}


def test_tax_for_the_month_goes_beside_usage_by_day(tmp_path: Path) -> None:
    text = (
        "start,end,description,cost\n2026-10-01,2026-10-01,gpt,$1\n2026-10-02,2026-10-02,gpt,$2\n"
        "2026-10-01,2026-10-31,VAT,$0.30\n"
    )
    reading = read_text(tmp_path, text)
    assert by_day(reading) == {"2026-10-01": 1, "2026-10-02": 2}
    assert by_line(reading)["tax"] == Decimal("0.30")
    assert len(reading.buckets) == 2


def test_usage_by_month_and_by_day_in_one_file_is_refused(tmp_path: Path) -> None:
    text = "start,end,cost\n2026-10-01,2026-10-01,$1\n2026-10-01,2026-10-31,$30\n"
    assert "for a time that another line is for a part of" in refusal(tmp_path, text)


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("Datum;Betrag;Währung\n2026-11-03;1.234,56;EUR\n", "1234.56"),
        ('날짜,서비스,금액\n2026-11-03,Gemini API,"₩1,234"\n', "1234"),
        ("日付\tサービス\t金額\n2026-11-03\tGemini\t1,234円\n", "1234"),
        ("usage_date|amount_usd\n2026-11-03|1.5\n", "1.5"),
        ("Cost\nNovember\ndate,cost\n2026-11-03,$1.5\n", "1.5"),
        ("sep=;\nDate;Cost (USD)\n2026-11-03;1.5\n", "1.5"),
        ("\ufeffdate,cost\r\n2026-11-03,$1.5\r\n", "1.5"),
        ('"date";"cost"\n"2026-11-03";"1,50 €"\n', "1.50"),
        ("date,cost,\n2026-11-03,$1.5,\n,,\n\n", "1.5"),
        ('date,description,cost\n2026-11-03,"two\nlines, and a comma",$1.5\n', "1.5"),
    ],
)
def test_files_of_many_lands(tmp_path: Path, text: str, amount: str) -> None:
    assert by_day(read_text(tmp_path, text)) == {"2026-11-03": Decimal(amount)}
    put(tmp_path, bill_csv=text.removeprefix("\ufeff").encode("utf-16"))
    assert by_day(read(tmp_path)) == {"2026-11-03": Decimal(amount)}


def test_an_old_encoding_is_asked_for_and_not_guessed(tmp_path: Path) -> None:
    text = "날짜,금액\n2026-11-03,1234원\n".encode("cp949")
    assert 'encoding = "cp949" (Korean Windows)' in refusal(tmp_path, text)
    assert by_day(read_text(tmp_path, text, encoding="cp949")) == {"2026-11-03": 1234}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("date,cost,total\n2026-11-03,$1,$2\n", 'amount_column = "cost"'),
        ("when,how much\n2026-11-03,$1\n", 'its first columns are "when", "how much"; write amount_column'),
        ("date,amount_cents\n2026-11-03,150\n", "amount_cents"),
        ("label,cost\ngpt,$1\n", 'date_column = "…"'),
        ("date,cost\n2026-11-03,1.5\n", 'write currency = "USD"'),
        ("date,cost,currency\n2026-11-03,1.5,credits\n", "is no currency"),
        ("date,cost,currency\n2026-11-03,€1.5,USD\n", "another one"),
        ("date,cost ($)\n2026-11-03,€1.5\n", "another one above it"),
        ("date,cost\n2026-11-03,¥15\n", 'currency = "JPY" or currency = "CNY"'),
        ("date,cost\n,$1.5\n", "has an amount but no day"),
        ("date,cost\n2026-11-03,\n", "is no amount"),
        ("date,label,cost\n2026-11-03,a,b,$1\n", "has 4 cells, but the header has 3"),
        ("date,label,cost\n2026-11-03,a,$1\n2026-11-0", "has 1 cells, but the header has 3"),
        ('date,cost,label\n2026-11-03,$1,"no end\n', "quotation mark"),
        ("date,cost\n", "has no lines"),
        ("", "is empty"),
        (b"\x00\x01\x02PK", "is no text"),
        (b"\xff\xfe\x00\xd8", "is no text"),
    ],
)
def test_what_cannot_be_read_says_why_and_what_to_write(tmp_path: Path, text: str | bytes, says: str) -> None:
    sentence = refusal(tmp_path, text)
    assert sentence.startswith("bill.csv")
    assert says in sentence
    assert "\n" not in sentence
    assert len(sentence) < 300


def test_columns_can_be_named(tmp_path: Path) -> None:
    text = "when,what,how much,paid\n2026-11-03,gpt-5,1.5,9\n"
    reading = read_text(
        tmp_path, text, date_column="When", amount_column="how much", model_column="what", currency="KRW"
    )
    (figure,) = reading.figures
    assert (figure.amount, figure.currency, figure.model) == (Decimal("1.5"), "KRW", "gpt-5")
    assert '"whenever", "how much", which the config names' in refusal(
        tmp_path, date_column="whenever", amount_column="how much"
    )


def test_a_dollar_may_be_another_land_s_and_a_report_may_be_dated_by_its_name(tmp_path: Path) -> None:
    put(
        tmp_path,
        **{"Reports, 2026-10-01 — 2026-10-31_csv": "Service description,Cost ($)\nGemini API,12.50\n"},
    )
    reading = read(tmp_path, currency="CAD")
    assert [(figure.amount, figure.currency) for figure in reading.figures] == [(Decimal("12.50"), "CAD")]
    assert f"{reading.buckets[0].end:%Y-%m-%d}" == "2026-11-01"


OPENAI = {
    "object": "page",
    "data": [
        {
            "object": "bucket",
            "start_time": 1795046400,
            "end_time": 1795132800,
            "results": [
                {
                    "amount": {"value": 3.8125, "currency": "usd"},
                    "line_item": "gpt-5, input",
                    "project_id": "proj",
                },
                {
                    "amount": {"value": "0.420", "currency": "usd"},
                    "line_item": "web search",
                    "project_id": None,
                },
            ],
        },
        {"object": "bucket", "start_time": 1795132800, "end_time": 1795219200, "results": []},
    ],
    "has_more": False,
    "next_page": None,
}
ANTHROPIC = {
    "data": [
        {
            "starting_at": "2026-11-19T00:00:00Z",
            "ending_at": "2026-11-20T00:00:00Z",
            "results": [
                {"amount": "1234.567", "currency": "USD", "model": "claude-sonnet-5", "workspace_id": None}
            ],
        }
    ],
    "has_more": False,
    "next_page": None,
}


def test_openai_s_page_of_costs_is_dollars_and_an_empty_bucket_a_zero(tmp_path: Path) -> None:
    put(tmp_path, costs_json=json.dumps(OPENAI))
    reading = read(tmp_path)
    assert by_day(reading) == {"2026-11-19": Decimal("4.2325")}
    assert [f"{bucket.start:%d}" for bucket in reading.buckets] == ["19", "20"]


def test_anthropic_s_page_of_costs_is_cents(tmp_path: Path) -> None:
    put(tmp_path, costs_json=json.dumps(ANTHROPIC))
    (figure,) = read(tmp_path).figures
    assert (figure.amount, figure.model) == (Decimal("12.34567"), "claude-sonnet-5")


def test_a_page_that_is_not_the_last_lacks_something_until_the_next_one_is_there(tmp_path: Path) -> None:
    put(tmp_path, first_json=json.dumps(ANTHROPIC | {"has_more": True, "next_page": "x"}))
    reading = read(tmp_path)
    assert (reading.partial, reading.whole) == (True, False)
    assert reading.notes[0] == "first.json says that more pages follow; put them beside it"
    put(tmp_path, second_json=json.dumps(ANTHROPIC).replace("-20T", "-21T").replace("-19T", "-20T"))
    assert not read(tmp_path).partial


def test_json_lines_keep_every_digit(tmp_path: Path) -> None:
    lines = '[{"date": "2026-11-03", "amount": 1.2345678901234567890e-5, "currency": "USD", "model": "m"}]'
    for text in (lines, f'{{"lines": {lines}}}'):
        put(tmp_path, bill_json=text)
        assert by_day(read(tmp_path)) == {"2026-11-03": Decimal("0.000012345678901234567890")}


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            "[]",
            "{}",
            "null",
            "5",
            "[1]",
            '{"lines": []}',
            '{"data": [{}]}',
            '{"data": [5]}',
            "[" * 100_000,
        ),
        *(
            '[{"date": "2026-11-03", "amount": NaN, "currency": "USD"}]',
            '{"lines": [{"amount": 1}], "lines": []}',
        ),
        *('[{"date": "2026-11-03", "amount": 1e400, "currency": "USD"}]', "[" + "9" * 5000 + "]"),
        *('[{"date": "2026-11-03", "amount": true, "currency": "USD"}]', '[{"amount": {"a": {"value": 1}}}]'),
        '[{"date": "2026-11-03", "amount": 1, "amount": 2, "currency": "USD"}]',
    ],
)
def test_json_of_another_shape_is_refused(tmp_path: Path, text: str) -> None:
    put(tmp_path, bill_json=text)
    assert refusal(tmp_path).startswith("bill.json")


def test_rows_of_one_group_are_added_and_groups_kept_apart(tmp_path: Path) -> None:
    text = (
        "date,model,project,cost\n2026-11-03,a,p,$0.1\n2026-11-03,a,p,$0.2\n2026-11-03,b,p,$0.3\n"
        "2026-11-03,a,q,€0.4\n"
    )
    reading = read_text(tmp_path, text)
    assert sorted((f.model, f.project, f.currency, f.amount) for f in reading.figures) == [
        ("a", "p", "USD", Decimal("0.3")),
        ("a", "q", "EUR", Decimal("0.4")),
        ("b", "p", "USD", Decimal("0.3")),
    ]


@pytest.mark.parametrize(
    ("content", "currency", "days"),
    [
        (
            "이용일자,서비스명,공급가액,부가세,합계금액\n2026-11-01,CLOVA,1000,100,1100\n2026-11-02,CLOVA,2000,200,2200\n"
            "합계,,3000,300,3300\n",
            "KRW",
            {"2026-11-01": 1000, "2026-11-02": 2000},
        ),
        (
            "Datum;Dienst;Betrag\n15.10.2026;GPU;1.234,56\n16.10.2026;GPU;10,00\nSumme;;1.244,56\n",
            "EUR",
            {"2026-10-15": Decimal("1234.56"), "2026-10-16": 10},
        ),
    ],
)
def test_a_bill_as_it_is_downloaded_here_and_there(
    tmp_path: Path, content: str, currency: str, days: dict[str, Decimal]
) -> None:
    """Column names and the row of the total, which stands where the days do, are those of a Korean and a German bill."""
    assert by_day(read_text(tmp_path, content, currency=currency)) == days
