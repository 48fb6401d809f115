"""PyTorch; see the package for the functions.

The modes are 'eager' and 'compile' (`torch.compile`), which takes seconds for each contender, shape and dtype and is
left out for some; for EvoNorms with ', autodiff' where PyTorch's own gradient takes the place of the
`autograd.Function` of this package. The baselines are those of Keras 3, and `BatchNorm2d` with ReLU or SiLU of PyTorch
on tensors in the memory format channels_last, which is how PyTorch computes them best. What is kept is what PyTorch
saves for the backward pass.
"""

from collections.abc import Callable
from collections.abc import Sequence
import dataclasses
from typing import Any

import torch

from benchmarks.engines.keras_layers import BASELINES
from benchmarks.engines.keras_layers import BOTH_GRADIENTS
from benchmarks.engines.keras_layers import EVONORMS
from benchmarks.engines.keras_layers import make_layer

torch._dynamo.config.recompile_limit = 1000  # noqa: SLF001  contenders share code; by default a few are compiled
_TIMM = {'timm EvoNorm2dB0': 'EvoNorm2dB0', 'timm EvoNorm2dS0': 'EvoNorm2dS0'}


@dataclasses.dataclass(frozen=True)
class Contender:
  """A function of x, [N, H, W, C], and its weights."""
  function: Callable[[torch.Tensor], torch.Tensor]
  weights: Sequence[torch.Tensor]


def contenders(channels: int, dtype: str) -> dict[tuple[str, str], Contender]:
  """Returns the contenders by layer and mode."""
  found = {}
  native = {'BatchNorm2d + ReLU': torch.nn.ReLU, 'BatchNorm2d + SiLU': torch.nn.SiLU}
  for name, activation in native.items():
    _add(found, name, _of_module(torch.nn.Sequential(torch.nn.BatchNorm2d(channels), activation())))
  for name in BASELINES + EVONORMS:
    found[name, 'eager'] = _of_layer(make_layer(name, channels, dtype))
  for name in BOTH_GRADIENTS:
    found[name, 'compile'] = _compiled(found[name, 'eager'])
    _add(found, name, _of_layer(make_layer(name, channels, dtype, own_gradient=False)), ', autodiff')
  try:
    import timm.layers
  except ImportError:
    return found
  for name, class_name in _TIMM.items():
    _add(found, name, _of_module(getattr(timm.layers, class_name)(channels)))
  return found


def inputs(shape: tuple[int, ...], dtype: str, count: int) -> tuple[torch.Tensor, ...]:
  """Returns tensors of random numbers."""
  torch.manual_seed(0)
  return tuple(torch.randn(shape, device=_device()).to(getattr(torch, dtype)) for _ in range(count))


def forward(contender: Contender) -> Callable:
  """Returns the function that computes y, without what a gradient needs, and waits for it."""
  def run(x, dy):
    del dy
    with torch.no_grad():
      return _wait(contender.function(x))
  return run


def forward_backward(contender: Contender) -> Callable:
  """Returns the function that computes y and all gradients and waits for them."""
  def run(x, dy):
    x = x.detach().requires_grad_()
    y = contender.function(x)
    return _wait((y.detach(), *torch.autograd.grad(y, [x, *contender.weights], dy)))
  return run


def kept_bytes(contender: Contender, x: torch.Tensor, dy: torch.Tensor) -> int:
  """Returns the bytes of the storages that PyTorch saves for the backward pass, each counted once."""
  del dy
  kept = {}

  def pack(tensor):
    storage = tensor.untyped_storage()
    kept[storage.data_ptr()] = storage.nbytes()
    return tensor

  with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
    y = contender.function(x.detach().requires_grad_())
  del y
  return sum(kept.values())


def copy() -> Callable:
  """Returns a function that reads x and writes as much."""
  return lambda x: _wait(x + 1.)


def device_name() -> str:
  """Returns the device, in words."""
  return torch.cuda.get_device_name() if on_gpu() else f'CPU, {torch.get_num_threads()} threads'


def on_gpu() -> bool:
  """Returns whether computations run on a GPU."""
  return torch.cuda.is_available()


def version() -> str:
  """Returns the engine's version."""
  return torch.__version__


def _add(found: dict, name: str, contender: Contender, suffix: str = '') -> None:
  """Adds a contender in both modes."""
  found[name, f'eager{suffix}'] = contender
  found[name, f'compile{suffix}'] = _compiled(contender)


def _compiled(contender: Contender) -> Contender:
  return dataclasses.replace(contender, function=torch.compile(contender.function, dynamic=False))


def _of_layer(layer: Any) -> Contender:
  return Contender(lambda x: layer(x, training=True), [variable.value for variable in layer.trainable_variables])


def _of_module(module: torch.nn.Module) -> Contender:
  """Returns a module for [N, C, H, W] as a contender; the same memory is then in the format channels_last."""
  module = module.to(_device()).train()
  return Contender(lambda x: module(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1), list(module.parameters()))


def _device() -> str:
  return 'cuda' if on_gpu() else 'cpu'


def _wait(result: Any) -> Any:
  """Returns the result when the device has finished."""
  if on_gpu():
    torch.cuda.synchronize()
  return result
