"""Support for the module names of version 0.1: importing them, or using them in gin bindings, works with a warning.

They are kept for one release. Modules that became packages of the same name (`evonorm_tf.classification`,
`search.evaluation`, `search.journal`, ...) need no entry, because the package offers what the module offered.
"""

from collections.abc import Sequence
import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import re
import sys
import types
import warnings


def _in(folder: str, names: str) -> dict[str, str]:
  """Returns new names, by former name, of modules that have moved into a folder."""
  return {name: f'{folder}.{name}' for name in names.split()}


_FORMER = {
    'evonorm_tf': {
        **_in('cli', 'training_flags interrupt_watch'),
        **_in('output', 'model_dir markdown figures'),
        **_in('devices', 'strategy graph_memory'),
        **_in('graph', 'layer_graph primitives'),
        **_in('layers', 'baselines addons norm_act'), 'fused': 'gradients.tensorflow_gradient',
        **_in('equations', 'rational_sigmoid moments elementwise'),
        **_in('models', 'resnet mobilenet mnasnet efficientnet inverted_bottleneck scaling endpoints backbones'),
        **_in('conversion', 'convert replacement model_graph block_registry model_garden_blocks'),
        **_in('data', 'cifar10 imagenet imagenet_files imagenet_augmentation record_streams'),
        **_in('training', 'checkpoints optimization model_settings step_randomness '
            'moving_average hosts finite_guard saved_models'),
        'experiment': 'cli.gin_binary', 'layer_bodies': 'layers.norm_act_body', 'evonorm_bodies': 'layers.evonorm',
        'graph_body': 'layers.graph_layer', 'evonorm': 'layers.keras2', 'graph_layer': 'layers.keras2',
        'norm_act_layer': 'layers.keras2', 'spelt_out': 'conversion.expressions', 'remaining': 'conversion.inventory',
        'classification_data': 'data.cifar10', 'cifar10_subset': 'data.draw_cifar10_subset',
        'training_config': 'training.config', 'experiment_runner': 'training.runner',
        'training_process': 'training.experiment', 'training_log': 'training.log',
        'resumable_task': 'training.resumable', 'arguments': 'training.config',
        'resumable_trainer': 'training.resumable', 'trained_model': 'training.checkpoints',
        'classification_task': 'classification.task', 'classification_export': 'classification.export',
        'full_batches': 'classification.task', 'sweep_runs': 'batch_size_sweep.runs',
        'sweep_hparams': 'batch_size_sweep.hparams', 'sweep_progress': 'batch_size_sweep.progress',
        'sweep_report': 'batch_size_sweep.report',
    },
    'search': {
        **_in('graphs', 'random_graph mutation known_graphs static_filter equation drawing'),
        **_in('equivalence', 'canonical fingerprint tangents collision_audit'),
        **_in('journal', 'records record_checks saved_search identity'),
        **_in('selection', 'population tournament proposal proposer warm_start'),
        **_in('evaluation', 'architecture proxy_task rejection successive_halving reused_training layer_functions'),
        **_in('execution', 'executors ray_executor retries'), 'interrupts': 'execution.deferred_interrupts',
        **_in('reporting', 'progress summaries plots report comparison comparison_plots comparison_report'),
        **_in('code_generation', 'compilation simplification'),
        'exchange': 'evaluation.function_exchange', 'layer_statements': 'code_generation.statements',
        'layer_code': 'code_generation.layer_file',
    },
    'gan': {
        **_in('networks', 'biggan latents blocks self_attention conditional spectral_norm weight_layers'),
        **_in('training', 'losses collapse'),
        **_in('samples', 'standing_statistics pictures'),
        **_in('scores', 'metrics protocol frechet inception_score kernel_distance '
            'precision_recall real_statistics feature_networks efficientnet_lite0 torch_weights'),
        'adversarial_training': 'trainer', 'adversarial_task': 'training.task', 'adversarial_step': 'training.step',
        'adversarial_optimizer': 'training.optimizer', 'adversarial_model': 'training.model',
        'orthogonal': 'training.losses', 'sample_evaluation': 'samples.evaluation',
    },
    'detection': {
        **_in('data', 'conversion coco_annotations coco_masks coco_files nuclei shapes conversion_report shape_scenes'),
        **_in('results', 'instances evaluation visualize export predict'),
        'mask_rcnn': 'trainer', 'mask_rcnn_task': 'task', 'conversion_progress': 'data.conversion_report',
        'textures': 'data.shape_scenes', 'data_folder': 'data.prepared', 'data_info': 'data.prepared',
        'training_data': 'data.sources',
    },
}
# Former dotted name of a module -> its present one.
FORMER_MODULES = {f'{package}.{former}': f'{package}.{present}'
                  for package, modules in _FORMER.items() for former, present in modules.items()}
