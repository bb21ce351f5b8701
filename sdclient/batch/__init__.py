"""The batch runner: a run folder, its plan, and workers that share it without losing or repeating a job.

A run folder is the user's output folder ``OUT`` with a hidden folder inside::

    OUT/generated/Italian/family/Italian_family_1_1.png   images, in the user's own folders and names
    OUT/images.csv  OUT/attempts.csv                      merged views, written at a worker's end and by `status`
    OUT/.sdclient/
        run.json                       immutable: format, run seed, lease and beat in seconds; where only one
                                       machine may work here, the reason
        plan/<sha256>.jsonl            immutable shards: a head (format, how many jobs were planned before), then
                                       one line a spec or a job, and one of jobs that are withdrawn because a
                                       later revision was planned before they were done
        beats/<token>                  one per worker process, rewritten in place while it lives: a counter, the
                                       process, the kinds of jobs it can still do and (+kind)
                                       those it may still plan
        claims/<job>.e<NNNNNN>         the right to try the job, by the number of the claim; holds the worker's token.
                                       `retry` makes one as well, which is no try
        claims/<job>.e<NNNNNN>.end     how that try ended without a commit
        parts/<job>.e<NNNNNN>.<token>/ outputs and record.json of a try, while being made
        done/<hh>/<job>/record.json    committed; the truth (hh: the first two digits of the job id)
        log/<token>.csv                one row per attempt; history, never truth
        replies/<job>.e<NNNNNN>.txt    answers kept for a look, of tries that failed, by the number of the try
        replaced/<job>/                outputs that a redone job took the place of
        servers.json                   what kind of server the run was begun on, so that unlike ones do not mix in
        told.jsonl                     what people were told once, such as files that were left out
        documents/                     hashes of the documents that recipes wrote: others are somebody else's
        thumbs/                        small images for the report

Nothing in it holds an absolute path: every machine mounts the share elsewhere. Names are
``[a-z0-9._-]`` so that every file system keeps them.

What makes it safe, in one sentence: a claim only saves work, and a job becomes done by exactly one
act, the rename of its part directory onto ``done/<hh>/<job>``, which refuses a second one. Clocks
are never compared between machines and file times are never read.
"""
