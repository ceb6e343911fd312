"""The floor: one requests.Session, a loop over page tokens, json.loads."""

from __future__ import annotations

import json

from benchmarks.contestants.measure import check_file, orders, session, work

if __name__ == "__main__":
    given = orders()
    http = session(given)
    params = {"fields": ",".join(given["fields"]), "per_page": "200"}
    rows, limit = 0, given["limit"]
    with work(given) as result, check_file(given) as file:
        place: dict[str, str] = {}
        while True:
            page = json.loads(http.get(f"{given['url']}/crm/v8/Leads", params=params | place).content)
            rows += len(page["data"])
            if file:
                file.writelines(json.dumps(record) + "\n" for record in page["data"])
            if not page["info"]["more_records"] or (limit and rows >= limit):
                break
            place = {"page_token": page["info"]["next_page_token"]}
        result["rows"] = rows
