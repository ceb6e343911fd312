from __future__ import annotations

import re
import socket
import time

import pytest
import requests

from airflow_provider_zohocrm.simulator.server import Simulator
from simulator.wire import Zoho, flat


def raw(zoho: Zoho, path: str, *, accept: str = "identity") -> bytes:
    """Everything the server sends until it closes, or resets."""
    with socket.create_connection(("127.0.0.1", zoho.simulator.port), timeout=10) as connection:
        token = zoho.session.headers["Authorization"]
        connection.sendall(
            f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: {token!s}\r\nAccept-Encoding: {accept}\r\n"
            "Connection: close\r\n\r\n".encode()
        )
        parts = []
        while part := connection.recv(65536):
            parts.append(part)
    return b"".join(parts)


def test_application_headers(zoho: Zoho):
    answer = zoho.get("/crm/v8/Leads", {"fields": "Last_Name,Company,Email", "per_page": 200})
    headers = answer.headers
    assert headers["Content-Type"] == "application/json"
    assert headers["Server"] == "ZGS"
    assert headers["Cache-Control"] == headers["Pragma"] == "no-cache"
    assert headers["Expires"] == "Thu, 01 Jan 1970 00:00:00 GMT"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Transfer-Encoding"] == "chunked"
    assert headers["Content-Encoding"] == "gzip"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+05:30", headers["X-ACCESSTOKEN-RESET"])
    zoho.simulator.options.gzip = False
    plain = zoho.get("/crm/v8/Leads", {"fields": "Last_Name,Company,Email", "per_page": 200})
    assert "Content-Encoding" not in plain.headers
    assert plain.json()["data"] == answer.json()["data"]


@pytest.mark.parametrize(
    ("method", "path", "status", "length", "code", "message"),
    [
        ("GET", "/crm/v8/a/b/c/d/e", 404, 131, "INVALID_URL_PATTERN", "Please check if the URL trying to access is a correct one"),
        ("GET", "/crm/v9/Leads", 404, 131, "INVALID_URL_PATTERN", "Please check if the URL trying to access is a correct one"),
        ("PATCH", "/crm/bulk/v8/read", 400, 124, "INVALID_REQUEST_METHOD", "The http request method type is not a valid one"),
        ("DELETE", "/crm/v8/coql", 400, 124, "INVALID_REQUEST_METHOD", "The http request method type is not a valid one"),
    ],
)  # fmt: skip
def test_gateway_answers(
    zoho: Zoho, method: str, path: str, status: int, length: int, code: str, message: str
):
    answer = zoho.call(method, path)
    assert answer.status_code == status
    assert answer.json() == flat(code, message)
    assert answer.content.endswith(b"}\n")
    assert answer.headers["Content-Length"] == str(len(answer.content)) == str(length)
    assert answer.headers["Content-Type"] == "application/json;charset=utf-8"
    assert answer.headers["X-Frame-Options"] == "deny"
    assert answer.headers["X-Download-Options"] == "noopen"
    assert "X-ACCESSTOKEN-RESET" not in answer.headers


def test_status_fault_after_some_and_for_some(zoho: Zoho):
    zoho.simulator.add_fault("status", path=r"/crm/v8/org", after=1, count=2)
    got = [zoho.get("/crm/v8/org").status_code for _ in range(4)]
    assert got == [200, 500, 500, 200]
    assert zoho.get("/crm/v8/users").status_code == 200
    assert zoho.simulator.faults[0]["met"] == 2


def test_fault_in_a_window_of_time(zoho: Zoho):
    zoho.simulator.add_fault("status", status=503, window=20)
    assert [zoho.get("/crm/v8/org").status_code for _ in range(3)] == [503] * 3
    zoho.simulator.advance(21)
    assert zoho.get("/crm/v8/org").status_code == 200


