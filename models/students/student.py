"""A trained student: a network with the names of its classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from models.errors import BadInput, CorruptModel, ModelError
from models.students import network_class
from models.students.protocol import Arrays, FloatArray, Inputs, Network, RawItem
from models.threads import torch_threads

if TYPE_CHECKING:
    import onnx

_BATCH = 1024


@dataclass(frozen=True)
class Student:
    """A small model that predicts from raw items.

    Attributes:
        network: The trained network, in evaluation mode.
        class_names: In the order of the output.
    """

    network: Network
    class_names: tuple[str, ...]

    def __post_init__(self) -> None:
        if self.network.n_classes != len(self.class_names):
            raise BadInput(f"{len(self.class_names)} class names for {self.network.n_classes} outputs.")
        self.network.eval()

    @property
    def family(self) -> str:
        """The name of its family."""
        return self.network.family

    @property
    def task(self) -> str:
        """The kind of items that it reads: text, image or features."""
        return self.network.task

    def predict_proba(self, items: Sequence[RawItem] | Inputs) -> FloatArray:
        """Class probabilities, float32 (n, classes), of raw or of prepared items."""
        inputs = self.network.prepare(items) if isinstance(items, Sequence) else items
        out = np.empty((len(inputs), len(self.class_names)), np.float32)
        with torch_threads(1), torch.inference_mode():
            for start in range(0, len(inputs), _BATCH):
                rows = np.arange(start, min(start + _BATCH, len(inputs)))
                logits = self.network(*inputs.batch(rows)) * self.network.scale
                out[rows] = torch.softmax(logits, 1).numpy()
        return out

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Everything that `from_arrays` needs but the class names: for safetensors, and for the next warm start."""
        return self.network.arrays()

    @classmethod
    def from_arrays(cls, family: str, arrays: Arrays, class_names: Sequence[str]) -> Student:
        """The student that `arrays` came from; raises CorruptModel where they do not fit the family."""
        try:
            kind = network_class(family)
            network = kind.restore(arrays)
        except ModelError as error:
            raise CorruptModel(f"The student ({family[:40]})", error.detail) from error
        except KeyError as error:
            raise CorruptModel(f"The student ({family})", f"the array {error} is missing") from error
        except (ValueError, RuntimeError, IndexError, TypeError, OverflowError, MemoryError) as error:
            raise CorruptModel(f"The student ({family})", f"its arrays do not fit: {error}") from error
        if network.n_classes != len(class_names):
            raise CorruptModel(f"The student ({family})", f"{len(class_names)} names for {network.n_classes} outputs")
        return cls(network, tuple(class_names))

    def config(self) -> dict[str, Any]:
        """What a reader may want to know of its shape: JSON, for manifests and cards."""
        arrays = self.arrays()
        return {
            "family": self.family,
            "parameters": int(sum(a.size for a in arrays.values() if a.dtype != np.uint8)),
            "shapes": {name: list(array.shape) for name, array in arrays.items()},
        }

    def to_onnx(self) -> onnx.ModelProto:
        """The fp32 graph; input ``input``, output ``probabilities`` (n, classes)."""
        from models.export.onnx_graph import build_graph

        return build_graph(self)
