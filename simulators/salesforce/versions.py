"""/services/data and its version roots."""

from __future__ import annotations

from simulators.salesforce.call import Answer, Call, Route

NEWEST = 68
SEASONS = ("Winter", "Spring", "Summer")


def label(version: int) -> str:
    """The release name: version 65 was Winter '26, 66 Spring '26, 67 Summer '26, 68 Winter '27."""
    year, season = divmod(version - 65, 3)
    return f"{SEASONS[season]} '{(26 + year) % 100:02d}"


async def versions(_call: Call) -> Answer:
    """GET /services/data: oldest first, no session needed."""
    found = [
        {"label": label(number), "url": f"/services/data/v{number}.0", "version": f"{number}.0"}
        for number in range(31, NEWEST + 1)
    ]
    return Answer(body=found)


async def root(call: Call) -> Answer:
    """GET /services/data/vXX.0."""
    names = ("sobjects", "query", "queryAll", "search", "limits", "composite", "jobs", "recent")
    body = {name: f"{call.data_url}/{name}" for name in names}
    body["identity"] = f"{call.origin}/id/{call.org.store.org_id}/{call.org.store.user_id}"
    return Answer(body=body)


async def recent(_call: Call) -> Answer:
    """GET /recent: nobody looks at records here, so nothing was looked at lately."""
    return Answer(body=[])


def routes(data: str) -> list[Route]:
    return [
        Route("GET", "/services/data", versions, open=True),
        Route("GET", data, root),
        Route("GET", f"{data}/recent", recent),
    ]
