"""A stand-in for Salesforce that costs next to nothing: takes loads over HTTPS and says yes to every row at once.

It serves the calls the contenders make: Bulk API 2.0 ingest, Bulk API 1.0 with JSON, Collections. Nothing is kept but
the last bytes of open jobs, and how often each route was called (``GET /calls`` tells it, and begins anew). What it
answers is shaped like the real answers, with one id for all rows; how rows are judged is the business of the simulator,
not of this one.

``python -m benchmarks.stub_salesforce FOLDER`` prints one JSON line when ready: {"host", "ca_file"}.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import signal
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from aiohttp import web

from simulators.tls import server_context

RECORD_ID = "01t000000000001AAA"
SUCCESS_CELLS = f'\n"{RECORD_ID}","true",'.encode()
BULK1_ROW = b'{"success":true,"created":true,"id":"%s","errors":[]}' % RECORD_ID.encode()
KEY_MARK = b'"code":'
MOST_BYTES = 400 * 2**20
DATA, ASYNC = "/services/data/{version}", "/services/async/{version}"


class Stub:
    """Jobs by id; a Bulk 1.0 batch is remembered by its number of rows only."""

    def __init__(self) -> None:
        self.jobs: dict[str, bytes] = {}
        self.batches: dict[str, int] = {}
        self.calls: Counter[str] = Counter()
        self._numbers = itertools.count(1)

    def app(self) -> web.Application:
        app = web.Application(client_max_size=MOST_BYTES, middlewares=[self.counted])
        app.router.add_get("/calls", self.tell_calls)
        ingest = f"{DATA}/jobs/ingest"
        app.router.add_post("/services/oauth2/token", self.token)
        app.router.add_post(ingest, self.create)
        app.router.add_put(f"{ingest}/{{job}}/batches", self.upload)
        app.router.add_patch(f"{ingest}/{{job}}", self.close)
        app.router.add_get(f"{ingest}/{{job}}", self.info)
        for slash in ("", "/"):
            app.router.add_get(f"{ingest}/{{job}}/{{kind}}{slash}", self.results)
        app.router.add_patch(f"{DATA}/composite/sobjects/{{object}}/{{field}}", self.collection)
        app.router.add_post(f"{ASYNC}/job", self.create)
        app.router.add_post(f"{ASYNC}/job/{{job}}", self.close)
        app.router.add_get(f"{ASYNC}/job/{{job}}", self.info)
        app.router.add_post(f"{ASYNC}/job/{{job}}/batch", self.add_batch)
        app.router.add_get(f"{ASYNC}/job/{{job}}/batch/{{batch}}", self.batch)
        app.router.add_get(f"{ASYNC}/job/{{job}}/batch/{{batch}}/result", self.batch_result)
        return app

    @web.middleware
    async def counted(self, request: web.Request, handler: Any) -> web.StreamResponse:
        resource = request.match_info.route.resource
        self.calls[f"{request.method} {resource.canonical if resource else request.path}"] += 1
        answer: web.StreamResponse = await handler(request)
        return answer

    async def tell_calls(self, _request: web.Request) -> web.Response:
        told = {route: count for route, count in self.calls.items() if route != "GET /calls"}
        self.calls.clear()
        return web.json_response(told)

    async def token(self, request: web.Request) -> web.Response:
        url = f"https://{request.host}"
        return web.json_response({"access_token": "stub", "instance_url": url, "token_type": "Bearer"})

    async def create(self, request: web.Request) -> web.Response:
        job = f"750{next(self._numbers):012d}AAA"
        self.jobs[job] = b""
        address = f"{request.path.lstrip('/')}/{job}/batches"
        return web.json_response({"id": job, "state": "Open", "contentUrl": address})

    async def upload(self, request: web.Request) -> web.Response:
        self.jobs[request.match_info["job"]] = await request.read()
        return web.Response(status=201)

    async def close(self, request: web.Request) -> web.Response:
        return web.json_response({"id": request.match_info["job"], "state": "UploadComplete"})

    async def info(self, request: web.Request) -> web.Response:
        job = request.match_info["job"]
        rows = max(self.jobs[job].count(b"\n") - 1, 0)
        return web.json_response(
            {"id": job, "state": "JobComplete", "numberRecordsProcessed": rows, "numberRecordsFailed": 0}
        )

    async def results(self, request: web.Request) -> web.Response:
        """The uploaded file with two columns in front of each line; generated texts have no line ends inside."""
        body = self.jobs[request.match_info["job"]].rstrip(b"\n")
        header, _, rest = body.partition(b"\n")
        if request.match_info["kind"] == "successfulResults":
            lines = b'"sf__Id","sf__Created",' + header + SUCCESS_CELLS + rest.replace(b"\n", SUCCESS_CELLS) + b"\n"
        else:
            error = b"" if request.match_info["kind"] == "unprocessedrecords" else b'"sf__Id","sf__Error",'
            lines = error + header + b"\n"
        return web.Response(body=lines, content_type="text/csv", charset="utf-8")

    async def collection(self, request: web.Request) -> web.Response:
        rows = len((await request.json())["records"])
        return web.json_response([{"id": RECORD_ID, "success": True, "created": True, "errors": []}] * rows)

    async def add_batch(self, request: web.Request) -> web.Response:
        batch = f"751{next(self._numbers):012d}AAA"
        self.batches[batch] = (await request.read()).count(KEY_MARK)
        return web.json_response({"id": batch, "jobId": request.match_info["job"], "state": "Queued"})

    async def batch(self, request: web.Request) -> web.Response:
        return web.json_response({"id": request.match_info["batch"], "state": "Completed"})

    async def batch_result(self, request: web.Request) -> web.Response:
        rows = self.batches.pop(request.match_info["batch"])
        return web.Response(body=b"[" + b",".join([BULK1_ROW] * rows) + b"]", content_type="application/json")


async def serve(folder: Path) -> None:
    """Listen until SIGTERM."""
    context, ca_file = server_context(folder)
    runner = web.AppRunner(Stub().app(), access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
    await site.start()
    port = runner.addresses[0][1]
    print(json.dumps({"host": f"localhost:{port}", "ca_file": str(ca_file)}), flush=True)
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await stop.wait()
    await runner.cleanup()


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1])))
