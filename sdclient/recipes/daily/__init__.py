"""An image for every part of the day: words, an image, its enlargement, and one post.

::

    OUT/daily/2026-11-20_06_Europe-Madrid.json      what the slot draws: start, prompt, greeting, seeds
    OUT/daily/posting                               the one post that is under way, if one is
    OUT/daily/2026-11-20_06_Europe-Madrid.posted    number, id, address of the post; or .aside, or .missed, and why
    OUT/images/2026-11-20_06_Europe-Madrid_1.png    the image, enlarged, as the server drew it
    OUT/posts/0262_2026-11-20_06_Europe-Madrid/     where posts go to a folder: text, alternative text, image

A slot is a date and an hour in a named time zone. It is posted once, whatever clocks, zones and machines do.
"""
