"""A followed log loses no line and reads none twice, however its bytes come and whatever it is rotated into."""

from __future__ import annotations

import gzip
import os
import shutil
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from costmon.sources.schedules.logs.follow import FIRST_SIGHT, Tail
from costmon.sources.schedules.logs.lines import telling
from costmon.sources.schedules.logs.split import MAX_LINE, Block, Splitter

LIMIT = 4 * 1024 * 1024
_ENCODINGS = {"": "utf-8", "utf-16-le": "utf-16-le", "utf-16-be": "utf-16-be"}


def texts(blocks: list[Block] | tuple[Block, ...]) -> list[str]:
    return [line.text for block in blocks for line in telling(block, every=True)]


def read(tail: Tail) -> list[str]:
    """Everything that can be read now."""
    found: list[str] = []
    for _ in range(100):
        batch = tail.read(LIMIT)
        found += texts(batch.blocks)
        if not batch.more:
            return found
    raise AssertionError("it never comes to an end")


def write(path: Path, text: str, mode: str = "a") -> None:
    with open(path, mode, encoding="utf-8") as file:
        file.write(text)


_LINES = st.lists(st.one_of(st.text("ab \u0000주기é", max_size=6), st.just("x" * (MAX_LINE + 7))), max_size=8)


@given(
    _LINES, st.sampled_from(list(_ENCODINGS)), st.lists(st.integers(1, 90_000), max_size=30), st.booleans()
)
def test_any_chunking_of_the_bytes_gives_the_same_lines(
    lines: list[str], wide: str, sizes: list[int], ended: bool
) -> None:
    data = "\n".join(lines).encode(_ENCODINGS[wide]) + ("\n".encode(_ENCODINGS[wide]) if ended else b"")

    def cut(pieces: list[bytes]) -> list[tuple[int, str]]:
        splitter = Splitter(0, wide)
        blocks = [block for piece in pieces if (block := splitter.feed(piece))]
        blocks += [block] if (block := splitter.finish()) else []
        return [(line.offset, line.text) for block in blocks for line in telling(block, every=True)]

    pieces, at = [], 0
    for size in [*sizes, len(data)]:
        pieces.append(data[at : at + size])
        at += size
    assert cut(pieces) == cut([data])


_STEPS = st.lists(
    st.sampled_from(["write", "half", "poll", "rename", "copytruncate", "restart", "vanish"]), max_size=25
)


@given(_STEPS)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=120)
def test_any_interleaving_of_rotations_and_polls_loses_and_doubles_nothing(
    tmp_path_factory: pytest.TempPathFactory, steps: list[str]
) -> None:
    folder = tmp_path_factory.mktemp("log")
    path = folder / "app.log"
    tail, found, number = Tail(str(path)), [], 0
    write(path, "first\n")
    found += read(tail)
    moment = time.time_ns()
    for step in steps:
        if step == "write":
            write(path, f"line {number} of the log\n")
            number += 1
        elif step == "half":
            write(path, f"line {number} ")
            found += read(tail)
            write(path, "of the log\n")
            number += 1
        elif step == "poll":
            found += read(tail)
        elif step == "restart":
            position = tail.position()
            tail.close()
            tail = Tail(str(path), position)
        elif path.exists():
            _shift(path)
            if step == "copytruncate":
                shutil.copyfile(path, f"{path}.1")
                os.truncate(path, 0)
            else:
                os.rename(path, f"{path}.1")
                if step == "rename":
                    path.touch()
        moment += 1_000_000
        if path.exists():
            os.utime(path, ns=(moment, moment))
    write(path, "last\n")
    found += read(tail)
    tail.close()
    shutil.rmtree(folder)
    assert found == ["first", *(f"line {at} of the log" for at in range(number)), "last"]


def _shift(path: Path) -> None:
    for old in range(30, 0, -1):
        if os.path.exists(f"{path}.{old}"):
            os.rename(f"{path}.{old}", f"{path}.{old + 1}")


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "app.log"


def test_an_unfinished_line_waits_for_its_end(log: Path) -> None:
    tail = Tail(str(log))
    write(log, "one\ntw")
    assert read(tail) == ["one"]
    write(log, "o\n")
    assert read(tail) == ["two"]


def test_a_log_that_appears_later_is_read_from_its_beginning(log: Path) -> None:
    tail = Tail(str(log))
    assert read(tail) == []
    assert "is not there; it is followed as soon as it is" in tail.problems["absent"]
    write(log, "hello\n")
    assert read(tail) == ["hello"]
    assert not tail.problems


def test_a_restart_neither_reads_again_nor_loses_what_was_rotated_away(log: Path) -> None:
    tail = Tail(str(log))
    write(log, "one\ntwo\nthr")
    assert read(tail) == ["one", "two"]
    position = tail.position()
    tail.close()
    write(log, "ee\n")
    os.rename(log, f"{log}.1")
    write(log, "four\n")
    assert read(Tail(str(log), position)) == ["three", "four"]


def test_dated_names_and_names_before_the_ending_are_rotations_too(log: Path) -> None:
    for name in ("app.log-20260301", "app.log.2026-03-01", "app.2026-03-01_09-00-00_123456.log", "app.1.log"):
        write(log, "one\n", "w")
        tail = Tail(str(log))
        assert read(tail) == ["one"]
        position = tail.position()
        tail.close()
        write(log, "two\n")
        os.rename(log, log.parent / name)
        write(log, "three\n")
        assert read(Tail(str(log), position)) == ["two", "three"]
        os.remove(log.parent / name)


