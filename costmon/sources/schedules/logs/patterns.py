"""From a message to what it tells: the operator's own patterns, then those of schedulers people write, Korean and English.

An own pattern takes the place of the built-in ones for the same tell. Its named groups say more: `time` (when the next run
is due), `every`, `took` (lengths of time with a unit), `hours`, `minutes`, `seconds` (numbers: the period of a start, the
duration of what is done), `job` (whose run it is).
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from costmon.sources.schedules.logs import schedulers
from costmon.sources.schedules.logs.spans import SPAN, every, of_unit, span_us
from costmon.sources.schedules.logs.tell import DONE, FAILURE, NEXT, RESTART, RUN, START, STOP, SUCCESS, Tell
from costmon.sources.schedules.logs.times import from_now

MAX_MESSAGE = 600
MAX_OWN = 2_000
"""So much of a message is matched, and so much of a line with own patterns, in characters."""
_I = re.IGNORECASE
_KO = r"(?:스케줄러|스케쥴러)"
_JOB_KO = r"(?:작업|사이클|배치|크롤링)"
_JOB_EN = r"\b(?:job|task|cycle|batch|run)\b"
_START_EN = r"(?:start(?:ed|ing)?|running|launch(?:ed|ing)?)"
_BAD = re.compile(r"실패|오류|에러|\bfail|\berror|\bcannot|\bcould not|\bexception", _I)
_SCHEDULER = re.compile(
    rf"{_KO}.{{0,30}}?(?:시작|가동|기동|구동)|\bscheduler\b.{{0,30}}?\b{_START_EN}\b|\b{_START_EN}\b.{{0,20}}\bscheduler\b"
    r"|\bscheduler is up\b",
    _I,
)
_RESTART = re.compile(
    rf"{_KO}.{{0,20}}?(?:재시작|재가동|재기동)|\bscheduler\b.{{0,20}}\brestart|\brestart\w*\b.{{0,20}}\bscheduler\b",
    _I,
)
_STOP = re.compile(
    rf"{_KO}.{{0,20}}?(?:종료|중지|정지)|\bscheduler\b.{{0,20}}\b(?:stopp(?:ed|ing)|shut ?(?:ting )?down)\b"
    r"|\b(?:stopp(?:ed|ing)|shutting down)\b.{0,20}\bscheduler\b",
    _I,
)
_PERIOD = (
    re.compile(
        rf"(?:주기|간격|\binterval|\bperiod|\bcadence|\bevery|\beach|매)\W{{0,6}}(?P<every>{SPAN})", _I
    ),
    re.compile(rf"(?P<every>{SPAN})\s?(?:마다|간격|주기|\binterval)", _I),
    re.compile(
        r"\b(?:interval|every|period)[_ ](?P<unit>seconds|minutes|hours|days)\W{1,4}(?P<number>\d{1,9})\b", _I
    ),
    re.compile(r"\bevery (?P<every>second|minute|hour|day|week)\b", _I),
    re.compile(r"매\s?(?P<ko>시간|분|일|주)"),
    re.compile(r"\b(?P<ly>hourly|daily|weekly)\b", _I),
)
_NEXT = re.compile(
    r"(?:다음\s?(?:실행|작업|사이클)(?:\s?(?:예정|시각|시간|일시)){0,3}|"
    r"\bnext (?:scheduled )?(?:run|execution|cycle|job)(?: time)?(?: is)?(?: scheduled)?)"
    r"\s*(?:at|for|on|은|는|:|=|：)?\s*[:=]?\s*(?P<time>\S.{0,60})",
    _I,
)
_RUN = (
    re.compile(rf"(?<!다음 ){_JOB_KO}(?:\s?실행)?(?:을|를|이|가)?\s?시작"),
    re.compile(rf"\b(?:starting|running|executing|beginning|started|begin)\b.{{0,30}}{_JOB_EN}", _I),
    re.compile(rf"{_JOB_EN}.{{0,30}}\b(?:started|starting|begins?|began)\b", _I),
)
_TOOK = rf"(?P<took>{SPAN}|\d{{1,3}}:\d\d:\d\d(?:\.\d{{1,6}})?)"
_DONE = (
    re.compile(rf"{_JOB_KO}(?:\s?실행)?(?:이|가|을|를)?\s?(?:완료|종료)(?:.{{0,30}}?{_TOOK})?", _I),
    re.compile(rf"{_JOB_EN}.{{0,30}}?\b(?:finished|completed?|done|ended)\b(?:.{{0,40}}?{_TOOK})?", _I),
    re.compile(rf"\b(?:finished|completed)\b.{{0,20}}{_JOB_EN}(?:.{{0,40}}?{_TOOK})?", _I),
)
_CALL = re.compile(
    r"(?:호출|API call|API request)\s?(?P<ok>성공|success\w*|succeeded)|(?:호출|API call|API request)\s?(?:실패|fail\w*)",
    _I,
)
_REQUEST = re.compile(
    r"HTTP Request: POST \S{0,300}(?:/v\d|chat/completions|/messages|/responses|generateContent|/embeddings)\S{0,300} "
    r'"HTTP/[\d.]{1,3} (?P<status>\d{3})'
)
_RESULT = re.compile(
    rf"(?:{_JOB_KO}|{_JOB_EN}).{{0,20}}?(?:(?P<ok>성공|\bsucceeded\b|\bsuccess(?:ful(?:ly)?)?\b)|실패|\bfailed\b|\bcrashed\b)",
    _I,
)
_ENDS = ("완료", "종료", "finish", "complet", "done", "ended")
_RESULTS = ("성공", "실패", "succe", "fail", "crash")
_BEGINS = ("시작", "start", "begin", "began", "running", "executing")
_FRAMEWORKS = ("ing job", "ed job", 'job "', "scheduler", "task ", "beat: ")
_BLANKS = re.compile(r"\s{3,}")
_UNITS = ("days", "hours", "minutes", "seconds")
_KO_ONE = {"시간": "hour", "분": "minute", "일": "day", "주": "week"}


class Patterns:
    """`own` by what they tell, as in the config; one that does not compile is left out. `narrow`: all lines that can match
    have a word that is looked for beforehand."""

    def __init__(self, own: Mapping[str, str] | None = None) -> None:
        self._own: list[tuple[str, re.Pattern[str]]] = []
        for what, text in (own or {}).items():
            try:
                self._own.append((what, re.compile(text)))
            except (re.error, OverflowError, RecursionError):
                continue
        self.own = frozenset(what for what, _ in self._own)
        self.narrow = not self._own

    def tells(self, line: str, message: str) -> tuple[Tell, ...]:
        """Everything one line tells, of which `message` is what follows its time; most tell nothing. Own patterns are looked
        for in the whole line (of a JSON line: in its message)."""
        if own := self.own_tells(message if line.startswith("{") else line):
            return own
        return tuple(tell for tell in _built_in(message[:MAX_MESSAGE]) if tell.what not in self.own)

    def own_tells(self, line: str) -> tuple[Tell, ...]:
        """What the operator's own patterns find in a line."""
        text = line[:MAX_OWN]
        return tuple(_own(what, match) for what, pattern in self._own if (match := pattern.search(text)))


