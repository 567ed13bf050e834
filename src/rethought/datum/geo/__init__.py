"""Geometry on the sphere and on the ellipsoid. Pure functions over GEOMETRY values.

`shapes` reads and checks geometry, `predicates` tells what meets or holds what, `geodesic` measures, `construct` makes
geometry, `cells` turns geometry into keys of an index and into ranges to search it, `nearest` searches outwards. What
always holds: edges are great-circle arcs; `sphere` alone touches the S2 library and loads it on first use, so a server
that never sees geometry does not pay for it. Callers: `reql.terms.geo`, and those who build and read geo indexes.
"""

from rethought.datum.geo.cells import index_cells, indexed_geometries, query_ranges

__all__ = ["index_cells", "indexed_geometries", "query_ranges"]
