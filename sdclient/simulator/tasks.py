"""What a web UI tells of its running job, and how it is interrupted."""

from __future__ import annotations

import time

from sdclient.simulator.dialect import Call, Reply, json_reply
from sdclient.simulator.facts import JsonObject, JsonValue, a1111_fields
from sdclient.simulator.framework import validated
from sdclient.simulator.workshop import Workshop

__all__ = ["Tasks"]


class Tasks:
    """The routes of a web UI that look at its one GPU.

    Args:
        workshop: The GPU.
    """

    def __init__(self, workshop: Workshop) -> None:
        self._workshop = workshop

    def progress(self, call: Call) -> JsonObject:
        """Answer GET progress: whatever runs now, whoever asked for it."""
        job, last = self._workshop.current, self._workshop.last
        state: JsonObject = {
            # These two stay behind a job until the next one begins.
            "skipped": last.skipped if last else False,
            "interrupted": last.interrupted if last else False,
            "stopping_generation": False,
            "job": job.kind if job else "",
            "job_count": job.job_count if job else 0,
            "job_timestamp": time.strftime("%Y%m%d%H%M%S", time.localtime(job.started_at if job else 0)),
            "job_no": job.job_no if job else 0,
            "sampling_step": job.sampling_step if job else 0,
            "sampling_steps": job.sampling_steps if job else 0,
        }
        skip = call.query.get("skip_current_image", "false").lower() in {"true", "1", "on", "yes"}
        return {
            "progress": min(1.0, 0.01 + job.progress) if job else 0.0,
            "eta_relative": job.remaining_s if job else 0.0,
            "state": state,
            "current_image": None if job is None or skip else job.preview,
            "textinfo": None,
        }

    def of_one(self, call: Call) -> Reply:
        """Answer POST /internal/progress: the state of the task that the body names."""
        values = validated(call, a1111_fields(call.path))
        task, job = values["id_task"], self._workshop.current
        active = job is not None and job.task_id == task
        queued = task in self._workshop.pending
        answer: JsonObject = {
            "active": active,
            "queued": queued,
            "completed": task in self._workshop.finished,
            "progress": job.progress if job and active else None,
            "eta": job.remaining_s if job and active else None,
            "live_preview": f"data:image/png;base64,{job.preview}" if job and active and job.preview else None,
            "id_live_preview": values["id_live_preview"],
            "textinfo": None if active else "Queued..." if queued else "Waiting...",
        }
        return json_reply(answer)

    def pending(self) -> JsonValue:
        """Answer GET /internal/pending-tasks."""
        tasks = self._workshop.pending
        return {"size": len(tasks), "tasks": list[JsonValue](tasks)}

    def interrupt(self) -> None:
        """End the running job soon."""
        job = self._workshop.current
        if job is not None:
            job.interrupt()

    def skip(self) -> None:
        """End the running image soon."""
        job = self._workshop.current
        if job is not None:
            job.skip()
