"""adaptive_i1_d16 in PyTorch, converted from train_val.prototxt.

    from safetensors.torch import load_file

    net = AdaptiveI1D16()
    net.load_state_dict(load_file("adaptive_i1_d16.safetensors"))

It takes crop_gt_joint_2d_scale [8, 32], aug_3d [8, 48], gt_joint_3d_mono_raw [8, 48],
image [8, 3, 64, 64], bbx_x1_H36M [8, 1], bbx_y1_H36M [8, 1], bbx_x2_H36M [8, 1],
bbx_y2_H36M [8, 1], image_index [8, 1].
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from caffe_layers import (
    AdaptiveWeightEucLoss,
    DeepHumanModelArgmaxHM,
    DeepHumanModelConvertDepth,
    DeepHumanModelGen3DHeatmapInMoreDetailV3,
    DeepHumanModelH36MChaGenJointFrXYZHeatmap,
    DeepHumanModelH36MGenPredMono3D,
    DeepHumanModelIntegralVector,
    DeepHumanModelIntegralX,
    DeepHumanModelIntegralY,
    DeepHumanModelIntegralZ,
    DeepHumanModelNormalizationResponseV0,
    DeepHumanModelNumericalCoordinateRegression,
    DeepHumanModelSoftmax3DHM,
    GenHeatmapAllChannels,
    Joint3DSquareRootLoss,
    ScaleVector,
)
from torch import Tensor, nn


def euclidean_loss(a: Tensor, b: Tensor) -> Tensor:
    """Half the squared distance, per item of the batch."""
    return 0.5 * (a - b.reshape(a.shape)).square().sum() / a.shape[0]


class BatchNormReLUConv(nn.Module):
    """48 in the net, first residual_1_branch1_conv1."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(in_channels, momentum=0.001)
        self.conv = nn.Conv2d(
            in_channels, out_channels, kernel_size, padding=kernel_size // 2
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(F.relu(self.norm(x)))


class Bottleneck(nn.Module):
    """15 in the net: residual_2, …, hourglass2_branch2_res1."""

    def __init__(self) -> None:
        super().__init__()
        self.branch1_conv = nn.Sequential(
            BatchNormReLUConv(64, 32, 1),
            BatchNormReLUConv(32, 32, 3),
            BatchNormReLUConv(32, 64, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.branch1_conv(x) + x


class Integral(nn.Module):
    """16 in the net, first integral."""

    def __init__(self) -> None:
        super().__init__()
        self.x_cube_vec = DeepHumanModelIntegralX()
        self.x_cube_vaue = DeepHumanModelIntegralVector(dim_lb=0.0, dim_ub=1.0)
        self.y_cube_vec = DeepHumanModelIntegralY()
        self.y_cube_vaue = DeepHumanModelIntegralVector(dim_lb=0.0, dim_ub=1.0)
        self.z_cube_vec = DeepHumanModelIntegralZ()
        self.z_cube_vaue = DeepHumanModelIntegralVector(dim_lb=0.0, dim_ub=1.0)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x_cube_vaue = self.x_cube_vaue(self.x_cube_vec(x))
        y_cube_vaue = self.y_cube_vaue(self.y_cube_vec(x))
        z_cube_vaue = self.z_cube_vaue(self.z_cube_vec(x))
        return x_cube_vaue, y_cube_vaue, z_cube_vaue


class Hourglass(nn.Module):
    """2 in the net: hourglass1, hourglass2."""

    def __init__(self) -> None:
        super().__init__()
        self.branch1_res1 = Bottleneck()
        self.res2_branch1_res = nn.Sequential(*(Bottleneck() for _ in range(3)))
        self.res2_upsampling = nn.ConvTranspose2d(
            64, 64, 4, stride=2, padding=1, groups=64, bias=False
        )
        self.res2_branch2_res1 = Bottleneck()
        self.branch1_res3 = Bottleneck()
        self.upsampling = nn.ConvTranspose2d(
            64, 64, 4, stride=2, padding=1, groups=64, bias=False
        )
        self.branch2_res1 = Bottleneck()

    def forward(self, x: Tensor) -> Tensor:
        pooling = F.max_pool2d(x, 2, ceil_mode=True)
        branch1_res1 = self.branch1_res1(pooling)
        branch1_res2_pooling = F.max_pool2d(branch1_res1, 2, ceil_mode=True)
        res2_upsampling = self.res2_upsampling(
            self.res2_branch1_res(branch1_res2_pooling)
        )
        branch1_res2 = res2_upsampling + self.res2_branch2_res1(branch1_res1)
        upsampling = self.upsampling(self.branch1_res3(branch1_res2))
        return upsampling + self.branch2_res1(x)


class AdaptiveI1D16(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.crop_gt_joint_2d = ScaleVector(scale_factor=0.015625)
        self.annot_depth = DeepHumanModelConvertDepth(
            joint_num=16, depth_lb=-1000.0, depth_ub=1000.0, root_joint_id=0
        )
        self.label_2dhm = GenHeatmapAllChannels(
            gen_size=16,
            all_one=False,
            joint_num=16,
            use_baseline_render=True,
            use_cpm_render=False,
            stride=4,
            crop_size=64,
            render_sigma=1.0,
        )
        self.gen_3d_hm = DeepHumanModelGen3DHeatmapInMoreDetailV3(
            depth_dims=16,
            map_size=16,
            crop_size=64,
            stride=4,
            render_sigma=1,
            x_lower_bound=0.0,
            x_upper_bound=1.0,
            y_lower_bound=0.0,
            y_upper_bound=1.0,
            z_lower_bound=0.0,
            z_upper_bound=1.0,
            joint_num=16,
            output_res=16,
        )
        self.conv_1 = nn.Conv2d(3, 32, 7, stride=2, padding=3)
        self.bn_1 = nn.BatchNorm2d(32, momentum=0.001)
        self.residual_1_branch1_conv = nn.Sequential(
            BatchNormReLUConv(32, 32, 1),
            BatchNormReLUConv(32, 32, 3),
            BatchNormReLUConv(32, 64, 1),
        )
        self.residual_1_branch2_conv = nn.Conv2d(32, 64, 1)
        self.residual_2 = Bottleneck()
        self.hourglass1 = Hourglass()
        self.fc_1 = nn.Conv2d(64, 64, 1)
        self.fc_2 = nn.Conv2d(64, 64, 1)
        self.conv_2_n = nn.Conv2d(64, 16, 1)
        self.conv_3_n = nn.Conv2d(16, 64, 1)
        self.conv_4 = nn.Conv2d(128, 64, 1)
        self.hourglass2 = Hourglass()
        self.fc_3 = nn.Conv2d(64, 64, 1)
        self.fc_4 = nn.Conv2d(64, 64, 1)
        self.conv_5_d16 = nn.Conv2d(64, 256, 1)
        self.pred_joint_2d_s1_max = DeepHumanModelArgmaxHM()
        self.norm_2dhm = DeepHumanModelNormalizationResponseV0(hm_threshold=0.003)
        self.pred_joint_2d_s1_int = DeepHumanModelNumericalCoordinateRegression()
        self.heatmap2_flat_scale = ScaleVector(scale_factor=20.0)
        self.heatmap2_norm = DeepHumanModelSoftmax3DHM(joint_num=16, depth_dims=16)
        self.integral = Integral()
        self.pred_depth_s2_int_global = DeepHumanModelConvertDepth(
            joint_num=16, depth_lb=-1000.0, depth_ub=1000.0, root_joint_id=0
        )
        self.pred_joint_global_s2_int = DeepHumanModelH36MGenPredMono3D(
            joint_num=16, camera_parameters_prefix="toy/pose/camera_all/"
        )
        self.error_mm_3d_s2_int = Joint3DSquareRootLoss(joint_num=16)
        self.pred_joint_3d_s2_max = DeepHumanModelH36MChaGenJointFrXYZHeatmap(
            depth_dims=16,
            map_size=16,
            x_lb=0.0,
            x_ub=1.0,
            y_lb=0.0,
            y_ub=1.0,
            z_lb=0.0,
            z_ub=1.0,
            joint_num=16,
        )
        self.pred_depth_s2_max_global = DeepHumanModelConvertDepth(
            joint_num=16, depth_lb=-1000.0, depth_ub=1000.0, root_joint_id=0
        )
        self.pred_joint_global_s2_max = DeepHumanModelH36MGenPredMono3D(
            joint_num=16, camera_parameters_prefix="toy/pose/camera_all/"
        )
        self.error_mm_3d_s2_max = Joint3DSquareRootLoss(joint_num=16)
        self.ada_loss_all = AdaptiveWeightEucLoss(running_sum=True)

    def forward(
        self,
        crop_gt_joint_2d_scale: Tensor,
        aug_3d: Tensor,
        gt_joint_3d_mono_raw: Tensor,
        image: Tensor,
        bbx_x1_H36M: Tensor,
        bbx_y1_H36M: Tensor,
        bbx_x2_H36M: Tensor,
        bbx_y2_H36M: Tensor,
        image_index: Tensor,
    ) -> dict[str, Tensor]:
        crop_gt_joint_2d = self.crop_gt_joint_2d(crop_gt_joint_2d_scale)
        annot_depth = self.annot_depth(aug_3d, gt_joint_3d_mono_raw)
        label_2dhm = self.label_2dhm(crop_gt_joint_2d)
        label_3dhm = self.gen_3d_hm(annot_depth, crop_gt_joint_2d)
        scale_1 = self.bn_1(self.conv_1(image))
        residual_1_branch1_conv3 = self.residual_1_branch1_conv(scale_1)
        x = residual_1_branch1_conv3 + self.residual_1_branch2_conv(scale_1)
        pooling = F.max_pool2d(x, 2, ceil_mode=True)
        x = self.fc_1(self.hourglass1(self.residual_2(pooling)))
        fc_2 = self.fc_2(x)
        heatmap = self.conv_2_n(fc_2)
        conv_3 = self.conv_3_n(heatmap)
        x = torch.cat([pooling, fc_2], dim=1)
        x = self.fc_3(self.hourglass2(conv_3 + self.conv_4(x)))
        heatmap2 = self.conv_5_d16(self.fc_4(x))
        pred_joint_2d_s1_max = self.pred_joint_2d_s1_max(heatmap)
        pred_joint_2d_s1_int = self.pred_joint_2d_s1_int(self.norm_2dhm(heatmap))
        joint2dloss_s1_int = euclidean_loss(pred_joint_2d_s1_int, crop_gt_joint_2d)
        joint2dloss_s1_max = euclidean_loss(pred_joint_2d_s1_max, crop_gt_joint_2d)
        x = self.heatmap2_flat_scale(heatmap2.flatten(1))
        x = self.heatmap2_norm(x.reshape(x.shape[0], 256, 16, 16))
        pred_cubes = x.split(16, dim=1)
        integral_parts = [self.integral(pred_cube) for pred_cube in pred_cubes]
        pred_joint_2d_s2_int = torch.cat(
            [value for each in integral_parts for value in each[:2]], dim=1
        )
        pred_depth_s2_int = torch.cat([each[2] for each in integral_parts], dim=1)
        joint2dloss_s2_int = euclidean_loss(pred_joint_2d_s2_int, crop_gt_joint_2d)
        depthloss_s2_int = euclidean_loss(pred_depth_s2_int, annot_depth)
        x = self.pred_depth_s2_int_global(pred_depth_s2_int, gt_joint_3d_mono_raw)
        x = self.pred_joint_global_s2_int(
            pred_joint_2d_s2_int,
            x,
            bbx_x1_H36M,
            bbx_y1_H36M,
            bbx_x2_H36M,
            bbx_y2_H36M,
            image_index,
        )
        error_mm_3d_s2_int = self.error_mm_3d_s2_int(x, aug_3d)
        preds = self.pred_joint_3d_s2_max(heatmap2).split([2, 1] * 16, dim=1)
        pred_joint_2d_s2_max = torch.cat(preds[::2], dim=1)
        pred_depth_s2_max = torch.cat(preds[1::2], dim=1)
        joint2dloss_s2_max = euclidean_loss(pred_joint_2d_s2_max, crop_gt_joint_2d)
        depthloss_s2_max = euclidean_loss(pred_depth_s2_max, annot_depth)
        x = self.pred_depth_s2_max_global(pred_depth_s2_max, gt_joint_3d_mono_raw)
        x = self.pred_joint_global_s2_max(
            pred_joint_2d_s2_max,
            x,
            bbx_x1_H36M,
            bbx_y1_H36M,
            bbx_x2_H36M,
            bbx_y2_H36M,
            image_index,
        )
        error_mm_3d_s2_max = self.error_mm_3d_s2_max(x, aug_3d)
        loss_2dhm = euclidean_loss(heatmap, label_2dhm)
        loss_3dhm = euclidean_loss(heatmap2, label_3dhm)
        heatmap_flatten = heatmap.flatten(1)
        label_2dhm_flatten = label_2dhm.flatten(1)
        heatmap2_flatten = heatmap2.flatten(1)
        ada_loss_all = self.ada_loss_all(
            heatmap_flatten,
            label_2dhm_flatten,
            heatmap2_flatten,
            label_3dhm.flatten(1),
            pred_joint_2d_s2_int,
            crop_gt_joint_2d,
            pred_depth_s2_int,
            annot_depth,
            pred_joint_2d_s1_int,
            crop_gt_joint_2d,
        )
        return {
            "ada_loss_all": ada_loss_all,
            "depthloss_s2_int": depthloss_s2_int,
            "depthloss_s2_max": depthloss_s2_max,
            "error(mm)_3d_s2_int": error_mm_3d_s2_int,
            "error(mm)_3d_s2_max": error_mm_3d_s2_max,
            "joint2dloss_s1_int": joint2dloss_s1_int,
            "joint2dloss_s1_max": joint2dloss_s1_max,
            "joint2dloss_s2_int": joint2dloss_s2_int,
            "joint2dloss_s2_max": joint2dloss_s2_max,
            "loss_2dhm": loss_2dhm,
            "loss_3dhm": loss_3dhm,
        }


LOSS_WEIGHTS = {"ada_loss_all": 1}


def total_loss(outputs: dict[str, Tensor]) -> Tensor:
    """What training minimises: the weighted sum of the losses."""
    losses = [weight * outputs[name].sum() for name, weight in LOSS_WEIGHTS.items()]
    return torch.stack(losses).sum()
