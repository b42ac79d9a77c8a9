"""Settings of rendered people that the tests share."""

from __future__ import annotations

from dataclasses import replace

from kpbench.people.scene.sampler import Framing, PeopleSettings

GREY = PeopleSettings("grey", "everyday", Framing(fill=(0.72, 0.9), wander=(0.03, 0.02)))
LIGHT = replace(GREY, background="light")
ROOMS = replace(GREY, background="rooms")
SNAPSHOTS = replace(ROOMS, aperture=(0.03, 0.08))
CROWDED = replace(ROOMS, occluders=1.0)
LABORATORY = replace(GREY, background="laboratory")
