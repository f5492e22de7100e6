"""IntegralAdaptiveLossLayer: softmax, integral and adaptive balance of "Adaptive I1" in one."""

from typing import Any, List, Tuple

import numpy as np

from ..errors import LayerError
from ._caffe_layer import Layer
from ._pairs import Pair, check_pairs, gradient, pairs_of, weights_and_loss
from ._settings import read_settings

LABEL = "IntegralAdaptiveLossLayer"
DEFAULTS = {
    "joint_num": 16,
    "depth_dims": 64,
    "scale": 30.0,
    "gradient": "legacy",
    "x_lower_bound": 0.0,
    "x_upper_bound": 1.0,
    "y_lower_bound": 0.0,
    "y_upper_bound": 1.0,
    "z_lower_bound": 0.0,
    "z_upper_bound": 1.0,
}


class IntegralAdaptiveLossLayer(Layer):
    """AdaptiveWeightEucLoss over a volume, the coordinates integrated from it, and more pairs.

    With p = softmax(scale·v) over each joint's cube, its coordinate on an axis is Σ p·position,
    positions being bin centres. The pairs are (v, its label), (all x and y, joints_2d),
    (all z, depth), then those of the further bottoms; each is weighed by 1/mean|error|.

    Prototxt:

        layer {
          name: "ada_loss" type: "Python" top: "ada_loss" loss_weight: 1
          bottom: "heatmap2" bottom: "label_3dhm" bottom: "joints_2d" bottom: "depth"
          bottom: "heatmap" bottom: "label_2dhm"
          python_param {
            module: "caffe_layers.plugin" layer: "IntegralAdaptiveLossLayer"
            param_str: "{joint_num: 16, depth_dims: 16, gradient: exact}"
          }
        }

    Python: none needed; with torch, the layers of the integral repositories do each step.

    Args (in param_str, as YAML, JSON or a dict literal):
        joint_num: joints J, 16 unless given.
        depth_dims: depth bins D of each joint, 64 unless given.
        scale: factor on the volume ahead of the softmax, 30.0 unless given.
        gradient: "legacy" (default) has the diagonal of the softmax's Jacobian only, as the
            published nets were trained; "exact" is the derivative.
        x_lower_bound, x_upper_bound, y_..., z_...: edges of the volume in the labels' units,
            0.0 and 1.0 unless given.

    Bottoms: volume v [N, J·D, H, W], channel j·D + k being depth bin k of joint j; its label, as
        large; joints_2d [N, 2·J] as x0, y0, x1, ...; depth [N, J]; then any number of pairs,
        prediction [N, ...] and label, such as a 2D heatmap and its. A last odd one is ignored.
    Tops: loss [1]; if named, the integrated joints_2d [N, 2·J] and depth [N, J], both of which
        may be used further.

    Raises:
        LayerError: fewer than four bottoms, bottoms that do not fit, an unknown setting.

    Source: integral repos, A.9 to A.12, A.18, A.20, G4.

    Surprises: without `loss_weight: 1` Caffe trains nothing, as this is no loss layer to it. The
    maximum is subtracted ahead of exp with either gradient: where the legacy layer overflowed,
    this one does not. The adaptive weights are constants to the gradient. Labels get gradient 0.
    `self.weights` holds the weights of the last forward, one per pair.
    """

    def setup(self, bottom: List[Any], top: List[Any]) -> None:
        """Read param_str."""
        settings = read_settings(LABEL, self.param_str, DEFAULTS)
        self.joints, self.bins = settings["joint_num"], settings["depth_dims"]
        self.scale, self.gradient = settings["scale"], settings["gradient"]
        self.edges = [
            (settings[axis + "_lower_bound"], settings[axis + "_upper_bound"]) for axis in "xyz"
        ]
        self.weights = []  # type: List[float]
        if self.gradient not in ("legacy", "exact"):
            raise LayerError(f"{LABEL}: gradient is 'legacy' or 'exact', found {self.gradient!r}")
        if len(bottom) < 4 or not 1 <= len(top) <= 3:
            raise LayerError(
                f"{LABEL}: takes 4 or more bottoms and 1 to 3 tops, got {len(bottom)} and "
                f"{len(top)}"
            )

    def reshape(self, bottom: List[Any], top: List[Any]) -> None:
        """Check that all bottoms fit, and shape the tops."""
        shape = bottom[0].data.shape
        if len(shape) != 4 or shape[1] != self.joints * self.bins:
            raise LayerError(
                "{}: bottom 0 must be a volume [N, {}·{}, H, W] for joint_num {} and depth_dims "
                "{}, found {}".format(
                    LABEL, self.joints, self.bins, self.joints, self.bins, list(shape)
                )
            )
        check_pairs(LABEL, bottom[:2])
        check_pairs(LABEL, bottom, first=4)
        for index, numbers in ((2, 2 * self.joints), (3, self.joints)):
            if bottom[index].data.size != shape[0] * numbers:
                raise LayerError(
                    "{}: bottom {} must be [{}, {}], found {}".format(
                        LABEL, index, shape[0], numbers, list(bottom[index].data.shape)
                    )
                )
        wanted = [(1,), (shape[0], 2 * self.joints), (shape[0], self.joints)]
        for blob, size in zip(top, wanted):
            blob.reshape(*size)

    def forward(self, bottom: List[Any], top: List[Any]) -> None:
        """The loss of all pairs, and the coordinates."""
        volume = bottom[0].data
        self.shares = self._softmax(volume)
        self.coordinates = self._integrate(self.shares)
        pairs = self._pairs(bottom)
        self.weights, top[0].data[0] = weights_and_loss(volume.shape[0], pairs)
        for blob, (prediction, _) in zip(top[1:], pairs[1:3]):
            blob.data[...] = prediction

    def backward(self, top: List[Any], propagate_down: List[bool], bottom: List[Any]) -> None:
        """Through pairs, integral and softmax into the volume; pair by pair further down."""
        step = 2.0 * float(top[0].diff[0]) / bottom[0].data.shape[0]
        pairs = self._pairs(bottom)
        steps = [step * weight for weight in self.weights]
        if propagate_down[0]:
            gradient(pairs[0], steps[0], out=bottom[0].diff)
            slopes = [gradient(pair, by) for pair, by in zip(pairs[1:3], steps[1:3])]
            for slope, blob in zip(slopes, top[1:]):
                slope += blob.diff
            bottom[0].diff[...] += self._through_softmax(*slopes).reshape(bottom[0].data.shape)
        for index, blob in enumerate(bottom):
            if index == 0 or not propagate_down[index]:
                continue
            if index < 4 or index % 2 or index // 2 + 1 >= len(pairs):
                blob.diff[...] = 0
            else:
                gradient(pairs[index // 2 + 1], steps[index // 2 + 1], out=blob.diff)

    def _pairs(self, bottom: List[Any]) -> List[Pair]:
        """The volume's, the two of the coordinates, then those of the bottoms behind."""
        x, y, z = self.coordinates
        joints = np.stack([x, y], axis=2).reshape(len(x), -1)
        labels = bottom[2].data.reshape(joints.shape), bottom[3].data.reshape(z.shape)
        return [*pairs_of(bottom[:2]), (joints, labels[0]), (z, labels[1]), *pairs_of(bottom[4:])]

    def _softmax(self, volume: Any) -> Any:
        """The share of each voxel in its joint's cube [N, J, D, H, W]."""
        batch, _, height, width = volume.shape
        powers = np.multiply(volume, volume.dtype.type(self.scale))
        powers = powers.reshape(batch, self.joints, self.bins, height, width)
        powers -= powers.max(axis=(2, 3, 4), keepdims=True)
        np.exp(powers, out=powers)
        total = powers.sum(axis=(2, 3, 4), keepdims=True, dtype=np.float64)
        powers /= total.astype(powers.dtype)
        return powers

    def _integrate(self, shares: Any) -> Tuple[Any, Any, Any]:
        """Mean x, y and z [N, J] of each cube."""
        flat = shares.sum(axis=2, dtype=np.float64)
        marginals = flat.sum(axis=2), flat.sum(axis=3), shares.sum(axis=(3, 4), dtype=np.float64)
        positions = self._positions(shares)
        means = [(m * p).sum(axis=2).astype(shares.dtype) for m, p in zip(marginals, positions)]
        return means[0], means[1], means[2]

    def _positions(self, shares: Any) -> List[Any]:
        """Bin centres along x, y and z."""
        depth, height, width = shares.shape[2:]
        return [
            low + (high - low) * (np.arange(bins) + 0.5) / bins
            for (low, high), bins in zip(self.edges, (width, height, depth))
        ]

    def _through_softmax(self, joint_slope: Any, depth_slope: Any) -> Any:
        """Slopes by the coordinates → slope by the volume [N, J, D, H, W]."""
        shares = self.shares
        slopes = joint_slope[:, 0::2], joint_slope[:, 1::2], depth_slope
        ramps = [
            (slope[:, :, None] * position).astype(shares.dtype)
            for slope, position in zip(slopes, self._positions(shares))
        ]
        slope = ramps[2][:, :, :, None, None] + ramps[1][:, :, None, :, None]
        slope = slope + ramps[0][:, :, None, None, :]
        if self.gradient == "exact":
            mean = sum(s * c for s, c in zip(slopes, self.coordinates))
            slope -= mean[:, :, None, None, None]
        else:
            slope *= 1 - shares
        slope *= shares
        slope *= shares.dtype.type(self.scale)
        return slope
