"""The transformations of each engine: jit, vmap, sharding and pmap of JAX, `torch.compile` of PyTorch."""

import keras
import numpy as np
import pytest

from backend_tests.gradients import values_and_gradients
from evonorm_tf import keras3
from search.graphs.known_graphs import known_graph

BACKEND = keras.backend.backend()
on_jax = pytest.mark.skipif(BACKEND != 'jax', reason='of JAX')
on_torch = pytest.mark.skipif(BACKEND != 'torch', reason='of PyTorch')
SHAPE = (4, 6, 5, 8)


def images(shape=SHAPE, seed=0):
  return np.random.default_rng(seed).normal(.3, 1.2, shape).astype('float32')


def make(name):
  spec = known_graph(name.removeprefix('graph of ')) if name.startswith('graph') else name
  layer = keras3.get_norm_act(spec).with_defaults(groups=4)()
  layer.build(SHAPE)
  return layer


def call_in_training(layer):
  """A function from x to y and the new moving averages."""
  trainable, others = ([v.value for v in some] for some in (
      layer.trainable_variables, layer.non_trainable_variables))
  return lambda x: layer.stateless_call(trainable, others, x, training=True)


@on_jax
@pytest.mark.parametrize('name', ['evonorm_b0', 'evonorm_s0', 'bn_relu', 'graph of bn_silu'])
def test_jit_and_vmap(name):
  import jax
  call, x = call_in_training(make(name)), images()
  y, averages = call(x)
  for actual, expected in zip(jax.tree.leaves(jax.jit(call)(x)), [y, *averages]):
    np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-6)
  batches = images((3, *SHAPE))  # of which each has statistics of its own
  gradient = jax.grad(lambda x: (call(x)[0] ** 3).sum())
  for function in (lambda x: call(x)[0], gradient):
    of_one, of_all = jax.jit(function), jax.jit(jax.vmap(function))
    np.testing.assert_allclose(of_all(batches), [of_one(x) for x in batches], rtol=1e-4, atol=1e-4)


@on_jax
@pytest.mark.parametrize('name', ['evonorm_b0', 'bn_relu'])
def test_statistics_of_a_sharded_batch_are_those_of_the_global_one(name):
  import jax
  call, x = call_in_training(make(name)), images()
  mesh = jax.sharding.Mesh(np.array(jax.devices()), ('data',))
  assert mesh.size == 2, 'conftest.py asks XLA for two devices'
  sharded = jax.device_put(x, jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec('data')))
  gradient = jax.grad(lambda x: (call(x)[0] ** 3).sum())
  for function in (lambda x: call(x)[0], lambda x: call(x)[1][-1], gradient):
    np.testing.assert_allclose(jax.jit(function)(sharded), jax.jit(function)(x), rtol=1e-4, atol=1e-4)


@on_jax
@pytest.mark.parametrize('name', ['evonorm_b0', 'bn_relu'])
def test_statistics_in_pmap_are_those_of_each_device(name):
  import jax
  call, x = call_in_training(make(name)), images()
  halves = x.reshape(2, 2, *SHAPE[1:])
  np.testing.assert_allclose(jax.pmap(lambda x: call(x)[0])(halves), [call(half)[0] for half in halves], rtol=1e-5,
                             atol=1e-5)


@on_jax
@pytest.mark.parametrize('name', ['evonorm_b0', 'evonorm_s0', 'bn_relu', 'graph of evonorm_s0'])
def test_an_export_takes_images_of_any_size(name):
  """As `model.export` of a network that is built for any size makes it, which needs TensorFlow beside."""
  import jax
  layer = make(name)
  trainable, others = ([v.value for v in some] for some in (layer.trainable_variables, layer.non_trainable_variables))
  batch, height, width = jax.export.symbolic_shape('b, h, w')
  exported = jax.export.export(jax.jit(lambda x: layer.stateless_call(trainable, others, x, training=False)[0]))(
      jax.ShapeDtypeStruct((batch, height, width, SHAPE[-1]), np.float32))
  for shape in (SHAPE, (1, 3, 7, SHAPE[-1])):
    np.testing.assert_allclose(exported.call(images(shape)), layer(images(shape)), rtol=1e-5, atol=1e-6)


