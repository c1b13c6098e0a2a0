"""A judge for tests: a real HTTP server on loopback that speaks chat completions, and fails as real ones do.

Runs alone too (prints its base_url, and the script's ``--help`` its options)::

    python tests/grading/judge_server.py --port 8123 --faults 429=0.1,wrong-schema=0.02 --latency-s 0.05

It grades what stands between the markers of the rubric by what can be counted in it, so that equal stories get equal
scores, and whole ones better scores than those put together at random or cut off. ``POST /control`` sets fields of
:class:`Script`, ``GET /stats`` and ``GET /log`` say what was asked.
"""

import argparse
import asyncio
import hashlib
import json
import re
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from email.utils import formatdate
from itertools import pairwise

FAULTS = (
    "429", "429-date", "quota", "500", "503", "stall", "cut", "half", "html", "broken-json", "wrong-schema",
    "out-of-range", "empty", "length", "refusal", "filter", "400", "401", "403", "404", "context", "no-usage",
)  # fmt: skip
ENDS = '.!?"”'
FENCED = re.compile(r"<<<([^\n]*) ([0-9a-f]{16,})\n(.*?)\n\1 \2>>>", re.DOTALL)


@dataclass
class Script:
    next: list[str] = field(default_factory=list)
    """Faults of the next requests, one each; "" is none."""
    always: str = ""
    """Fault of every request."""
    faults: dict[str, float] = field(default_factory=dict)
    """Share of the keys by the fault that their first request meets."""
    latency_s: float = 0.0
    retry_after: str = "0.2"
    stall_s: float = 30.0
    model: str = "judge-for-tests"
    fingerprint: str = "fp_1"
    key: str = ""
    """The only API key that is let in; empty: any."""
    rejects: list[str] = field(default_factory=list)
    """Parameters that are answered with OpenAI's "unsupported parameter"."""
    echo_key: bool = False
    """Errors quote the Authorization header, as careless gateways do."""


@dataclass
class Book:
    """What was asked since the last ``/control``; a request that stalled from before it stays in the old one."""

    log: list[dict] = field(default_factory=list)
    seen: Counter[str] = field(default_factory=Counter)
    billed: Counter[str] = field(default_factory=Counter)
    input_tokens: int = 0
    output_tokens: int = 0
    open: int = 0
    most_open: int = 0

    def stats(self) -> dict:
        return {
            "requests": len(self.log), "billed": sum(self.billed.values()), "keys": len(self.billed),
            "billed_twice": sum(count - 1 for count in self.billed.values()), "most_open": self.most_open,
            "input_tokens": self.input_tokens, "output_tokens": self.output_tokens,
        }  # fmt: skip


