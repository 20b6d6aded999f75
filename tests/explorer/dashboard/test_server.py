from __future__ import annotations

import builtins
import socket
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from explorer.core.errors import ExplorerError
from explorer.dashboard.server import serving
from tests import large_study
from tests.chromium import served
from tests.explorer.command import dlas


def ask(address: str, host: str | None = None, path: str = "") -> tuple[int, str, Any]:
    request = urllib.request.Request(address + path, headers={} if host is None else {"Host": host})
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status, answer.read().decode(), answer.headers
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode(), error.headers


def test_a_page_elsewhere_cannot_read_by_a_name_of_its_own(address: str) -> None:
    port = address.rstrip("/").rpartition(":")[2]
    assert ask(address)[0] == 200
    assert ask(address, f"localhost:{port}")[0] == 200
    for host in ("evil.example", f"evil.example:{port}", "127.0.0.1", f"127.0.0.1:{int(port) + 1}"):
        code, text, _ = ask(address, host)
        assert code == 403
        assert "large" not in text
        assert ask(address, host, "_dash-layout")[0] == 403


def test_the_browser_is_told_to_ask_nobody_else(address: str) -> None:
    policy = ask(address)[2]["Content-Security-Policy"]
    assert policy.startswith("default-src 'self';")
    assert "http" not in policy
    assert "unsafe-inline" not in policy.partition("script-src")[2].partition(";")[0]


def test_it_listens_on_the_loopback_address_alone(workspace: Path) -> None:
    with serving(workspace, 0) as server:
        assert server.server_address[0] == "127.0.0.1"


def test_debugging_is_off(address: str) -> None:
    assert '"hot_reload"' not in ask(address)[1]
    for path in ("console", "?__debugger__=yes&cmd=resource&f=debugger.js", "_reload-hash"):
        assert "debugger" not in ask(address, path=path)[1].lower()
    assert ask(address, path="_mcp")[1] == "" or "mcp" not in ask(address, path="_mcp")[1].lower()


def test_a_port_that_is_taken_is_one_sentence(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert dlas("dashboard", "--workspace", workspace, "--port", port) == 2
    told = capsys.readouterr().err
    assert told == (
        f"error: port {port} cannot be taken (Address already in use); choose another one with --port, or 0 for a free "
        "one\n"
    )


def test_a_workspace_without_studies_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert dlas("dashboard", "--workspace", tmp_path / "none") == 2
    assert capsys.readouterr().err.startswith("error: no study in workspace")


def test_without_dash_the_command_to_install_it_is_told(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *arguments: Any, **options: Any) -> Any:
        if name.partition(".")[0] == "dash" or name == "explorer.dashboard.app":
            raise ModuleNotFoundError(f"No module named '{name}'", name="dash")
        return real(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ExplorerError, match=r"pip install 'dlas-explorer\[dashboard\]'"), serving(workspace, 0):
        pass


def test_records_that_cannot_be_read_any_more_do_not_end_it(growing: Path) -> None:
    large_study.grow(growing, range(5))
    with served(growing) as address:
        (growing / "study.db").write_bytes(b"no database")
        assert ask(address)[0] == 200
        assert ask(address, path="_dash-layout")[0] == 200
