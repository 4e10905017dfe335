"""A game's back end: opens a world over gRPC, lends it to a player and to spectators, and steers it.

    python game_backend.py grpc://127.0.0.1:8001 --key "$OPERATOR_KEY"

Plays a cut-scene as the session's owner, then prints a ticket for one player and one for a viewer, who take over.
"""

from __future__ import annotations

import argparse
import asyncio

from worldloom_client import Credential, Held, Pose, join_world, open_service

WALK = [Held(forward=True)] * 57 + [Held(forward=True, camera_yaw=0.1)] * 40


async def cut_scene(url: str, token: str) -> None:
    """Walk, look back, and tell what was seen."""
    async with join_world(url, Credential(token=token)) as world:
        walked = await world.play(WALK)
        async for frame in world.frames():
            if frame.frame_id + 1 == world.applied.get(walked, 0) + len(WALK):
                break
        print(f"walked to {frame.pose}; the last picture is {frame.image.shape}, mean {frame.image.mean():.0f}")
        turned = await world.go_to(Pose(yaw_degrees=180.0), look_only=True)
        await world.prompt("the same place at night")
        print(f"turned and darkened from frame {await world.settled(turned)} on")


async def run(url: str, key: str) -> None:
    """A session's life, as the game sees it."""
    async with open_service(url, key=key) as service:
        opened = await service.create(sample="street", seed=7)
        try:
            await cut_scene(opened.url, opened.token)
            for is_player in (True, False):
                ticket = await service.mint_ticket(opened.session_id, token=opened.token, is_player=is_player)
                print(f"{'player' if is_player else 'viewer'}: {ticket.url} with ticket {ticket.ticket}")
            await asyncio.to_thread(input, "Enter ends the world. ")
        finally:
            await service.close(opened.session_id, token=opened.token)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url", help="grpc:// or grpcs:// address of the service")
    parser.add_argument("--key", default="", help="the operator's key, where the service wants one")
    arguments = parser.parse_args()
    asyncio.run(run(arguments.url, arguments.key))


if __name__ == "__main__":
    main()
