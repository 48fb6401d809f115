"""Reporting of searches: progress, TensorBoard summaries, plots, reports, and the comparison of several searches."""

from typing import TYPE_CHECKING

from evonorm_tf.lazy_names import lazy_names

if TYPE_CHECKING:
  from search.reporting.comparison_report import compare_searches as compare_searches
  from search.reporting.plots import pareto_scatter as pareto_scatter
  from search.reporting.plots import progress_plot as progress_plot
  from search.reporting.progress import Progress as Progress
  from search.reporting.ranked_layers import found_layers as found_layers
  from search.reporting.ranked_layers import ranking as ranking
  from search.reporting.report import write_report as write_report
  from search.reporting.summaries import Summaries as Summaries

__getattr__, __dir__, __all__ = lazy_names(__name__, {
    'comparison_report': ('compare_searches',),
    'plots': ('pareto_scatter', 'progress_plot'),
    'progress': ('Progress',),
    'ranked_layers': ('found_layers', 'ranking'),
    'report': ('write_report',),
    'summaries': ('Summaries',),
})
