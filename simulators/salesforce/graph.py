"""/composite/graph: several independent graphs of dependent requests; each graph is all or nothing."""

from __future__ import annotations

from typing import Any

from simulators.salesforce.call import Answer, Call, Route
from simulators.salesforce.composite import requests_of, run_together
from simulators.salesforce.errors import ApiError

FIRST_VERSION = 50.0
MOST_GRAPHS = 75
MOST_NODES = 500
MOST_FAILED = 14
STOPPED = "Graph was not processed because too many graphs before it failed."


async def graph(call: Call) -> Answer:
    """POST /composite/graph; 200 even when graphs fail, each says so with isSuccessful."""
    if call.number < FIRST_VERSION:
        raise ApiError(404, "NOT_FOUND", "The requested resource does not exist")
    graphs = call.json_object().get("graphs")
    if not isinstance(graphs, list) or not all(isinstance(one, dict) for one in graphs):
        raise ApiError(400, "JSON_PARSER_ERROR", "graphs must be a list of objects")
    nodes = [requests_of(one, "compositeRequest") for one in graphs]
    if len(graphs) > MOST_GRAPHS or sum(map(len, nodes)) > MOST_NODES:
        message = f"a request takes at most {MOST_GRAPHS} graphs with {MOST_NODES} nodes together"
        raise ApiError(400, "LIMIT_EXCEEDED", message)
    found: list[dict[str, Any]] = []
    for one, requests in zip(graphs, nodes, strict=True):
        failed = sum(not done["isSuccessful"] for done in found)
        found.append(_stopped(one, requests) if failed >= MOST_FAILED else await _run(call, one, requests))
    return Answer(body={"graphs": found})


async def _run(call: Call, one: dict[str, Any], requests: list[dict[str, Any]]) -> dict[str, Any]:
    done, good = await run_together(call, requests, all_or_none=True)
    return {"graphId": one.get("graphId"), "graphResponse": {"compositeResponse": done}, "isSuccessful": good}


def _stopped(one: dict[str, Any], requests: list[dict[str, Any]]) -> dict[str, Any]:
    error = [{"errorCode": "PROCESSING_HALTED", "message": STOPPED}]
    done = [
        {"body": error, "httpHeaders": {}, "httpStatusCode": 400, "referenceId": request.get("referenceId", "")}
        for request in requests
    ]
    return {"graphId": one.get("graphId"), "graphResponse": {"compositeResponse": done}, "isSuccessful": False}


def routes(data: str) -> list[Route]:
    return [Route("POST", f"{data}/composite/graph", graph)]
