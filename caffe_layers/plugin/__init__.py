"""Loss layers for genuine Caffe's `type: "Python"`: numpy alone, Python 3.6 and newer.

Nothing in this folder imports torch, and nothing in it needs a Python newer than the ones that
people built Caffe for. In a prototxt: `python_param { module: "caffe_layers.plugin" ... }`.
"""

from .adaptive_weight_euc_loss import AdaptiveWeightEucLossLayer
from .integral_adaptive_loss import IntegralAdaptiveLossLayer

__all__ = ["AdaptiveWeightEucLossLayer", "IntegralAdaptiveLossLayer"]
