"""The tables inside a group's file, and the SQL that touches them.

What always holds: a document lives in `t_<table>` under its number `r` and its key `k`; each of its index entries in
`i_<index>`; `journal` has one row per commit that changed something. `counters` are those of the commit named in its
row 0 (`largest`), and the journal has every commit since: writing them with each commit would cost a page of the log.
SQL is built here and only here. Version 1 of the format; see decision 0002 for the shape of the tables.
"""

from typing import Final

from rethought.store.model import IndexId, TableId

APPLICATION_ID: Final = 0x52746874  # "Rtht"
FORMAT_VERSION: Final = 1

SCHEMA: Final = f"""
CREATE TABLE meta(name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE counters(t INTEGER PRIMARY KEY, docs INTEGER NOT NULL, bytes INTEGER NOT NULL, largest INTEGER NOT NULL);
CREATE TABLE journal(seq INTEGER PRIMARY KEY, time REAL NOT NULL, entries BLOB NOT NULL);
INSERT INTO counters VALUES(0, 0, 0, 0);
PRAGMA application_id = {APPLICATION_ID};
PRAGMA user_version = {FORMAT_VERSION};
"""

META_GET: Final = "SELECT value FROM meta WHERE name=?"
META_ITEMS: Final = "SELECT name, value FROM meta WHERE name>=? AND name<? ORDER BY name"
META_PUT: Final = "INSERT OR REPLACE INTO meta VALUES(?,?)"
META_DELETE: Final = "DELETE FROM meta WHERE name=?"
COUNTER: Final = "SELECT docs, bytes, largest FROM counters WHERE t=?"
PIN: Final = "SELECT t FROM counters WHERE t=0"
COUNTERS: Final = "SELECT t, docs, bytes, largest FROM counters"
COUNTER_PUT: Final = "INSERT OR REPLACE INTO counters VALUES(?,?,?,?)"
COUNTER_DELETE: Final = "DELETE FROM counters WHERE t=?"
JOURNAL_PUT: Final = "INSERT INTO journal VALUES(?,?,?)"
JOURNAL_READ: Final = "SELECT seq, time, entries FROM journal WHERE seq>? ORDER BY seq LIMIT ?"
JOURNAL_FIRST: Final = "SELECT min(seq) FROM journal"
JOURNAL_OLDEST: Final = "SELECT seq, time, length(entries) FROM journal ORDER BY seq LIMIT ?"
JOURNAL_TRIM: Final = "DELETE FROM journal WHERE seq<=?"


def table_name(table: TableId) -> str:
    return f"t_{table}"


def index_name(index: IndexId) -> str:
    return f"i_{index}"


def create_table(table: TableId) -> str:
    return f"CREATE TABLE t_{table}(r INTEGER PRIMARY KEY, k BLOB NOT NULL UNIQUE, d BLOB NOT NULL)"


def create_index(index: IndexId) -> str:
    return (
        f"CREATE TABLE i_{index}(ik BLOB NOT NULL, k BLOB NOT NULL, tag INTEGER NOT NULL, "
        "r INTEGER NOT NULL, PRIMARY KEY(ik, k, tag)) WITHOUT ROWID"
    )


class Range:
    """The statements that read one kind of range; parameters are the lower end's, the upper end's, then the limit."""

    __slots__ = ("by_entry", "descending", "docs", "page", "position", "rows", "sizes", "tally")

    def __init__(self, source: str, where: str, order: str, columns: str, edge: str) -> None:
        tail = f"FROM {source} {where} ORDER BY {order} LIMIT ?"
        joined = "CAST(group_concat(d) AS BLOB), count(*)"
        self.rows = f"SELECT d, {columns} {tail}"
        self.docs = f"SELECT d {tail}"
        self.sizes = f"SELECT length(d) {tail}"
        if edge:  # the key where the page ends, out of the same pass
            self.page = f"SELECT {joined}, {edge}({columns}) FROM (SELECT d, {columns} {tail})"
        else:
            self.page = f"SELECT {joined} FROM (SELECT d {tail})"
        self.position = f"SELECT {columns} {tail} OFFSET ?"
        self.by_entry = False  # of an index: the tally is one of keys
        self.descending = False
        # How many documents (of an index: entries for each key); what lies outside the keys is not read.
        self.tally = f"SELECT count(*), {edge}({columns}) FROM (SELECT {columns} {tail})"


