/** The worker starts fast because nothing of Effect is loaded there: not by its files, nor by anything they import. */
import { spawnSync } from "node:child_process"
import { readFileSync } from "node:fs"
import { expect, it } from "vitest"

const importsOf = (file: URL): Array<string> =>
  [...readFileSync(file, "utf8").matchAll(/^(?:import|export)\b(?:[^;"]*\bfrom )? ?"([^"]+)"/gm)].map(
    (found) => found[1]!
  )

/** All files that a module loads, and the names of the packages. */
const loadedBy = (entry: string) => {
  const files = new Set<string>()
  const packages = new Set<string>()
  const visit = (file: URL): void => {
    if (files.has(file.href)) return
    files.add(file.href)
    for (const name of importsOf(file)) {
      if (name.startsWith(".")) visit(new URL(name, file))
      else packages.add(name)
    }
  }
  visit(new URL(entry, import.meta.url))
  return { files, packages: [...packages].filter((name) => !name.startsWith("node:")) }
}

// The built files: types are gone, what remains is really loaded.
it("loads no packages but what Node brings", () => {
  const { files, packages } = loadedBy("../dist/worker.js")
  expect(files.size).toBeGreaterThan(10)
  expect(packages).toEqual([])
})

it("is one file", () => {
  const { files, packages } = loadedBy("../dist/internal/worker/bundle.js")
  expect(files.size).toBe(1)
  expect(packages).toEqual([])
})

it("says what it is where it is imported on the main thread", () => {
  const { status, stderr } = spawnSync(
    process.execPath,
    [
      "--input-type=module",
      "--eval",
      `await import(${JSON.stringify(new URL("../dist/internal/worker/bundle.js", import.meta.url).href)})`
    ],
    { encoding: "utf8" }
  )
  expect(status).toBe(1)
  expect(stderr).toContain("workerUrl")
})
