"""How people write code with sdclient. Type-checked, never run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from sdclient import (
    ADetailer,
    AsyncClient,
    CancelToken,
    Client,
    ControlNet,
    GeneratedImage,
    Img2Img,
    Losses,
    Refiner,
    Result,
    Run,
    SDClientError,
    SDUpscale,
    SegmentSettings,
    StepProgress,
    Txt2Img,
    UltimateUpscale,
    Variations,
    Watch,
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
