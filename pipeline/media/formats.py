"""The media formats that are read: those whose files hold their own pictures and sound.

FFmpeg also reads playlists, scripts and image sequences, which name other files, and opens those.
"""

from __future__ import annotations

import os
from typing import BinaryIO

_FILMS = (
    *("mov", "matroska", "webm", "avi", "mpeg", "mpegts", "mpegvideo", "flv", "live_flv", "asf", "ogg", "rm", "nut"),
    *("mxf", "gxf", "wtv", "dv", "ivf", "nsv", "h261", "h263", "h264", "hevc", "vvc", "m4v", "av1", "obu"),
    *("vc1", "mjpeg", "yuv4mpegpipe", "rawvideo", "ingenient", "dirac", "cavsvideo", "film_cpk", "bink", "smk"),
)
_SOUNDS = (
    *("wav", "w64", "aiff", "au", "caf", "mp3", "aac", "ac3", "eac3", "ac4", "flac", "amr", "amrnb", "amrwb", "ape"),
    *("wv", "tta", "tak", "dts", "dtshd", "truehd", "mlp", "loas", "gsm", "voc", "mpc", "mpc8", "oma"),
    *("shn", "dsf", "iff", "ircam", "sox", "avr", "qcp", "ast", "osq", "codec2", "sbc", "aptx", "adx", "nistsphere"),
)
_PICTURES = (
    *("gif", "apng", "webp_pipe", "jpegxl_anim", "png_pipe", "jpeg_pipe", "jpegls_pipe", "jpegxl_pipe"),
    *("bmp_pipe", "tiff_pipe", "j2k_pipe", "gif_pipe", "hdr_pipe", "exr_pipe", "dpx_pipe", "qoi_pipe", "sgi_pipe"),
    *("pam_pipe", "pbm_pipe", "pgm_pipe", "ppm_pipe", "pfm_pipe", "sunrast_pipe", "dds_pipe", "psd_pipe", "pcx_pipe"),
    *("xbm_pipe", "xpm_pipe", "xwd_pipe", "vbn_pipe", "cri_pipe", "photocd_pipe", "ico", "fits"),
)
OWN_MEDIA = ",".join((*_FILMS, *_SOUNDS, *_PICTURES))
"""Names of FFmpeg's demuxers, as its option ``format_whitelist`` takes them."""

_UNKNOWN_BYTES = 0x7FFF0000
"""A recorder writes a size of at least this into a RIFF file whose size it cannot state yet."""


def riff_share(file: BinaryIO) -> float:
    """Share of the bytes that the header of a WAV or AVI file states; 1 for other files.

    FFmpeg shortens the stated duration of these to what is there.
    """
    head = os.pread(file.fileno(), 8, 0)
    stated = 8 + int.from_bytes(head[4:], "little")
    if head[:4] != b"RIFF" or stated >= _UNKNOWN_BYTES:
        return 1.0
    return min(1.0, os.fstat(file.fileno()).st_size / stated)
