"""Bodies that are no answer: too large, packed, cut off, or JSON that nobody should compute with. R65."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
import zlib
from base64 import b64encode
from decimal import Decimal
from socket import socket
from urllib.parse import quote

import pytest

from costmon.sources.providers.http import Traffic, strict
from tests.sources.providers.fake import Answer
from tests.sources.providers.fake.server import Server
from tests.sources.providers.http_kit import FAKE, KEY, Ear, ask, refused, reply

MB = 1024 * 1024

WRONG = {
    "a web page": (b"<!DOCTYPE html><title>Log in</title>", "web page; check base_url"),
    "a web page after a BOM": (b"\xef\xbb\xbf\r\n <html>", "web page; check base_url"),
    "nothing": (b"", "is empty"),
    "white space": (b" \r\n\t", "is empty"),
    "half of it": (b'{"data": [{"amount": 12', "is no JSON, or was cut off"),
    "two of it": (b'{"data": 1}{"data": 2}', "is no JSON"),
    "a word": (b"Service unavailable", "is no JSON"),
    "NaN": (b'{"amount": NaN}', "has NaN where a number belongs"),
    "Infinity": (b'{"amount": Infinity}', "has Infinity where"),
    "-Infinity": (b'{"amount": -Infinity}', "has -Infinity where"),
    "1e308": (b'{"amount": 1e308}', "beyond any amount"),
    "1e309": (b'{"amount": 1e309}', "beyond any amount"),
    "-1e309": (b'{"amount": -1e309}', "beyond any amount"),
    "1e-400": (b'{"amount": 1e-400}', "beyond any amount"),
    "0e999999999": (b'{"amount": 0e999999999}', "beyond any amount"),
    "an exponent of 30 digits": (b'{"amount": 1e' + b"9" * 30 + b"}", "beyond any amount"),
    "an integer of 5,000 digits": (b'{"amount": ' + b"7" * 5000 + b"}", "whole number of 5,000 digits"),
    "an integer of 4,000 digits": (b'{"amount": ' + b"7" * 4000 + b"}", "whole number of 4,000 digits"),
    "a fraction of 5,000 digits": (b'{"amount": 0.' + b"7" * 4998 + b"}", "a number of 5,000 digits"),
    "100,000 lists in lists": (b"[" * 100_000 + b"]" * 100_000, "nested too deeply"),
    "100,000 objects in objects": (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, "nested too deeply"),
    "a field twice": (b'{"data": {"amount": 1, "amount": 2}}', 'has the field "amount" twice'),
    "a hostile field twice": (b'{"\\u001b[2J": 1, "\\u001b[2J": 2}', "has a field twice"),
    "Latin-1": ('{"name": "café"}'.encode("latin-1"), "not written in UTF-8"),
    "UTF-16": ('{"name": "café"}'.encode("utf-16"), "not written in UTF-8"),
    "UTF-16 without a BOM": (json.dumps({"a": 1}).encode("utf-16-le"), "is no JSON"),
    "two million values": (b"[" + b"[]," * 2_000_000 + b"[]]", "more than 500,000 values"),
}


async def test_every_body_that_is_no_answer_gets_its_sentence_and_the_next_poll_works() -> None:
    with Server(FAKE) as server:
        for name, (body, words) in WRONG.items():
            server.faults.append(Answer(body))
            error = await refused(server.url)
            assert (error.state, error.status) == ("schema", 200), name
            assert words in str(error), name
            assert str(error).startswith("the answer of Acme "), name
            assert await ask(server.url) == {"ok": True}
        assert len(server.journal) == 2 * len(WRONG)
        assert not server.faults


async def test_html_by_its_name_is_a_web_page_but_json_by_its_look_is_none() -> None:
    with Server(FAKE) as server:
        server.faults.append(Answer(b"Please log in", headers={"content-type": "text/html"}))
        assert "web page" in str(await refused(server.url))
        server.faults.append(Answer(b' {"a": 1}', headers={"content-type": "text/html; charset=latin-1"}))
        assert await ask(server.url) == {"a": 1}


async def test_no_content_is_no_answer() -> None:
    with Ear(reply(b"", "204 No Content", length=False)) as ear:
        assert "is empty" in str(await refused(ear.url))


async def test_lone_surrogates_and_a_bom_do_no_harm() -> None:
    with Server(FAKE) as server:
        server.faults.append(Answer(b'\xef\xbb\xbf{"name": "a\\ud800b", "\\udfff": -1}'))
        assert await ask(server.url) == {"name": "a\ud800b", "\udfff": -1}
        server.faults.append(Answer(b'{"error": {"code": "\\ud800"}, "\\ud800": 1}', 400))
        assert (await refused(server.url)).state == "schema"


def packed(body: bytes, how: str) -> bytes:
    if how in ("gzip", "x-gzip", "GZIP"):
        return gzip.compress(body)
    if how == "deflate, bare":
        machine = zlib.compressobj(wbits=-15)
        return machine.compress(body) + machine.flush()
    return zlib.compress(body) if how == "deflate" else body


@pytest.mark.parametrize("how", ["gzip", "x-gzip", "GZIP", "deflate", "deflate, bare", "identity", ""])
async def test_packed_answers_are_unpacked_and_counted_as_they_came(how: str) -> None:
    body = json.dumps({"rows": ["the same"] * 50_000}).encode()
    sent, traffic = packed(body, how), Traffic()
    with Server(FAKE) as server:
        server.faults.append(Answer(sent, headers={"Content-Encoding": how.partition(",")[0]}))
        assert len((await ask(server.url, traffic=traffic))["rows"]) == 50_000
    assert traffic.bytes == len(sent)


@pytest.mark.parametrize("how", ["br", "zstd", "gzip, gzip", "gzip,identity", "compress", "\x00"])
async def test_other_packings_are_refused(how: str) -> None:
    with Server(FAKE) as server:
        server.faults.append(Answer(b"{}", headers={"Content-Encoding": how.replace("\x00", "null")}))
        assert "packed in a way that was not asked for" in str(await refused(server.url))


@pytest.mark.parametrize("how", ["gzip", "deflate", "deflate, bare"])
async def test_damaged_packings_are_refused(how: str) -> None:
    whole = packed(json.dumps(list(range(5000))).encode(), how)
    with Server(FAKE) as server:
        for body, words in (
            (whole[:-9], "was cut off"),
            (whole[:100], "was cut off"),
            (whole + b"more", "goes on after"),
            (b"\xff" + whole[1:], "cannot be unpacked"),
        ):
            server.faults.append(Answer(body, headers={"Content-Encoding": how.partition(",")[0]}))
            assert words in str(await refused(server.url))


async def test_a_wrong_checksum_is_refused() -> None:
    whole = bytearray(gzip.compress(b'{"amount": 12.5}'))
    whole[-6] ^= 1
    with Server(FAKE) as server:
        server.faults.append(Answer(bytes(whole), headers={"Content-Encoding": "gzip"}))
        assert "cannot be unpacked" in str(await refused(server.url))


async def test_16_mb_are_read_and_one_byte_more_is_not() -> None:
    """Plain and packed; the larger ones by their length, without it, and only after unpacking."""
    fits, more = b'"' + b"x" * (16 * MB - 2) + b'"', b'"' + b"x" * (16 * MB - 1) + b'"'
    gzipped = {"Content-Encoding": "gzip"}
    for body, headers in ((fits, {}), (gzip.compress(fits, 1), gzipped)):
        with Ear(reply(body, headers=headers)) as ear:
            assert len(await ask(ear.url)) == 16 * MB - 2
    for body, headers, length in (
        (more, {}, True),
        (more, {"Connection": "close"}, False),
        (gzip.compress(more, 1), gzipped, True),
    ):
        with Ear(reply(body, headers=headers, length=length)) as ear:
            error = await refused(ear.url)
            assert "is larger than 16 MB" in str(error)
            assert error.state == "schema"
            assert len(ear.heard) == 1


async def test_an_announced_size_is_believed_before_anything_is_read() -> None:
    traffic = Traffic()
    with Ear(lambda peer: peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n[")) as ear:
        assert "is larger than 16 MB" in str(await refused(ear.url, traffic=traffic))
        assert len(ear.heard) == 1
    assert traffic.bytes == 0


async def test_a_body_without_an_end_is_left_after_16_mb() -> None:
    sent = 0

    def stream(connection: socket) -> None:
        nonlocal sent
        connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            connection.sendall(b"10000\r\n" + b" " * 65536 + b"\r\n")
            sent += 65536

    traffic = Traffic()
    with Ear(stream) as ear:
        assert "is larger than 16 MB" in str(await refused(ear.url, traffic=traffic))
    assert 16 * MB <= sent < 64 * MB
    assert 16 * MB < traffic.bytes <= 17 * MB


async def test_the_body_of_an_error_is_read_for_64_kb_at_most() -> None:
    traffic = Traffic()
    with Server(FAKE) as server:
        server.faults.append(Answer(b'{"code": "no_such_thing", "x": "' + b"x" * MB + b'"}', 404))
        error = await refused(server.url, traffic=traffic)
    assert (error.state, "no_such_thing" in str(error)) == ("not_found", False)
    assert traffic.bytes <= 64 * 1024


def bomb(gigabytes: int) -> bytes:
    """gzip of so many GB of spaces, made of one packed megabyte that is repeated."""
    machine = zlib.compressobj(9, wbits=31)
    head = machine.compress(b"[") + machine.flush(zlib.Z_FULL_FLUSH)
    block = machine.compress(b" " * MB) + machine.flush(zlib.Z_FULL_FLUSH)
    return head + block * (1024 * gigabytes)


CHILD = """
import asyncio, re, sys
from tests.sources.providers.http_kit import ask
from costmon.sources.providers.protocol import SourceError

