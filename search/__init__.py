"""The search for norm-activation layers: evolution of layer graphs (paper sections 3 to 6).

`evolution` holds the root of a search, `scheduler` its loop; the binaries are `run_search`, `analyze`, `compile_layer`
and `audit_equivalence`. The folders, in the order of a candidate's way: `graphs`, `equivalence`, `selection`,
`execution`, `evaluation`, `journal`, `reporting`, `code_generation`.
"""

from evonorm_tf import former_names

former_names.install()
