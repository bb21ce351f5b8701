"""How people write code with sdclient. Type-checked, never run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from sdclient import (
    ADetailer,
    AnswerLostError,
    AsyncClient,
    AuthenticationError,
    BadReplyError,
    CancelledError,
    CancelToken,
    Change,
    ChangedPlanError,
    Client,
    CodecError,
    ConfigurationError,
    ControlNet,
    DeadlineError,
    Enlarge,
    GeneratedImage,
    HiresFix,
    ImageLimitError,
    Img2Img,
    Lora,
    LossError,
    Losses,
    MissingExtraError,
    MissingRouteError,
    NotListeningError,
    NotSentError,
    OverloadError,
    PayloadError,
    PlanError,
    Refiner,
    RejectedError,
    Result,
    Run,
    RunError,
    RunFolderError,
    SDClientError,
    SDUpscale,
    SegmentationError,
    SegmentSettings,
    ServerBusyError,
    ServerChangedError,
    ServerError,
    ServerFaultError,
    StepProgress,
    StorageError,
    Tiled,
    Tiles,
    TransportError,
    Txt2Img,
    UltimateUpscale,
    Variations,
    Watch,
    WrongServerError,
    __version__,
)


def draw(sd: Client) -> Path:
    result = sd.txt2img("a red fox", steps=30, seed=7)
    seeds: Sequence[int | None] = result.seeds
    text: str = result.parameters
    shown: str = f"{result.info.get('seed')} {seeds} {text} {result.losses} {result.changed} {result.seed}"
    images: Sequence[GeneratedImage] = (*result.images, *result.maps, *([result.grid] if result.grid else []))
    shown += str([(image.size, image.sha256, image.infotext) for image in images])
    return result.image.save(f"{len(shown)}.png")


def check(sd: Client) -> Losses:
    request = Txt2Img.load("payloads/sdxl-refiner-ultrasharp.json").replace(prompt="a fox", cfg_scale=5)
    request = request.replace(refiner=Refiner(model="xl-refiner", switch_at=0.7))
    return sd.check(request)


def bake(sd: Client, earlier: Result, picture: Image.Image) -> Result:
    request = Img2Img.load("payloads/bake.json").replace(
        denoising_strength=0.3, controls=[ControlNet(module="tile_resample", model="tile", weight=0.5)]
    )
    for source in ("in.png", Path("in.png"), b"...", picture, earlier.image):
        earlier = sd.img2img(source, request, size="long-side=2048", fit="crop")
    return earlier


def enlarge_by_redrawing(sd: Client) -> Result:
    request = Img2Img(adetailer=(ADetailer(model="face_yolov8n.pt"),), ultimate_upscale=UltimateUpscale(scale=2))
    return sd.img2img("in.png", request.replace(ultimate_upscale=None, sd_upscale=SDUpscale(scale=2)))


def watch(sd: Client, token: CancelToken) -> bool:
    steps: list[int | None] = []

    def tell(progress: StepProgress) -> None:
        steps.append(progress.step)

    try:
        sd.txt2img("a red fox", cancel=token, on_progress=tell)
    except SDClientError as exc:
        return exc.retryable
    return bool(steps)


async def draw_later(sd: AsyncClient) -> Result:
    first: Result = await sd.txt2img(Txt2Img(prompt="a fox"))
    return await sd.img2img(first.image, "a bear", denoising_strength=0.5)


def many(sd: Client, bake_request: Img2Img) -> int:
    run = Run("UPSCALED").add_folder("GENERATIONS", bake_request, size="source")
    run.add_cutouts("UPSCALED", SegmentSettings(model="classical"))
    run.start([sd, "http://gpu:7860"])
    return len(run.images()) + run.status().counts.done


def vary_a_folder_that_grows(bake: Img2Img) -> Run:
    run = Run("OUT").add_folder(
        "IN", bake, order="newest", prompts="sidecar", vary={"steps": [20, 30]}, watch=Watch(60)
    )
    run.add_folder("MORE", bake, prompts={"a.png": "a fox", "b.png": {"seed": 7}}, templates={"prompt": "{stem}"})
    run.add(["a fox"], Txt2Img(), templates={"prompt": "{prompt}, {light}"}, vary=Variations(zipped=True))
    places: tuple[str, ...] = run.import_log("logfile_upscales.txt").imported
    run.remarks += places
    return run


def everything_about_size() -> Txt2Img:
    tiles = Tiles(width=768, height=768, overlap=64)
    return Txt2Img(
        width=2048,
        height=2048,
        hires=HiresFix(first_width=1024, first_height=1024, strength=0.4),
        enlarge=Enlarge(model="4x-UltraSharp", scale=2),
        tiled=Tiled(diffusion=tiles, vae=tiles),
        loras=(Lora(model="detail", weight=0.6),),
    )


def what_was_done_otherwise(result: Result) -> list[str]:
    changes: Sequence[Change] = result.changed
    return [f"{change.field}: {change.asked} became {change.applied}" for change in changes]


def was_it_sent(sd: Client) -> str:
    """Errors by what follows from them; the most particular first."""
    try:
        sd.txt2img("a red fox")
    except (NotListeningError, NotSentError):
        return "start the server; nothing was sent"
    except CancelledError:
        return "ended on request"
    except (DeadlineError, AnswerLostError):
        return "look at the server; it may have drawn the image"
    except TransportError as exc:
        return str(exc)
    return __version__


def what_the_server_said(sd: Client) -> str:
    try:
        sd.txt2img("a red fox")
    except AuthenticationError as exc:
        return f"give the password: {exc}"
    except (ServerBusyError, OverloadError, ServerFaultError) as exc:
        return "later" if exc.retryable else "ask for less"
    except (MissingRouteError, RejectedError, BadReplyError, WrongServerError, ServerChangedError) as exc:
        return f"the server: {exc}" if exc.blames_server else f"the request: {exc}"
    except ServerError as exc:
        return str(exc)
    return "an image"


def what_was_asked_wrongly(sd: Client) -> str:
    try:
        sd.img2img("in.png", Img2Img.load("mine.json"))
    except (LossError, PayloadError, ConfigurationError) as exc:
        return f"mend the request: {exc}"
    except (ImageLimitError, CodecError) as exc:
        return f"no image that can be taken: {exc}"
    return "an image"


def what_stops_a_run(run: Run, sd: Client) -> str:
    try:
        run.start([sd])
    except (ChangedPlanError, PlanError) as exc:
        return f"another plan: {exc}"
    except StorageError as exc:
        return f"the disk: {exc}"
    except (RunFolderError, RunError) as exc:
        return f"the folder: {exc}"
    except (MissingExtraError, SegmentationError) as exc:
        return f"the segmenter: {exc}"
    return "done"
