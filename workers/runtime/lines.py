"""Split the output of a process into lines, in time linear in its bytes."""

from __future__ import annotations

from orchestrator.authoring.masking import mask_text

#: Maximum bytes kept of one line.
LONGEST = 10_000
#: Bytes behind them that are looked at, too: a secret that is cut in two would not be known.
BEHIND = 10_000


class Lines:
    """The lines of one stream. Of a line that is redrawn (`\\r`), only the last version is kept."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._size = 0
        self._dropped = 0
        self._drawn = ""  #: the line's text before the last `\r`

    def feed(self, data: bytes) -> list[str]:
        """Consume written bytes; return the completed lines."""
        *ended, last = data.split(b"\n")
        lines = []
        for piece in ended:
            self._extend(piece)
            lines.append(self._take())
        self._extend(last)
        return lines

    def rest(self) -> str:
        """Consume and return the unfinished line; empty if there is none."""
        return self._take()

    def _extend(self, piece: bytes) -> None:
        first, *redraws = piece.split(b"\r")
        self._append(first)
        for redraw in redraws:
            if self._parts:
                self._drawn = self._text()
            self._append(redraw)

    def _append(self, piece: bytes) -> None:
        kept = piece[: LONGEST + BEHIND - self._size]
        self._dropped += len(piece) - len(kept)
        if kept:
            self._parts.append(kept)
            self._size += len(kept)

    def _text(self) -> str:
        text = b"".join(self._parts).decode("utf-8", "backslashreplace")
        if self._size > LONGEST:
            whole = mask_text(text).encode()
            # Masked it is shorter: what was cut in two at the end must not move into what is kept
            most = min(LONGEST, max(0, len(whole) - BEHIND)) if self._dropped else LONGEST
            text = whole[:most].decode("utf-8", "backslashreplace")
            text += f" … {self._size + self._dropped - LONGEST} more bytes of this line are not kept"
        self._parts, self._size, self._dropped = [], 0, 0
        return text

    def _take(self) -> str:
        text = self._text() or self._drawn
        self._drawn = ""
        return text
