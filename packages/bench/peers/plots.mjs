/** From a Vega-Lite specification to SVG, without a browser. */
import * as vega from "vega"
import * as lite from "vega-lite"

export const svgOf = (specification) =>
  new vega.View(vega.parse(lite.compile(specification).spec), { renderer: "none" }).toSVG()
