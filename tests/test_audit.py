"""`.ci/audit.py` with the real auditor: what is vulnerable fails, what cannot be asked is a note."""

from __future__ import annotations

import http.server
import importlib.util
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest

ROOT = Path(__file__).parent.parent
INSTALLED = importlib.util.find_spec("pip_audit") is not None
LOCKED = "pyyaml==6.0.3 --hash=sha256:" + "0" * 64 + "\nredis==8.1.0 --hash=sha256:" + "0" * 64 + "\n"
VULN = {
    "id": "PYSEC-2099-1",
    "summary": "bad",
    "modified": "2099-01-01T00:00:00Z",
    "published": "2099-01-01T00:00:00Z",
    "affected": [
        {
            "package": {"name": "pyyaml", "ecosystem": "PyPI"},
            "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "99.1"}]}],
        }
    ],
}


class Advisories(http.server.BaseHTTPRequestHandler):
    """A service in the form of https://google.github.io/osv.dev/post-v1-query/, that knows of `bad`."""

    bad: ClassVar[dict[str, Any]] = {}

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        known = self.bad.get(asked["package"]["name"])
        body = json.dumps({"vulns": [known]} if known else {}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nobody wants to know."""


@pytest.fixture
def service() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Advisories)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/v1/query"
    server.shutdown()
    thread.join()
    server.server_close()


def audit(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    file = folder / "locked.txt"
    file.write_text(LOCKED)
    command = [sys.executable, str(ROOT / ".ci" / "audit.py"), str(file), "--", "--cache-dir", str(folder), *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=50, check=False)


@pytest.mark.skipif(INSTALLED, reason="it is installed")
def test_without_an_auditor_it_is_a_note(tmp_path: Path) -> None:
    ran = audit(tmp_path)
    assert (ran.returncode, ran.stderr) == (0, "note: pip-audit is not installed, so nothing was looked at\n")


@pytest.mark.skipif(not INSTALLED, reason="the auditor is not among the requirements")
class TestAuditor:
    def test_a_vulnerability_fails(self, tmp_path: Path, service: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(Advisories, "bad", {"pyyaml": VULN})
        ran = audit(tmp_path, "-s", "osv", "--osv-url", service)
        assert ran.returncode == 1
        assert ran.stderr == "locked.txt: pyyaml 6.0.3 has PYSEC-2099-1, fixed in 99.1\n"

    def test_none_passes(self, tmp_path: Path, service: str) -> None:
        ran = audit(tmp_path, "-s", "osv", "--osv-url", service)
        assert (ran.returncode, ran.stdout) == (0, "locked.txt: nothing is known against 2 packages\n")

    def test_a_service_out_of_reach_is_a_note(self, tmp_path: Path) -> None:
        ran = audit(tmp_path, "-s", "osv", "--osv-url", "http://127.0.0.1:9/v1/query")
        assert ran.returncode == 0
        assert ran.stderr.startswith("note: locked.txt: no service could be asked, so it was not looked at (")
