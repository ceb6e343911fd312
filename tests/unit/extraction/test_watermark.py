from __future__ import annotations

from airflow_provider_zohocrm.extraction.watermark import Watermark


def test_the_newest_moment_whatever_its_offset():
    watermark = Watermark()
    watermark.see(["2026-03-29T02:30:00+02:00", "2026-03-29T01:59:00+01:00", None, "2026-03-29T00:30:01Z"])
    assert watermark.newest == "2026-03-29T00:59:00+00:00"


def test_it_goes_on_from_what_was_found_before():
    watermark = Watermark("2026-03-29T00:59:00+00:00")
    watermark.see(["2026-03-29T06:28:59+05:30"])
    assert watermark.newest == "2026-03-29T00:59:00+00:00"
    watermark.see(["2026-03-29T06:29:01+05:30"])
    assert watermark.newest == "2026-03-29T00:59:01+00:00"


def test_nothing_seen_is_none():
    assert Watermark().newest is None
