"""Tests of biggan: sizes, what reaches what, the discriminator's formula, precision, replicas, settings."""

import functools

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from evonorm_tf import get_norm_act
from evonorm_tf.devices.strategy import get_strategy
from gan.networks.biggan import BigGAN
from gan.networks.biggan import Discriminator
from gan.networks.biggan import Generator
from gan.networks.conditional import ConditionalNormAct
from gan.networks.self_attention import SelfAttention
from gan.networks.spectral_norm import singular_values
from gan.networks.spectral_norm import SpectralNorm

BLOCKS = {32: 3, 64: 4, 128: 5, 256: 6}
CLASSES = 5


def make_generator(resolution=32, norm_act='evonorm_s0', channels=2, **options):
  """A thin one with two numbers of z in a chunk; EvoNorms by name are not compiled, which would cost more than it."""
  options = {'z_size': 2 * (BLOCKS[resolution] + 1), 'shared_size': 4, **options}
  factory = norm_act
  if isinstance(norm_act, str):
    factory = get_norm_act(norm_act, **{'jit_compile': False} if norm_act.startswith('evonorm') else {})
  return Generator(factory, resolution, channels, CLASSES, **options)


def noise(generator, batch=4, seed=0):
  z = np.random.default_rng(seed).normal(size=(batch, generator.z_size))
  return tf.constant(z, tf.float32), tf.range(batch) % CLASSES


def layers_of(model, layer_class):
  return [module for module in model.submodules if isinstance(module, layer_class)]


def assert_close(a, b, tolerance=1e-5):
  np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)


@pytest.mark.slow
def test_published_numbers_of_parameters():
  with tf.Graph().as_default():  # where no weight gets a value
    generator = Generator(get_norm_act('bn_relu'), 128, 96, 1000)
    discriminator = Discriminator(128, 96, 1000)
    labels = tf.zeros([2], tf.int32)
    images = generator((tf.zeros([2, 120]), labels))
    discriminator((images, labels))
    sizes = [sum(w.shape.num_elements() for w in m.trainable_variables) for m in (generator, discriminator)]
  assert sizes == [70_433_988, 87_982_370]


@pytest.mark.parametrize('resolution,attentions', ((32, (0, 0)), (64, (1, 0)), (128, (1, 1)), (256, (1, 1))))
def test_shapes_range_and_attention(resolution, attentions):
  generator = make_generator(resolution, get_norm_act('evonorm_s0') if resolution == 32 else 'evonorm_s0')
  discriminator = Discriminator(resolution, 2, CLASSES)
  z, labels = noise(generator, 2)
  images = generator((z, labels), training=True)
  logits = discriminator((images, labels), training=True)
  assert images.shape == (2, resolution, resolution, 3) and images.dtype == tf.float32
  assert np.std(images) > 1e-3 and np.abs(images).max() <= 1.
  assert logits.shape == (2,) and logits.dtype == tf.float32 and np.all(np.isfinite(logits))
  assert tuple(len(layers_of(model, SelfAttention)) for model in (generator, discriminator)) == attentions
  assert [len(model.blocks) for model in (generator, discriminator)] == [BLOCKS[resolution]] + [
      BLOCKS[resolution] + 1]
  assert [generator.resolution, generator.num_classes, generator.z_size] == [resolution, CLASSES, z.shape[1]]


def test_images_depend_on_z_and_label_alone():
  generator = make_generator(attention_resolution=16)
  z, labels = noise(generator)
  images = generator((z, labels))
  assert_close(generator((z[1:2], labels[1:2])), images[1:2])
  for other in (generator((z + .5, labels)), generator((z, (labels + 1) % CLASSES))):
    assert np.all(np.abs(other - images).max((1, 2, 3)) > 1e-3)
  assert_close(generator((z, generator.embed(labels))), images)