@pytest.mark.parametrize(
    ("form", "code", "details", "header"),
    [
        ("plain", "TOO_MANY_REQUESTS", {}, None),
        ("retry_after_header", "TOO_MANY_REQUESTS", {}, "7"),
        ("rate_limit_exceeded", "RATE_LIMIT_EXCEEDED", {}, None),
        ("retry_after_details", "TOO_MANY_REQUESTS", {"trace_id": "5f0c6c1e", "retry_after": 7, "limit": 100, "window": 60}, None),
    ],
)  # fmt: skip
def test_four_forms_of_429(zoho: Zoho, form: str, code: str, details: dict, header: str | None):
    zoho.simulator.add_fault("too_many", form=form, retry_after=7)
    answer = zoho.get("/crm/v8/org")
    assert answer.status_code == 429
    assert (answer.json()["code"], answer.json()["details"]) == (code, details)
    assert answer.headers.get("Retry-After") == header
    if form == "plain":
        assert answer.json() == flat(code, "too many requests. please try again after some time")


def test_html_pages_and_server_error(zoho: Zoho):
    zoho.simulator.add_fault("html", status=502)
    zoho.simulator.add_fault("status", status=500)
    page, error = zoho.get("/crm/v8/org"), zoho.get("/crm/v8/org")
    assert (page.status_code, page.headers["Content-Type"]) == (502, "text/html;charset=UTF-8")
    assert "<html>" in page.text
    assert error.json() == flat("INTERNAL_ERROR", "Internal Server Error")


def test_redirect(zoho: Zoho):
    zoho.simulator.add_fault("redirect", location="http://127.0.0.1:1/crm/v8/org")
    answer = zoho.get("/crm/v8/org")
    assert (answer.status_code, answer.headers["Location"]) == (302, "http://127.0.0.1:1/crm/v8/org")


def test_reset_before_processing(zoho: Zoho):
    zoho.simulator.add_fault("reset_before", method="POST")
    before = zoho.simulator.counters["records"]
    with pytest.raises(requests.ConnectionError):
        zoho.post("/crm/v8/Campaigns", {"data": [{"Campaign_Name": "never"}]})
    assert zoho.simulator.counters["records"] == before
    assert zoho.simulator.writes == []


def test_reset_is_a_real_reset(zoho: Zoho):
    zoho.simulator.add_fault("reset_before")
    with pytest.raises(ConnectionResetError):
        raw(zoho, "/crm/v8/org")


def test_reset_after_the_write_was_stored(zoho: Zoho):
    before = len(zoho.ids("Campaigns"))
    zoho.simulator.add_fault("reset_after", method="POST")
    with pytest.raises(requests.ConnectionError):
        zoho.post("/crm/v8/Campaigns", {"data": [{"Campaign_Name": "stored"}]})
    assert len(zoho.ids("Campaigns")) == before + 1


def test_truncated_body_announces_its_full_length(zoho: Zoho):
    zoho.simulator.add_fault("truncate", bytes=10)
    got = raw(zoho, "/crm/v8/org")
    head, _, body = got.partition(b"\r\n\r\n")
    length = int(re.search(rb"Content-Length: (\d+)", head)[1])
    assert body == b'{"org":[{"'
    assert length > 500
    zoho.simulator.clear_faults()
    assert len(zoho.get("/crm/v8/org").content) == length


def test_truncated_body_breaks_a_client(zoho: Zoho):
    zoho.simulator.add_fault("truncate", bytes=10)
    with pytest.raises((requests.exceptions.ChunkedEncodingError, requests.ConnectionError)):
        zoho.get("/crm/v8/org", headers={"Accept-Encoding": "identity"}).json()


def test_reset_in_the_middle_of_the_answer(zoho: Zoho):
    zoho.simulator.add_fault("reset_during", bytes=10)
    with pytest.raises((requests.exceptions.ChunkedEncodingError, requests.ConnectionError)):
        zoho.get("/crm/v8/org", headers={"Accept-Encoding": "identity"})
    zoho.simulator.add_fault("reset_during", method="POST")
    before = len(zoho.ids("Campaigns"))
    with pytest.raises((requests.exceptions.ChunkedEncodingError, requests.ConnectionError)):
        zoho.post("/crm/v8/Campaigns", {"data": [{"Campaign_Name": "stored"}]})
    assert len(zoho.ids("Campaigns")) == before + 1