class Judge:
    def __init__(self, script: Script) -> None:
        self.control(script)

    def control(self, script: Script) -> None:
        self.script, self.book = script, Book()

    def fault(self, key: str) -> str:
        if self.script.next:
            return self.script.next.pop(0)
        if self.script.always:
            return self.script.always
        if self.book.seen[key] == 1:
            at = share(key)
            for name, part in self.script.faults.items():
                at -= part
                if at < 0:
                    return name
        return ""

    async def answer(self, headers: dict[str, str], body: bytes) -> tuple[int, dict[str, str], bytes, bool]:
        """Status, headers, body, and whether the connection is cut within the body."""
        book = self.book
        book.open += 1
        book.most_open = max(book.most_open, book.open)
        try:
            return await self._answer(headers, json.loads(body), book)
        finally:
            book.open -= 1

    async def _answer(
        self, headers: dict[str, str], request: dict, book: Book
    ) -> tuple[int, dict[str, str], bytes, bool]:
        script = self.script
        key = headers.get("idempotency-key", "").rpartition("-")[0]
        book.seen[key] += 1
        fault = self.fault(key)
        entry = {"key": headers.get("idempotency-key", ""), "at": time.time(), "fault": fault}
        book.log.append(entry)
        if script.key and headers.get("authorization") != f"Bearer {script.key}":
            fault = "401"
        said = f" Authorization was: {headers.get('authorization')}" if script.echo_key else ""
        for parameter in script.rejects:
            if parameter in request:
                return error(400, f"Unsupported parameter: '{parameter}' is not supported with this model."
                             + (" Use 'max_completion_tokens' instead." if parameter == "max_tokens" else ""),
                             code="unsupported_parameter", param=parameter)  # fmt: skip
        if script.latency_s:
            await asyncio.sleep(script.latency_s)
        if fault == "stall":
            await asyncio.sleep(script.stall_s)
        if fault in ("429", "429-date"):
            wait = formatdate(time.time() + 1.5, usegmt=True) if fault == "429-date" else script.retry_after
            return error(429, "Rate limit reached." + said, headers={"Retry-After": wait} if wait else {})
        if fault == "quota":
            return error(429, "You exceeded your current quota." + said, code="insufficient_quota")
        if fault == "context":
            return error(400, "This model's maximum context length is 8." + said, code="context_length_exceeded")
        if fault.isdigit():
            return error(int(fault), f"Scripted {fault}." + said)
        if fault == "cut":
            return 0, {}, b"", True
        if fault == "html":
            return 200, {"Content-Type": "text/html"}, f"<html>Welcome!{said}</html>".encode(), False
        text, finish, refusal = self.verdict(request, fault), "stop", None
        if fault == "refusal":
            text, refusal = None, "I can't grade this."
        elif fault in ("length", "filter"):
            text, finish = text[: len(text) // 2], "length" if fault == "length" else "content_filter"
        usage = {"prompt_tokens": sum(len(m["content"]) for m in request["messages"]) // 4,
                 "completion_tokens": len(text or refusal or "") // 4 + 1}  # fmt: skip
        book.billed[headers.get("idempotency-key", "")] += 1
        entry["usage"] = usage
        book.input_tokens += usage["prompt_tokens"]
        book.output_tokens += usage["completion_tokens"]
        reply = {
            "id": "x", "object": "chat.completion", "created": int(time.time()), "model": script.model,
            "system_fingerprint": script.fingerprint, "usage": usage,
            "choices": [{"index": 0, "finish_reason": finish,
                         "message": {"role": "assistant", "content": text, "refusal": refusal}}],
        }  # fmt: skip
        if fault == "no-usage":
            del reply["usage"]
        return 200, {"Content-Type": "application/json"}, json.dumps(reply).encode(), fault == "half"

    def verdict(self, request: dict, fault: str) -> str:
        if fault == "empty":
            return ""
        shown = "\n".join(message["content"] for message in request["messages"] if message["role"] == "user")
        told = {match[1]: match[3] for match in FENCED.finditer(shown)}
        story = (
            f"{told.get('beginning', '')} {told['completion']}"
            if told.get("completion")
            else re.sub(r"[0-9a-f]{16,}", "", shown)
        )
        form = request.get("response_format")
        if form is None:
            return f"The beginning is followed well enough ({digest(story)[:6]})."
        filled = fill(form["json_schema"]["schema"], story, "")
        if fault == "wrong-schema":
            filled = {"verdict": filled}
        if fault == "out-of-range":
            filled = out_of_range(filled)
        text = json.dumps(filled)
        return text[: len(text) // 2] if fault == "broken-json" else text


def digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()


def share(text: str) -> float:
    """A number in [0, 1) that the text alone decides."""
    return int(digest(text)[:8], 16) / 2**32


def quality(story: str) -> float:
    """0 to 1, from what can be counted: names that stay, words that differ, sentences that begin well and end."""
    words = story.split()
    if len(words) < 3:
        return 0.0
    starts = [after for before, after in pairwise(words) if before[-1] in ENDS]
    inside = [after.strip(ENDS + ",;:") for before, after in pairwise(words) if before[-1].isalpha()]
    begun = sum(word.lstrip('"“')[:1].isupper() for word in starts) / max(1, len(starts))
    names = Counter(word for word in inside if word[:1].isupper())
    stay = sum(count for count in names.values() if count > 1) / max(1, names.total())
    differ = len({word.lower() for word in words}) / len(words)
    return 0.35 * stay + 0.25 * begun + 0.2 * differ + 0.2 * (words[-1][-1] in ENDS)


def fill(schema: dict, story: str, name: str) -> object:
    """A value that the schema allows, decided by the story and the field's name alone."""
    if "properties" in schema:
        return {key: fill(inner, story, f"{name}/{key}") for key, inner in schema["properties"].items()}
    at = min(0.999, max(0.0, quality(story) + 0.3 * (share(story + name) - 0.5)))
    if "enum" in schema:
        return schema["enum"][int(at * len(schema["enum"]))]
    if schema.get("type") in ("integer", "number"):
        low, high = schema.get("minimum", 1), schema.get("maximum", 10)
        return low + int(at * (high - low + 1))
    return f"{name.split('/')[1]}: {'well' if at > 0.5 else 'badly'} done ({digest(story)[:6]})"


def out_of_range(value: object) -> object:
    if isinstance(value, dict):
        return {key: out_of_range(inner) for key, inner in value.items()}
    return 11 if isinstance(value, int) else value


def error(
    status: int, message: str, *, code: str | None = None, param: str | None = None, headers: dict | None = None
) -> tuple[int, dict[str, str], bytes, bool]:
    body = {"error": {"message": message, "type": "scripted", "code": code, "param": param}}
    return status, {"Content-Type": "application/json", **(headers or {})}, json.dumps(body).encode(), False


async def serve(judge: Judge, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            method, path, _ = head[0].split(" ")
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])}
            body = await reader.readexactly(int(headers.get("content-length", 0)))
            if method == "POST" and path.endswith("/v1/chat/completions"):
                status, more, data, cut = await judge.answer(headers, body)
            elif method == "POST" and path == "/control":
                judge.control(Script(**json.loads(body)))
                status, more, data, cut = 200, {}, b"{}", False
            elif path in ("/stats", "/log"):
                said = judge.book.stats() if path == "/stats" else judge.book.log
                status, more, data, cut = 200, {}, json.dumps(said).encode(), False
            else:
                status, more, data, cut = error(404, f"nothing at {path}")
            if status:
                more["Content-Length"] = str(len(data))
                lines = [f"HTTP/1.1 {status} X", *(f"{name}: {value}" for name, value in more.items())]
                writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + (data[: len(data) // 2] if cut else data))
                await writer.drain()
            if cut:
                return
    except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
        return  # the client went away, as killed ones do, or the server goes
    finally:
        writer.close()


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=0, help="0: any free one")
    parser.add_argument("--faults", default="", help=f"such as 429=0.1,refusal=0.01; known: {', '.join(FAULTS)}")
    parser.add_argument("--latency-s", type=float, default=0.0)
    parser.add_argument("--model", default=Script.model)
    parser.add_argument("--key", default="", help="the only API key that is let in; none: any")
    parser.add_argument("--follow-stdin", action="store_true", help="end when the standard input is closed")
    args = parser.parse_args()
    faults = {name: float(part) for name, part in (pair.split("=") for pair in args.faults.split(",") if pair)}
    if unknown := set(faults) - set(FAULTS):
        parser.error(f"no such fault: {sorted(unknown)[0]}")
    judge = Judge(Script(faults=faults, latency_s=args.latency_s, model=args.model, key=args.key))
    server = await asyncio.start_server(lambda r, w: serve(judge, r, w), "127.0.0.1", args.port, limit=2**22)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1", flush=True)
    if args.follow_stdin:
        await asyncio.to_thread(sys.stdin.read)
        return
    await server.serve_forever()


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except KeyboardInterrupt:
        sys.exit(130)
