"""Metrics as text, in the format Prometheus reads (version 0.0.4).

What always holds: every metric's name begins with `rethought_`; a label's value may be any text. Pure functions; what
is measured comes from `system.reporting`. Written by hand: it is thirty lines, and the library for it counts things as
they happen, which would cost every query (decision 0014).
"""

from collections.abc import Iterable, Sequence
from typing import Final

TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
PREFIX: Final = "rethought_"

Family = tuple[str, str, str, Sequence[tuple[dict[str, str], float]]]
"""Name, kind, help, and values by labels."""


def exposition(families: Iterable[Family]) -> bytes:
    lines: list[str] = []
    for name, kind, help_, samples in families:
        full = PREFIX + name
        lines += [f"# HELP {full} {_help(help_)}", f"# TYPE {full} {kind}"]
        lines += [f"{full}{_labels(labels)} {_number(value)}" for labels, value in samples]
    return ("\n".join(lines) + "\n").encode()


def _help(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n")


def _labels(labels: dict[str, str]) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{name}="{_value(value)}"' for name, value in labels.items()) + "}"


def _value(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(float(value))
