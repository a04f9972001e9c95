"""Bodies in the encodings of HTTP: the standard library's, and zstd and snappy by cramjam."""
import gzip
import zlib

import cramjam

_PACK = {
    "gzip": lambda data, level: gzip.compress(data, level),
    "deflate": zlib.compress,
    "zlib": zlib.compress,
    "zstd": lambda data, level: bytes(cramjam.zstd.compress(data, level)),
    "snappy": lambda data, level: bytes(cramjam.snappy.compress_raw(data)),
    "x-snappy-framed": lambda data, level: bytes(cramjam.snappy.compress(data)),
}
_UNPACK = {
    "gzip": gzip.decompress,
    "deflate": zlib.decompress,
    "zlib": zlib.decompress,
    "zstd": lambda data: bytes(cramjam.zstd.decompress(data)),
    "snappy": lambda data: bytes(cramjam.snappy.decompress_raw(data)),
    "x-snappy-framed": lambda data: bytes(cramjam.snappy.decompress(data)),
}


def pack(encoding, data, level=1):
    return _PACK[encoding](data, level)


def unpack(encoding, data):
    """The body of a request; without an encoding as it is."""
    return _UNPACK[encoding](data) if encoding else data
