"""Layer types that are not of Caffe 1.0, and the public fork that has each: facts for messages."""

from __future__ import annotations

from collections.abc import Mapping

_FORKS = {
    "SSD (weiliu89/caffe)": (
        "AnnotatedData DetectionEvaluate DetectionOutput MultiBoxLoss Normalize Permute PriorBox "
        "SmoothL1Loss VideoData"
    ),
    "Faster R-CNN (rbgirshick/caffe-fast-rcnn)": "ROIPooling SmoothL1Loss",
    "R-FCN (daijifeng001/caffe-rfcn)": (
        "BoxAnnotatorOHEM PSROIPooling ROIPooling SmoothL1Loss SmoothL1LossOHEM SoftmaxWithLossOHEM"
    ),
    "MNC (daijifeng001/caffe-mnc)": "MaskPooling MaskResize ROIPooling ROIWarping SmoothL1Loss",
    "MS-CNN (zhaoweicai/mscnn)": (
        "BboxAccuracy BoxOutput DecodeBBox DetectionAccuracy DetectionLoss ImageGtData "
        "ProposalTarget ROIPooling"
    ),
    "SegNet (alexgkendall/caffe-segnet)": "BN DenseImageData Upsample",
    "ENet (TimoSaemann/caffe-enet)": "BN DenseImageData SpatialDropout Upsample",
    "DeconvNet (HyeonwooNoh/caffe)": "BN Unpooling WindowSegData",
    "DeepLab (deeplab-public)": (
        "AdaptiveBiasChannel DenseCRF DomainTransform ImageSegData Interp MatRead MatWrite "
        "SegAccuracy UniqueLabel"
    ),
    "PSPNet and ICNet (hszhao/PSPNet)": "BN ImageSegData Interp SegAccuracy",
    "CRF-RNN (torrvision/crfasrnn)": "MultiStageMeanfield",
    "temporal segment networks (yjxiong/caffe)": (
        "BN BatchReduction Gather ROIPooling Scatter SegData VideoData"
    ),
    "UntrimmedNet (wanglimin/UntrimmedNet)": "BN BatchReduction SequenceData VideoData",
    "C3D (facebook/C3D)": "Convolution3D Deconvolution3D Pooling3D VideoData",
    "SENet (hujie-frank/SENet)": "Axpy",
    "ShuffleNet (farmingyard/ShuffleNet)": "ConvolutionDepthwise ShuffleChannel",
    "MobileNet (yonghenglh6/DepthwiseConvolution)": "DepthwiseConvolution",
    "MobileNet-YOLO (eric612/MobileNet-YOLO)": (
        "DepthwiseConvolution RegionLoss Reorg SegmentationEvaluate Upsample YoloDetectionOutput "
        "YoloSeg Yolov3 Yolov3DetectionOutput"
    ),
    "OpenPose (CMU-Perceptual-Computing-Lab)": "CPMData ImResize Nms",
    "CTPN (tianzhi0549/CTPN)": "Lstm Reverse Transpose",
    "caffe-lstm of 2015 (junhyukoh/caffe-lstm)": "Lstm",
    "center loss (ydwen/caffe-face)": "CenterLoss",
    "SphereFace (wy1iu/sphereface)": "MarginInnerProduct",
    "caffe-windows (happynear/caffe-windows)": (
        "ChannelScale Flip Hotspot InnerDistance Insanity MultiLabelImageData Normalize SubRegion"
    ),
    "lifted structured embedding (rksltnl/Deep-Metric-Learning-CVPR16)": (
        "LiftedStructSimilaritySoftmaxLoss"
    ),
    "multimodal compact bilinear pooling (akirafukui/vqa-mcb)": (
        "CompactBilinear L2Normalize SignedSqrt"
    ),
    "FlowNet 2 (lmb-freiburg/flownet2)": (
        "Accum ChannelNorm Correlation Correlation1D CustomData DataAugmentation Downsample "
        "FloReader FlowAugmentation FlowWarp GenerateAugmentationParameters ImgReader L1Loss Mean "
        "Resample"
    ),
    "spatial transformer (daerduoCarey/SpatialTransformerLayer)": "SpatialTransformer",
    "heatmap regression (tpfister/caffe-heatmap)": "DataHeatmap EuclideanLossHeatmap",
    "DeepModel (xingyizhou/DeepModel)": "DeepHandModel",
    "3D human pose with group normalisation (strawberryfg/3dhuman-groupnorm)": (
        "DeepHumanModelMPIIGenRandIndex DeepHumanModelNormalizationResponse "
        "Gen3DHeatmapInMoreDetailV3 GroupNorm"
    ),
    "CaffeNet benchmark (ducha-aiki/caffenet-benchmark)": "APL EltwiseAffine RReLU",
    "NVCaffe (NVIDIA/caffe)": (
        "AnnotatedData DetectNetTransformation DetectionEvaluate DetectionOutput L1Loss "
        "MultiBoxLoss Normalize Permute PriorBox TRT"
    ),
    "Intel Caffe (intel/caffe)": (
        "AnnotatedData DetectionEvaluate DetectionOutput MultiBoxLoss Normalize Permute PriorBox "
        "ROIPooling SmoothL1Loss"
    ),
}


def _by_type() -> dict[str, tuple[str, ...]]:
    forks: dict[str, list[str]] = {}
    for fork, types in _FORKS.items():
        for name in types.split():
            forks.setdefault(name, []).append(fork)
    return {name: tuple(listed) for name, listed in forks.items()}


FORKS_OF: Mapping[str, tuple[str, ...]] = _by_type()
"""The forks that are known to have a layer type, by the type's name."""
