"""Rows are counted as a CSV reader counts them, whatever is within the quotes."""

from __future__ import annotations

import csv
import io

from hypothesis import example, given, strategies as st

from airflow_provider_zohocrm.storage.csv_blocks import count_rows

CELLS = st.text(alphabet=st.sampled_from('a",\n\r'), max_size=8)


def written(rows, quoting, newline):
    out = io.StringIO(newline="")
    csv.writer(out, quoting=quoting, lineterminator=newline).writerows(rows)
    return out.getvalue()


@given(
    rows=st.lists(st.lists(CELLS, min_size=2, max_size=3), max_size=8),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    newline=st.sampled_from(["\n", "\r\n"]),
    blank=st.integers(min_value=0, max_value=8),
    ended=st.booleans(),
)
@example(rows=[["1", "a\n\n\nb"], ["2", ""]], quoting=0, newline="\n", blank=8, ended=True)
@example(rows=[["1", "a\n\nb"], ["2", "c\n\r\nd"]], quoting=0, newline="\r\n", blank=1, ended=False)
def test_blank_lines_are_no_rows_but_part_of_quoted_cells(rows, quoting, newline, blank, ended):
    lines = [written([row], quoting, newline) for row in rows]
    lines.insert(min(blank, len(lines)), newline)
    text = "".join(lines)
    block = (text if ended else text.removesuffix(newline)).encode()
    assert count_rows(block) == len(rows)
