/** Costs as something grows: one cell per size, one figure each. */

/**
 * A section from its sizes. `run(size, options)` answers the figure, so that a line through them is the cost of growth.
 * Each size is a process of its own.
 */
export const growth = ({ axis, better = "low", label, name, run, sizes, title, unit }) => ({
  name,
  title,
  rounds: ({ quick }) => (quick ? 1 : 2),
  cells: (options) =>
    sizes.map((size) => ({
      name: `${size.toLocaleString("en-US")} ${axis}`,
      size,
      run: async () => run(size, options)
    })),
  metrics: [{ key: "figure", label, unit, better }],
  plot: { kind: "growth", metric: "figure", x: axis, y: `${label}, ${unit}`, title }
})

/** Milliseconds of the fastest of so many runs: what growth adds, without what the machine adds. */
export const fastest = async (runs, work) => {
  let best = Infinity
  for (let i = 0; i < runs; i++) {
    const start = performance.now()
    await work()
    best = Math.min(best, performance.now() - start)
  }
  return best
}
