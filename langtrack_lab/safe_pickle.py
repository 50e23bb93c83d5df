"""Pickle files of strangers: read as data, never run.

A pickle is a program, so two gates stand before it. `load_plain` knows no class at all: containers, numbers
and strings need none. `load_inert` knows a few classes by name, each an empty stand-in, and looks through the
operations first: none that calls anything is let through.
"""

from __future__ import annotations

import pickle
import pickletools
from collections.abc import Iterable
from typing import IO, Any

# All that a plain object of dicts, lists, strings, small numbers and None needs. No REDUCE, INST, OBJ, EXT or
# BUILD-by-copyreg; no tuples but the empty one, since hashing nested ones can take for ever.
_OPERATIONS = frozenset(
    """
    PROTO FRAME STOP MARK GLOBAL STACK_GLOBAL EMPTY_TUPLE NEWOBJ BUILD
    EMPTY_DICT SETITEM SETITEMS EMPTY_LIST APPEND APPENDS BINUNICODE SHORT_BINUNICODE
    BININT BININT1 BININT2 LONG1 NONE NEWTRUE NEWFALSE
    BINPUT LONG_BINPUT BINGET LONG_BINGET MEMOIZE
    """.split()  # noqa: SIM905 - twenty-nine quoted words are harder to read
)


class Refused(pickle.UnpicklingError):
    """What a pickle asks for and may not have, in a few words."""


class _Unpickler(pickle.Unpickler):
    def __init__(self, stream: IO[bytes], classes: dict[str, type]) -> None:
        super().__init__(stream, encoding="latin-1")  # strings of Python 2
        self._classes = classes

    def find_class(self, module: str, name: str) -> type:
        if name not in self._classes:
            raise Refused(f"{module}.{name}")
        return self._classes[name]

    def persistent_load(self, pid: Any) -> Any:
        raise Refused("an object outside of the file")


def load_plain(stream: IO[bytes]) -> Any:
    """The next pickle in a stream: lists, tuples, dicts, sets, numbers, strings, bytes, True, False and None.

    Raises:
        Refused: it holds anything else.
        Exception: of any kind, for damaged bytes.
    """
    return _Unpickler(stream, {}).load()


def load_inert(stream: IO[bytes], names: Iterable[str]) -> Any:
    """As `load_plain`, with objects of the classes of these names, in whatever module they were.

    An object's class is an empty one, made anew for each pickle; its attributes are the stored ones.
    """
    start = stream.tell()
    for operations, (opcode, argument, _) in enumerate(pickletools.genops(stream)):
        if opcode.name not in _OPERATIONS:
            raise Refused(f"the operation {opcode.name}")
        # A pickler numbers its memo from 0; for a far number the unpickler would reserve memory up to there.
        if opcode.name in ("BINPUT", "LONG_BINPUT") and int(argument or 0) > operations:
            raise Refused(f"memo place {argument}")
    stream.seek(start)
    return _Unpickler(stream, {name: type(name, (_Inert,), {}) for name in names}).load()


class _Inert:
    def __setstate__(self, state: Any) -> None:
        if type(state) is not dict:
            raise Refused("attributes that are no dict")
        self.__dict__.update(state)