@pytest.mark.parametrize('block', (1, 2, 3))
def test_a_chunk_of_z_reaches_its_block_alone(block):
  generator = make_generator()
  z, labels = noise(generator)
  generator((z, labels))
  for other in range(1, 4):
    for layer in layers_of(generator.blocks[other - 1], ConditionalNormAct):
      for weights in (layer.gain, layer.bias):
        # Rows: the embedding's four, then the chunk's two. Each block but this one sees neither.
        weights.kernel.assign(tf.random.stateless_normal(weights.kernel.shape, [0, 0]) * float(other == block))
  with tf.GradientTape() as tape:
    tape.watch(z)
    loss = tf.reduce_sum(generator((z, labels)))
  by_chunk = np.abs(tape.gradient(loss, z)).max(0).reshape(4, 2)
  assert [chunk for chunk in range(4) if np.all(by_chunk[chunk] > 1e-7)] == [0, block]
  assert np.count_nonzero(by_chunk) == 4


def test_without_hierarchy_and_shared_embedding():
  generator = make_generator(z_size=7, hierarchical=False, shared_size=None)
  z, labels = noise(generator)
  images = generator((z, labels))
  norm_acts = layers_of(generator, ConditionalNormAct)
  assert len(norm_acts) == 6
  assert {w.embeddings.shape[0] for layer in norm_acts for w in (layer.gain, layer.bias)} == {CLASSES}
  assert np.abs(generator((z, (labels + 1) % CLASSES)) - images).max() > 1e-3
  shared = make_generator(z_size=7, hierarchical=False)
  assert shared(noise(shared)).shape == images.shape
  assert {layer.gain.kernel.shape[0] for layer in layers_of(shared, ConditionalNormAct)} == {4}


def test_discriminator_is_the_projection():
  discriminator = Discriminator(32, 2, CLASSES)
  images = tf.random.stateless_uniform([4, 32, 32, 3], [0, 0], -1., 1.)
  labels = tf.constant([0, 3, 3, 1])
  logits = discriminator((images, labels))
  discriminator.last.bias.assign([.3])
  x = images
  for block in discriminator.blocks:
    x = block(x)
  assert x.shape == (4, 8, 8, 8)
  h = np.maximum(x, 0.).astype(np.float64).sum((1, 2))
  values = singular_values(discriminator)
  embedding = discriminator.embedding.embeddings.numpy() / values['discriminator/embedding/embeddings'].numpy()
  linear = discriminator.last.kernel.numpy() / np.linalg.norm(discriminator.last.kernel)
  assert_close(logits + .3, (h @ linear)[:, 0] + .3 + np.sum(embedding[labels] * h, 1), 1e-4)


def test_spectral_norm_stands_on_all_weights_but_the_generators_embedding():
  generator, discriminator = make_generator(64), Discriminator(64, 2, CLASSES, attention_resolution=32)
  z, labels = noise(generator)
  discriminator((generator((z, labels)), labels))
  values = singular_values(generator) | singular_values(discriminator)
  matrices = [w for w in generator.trainable_weights + discriminator.trainable_weights if w.shape.rank > 1]
  assert len(values) == len(matrices) - 1
  assert 'generator/block2/norm_act1/gain/kernel' in values and 'generator/embedding/embeddings' not in values
  plain = make_generator(64, spectral_norm=False)
  plain(noise(plain))
  assert not layers_of(plain, SpectralNorm)


def test_u_and_moving_averages_move_in_training_only():
  generator = make_generator(norm_act='evonorm_b0')
  pair = noise(generator)
  generator(pair)
  variables = [w for w in generator.non_trainable_variables if w.shape.num_elements() > 1]
  assert sum('moving_variance' in w.name for w in variables) == 7
  before = [v.numpy() for v in variables]
  generator(pair, training=False)
  assert all(np.array_equal(v, value) for v, value in zip(variables, before))
  generator(pair, training=True)
  assert not [v.name for v, value in zip(variables, before) if np.array_equal(v, value)]


@pytest.mark.slow
@pytest.mark.parametrize('norm_act', ('bn_relu', 'evonorm_s0'))
def test_a_compiled_step_is_the_same(norm_act):
  generator = make_generator(norm_act=norm_act, attention_resolution=16)
  discriminator = Discriminator(32, 2, CLASSES, attention_resolution=16)
  pair = noise(generator)

  def step(z, labels):
    with tf.GradientTape() as tape:
      logits = discriminator((generator((z, labels), training=True), labels), training=True)
      loss = tf.reduce_sum(logits)
    return [logits, *tape.gradient(loss, generator.trainable_variables + discriminator.trainable_variables)]

  step(*pair)
  weights = [v.numpy() for v in generator.variables + discriminator.variables]
  expected = step(*pair)
  for variable, value in zip(generator.variables + discriminator.variables, weights):
    variable.assign(value)
  for value, other in zip(tf.function(step, jit_compile=True)(*pair), expected):
    value, other = tf.convert_to_tensor(value), tf.convert_to_tensor(other)  # IndexedSlices of the embedding
    # 5e-5: the bias before a batch normalization has no gradient but rounding.
    np.testing.assert_allclose(value, other, rtol=1e-3, atol=1e-3 * np.abs(other).max() + 5e-5)


