"""Image files to arrays: PNG and JPEG, grey or colour, all of one size."""

import hashlib
import io
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from nncli.errors import ArtifactError
from nncli.formats.dataset_rows import Images

if TYPE_CHECKING:
    from PIL.Image import Image

MAGIC = (b"\x89PNG", b"\xff\xd8\xff")
GREY_MODES = ("1", "L", "LA", "La", "I;16", "I;16B", "I;16L", "I")


def is_image(head: bytes) -> bool:
    """Whether a file that starts so is a PNG or a JPEG."""
    return head.startswith(MAGIC)


def decode_images(images: Images) -> tuple[NDArray[np.float32], str]:
    """Decode images into one array.

    The first image of the source decides: if it is grey, all must be; if it has colours, grey ones
    are repeated over the three channels. Transparency is ignored, palettes are resolved, and 16
    bit grey is scaled like 8 bit.

    Args:
        images: At least one image.

    Returns:
        (n, 1 or 3, height, width) float32 in [0, 1], and the SHA-256 over the encoded bytes, which
        unlike the pixels of a JPEG do not depend on the decoder.

    Raises:
        ArtifactError: One is no PNG or JPEG, damaged, of another size, or coloured among grey.
    """
    digest = hashlib.sha256()
    grey = None if images.first is None else is_grey(_open(images.first, "the first image"))
    pixels: NDArray[np.float32] | None = None
    for index, name in enumerate(images.names):
        data = images.read(index)
        digest.update(len(data).to_bytes(8, "little"))
        digest.update(data)
        image = _open(data, name)
        grey = is_grey(image) if grey is None else grey
        if pixels is None:
            shape = (len(images.names), 1 if grey else 3, image.height, image.width)
            pixels = np.empty(shape, np.float32)
        _demand_alike(image, name, pixels, images.names[0], grey)
        pixels[index] = _to_array(image, grey)
    assert pixels is not None
    return pixels, digest.hexdigest()


def is_grey(image: "Image") -> bool:
    """Whether an image has no colours, by its mode."""
    return image.mode in GREY_MODES


def _open(data: bytes, name: str) -> "Image":
    from PIL import Image

    if not is_image(data[:8]):
        raise ArtifactError(
            f"`{name}` is no PNG or JPEG image", hint="convert it, or move it out of the data"
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            image = Image.open(io.BytesIO(data), formats=("PNG", "JPEG"))
            image.load()
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise ArtifactError(
            f"`{name}` is a damaged image: {error}", hint="copy it again, or leave it out"
        ) from error
    return image


def _demand_alike(image: "Image", name: str, pixels: NDArray[Any], first: str, grey: bool) -> None:
    height, width = pixels.shape[2:]
    if image.size != (width, height):
        raise ArtifactError(
            f"`{name}` is {image.width}x{image.height} pixels, `{first}` is {width}x{height}",
            hint=f"make all images one size first: `mogrify -resize {width}x{height}! FILES` "
            "(ImageMagick)",
        )
    if grey and not is_grey(image):
        raise ArtifactError(
            f"`{name}` has colours, the first image of the data is grey",
            hint="make all images grey first: `mogrify -colorspace Gray FILES` (ImageMagick)",
        )


def _to_array(image: "Image", grey: bool) -> NDArray[np.float32]:
    """(1 or 3, height, width) in [0, 1]."""
    if image.mode.startswith("I"):
        deep = np.asarray(image, np.float32) / np.float32(65535)
        return np.broadcast_to(deep, (1 if grey else 3, *deep.shape))
    array = np.asarray(image.convert("L" if grey else "RGB"), np.float32) / np.float32(255)
    return array[None] if grey else array.transpose(2, 0, 1)
