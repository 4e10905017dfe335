"""The parser of action scripts: text to actions. The format is described in `scripts`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NoReturn

from ..errors import ScriptError
from .actions import CAMERA_STEP, KEYS, Actions, Held, concatenate, hold

MAX_FRAMES = 24_000
MAX_DEPTH = 16
ANGLES = ("camera_pitch", "camera_yaw")
CAMERA_KEYS = {
    "camera_up": ("camera_pitch", -CAMERA_STEP),
    "camera_down": ("camera_pitch", CAMERA_STEP),
    "camera_left": ("camera_yaw", -CAMERA_STEP),
    "camera_right": ("camera_yaw", CAMERA_STEP),
}

_STARTS = ", ".join((*KEYS, *CAMERA_KEYS, *(f"{angle}=NUMBER" for angle in ANGLES), "still", "repeat", "reverse"))
_DEGREES_PER_UNIT = 15.0
_TOKEN = re.compile(
    r"(?P<blank>[ \t\r]+|#[^\n]*)|(?P<end>[;\n])|(?P<word>[A-Za-z_]+)"
    r"|(?P<number>[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?(?:deg)?)|(?P<mark>[+={}])"
)


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    line: int
    column: int

    def __str__(self) -> str:
        return {"stop": "the end of the script", "\n": "the end of the line"}.get(
            self.text or self.kind, repr(self.text)
        )


def parse_script(text: str) -> Actions:
    """The actions a script stands for. Raises ScriptError with line and column, what was seen and what is allowed."""
    return _Parser(text).script()


class _Parser:
    def __init__(self, text: str) -> None:
        self._tokens = list(_tokenize(text))
        self._next = 0
        self._depth = 0

    def script(self) -> Actions:
        actions = self._block()
        if self._peek().kind != "stop":
            _fail(self._peek(), "a step; this '}' closes nothing")
        return actions

    def _block(self) -> Actions:
        made: list[Actions] = []
        while True:
            while self._peek().kind == "end":
                self._take()
            token = self._peek()
            if token.kind == "stop" or token.text == "}":
                return concatenate(made)
            made.append(self._item(made))
            _check_length(sum(map(len, made)), token)
            if self._peek().kind not in ("end", "stop") and self._peek().text != "}":
                _fail(self._peek(), "';' or a line end after a step")

    def _item(self, made: list[Actions]) -> Actions:
        token = self._peek()
        if token.text == "reverse":
            self._take()
            so_far = concatenate(made)
            _check_length(2 * len(so_far), token)
            return so_far.reversed()
        if token.text == "repeat":
            return self._repeat(self._take())
        return hold(self._held(), self._count(token, default=1))

    def _repeat(self, start: _Token) -> Actions:
        times = self._count(start)
        self._expect("{")
        self._depth += 1
        if self._depth > MAX_DEPTH:
            _fail(start, f"at most {MAX_DEPTH} repeat blocks within each other")
        body = self._block()
        self._expect("}")
        self._depth -= 1
        _check_length(times * len(body), start)
        return concatenate([body] * (times if len(body) else 0))

    def _held(self) -> Held:
        values: dict[str, float] = {}
        while True:
            token = self._take()
            name, value = self._key(token)
            if name in values or (values and "still" in (name, *values)):
                _fail(token, "each key and each camera angle once, and 'still' alone")
            values[name] = value
            if self._peek().text != "+":
                break
            self._take()
        return Held(
            forward="forward" in values,
            back="back" in values,
            left="left" in values,
            right="right" in values,
            camera_pitch=values.get("camera_pitch", 0.0),
            camera_yaw=values.get("camera_yaw", 0.0),
        )

    def _key(self, token: _Token) -> tuple[str, float]:
        if token.text in CAMERA_KEYS:
            return CAMERA_KEYS[token.text]
        if token.text in ANGLES:
            self._expect("=")
            return token.text, self._angle()
        if token.text in KEYS or token.text == "still":
            return token.text, 1.0
        _fail(token, _STARTS)

    def _angle(self) -> float:
        token = self._take()
        if token.kind != "number":
            _fail(token, "a number, such as 0.2 (units of 15 degrees) or 3deg")
        degrees = token.text.endswith("deg")
        value = float(token.text.removesuffix("deg")) / (_DEGREES_PER_UNIT if degrees else 1.0)
        if abs(value) > 1:
            _fail(token, "an angle a frame in [-1, 1] or [-15deg, 15deg]")
        return value

    def _count(self, start: _Token, default: int | None = None) -> int:
        token = self._peek()
        if default is not None and token.kind != "number":
            return default
        self._take()
        if not re.fullmatch(r"\d{1,9}", token.text) or int(token.text) == 0:
            _fail(token, f"a whole number from 1 after {start}")
        _check_length(int(token.text), token)
        return int(token.text)

    def _peek(self) -> _Token:
        return self._tokens[self._next]

    def _take(self) -> _Token:
        token = self._peek()
        self._next = min(self._next + 1, len(self._tokens) - 1)
        return token

    def _expect(self, mark: str) -> None:
        token = self._take()
        if token.text != mark:
            _fail(token, f"'{mark}'")


def _tokenize(text: str) -> Iterator[_Token]:
    line, line_start, at = 1, 0, 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        column = at - line_start + 1
        if match is None or match.lastgroup is None:
            _fail(_Token("unknown", text[at], line, column), _STARTS)
        if match.lastgroup != "blank":
            yield _Token(match.lastgroup, match[0], line, column)
        at = match.end()
        if match[0] == "\n":
            line, line_start = line + 1, at
    yield _Token("stop", "", line, at - line_start + 1)


def _fail(token: _Token, allowed: str) -> NoReturn:
    raise ScriptError(f"line {token.line}, column {token.column}: saw {token}", hint=f"Allowed here: {allowed}.")


def _check_length(frames: int, token: _Token) -> None:
    if frames > MAX_FRAMES:
        raise ScriptError(
            f"line {token.line}, column {token.column}: {frames} frames from {token}",
            hint=f"A script has at most {MAX_FRAMES} frames.",
        )
