"""What a person sees fits a terminal of 100 columns."""

from __future__ import annotations

import io

import pytest

from demo.screen import WIDTH, Screen, stage_line, table_lines


def test_a_stage_shows_what_came_out_and_its_seconds_in_100_columns():
    out = io.StringIO()
    screen = Screen(out)
    with screen.stage("customers") as stage:
        stage.live("waiting")
        stage.done("x" * 200)
    text = out.getvalue()
    assert text.startswith("  ok      customers")
    assert text.rstrip("\n").endswith(" s")
    assert max(map(len, text.splitlines())) <= WIDTH
    assert "customers" in screen.seconds


def test_a_stage_that_raises_is_shown_as_failed():
    out = io.StringIO()
    with pytest.raises(ValueError, match="broken"), Screen(out).stage("airflow"):
        raise ValueError("broken")
    assert out.getvalue().startswith("  FAILED  airflow")


def test_without_a_terminal_there_are_no_control_characters():
    out = io.StringIO()
    with Screen(out).stage("airflow") as stage:
        for number in range(50):
            stage.live(f"{number} of 50 tasks")
    assert "\x1b" not in out.getvalue()
    assert "\r" not in out.getvalue()


def test_a_table_sets_numbers_to_the_right_and_separates_thousands():
    assert table_lines(("leg", "sent"), [["customers", 12345], ["units", 7]]) == [
        "leg          sent",
        "---------  ------",
        "customers  12,345",
        "units           7",
    ]


def test_every_stage_line_ends_in_the_same_column():
    assert len(stage_line("ok", "a", "", 1.0)) == len(stage_line("FAILED", "b" * 15, "c" * 500, 9999.9)) == WIDTH
