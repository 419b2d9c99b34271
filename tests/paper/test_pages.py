"""Markdown tables, and the same as pages."""

import pandas as pd

from modelsoups.paper.pages import join_markdown, to_html, write_table

LINES = [["a", "b"], ["---", "---:"], ["**1**", ""], ["<x>", "é"]]


def test_a_page_has_the_tables_cells_and_the_text_after_it() -> None:
    page = to_html(join_markdown(LINES) + "\nA note <here>.\n", "A & B")
    assert "<th>a</th><th>b</th>" in page
    assert "<td><b>1</b></td><td></td>" in page
    assert "<td>&lt;x&gt;</td><td>é</td>" in page
    assert "<p>A note &lt;here&gt;.</p>" in page
    assert "<title>A &amp; B</title>" in page


def test_a_table_is_written_as_numbers_in_print_and_as_a_page(tmp_path) -> None:
    table = pd.DataFrame({"model": ["000"], "accuracy": [1 / 3]})
    printed = join_markdown(LINES)
    csv, markdown, page = (tmp_path / name for name in ("t.csv", "t.md", "t.html"))
    write_table(table, printed, "Table 4", csv=csv, markdown=markdown, page=page)
    pd.testing.assert_frame_equal(pd.read_csv(csv, dtype={"model": str}), table)
    assert markdown.read_text("utf-8") == printed
    assert page.read_text("utf-8") == to_html(printed, "Table 4")
