"""Makes the files in ``data/``: CausalCLN in the ways people write it, exported by PyTorch.

Run by hand where torch and onnxscript are installed: ``python tests/models/surgery/export_torch.py``.
``alike_*`` are norms that look like CausalCLN and are not.
"""

from __future__ import annotations

import warnings
from pathlib import Path

import onnx
import torch
from torch import nn

DATA = Path(__file__).parent / "data"
CHANNELS, BINS, FRAMES = 6, 17, 9
OVER = (1, 2)


def square(x: torch.Tensor) -> torch.Tensor:
    centred = x - x.mean(OVER, keepdim=True)
    return centred * torch.rsqrt((centred * centred).mean(OVER, keepdim=True) + 1e-5)


def power(x: torch.Tensor) -> torch.Tensor:
    mean = x.mean(OVER, keepdim=True)
    return (x - mean) / torch.sqrt(((x - mean) ** 2).mean(OVER, keepdim=True) + 1e-5)


def var(x: torch.Tensor) -> torch.Tensor:
    return (x - x.mean(OVER, keepdim=True)) / (x.var(OVER, unbiased=False, keepdim=True) + 1e-5).sqrt()


def unbiased(x: torch.Tensor) -> torch.Tensor:
    return (x - x.mean(OVER, keepdim=True)) / (x.var(OVER, keepdim=True) + 1e-5).sqrt()


def var_mean(x: torch.Tensor) -> torch.Tensor:
    variance, mean = torch.var_mean(x, OVER, correction=0, keepdim=True)
    return (x - mean) * torch.rsqrt(variance + 1e-5)


def half_power(x: torch.Tensor) -> torch.Tensor:
    return (x - x.mean(OVER, keepdim=True)) * (x.var(OVER, unbiased=False, keepdim=True) + 1e-5) ** -0.5


def alike_global(x: torch.Tensor) -> torch.Tensor:
    """Over the frames, too: statistics hear the future."""
    over = (1, 2, 3)
    return (x - x.mean(over, keepdim=True)) / (x.var(over, unbiased=False, keepdim=True) + 1e-5).sqrt()


def alike_instance(x: torch.Tensor) -> torch.Tensor:
    """Each channel by itself."""
    over = (2, 3)
    return (x - x.mean(over, keepdim=True)) / (x.var(over, unbiased=False, keepdim=True) + 1e-5).sqrt()


def alike_outside(x: torch.Tensor) -> torch.Tensor:
    """Epsilon beside the root, not under it."""
    return (x - x.mean(OVER, keepdim=True)) / (x.var(OVER, unbiased=False, keepdim=True).sqrt() + 1e-5)


def alike_other(x: torch.Tensor) -> torch.Tensor:
    """The mean of something else is taken away."""
    return (x - x.abs().mean(OVER, keepdim=True)) / (x.var(OVER, unbiased=False, keepdim=True) + 1e-5).sqrt()


def alike_cubed(x: torch.Tensor) -> torch.Tensor:
    centred = x - x.mean(OVER, keepdim=True)
    return centred / torch.sqrt((centred.abs() ** 3).mean(OVER, keepdim=True) + 1e-5)


class Net(nn.Module):
    """A convolution, the norm, and a head."""

    def __init__(self, norm: object) -> None:
        super().__init__()
        self.first, self.last = nn.Conv2d(1, CHANNELS, 3, padding=1), nn.Conv2d(CHANNELS, 1, 1)
        self.gain = nn.Parameter(torch.randn(1, CHANNELS, 1, 1) * 0.1 + 1)
        self.shift = nn.Parameter(torch.randn(CHANNELS, 1, 1) * 0.1)
        self.norm = norm

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        hidden = self.norm(self.first(x)) * self.gain + self.shift
        return torch.sigmoid(self.last(torch.relu(hidden)))


def main() -> None:
    warnings.simplefilter("ignore")
    DATA.mkdir(exist_ok=True)
    norms = [square, power, var, unbiased, var_mean, half_power]
    norms += [alike_global, alike_instance, alike_outside, alike_other, alike_cubed]
    x = torch.randn(1, 1, BINS, FRAMES)
    names = {"input_names": ["x"], "output_names": ["y"]}
    for norm in norms:
        torch.manual_seed(0)
        net = Net(norm).eval()
        target = str(DATA / f"{norm.__name__}")
        torch.onnx.export(net, (x,), f"{target}-dynamo.onnx", dynamo=True, external_data=False, **names)
        torch.onnx.export(net, (x,), f"{target}-script.onnx", dynamo=False, opset_version=13, **names)
    net = Net(var).eval()
    frames = {"x": {3: torch.export.Dim("frames", min=2, max=4096)}}
    target = str(DATA / "frames_open")
    torch.onnx.export(
        net, (x,), f"{target}-dynamo.onnx", dynamo=True, external_data=False, dynamic_shapes=frames, **names
    )
    frames = {"x": {3: "T"}}
    torch.onnx.export(net, (x,), f"{target}-script.onnx", dynamo=False, opset_version=17, dynamic_axes=frames, **names)
    for file in DATA.glob("*.onnx"):
        _bare(file)


def _bare(path: Path) -> None:
    """Without remarks: exporters note stack traces, with the folders of the machine they ran on."""
    model = onnx.load(path)
    model.ClearField("metadata_props")
    for message in (model.graph, *model.graph.node, *model.graph.input, *model.graph.output, *model.graph.value_info):
        message.ClearField("doc_string")
        message.ClearField("metadata_props")
    del model.graph.value_info[:]
    del model.functions[:]
    onnx.save(model, path)


if __name__ == "__main__":
    main()
