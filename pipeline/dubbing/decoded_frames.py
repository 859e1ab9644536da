"""The decoded frames of a video, which a dub reads several times."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator

from pipeline.media.picture import StoredPicture
from pipeline.media.video import TimedFrame

MAX_KEPT_BYTES = 1 << 27
"""Videos whose frames take more memory are decoded at each pass: 128 MiB are 290 frames of 640x480 in 4:2:0."""


class DecodedFrames:
    """Passes over the frames of a video, one after another. The frames of a short video are kept, and decoded once.

    ``open_frames()`` decodes the video from its first frame. ``num_frames``: number of frames of the longest pass, as
    far as it is known; if it is 0, no frame is kept.
    """

    def __init__(
        self,
        open_frames: Callable[[], Iterable[TimedFrame[StoredPicture]]],
        num_frames: int,
        max_bytes: int = MAX_KEPT_BYTES,
    ) -> None:
        self._open, self._num_frames, self._max_bytes = open_frames, num_frames, max_bytes
        self._kept: list[TimedFrame[StoredPicture]] = []
        self._is_keeping, self._is_whole = num_frames > 0, False

    def __call__(self) -> Iterator[TimedFrame[StoredPicture]]:
        """Yields the frames from the first one."""
        yield from self._kept
        if self._is_whole:
            return
        for frame in itertools.islice(self._open(), len(self._kept), None):
            if self._is_keeping:
                self._keep(frame)
            yield frame
        self._is_whole = self._is_keeping

    def _keep(self, frame: TimedFrame[StoredPicture]) -> None:
        num_expected = max(self._num_frames, len(self._kept) + 1)
        if num_expected * frame.image.nbytes <= self._max_bytes:
            self._kept.append(frame)
        else:
            self._kept.clear()
            self._is_keeping = False
