"""The board example: what two people in two browsers see of each other, also when something between them breaks."""

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from rethinkdb import r

from tests.browser import expect, tunnel
from tests.examples.board import Board, start

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

LOST = ("WebSocket connection to",)
"""What a browser says when a connection ends; tests that cut one forgive it."""

FIRST = "Open this page in a second window, side by side."

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture
def start_board(tmp_path: Path) -> Iterator[Callable[..., Board]]:
    with ExitStack() as stack:

        def start_one(port: int = 0, data: str = "data") -> Board:
            board = start("--port", str(port), "--data", str(tmp_path / data))
            stack.callback(board.stop)
            return board

        yield start_one


@pytest.fixture
def board(start_board: Callable[..., Board]) -> Board:
    return start_board()


# What somebody does with a page, and sees there.


def column(page: "Page", name: str) -> "Locator":
    return page.get_by_role("region", name=name, exact=True)


def note(page: "Page", text: str) -> "Locator":
    return page.locator(".note", has=page.locator("p", has_text=re.compile(f"^{re.escape(text)}$")))


def add(page: "Page", name: str, text: str) -> None:
    field = page.get_by_label(f"Add a note to {name}", exact=True)
    field.fill(text)
    field.press("Enter")


def texts(page: "Page", name: str) -> "Locator":
    return column(page, name).locator(".note p")


def expect_live(page: "Page") -> None:
    expect(page.locator("#link")).to_have_text("Live")


def expect_texts(page: "Page", name: str, *wanted: str) -> None:
    expect(texts(page, name)).to_have_text(list(wanted))


OpenPage = Callable[..., Any]


def test_two_people_see_each_others_notes_moves_and_edits(
    board: Board, open_page: OpenPage
) -> None:
    ada, bob = open_page(board.url), open_page(board.url, color_scheme="dark")
    expect_texts(bob, "Done", "Start the board.")
    add(ada, "Next", "one")
    add(ada, "Next", "two")
    expect(texts(bob, "Next").nth(1)).to_have_text("one")
    expect(texts(bob, "Next").nth(2)).to_have_text("two")
    # By the pointer, between two others.
    note(bob, "Start the board.").drag_to(note(bob, "two"), target_position={"x": 60, "y": 3})
    expect(texts(ada, "Done")).to_have_count(0)
    expect(texts(ada, "Next").nth(2)).to_have_text("Start the board.")
    expect(texts(bob, "Next").nth(3)).to_have_text("two")
    note(ada, "one").dblclick()
    expect(note(bob, "one").locator(".writer")).to_have_text(re.compile(" writes$"))
    ada.keyboard.type("first")
    ada.keyboard.press("Enter")
    expect(texts(bob, "Next").nth(1)).to_have_text("first")
    note(bob, "two").hover()
    note(bob, "two").get_by_role("button", name="Remove").click()
    expect(note(ada, "two")).to_have_count(0)
    bob.get_by_role("button", name="Undo").click()
    expect(texts(ada, "Next").nth(3)).to_have_text("two")
    # The strip is fed by aggregates, the list by the newest lines of the activity.
    expect(ada.locator("#total")).to_have_text("7")
    expect(bob.locator("#total")).to_have_text("7")
    expect(column(ada, "Next").locator("output")).to_have_text("4")
    expect(ada.locator("#present")).to_have_text("2")
    expect(ada.locator("#latest li").first).to_have_text(re.compile("added “?two"))
    expect(ada.locator("#latest li")).to_have_count(6)


def test_a_note_is_dragged_by_its_grip_on_a_touch_screen(board: Board, open_page: OpenPage) -> None:
    size = {"width": 390, "height": 800}
    # Where something is can be asked only of what stays there: nothing glides, and all figures have come.
    still = {"reduced_motion": "reduce", "viewport": size}
    page = open_page(board.url, has_touch=True, is_mobile=True, **still)
    expect_live(page)
    expect(page.locator("#total")).to_have_text("5")
    expect(page.locator("#present")).to_have_text("1")
    dragged, target = note(page, FIRST), texts(page, "Ideas").nth(1)
    start, end = dragged.locator(".grip").bounding_box(), target.bounding_box()
    assert start is not None
    assert end is not None
    touch = page.context.new_cdp_session(page)
    places = [
        (start["x"] + 8, start["y"] + 8 + step * (end["y"] - start["y"]) / 8) for step in range(9)
    ]
    for number, (x, y) in enumerate([*places, (end["x"], end["y"] + end["height"] + 40)]):
        kind = "touchMove" if number else "touchStart"
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [{"x": x, "y": y}]})
    expect(page.locator(".ghost")).to_have_count(1)
    touch.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    expect(texts(page, "Ideas").nth(1)).to_have_text(FIRST)
    expect(page.locator(".ghost")).to_have_count(0)
    wait_for_changes(page, 1)


