"""The text format of metrics."""

from rethought.web.exposition import exposition


def test_a_family_has_help_type_and_samples() -> None:
    text = exposition([("a_total", "counter", "What\nit is.", [({}, 3), ({"t": 'x"\\\n'}, 0.5)])])
    assert text.decode().splitlines() == [
        "# HELP rethought_a_total What\\nit is.",
        "# TYPE rethought_a_total counter",
        "rethought_a_total 3",
        'rethought_a_total{t="x\\"\\\\\\n"} 0.5',
    ]
