"""The command that audits the equivalence cache: its exit code, and what it tells of a search.

Its flags have names that those of other commands have, too, so that it runs in processes of its own.
"""

import pathlib
import subprocess
import sys

import pytest

from search.graphs.known_graphs import known_graph
from search.journal.journal import Journal

ROOT = pathlib.Path(__file__).parents[2]
FALSE_MERGE = """
from search import audit_equivalence
from search.equivalence import collision_audit
from search.graphs.known_graphs import known_graph

def with_a_false_merge(*args):
  audit = collision_audit.run_audit(*args)
  audit.false_merges.append((known_graph('evonorm_s0'), known_graph('evonorm_s1')))
  return audit

audit_equivalence.run_audit = with_a_false_merge
audit_equivalence._train_pairs = lambda console: True
audit_equivalence.run_command(audit_equivalence.main)
"""
OTHER_PAIRS = FALSE_MERGE.replace('audit.false_merges', '[]').replace('lambda console: True', 'lambda console: False')


def run(*arguments, program=None):
  command = ['-c', program] if program else ['-m', 'search.audit_equivalence']
  return subprocess.run([sys.executable, *command, *arguments], cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.parametrize('program, flags, code', [
    (FALSE_MERGE, ('--graphs=50',), 1), (OTHER_PAIRS, ('--graphs=50',), 0), (FALSE_MERGE, ('--graphs=0',), 0),
    (OTHER_PAIRS, ('--graphs=0', '--trained_pairs=2'), 1)])
def test_the_exit_code_tells_of_faults(program, flags, code):
  ended = run('--nodes=4', *flags, program=program)
  assert ended.returncode == code, ended.stderr
  assert ('y = x·σ(v1·x) / s[w,h,c/g](x)' in ended.stdout) == (program is FALSE_MERGE and code == 1)


def test_twins_of_a_search_are_counted(make_record, tmp_path):
  graphs = known_graph('evonorm_s0'), known_graph('evonorm_b0'), known_graph('evonorm_s0')
  with Journal(tmp_path / 'journal.jsonl', {}) as journal:
    for index, (graph, score) in enumerate(zip(graphs, (.5, .4, .5))):
      journal.append(make_record(index=index, graph=graph, scores=(score,), seconds={'total': 1. + index}))
  told = ' '.join(run(f'--model_dir={tmp_path}').stdout.split())
  assert '1 of 3 candidates evaluated are an earlier one up to factor and term (33.3%, 50.0% of the time' in told
  assert '1 of 3 accepted ones have the scores of an earlier one.' in told


def test_a_folder_without_a_search_is_a_message(tmp_path):
  ended = run(f'--model_dir={tmp_path}')
  assert ended.returncode == 1 and 'holds no journal.jsonl' in ended.stderr and 'Traceback' not in ended.stderr
