"""What is in a Python pickle, told without running it.

A pickle is a program for a small stack machine, and some of its instructions call functions that
the file names. Here the program is followed with the calls left out: where a function would be
called, a note of what would have been called with what is put on the stack. Nothing is imported,
nothing named by the file is looked up, so a hostile file can do no more than be wrong about itself.
"""

import pickletools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import IO, Any

MOST_INSTRUCTIONS = 20_000_000
LONGEST_VALUE = 1 << 20  # longer strings and bytes are skipped, not read


@dataclass(frozen=True)
class Name:
    """A function or class that the file names."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


@dataclass
class Made:
    """What a call would have made: the function, its arguments, and what was added afterwards."""

    function: object
    arguments: object
    state: object = None
    pairs: list[tuple[object, object]] = field(default_factory=list)
    items: list[object] = field(default_factory=list)


@dataclass
class Pairs:
    """A dictionary; its keys need not be hashable here."""

    pairs: list[tuple[object, object]] = field(default_factory=list)


@dataclass(frozen=True)
class Persistent:
    """A reference to something outside the pickle, such as a storage of torch."""

    key: object


@dataclass(frozen=True)
class Skipped:
    """A value too long to be read."""

    size: int


@dataclass(frozen=True)
class Pickle:
    """A pickle that has been followed.

    Attributes:
        value: What it holds: plain values, lists, tuples, `Pairs`, `Made`, `Name`, `Persistent`.
        names: Every function and class that it names, used in the value or not.
    """

    value: object
    names: frozenset[Name]


def read_pickle(file: IO[bytes]) -> Pickle:
    """Follow the pickle that begins at the position of a file, to its end.

    Args:
        file: The file; it is left just behind the pickle.

    Returns:
        What it holds, and what it names.

    Raises:
        ValueError: It is cut short or no sound pickle.
    """
    machine = _Machine()
    try:
        for name, argument in _instructions(file):
            machine.step(name, argument)
        return Pickle(machine.stack.pop(), frozenset(machine.names))
    except (IndexError, KeyError, TypeError) as error:
        raise ValueError("it takes from an empty stack or memo") from error


class _Bounded:
    """A file for `pickletools`, whose readers trust the lengths that they read."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def read(self, size: int) -> bytes:
        if size > LONGEST_VALUE:
            raise ValueError(f"a value claims {size:,} bytes")
        return self._file.read(size)

    def readline(self) -> bytes:
        line = self._file.readline(LONGEST_VALUE)
        if len(line) == LONGEST_VALUE:
            raise ValueError("a line never ends")
        return line


_INSTRUCTIONS = {one.code: one for one in pickletools.opcodes}
# instructions whose values may rightly be long, and the bytes of their length
_LENGTH_BYTES = {
    "BINBYTES": 4,
    "BINBYTES8": 8,
    "BYTEARRAY8": 8,
    "BINSTRING": 4,
    "BINUNICODE": 4,
    "BINUNICODE8": 8,
    "LONG4": 4,
}


def _instructions(file: IO[bytes]) -> Iterator[tuple[str, Any]]:
    bounded: Any = _Bounded(file)
    for _ in range(MOST_INSTRUCTIONS):
        code = file.read(1)
        if not code:
            raise ValueError("it ends before its end is said")
        opcode = _INSTRUCTIONS.get(code.decode("latin-1"))
        if opcode is None:
            raise ValueError(f"byte {code!r} is no instruction")
        if opcode.name in _LENGTH_BYTES:
            yield opcode.name, _long_value(file, opcode.name)
        else:
            yield opcode.name, opcode.arg.reader(bounded) if opcode.arg else None
        if opcode.name == "STOP":
            return
    raise ValueError(f"it has more than {MOST_INSTRUCTIONS:,} instructions")


def _long_value(file: IO[bytes], name: str) -> object:
    size = int.from_bytes(file.read(_LENGTH_BYTES[name]), "little")
    if size > LONGEST_VALUE:
        left = size
        while left:
            chunk = file.read(min(left, LONGEST_VALUE))
            if not chunk:
                raise ValueError(f"a value claims {size:,} bytes, {left:,} are missing")
            left -= len(chunk)
        return Skipped(size)
    data = file.read(size)
    if len(data) < size:
        raise ValueError(f"a value claims {size:,} bytes, {size - len(data):,} are missing")
    if name.startswith("BINUNICODE"):
        return data.decode("utf-8", "replace")
    if name == "BINSTRING":
        return data.decode("latin-1")
    return int.from_bytes(data, "little", signed=True) if name == "LONG4" else data


