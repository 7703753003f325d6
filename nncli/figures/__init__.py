"""Pictures of artifacts: what each shows (`pictures`), found by pure functions, and its drawing.

`grids`, `curves`, `confidence`, `tensors` and `examples` turn tables and arrays into a `Picture`;
`drawing.draw` turns a picture into a matplotlib figure, `drawing.encode` a figure into bytes.
`nncli.drawings` draws the same pictures in characters.
"""
