"""The evolutionary search for norm-activation layers, which mutates and selects layer graphs (paper sections 3 to 6).

`evolution.run_search` runs a search; `scheduler` holds its main loop. The commands are `run_search`, `analyze`,
`compile_layer` and `audit_equivalence`. The folders, in the order in which a candidate passes through them:
- `graphs`: random layer graphs, mutations, the static filter, equations and drawings;
- `equivalence`: the recognition of graphs that are one layer;
- `selection`: the population, tournaments and proposals of candidates;
- `execution`: evaluations in this process, in worker processes or on Ray;
- `evaluation`: the proxy task and the tests that reject candidates;
- `journal`: the results on disk;
- `reporting`: progress, plots and reports;
- `code_generation`: Python files of the layers found.
"""

from evonorm_tf import former_names

former_names.install()
