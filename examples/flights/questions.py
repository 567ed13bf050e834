"""The questions: each a ReQL query, and the same answer computed from the files in plain Python.

What always holds: `QUESTIONS` is the whole list; the two sides share no code; floats are compared to nine digits.
Callers: `examples.flights.__main__`.
"""

import math
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from statistics import fmean
from typing import Any, Final

from geographiclib.geodesic import Geodesic
from rethinkdb import r

from examples.flights.data import Document

LOS_ANGELES: Final = (-118.2437, 34.0522)


@dataclass(frozen=True, slots=True)
class Facts:
    """The documents as they were loaded."""

    flights: list[Document]
    movies: list[Document]
    quakes: list[Document]


@dataclass(frozen=True, slots=True)
class Question:
    """A question in words, in ReQL, and in Python."""

    words: str
    ask: Callable[[], Any]
    expect: Callable[[Facts], Any]


def same(left: Any, right: Any) -> bool:
    """Equal, floats to nine digits; sequences in order."""
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, int | float) and isinstance(right, int | float):
        return math.isclose(left, right, rel_tol=1e-9, abs_tol=1e-9)
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(same(left[k], right[k]) for k in left)
    if isinstance(left, list | tuple) and isinstance(right, list | tuple):
        return len(left) == len(right) and all(map(same, left, right))
    return bool(left == right)


def grouped(rows: Iterable[Document], key: Callable[[Document], Any]) -> dict[Any, list[Document]]:
    groups: dict[Any, list[Document]] = defaultdict(list)
    for row in rows:
        groups[key(row)].append(row)
    return dict(groups)


def has(row: Document, *names: str) -> bool:
    return all(row[name] is not None for name in names)


def metres(quake: Document) -> float:
    longitude, latitude = quake["at"]
    line = Geodesic.WGS84.Inverse(LOS_ANGELES[1], LOS_ANGELES[0], latitude, longitude)
    return float(line["s12"])


def best_genres(facts: Facts) -> list[tuple[str, float]]:
    rated = [m for m in facts.movies if has(m, "Major Genre", "IMDB Rating")]
    groups = grouped(rated, lambda m: m["Major Genre"])
    means = [(genre, fmean(m["IMDB Rating"] for m in rows)) for genre, rows in groups.items()]
    return sorted(means, key=lambda pair: -pair[1])[:5]


def top_directors(facts: Facts) -> list[int]:
    known = [m for m in facts.movies if has(m, "Director", "Worldwide Gross")]
    groups = grouped(known, lambda m: m["Director"])
    return sorted((sum(m["Worldwide Gross"] for m in g) for g in groups.values()), reverse=True)[:5]


def title_words(facts: Facts, *words: str) -> int:
    """Films whose title has one of the words; one film counts once per word."""
    counted = 0
    for movie in facts.movies:
        title = "null" if movie["Title"] is None else str(movie["Title"])
        counted += len(set(title.split()) & set(words))
    return counted


def quakes_by_day(facts: Facts) -> dict[int, int]:
    return dict(
        Counter(datetime.fromtimestamp(q["time"] / 1000, UTC).day for q in facts.quakes),
    )


