"""Values: types, order, pseudotypes, key encoding, JSON. Pure functions over plain Python data.

What always holds: nothing here waits, reads a clock or knows what a table is; only `errors` is imported from outside.
The modules: `values` (what a datum is, checking it), `order` (comparing), `keys` (order as bytes), `text` and
`jsonbytes` (writing it down), `time` and `binary` (two pseudotypes), `coercion` (from one type to another).
"""

from rethought.datum.kinds import MAXVAL, MINVAL, Datum

__all__ = ["MAXVAL", "MINVAL", "Datum"]
