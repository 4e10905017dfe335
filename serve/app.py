"""HTTP: sessions, samples, presets, health and the web page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fastapi import FastAPI, Response
from fastapi.responses import FileResponse, JSONResponse
from fastapi.staticfiles import StaticFiles
from ray import serve as ray_serve
from ray.serve import Application

from ..cluster.config import ClusterConfig
from ..cluster.verbs import Verbs
from ..model.preset import Preset
from .body_limit import BodyLimit
from .http_errors import install_error_handlers
from .http_models import HealthOut, PresetOut, PresetsOut, SampleOut, SamplesOut
from .samples import list_samples, load_sample
from .session_routes import IMPORT_PATH, Entrance, session_routes
from .sessions import Sessions

WEB_DIR = Path(__file__).parent / "web"
MAX_BODY_BYTES = 20 << 20
DESCRIPTION = """Worlds are created, forked, exported and closed here. They are played over the WebSocket or gRPC
address that comes with a session. Send a session's token as `Authorization: Bearer …`."""


def build_app(preset: Preset, sessions: Sessions, entrance: Entrance, *, import_bytes: int = 1 << 30) -> FastAPI:
    """The whole HTTP side of a service that runs `preset`. Files of worlds may have `import_bytes`."""
    app = FastAPI(
        title="worldloom",
        summary="Interactive worlds: actions in, video out",
        description=DESCRIPTION,
        version="1",
        # The framework's pages load their scripts from other hosts.
        docs_url=None,
        redoc_url=None,
    )
    app.add_middleware(BodyLimit, max_bytes=MAX_BODY_BYTES, larger={IMPORT_PATH: import_bytes})
    install_error_handlers(app)
    app.include_router(session_routes(preset, sessions, entrance))

    @app.get("/v1/samples")
    async def get_samples() -> SamplesOut:
        """Start images that come with the service."""
        return SamplesOut(
            samples=[
                SampleOut(name=sample.name, prompt=sample.prompt, image_url=f"/v1/samples/{sample.name}/image")
                for sample in list_samples()
            ]
        )

    @app.get("/v1/samples/{name}/image", response_class=Response)
    async def get_sample_image(name: str) -> Response:
        """One of them."""
        sample = load_sample(name)
        return Response(sample.read_bytes(), media_type=f"image/{sample.path.suffix[1:].replace('jpg', 'jpeg')}")

    @app.get("/v1/presets")
    async def get_presets() -> PresetsOut:
        """What the service runs."""
        return PresetsOut(presets=[PresetOut.of(preset)])

    @app.get("/healthz", response_model=HealthOut, responses={503: {"model": HealthOut}})
    async def get_health() -> JSONResponse:
        """Whether sessions are admitted: 503 until then."""
        health = await sessions.health()
        body = HealthOut(
            status="ready" if health.groups else "warming",
            groups=health.groups,
            sessions=health.sessions,
            capacity=health.capacity,
        )
        return JSONResponse(body.model_dump(), 200 if health.groups else 503)

    @app.get("/docs", include_in_schema=False)
    async def get_docs() -> FileResponse:
        """What is here, as a page."""
        return FileResponse(WEB_DIR / "docs.html")

    app.mount("/", StaticFiles(directory=WEB_DIR, html=True), name="web")
    return app


def http_app(config: ClusterConfig, entrance: Entrance) -> Application:
    """The Serve application that answers HTTP."""

    @ray_serve.ingress(lambda: build_app(config.preset, Verbs(config), entrance, import_bytes=config.import_bytes))
    class Http:
        """Serve builds the app in each replica."""

    deployment: Any = ray_serve.deployment(
        Http, name="http", ray_actor_options={"num_cpus": 0.1}, graceful_shutdown_timeout_s=config.shutdown_s
    )
    application: Application = deployment.bind()
    return application
