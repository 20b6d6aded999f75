"""A real tracker and server that are taken, gone or stuck, and other programs in their place: each is said at once."""

from __future__ import annotations

import contextlib
import http.server
import json
import os
import re
import socket
import struct
import threading
import time
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from tvm import rpc as tvm_rpc
from tvm.rpc import base
from tvm.rpc.base import TrackerCode

from explorer.core.errors import DeviceError
from explorer.line.device import rpc, tracker
from explorer.line.device.tracker import Tracker
from explorer.line.execution import Execution, executing
from tests.boards import board

CORES = sorted(os.sched_getaffinity(0))
KEY = "local"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a tracker with one server."""
    with board(KEY, CORES[:1], tmp_path_factory.mktemp("served") / "log") as address:
        yield address


@contextlib.contextmanager
def listening() -> Iterator[socket.socket]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener


def address_of(listener: socket.socket) -> str:
    return f"127.0.0.1:{listener.getsockname()[1]}"


@contextlib.contextmanager
def registered(address: str, key: str, port: int) -> Iterator[None]:
    """Register a server at `port` with a tracker, as TVM's servers do."""
    host, _, own = address.rpartition(":")
    with socket.create_connection((host, int(own))) as connection:
        connection.sendall(struct.pack("<i", base.RPC_TRACKER_MAGIC))
        base.recvall(connection, 4)
        for message in (
            [TrackerCode.UPDATE_INFO, {"key": f"server:{key}", "addr": ["127.0.0.1", port]}],
            [TrackerCode.PUT, key, [port, f"{key}:0.5"], "127.0.0.1"],
        ):
            base.sendjson(connection, message)
            assert base.recvjson(connection) == TrackerCode.SUCCESS
        yield


def test_a_server_that_serves_another_session_is_said_and_served_again_afterwards(served: str) -> None:
    session = rpc.connect(served, KEY, 60)
    start = time.monotonic()
    with pytest.raises(DeviceError) as refused:
        rpc.connect(served, KEY, 60, patience=0.5)
    assert time.monotonic() - start < 2
    assert str(refused.value) == (
        f"the server of device 'local' at {served} serves another session, and serves one at a time; try again when "
        "the study or check that holds it has ended, or start the server again to end that"
    )
    threading.Timer(0.3, session.get_function("CloseRPCConnection")).start()
    assert rpc.round_trip(rpc.connect(served, KEY, 60, patience=20)) > 0, "it waits for its turn"


def test_who_waits_for_a_device_is_told(served: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracker, "QUIET_SECONDS", 0.1)
    told: list[Mapping[str, Any]] = []
    with registered(served, "one", 9), executing(Execution(tell=told.append)):
        holder = Tracker(served, "one")
        holder.granted(1)
        with pytest.raises(DeviceError, match="serves another session"):
            Tracker(served, "one").granted(0.3)
    assert told == [{"note": "device 'one' serves another session; waiting for it, 0 s at most"}]


def test_servers_that_all_serve_others_are_counted(served: str) -> None:
    with registered(served, "pair", 9), registered(served, "pair", 9):
        for _ in range(2):
            Tracker(served, "pair").granted(1)
        with pytest.raises(DeviceError, match=r"^each of the 2 servers of device 'pair' at .* serves another session"):
            Tracker(served, "pair").granted(0.1)


def test_a_server_that_is_gone_without_a_word_is_named(served: str) -> None:
    with listening() as listener:
        port = listener.getsockname()[1]
    expected = f"^the tracker at {served} names 127.0.0.1:{port} as the server of device 'gone', which does not answer"
    with registered(served, "gone", port), pytest.raises(DeviceError, match=expected):
        rpc.connect(served, "gone", 60)


def test_a_server_that_hangs_is_given_up(served: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rpc, "SERVER_SECONDS", 0.3)
    with (
        listening() as listener,
        registered(served, "stuck", listener.getsockname()[1]),
        pytest.raises(DeviceError, match=r"'stuck', which does not answer \(no answer for 0.3 s\); start the server"),
    ):
        rpc.connect(served, "stuck", 60)


def test_a_key_without_a_server_is_said_with_the_command_to_start_one(served: str) -> None:
    with pytest.raises(DeviceError, match=f"the tracker at {served} has no server for device 'rpi4'; .*rpc_server"):
        rpc.connect(served, "rpi4", 60)


def no_tracker(address: str, cause: str) -> str:
    return rf"^the program that listens at {address} does not answer as an RPC tracker does \({cause}"


def test_a_web_server_is_no_tracker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracker, "ANSWER_SECONDS", 0.3)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,)).start()
        address = address_of(server.socket)
        try:
            with pytest.raises(DeviceError, match=no_tracker(address, "timed out")):
                Tracker(address, KEY)
        finally:
            server.shutdown()


def test_the_port_of_a_server_is_not_that_of_its_tracker(served: str) -> None:
    host, _, port = served.rpartition(":")
    summary = tvm_rpc.connect_tracker(host, int(port)).summary()
    (own,) = (each["addr"][1] for each in summary["server_info"] if each["key"] == f"server:{KEY}")
    with pytest.raises(DeviceError, match=no_tracker(f"{host}:{own}", "connection reset")):
        Tracker(f"{host}:{own}", KEY)
    assert rpc.round_trip(rpc.connect(served, KEY, 60)) > 0, "the server has not minded"


def message(value: object) -> bytes:
    text = json.dumps(value).encode()
    return struct.pack("<i", len(text)) + text


@contextlib.contextmanager
def answering(*words: bytes) -> Iterator[str]:
    """Serve one connection: each time that it says something, answer with the next of the words; give the address."""

    def answer() -> None:
        connection, _ = listener.accept()
        with connection, contextlib.suppress(OSError):
            for word in words:
                connection.recv(4096)
                connection.sendall(word)
            connection.shutdown(socket.SHUT_WR)
            connection.recv(4096)

    with listening() as listener:
        thread = threading.Thread(target=answer)
        thread.start()
        yield address_of(listener)
        thread.join()


TRACKER = struct.pack("<i", base.RPC_TRACKER_MAGIC)  # what a tracker begins with
SUMMARY = message([TrackerCode.SUCCESS, {"server_info": [{"key": f"server:{KEY}"}]}])


@pytest.mark.parametrize(
    ("words", "cause"),
    [
        ([b""], "connection reset"),
        ([b"SSH-2.0-OpenSSH_9.2"], "it answers in another protocol"),
        ([TRACKER, struct.pack("<i", 2) + b"\xff\xfe"], "'utf-8' codec"),
        ([TRACKER, struct.pack("<i", 4) + b"junk"], "Expecting value"),
        ([TRACKER, struct.pack("<i", 1 << 30) + b"["], "connection reset"),
        ([TRACKER, message([TrackerCode.FAIL])], "not enough values"),
        ([TRACKER, message([TrackerCode.SUCCESS, {}])], "'server_info'"),
        ([TRACKER, SUMMARY, message([TrackerCode.FAIL])], "not enough values"),
        ([TRACKER, SUMMARY, message([TrackerCode.SUCCESS, None])], "cannot unpack"),
    ],
)
def test_garbage_is_no_answer_of_a_tracker(words: list[bytes], cause: str) -> None:
    with answering(*words) as address, pytest.raises(DeviceError, match=no_tracker(address, re.escape(cause))):
        Tracker(address, KEY).granted(5)
