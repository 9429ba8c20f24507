"""A labelled set to try comparisons on: questions by hand, and what answers them.

Rules of this file:
- Each question names documented things of the standard library that every supported Python has.
- It shows that a comparison works; what it says of models holds for this library's words alone.
"""

from __future__ import annotations

from typing import Final

QUESTIONS: Final[tuple[tuple[str, tuple[str, ...]], ...]] = (
    ("How do I wrap a long line of text to a given width?", ("textwrap.wrap", "textwrap.fill")),
    ("How similar are two strings?", ("difflib.SequenceMatcher", "difflib.SequenceMatcher.ratio")),
    ("suggest the right spelling from a list of words", ("difflib.get_close_matches",)),
    ("show what changed between two files, as patches do", ("difflib.unified_diff",)),
    ("What is the middle value of a list of numbers?", ("statistics.median",)),
    ("how far do numbers spread around their mean", ("statistics.stdev", "statistics.pstdev")),
    ("the most common value", ("statistics.mode", "statistics.multimode")),
    ("Send an email message through a mail server", ("smtplib.SMTP", "smtplib.SMTP.send_message")),
    ("remember the results of a function so that it is not computed again",
     ("functools.lru_cache", "functools.cache")),
    ("one function with different behaviour for each argument type", ("functools.singledispatch",)),
    ("keep a wrapper's name and docstring", ("functools.wraps", "functools.update_wrapper")),
    ("the three largest items of a list", ("heapq.nlargest",)),
    ("combine several sorted inputs into one sorted output", ("heapq.merge",)),
    ("keep a list sorted while adding to it", ("bisect.insort_right", "bisect.insort_left")),
    ("where would an item go in a sorted list", ("bisect.bisect_left", "bisect.bisect_right")),
    ("ignore an exception in a with block", ("contextlib.suppress",)),
    ("capture what is printed", ("contextlib.redirect_stdout",)),
    ("close something at the end of a block", ("contextlib.closing",)),
    ("write a context manager as a generator", ("contextlib.contextmanager",)),
    ("copy an object with everything inside it", ("copy.deepcopy",)),
    ("turn a dataclass into a dictionary", ("dataclasses.asdict",)),
    ("a changed copy of a frozen record", ("dataclasses.replace",)),
    ("evaluate a literal in a string without running code", ("ast.literal_eval",)),
    ("encode bytes for use in a web address", ("base64.urlsafe_b64encode",)),
    ("guess the delimiter of a table in a text file", ("csv.Sniffer",)),
    ("what weekday does a month begin with and how many days has it", ("calendar.monthrange",)),
    ("the best simple fraction near a number", ("fractions.Fraction.limit_denominator",)),
    ("order tasks by what they depend on", ("graphlib.TopologicalSorter",
                                           "graphlib.TopologicalSorter.static_order")),
    ("Does a file name match a pattern with stars?", ("fnmatch.fnmatch", "fnmatch.fnmatchcase")),
    ("list the files that match a pattern", ("glob.glob", "glob.iglob")),
    ("are two files the same", ("filecmp.cmp",)),
    ("read lines from several files given on the command line",
     ("fileinput", "fileinput.input")),
    ("who is logged in", ("getpass.getuser",)),
    ("read tags out of a web page", ("html.parser.HTMLParser",)),
    ("sign a message with a secret key", ("hmac.new", "hmac.digest", "hmac.HMAC")),
    ("is this network address a private one",
     ("ipaddress.IPv4Address.is_private", "ipaddress.IPv6Address.is_private")),
    ("the source code of a function as text", ("inspect.getsource",)),
    ("what arguments does a callable take", ("inspect.Signature", "inspect.getfullargspec")),
    ("run a blocking function without stopping the event loop", ("asyncio.threads.to_thread",)),
    ("give up on a coroutine after some time", ("asyncio.tasks.wait_for",)),
    ("wait for many coroutines at once and collect what they return", ("asyncio.tasks.gather",)),
    ("a queue that gives back the newest item first", ("asyncio.queues.LifoQueue",)),
    ("decompress data that was packed with gzip", ("gzip.decompress", "gzip.open")),
    ("parse the date of a cookie", ("http.cookiejar.http2time",)),
    ("a simple web server that hands out files of a folder",
     ("http.server.SimpleHTTPRequestHandler",)),
    ("read settings from an ini file", ("configparser",)),
    ("convert a colour from RGB to HSV", ("colorsys",)),
    ("disassemble a function", ("dis.dis",)),
    ("test the examples in documentation", ("doctest.testmod", "doctest.testfile", "doctest")),
    ("compile every Python file of a folder", ("compileall.compile_dir",)),
    ("split an email address into name and address", ("email.utils.parseaddr",)),
    ("a list of the days of each week in a month", ("calendar.Calendar.monthdayscalendar",)),
)  # fmt: skip
"""The question, and the names of all that answers it."""
