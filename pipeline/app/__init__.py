"""The web app of dubbing: a page on which people upload a face and a voice, and get the dubbed video.

`jobs` does the work and needs no web framework; `page` is the page; `server` serves it.
"""