def test_reset_of_a_kept_connection_comes_after_a_whole_answer(zoho: Zoho):
    zoho.simulator.add_fault("reset_idle")
    token = zoho.session.headers["Authorization"]
    request = f"GET /crm/v8/org HTTP/1.1\r\nHost: x\r\nAuthorization: {token!s}\r\n\r\n".encode()
    got: list[bytes] = []

    def read_on() -> None:
        while True:
            got.append(connection.recv(65_536))

    with socket.create_connection(("127.0.0.1", zoho.simulator.port), timeout=10) as connection:
        connection.sendall(request)
        with pytest.raises(ConnectionResetError):
            read_on()
    whole = b"".join(got)
    assert b"connection: close" not in whole.lower()
    # The last chunk.
    assert whole.endswith(b"\r\n0\r\n\r\n")


def test_a_damaged_body_differs_in_one_byte(zoho: Zoho):
    sound = zoho.get("/crm/v8/org").content
    zoho.simulator.add_fault("damage")
    damaged = zoho.get("/crm/v8/org", headers={"Accept-Encoding": "identity"}).content
    assert [n for n, (a, b) in enumerate(zip(sound, damaged, strict=True)) if a != b] == [len(sound) // 2]


def test_tokens_die_in_the_middle(zoho: Zoho):
    zoho.simulator.add_fault("expire", after=1)
    assert [zoho.get("/crm/v8/org").status_code for _ in range(3)] == [200, 401, 401]
    zoho.login()
    assert zoho.get("/crm/v8/org").status_code == 200


def test_slow_body(zoho: Zoho):
    zoho.simulator.add_fault("slow", seconds=0.2, chunks=4)
    start = time.monotonic()
    assert zoho.get("/crm/v8/org").json()["org"]
    assert time.monotonic() - start >= 0.2


def test_connections_are_refused_between_stop_and_start():
    with Simulator({"Leads": 3}) as simulator:
        client = Zoho(simulator)
        url, ids = simulator.url, client.ids("Leads")
        simulator.stop()
        with pytest.raises(requests.ConnectionError):
            requests.get(url, timeout=5)
        simulator.start()
        assert simulator.url == url
        # Token and data are kept.
        answer = client.get("/crm/v8/Leads", {"fields": "id"})
        assert sorted(record["id"] for record in answer.json()["data"]) == ids


def test_pause_over_http():
    with Simulator({"Leads": 3}) as simulator:
        zoho = Zoho(simulator)
        made = zoho.post("/crm/v8/Leads", {"data": [{"Last_Name": "a", "Company": "b"}]}).json()
        control = f"{simulator.url}/__simulator__/pause"
        for wrong in ({"seconds": 0}, {"seconds": "x"}, {}):
            assert requests.post(control, json=wrong, timeout=10).status_code == 400
        asked = time.monotonic()
        assert requests.post(control, json={"seconds": 0.5}, timeout=10).json() == {"paused": 0.5}
        # Also the connection that was kept is gone.
        refused = 0
        while True:
            try:
                answer = zoho.get("/crm/v8/Leads", {"fields": "id"})
                break
            except requests.ConnectionError:
                refused += 1
        assert refused > 0
        assert time.monotonic() - asked >= 0.5
        # Token and data are as they were.
        assert made["data"][0]["details"]["id"] in {record["id"] for record in answer.json()["data"]}
        assert requests.post(control, json={"seconds": 60}, timeout=10).status_code == 200
        simulator.stop()
        simulator.start()
        assert zoho.get("/crm/v8/org").status_code == 200


def test_requests_are_recorded_with_secrets_masked(zoho: Zoho):
    zoho.mint()
    zoho.get("/crm/v8/Leads", {"fields": "id", "per_page": 1})
    token, listed = zoho.simulator.requests
    assert token["body"] == (
        f"grant_type=refresh_token&client_id={zoho.simulator.client_id}&client_secret=***&refresh_token=***"
    )
    assert (listed["method"], listed["path"], listed["query"]) == (
        "GET",
        "/crm/v8/Leads",
        "fields=id&per_page=1",
    )
    assert listed["headers"]["authorization"] == "Zoho-oauthtoken ***"
    assert (listed["status"], listed["records"]) == (200, 1)


def test_a_revoked_token_is_masked_and_a_page_token_is_not(zoho: Zoho):
    requests.post(f"{zoho.simulator.url}/oauth/v2/token/revoke?token=secret", timeout=10)
    zoho.get("/crm/v8/Leads", {"fields": "id", "page_token": "abc"})
    assert [entry["query"] for entry in zoho.simulator.requests] == ["token=***", "fields=id&page_token=abc"]


def test_credits(zoho: Zoho):
    def spent(answer: requests.Response) -> int:
        nonlocal before
        assert answer.status_code < 400
        after = zoho.simulator.counters["credits"]
        cost, before = after - before, after
        return cost

    before = zoho.simulator.counters["credits"]
    assert spent(zoho.get("/crm/v8/org")) == 1
    assert spent(zoho.get("/crm/v8/Leads/deleted")) == 2
    view = zoho.get("/crm/v8/settings/custom_views", {"module": "Leads"}).json()["custom_views"][0]["id"]
    before = zoho.simulator.counters["credits"]
    assert spent(zoho.get("/crm/v8/Leads", {"fields": "id", "cvid": view})) == 3
    assert spent(zoho.post("/crm/bulk/v8/read", {"query": {"module": {"api_name": "Leads"}}})) == 50
    for limit, cost in ((200, 1), (201, 2), (1000, 2), (2000, 3)):
        query = f"select id from Leads where id is not null limit {limit}"
        assert spent(zoho.post("/crm/v8/coql", {"select_query": query})) == cost
    records = [{"Campaign_Name": f"c{n}"} for n in range(11)]
    assert spent(zoho.post("/crm/v8/Campaigns", {"data": records})) == 2


def test_credits_header_from_half_on_and_429_at_the_end(zoho: Zoho):
    zoho.simulator.options.credits = 10
    remaining = [zoho.get("/crm/v8/org").headers.get("X-API-CREDITS-REMAINING") for _ in range(10)]
    assert remaining == [None] * 4 + ["5", "4", "3", "2", "1", "0"]
    answer = zoho.get("/crm/v8/org")
    assert answer.status_code == 429
    assert answer.json() == flat("TOO_MANY_REQUESTS", "too many requests. please try again after some time")
    zoho.simulator.advance(86_400)
    zoho.login()
    assert zoho.get("/crm/v8/org").status_code == 200


def test_concurrency_cap(zoho: Zoho):
    zoho.simulator.options.concurrency_limit = 1
    zoho.simulator.add_fault("slow", path="Leads", seconds=5, chunks=1)
    with socket.create_connection(("127.0.0.1", zoho.simulator.port), timeout=10) as connection:
        token = zoho.session.headers["Authorization"]
        connection.sendall(
            f"GET /crm/v8/Leads?fields=id HTTP/1.1\r\nHost: x\r\nAuthorization: {token!s}\r\n\r\n".encode()
        )
        while not zoho.simulator.requests:
            pass
        assert zoho.get("/crm/v8/org").status_code == 429


def test_sub_concurrency_cap_holds_for_heavy_calls_only(zoho: Zoho):
    zoho.simulator.options.sub_concurrency_limit = 1
    zoho.simulator.add_fault("slow", path="search", seconds=5, chunks=1)
    with socket.create_connection(("127.0.0.1", zoho.simulator.port), timeout=10) as connection:
        token = zoho.session.headers["Authorization"]
        target = "/crm/v8/Leads/search?word=Acme"
        connection.sendall(f"GET {target} HTTP/1.1\r\nHost: x\r\nAuthorization: {token!s}\r\n\r\n".encode())
        while not zoho.simulator.requests:
            pass
        assert zoho.get("/crm/v8/org").status_code == 200
        query = {"select_query": "select id from Leads where id > 1"}
        assert zoho.post("/crm/v8/coql", query).status_code == 429
        assert zoho.post("/crm/v8/Campaigns", {"data": [{"Campaign_Name": "x"}]}).status_code == 201
        assert zoho.post("/crm/v8/Campaigns", {"data": [{"Campaign_Name": "x"}] * 11}).status_code == 429
