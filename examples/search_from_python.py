"""A search from Python: run it, look at it while it runs and afterwards, and use what it finds."""

import evonorm_tf
import search
from small_task import small_evaluation
from small_task import small_evolution


def announce(found, record):
  """Prints each accepted layer as soon as it is on disk."""
  if record.is_accepted:
    print(f'{record.name}: {100 * record.mean_score:.1f}%')


def main(model_dir='runs/from_python', candidates=40):
  found = search.run('quickstart', model_dir=model_dir, evaluation=small_evaluation(), candidates=candidates,
                     evolution=small_evolution(), references=('bn_relu', 'evonorm_b0'), max_minutes=3, workers=1,
                     callbacks=[announce, search.EarlyStopping(patience=30), search.HParams()])
  print(found)
  print(found.to_dataframe().groupby('outcome').size())
  found.plot_progress().savefig(f'{model_dir}/progress.png')
  for layer in found.layers:
    print(layer, layer.cost, [ancestor.name for ancestor in layer.ancestors])
  if found.best:
    model = evonorm_tf.build_resnet(found.best.norm_act(groups=4), depth=8, num_classes=10, input_shape=(32, 32, 3))
    print(f'{model.name} with {found.best.equation}: {model.count_params():,} weights')
  return found


if __name__ == '__main__':
  main()
