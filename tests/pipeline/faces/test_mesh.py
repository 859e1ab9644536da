"""The face mesh: the region that the network reads, and its landmarks of a real face."""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from pipeline.core.errors import DataError
from pipeline.faces.mesh import INPUT_PX, FaceMesh, region_around, share_with_face
from pipeline.inference.pretrained import FACE_MESH
from pipeline.media.file import MediaFile


@pytest.fixture(scope="module")
def mesh() -> FaceMesh:
    folder = Path(os.environ.get("LIPSMITH_WEIGHTS_DIR") or Path(__file__).parents[3] / "weights")
    if not (path := folder / FACE_MESH.name).is_file():
        pytest.skip(f"needs {path}; `python -m pipeline weights fetch face_mesh` gets it")
    return FaceMesh(path)


def test_the_region_is_a_square_around_the_landmarks_upright_by_the_eyes() -> None:
    points = np.tile((50.0, 60.0), (468, 1))
    points[33], points[263] = (40, 50), (60, 50)
    points[10], points[152] = (50, 40), (50, 80)
    centre = np.array([50.0, 60.0])
    turn = np.deg2rad(90)
    turned = (points - centre) @ np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]]) + centre
    middle = np.array([(INPUT_PX - 1) / 2] * 2 + [1.0])
    for landmarks, across in ((points, (1, 0)), (turned, (0, 1))):
        to_image = region_around(landmarks)
        assert to_image @ middle == pytest.approx(centre)
        side = INPUT_PX * np.hypot(*to_image[:, 0])
        assert side == pytest.approx(1.5 * 40)
        assert to_image[:, 0] * INPUT_PX / side == pytest.approx(across, abs=1e-9)


def test_a_file_that_is_no_network_is_refused(tmp_path: Path) -> None:
    (tmp_path / "net.tflite").write_bytes(b"junk")
    with pytest.raises(DataError, match=r"net\.tflite is not a network that OpenCV"):
        FaceMesh(tmp_path / "net.tflite")


def test_the_share_of_images_with_a_face() -> None:
    points = np.zeros((4, 468, 3))
    points[1] = np.nan
    assert share_with_face(points) == 0.75 and share_with_face(points[:0]) == 0.0


def test_landmarks_of_a_real_face_do_not_depend_on_size_and_roll(mesh: FaceMesh, shared_data: Path) -> None:
    with MediaFile(shared_data / "grid/s1/lwwm2p.mp4") as media:
        frame = next(iter(media.frames(25.0))).image
    image = cv2.resize(frame[73:243, 65:235], (224, 224), interpolation=cv2.INTER_CUBIC)
    turn = cv2.getRotationMatrix2D((112, 112), 20, 1.0)
    turned = cv2.warpAffine(image, turn, (224, 224), borderMode=cv2.BORDER_REPLICATE)
    small = cv2.resize(image, (160, 160), interpolation=cv2.INTER_AREA)
    found = [mesh.landmarks(np.stack([shown] * 2))[1] for shown in (image, turned, small)]
    eyes_px = [float(np.linalg.norm(points[33, :2] - points[263, :2])) for points in found]
    assert 50 < eyes_px[0] < 120
    for points, eyes in zip(found[1:], eyes_px[1:], strict=True):
        shapes = [(shape - shape.mean(axis=0))[:, :2] for shape in (points / eyes, found[0] / eyes_px[0])]
        assert np.linalg.norm(shapes[0] - shapes[1], axis=1).mean() < 0.1


def test_no_face_in_noise(mesh: FaceMesh) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (2, 160, 160, 3)).astype(np.uint8)
    assert np.isnan(mesh.landmarks(noise)).all()
    assert mesh.landmarks(noise[:0]).shape == (0, 468, 3)
