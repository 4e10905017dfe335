"""Encoded frames with all that a client is told about them."""

from __future__ import annotations

from dataclasses import replace

from .chunk_extra import unpack_extra
from .encoders import EncodedFrame
from .history import pose_of
from .messages import ChunkNote, Codec, CommittedChunk, FramePacket


def packets_of(
    chunk: CommittedChunk,
    first_frame: int,
    codec: Codec,
    encoded: list[EncodedFrame],
    *,
    decode_s: float,
    encode_s: float,
) -> tuple[FramePacket, ...]:
    """The chunk's frames from number `first_frame` on. The first one carries the stage times, and a chunk's first one
    the events that it took."""
    record, extra = chunk.record, unpack_extra(chunk.record.extra)
    stages = replace(extra.stages, commit_s=chunk.commit_s, decode_s=decode_s, encode_s=encode_s)
    note = ChunkNote(
        branch=record.branch,
        chunk=record.chunk,
        first_frame_id=record.first_frame_id,
        num_frames=record.num_frames,
        applied=extra.applied,
        remembered=extra.remembered,
    )
    packets = []
    for number, image in enumerate(encoded, first_frame):
        forward, back, left, right = (bool(key) for key in record.keyboard[number, :4])
        packets.append(
            FramePacket(
                frame_id=record.first_frame_id + number,
                branch=record.branch,
                chunk=record.chunk,
                frame=number,
                data=image.data,
                codec=codec,
                key_frame=image.key_frame,
                client_time_us=int(extra.client_times_us[number]),
                keys=(forward, back, left, right),
                camera_pitch=float(record.mouse[number, 0]),
                camera_yaw=float(record.mouse[number, 1]),
                pose=pose_of(record.poses[number]),
                stages=stages if number == first_frame else None,
                note=note if number == 0 else None,
            )
        )
    return tuple(packets)
