"""Damage in the files, as issues for the operator: which table or index it is that cannot be read.

What always holds: one issue for each damaged place; the names are those of now, whatever they were when the damage was
found. Pure; `reporting` calls it.
"""

from typing import TYPE_CHECKING

from rethought.catalog.model import SYSTEM_DATABASE
from rethought.store import place_of_index, place_of_table
from rethought.system.node import Issue

if TYPE_CHECKING:
    from rethought.catalog import Catalog, Database
    from rethought.store import Group


def damage_issues(catalog: "Catalog") -> list[Issue]:
    found = _of_group(SYSTEM_DATABASE, catalog.group, None)
    for database in catalog.user_databases():
        if database.group is not None:
            found += _of_group(database.name, database.group, database)
    return found


def _of_group(name: str, group: "Group", database: "Database | None") -> list[Issue]:
    if not group.damage.places:
        return []
    named = {} if database is None else _names(database)
    issues = []
    for place, finding in group.damage.places.items():
        subject = named.get(place, {})
        what = _described(name, place, subject)
        issues.append(
            Issue(
                type="damaged_file",
                subject=f"{group.path.name}/{place}",
                critical=True,
                info={
                    "file": group.path.name,
                    "db": name,
                    "place": place,
                    **subject,
                    "message": finding,
                },
                description=f"There is damage in {what}: {finding} What is not damaged can be read.",
            )
        )
    return issues


def _names(database: "Database") -> dict[str, dict[str, object]]:
    named: dict[str, dict[str, object]] = {}
    for table in database.tables.values():
        named[place_of_table(table.number)] = {"table": table.name}
        for index in table.indexes.values():
            named[place_of_index(index.number)] = {"table": table.name, "index": index.name}
    return named


def _described(database: str, place: str, subject: dict[str, object]) -> str:
    if "index" in subject:
        return f"index `{subject['index']}` of table `{database}.{subject['table']}`"
    if "table" in subject:
        return f"table `{database}.{subject['table']}`"
    return f"the {place} of database `{database}`"