@on_jax
@pytest.mark.parametrize('name', ['evonorm_b0', 'evonorm_s0'])
def test_the_own_gradient_keeps_x_and_vectors_over_channels(name):
  import jax
  call, x = call_in_training(make(name)), images((4, 16, 16, 8))
  _, gradients_of = jax.jit(lambda x: jax.vjp(lambda x: call(x)[0], x))(x)
  sizes = [leaf.size for leaf in jax.tree.leaves(gradients_of) if hasattr(leaf, 'size')]
  assert sum(size == x.size for size in sizes) == 1 and sum(sizes) < 1.2 * x.size


@on_torch
@pytest.mark.parametrize('name', ['evonorm_b0', 'evonorm_s0'])
def test_the_own_gradient_saves_x_and_vectors_over_channels(name):
  import torch
  layer, x, saved = make(name), torch.tensor(images((4, 16, 16, 8)), requires_grad=True), {}

  def pack(tensor):
    saved[tensor.untyped_storage().data_ptr()] = tensor.numel()
    return tensor

  with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
    layer(x, training=True)
  assert sum(saved.values()) < 1.2 * x.numel()


@on_torch
@pytest.mark.parametrize('compiler', ['aot_eager', 'inductor'])
@pytest.mark.parametrize('name', ['evonorm_b0', 'evonorm_s0', 'bn_relu'])
def test_torch_compile(name, compiler):
  import torch
  layer, x, cotangent = make(name), images(), images(seed=1)
  expected = values_and_gradients(layer, x, cotangent)
  torch._dynamo.reset()
  compiled = torch.compile(lambda x: layer(x, training=True), backend=compiler, fullgraph=False)
  x = torch.tensor(x, requires_grad=True)
  y = compiled(x)
  weights = [variable.value for variable in layer.trainable_variables]
  gradients = torch.autograd.grad((y * torch.tensor(cotangent)).sum(), [x, *weights])
  for actual, wanted in zip([y, *gradients], expected):
    np.testing.assert_allclose(actual.detach().numpy(), wanted, rtol=1e-4, atol=1e-4)


@on_torch
@pytest.mark.parametrize('name', ['evonorm_b0', 'evonorm_s0'])
def test_torch_compile_traces_a_layer_in_one_piece(name):
  import torch
  layer, x = make(name), torch.tensor(images())
  layer(x, training=True)
  torch._dynamo.reset()
  compiled = torch.compile(lambda x: layer(x, training=True), backend='aot_eager', fullgraph=True)
  np.testing.assert_allclose(compiled(x).detach(), layer(x, training=True).detach(), rtol=1e-4, atol=1e-5)
  compiled(x.requires_grad_()).sum().backward()


@on_torch
@pytest.mark.parametrize('name', ['evonorm_s0', 'evonorm_s2'])
def test_torch_vmap(name):
  import torch
  layer, batches = make(name), torch.tensor(images((3, *SHAPE)))
  gradient = torch.func.grad(lambda x: (layer(x) ** 3).sum())
  for function in (layer, gradient):
    expected = torch.stack([function(x) for x in batches])
    torch.testing.assert_close(torch.func.vmap(function)(batches), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize('name', ['evonorm_b0', 'bn_relu'])
def test_training_may_be_a_tensor(name):
  layer, x = make(name), images()
  expected = make(name)(x, training=True)
  y = layer(x, training=keras.ops.convert_to_tensor(True))
  np.testing.assert_allclose(*(keras.ops.convert_to_numpy(t) for t in (y, expected)), rtol=1e-5, atol=1e-6)
  assert np.isfinite(keras.ops.convert_to_numpy(layer.non_trainable_variables[-1])).all()


def test_synchronized_is_taken_on_every_backend():
  for name in ('evonorm_b0', 'bn_relu'):
    layer = keras3.get_norm_act(name, synchronized=True)()
    assert layer(images(), training=True).shape == SHAPE and layer.get_config()['synchronized']
