"""The official JavaScript drivers, unmodified, against a server."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.waiting import PATIENCE_S
from tools.serverprocess import running

HERE = Path(__file__).parent


@pytest.mark.parametrize("driver", ["rethinkdb", "rethinkdb-ts"])
def test_a_javascript_driver_works_unmodified(driver: str, tmp_path: Path) -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed")
    if not (HERE / "node_modules" / driver).exists():
        pytest.skip(f"the npm package {driver} is not installed; `make setup` does it")
    with running(tmp_path / "data") as server:
        done = subprocess.run(
            [node, str(HERE / "scenario.js"), driver, str(server.port)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=2 * PATIENCE_S,
            check=False,
        )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout == "ok\n"
