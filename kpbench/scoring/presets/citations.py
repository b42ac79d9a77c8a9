"""The papers that evaluators are named after."""

from __future__ import annotations

AUTOLINK = "He et al., AutoLink, NeurIPS 2022"
BKIND = "Sun et al., BKinD, CVPR 2022"
CHOUDHURY = "Choudhury et al., Unsupervised Part Discovery from Contrastive Reconstruction, 2021"
DVE = "Thewlis et al., Unsupervised Learning of Landmarks by Descriptor Vector Exchange, ICCV 2019"
GANSEG = "He et al., GANSeg, CVPR 2022"
HUANG = "Huang and Li, Interpretable and Accurate Fine-grained Recognition, CVPR 2020"
IMM = "Jakab et al., IMM, NeurIPS 2018"
KEYPOINTGAN = "Jakab et al., KeypointGAN, CVPR 2020"
LORENZ = "Lorenz et al., Unsupervised Part-Based Disentangling, CVPR 2019"
SCOPS = "Hung et al., SCOPS, CVPR 2019"
SIAROHIN = "Siarohin et al., Motion-supervised Co-Part Segmentation, ICPR 2020"
STABLE = "Hedlin et al., StableKeypoints, CVPR 2024"
ZHANG = "Zhang et al., Unsupervised Discovery of Object Landmarks, CVPR 2018"
STRICT = "kpbench: bias, no look at test labels, no trim"

FIT = "OLS of all landmarks on all keypoints"
JOINT_MEAN = "mean over images of d, d = mean over landmarks of |p - y|"
