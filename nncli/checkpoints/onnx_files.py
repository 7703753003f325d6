"""ONNX files as programs."""

from typing import Any

from nncli.checkpoints.onnx_graph import Reader
from nncli.checkpoints.program import Program, program
from nncli.errors import ArtifactError, EnvironmentFault, NncliError, NncliWarning
from nncli.formats.sources import Source


def load_onnx(source: Source) -> Program:
    """Read an ONNX file.

    Args:
        source: The opened file.

    Returns:
        The program. Its layers are the nodes by name, slashes turned into dots; its weights have
        the names of the initialisers.

    Raises:
        ArtifactError: It is damaged, or has operators that nncli does not know.
        EnvironmentFault: The package `onnx` is not installed.
    """
    try:
        import onnx
    except ImportError:
        raise EnvironmentFault(
            f"`{source.name}` is an ONNX file, and the package `onnx` is not installed",
            hint="pip install 'nncli[onnx]'",
        ) from None
    source.file.seek(0)
    try:
        model = onnx.load_model_from_string(source.file.read())
        _load_external(model, source)
        if model.functions:
            from onnx import inliner

            model = inliner.inline_local_functions(model)
        return program(Reader(model, source.name).graph(), source=source.name)
    except (NncliError, NncliWarning):
        raise
    except Exception as error:  # protobuf, NumPy and torch each have their own on damaged bytes
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ArtifactError(
            f"`{source.name}` is a damaged ONNX file: {reason}",
            hint="was the download or the export cut short?",
        ) from error


def _load_external(model: Any, source: Source) -> None:
    """Read weights that lie in files of their own beside the model."""
    from onnx import external_data_helper as external

    if any(external.uses_external_data(one) for one in model.graph.initializer):
        if source.path is None:
            raise ArtifactError(
                f"`{source.name}` keeps its weights in another file, which a pipe does not bring",
                hint="name the file itself",
            )
        external.load_external_data_for_model(model, str(source.path.resolve().parent))
