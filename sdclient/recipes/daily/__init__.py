"""An image for every part of the day: words, an image, its enlargement, and one post.

::

    OUT/daily/2026-11-20_06.json      what the slot draws: start, prompt, greeting, seeds
    OUT/daily/posting                 the one post that is under way, if one is
    OUT/daily/2026-11-20_06.posted    number, id and address of the post; or .aside, or .missed, with the reason
    OUT/images/2026-11-20_06_1.png    the image, enlarged, as the server drew it
    OUT/posts/0262_2026-11-20_06/     where posts go to a folder: text, alternative text, image

A slot is a date and an hour in a named time zone. It is posted once, whatever clocks and machines do.
"""
