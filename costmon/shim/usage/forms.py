"""Forms, as audio and image endpoints take them: the short fields, and how large the files are."""

from __future__ import annotations

from typing import NamedTuple

_MAX_PARTS = 64
_MAX_VALUE = 20_000
_HEADER_ROOM = 4096


class Form(NamedTuple):
    """`fields`: the short text fields by name; `files`: the bytes of every other part, as (start, end) in the body."""

    fields: dict[str, str]
    files: list[tuple[int, int]]


def read_form(content_type: str, body: bytes) -> Form | None:
    """The form of a body, None when it is none. Looks at each part's header and skips what is inside."""
    if content_type.lower().startswith("application/x-www-form-urlencoded"):
        return _read_query(body)
    boundary = _boundary(content_type)
    if not boundary:
        return None
    mark = b"--" + boundary
    form = Form({}, [])
    at = body.find(mark)
    for _ in range(_MAX_PARTS):
        if at < 0:
            break
        start = at + len(mark)
        if body[start : start + 2] == b"--":
            break
        next_at = body.find(mark, start)
        _take(form, body, start, len(body) if next_at < 0 else next_at)
        at = next_at
    return form


def _read_query(body: bytes) -> Form:
    """a=1&b=2, as clients send a form without a file."""
    from urllib.parse import parse_qsl

    text = body[:_MAX_VALUE].decode("utf-8", "replace")
    try:
        return Form(dict(parse_qsl(text, max_num_fields=_MAX_PARTS)), [])
    except ValueError:  # more fields than any such call has
        return Form({}, [])


def _take(form: Form, body: bytes, start: int, end: int) -> None:
    head_end = body.find(b"\r\n\r\n", start, min(end, start + _HEADER_ROOM))
    if head_end < 0:
        return
    head = body[start:head_end].decode("utf-8", "replace")
    begin, stop = head_end + 4, end - 2  # a line end stands before the next boundary
    name = _parameter(head, "name")
    if "filename" in head or stop - begin > _MAX_VALUE:
        form.files.append((begin, max(begin, stop)))
    elif name:
        form.fields.setdefault(name, body[begin:stop].decode("utf-8", "replace"))


def _boundary(content_type: str) -> bytes:
    if not content_type.lower().startswith("multipart/"):
        return b""
    return _parameter(content_type, "boundary").encode("utf-8", "replace")


def _parameter(head: str, name: str) -> str:
    """`name="value"` or `name=value` of a header."""
    at = head.find(f"{name}=")
    while at > 0 and head[at - 1].isalnum():  # `filename=` is not `name=`
        at = head.find(f"{name}=", at + 1)
    if at < 0:
        return ""
    value = head[at + len(name) + 1 :]
    if value.startswith('"'):
        return value[1:].partition('"')[0]
    return value.partition(";")[0].partition("\r")[0].strip()
