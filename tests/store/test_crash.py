"""`kill -9` at every crash point: what was acknowledged is there, and the file fits together."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from rethought.store import CRASH_POINTS, GroupOptions, IndexId, TableId
from rethought.store.check import check_file
from tests.store.support import FieldRule, Opened, all_documents, fill

ROOT = Path(__file__).parents[2]
ROUNDS = {
    "create.file": [1],
    "write.first": [1, 60],
    "checkpoint.before": [1, 2],
    "index.step": [1, 3],
    "drop.step": [1, 3],
}


@pytest.mark.parametrize(
    ("point", "count"),
    [(point, count) for point in CRASH_POINTS for count in ROUNDS.get(point, [1, 17])],
)
def test_killed_at_a_crash_point(tmp_path: Path, point: str, count: int) -> None:
    path = tmp_path / "killed.db"
    child = subprocess.run(
        [sys.executable, "-m", "tests.store.crashing", str(path), point, str(count)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert child.returncode == -signal.SIGKILL, child.stderr
    lines = [line.split() for line in child.stdout.splitlines()]
    said = {line[0]: int(line[1]) for line in lines if line[0] in ("table", "index")}
    promised = [int(line[1]) for line in lines if line[0] in ("soft", "hard")]
    assert all(line[2] == "None" for line in lines if len(line) == 3)

    home = Opened(path)
    group = home.group
    assert group.seq >= max(promised, default=0)
    assert [commit.seq for commit in group.journal(0)] == list(range(1, group.seq + 1))
    tables = group.tables
    rules = {}
    if tables:
        table = TableId(said["table"])
        assert table in tables
        found = all_documents(group, table)
        assert len(found) % 3 == 0
        assert sorted(doc["id"] for doc in found.values()) == list(range(len(found)))
        assert len(found) // 3 >= len(promised)
        for index in group.indexes(table):
            assert index == said["index"]
            rules[IndexId(index)] = FieldRule("a")
            group.set_rules(table, rules)
            home.loop.run_until(lambda index=index: group.index_ready(index))
        fill(group, table, 1, start=1_000_000)
    home.loop.settle()
    home.close()
    assert list(filter(None, check_file(path, GroupOptions(), rules))) == []