@pytest.mark.parametrize('initializer', ('orthogonal', 'n02'))
def test_initial_kernels(initializer):
  generator = make_generator(64, channels=4, initializer=initializer)
  discriminator = Discriminator(64, 4, CLASSES, initializer=initializer)
  z, labels = noise(generator)
  discriminator((generator((z, labels)), labels))
  matrices = [w.numpy().reshape(-1, w.shape[-1]) for w in generator.trainable_weights + discriminator.trainable_weights
              if w.shape.rank > 1]
  if initializer == 'n02':
    np.testing.assert_allclose(np.std(np.concatenate([m.ravel() for m in matrices])), .02, rtol=.05)
    return
  for m in matrices:
    gram = m.T @ m if m.shape[0] >= m.shape[1] else m @ m.T
    np.testing.assert_allclose(gram, np.eye(len(gram)), atol=1e-4)


@pytest.mark.parametrize('norm_act', ('bn_relu', 'evonorm_b0'))
def test_no_other_normalization_is_left(norm_act):
  generator, discriminator = make_generator(norm_act=norm_act), Discriminator(32, 2, CLASSES)
  z, labels = noise(generator)
  discriminator((generator((z, labels)), labels))
  layer_class = get_norm_act(norm_act).layer_class
  given = layers_of(generator, layer_class)
  assert len(given) == 7 and sum(layer.center and layer.scale for layer in given) == 1
  assert generator.last_norm_act.center and generator.last_norm_act.scale
  own = {id(module) for layer in given for module in layer.submodules} | {id(layer) for layer in given}
  names = [type(m).__name__ for model in (generator, discriminator) for m in model.submodules if id(m) not in own]
  assert len(names) > 30 and not [name for name in names if 'Norm' in name and name != 'ConditionalNormAct']


@functools.cache
def outputs_in(policy):
  """Images and logits of networks with both kinds of attention, whose weights do not depend on the policy."""
  dtype = tf_keras.mixed_precision.Policy(policy)
  tf_keras.utils.set_random_seed(0)
  generator = make_generator(64, 'bn_relu', channels=4, dtype=dtype)
  discriminator = Discriminator(64, 4, CLASSES, attention_resolution=32, dtype=dtype)
  z, labels = noise(generator)
  with tf.GradientTape() as tape:
    images = generator((z, labels), training=True)
    logits = discriminator((images, labels), training=True)
    loss = tf.reduce_sum(logits)
  weights = generator.trainable_weights + discriminator.trainable_weights
  assert {w.dtype for w in weights} == {tf.float32} and images.dtype == logits.dtype == tf.float32
  assert all(np.all(np.isfinite(tf.convert_to_tensor(g))) for g in tape.gradient(loss, weights))
  assert generator.blocks[0].compute_dtype == discriminator.blocks[0].compute_dtype == generator.compute_dtype
  return images.numpy(), logits.numpy()


@pytest.mark.parametrize('policy,tolerance', (
    pytest.param('mixed_float16', .03, marks=pytest.mark.slow), ('mixed_bfloat16', .2)))
def test_half_precision(policy, tolerance):
  for wide, narrow in zip(outputs_in('float32'), outputs_in(policy)):
    assert 0. < np.abs(wide - narrow).max() < tolerance * np.abs(wide).max()


