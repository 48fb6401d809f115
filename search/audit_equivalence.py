"""Audits the equivalence cache: python -m search.audit_equivalence [--graphs=100000] [--seed=0] [--nofiltered]

The equivalence cache of a search recognizes layer graphs that compute the same function. The audit draws random layer
graphs, lets the cache merge equivalent ones, and compares the two graphs of each merged pair on new random inputs. The
exit code is 1 if the graphs of a pair differ, otherwise 0. With 100,000 graphs, the audit takes about 3 minutes on one
core; most of the time goes into drawing graphs that pass the static filter.
"""

from collections.abc import Sequence
import sys

from absl import app
from absl import flags
from rich.console import Console
from rich.progress import track
from rich.text import Text

from search.equivalence.collision_audit import audit_table
from search.equivalence.collision_audit import run_audit
from search.graphs.equation import equation_text
from search.graphs.random_graph import SearchSpace

_GRAPHS = flags.DEFINE_integer('graphs', 100_000, 'Number of graphs that are compared.', lower_bound=1)
_NODES = flags.DEFINE_integer('nodes', 10, 'Intermediate nodes of a graph.', lower_bound=1)
_SEED = flags.DEFINE_integer('seed', 0, 'Of the graphs and the fresh probes.', lower_bound=0)
_FILTERED = flags.DEFINE_bool('filtered', True, 'Whether only graphs that pass the static filter count.')


def main(argv: Sequence[str]) -> None:
  """Runs the command. After flag parsing, `argv` must hold the program's name only; otherwise UsageError is raised."""
  if len(argv) > 1:
    raise app.UsageError(f'Unknown arguments: {argv[1:]}')
  console = Console()
  audit = run_audit(_GRAPHS.value, SearchSpace(_NODES.value), _SEED.value, _FILTERED.value,
                    lambda graphs: track(graphs, 'graphs', console=console, transient=True))
  console.print(audit_table(audit))
  for pair in audit.false_merges:
    console.print(Text('\n'.join(map(equation_text, pair))))
  if audit.false_merges:
    sys.exit(1)


if __name__ == '__main__':
  app.run(main)
