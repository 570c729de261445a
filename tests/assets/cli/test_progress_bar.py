"""The bar at the foot of a terminal; a piped run prints whole lines alone."""

import io

from spelangy_assets.cli.progress_bar import Bar, bar_line


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_the_line_says_what_is_done_and_how_long_the_rest_takes():
    assert bar_line(25, 100, 60) == f"[{'#' * 6}{'.' * 18}]  25%  60.0 s gone, about 3.0 min left"
    assert bar_line(0, 100, 5).endswith("no rate yet")
    assert bar_line(100, 100, 5).endswith("about 0.0 s left")


def test_a_terminal_has_the_bar_below_its_lines():
    terminal = Terminal()
    bar = Bar(terminal)
    bar.draw(1, 2, 10)
    bar.above("a dataset")
    bar.draw(2, 2, 20)
    bar.close()
    assert terminal.getvalue().endswith("\r\x1b[2K")
    assert "\r\x1b[2Ka dataset\n\r\x1b[2K[" in terminal.getvalue()


def test_a_pipe_has_no_bar():
    pipe = io.StringIO()
    bar = Bar(pipe)
    bar.draw(1, 2, 10)
    bar.above("a dataset")
    bar.close()
    assert pipe.getvalue() == "a dataset\n"
