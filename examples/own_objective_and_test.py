"""What tournaments compare and how winners are mutated, and a rejection test, all of one's own."""

import dataclasses

import numpy as np

import search
from small_task import small_evaluation


def accurate_and_small(candidate):
  """Returns what tournaments compare, more is better: the worst network's accuracy, and few live nodes."""
  return min(candidate.scores), -len(candidate.graph.without_dead_nodes().nodes)


def mutate_twice_if_small(graph, space, rng):
  """Returns a layer graph with one change, or two if it has fewer than four live nodes."""
  changes = 2 if len(graph.without_dead_nodes().nodes) < 4 else 1
  for _ in range(changes):
    graph = search.mutate_live(graph, space, rng)
  return graph


@dataclasses.dataclass(frozen=True)
class PredictsMostClasses:
  """Rejects a candidate that never predicts more than half of the classes, on a part of the validation images."""
  images: int = 200

  def check(self, task, norm_act, trainings):
    """Raises OwnRejected if more than half of the classes are missing after the quality test's steps."""
    images = next(iter(task.evaluation_batches('validation').unbatch().batch(self.images)))[0]
    for name, training in trainings.items():
      predicted = np.argmax(training.model(images, training=False), -1)
      missing = task.num_classes - len(np.unique(predicted))
      if missing > task.num_classes // 2:
        raise search.OwnRejected(f'{name}: {missing} of {task.num_classes} classes are never predicted')


def main(model_dir='runs/own_test', candidates=40, workers=1):
  found = search.run(
      model_dir=model_dir, candidates=candidates, references=('bn_relu',), max_minutes=3, workers=workers,
      evolution=search.TournamentEvolution(initial_candidates=10, fraction=.3, objective=accurate_and_small,
                                           mutation=mutate_twice_if_small, mutations=1),
      evaluation=small_evaluation(tests=(PredictsMostClasses(),)))
  print(found, *found.layers, sep='\n')
  return found


if __name__ == '__main__':
  main()