def _own(what: str, match: re.Match[str]) -> Tell:
    said = {name: value for name, value in match.groupdict().items() if value}
    span = span_us(said.get("every") or said.get("took") or "")
    if span is None:
        span = sum(of_unit(said[unit], unit) or 0 for unit in _UNITS if _number(said.get(unit))) or None
    time = said.get("time", "")
    return Tell(
        what,
        said.get("job", "").strip()[:200],
        plan=every(span) if what in (START, RESTART, NEXT) else "",
        next_text=time if what in (START, RESTART, NEXT, RUN, DONE) else "",
        next_in_us=from_now(time) if time else None,
        took_us=span if what in (RUN, DONE, SUCCESS, FAILURE) else None,
        ok={SUCCESS: True, FAILURE: False}.get(what),
        shape="own",
    )


def _number(text: str | None) -> bool:
    return text is not None and re.fullmatch(r"\d{1,9}(?:\.\d{1,9})?", text) is not None


def _built_in(text: str) -> tuple[Tell, ...]:
    text = _BLANKS.sub("  ", text)  # hundreds of them would be tried in every way there is
    low = text.lower()
    if _has(low, _FRAMEWORKS) and (found := schedulers.tells(text)):
        return found
    upcoming = _next(text) if _has(low, ("next", "다음")) else None
    if _has(low, ("scheduler", "스케")) and (of_scheduler := _scheduler(text)) is not None:
        return (of_scheduler,) if upcoming is None else (of_scheduler, upcoming)
    if upcoming is not None:
        return (upcoming,)
    found_run = _run(text, low)
    return (found_run,) if found_run is not None else ()


def _has(low: str, words: tuple[str, ...]) -> bool:
    """Looking for words is a hundred times as fast as for what is around them."""
    return any(word in low for word in words)


def _scheduler(text: str) -> Tell | None:
    """The scheduler as a whole: it starts (with a period), restarts, stops."""
    if _RESTART.search(text):
        what = RESTART
    elif _SCHEDULER.search(text):
        what = START
    elif _STOP.search(text):
        return Tell(STOP)
    else:
        return None
    return None if _BAD.search(text) else Tell(what, plan=every(_period(text)))


def _period(text: str) -> int | None:
    for pattern in _PERIOD:
        if (match := pattern.search(text)) is None:
            continue
        said = match.groupdict()
        if "unit" in said:
            return of_unit(said["number"], said["unit"])
        if "ko" in said:
            return span_us(_KO_ONE[said["ko"]])
        if "ly" in said:
            return span_us({"hourly": "hour", "daily": "day", "weekly": "week"}[said["ly"].lower()])
        return span_us(said["every"])
    return None


def _next(text: str) -> Tell | None:
    match = _NEXT.search(text)
    if match is None:
        return None
    time = match["time"]
    return Tell(NEXT, next_text=time, next_in_us=from_now(time))


def _run(text: str, low: str) -> Tell | None:
    """One run: a call of it, its result, its end, its beginning."""
    if "http request: post" in low and (request := _REQUEST.search(text)) is not None:
        ok = request["status"].startswith("2")
        return Tell(SUCCESS if ok else FAILURE, ok=ok)
    if _has(low, ("호출", "api ")) and (call := _CALL.search(text)) is not None:
        return Tell(SUCCESS if call["ok"] else FAILURE, ok=call["ok"] is not None)
    for pattern in _DONE if _has(low, _ENDS) else ():
        if (done := pattern.search(text)) is not None:
            took = done["took"]
            return Tell(
                DONE, took_us=span_us(took) if took else None, ok=False if _BAD.search(text) else None
            )
    if _has(low, _RESULTS) and (result := _RESULT.search(text)) is not None:
        return Tell(SUCCESS if result["ok"] else FAILURE, ok=result["ok"] is not None)
    if _has(low, _BEGINS) and any(pattern.search(text) for pattern in _RUN) and not _BAD.search(text):
        return Tell(RUN, shape=re.sub(r"[\W\d_]+", " ", text)[:60].strip())
    return None