class _Machine:
    """The stack machine of pickles, less its calls."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.names: set[Name] = set()
        self._marks: list[int] = []
        self._memo: dict[int, object] = {}

    def step(self, name: str, argument: Any) -> None:
        """Follow one instruction."""
        if name in _CONSTANTS:
            self.stack.append(_CONSTANTS[name]())
        elif name in _STEPS:
            _STEPS[name](self, argument)
        elif name not in ("PROTO", "FRAME", "STOP"):
            self.stack.append(argument)  # all others push their argument

    def marked(self) -> list[Any]:
        start = self._marks.pop()
        taken = self.stack[start:]
        del self.stack[start:]
        return taken

    def last(self, count: int) -> list[Any]:
        if len(self.stack) < count:
            raise IndexError
        taken = self.stack[-count:]
        del self.stack[-count:]
        return taken

    def mark(self, _: object) -> None:
        self._marks.append(len(self.stack))

    def pop(self, _: object) -> None:
        if self._marks and self._marks[-1] == len(self.stack):
            self._marks.pop()
        else:
            self.stack.pop()

    def pop_mark(self, _: object) -> None:
        self.marked()

    def repeat(self, _: object) -> None:
        self.stack.append(self.stack[-1])

    def put(self, place: int) -> None:
        self._memo[place] = self.stack[-1]

    def memoize(self, _: object) -> None:
        self._memo[len(self._memo)] = self.stack[-1]

    def get(self, place: int) -> None:
        self.stack.append(self._memo[place])

    def gather(self, shape: Callable[[list[Any]], object]) -> None:
        self.stack.append(shape(self.marked()))

    def tuple_of(self, count: int) -> None:
        self.stack.append(tuple(self.last(count)))

    def add_items(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if isinstance(target, list):
            target.extend(items)
        elif isinstance(target, Made):
            target.items.extend(items)

    def add_pairs(self, flat: list[Any]) -> None:
        target = self.stack[-1]
        if isinstance(target, Pairs | Made):
            target.pairs.extend(zip(flat[::2], flat[1::2], strict=False))

    def named(self, module: object, name: object) -> Name:
        found = Name(str(module), str(name))
        self.names.add(found)
        return found

    def name(self, argument: str) -> None:
        self.stack.append(self.named(*argument.split(" ", 1)))

    def stacked_name(self, _: object) -> None:
        self.stack.append(self.named(*self.last(2)))

    def extension(self, code: int) -> None:
        self.stack.append(self.named("copyreg", f"extension {code}"))

    def made(self, count: int) -> None:
        function, *arguments = self.last(count)
        self.stack.append(Made(function, arguments[0]))

    def instance(self, argument: str) -> None:
        function = self.named(*argument.split(" ", 1))
        self.stack.append(Made(function, tuple(self.marked())))

    def instance_of_first(self, _: object) -> None:
        function, *arguments = self.marked()
        self.stack.append(Made(function, tuple(arguments)))

    def build(self, _: object) -> None:
        state = self.stack.pop()
        if isinstance(self.stack[-1], Made):
            self.stack[-1].state = state

    def persistent(self, key: object) -> None:
        self.stack.append(Persistent(key))


def _pairs(flat: list[Any]) -> Pairs:
    return Pairs(list(zip(flat[::2], flat[1::2], strict=False)))


_CONSTANTS: dict[str, Callable[[], object]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_LIST": list,
    "EMPTY_SET": list,
    "EMPTY_TUPLE": tuple,
    "EMPTY_DICT": Pairs,
    "NEXT_BUFFER": lambda: Skipped(0),
}

_STEPS: dict[str, Callable[[_Machine, Any], None]] = {
    "MARK": _Machine.mark,
    "POP": _Machine.pop,
    "POP_MARK": _Machine.pop_mark,
    "DUP": _Machine.repeat,
    "PUT": _Machine.put,
    "BINPUT": _Machine.put,
    "LONG_BINPUT": _Machine.put,
    "MEMOIZE": _Machine.memoize,
    "GET": _Machine.get,
    "BINGET": _Machine.get,
    "LONG_BINGET": _Machine.get,
    "LIST": lambda machine, _: machine.gather(list),
    "TUPLE": lambda machine, _: machine.gather(tuple),
    "FROZENSET": lambda machine, _: machine.gather(list),
    "DICT": lambda machine, _: machine.gather(_pairs),
    "TUPLE1": lambda machine, _: machine.tuple_of(1),
    "TUPLE2": lambda machine, _: machine.tuple_of(2),
    "TUPLE3": lambda machine, _: machine.tuple_of(3),
    "APPEND": lambda machine, _: machine.add_items(machine.last(1)),
    "APPENDS": lambda machine, _: machine.add_items(machine.marked()),
    "ADDITEMS": lambda machine, _: machine.add_items(machine.marked()),
    "SETITEM": lambda machine, _: machine.add_pairs(machine.last(2)),
    "SETITEMS": lambda machine, _: machine.add_pairs(machine.marked()),
    "GLOBAL": _Machine.name,
    "STACK_GLOBAL": _Machine.stacked_name,
    "REDUCE": lambda machine, _: machine.made(2),
    "NEWOBJ": lambda machine, _: machine.made(2),
    "NEWOBJ_EX": lambda machine, _: machine.made(3),
    "INST": _Machine.instance,
    "OBJ": _Machine.instance_of_first,
    "BUILD": _Machine.build,
    "PERSID": _Machine.persistent,
    "BINPERSID": lambda machine, _: machine.persistent(machine.stack.pop()),
    "EXT1": _Machine.extension,
    "EXT2": _Machine.extension,
    "EXT4": _Machine.extension,
    "READONLY_BUFFER": lambda machine, _: None,
}
