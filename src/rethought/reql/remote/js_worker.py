"""The process that JavaScript of queries runs in. Run as a script by `javascript`; imports nothing of this project.

Purpose: code of users can make its engine crash or grow; here that costs one process, not the server. What always
holds: a context sees values as JSON and nothing of the machine; a context belongs to one function of one query; the
process ends when its input does. The protocol: 4 bytes of length and JSON, both ways, one answer for each request.

Request: {"session", "source", "calls": null or [[argument...]...], "timeout_s"}; null evaluates the source itself.
Answer: {"values": [...]}, {"function": true}, or {"error": kind, "message", "values"}; kind is one of "timeout",
"memory", "script"; `values` holds what went well before an error.
"""

import json
import resource
import sys
from collections import OrderedDict
from contextlib import suppress
from typing import Any, BinaryIO

from py_mini_racer import JSOOMException, JSTimeoutException, MiniRacer, init_mini_racer

MEMORY_BYTES = 256 << 20
PROCESS_BYTES = 2 << 30
CONTEXTS_MAX = 8
FLAGS = ("--jitless", "--single-threaded", "--no-expose-wasm", "--stack-size=800")

# Made before the user's code runs and kept out of its reach; what the user's code does to JSON or Array later only
# changes what its own results look like.
PRELUDE = r"""
(() => {
  const { parse, stringify } = JSON;
  const { isArray } = Array;
  const { keys, prototype } = Object;
  const { isFinite: finite } = Number;
  const evaluate = eval;
  const text = String;
  const epoch = Date.prototype.getTime;
  const NativeDate = Date;
  const NativeError = Error;
  for (const name of ['setTimeout', 'clearTimeout', '__timer_manager', 'console', 'WebAssembly',
                      'SharedArrayBuffer', 'Atomics']) {
    if (!delete globalThis[name]) globalThis[name] = undefined;
  }
  const refuse = (what) => { throw { reql: what }; };
  const number = (value) => finite(value) ? value : refuse('Number return value is not finite.');
  const encode = (value, depth) => {
    switch (typeof value) {
      case 'boolean': case 'string': return value;
      case 'number': return number(value);
      case 'bigint': return number(Number(value));
      case 'object': break;
      default: refuse('Cannot convert javascript `' + typeof value + '` to ql::datum_t.');
    }
    if (value === null) return null;
    if (depth > 400) refuse('The JavaScript value is nested too deeply.');
    if (value instanceof NativeDate) {
      return { $reql_type$: 'TIME', epoch_time: number(epoch.call(value) / 1000), timezone: '+00:00' };
    }
    if (isArray(value)) {
      const out = [];
      for (let i = 0; i < value.length; i++) out[i] = encode(value[i], depth + 1);
      return out;
    }
    if (value instanceof Number || value instanceof text || value instanceof Boolean) return value.valueOf();
    const out = { __proto__: null };
    for (const key of keys(value)) out[key] = encode(value[key], depth + 1);
    return out;
  };
  const decode = (value) => {
    if (value === null || typeof value !== 'object') return value;
    if (isArray(value)) return value.map(decode);
    if (value.$reql_type$ === 'TIME') return new NativeDate(value.epoch_time * 1000);
    for (const key of keys(value)) value[key] = decode(value[key]);
    return value;
  };
  const told = (error) => {
    if (error && error.reql) return error.reql;
    try { return text(error); } catch (_) { return 'Error: unknown'; }
  };
  let made;
  return (request) => {
    const { source, call } = parse(request);
    try {
      if (source !== null) made = evaluate(source);
      if (call === null) {
        if (typeof made === 'function') return stringify({ __proto__: null, f: 1 });
        return stringify({ __proto__: null, v: encode(made, 0) });
      }
      return stringify({ __proto__: null, v: encode(made(...call.map(decode)), 0) });
    } catch (error) {
      return stringify({ __proto__: null, e: told(error) });
    }
  };
})()
"""


class Contexts:
    """The contexts of recent functions."""

    def __init__(self) -> None:
        self._open: OrderedDict[str, tuple[MiniRacer, Any]] = OrderedDict()

    def has(self, session: str) -> bool:
        return session in self._open

    def entry(self, session: str) -> Any:
        """What runs requests in the session's context; a new one when it is unknown."""
        found = self._open.get(session)
        if found is None:
            while len(self._open) >= CONTEXTS_MAX:
                _, (oldest, _) = self._open.popitem(last=False)
                oldest.close()
            racer = MiniRacer()
            racer.set_hard_memory_limit(MEMORY_BYTES)
            found = self._open[session] = (racer, racer.eval(PRELUDE))
        self._open.move_to_end(session)
        return found[1]

    def drop(self, session: str) -> None:
        found = self._open.pop(session, None)
        if found is not None:
            found[0].close()


def answer(contexts: Contexts, request: dict[str, Any]) -> dict[str, Any]:
    session: str = request["session"]
    timeout_s: float = request["timeout_s"]
    values: list[Any] = []
    try:
        if request["calls"] is None:
            found = one(contexts, session, request["source"], None, timeout_s)
            if "f" in found:
                return {"function": True}
            contexts.drop(session)
            if "e" in found:
                return failure("script", found["e"], values)
            return {"values": [found["v"]]}
        if not contexts.has(session):
            one(contexts, session, request["source"], None, timeout_s)
        for call in request["calls"]:
            found = one(contexts, session, None, call, timeout_s)
            if "e" in found:
                return failure("script", found["e"], values)
            values.append(found["v"])
    except JSTimeoutException:
        contexts.drop(session)
        return failure("timeout", "", values)
    except JSOOMException:
        contexts.drop(session)
        return failure("memory", "", values)
    return {"values": values}


def one(
    contexts: Contexts, session: str, source: str | None, call: Any, timeout_s: float
) -> dict[str, Any]:
    run = contexts.entry(session)
    text = run(json.dumps({"source": source, "call": call}), timeout_sec=timeout_s)
    found = json.loads(text) if isinstance(text, str) else None
    if not isinstance(found, dict) or not found.keys() & {"e", "f", "v"}:
        return {"e": "Error: the result cannot be read"}
    return found


def failure(kind: str, message: Any, values: list[Any]) -> dict[str, Any]:
    return {"error": kind, "message": str(message), "values": values}


def serve(source: BinaryIO, sink: BinaryIO) -> None:
    contexts = Contexts()
    while len(head := source.read(4)) == 4:
        request = json.loads(source.read(int.from_bytes(head, "big")))
        body = json.dumps(answer(contexts, request)).encode()
        sink.write(len(body).to_bytes(4, "big") + body)
        sink.flush()


def main() -> None:
    with suppress(ValueError, OSError):  # not every system can; the engine has a limit of its own
        resource.setrlimit(resource.RLIMIT_DATA, (PROCESS_BYTES, PROCESS_BYTES))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    init_mini_racer(flags=FLAGS)
    serve(sys.stdin.buffer, sys.stdout.buffer)


if __name__ == "__main__":
    main()
