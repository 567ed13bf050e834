"""What the JavaScript driver calls each term; for printing only.

What always holds: a term without a row here is printed by its number. `ROOT_TERMS` are written on `r` rather than on
their first argument, `CONSTANTS` without a call.
"""

from typing import Final

JS_NAMES: Final[dict[int, str]] = {
    11: "js", 12: "error", 14: "db", 15: "table", 16: "get", 17: "eq", 18: "ne", 19: "lt", 20: "le",
    21: "gt", 22: "ge", 23: "not", 24: "add", 25: "sub", 26: "mul", 27: "div", 28: "mod",
    29: "append", 30: "slice", 31: "getField", 32: "hasFields", 33: "pluck", 34: "without",
    35: "merge", 36: "between", 37: "reduce", 38: "map", 39: "filter", 40: "concatMap",
    41: "orderBy", 42: "distinct", 43: "count", 44: "union", 45: "nth", 48: "innerJoin",
    49: "outerJoin", 50: "eqJoin", 51: "coerceTo", 52: "typeOf", 53: "update", 54: "delete",
    55: "replace", 56: "insert", 57: "dbCreate", 58: "dbDrop", 59: "dbList", 60: "tableCreate",
    61: "tableDrop", 62: "tableList", 64: "do", 65: "branch", 66: "or", 67: "and", 68: "forEach",
    70: "skip", 71: "limit", 72: "zip", 73: "asc", 74: "desc", 75: "indexCreate", 76: "indexDrop",
    77: "indexList", 78: "getAll", 79: "info", 80: "prepend", 81: "sample", 82: "insertAt",
    83: "deleteAt", 84: "changeAt", 85: "spliceAt", 86: "isEmpty", 87: "offsetsOf",
    88: "setInsert", 89: "setIntersection", 90: "setUnion", 91: "setDifference", 92: "default",
    93: "contains", 94: "keys", 95: "difference", 96: "withFields", 97: "match", 98: "json",
    99: "ISO8601", 100: "toISO8601", 101: "epochTime", 102: "toEpochTime", 103: "now",
    104: "inTimezone", 105: "during", 106: "date", 107: "monday", 108: "tuesday",
    109: "wednesday", 110: "thursday", 111: "friday", 112: "saturday", 113: "sunday",
    114: "january", 115: "february", 116: "march", 117: "april", 118: "may", 119: "june",
    120: "july", 121: "august", 122: "september", 123: "october", 124: "november",
    125: "december", 126: "timeOfDay", 127: "timezone", 128: "year", 129: "month", 130: "day",
    131: "dayOfWeek", 132: "dayOfYear", 133: "hours", 134: "minutes", 135: "seconds", 136: "time",
    137: "literal", 138: "sync", 139: "indexStatus", 140: "indexWait", 141: "upcase",
    142: "downcase", 143: "object", 144: "group", 145: "sum", 146: "avg", 147: "min", 148: "max",
    149: "split", 150: "ungroup", 151: "random", 152: "changes", 153: "http", 154: "args",
    155: "binary", 156: "indexRename", 157: "geojson", 158: "toGeojson", 159: "point", 160: "line",
    161: "polygon", 162: "distance", 163: "intersects", 164: "includes", 165: "circle",
    166: "getIntersecting", 167: "fill", 168: "getNearest", 169: "uuid", 170: "bracket",
    171: "polygonSub", 172: "toJSONString", 173: "range", 174: "config", 175: "status",
    176: "reconfigure", 177: "wait", 179: "rebalance", 180: "minval", 181: "maxval",
    182: "between", 183: "floor", 184: "ceil", 185: "round", 186: "values", 187: "fold",
    188: "grant", 189: "setWriteHook", 190: "getWriteHook", 191: "bitAnd", 192: "bitOr",
    193: "bitXor", 194: "bitNot", 195: "bitSal", 196: "bitSar", 197: "format",
}  # fmt: skip

CONSTANTS: Final = frozenset({*range(107, 126), 180, 181})

ROOT_TERMS: Final = frozenset({
    11, 12, 14, 57, 58, 59, 65, 73, 74, 98, 99, 101, 103, 136, 137, 143, 151, 153, 154, 155, 157,
    159, 160, 161, 165, 169, 173,
})  # fmt: skip
