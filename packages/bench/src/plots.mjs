/** Plots of a section as SVG, by Vega-Lite. */
import { figures } from "./harness.mjs"
import { svgOf } from "../peers/plots.mjs"

const config = {
  background: "white",
  font: "system-ui, sans-serif",
  axis: { labelFontSize: 12, titleFontSize: 12, labelLimit: 320 },
  title: { fontSize: 14, anchor: "start" },
  view: { stroke: null }
}

const colours = { ours: "#0b6e99", theirs: "#b8b8b8" }
const isOurs = (cell) => cell.startsWith("Sluice")

/** One bar per cell. */
const bars = ({ metric, title }, outcome) => {
  const look = figures(outcome)
  const values = Object.keys(outcome.runs)
    .map((cell) => ({ cell, value: look.median(cell, metric), ours: isOurs(cell) }))
    .filter(({ value }) => Number.isFinite(value))
  return {
    title,
    width: 460,
    height: { step: 24 },
    data: { values },
    encoding: {
      y: { field: "cell", type: "nominal", sort: null, title: null },
      x: { field: "value", type: "quantitative", title: null }
    },
    layer: [
      {
        mark: { type: "bar", cornerRadiusEnd: 2 },
        encoding: {
          color: {
            condition: { test: "datum.ours", value: colours.ours },
            value: colours.theirs
          }
        }
      },
      {
        mark: { type: "text", align: "left", dx: 4 },
        encoding: { text: { field: "value", type: "quantitative", format: ",.3~s" } }
      }
    ]
  }
}

const line = (title, x, y, values, colour) => ({
  title,
  width: 460,
  height: 260,
  data: { values },
  mark: { type: "line", point: true, color: colours.ours },
  encoding: {
    x: { field: "size", type: "quantitative", scale: { type: "log" }, title: x, axis: { grid: false, format: "~s" } },
    y: { field: "value", type: "quantitative", scale: { type: "log" }, title: y, axis: { format: "~s" } },
    ...colour
  }
})

/** A line per kind of client; the cells are called "kind, size". */
const lines = ({ metric, title, x, y }, outcome) => {
  const look = figures(outcome)
  const values = Object.keys(outcome.runs).map((cell) => {
    const [kind, size] = cell.split(", ")
    return { kind, size: Number(size), value: look.median(cell, metric) }
  })
  return line(title, x, y, values, { color: { field: "kind", type: "nominal", title: null } })
}

/** One line through the sizes of a section of growth. */
const growth = ({ metric, title, x, y }, outcome, cells) => {
  const look = figures(outcome)
  return line(
    title,
    x,
    y,
    cells.map(({ name, size }) => ({ size, value: look.median(name, metric) })),
    {}
  )
}

const kinds = { bars, lines, growth }

/** The plot of a section, or undefined when it has none. */
export const plotOf = async (section, outcome, options) =>
  section.plot === undefined
    ? undefined
    : svgOf({ ...kinds[section.plot.kind](section.plot, outcome, section.cells(options)), config })
