"""The renderer as one Triton kernel: the same pictures as `render.reference_pass`, made in registers.

A program makes a tile of pixels of one frame, all samples of its pixels at once, and writes bytes; nothing but the
worlds' tables is read from memory. Its rays step through the plan cell by cell until all have hit something, then
solids that can lie before them are tried one by one, then what was hit is shaded. Every function has its namesake or
its description in `cast` and `shade`, and takes its numbers from `look`.

With one warp a program, no step waits for another warp, and conditions such as 'any ray in the sky' cost a few
instructions; so parts that no ray of a tile needs are left out: sky, solids, pictures on walls.
"""
