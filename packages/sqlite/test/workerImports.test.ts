/** The worker starts fast because nothing of Effect is loaded there: not by its files, nor by anything they import. */
import { readFileSync } from "node:fs"
import { expect, it } from "vitest"

const importsOf = (file: URL): Array<string> =>
  [...readFileSync(file, "utf8").matchAll(/^(?:import|export)\b(?:[^;"]*\bfrom )? ?"([^"]+)"/gm)].map(
    (found) => found[1]!
  )

it("loads no packages but what Node brings", () => {
  const files = new Map<string, URL>()
  const packages = new Set<string>()
  const visit = (file: URL): void => {
    if (files.has(file.href)) return
    files.set(file.href, file)
    for (const name of importsOf(file)) {
      if (name.startsWith(".")) visit(new URL(name, file))
      else packages.add(name)
    }
  }
  // The built files: types are gone, what remains is really loaded.
  visit(new URL("../dist/worker.js", import.meta.url))
  expect(files.size).toBeGreaterThan(10)
  expect([...packages].filter((name) => !name.startsWith("node:"))).toEqual([])
})