def test_everything_can_be_done_by_keyboard(board: Board, open_page: OpenPage) -> None:
    ada, bob = open_page(board.url), open_page(board.url)
    expect_live(ada)
    note(ada, "Start the board.").focus()
    ada.keyboard.press("n")
    ada.keyboard.type("by hand")
    ada.keyboard.press("Enter")
    expect(texts(bob, "Done").nth(1)).to_have_text("by hand")
    ada.keyboard.press("Escape")
    note(ada, "Start the board.").focus()
    ada.keyboard.press("ArrowDown")
    ada.keyboard.press("Alt+ArrowUp")
    expect_texts(bob, "Done", "by hand", "Start the board.")
    expect_texts(ada, "Done", "by hand", "Start the board.")
    ada.keyboard.press("Alt+ArrowLeft")
    expect(texts(bob, "Doing").first).to_have_text("by hand")
    ada.keyboard.press("Enter")
    ada.keyboard.type("rewritten")
    ada.keyboard.press("Escape")
    ada.keyboard.press("Enter")
    ada.keyboard.type("written")
    ada.keyboard.press("Enter")
    expect(texts(bob, "Doing").first).to_have_text("written")
    color = note(bob, "written").get_attribute("data-color")
    ada.keyboard.press("c")
    bob.wait_for_function(
        "color => [...document.querySelectorAll('.note')]"
        ".some(e => e.textContent.includes('written') && e.dataset.color !== color)",
        arg=color,
    )
    ada.keyboard.press("Delete")
    expect(note(bob, "written")).to_have_count(0)
    assert ada.evaluate("document.activeElement.className").startswith("note")


def test_a_page_that_is_loaded_again_shows_the_same(board: Board, open_page: OpenPage) -> None:
    page = open_page(board.url)
    add(page, "Ideas", "stays")
    expect(texts(page, "Ideas").nth(2)).to_have_text("stays")
    wait_for_changes(page, 1)  # until then only this page knows of it
    page.get_by_label("You are").fill("Grace")
    page.get_by_label("You are").press("Enter")
    before = texts(page, "Ideas").all_inner_texts()
    page.reload()
    expect_texts(page, "Ideas", *before)
    expect(page.locator("#total")).to_have_text("6")
    assert page.get_by_label("You are").input_value() == "Grace"


def test_a_cut_connection_goes_on_without_gap_or_repeat(board: Board, open_page: OpenPage) -> None:
    with tunnel(board.port) as way:
        ada = open_page(f"http://127.0.0.1:{way.port}", forgiven=LOST)
        bob = open_page(board.url)
        expect_live(ada)
        expect_live(bob)
        add(bob, "Ideas", "seen before")
        wait_for_changes(ada, 1)
        way.cut()
        expect(ada.locator("#link")).to_have_text("Away, trying again")
        for number in range(5):
            add(bob, "Ideas", f"while away {number}")
        expect(texts(bob, "Ideas").nth(7)).to_have_text("while away 4")
        note(bob, "while away 0").focus()
        bob.keyboard.press("Delete")
        expect(note(bob, "while away 0")).to_have_count(0)
        # What is written meanwhile shows at once, and is sent when the way is open again.
        add(ada, "Done", "written in the tunnel")
        expect(texts(ada, "Done").nth(1)).to_have_text("written in the tunnel")
        expect(ada.locator(".note.pending")).to_have_count(1)
        wait_for_changes(bob, 7)
        way.mend()
        expect(ada.locator("#link")).to_have_text("Resumed, 6 changes caught up")
        expect(texts(bob, "Done").nth(1)).to_have_text("written in the tunnel")
        expect(ada.locator(".note.pending")).to_have_count(0)
        wait_for_changes(ada, 8)
        wait_for_changes(bob, 8)
        way.cut()
        expect(ada.locator("#link")).to_have_text("Away, trying again")
        add(bob, "Ideas", "and again")
        wait_for_changes(bob, 9)
        way.mend()
        expect(ada.locator("#link")).to_have_text("Resumed, 1 change caught up")
        wait_for_changes(ada, 9)
        away = [f"while away {number}" for number in range(1, 5)]
        for page in (ada, bob):
            expect(texts(page, "Ideas")).to_have_count(8)
            expect(texts(page, "Ideas").nth(2)).to_have_text("seen before")
            for place, text in enumerate([*away, "and again"], 3):
                expect(texts(page, "Ideas").nth(place)).to_have_text(text)
    assert len(board.rows(r.db("board").table("activity"))) == 9


def wait_for_changes(page: "Page", count: int) -> None:
    """Until the page has been told of exactly so many changes since it was opened."""
    expect(page.locator("#link")).to_have_attribute("title", re.compile(rf"^{count} changes?,"))