def peak():
    # ru_maxrss would begin with the peak of the process that started this one.
    with open("/proc/self/status") as status:
        return int(re.search("VmHWM:\\s+(\\d+) kB", status.read())[1]) // 1024

async def main():
    await ask(sys.argv[1])
    before = peak()
    for _ in range(int(sys.argv[2])):
        try:
            await ask(sys.argv[1])
            print("it came")
        except SourceError as error:
            print(error)
    print(peak() - before)

asyncio.run(main())
"""


def growth(*answers: Answer) -> tuple[list[str], int]:
    """What a fresh process says to each of `answers`, and by how many MB its memory grew at most."""
    with Server(FAKE) as server:
        server.faults += [Answer({"ok": True}), *answers]
        line = [sys.executable, "-c", CHILD, server.url, str(len(answers))]
        done = subprocess.run(line, capture_output=True, text=True, timeout=60, check=True)
        assert not server.faults
    *said, grown = done.stdout.splitlines()
    return said, int(grown)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_bomb_of_1_gb_costs_at_most_64_mb_of_memory() -> None:
    body = bomb(1)
    assert len(body) < 2 * MB
    assert len(zlib.decompressobj(31).decompress(body, 100 * MB)) == 100 * MB
    said, grown = growth(*(Answer(body, headers={"Content-Encoding": how}) for how in ("gzip", "deflate")))
    assert ["is larger than 16 MB" in line for line in said] == [True, True]
    assert grown <= 64


HOSTILE = {
    "nested too deeply": b'{"a":' * 100_000,
    "has more than 500,000 values": b"[" * (15 * MB),
    "more than 500,000": b"[" + b"[]," * (4 * MB) + b"[]]",
    "than 500,000 values": b'{"a":' * (3 * MB),
    "has NaN": b'["' + b"x" * (15 * MB) + b'", NaN]',
}


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_hostile_json_costs_at_most_64_mb_of_memory() -> None:
    said, grown = growth(*map(Answer, HOSTILE.values()))
    assert [words in line for words, line in zip(HOSTILE, said, strict=True)] == [True] * len(HOSTILE)
    assert grown <= 64


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"[" + b"1.5," * 499_990 + b"1]", id="fractions"),
        pytest.param(b"[" + b'{"a":{}},' * 124_990 + b"1]", id="small objects"),
    ],
)
def test_as_many_values_as_are_allowed_cost_at_most_64_mb_of_memory(body: bytes) -> None:
    said, grown = growth(Answer(body))
    assert said == ["it came"]
    assert grown <= 64


def test_parsing_is_exact_for_what_bills_contain() -> None:
    text = b'{"a": 3.8125, "b": "0.420000", "c": 1E-7, "d": -123.78912, "e": 10000000000000000000, "f": 0.0}'
    assert strict.parse(text) == {
        "a": Decimal("3.8125"),
        "b": "0.420000",
        "c": Decimal("0.0000001"),
        "d": Decimal("-123.78912"),
        "e": 10**19,
        "f": Decimal("0.0"),
    }


def test_the_sentence_does_not_repeat_what_was_sent() -> None:
    for body in (f'{{"{KEY}": 1, "{KEY}": 2}}', f"{KEY}", f'{{"a": {KEY}}}'):
        with pytest.raises(strict.BodyError) as caught:
            strict.parse(body.encode())
        assert "CANARY" not in str(caught.value)


async def test_what_repeats_the_key_is_redacted_and_every_number_kept() -> None:
    """Values and field names in any form, in successes and in errors; numbers and everything else stay as they are."""
    answer = {
        "amount": Decimal("0.10000000000000000001"),
        "count": 10**25,
        "names": ["a", KEY, KEY.upper(), quote(KEY, safe=""), f"Bearer {KEY}"],
        KEY: {"text": b64encode(KEY.encode()).decode(), "none": None, "yes": True},
        "plain": "projekt-ü",
    }
    with Server(FAKE) as server:
        server.faults.append(Answer(answer))
        assert await ask(server.url) == {
            "amount": Decimal("0.10000000000000000001"),
            "count": 10**25,
            "names": ["a", "•••", "•••", "•••", "•••"],
            "•••": {"text": "•••", "none": None, "yes": True},
            "plain": "projekt-ü",
        }
        server.faults.append(Answer({KEY: 1, KEY.upper(): 2}))
        assert "has a field twice" in str(await refused(server.url))
        spelled = KEY.lower().replace("-", "_").encode()
        server.faults.append(Answer(b'{"%s": 1, "%s": 2}' % (spelled, spelled)))
        assert "has a field twice" in str(await refused(server.url))
        server.faults.append(Answer(b'{"%s": 1, "%s": 2}' % (b"a" * 41, b"a" * 41)))
        assert "has a field twice" in str(await refused(server.url))


async def test_a_key_is_found_anywhere_in_a_large_answer() -> None:
    """Also where two of the pieces meet in which it is looked through."""
    with Server(FAKE) as server:
        for size in (262_144 - 10, 262_144, 262_144 + 10, 3 * 262_144 - len(KEY)):
            server.faults.append(Answer(["a" * (size - 20), KEY]))
            assert (await ask(server.url))[1] == "•••", size
