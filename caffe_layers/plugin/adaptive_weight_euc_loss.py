"""AdaptiveWeightEucLossLayer: the layer type AdaptiveWeightEucLoss, for a Caffe without it."""

from typing import Any, List

from ..errors import LayerError
from ._caffe_layer import Layer
from ._pairs import Pair, check_pairs, gradient, pairs_of, weights_and_loss
from ._settings import read_settings

LABEL = "AdaptiveWeightEucLossLayer"


class AdaptiveWeightEucLossLayer(Layer):
    """L = (1/N)·Σ_i (1/a_i)·Σ(p_i - l_i)² with a_i = mean|p_i - l_i| taken as a constant.

    Prototxt:

        layer {
          name: "ada_loss" type: "Python" top: "ada_loss" loss_weight: 1
          bottom: "heatmap" bottom: "label_2dhm" bottom: "heatmap2" bottom: "label_3dhm"
          python_param { module: "caffe_layers.plugin" layer: "AdaptiveWeightEucLossLayer" }
        }

    Python: none needed; with torch, `caffe_layers.AdaptiveWeightEucLoss` is the same layer.

    Args (in param_str, as YAML, JSON or a dict literal):
        legacy_read: of bottoms with more than two axes read only the first N·shape[1] numbers of
            the buffer, as the legacy C++ layer did; the rest gets gradient 0. Default false.

    Bottoms: any number of pairs, prediction p_i [N, ...] then label l_i of as many numbers. They
        need not be flattened. The last bottom of an odd number is ignored.
    Tops: loss [1].

    Raises:
        LayerError: fewer than two bottoms, a pair that does not fit, an unknown setting.

    Source: integral repos, A.20.

    Surprises: without `loss_weight: 1` Caffe trains nothing, as this is no loss layer to it. The
    weights are constants to the gradient (2/N)·(1/a_i)·(p_i - l_i). Labels get gradient 0. A pair
    that fits perfectly has weight 0, where the legacy layer gave NaN. `self.weights` holds the
    weights of the last forward.
    """

    def setup(self, bottom: List[Any], top: List[Any]) -> None:
        """Read param_str."""
        settings = read_settings(LABEL, self.param_str, {"legacy_read": False})
        self.legacy_read = settings["legacy_read"]
        self.weights = []  # type: List[float]
        if len(bottom) < 2:
            raise LayerError(f"{LABEL}: takes 2 or more bottoms, got {len(bottom)}")

    def reshape(self, bottom: List[Any], top: List[Any]) -> None:
        """Check that the pairs fit; the loss is one number."""
        check_pairs(LABEL, bottom)
        top[0].reshape(1)

    def forward(self, bottom: List[Any], top: List[Any]) -> None:
        """The loss, and the weights it was made with."""
        batch = bottom[0].data.shape[0]
        self.weights, top[0].data[0] = weights_and_loss(batch, self._pairs(bottom))

    def backward(self, top: List[Any], propagate_down: List[bool], bottom: List[Any]) -> None:
        """2/N · loss weight · w_i · (p_i - l_i) for predictions, 0 for labels."""
        step = 2.0 * float(top[0].diff[0]) / bottom[0].data.shape[0]
        pairs = self._pairs(bottom)
        for index, blob in enumerate(bottom):
            if not propagate_down[index]:
                continue
            if index % 2 or index // 2 >= len(pairs):
                blob.diff[...] = 0
                continue
            pair, scale = pairs[index // 2], step * self.weights[index // 2]
            if self.legacy_read:
                blob.diff[...] = 0
                blob.diff.flat[: pair[0].size] = gradient(pair, scale)
            else:
                gradient(pair, scale, out=blob.diff)

    def _pairs(self, bottom: List[Any]) -> List[Pair]:
        """What is read of each pair."""
        pairs = pairs_of(bottom)
        if self.legacy_read:
            counts = [prediction.shape[0] * prediction.shape[1] for prediction, _ in pairs]
            pairs = [
                (prediction.reshape(-1)[:count], label.reshape(-1)[:count])
                for count, (prediction, label) in zip(counts, pairs)
            ]
        return pairs
