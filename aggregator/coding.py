"""Undoes one HTTP content coding: wholly or not at all, and never past a ceiling."""

from __future__ import annotations

import sys
import zlib
from collections.abc import Iterable
from typing import Protocol

from aggregator.faults import Fault, Trouble

# urllib3 decodes, too, but takes a document whose compressed stream was cut short for whole.

ACCEPTED = "gzip, deflate, br, zstd"
_PLAIN = ("", "identity")
_MEBI = 1 << 20
_GZIP = b"\x1f\x8b"  # how a member begins


class _Decoder(Protocol):
    def feed(self, data: bytes, room: int) -> bytes:
        """What `data` decodes to, cut off somewhere after `room` bytes. Trouble: damaged."""
        ...

    @property
    def whole(self) -> bool:
        """Whether the coded stream came to its end."""
        ...


def undo(coding: str, chunks: Iterable[bytes], megabytes: float) -> bytes:
    """The document in `chunks`, decoded by the Content-Encoding header `coding`.

    A coding that nobody registered counts as none: servers write a character set there. Trouble: more than
    `megabytes` after decoding, damaged, cut short, or coded more than once.
    """
    names = [name for name in (part.strip().lower() for part in coding.split(",")) if name not in _PLAIN]
    if len(names) > 1:
        raise Trouble(Fault.CODINGS, coding=coding)
    decoder = _decoder(names[0]) if names else None
    room, parts = int(megabytes * _MEBI), []
    for chunk in chunks:
        if decoder is not None:
            chunk = decoder.feed(chunk, room)
        room -= len(chunk)
        if room < 0:
            raise Trouble(Fault.TOO_LARGE, megabytes=megabytes)
        parts.append(chunk)
    if decoder is not None and parts and not decoder.whole:
        raise Trouble(Fault.BAD_CODING, coding=names[0])
    return b"".join(parts)


def _decoder(name: str) -> _Decoder | None:
    match name:
        case "gzip" | "x-gzip" | "deflate":
            return _Zlib(name)
        case "br":
            return _Brotli()
        case "zstd":
            return _Zstd()
    return None


class _Zlib:
    """gzip of one or more members (RFC 1952), and deflate, which servers send with zlib's header and without."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._stream = zlib.decompressobj(wbits=47)  # 32 for "zlib or gzip, as it begins", 15 for any window
        self._begun = False
        self._rest = b""  # what came after the end of a member

    def feed(self, data: bytes, room: int) -> bytes:
        decoded = b""
        data = self._rest + data
        while data and len(decoded) <= room:
            if self._stream.eof and len(data) < len(_GZIP):
                break
            if self._stream.eof and not data.startswith(_GZIP):
                return decoded  # what follows the end is not of the document: browsers drop it, too
            if self._stream.eof:
                self._stream = zlib.decompressobj(wbits=47)
            decoded += self._step(data, room + 1 - len(decoded))
            data = self._stream.unused_data
        self._rest = data
        return decoded

    def _step(self, data: bytes, most: int) -> bytes:
        try:
            return self._stream.decompress(data, most)
        except zlib.error as error:
            if self._begun or self._name != "deflate":
                raise Trouble(Fault.BAD_CODING, coding=self._name) from error
            self._stream = zlib.decompressobj(wbits=-15)
            self._begun = True
            return self._step(data, most)
        finally:
            self._begun = True

    @property
    def whole(self) -> bool:
        return self._stream.eof


class _Brotli:
    """RFC 7932."""

    def __init__(self) -> None:
        import brotli  # few servers send it

        self._error = brotli.error
        self._stream = brotli.Decompressor()

    def feed(self, data: bytes, room: int) -> bytes:
        if self._stream.is_finished():
            return b""
        try:
            return bytes(self._stream.process(data, output_buffer_limit=room + 1))
        except self._error as error:
            raise Trouble(Fault.BAD_CODING, coding="br") from error

    @property
    def whole(self) -> bool:
        return bool(self._stream.is_finished())


class _Zstd:
    """RFC 8878, of one or more frames."""

    def __init__(self) -> None:
        if sys.version_info >= (3, 14):
            from compression import zstd
        else:
            from backports import zstd
        self._zstd = zstd
        self._stream = zstd.ZstdDecompressor()

    def feed(self, data: bytes, room: int) -> bytes:
        decoded = b""
        try:
            while data and len(decoded) <= room:
                if self._stream.eof:
                    self._stream = self._zstd.ZstdDecompressor()
                decoded += self._stream.decompress(data, room + 1 - len(decoded))
                data = self._stream.unused_data if self._stream.eof else b""
        except self._zstd.ZstdError as error:
            raise Trouble(Fault.BAD_CODING, coding="zstd") from error
        return decoded

    @property
    def whole(self) -> bool:
        return bool(self._stream.eof)
