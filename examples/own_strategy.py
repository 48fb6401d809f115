"""A strategy of one's own: it mutates the best of the recent candidates, once or several times."""

import dataclasses

import search
from small_task import small_evaluation


@dataclasses.dataclass(frozen=True)
class Climber:
  """Mutates the best member of the population; a third of the candidates are random graphs.

  The fields identify the search: one that is resumed with others is refused. All randomness comes from `rng`, so that a
  resumed search goes on as if it had not been stopped.
  """
  initial_candidates: int = 10
  longest_jump: int = 3

  def draw(self, space, population, candidates, rng):
    """Returns a layer graph and the number of the candidate that it comes from; None for a random graph."""
    if candidates < self.initial_candidates or not len(population) or rng.random() < 1 / 3:
      return space.random_graph(rng), None
    best = max(population, key=lambda candidate: candidate.mean_score)
    graph = best.graph
    for _ in range(rng.integers(1, self.longest_jump + 1)):
      graph = search.mutate(graph, space, rng)
    return graph, best.index


def main(model_dir='runs/own_strategy', candidates=40, workers=1):
  found = search.run(model_dir=model_dir, evolution=Climber(), evaluation=small_evaluation(), candidates=candidates,
                     references=('bn_relu',), max_minutes=3, workers=workers)
  print(found, *found.layers, sep='\n')
  return found


if __name__ == '__main__':
  main()