def median_delay(facts: Facts) -> int:
    delays = sorted(f["delay"] for f in facts.flights)
    return int(delays[len(delays) // 2])


def flight_questions() -> list[Question]:
    table = r.table("flights")
    return [
        Question(
            "How many flights were more than an hour late?",
            lambda: table.filter(r.row["delay"] > 60).count(),
            lambda facts: sum(f["delay"] > 60 for f in facts.flights),
        ),
        Question(
            "How late are flights on average, by distance in steps of 500 miles?",
            lambda: table.group((r.row["distance"] / 500).floor()).avg("delay"),
            lambda facts: {
                band: fmean(f["delay"] for f in rows)
                for band, rows in grouped(facts.flights, lambda f: f["distance"] // 500).items()
            },
        ),
        Question(
            "How many flights leave in each hour of the day?",
            lambda: table.group(r.row["time"].floor()).count(),
            lambda facts: dict(Counter(math.floor(f["time"]) for f in facts.flights)),
        ),
        Question(
            "What are the ten worst delays?",
            lambda: table.order_by(index=r.desc("delay")).limit(10)["delay"].coerce_to("array"),
            lambda facts: sorted((f["delay"] for f in facts.flights), reverse=True)[:10],
        ),
        Question(
            "What is the median delay?",
            lambda: table.order_by(index="delay").nth((table.count() / 2).floor())["delay"],
            median_delay,
        ),
        Question(
            "How many were two to three hours late?",
            lambda: table.between(120, 180, index="delay", right_bound="closed").count(),
            lambda facts: sum(120 <= f["delay"] <= 180 for f in facts.flights),
        ),
        Question(
            "How many that left between five and six in the afternoon were an hour late?",
            lambda: table.between([17, 60], [17, r.maxval], index="hour_delay").count(),
            lambda facts: sum(
                math.floor(f["time"]) == 17 and f["delay"] >= 60 for f in facts.flights
            ),
        ),
        Question(
            "How many minutes were lost on flights of 1452 or 2227 miles?",
            lambda: table.get_all(1452, 2227, index="distance").sum("delay"),
            lambda facts: sum(f["delay"] for f in facts.flights if f["distance"] in (1452, 2227)),
        ),
        Question(
            "How many miles were flown late, and how many on time?",
            lambda: table.map(
                lambda f: r.branch(
                    f["delay"] > 0,
                    {"late": f["distance"], "fine": 0},
                    {"late": 0, "fine": f["distance"]},
                )
            ).reduce(
                lambda a, b: {"late": a["late"] + b["late"], "fine": a["fine"] + b["fine"]},
            ),
            lambda facts: {
                "late": sum(f["distance"] for f in facts.flights if f["delay"] > 0),
                "fine": sum(f["distance"] for f in facts.flights if f["delay"] <= 0),
            },
        ),
        Question(
            "What share of flights is no more than ten minutes late?",
            lambda: r.expr([table.filter(r.row["delay"] <= 10).count(), table.count()]).do(
                lambda pair: pair[0] / pair[1]
            ),
            lambda facts: sum(f["delay"] <= 10 for f in facts.flights) / len(facts.flights),
        ),
        Question(
            "How many different distances are there?",
            lambda: table.distinct(index="distance").count(),
            lambda facts: len({f["distance"] for f in facts.flights}),
        ),
        Question(
            "Which flight of each distance band goes furthest, and how far?",
            lambda: table.group((r.row["distance"] / 1000).floor()).max("distance")["distance"],
            lambda facts: {
                band: max(f["distance"] for f in rows)
                for band, rows in grouped(facts.flights, lambda f: f["distance"] // 1000).items()
            },
        ),
    ]


def movie_questions() -> list[Question]:
    table = r.table("movies")
    return [
        Question(
            "Which five genres are rated best?",
            lambda: (
                table.has_fields("Major Genre", "IMDB Rating")
                .group("Major Genre")
                .avg("IMDB Rating")
                .ungroup()
                .order_by(r.desc("reduction"))
                .limit(5)
                .map(lambda g: [g["group"], g["reduction"]])
            ),
            best_genres,
        ),
        Question(
            "What did the films of the five best-earning directors earn?",
            lambda: (
                table.has_fields("Director", "Worldwide Gross")
                .group("Director")
                .sum("Worldwide Gross")
                .ungroup()
                .order_by(r.desc("reduction"))
                .limit(5)["reduction"]
            ),
            top_directors,
        ),
        Question(
            "How many titles begin with `The`?",
            lambda: table.filter(
                (r.row["Title"].type_of() == "STRING") & r.row["Title"].match("^The ")
            ).count(),
            lambda facts: sum(bool(re.match("The ", str(m["Title"]))) for m in facts.movies),
        ),
        Question(
            "How many films came out in each year?",
            lambda: table.group(r.row["Release Date"].split(" ").nth(-1)).count(),
            lambda facts: dict(Counter(m["Release Date"].split(" ")[-1] for m in facts.movies)),
        ),
        Question(
            "How many titles have the words `Love` or `War`? (a multi index)",
            lambda: table.get_all("Love", "War", index="words").count(),
            lambda facts: title_words(facts, "Love", "War"),
        ),
        Question(
            "How many dramas and westerns are there? (an index, joined to a table made from it)",
            lambda: (
                r.table("genres")
                .get_all("Drama", "Western")
                .eq_join("id", table, index="genre")
                .without({"left": {"films": True}})
                .zip()
                .group("genre")
                .count()
            ),
            lambda facts: dict(
                Counter(
                    m["Major Genre"]
                    for m in facts.movies
                    if m["Major Genre"] in ("Drama", "Western")
                )
            ),
        ),
        Question(
            "How many films of each genre did the table of genres count?",
            lambda: r.table("genres").order_by("id").map(lambda g: [g["id"], g["films"]]),
            lambda facts: sorted(
                Counter(m["Major Genre"] for m in facts.movies if m["Major Genre"]).items()
            ),
        ),
    ]


def quake_questions() -> list[Question]:
    table = r.table("quakes")
    here = r.point(*LOS_ANGELES)
    return [
        Question(
            "How many quakes were there on each day of the month?",
            lambda: table.group(r.epoch_time(r.row["time"] / 1000).day()).count(),
            quakes_by_day,
        ),
        Question(
            "Which kinds of data were reported, and how often?",
            lambda: (
                table.concat_map(lambda q: q["types"].split(","))
                .filter(lambda kind: kind != "")
                .group(lambda kind: kind)
                .count()
            ),
            lambda facts: dict(
                Counter(kind for q in facts.quakes for kind in q["types"].split(",") if kind)
            ),
        ),
        Question(
            "How far from Los Angeles were the five nearest, in metres?",
            lambda: table.get_nearest(here, index="where", max_results=5, max_dist=1_000_000)[
                "dist"
            ],
            lambda facts: sorted(map(metres, facts.quakes))[:5],
        ),
        Question(
            "How many were within 200 km of Los Angeles?",
            lambda: table.get_nearest(
                here, index="where", max_results=10_000, max_dist=200, unit="km"
            ).count(),
            lambda facts: sum(metres(q) <= 200_000 for q in facts.quakes),
        ),
        Question(
            "What was the strongest quake in Alaska?",
            lambda: table.filter(r.row["place"].match("Alaska$")).max("mag")["mag"],
            lambda facts: max(q["mag"] for q in facts.quakes if q["place"].endswith("Alaska")),
        ),
    ]


def questions() -> list[Question]:
    return [*flight_questions(), *movie_questions(), *quake_questions()]


def create_genres(conn: Any) -> int:
    """A table made from a query: how many films each genre has."""
    r.table_create("genres").run(conn)
    counted = r.table("movies").has_fields("Major Genre").group("Major Genre").count().ungroup()
    made = r.table("genres").insert(
        counted.map(lambda g: {"id": g["group"], "genre": g["group"], "films": g["reduction"]})
    )
    inserted: int = made.run(conn)["inserted"]
    return inserted