# Names that were in a former module and are in another one than its present form: by former module, names and their
# present module.
_MOVED = {
    'evonorm_tf.scaling': ('check_positive check_rate', 'evonorm_tf.checks'),
    'evonorm_tf.arguments': ('check_choices check_integers', 'evonorm_tf.checks'),
    'evonorm_tf.replacement': ('FUSIBLE_FUNCTIONS function_name', 'evonorm_tf.conversion.activations'),
    'evonorm_tf.block_registry': ('swap_norms swap_attributes built_copy run_build',
                                  'evonorm_tf.conversion.block_swapping'),
    'evonorm_tf.fused': ('SampleEquation BatchEquation', 'evonorm_tf.equations.series'),
    'evonorm_tf.endpoints': ('BackboneModel', 'evonorm_tf.models.backbone_model'),
    'evonorm_tf.model_graph': ('is_graph graph_nodes', 'evonorm_tf.conversion.keras_internals'),
    'search.proxy_task': ('Training Network NonFiniteLoss kernels timed NOT_FINITE STEPS_PER_CALL',
                          'search.evaluation.training'),
    'search.records': ('REFERENCE EVOLUTION RERANKING STAGES ELSEWHERE ACCEPTED POOR UNSTABLE FAILED OUTCOMES',
                       'search.journal.outcomes'),
}
# The same for the short names (last parts) that gin bindings use, where these have changed.
_FORMER_PREFIXES = {former.rpartition('.')[2]: present.rpartition('.')[2] for former, present in FORMER_MODULES.items()
                    if former.rpartition('.')[2] != present.rpartition('.')[2]}
# Matches, in a binding, a string, which stays as it is, or the name of a module, which is followed by a class or by a
# function that is the root of a configuration (run_...).
_STRING_OR_MODULE = re.compile(r'''
    " (?: \\. | [^"\\] )* " | ' (?: \\. | [^'\\] )* '
    | (?<! [\w.] ) (?P<module> [a-z_]\w* (?: \. [a-z_]\w* )*? ) (?= \. (?: [A-Z]\w* | run_\w+ ) )
    ''', re.VERBOSE)


class _FormerNameFinder(importlib.abc.MetaPathFinder, importlib.abc.InspectLoader):
  """An import finder for former names, used after all other finders; it loads the present module instead."""

  def find_spec(self, fullname: str, path: Sequence[str] | None = None, target: types.ModuleType | None = None
                ) -> importlib.machinery.ModuleSpec | None:
    """Returns a spec with this loader for a former name, and None for any other; called by Python's import."""
    if fullname not in FORMER_MODULES:
      return None
    present = importlib.util.find_spec(FORMER_MODULES[fullname])
    # `python -m` takes sys.argv[0] from the origin.
    return importlib.machinery.ModuleSpec(fullname, self, origin=present.origin if present else None)

  def create_module(self, spec: importlib.machinery.ModuleSpec) -> None:
    """Returns None, so that Python makes an empty module, which `exec_module` replaces."""

  def exec_module(self, module: types.ModuleType) -> None:
    """Replaces the module with the former name by the present one, and warns."""
    _warn(module.__name__, FORMER_MODULES[module.__name__])
    present = sys.modules[module.__name__] = importlib.import_module(FORMER_MODULES[module.__name__])
    names, elsewhere = _MOVED.get(module.__name__, ('', ''))
    for name in names.split():
      setattr(present, name, getattr(importlib.import_module(elsewhere), name))

  def get_code(self, fullname: str) -> types.CodeType | None:
    """Returns the present module's code, for `python -m` with a former name, and warns."""
    present = FORMER_MODULES[fullname]
    _warn(fullname, present)
    return _loader(present).get_code(present)

  def get_source(self, fullname: str) -> str | None:
    """Returns the present module's source, for tracebacks and the debugger."""
    present = FORMER_MODULES[fullname]
    return _loader(present).get_source(present)


def _loader(module: str) -> importlib.abc.InspectLoader:
  """Returns the loader of a module; raises ImportError if it has no source or code."""
  spec = importlib.util.find_spec(module)
  if spec is None or not isinstance(spec.loader, importlib.abc.InspectLoader):
    raise ImportError(f'No source or code of {module}.')
  return spec.loader


def install() -> None:
  """Makes Python's import find former names; a second call changes nothing."""
  if not any(isinstance(finder, _FormerNameFinder) for finder in sys.meta_path):
    sys.meta_path.append(_FormerNameFinder())


def present_binding(binding: str) -> str:
  """Returns a gin binding with former module names replaced by the present ones, and warns about each.

  Args:
    binding: the binding, such as "mask_rcnn.run_mask_rcnn.batch_size = 2", which becomes
      "trainer.run_mask_rcnn.batch_size = 2". Strings in it are left alone.
  """
  def replace(match: re.Match) -> str:
    former = match['module']
    present = FORMER_MODULES.get(former) or _FORMER_PREFIXES.get(former)
    if not present:
      return match[0]
    _warn(former, present)
    return present
  return _STRING_OR_MODULE.sub(replace, binding)


def without_modules(binding: str) -> str:
  """Returns one side of a gin binding without the names of modules, which change from release to release.

  Args:
    binding: one side of a binding, such as "cifar10.Cifar10.padding" or "@cifar10.Cifar10()"; the results are
      "Cifar10.padding" and "@Cifar10()".
  """
  return re.sub(r'\0\.', '', _STRING_OR_MODULE.sub(lambda match: '\0' if match['module'] else match[0], binding))


def _warn(former: str, present: str) -> None:
  warnings.warn(f'{former} is now {present}; the former name goes away with the next release.', FutureWarning,
                stacklevel=3)
