"""Writes docs/terms.md from the table of terms, so that the page cannot say anything else than the code.

Callers: `make docs`; `tests/test_docs.py` checks that the page is what this would write.
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Final

from rethought.reql.spec import Effect, TermSpec
from rethought.reql.term_names import JS_NAMES
from rethought.reql.terms import FAMILIES, NOT_SUPPORTED

PAGE: Final = Path("docs/terms.md")
HEAD: Final = """# Terms

Every term that the server knows, by family; written by `make docs` from the table of terms. A term is named as in the
JavaScript driver; its options have the names of the wire protocol. What a term does is what the RethinkDB documentation
says; `compatibility.md` lists the differences.

In the column *arguments*, `2` is two, `1 – 3` one to three, `1 …` one or more. *Writes* marks the terms that change
something, *reads* those that read tables.
"""


def arity(spec: TermSpec) -> str:
    least, most = spec.arity
    if most is None:
        return f"{least} …"
    return str(least) if least == most else f"{least} – {most}"


def effect(spec: TermSpec) -> str:
    words = [("writes", Effect.WRITE), ("reads", Effect.READ)]
    return ", ".join(word for word, flag in words if flag in spec.effect)


def family(module: ModuleType) -> Iterator[str]:
    title = module.__name__.rpartition(".")[2]
    yield f"\n## {title}\n\n"
    yield "| number | term | arguments | options | effect |\n|---:|---|---|---|---|\n"
    specs: list[TermSpec] = sorted(module.TERMS, key=lambda spec: spec.type)
    for spec in specs:
        options = ", ".join(f"`{option}`" for option in spec.optargs)
        name = JS_NAMES.get(spec.type, spec.name.upper())
        yield f"| {spec.type} | {name} | {arity(spec)} | {options} | {effect(spec)} |\n"


def page() -> str:
    parts = [HEAD]
    for module in FAMILIES:
        parts += family(module)
    parts.append("\n## Not supported\n\n| number | why |\n|---:|---|\n")
    parts += [f"| {number} | {reason} |\n" for number, reason in sorted(NOT_SUPPORTED.items())]
    return "".join(parts)


def main() -> int:
    PAGE.write_text(page())
    print(f"{PAGE}: written")
    return 0


if __name__ == "__main__":
    sys.exit(main())
