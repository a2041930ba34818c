"""Which column of a bill says what: by the names that bills usually give them, or by the config."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from costmon.sources.providers.kinds.file.amounts import SIGNS
from costmon.sources.providers.kinds.file.problems import refuse, spell

_USUAL: dict[str, tuple[str, ...]] = {
    role: tuple(names.split("|"))
    for role, names in {
        "date": (
            "date|usage date|usagedate|day|usage day|utc date|date utc|날짜|일자|사용일|사용 일자|이용일"
            "|이용일자|이용 일자|日付|利用日|datum|fecha|data|jour"
        ),
        "start": (
            "start|start date|start time|starting at|usage start date|usage start time|period start"
            "|start time iso|from|시작일|開始日|beginn|von"
        ),
        "end": (
            "end|end date|end time|ending at|usage end date|usage end time|period end|end time iso|to"
            "|until|종료일|終了日|ende|bis"
        ),
        "month": "month|period|invoice month|billing month|billing period|usage month|월|청구월|이용월|사용월|月|monat",
        "amount": (
            "amount|cost|costs|total|total cost|total amount|net amount|net cost|amount net"
            "|amount value|cost amount|charge|charges|charge amount|billed cost|unblended cost"
            "|pretax cost|cost in billing currency|costinbillingcurrency|subtotal|spend|금액|비용|요금|합계"
            "|청구 금액|공급가액|공급가|이용금액|이용 금액|金額|料金|費用|合計|betrag|kosten|importe|importo|montant"
        ),
        "currency": (
            "currency|currency code|amount currency|billing currency|billingcurrency|통화|通貨|währung"
            "|waehrung|moneda|devise|valuta"
        ),
        "model": "model|model name|model id|모델|モデル|modell|modelo",
        "label": (
            "sku description|sku|line item|lineitem|description|item|product|meter"
            "|service description|service|service name|servicename|category|name|설명|항목|내역|서비스|서비스명"
            "|상품|상품명|説明|項目|サービス|beschreibung|dienst|position|descripción|servicio"
        ),
        "project": "project|project name|project id|workspace|workspace id|프로젝트|プロジェクト|projekt|proyecto",
        "invoice": (
            "invoice number|invoice no|invoice id|invoice|invoice nr|bill number|billing document|document number"
            "|rechnungsnummer|numéro de facture|número de factura|청구서 번호|인보이스 번호|請求書番号"
        ),
        "line": "type|line type|cost type|charge type|record type|charge category|kind|구분|유형|種別|art",
    }.items()
}
ROLES = tuple(_USUAL)
_CODES = frozenset(
    (
        *(
            "USD",
            "EUR",
            "GBP",
            "KRW",
            "JPY",
            "CNY",
            "INR",
            "CAD",
            "AUD",
            "NZD",
            "CHF",
            "SEK",
            "NOK",
            "DKK",
            "PLN",
        ),
        *("CZK", "HUF", "BRL", "MXN", "SGD", "HKD", "TWD", "THB", "TRY", "ZAR", "ILS"),
    )
)
_BRACKETED = re.compile(r"\s*[(\[]([^)\]]*)[)\]]\s*")
_PLACE = re.compile(rf"(?: in)? ({'|'.join(_CODES)})$", re.IGNORECASE)
_CENTS = re.compile(r"\b(milli|micro)?cents?\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Columns:
    """Where each role stands in a row; a role that no column has is missing. `currencies` are those of the amount's name."""

    at: Mapping[str, int]
    currencies: tuple[str, ...] = ()

    @property
    def dated(self) -> bool:
        return any(role in self.at for role in ("date", "start", "month"))


def find(names: Sequence[str], wanted: Mapping[str, str], where: str) -> Columns | None:
    """The columns of a header row, or None if it is none: it has no amount.

    wanted: role to the name the config gives it. Raises BillError when several columns may be the amount.
    """
    if sum(bool(name.strip()) for name in names) < 2 or any(
        re.fullmatch(r"\W*[0-9][0-9.,]*\W*", name) for name in names
    ):
        return None
    plain = [_plain(name) for name in names]
    at: dict[str, int] = {}
    for role in ROLES:
        given = wanted.get(role, "")
        if given:
            matching = [place for place, name in enumerate(names) if _fold(name) == _fold(given)]
            if not matching:
                return None
        else:
            usual = _USUAL[role]
            matching = sorted(
                (place for place, name in enumerate(plain) if name in usual),
                key=lambda p: usual.index(plain[p]),
            )
        if role == "amount" and len(matching) > 1:
            several = ", ".join(spell(names[place]) for place in matching)
            refuse(
                where,
                f"{several} may each be the amount; write amount_column = {spell(names[matching[0]])} for that one",
            )
        if matching:
            at[role] = matching[0]
    if "amount" not in at:
        return None
    if _CENTS.search(names[at["amount"]].replace("_", " ")):
        refuse(where, f"{spell(names[at['amount']])} counts in cents; write a column of whole units")
    return Columns(at, _currencies(names[at["amount"]]))


def number_in(cells: Sequence[str]) -> str:
    """The invoice's number in a row above the header, "Invoice number", "5012345678"; '' if it has none."""
    return cells[1][:40] if len(cells) > 1 and _fold(cells[0].strip(" :")) in _USUAL["invoice"] else ""


def _fold(name: str) -> str:
    return " ".join(re.sub(r"[_\s.-]+", " ", unicodedata.normalize("NFKC", name)).split()).casefold()


def _plain(name: str) -> str:
    """'Cost ($)' and 'cost_usd' are both 'cost'; a bracket that holds no currency stays, as it changes what is meant."""
    inside = _BRACKETED.search(name)
    if inside and (_known(inside[1]) or inside[1].casefold() == "utc"):
        name = _BRACKETED.sub(" ", name)
    return _PLACE.sub("", _fold(name))


def _currencies(name: str) -> tuple[str, ...]:
    inside = _BRACKETED.search(name)
    if inside and _known(inside[1]):
        return _known(inside[1])
    ending = _PLACE.search(_fold(name))
    return (ending[1].upper(),) if ending else ()


def _known(text: str) -> tuple[str, ...]:
    text = unicodedata.normalize("NFKC", text).strip()
    return SIGNS.get(text) or ((text.upper(),) if text.upper() in _CODES else ())
