"""HTTP: sessions, samples, presets, health and the web page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from fastapi.staticfiles import StaticFiles
from ray import serve as ray_serve
from ray.serve import Application

from ..cluster.config import ClusterConfig
from ..cluster.messages import SessionInfo
from ..model.clip import NEW_FRAMES
from ..model.preset import Preset
from .body_limit import BodyLimit
from .http_errors import install_error_handlers
from .samples import list_samples, load_sample
from .session_requests import read_session_request
from .sessions import ClusterSessions, Sessions

WEB_DIR = Path(__file__).parent / "web"
MAX_BODY_BYTES = 20 << 20


def build_app(preset: Preset, sessions: Sessions, *, stream_port: int) -> FastAPI:
    """The whole HTTP side of a service that runs `preset`."""
    app = FastAPI(title="worldloom", summary="Interactive worlds: actions in, video out", version="1")
    app.add_middleware(BodyLimit, max_bytes=MAX_BODY_BYTES)
    install_error_handlers(app)

    @app.post("/v1/sessions", status_code=201)
    async def create_session(request: Request) -> dict[str, Any]:
        created = await sessions.create(await read_session_request(request, preset))
        return {
            **_describe(created.info, preset),
            "token": created.token,
            "stream_url": f"ws://{request.url.hostname}:{stream_port}/",
        }

    @app.get("/v1/sessions/{session}")
    async def get_session(session: str) -> dict[str, Any]:
        return _describe(await sessions.describe(session), preset)

    @app.delete("/v1/sessions/{session}", status_code=204)
    async def delete_session(session: str) -> None:
        await sessions.end(session)

    @app.get("/v1/samples")
    async def get_samples() -> dict[str, Any]:
        return {
            "samples": [
                {"name": sample.name, "prompt": sample.prompt, "image_url": f"/v1/samples/{sample.name}/image"}
                for sample in list_samples()
            ]
        }

    @app.get("/v1/samples/{name}/image")
    async def get_sample_image(name: str) -> Response:
        sample = load_sample(name)
        return Response(sample.read_bytes(), media_type=f"image/{sample.path.suffix[1:].replace('jpg', 'jpeg')}")

    @app.get("/v1/presets")
    async def get_presets() -> dict[str, Any]:
        return {"presets": [_describe_preset(preset)]}

    @app.get("/healthz")
    async def get_health() -> JSONResponse:
        health = await sessions.health()
        body = {
            "status": "ready" if health.groups else "warming",
            "groups": health.groups,
            "sessions": health.sessions,
            "capacity": health.capacity,
        }
        return JSONResponse(body, 200 if health.groups else 503)

    app.mount("/", StaticFiles(directory=WEB_DIR, html=True), name="web")
    return app


def _describe_preset(preset: Preset) -> dict[str, Any]:
    return {
        "preset": preset.name,
        "description": preset.description,
        "width": preset.video.width,
        "height": preset.video.height,
        "frame_rate": preset.video.frame_rate,
        "frames_per_chunk": NEW_FRAMES,
        "num_steps": preset.sampling.steps,
        "prompt_chars": preset.limits.prompt_chars,
        "trained": preset.trained,
    }


def _describe(info: SessionInfo, preset: Preset) -> dict[str, Any]:
    return {
        "session_id": info.session,
        "state": info.phase.value,
        "prompt": info.prompt,
        "seed": info.seed,
        "viewpoint": info.viewpoint,
        "has_player": info.has_player,
        **_describe_preset(preset),
    }


def http_app(config: ClusterConfig, *, stream_port: int) -> Application:
    """The Serve application that answers HTTP."""

    @ray_serve.ingress(lambda: build_app(config.preset, ClusterSessions(config), stream_port=stream_port))
    class Http:
        """Serve builds the app in each replica."""

    deployment: Any = ray_serve.deployment(
        Http, name="http", ray_actor_options={"num_cpus": 0.1}, graceful_shutdown_timeout_s=config.shutdown_s
    )
    application: Application = deployment.bind()
    return application
