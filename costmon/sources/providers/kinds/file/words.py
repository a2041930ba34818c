"""What a line of a bill calls itself: a sum of other lines, a payment, a balance, tax, a credit, or none of these, which is
usage. Words of English, German, French, Spanish, Italian, Korean, Japanese and Chinese bills."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

SUM, TAX_SUM, PAID, BALANCE = "sum", "sum of tax", "payment", "balance"

_TAX_NAMES = "vat|gst|hst|pst|qst|tax|taxes|mwst|ust|umsatzsteuer|mehrwertsteuer|iva|tva|btw"
_TAX_EAST = "부가세|부가가치세|세금|세액|消費税|税"
TAX_WORDS = re.compile(rf"\b({_TAX_NAMES})\b|{_TAX_EAST}")
CREDIT_WORDS = re.compile(
    r"\b(credits?|discounts?|promotions?|promotional|promo|rebates?|refunds?|coupons?|gutschrift|rabatt|erstattung)\b"
    r"|크레딧|할인|프로모션|환불|쿠폰|クレジット|割引|返金"
)

_TAX = rf"(?:[0-9.,]+ ?% )?(?:(?:sales|local|applicable|consumption) )?(?:{_TAX_NAMES}|{_TAX_EAST})(?: ?[0-9.,]+ ?%)?"
_QUALIFIED = (
    r"(?:excluding|excl|exclusive of|ex|before|without|w/o|net of|including|incl|inclusive of|inc|after|with|plus|and|ohne"
    rf"|exkl|zzgl|vor|inkl|mit|nach|hors|avec|sin|con) {_TAX}"
)
_KIND_OF = (
    r"(?:(?:grand|invoice|order|bill|net|gross|overall|final|running|monthly|current|your|account|project|estimated|new"
    r"|pre-?tax|after-?tax|tax-?inclusive|tax-?exclusive) )*"
)
_AMOUNT = r"(?:amount|costs?|charges?|fees?|price|spend|bill|sum)"
_TOTAL = rf"(?:sub ?-?|sous-?)?totale?s?(?: (?:new |current |monthly |net |gross )?{_AMOUNT})?"
_WHEN = r"(?: (?:now|today|immediately|(?:on|by|until) .+))?"
_SUM = re.compile(
    "|".join(
        (
            rf"{_KIND_OF}(?:{_TOTAL}|sum)(?: (?:net|gross|netto|brutto|ht|ttc))?",
            rf"{_KIND_OF}(?:{_TOTAL}|sum|{_AMOUNT}|net|gross)(?: {_AMOUNT})? {_QUALIFIED}",
            rf"(?:net|gross|invoice|invoiced|billed|total) {_AMOUNT}(?: (?:invoiced|billed))?|net|gross|netto|brutto",
            rf"{_KIND_OF}(?:(?:total |net )?(?:amount|balance|sum|payment)|total) (?:(?:now|currently) )?"
            rf"(?:due|payable|owed|owing|outstanding|unpaid|to pay|remaining to pay){_WHEN}",
            rf"(?:outstanding|unpaid|remaining|open|total) (?:amount|balance|sum)(?: due)?{_WHEN}|total to pay|due{_WHEN}",
            r"(?:gesamt|zwischen|netto|brutto|end|rechnungs)?summe(?: (?:netto|brutto))?|gesamt(?: (?:netto|brutto))?",
            r"(?:gesamt|netto|brutto|rechnungs|end|zahl|zwischen)betrag(?: (?:netto|brutto))?|gesamtpreis|zu zahlen",
            r"(?:offener|fälliger|zu zahlender) betrag|montant (?:total|dû|ht|ttc|net)|net à payer|solde dû",
            r"(?:importe )?total(?: a pagar)?|importe total|totale (?:fattura|da pagare|dovuto)",
            r"합계|소계|총계|총액|총 ?합계|(?:합계|총|청구|납부|납부할|결제할|미납) ?(?:금액|비용|요금)",
            r"총 ?청구 ?(?:금액|액)|청구액|(?:세금|부가세|vat) ?(?:포함|제외|별도) ?(?:합계|금액|총액|총계)?",
            r"(?:합계|총액|금액) ?(?:세금|부가세|vat) ?(?:포함|제외|별도)",
            r"(?:総|ご)?(?:合計|小計|総計|総額)(?:金額|額)?|ご?請求(?:金)?額|お?支払い?(?:合計|金額|総額)",
            r"税(?:込|抜)(?:み|き)?(?:合計|小計|金額)?|(?:合計|小計) ?税(?:込|抜)(?:み|き)?",
            r"总计|合计|小计|总额|总金额|總計|總額|[应應]付.{0,4}",
        )
    )
)
_TAX_SUM = re.compile(
    rf"(?:sub ?)?total (?:of )?{_TAX}(?: amount)?|{_TAX} (?:sub ?)?total|summe {_TAX}|(?:세액|부가세|세금) ?합계|税額?合計"
)
_BY = r"(?:total|less|minus|automatic|auto|online|card|credit card|previous|prior|last|your|latest|all|any)"
_PAID = re.compile(
    "|".join(
        (
            rf"(?:{_BY} )*(?:amounts?|total|sum) (?:already )?(?:paid|received)(?: .*)?",
            r"(?:total )?paid (?:to date|amount|in full|on .*)",
            rf"(?:{_BY} )*(?:pre-?)?payments?(?: (?:total|amount))?"
            r"(?: (?:received|made|applied|posted|processed|to date)(?: .*)?)?",
            r"payments? ?(?:[-–—:,#] ?.*|(?:from|via|by|with|on|thank) .*)",
            r"(?:account |wallet |balance |auto-?)?(?:top-?ups?|recharges?|deposits?)(?: received)?",
            r"zahlung(?:en|seingang|seingänge)?(?: .*)?|bereits (?:gezahlt|bezahlt)|gezahlt",
            r"paiements?(?: reçus?)?|acomptes?|pagos?(?: .*)?",
            r"(?:결제|납부|납입|입금|수납|지급)(?: ?(?:금액|액|완료|내역|됨))?|받은 금액|선불 ?충전|충전",
            r"ご?入金(?:額|済み?)?|お?支払い?(?:済み?)|支払|已付(?:金额|款)?|已支付|付款|充值",
        )
    )
)
_FEE = re.compile(r"\bfees?\b|processing|gebühr|수수료|手数料")
_BALANCE = re.compile(
    "|".join(
        (
            r"(?:(?:starting|start|beginning|opening|initial|ending|end|closing|final|previous|prior|last|old|new|current"
            r"|applied|account|prepaid|pre-paid|credit|credits|remaining|available|past|wallet|cash|your|total|invoice) )*"
            r"balances?(?: (?:forward|remaining|brought forward|carried (?:forward|over)|b/f|c/f|transfer(?:red)?|applied"
            r"|(?:from|at|as of|on|before|after) .*))?",
            r"(?:carried|brought|carry) ?-?forward|carry-?over",
            r"(?:anfangs|end|rest|start|schluss)?saldo(?: .*)?|guthaben|solde(?: .*)?",
            r"(?:(?:시작|기초|종료|기말|선불|현재|남은|크레딧|이전|전월|이월|계정) ?)*잔액",
            r"(?:전월 ?)?이월(?: ?금액)?|전월 ?미납(?:금|액)?",
            r"(?:前月|前回|期首|期末|繰越|クレジット|現在)?(?:の|請求)?残高|繰越(?:金額|額)?|(?:期初|期末|账户|帳戶)?(?:余额|餘額)",
        )
    )
)
_MAY_BE_A_STATE = re.compile(
    r"net|gross|netto|brutto|due|balances?|payments?|deposits?|결제|납부|입금|付款|支払|guthaben|saldo"
)
_BRACKETS = re.compile(r"[()\[\]]")
_CURRENCY = re.compile(
    r"(?: in)? (?:[a-z]{2}\$|[$€£¥₩]|usd|eur|gbp|krw|jpy|cny|inr|cad|aud|nzd|chf|sek|nok|dkk|sgd|hkd|twd)$"
)
_LONGEST = 60


@lru_cache(maxsize=4096)
def part_of(cell: str) -> str:
    """SUM, TAX_SUM, PAID or BALANCE for a cell that says nothing else, '' for any other."""
    text = _bare(cell)
    if not text or len(text) > _LONGEST:
        return ""
    if _TAX_SUM.fullmatch(text):
        return TAX_SUM
    if _SUM.fullmatch(text):
        return SUM
    if _PAID.fullmatch(text) and not _FEE.search(text):
        return PAID
    return BALANCE if _BALANCE.fullmatch(text) else ""


@lru_cache(maxsize=4096)
def may_be_a_state(cell: str) -> bool:
    """Whether it tells of a line only where lines are described: a column of states may say "Due" of each of them."""
    return _MAY_BE_A_STATE.fullmatch(_bare(cell)) is not None


def _bare(cell: str) -> str:
    """Lower case, without brackets, colons and dots, and without the currency at its end: 'Total (USD):' is 'total'."""
    text = _BRACKETS.sub(" ", unicodedata.normalize("NFKC", cell)).casefold()
    text = " ".join(re.sub(r"[:*]|(?<=[^\W\d])\.", " ", text).split())
    return _CURRENCY.sub("", text)
