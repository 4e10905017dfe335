"""The renderer as one Triton kernel: the same pictures as `render.reference_pass`, made in registers.

A program makes a tile of pixels of one frame, all samples of its pixels at once, and writes bytes; nothing but the
worlds' tables is read from memory. Its rays step through the plan cell by cell until all have hit something, then
solids that can lie before them are tried one by one, then what was hit is shaded. Every function has its namesake or
its description in `cast` and `shade`, and takes its numbers from `look`.

With one warp a program, no step waits for another warp, and conditions such as 'any ray in the sky' cost a few
instructions; so parts that no ray of a tile needs are left out: sky, solids, pictures on walls.

Compiled for sm_90, tiles of 4×4 pixels take 92 registers a thread and no shared or local memory: 22 warps a
multiprocessor. A warp with 64 rays runs some 3,400 instructions once, of which the light and the pattern of surfaces
are the larger part, 56 for each cell that its farthest ray crosses, and 160 for each solid that its tile can see.
`measure` says what that comes to.
"""
