"""Frames, and what is told of chunks, as messages of the stream protocol."""

from __future__ import annotations

from ..cluster.events import Pose
from ..cluster.h264 import codec_string
from ..cluster.messages import BranchNote, ChunkNote, Codec, FramePacket, StageTimes
from ..cluster.video import Rung
from ..model.preset import VideoConfig
from .ladder import choose_codec, ladder
from .protocol.generated import session_pb2 as pb

CODECS: dict[Codec, pb.Codec] = {
    Codec.JPEG: pb.CODEC_JPEG,
    Codec.H264: pb.CODEC_H264,
    Codec.RAW_RGB: pb.CODEC_RAW_RGB,
}


def rungs_of(request: pb.VideoRequest, video: VideoConfig) -> tuple[Rung, ...]:
    """What a client that asks for this can be sent, best first. Raises MessageInvalid if it knows no codec of ours."""
    names = {number: codec for codec, number in CODECS.items()}
    return ladder(
        video,
        choose_codec([names.get(number) for number in request.codecs]),
        max_width=request.max_width,
        max_height=request.max_height,
        max_kbit_per_s=request.max_kbit_per_s,
    )


def format_of(rung: Rung, frame_rate: float) -> pb.VideoFormat:
    """How a rung's frames are encoded."""
    return pb.VideoFormat(
        codec=CODECS[rung.codec],
        width=rung.width,
        height=rung.height,
        codec_string=codec_string(rung, frame_rate) if rung.codec is Codec.H264 else "",
    )


def frame_of(packet: FramePacket, frame_rate: float) -> pb.ServerMessage:
    """One frame, ready to be sent."""
    forward, back, left, right = packet.keys
    frame = pb.Frame(
        frame_id=packet.frame_id,
        position=pb.WorldPosition(branch=packet.branch, chunk=packet.chunk, frame=packet.frame),
        presentation_time_us=round(packet.frame_id * 1_000_000 / frame_rate),
        codec=CODECS[packet.codec],
        key_frame=packet.key_frame,
        data=packet.data,
        client_time_us=packet.client_time_us,
        action=pb.ActionFrame(
            forward=forward,
            back=back,
            left=left,
            right=right,
            camera_pitch=packet.camera_pitch,
            camera_yaw=packet.camera_yaw,
        ),
        camera=camera_of(packet.pose),
    )
    if packet.stages is not None:
        frame.stages.CopyFrom(_stages(packet.stages))
    return pb.ServerMessage(frame=frame)


def applied_of(note: ChunkNote) -> pb.ServerMessage:
    """A committed chunk, with the events that it took."""
    return pb.ServerMessage(
        applied=pb.Applied(
            branch=note.branch,
            chunk=note.chunk,
            first_frame_id=note.first_frame_id,
            num_frames=note.num_frames,
            events=[pb.AppliedEvent(event_id=event, frame_id=frame) for event, frame in note.applied],
            remembered=[
                pb.RememberedView(frame=view.frame, camera=camera_of(view.pose), overlap=view.overlap)
                for view in note.remembered
            ],
        )
    )


def branched_of(note: BranchNote) -> pb.ServerMessage:
    """A world that goes on from an earlier place."""
    return pb.ServerMessage(
        branched=pb.Branched(branch=note.branch, parent=note.parent, chunk=note.chunk, next_frame_id=note.next_frame_id)
    )


def camera_of(pose: Pose) -> pb.CameraPose:
    """A camera's place and view."""
    x, y, z, pitch, yaw = pose
    return pb.CameraPose(x=x, y=y, z=z, pitch_degrees=pitch, yaw_degrees=yaw)


def _stages(times: StageTimes) -> pb.StageTimes:
    return pb.StageTimes(
        queue_ms=times.queue_s * 1e3,
        plan_ms=times.plan_s * 1e3,
        retrieve_ms=times.retrieve_s * 1e3,
        step_ms=[step * 1e3 for step in times.steps_s],
        commit_ms=times.commit_s * 1e3,
        decode_ms=times.decode_s * 1e3,
        encode_ms=times.encode_s * 1e3,
    )
