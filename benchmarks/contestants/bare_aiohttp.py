"""The floor in aiohttp: one ClientSession, a loop over page tokens, json.loads."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import aiohttp

from benchmarks.contestants.measure import check_file, orders, work


async def walk(given: dict[str, Any], file: Any) -> int:
    """Read all pages, and return the number of records."""
    rows, limit = 0, given["limit"]
    params = {"fields": ",".join(given["fields"]), "per_page": "200"}
    headers = {"Authorization": f"Zoho-oauthtoken {given['token']}"}
    async with aiohttp.ClientSession(headers=headers) as http:
        place: dict[str, str] = {}
        while True:
            async with http.get(f"{given['url']}/crm/v8/Leads", params=params | place) as answer:
                page = json.loads(await answer.read())
            rows += len(page["data"])
            if file:
                file.writelines(json.dumps(record) + "\n" for record in page["data"])
            if not page["info"]["more_records"] or (limit and rows >= limit):
                return rows
            place = {"page_token": page["info"]["next_page_token"]}


if __name__ == "__main__":
    given = orders()
    with work(given) as result, check_file(given) as file:
        result["rows"] = asyncio.run(walk(given, file))