def test_an_open_file_is_read_to_its_end_though_it_was_packed_and_deleted(log: Path) -> None:
    tail = Tail(str(log))
    write(log, "one\n")
    assert read(tail) == ["one"]
    write(log, "two\n")
    moment = log.stat().st_mtime_ns
    Path(f"{log}.1.gz").write_bytes(gzip.compress(log.read_bytes()))
    os.utime(f"{log}.1.gz", ns=(moment, moment))
    os.remove(log)
    write(log, "three\n")
    assert read(tail) == ["two", "three"]
    assert not tail.problems


def test_a_packed_file_in_between_is_said_to_be_lost(log: Path) -> None:
    tail = Tail(str(log))
    write(log, "one\n")
    read(tail)
    os.rename(log, f"{log}.2")
    later = time.time_ns() + 10**9
    Path(f"{log}.1.gz").write_bytes(gzip.compress(b"two\n"))
    os.utime(f"{log}.1.gz", ns=(later, later))
    write(log, "three\n")
    assert read(tail) == ["three"]
    assert tail.problems["lost"].endswith("app.log.1.gz, which is packed and not read; lines may be lost")


def test_a_log_truncated_without_a_copy_is_read_on_and_says_so(log: Path) -> None:
    tail = Tail(str(log))
    write(log, "one of many\n")
    read(tail)
    write(log, "two\n", "w")
    assert read(tail) == ["two"]
    assert "lines may be lost" in tail.problems["lost"]


def test_a_truncated_log_that_has_grown_longer_than_before_is_noticed(log: Path) -> None:
    tail = Tail(str(log))
    write(log, "one\n")
    read(tail)
    write(log, "a much longer line than the one before\n", "w")
    assert read(tail) == ["a much longer line than the one before"]


def test_a_hole_of_nulls_after_a_truncation_is_no_line(log: Path) -> None:
    with open(log, "wb") as file:
        file.write(b"one\n" * 50_000)
        file.flush()
        tail = Tail(str(log))
        read(tail)
        os.truncate(log, 0)
        file.write(b"two\nthree\n")  # its writer does not append: it goes on where it was
    assert read(tail) == ["two", "three"]


def test_a_symlink_that_points_elsewhere_is_followed_there(tmp_path: Path) -> None:
    link = tmp_path / "current.log"
    write(tmp_path / "monday", "one\n")
    write(tmp_path / "tuesday", "two\n")
    link.symlink_to(tmp_path / "monday")
    tail = Tail(str(link))
    assert read(tail) == ["one"]
    link.unlink()
    link.symlink_to(tmp_path / "tuesday")
    assert read(tail) == ["two"]


def test_a_log_an_editor_has_saved_again_is_not_read_twice(log: Path) -> None:
    tail = Tail(str(log))
    write(log, "one\ntwo\n")
    read(tail)
    shutil.copyfile(log, f"{log}~")
    os.replace(f"{log}~", log)
    write(log, "three\n")
    assert read(tail) == ["three"]


def test_its_writer_may_go_on_in_the_renamed_file_for_a_while(log: Path) -> None:
    tail = Tail(str(log))
    with open(log, "a", encoding="utf-8") as file:
        file.write("one\n")
        file.flush()
        assert read(tail) == ["one"]
        os.rename(log, f"{log}.1")
        log.touch()
        assert read(tail) == []
        file.write("two\n")
        file.flush()
        assert read(tail) == ["two"]
        file.write("three\n")
    write(log, "four\n")
    assert read(tail) == ["three", "four"]


def test_of_a_huge_log_the_end_alone_is_read(log: Path) -> None:
    with open(log, "wb") as file:
        file.truncate(10 * FIRST_SIGHT)
        file.seek(0, 2)
        file.write(b"x" * 100 + b"\n" + b"last line\n")
    tail = Tail(str(log))
    assert read(tail)[-1] == "last line"


def test_a_pipe_and_a_folder_are_never_opened(log: Path) -> None:
    os.mkfifo(log)
    tail = Tail(str(log))
    assert read(tail) == []
    assert tail.problems["absent"] == f"{log}: the log is no regular file, so it is not opened"
    log.unlink()
    log.mkdir()
    assert read(tail) == []
    assert "no regular file" in tail.problems["absent"]


def test_a_line_without_end_takes_bounded_memory_and_is_said_once(log: Path) -> None:
    tail = Tail(str(log))
    write(log, "job start")
    read(tail)
    for _ in range(8):
        write(log, "x" * 500_000)
        tail.read(LIMIT)
        assert len(tail._recent) < 2 * MAX_LINE
        position = tail.position()
    assert "was read in part only" in tail.problems.pop("cut")
    assert position is not None
    assert position.skipping
    again = Tail(str(log), position)
    write(log, " end\nnext\n")
    assert read(tail) == ["next"]
    assert read(again) == ["next"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp949", "utf-16"])
def test_korean_is_read_in_every_encoding_an_app_may_write(log: Path, encoding: str) -> None:
    with open(log, "w", encoding=encoding) as file:
        file.write("잡담\n" * 3 + "스케줄러 시작 (주기: 30분)\n")
    batch = Tail(str(log)).read(LIMIT)
    found = [line.text for block in batch.blocks for line in telling(block)]
    assert found == ["스케줄러 시작 (주기: 30분)"]


@given(st.binary(max_size=300))
def test_no_bytes_are_an_error(data: bytes) -> None:
    for encoding in _ENCODINGS:
        splitter = Splitter(0, encoding)
        blocks = [splitter.feed(b"job " + data), splitter.finish()]
        texts([block for block in blocks if block is not None])
