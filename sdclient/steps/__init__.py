"""What a job does: `generate` asks a server, `segment` cuts an image up. Each has three stages (`batch.lane`)."""
