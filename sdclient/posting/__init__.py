"""Posts with an image: to a folder, to X, to Mastodon. What is posted holds no metadata and fits the service."""
