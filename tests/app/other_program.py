"""Another program on the desktop, for tests: it holds a copied picture, or drags a file into a window (Xlib by ctypes).

    python other_program.py copy image/png PICTURE
    python other_program.py drop WINDOW PATH

It prints "ready", then serves whoever asks until it is ended.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import sys
from pathlib import Path

X = ctypes.CDLL(ctypes.util.find_library("X11") or "libX11.so.6")
long = ctypes.c_long
REQUEST, NOTIFY, MESSAGE = 30, 31, 33
ATOM_ATOM = 4


class Event(ctypes.Structure):
    """An XEvent as far as selections and messages go: five common fields, then longs."""

    _fields_ = (
        ("kind", ctypes.c_int), ("serial", long), ("sent", ctypes.c_int), ("display", ctypes.c_void_p),
        ("rest", long * 20),
    )  # fmt: skip


def declare(name: str, result: type | None, *arguments: type) -> None:
    """The signature of a function of Xlib."""
    getattr(X, name).restype, getattr(X, name).argtypes = result, arguments


window, pointer, integer = ctypes.c_ulong, ctypes.c_void_p, ctypes.c_int
declare("XOpenDisplay", pointer, ctypes.c_char_p)
declare("XDefaultRootWindow", window, pointer)
declare("XCreateSimpleWindow", window, pointer, window, *[integer] * 5, window, window)
declare("XInternAtom", window, pointer, ctypes.c_char_p, integer)
declare("XSetSelectionOwner", integer, pointer, window, window, window)
declare("XNextEvent", integer, pointer, pointer)
declare("XChangeProperty", integer, pointer, window, window, window, integer, integer, pointer, integer)
declare("XSendEvent", integer, pointer, window, integer, long, pointer)
declare("XFlush", integer, pointer)


class OtherProgram:
    """A window that nobody sees and what it offers."""

    def __init__(self, selection: str, kind: str, data: bytes) -> None:
        self.display = X.XOpenDisplay(None)
        self.window = X.XCreateSimpleWindow(self.display, X.XDefaultRootWindow(self.display), 0, 0, 9, 9, 0, 0, 0)
        self.kind, self.data = self.atom(kind), data
        X.XSetSelectionOwner(self.display, self.atom(selection), self.window, 0)

    def atom(self, name: str) -> int:
        """The number of a name."""
        return X.XInternAtom(self.display, name.encode(), 0)

    def message(self, target: int, name: str, *data: int) -> None:
        """Send a client message of five longs."""
        event = Event(kind=MESSAGE)
        event.rest[:3] = target, self.atom(name), 32
        event.rest[3 : 3 + len(data)] = data
        X.XSendEvent(self.display, target, 0, 0, ctypes.byref(event))
        X.XFlush(self.display)

    def serve(self) -> None:
        """Answer who asks for the selection, until a drop has ended."""
        event = Event()
        while True:
            X.XNextEvent(self.display, ctypes.byref(event))
            if event.kind == REQUEST:
                self._answer(event)
            elif event.kind == MESSAGE and event.rest[1] == self.atom("XdndFinished"):
                return

    def _answer(self, event: Event) -> None:
        asker, selection, target, where, time = event.rest[1:6]
        if target == self.atom("TARGETS"):
            kinds = (long * 2)(self.atom("TARGETS"), self.kind)
            X.XChangeProperty(self.display, asker, where, ATOM_ATOM, 32, 0, kinds, 2)
        elif target == self.kind:
            X.XChangeProperty(self.display, asker, where, target, 8, 0, self.data, len(self.data))
        else:
            where = 0
        answer = Event(kind=NOTIFY)
        answer.rest[:5] = asker, selection, target, where, time
        X.XSendEvent(self.display, asker, 0, 0, ctypes.byref(answer))
        X.XFlush(self.display)


def main(verb: str, what: str, path: str) -> None:
    """Copy the picture `path` as `what`, or drop the file `path` on window `what`."""
    if verb == "copy":
        program = OtherProgram("CLIPBOARD", what, Path(path).read_bytes())
    else:
        program = OtherProgram("XdndSelection", "text/uri-list", f"{Path(path).resolve().as_uri()}\r\n".encode())
        target, me = int(what), program.window
        program.message(target, "XdndEnter", me, 5 << 24, program.kind)
        program.message(target, "XdndPosition", me, 0, 200 << 16 | 200, 0, program.atom("XdndActionCopy"))
        program.message(target, "XdndDrop", me, 0, 0)
    X.XFlush(program.display)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    program.serve()


if __name__ == "__main__":
    main(*sys.argv[1:])
