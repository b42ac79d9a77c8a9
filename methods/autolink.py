"""AutoLink: keypoints as the ends of the edges that best complete a masked image."""

from __future__ import annotations

from dataclasses import dataclass

from kpbench.api import Method

from ._detectors import AutoLinkMethod


@dataclass
class AutoLink(AutoLinkMethod):
    """AutoLink on RGB (He, Wandt, Rhodin, NeurIPS 2022).

    A detector places K keypoints in the whole image; the complete graph on them, with edge weights
    that all images share, is drawn as one edge map; a U-Net completes the image of which 80 % is
    hidden, given that map; the perceptual loss of the completion trains everything. Whatever
    helps to complete the object ends up under a keypoint or an edge.
    """

    name = "autolink"
    paper = "He et al. 2022, AutoLink, NeurIPS"


PLUGIN: Method = AutoLink()
