"""The proxy task that the examples share, one small ResNet and a few steps, and an evolution of a few candidates."""

import search


def small_task(**changes):
  """Returns the task, with other arguments of `search.ProxyTask` than its own where they are given."""
  settings = dict(
      architectures=(search.Architecture('resnet', {'depth': 8, 'width_multiplier': .5}),), steps=60, batch_size=32,
      image_size=16, crop_size=16, validation_images=500, evaluation_batch_size=500, learning_rate=.1)
  return search.ProxyTask(**settings | changes)


def small_evaluation(task=None, **changes):
  """Returns the evaluation: a loss test after 20 steps, a quality test after 30, then the rest of the training."""
  settings = dict(
      quality=search.QualityTest(steps=30, min_accuracy=.12,
                                 loss_test=search.LossTest(steps=20, window=10, max_loss=None)), groups=4)
  return search.Evaluation(task or small_task(), **settings | changes)


def small_evolution():
  """Returns the evolution: the quickstart's, with fewer random graphs at the start."""
  return search.TournamentEvolution(initial_candidates=15, fraction=.3, mutations=1, random_offspring=.1,
                                    mutation=search.mutate_live, niche=search.kind_of_layer)