NONE: Final = 0
CLOSED: Final = 1
OPEN: Final = 2
AFTER: Final = 3
"""How a range ends on one side: not at all, with the bound, before the bound, or after a `Position` of an index."""

_LOWER: Final = ("", "{0} >= ?", "{0} > ?", "({1}) > (?, ?, ?)")
_UPPER: Final = ("", "{0} <= ?", "{0} < ?", "({1}) < (?, ?, ?)")


def _where(key: str, position: str, lower: int, upper: int) -> str:
    parts = [_LOWER[lower].format(key, position), _UPPER[upper].format(key, position)]
    text = " AND ".join(part for part in parts if part)
    return f"WHERE {text}" if text else ""


class TableSql:
    """The statements of one table; each text is one object, so that SQLite's statement cache finds it fast."""

    __slots__ = (
        "_ranges",
        "delete",
        "get",
        "insert",
        "insert_new",
        "locate",
        "name",
        "scan_any",
        "update",
    )

    def __init__(self, table: TableId) -> None:
        self.name = name = table_name(table)
        self.get = f"SELECT d FROM {name} WHERE k=?"
        self.locate = f"SELECT r, d FROM {name} WHERE k=?"
        self.insert = f"INSERT INTO {name}(k, d) VALUES(?,?)"
        self.insert_new = f"{self.insert} ON CONFLICT DO NOTHING"
        self.update = f"UPDATE {name} SET d=? WHERE r=?"
        self.delete = f"DELETE FROM {name} WHERE r=?"
        self.scan_any = Range(name, "WHERE r > ?", "r", "r", "max")
        self._ranges: dict[int, Range] = {}

    def range(self, lower: int, upper: int, descending: bool) -> Range:
        code = lower | upper << 2 | descending << 4
        found = self._ranges.get(code)
        if found is None:
            order, edge = ("k DESC", "min") if descending else ("k", "max")
            found = self._ranges[code] = Range(
                self.name, _where("k", "", lower, upper), order, "k", edge
            )
        return found


class IndexSql:
    """The statements of one index."""

    __slots__ = ("_ranges", "delete", "insert", "merge", "name", "source")

    def __init__(self, table: TableId, index: IndexId) -> None:
        self.name = name = index_name(index)
        # CROSS JOIN: SQLite keeps the order of the two, the index outside and one document for each entry.
        self.source = f"{name} AS i CROSS JOIN {table_name(table)} AS t ON t.r = i.r"
        self.insert = f"INSERT OR REPLACE INTO {name} VALUES(?,?,?,?)"
        self.merge = f"INSERT OR IGNORE INTO {name} VALUES(?,?,?,?)"
        self.delete = f"DELETE FROM {name} WHERE ik=? AND k=? AND tag=?"
        self._ranges: dict[int, Range] = {}

    def range(self, lower: int, upper: int, descending: bool) -> Range:
        code = lower | upper << 2 | descending << 4
        found = self._ranges.get(code)
        if found is None:
            columns = "i.ik, i.k, i.tag"
            order = "i.ik DESC, i.k DESC, i.tag DESC" if descending else columns
            where = _where("i.ik", columns, lower, upper)
            found = Range(self.source, where, order, columns, "")
            entries = f"FROM {self.name} AS i {where}"
            found.position = f"SELECT {columns} {entries} ORDER BY {order} LIMIT ? OFFSET ?"
            keys = f"SELECT i.ik AS ik {entries} ORDER BY {order} LIMIT ?"
            found.by_entry = True
            found.descending = descending
            found.tally = f"SELECT ik, count(*) FROM ({keys}) GROUP BY ik"
            self._ranges[code] = found
        return found
