"""The command that audits the equivalence cache: its exit code, and what it tells of a search."""

import types

import pytest

from search import audit_equivalence
from search.equivalence.collision_audit import run_audit
from search.graphs.known_graphs import known_graph
from search.graphs.random_graph import SearchSpace
from search.journal.journal import Journal

TWINS = known_graph('evonorm_s0'), known_graph('evonorm_s1')


@pytest.fixture
def flags(monkeypatch):
  """Sets the values of flags."""
  def give(**values):
    for name, value in values.items():
      monkeypatch.setattr(audit_equivalence, f'_{name.upper()}', types.SimpleNamespace(value=value))

  monkeypatch.setattr(audit_equivalence.users_modules, 'import_users_modules', lambda: None)
  give(graphs=0, nodes=4, seed=0, filtered=True, same_layer='affine', pairs=0, model_dir=None, workers=1)
  return give


def test_a_false_merge_ends_with_an_error(flags, monkeypatch, capsys):
  audit = run_audit(50, SearchSpace(4), 0)
  flags(graphs=50)
  audit_equivalence.main(['program'])
  assert 'σ(' not in capsys.readouterr().out
  audit.false_merges.append(TWINS)
  monkeypatch.setattr(audit_equivalence, 'run_audit', lambda *args: audit)
  with pytest.raises(SystemExit) as ended:
    audit_equivalence.main(['program'])
  assert ended.value.code == 1 and 'y = x·σ(v1·x) / s[w,h,c/g](x)' in capsys.readouterr().out


@pytest.mark.parametrize('is_one', [True, False])
def test_pairs_that_train_otherwise_end_with_an_error(flags, monkeypatch, is_one):
  flags(graphs=0, pairs=2)
  monkeypatch.setattr(audit_equivalence, '_train_pairs', lambda console: is_one)
  if is_one:
    audit_equivalence.main(['program'])
  else:
    with pytest.raises(SystemExit):
      audit_equivalence.main(['program'])


def test_twins_of_a_search_are_counted(flags, make_record, tmp_path, capsys):
  graphs = known_graph('evonorm_s0'), known_graph('evonorm_b0'), known_graph('evonorm_s0')
  with Journal(tmp_path / 'journal.jsonl', {}) as journal:
    for index, (graph, score) in enumerate(zip(graphs, (.5, .4, .5))):
      journal.append(make_record(index=index, graph=graph, scores=(score,), seconds={'total': 1. + index}))
  flags(model_dir=str(tmp_path))
  audit_equivalence.main(['program'])
  told = ' '.join(capsys.readouterr().out.split())
  assert '1 of 3 candidates evaluated are an earlier one up to factor and term (33.3%, 50.0% of the time' in told
  assert '1 of 3 accepted ones have the scores of an earlier one.' in told


def test_a_folder_without_a_search_is_a_message(flags, tmp_path):
  flags(model_dir=str(tmp_path))
  with pytest.raises(SystemExit, match='error: .* holds no journal.jsonl'):
    audit_equivalence.main(['program'])