def test_pages_survive_the_death_of_the_database(board: Board, open_page: OpenPage) -> None:
    ada, bob = open_page(board.url, forgiven=LOST), open_page(board.url, forgiven=LOST)
    expect_live(bob)
    writing = [f"note {number}" for number in range(12)]
    expect_live(ada)
    before = board.database
    for number, text in enumerate(writing):
        add(ada, "Doing", text)  # some of these are on their way when the database dies
        if number == 5:
            board.kill_database()
    board.wait_for_another_database(before)
    for page in (ada, bob):
        expect_texts(
            page, "Doing", "Kill the database while you write: the command line says how.", *writing
        )
        expect(page.locator(".note.pending")).to_have_count(0)
        wait_for_changes(page, len(writing))
        expect(page.locator("#total")).to_have_text("17")
    done = board.rows(r.db("board").table("activity")["text"])
    assert sorted(done) == sorted(writing)  # each command once, whatever its first answer's fate


def test_pages_survive_a_restart_of_everything(
    start_board: Callable[..., Board], open_page: OpenPage
) -> None:
    first = start_board()
    page = open_page(first.url, forgiven=LOST)
    add(page, "Ideas", "before")
    expect(texts(page, "Ideas").nth(2)).to_have_text("before")
    expect_live(page)
    wait_for_changes(page, 1)
    assert first.stop() == 0
    add(page, "Ideas", "between")
    start_board(first.port)
    # What it wrote meanwhile is sent as the feed opens, and is caught up if it was first.
    expect(page.locator("#link")).to_have_text(
        re.compile(r"^Resumed, (0 changes|1 change) caught up$")
    )
    wait_for_changes(page, 2)
    expect(texts(page, "Ideas").nth(3)).to_have_text("between")


def test_a_page_that_finds_another_board_shows_that(
    start_board: Callable[..., Board], open_page: OpenPage
) -> None:
    first = start_board()
    page = open_page(first.url, forgiven=LOST)
    add(page, "Ideas", "of the first board")
    wait_for_changes(page, 1)
    assert first.stop() == 0
    start_board(first.port, "other data")
    expect(note(page, "of the first board")).to_have_count(0)
    expect_live(page)
    expect(page.locator(".note")).to_have_count(5)
    expect(page.locator("#total")).to_have_text("5")


def test_pause_and_resume_show_what_was_missed(board: Board, open_page: OpenPage) -> None:
    ada, bob = open_page(board.url), open_page(board.url)
    expect_live(ada)
    ada.get_by_role("button", name="Pause").click()
    expect(ada.locator("#link")).to_have_text("Paused")
    expect(bob.locator("#present")).to_have_text("1")
    add(bob, "Done", "missed")
    wait_for_changes(bob, 1)
    ada.get_by_role("button", name="Resume").click()
    expect(ada.locator("#link")).to_have_text("Resumed, 1 change caught up")
    expect(texts(ada, "Done").nth(1)).to_have_text("missed")
    expect(bob.locator("#present")).to_have_text("2")


def test_markup_in_a_note_or_a_name_stays_text(board: Board, open_page: OpenPage) -> None:
    ada, bob = open_page(board.url), open_page(board.url)
    evil = "<img src=x onerror=alert(1)><b>bold</b>&amp;<script>alert(2)</script>"
    ada.get_by_label("You are").fill("<i>Eve</i>")
    ada.get_by_label("You are").press("Enter")
    add(ada, "Ideas", evil)
    for page in (ada, bob):
        expect(texts(page, "Ideas").nth(2)).to_have_text(evil)
        expect(page.locator("#latest q").first).to_have_text(evil)
        assert page.locator("main img, main b, main script, #latest img, #people i").count() == 0
    expect(bob.locator("#latest b").first).to_have_text("<i>Eve</i>")


@pytest.mark.parametrize(
    "viewport",
    [{"width": 360, "height": 700}, {"width": 800, "height": 700}, {"width": 1400, "height": 800}],
)
def test_the_page_fits_its_window(board: Board, open_page: OpenPage, viewport: Any) -> None:
    page = open_page(board.url, viewport=viewport)
    add(page, "Ideas", "Donaudampfschifffahrtsgesellschaft" * 4)
    expect(page.locator(".note")).to_have_count(6)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    nameless = page.evaluate(
        "[...document.querySelectorAll('button, input, textarea')].filter(e =>"
        " !e.ariaLabel && !e.textContent.trim() && !e.labels?.length).map(e => e.outerHTML)"
    )
    assert nameless == []


def test_light_and_dark_follow_the_system_and_the_button(board: Board, open_page: OpenPage) -> None:
    ground = "getComputedStyle(document.querySelector('.note')).backgroundColor"
    light, dark = open_page(board.url), open_page(board.url, color_scheme="dark")
    for page in (light, dark):
        page.locator(".note").first.wait_for()
    colors = light.evaluate(ground), dark.evaluate(ground)
    assert colors[0] != colors[1]
    light.get_by_role("button", name="Light or dark").click()
    assert light.evaluate(ground) == colors[1]
