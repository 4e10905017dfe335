"""What is kept with a chunk comes back whole, without pickle."""

from __future__ import annotations

import numpy as np
from worldloom.cluster.chunk_extra import ChunkExtra, pack_extra, unpack_extra
from worldloom.cluster.controls import plan_controls
from worldloom.cluster.events import CameraGoal, Controls, ControlState, Held, Pace, Script
from worldloom.cluster.messages import RememberedView, StageTimes


def test_extra_survives_bytes() -> None:
    rng = np.random.default_rng(0)
    scripts = tuple(
        Script(
            event_id=number,
            client_time_us=2**52 + number,
            keyboard=rng.integers(0, 2, (length, 6)).astype(np.float32),
            mouse=rng.uniform(-1, 1, (length, 2)).astype(np.float32),
            pause_after=number == 9,
            started=number == 8,
        )
        for number, length in ((8, 3), (9, 70))
    )
    waiting = Controls(event_id=10, client_time_us=5, keys=(True, False, True, False), motion=(0, -3.25))
    held = Held(look=(0.1, 0.0), goal=CameraGoal(pose=(1.0, 2.0, 0.0, 0.5, 90.0), look_only=True))
    state = ControlState(last_event_id=10, held=held, waiting=(waiting,), scripts=scripts, pace=Pace.STEPPING)
    remembered = (RememberedView(frame=7, pose=(1.0, 2.0, 3.0, 4.0, 5.0), overlap=0.5),)
    stages = StageTimes(queue_s=0.5, plan_s=0.25, retrieve_s=0.125, steps_s=(1.5, 2.5))
    extra = ChunkExtra(
        client_times_us=np.arange(40) * 2**40,
        applied=((7, 57), (8, 60)),
        stages=stages,
        controls=state,
        remembered=remembered,
    )

    back = unpack_extra(pack_extra(extra))

    assert (back.applied, back.stages, back.remembered) == (extra.applied, stages, remembered)
    np.testing.assert_array_equal(back.client_times_us, extra.client_times_us)
    assert (back.controls.last_event_id, back.controls.held, back.controls.waiting) == (10, state.held, (waiting,))
    one, _ = plan_controls(state, (), frames=80, frame_rate=16, pose=np.zeros(5, np.float32))
    other, _ = plan_controls(back.controls, (), frames=80, frame_rate=16, pose=np.zeros(5, np.float32))
    np.testing.assert_array_equal(one.keyboard, other.keyboard)
    np.testing.assert_array_equal(one.mouse, other.mouse)
    assert one.applied == other.applied
    assert back.controls.pace is Pace.STEPPING and [one.pause_after for one in back.controls.scripts] == [False, True]