def test_a_checkpoint_restores_it(tmp_path):
  models = []
  for seed in (0, 1):
    generator = make_generator(32, 'bn_relu', attention_resolution=16)
    discriminator = Discriminator(32, 2, CLASSES, attention_resolution=16)
    z, labels = noise(generator)
    for _ in range(2):
      discriminator((generator((z + seed, labels), training=True), labels), training=True)
    models.append((generator, discriminator))
  path = tf.train.Checkpoint(models=models[0]).write(str(tmp_path / 'checkpoint'))

  def outputs(generator, discriminator):
    images = generator((z, labels))
    return images, discriminator((images, labels))

  expected = outputs(*models[0])
  assert np.abs(outputs(*models[1])[0] - expected[0]).max() > 1e-3
  tf.train.Checkpoint(models=models[1]).read(path).assert_consumed()
  for value, other in zip(outputs(*models[1]), expected):
    np.testing.assert_array_equal(value, other)


@pytest.mark.slow
def test_synchronized_statistics_of_two_replicas_are_those_of_the_batch():
  strategy, norm_act = get_strategy('mirrored'), get_norm_act('evonorm_b0', synchronized=True)
  alone = make_generator(norm_act=norm_act)
  z, labels = noise(alone)
  alone((z, labels))
  with strategy.scope():
    generator = make_generator(norm_act=norm_act)
    generator((z, labels))
    for weight, value in zip(generator.weights, alone.get_weights()):
      weight.assign(value)
  expected = alone((z, labels), training=True)
  halves = [strategy.experimental_distribute_values_from_function(
      lambda context, t=t: tf.split(t, 2)[context.replica_id_in_sync_group]) for t in (z, labels)]
  images = tf.function(lambda *pair: strategy.run(lambda *pair: generator(pair, training=True), pair))(*halves)
  assert_close(tf.concat(strategy.experimental_local_results(images), 0), expected, 1e-4)
  assert all(layer.synchronized for layer in layers_of(generator, norm_act.layer_class))


@pytest.mark.parametrize('options,message', (
    ({'resolution': 48}, r'`resolution` must be one of \[32, 64, 128, 256\], received 48'),
    ({'z_size': 121}, '`z_size` must be a multiple of 4, .* received 121'),
    ({'shared_size': None}, '`hierarchical=True` needs a `shared_size`'),
    ({'initializer': 'zeros'}, '`initializer` must be one of'),
    ({'channels': 0}, '`channels` must be positive, received 0'),
    ({'shared_size': 0}, '`shared_size` must be positive, received 0'),
))
def test_errors(options, message):
  with pytest.raises(ValueError, match=message):
    Generator(**{'norm_act': get_norm_act('bn_relu'), 'resolution': 32, 'channels': 2, 'num_classes': 3, **options})


def test_errors_of_calls():
  with pytest.raises(ValueError, match=r'`z` must be \[N, 8\], received shape \(2, 7\)'):
    make_generator()((tf.zeros([2, 7]), tf.zeros([2], tf.int32)))
  with pytest.raises(ValueError, match=r'`images` must be \[N, 32, 32, 3\], received shape \(2, 64, 64, 3\)'):
    Discriminator(32, 2, 3)((tf.zeros([2, 64, 64, 3]), tf.zeros([2], tf.int32)))


def test_settings_reach_both_networks():
  networks = BigGAN(2, discriminator_channels=3, z_size=60, shared_size=16, attention_resolution=32)
  generator = networks.make_generator(get_norm_act('evonorm_s0'), 64, 7, 'average')
  discriminator = networks.make_discriminator(64, 7)
  assert (generator.z_size, generator.shared_size, generator.num_chunks, generator.name) == (60, 16, 5, 'average')
  assert [a is not None for a in generator.attentions] == [False, False, True, False]
  assert (generator.resolution, generator.num_classes, discriminator.num_classes) == (64, 7, 7)
  assert [block.channels for block in discriminator.blocks] == [3, 6, 12, 24, 48]
  assert BigGAN(2).make_discriminator(32, 7).blocks[0].channels == 8


@pytest.mark.parametrize('changes, message', [
    (dict(z_size=7), '`z_size`'), (dict(shared_size=None), '`hierarchical=True` needs'),
    (dict(initializer='zeros'), '`initializer`')])
def test_settings_that_do_not_go_together(changes, message):
  with pytest.raises(ValueError, match=message):
    BigGAN(**dict(channels=2, z_size=8) | changes).make_generator(get_norm_act('evonorm_s0'), 32, 10)
