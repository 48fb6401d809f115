"""What tests of GANs share."""

from tests.graphs_as_traced import graphs_run_as_traced  # noqa: F401  # a fixture
